"""The public data sets that can be loaded by name: their files, hashes, mirrors and shapes."""

import enum
from dataclasses import dataclass

from metaplastic.choices import unknown

DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FINE = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
FINE_OBJECTS = tuple(_FINE.split())


class Layout(enum.StrEnum):
    """How samples lie in a set's files."""

    IDX = "idx"
    """Four files: training images, training labels, test images, test labels, each with a header of its shape."""
    DIGIT_TEXT = "digit text"
    """Two files, training and test: per line a digit and its pixels as numbers from -1 to 1."""
    CIFAR = "cifar"
    """Files of records of one label and 3072 pixels; the last file holds the test samples."""
    CIFAR_FINE = "cifar, coarse and fine"
    """The same with two labels a record, a coarse and a fine one; the fine ones are taken."""


@dataclass(frozen=True)
class SourceFile:
    """One file of a data set.

    The hash is that of the uncompressed content, because every mirror wraps the same content differently. For
    `Layout.DIGIT_TEXT` it is that of the parsed bytes (all images, then all labels), because the same numbers are
    in circulation with different numbers of decimals.

    Args:
        name: Its name without `.gz` or `.xz`.
        samples: Number of samples in it.
        digest: Algorithm and hexadecimal hash, e.g. "sha256:ff7b...".
    """

    name: str
    samples: int
    digest: str


@dataclass(frozen=True)
class Form:
    """One way in which a data set may lie in its folder.

    Args:
        layout: How the samples lie in the files.
        files: The files, in the order of `Layout`.
    """

    layout: Layout
    files: tuple[SourceFile, ...]


@dataclass(frozen=True)
class Entry:
    """What is known about a data set before it is read.

    Args:
        name: What it is loaded by.
        title: Its name in print.
        image_shape: Shape of one image, `(rows, columns)` or `(channels, rows, columns)`.
        class_names: One name per label.
        folders: Where its files may lie, relative to a data folder; new files go into the first.
        forms: Ways in which the files may lie there, the quickest to read first; the last is the one that is fetched.
            Empty for a set that comes with a package.
        mirrors: Addresses to fetch from, in order; `{file}` stands for the name of a file, and what follows `#` is a
            member of an archive. Empty when no public address is known.
        download_size: About how many bytes are fetched.
        first_label: The label that the files give to the first class.
        transposed: Whether the files hold each image with rows and columns exchanged.
        scale: See `Dataset`.
        hint: What else to say when files are missing.
    """

    name: str
    title: str
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    folders: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()
    mirrors: tuple[str, ...] = ()
    download_size: int = 0
    first_label: int = 0
    transposed: bool = False
    scale: float = 1 / 256
    hint: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the set comes with a package and needs no files."""
        return not self.forms


def _idx(prefixes: tuple[str, str], counts: tuple[int, int], hashes: tuple[str, ...]) -> Form:
    names = [f"{prefix}-{kind}-ubyte" for prefix in prefixes for kind in ("images-idx3", "labels-idx1")]
    samples = [count for count in counts for _ in range(2)]
    files = (SourceFile(name, n, f"sha256:{digest}") for name, n, digest in zip(names, samples, hashes, strict=True))
    return Form(Layout.IDX, tuple(files))


def _cifar(*batches: str) -> Form:
    return Form(Layout.CIFAR, tuple(SourceFile(f"{name}.bin", 10_000, _CIFAR_HASHES[name]) for name in batches))


_CIFAR_HASHES = {
    "data_batch_1": "sha256:cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2": "sha256:a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3": "md5:942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "md5:ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "sha256:755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch": "md5:803d5f7f4d78ea53de84dbe85f74fb6d",
}
_CIFAR_FOLDERS = ("cifar-10", "cifar-10/cifar-10-batches-bin", "cifar-10-batches-bin")
_CIFAR_MIRRORS = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz#cifar-10-batches-bin/{file}",)

_ENTRIES = (
    Entry("digits", "Digits, as in scikit-learn (UCI)", (8, 8), DIGITS, scale=1 / 16),
    Entry(
        "mnist",
        "MNIST",
        (28, 28),
        DIGITS,
        folders=("mnist",),
        forms=(
            _idx(
                ("train", "t10k"),
                (60_000, 10_000),
                (
                    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
                ),
            ),
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/{file}.gz",
            "https://storage.googleapis.com/cvdf-datasets/mnist/{file}.gz",
        ),
        download_size=12_000_000,
    ),
    Entry(
        "fashion-mnist",
        "Fashion-MNIST",
        (28, 28),
        CLOTHES,
        folders=("fashion-mnist",),
        forms=(
            _idx(
                ("train", "t10k"),
                (60_000, 10_000),
                (
                    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                ),
            ),
        ),
        mirrors=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{file}.gz",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{file}.gz",
        ),
        download_size=31_000_000,
    ),
    Entry(
        "usps",
        'USPS, the copy of "The Elements of Statistical Learning"',
        (16, 16),
        DIGITS,
        folders=("usps",),
        forms=(
            _idx(
                ("train", "t10k"),
                (7_291, 2_007),
                (
                    "4cd4bc62e6551318fe9ea956ca4b009b0d0393b480c2694b0042358c8349d345",
                    "ca21dd4e5a91233d38069e4f468988d3b56f6ce37e1a579a5ad1bd02395488c6",
                    "c457a5ed04299c6a38754b797879bb527abb519e4ec8afccc932d6018f35192a",
                    "9d60836db74a1ffe67829f9a2546bd594d5d321f778dbca1578c041da94483a2",
                ),
            ),
            Form(
                Layout.DIGIT_TEXT,
                (
                    SourceFile(
                        "zip.train",
                        7_291,
                        "sha256:99f84249a49cdbdd95e85d2d6b76a932e3e1af4e7cd4feb8a185480c8be04007",
                    ),
                    SourceFile(
                        "zip.test",
                        2_007,
                        "sha256:1db6199abf5d29d6090a6597972c42f06f2ada694ce4290cc0e97c2e2d3529a9",
                    ),
                ),
            ),
        ),
        mirrors=("https://hastie.su.domains/ElemStatLearn/datasets/{file}.gz",),
        download_size=2_100_000,
    ),
    Entry(
        "emnist-letters",
        "EMNIST Letters",
        (28, 28),
        tuple("abcdefghijklmnopqrstuvwxyz"),
        folders=("emnist-letters",),
        forms=(
            _idx(
                ("emnist-letters-train", "emnist-letters-test"),
                (124_800, 20_800),
                (
                    "7a786db773b2096a7b9a3f3275388a27711f4451548c3ca8be96f09ae94371ae",
                    "e8e94c3f4353d5532fd9604b939cb4c76e7847945b9b0d9ff7884d881dead6bc",
                    "d5895e82d14765b22a84342337bc5c25f1affd61cc97d3821d4e65504bbf8dbc",
                    "22dbcde0a929a7f166bdac863b9195b2994d840a1e082f8f6daaeac5606376a6",
                ),
            ),
        ),
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip#gzip/{file}.gz",),
        download_size=560_000_000,
        first_label=1,
        transposed=True,
        hint="The only public address is one archive of all EMNIST splits, about 560 MB.",
    ),
    Entry(
        "cifar-10",
        "CIFAR-10",
        (3, 32, 32),
        OBJECTS,
        folders=_CIFAR_FOLDERS,
        forms=(_cifar(*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),),
        mirrors=_CIFAR_MIRRORS,
        download_size=170_000_000,
        hint="With batches 1, 2 and 5 alone, 'cifar-10-part' can be loaded (a nonstandard split).",
    ),
    Entry(
        "cifar-10-part",
        "CIFAR-10, nonstandard: train on batches 1 and 2, test on batch 5 of the training images",
        (3, 32, 32),
        OBJECTS,
        folders=_CIFAR_FOLDERS,
        forms=(_cifar("data_batch_1", "data_batch_2", "data_batch_5"),),
        mirrors=_CIFAR_MIRRORS,
        download_size=170_000_000,
    ),
    Entry(
        "cifar-100",
        "CIFAR-100, its 100 fine classes",
        (3, 32, 32),
        FINE_OBJECTS,
        folders=("cifar-100", "cifar-100/cifar-100-binary", "cifar-100-binary"),
        forms=(
            Form(
                Layout.CIFAR_FINE,
                (
                    SourceFile(
                        "train.bin",
                        50_000,
                        "sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
                    ),
                    SourceFile(
                        "test.bin",
                        10_000,
                        "sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
                    ),
                ),
            ),
        ),
        mirrors=("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz#cifar-100-binary/{file}",),
        download_size=169_000_000,
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}
"""Every set that can be loaded by name."""


def entry(name: str) -> Entry:
    """Look a data set up by name.

    Args:
        name: A key of `CATALOGUE`.

    Returns:
        What is known about it.

    Raises:
        ValueError: When there is no such set, with the nearest name.

    Example:
        >>> entry("mnist").image_shape
        (28, 28)
    """
    if name not in CATALOGUE:
        own = "for data of your own give the path of a .npz file, a .csv file or a folder of images"
        raise ValueError(f"{unknown('data set', name, CATALOGUE)}; {own}")
    return CATALOGUE[name]
