"""Files of packed networks: what is written is read again, and nothing else is."""

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from metaplastic.packed import PackedNetwork, pack

NETWORKS = {
    "dense": {"kind": "dense"},
    "conv": {"kind": "conv"},
    "signs": {"kind": "conv", "signs": True},
    "tasks": {"kind": "dense", "tasks": 3},
    "layer norm": {"kind": "conv", "statistics": "layer"},
    "layer norm alone": {"kind": "dense", "statistics": "layer", "affine": False},
}


def signed(header, data):
    """The bytes of a file whose hash is right, whatever is in it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + data
    start = content.find(b"0" * 64)
    if start < 0:
        return content
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[start + 64 :]


def taken_apart(content):
    """Header and data of a file, its hash taken out."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["sha256"] = "0" * 64
    return header, content[8 + length :]


@pytest.fixture
def saved(build, tmp_path):
    """A file of a small network with two tasks."""
    return pack(build("conv", tasks=2), tasks=["one", "two"]).save(tmp_path / "net.safetensors")


@pytest.mark.parametrize("name", [*NETWORKS, "real"])
def test_a_network_is_what_it_was_after_a_round_trip(build, images, tmp_path, name):
    network = build(**NETWORKS.get(name, {"kind": "dense"}))
    packed = pack(network, dataset="digits", unit=1 / 255, input="real" if name == "real" else None)
    path = packed.save(tmp_path / "net.safetensors")
    loaded = PackedNetwork.load(path)
    assert loaded == packed
    assert (loaded.dataset, loaded.unit, loaded.statistics) == ("digits", 1 / 255, packed.statistics)
    x = images(network).numpy()
    shown = (x / 255).astype(np.float32)
    for task in packed.tasks or (None,):
        np.testing.assert_array_equal(loaded.logits(shown, task), packed.logits(shown, task))


def test_thresholds_that_need_more_than_16_bits_are_kept(build, tmp_path):
    network = build("dense")
    network.layers[1].mean[0] = 77 * 255 / 256 * 0.9
    assert pack(network).layers[0].after.threshold.max() < 2**15  # 77 bytes cannot reach more
    from metaplastic.nn import BinaryMLP

    wide = BinaryMLP([784, 3, 2], "running")
    wide.layers[1].mean[0] = 700.0
    packed = pack(wide)
    assert packed.layers[0].after.threshold.max() > 2**15
    path = packed.save(tmp_path / "wide.safetensors")
    assert PackedNetwork.load(path) == packed
    types = {name: array.dtype for name, array in safetensors.numpy.load_file(path).items()}
    assert (types["layers.0.threshold"], types["layers.0.weight"]) == (np.int32, np.uint8)


def test_the_library_of_safetensors_reads_the_same(saved):
    packed = PackedNetwork.load(saved)
    arrays = safetensors.numpy.load_file(saved)
    for depth, layer in enumerate(packed.layers):
        np.testing.assert_array_equal(arrays[f"layers.{depth}.weight"], layer.weight)
    with safe_open(saved, "numpy") as file:
        metadata = file.metadata()
    assert (metadata["format"], metadata["version"]) == ("metaplastic-packed", "1")
    description = json.loads(metadata["network"])
    assert (description["bit_order"], description["polarity"]) == ("little", "1 is +1, 0 is -1")
    assert description["tasks"] == ["one", "two"]


def test_the_same_network_gives_the_same_bytes(saved, tmp_path):
    again = PackedNetwork.load(saved).save(tmp_path / "again.safetensors")
    assert again.read_bytes() == saved.read_bytes()


def test_loading_and_predicting_one_sample_needs_no_torch(saved):
    script = (
        "import sys, numpy, metaplastic; network = metaplastic.PackedNetwork.load(sys.argv[1]);"
        "print(network.predict(numpy.zeros((1, 2, 9, 8), numpy.uint8), 'one', backend='numpy'), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, saved], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_mutated_file_is_refused(saved, tmp_path, count):
    content, path = saved.read_bytes(), tmp_path / "mutated.safetensors"
    draw = random.Random(count)
    longest = 0.0
    for _ in range(count):
        mutated = mutate(draw, content)
        path.write_bytes(mutated)
        start = time.perf_counter()
        with pytest.raises(ValueError, match=r"^cannot read .*mutated.safetensors as a packed network: "):
            PackedNetwork.load(path)
        longest = max(longest, time.perf_counter() - start)
    assert longest < 5


@pytest.mark.parametrize("count", [200, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_mutated_file_with_a_right_hash_is_refused_or_harmless(saved, tmp_path, count):
    header, data = taken_apart(saved.read_bytes())
    text, path = json.dumps(header).encode(), tmp_path / "forged.safetensors"
    draw = random.Random(count)
    refused = 0
    for _ in range(count):
        path.write_bytes(signed(*((mutate(draw, text), data) if draw.random() < 0.7 else (text, mutate(draw, data)))))
        try:
            PackedNetwork.load(path)
        except ValueError as error:
            assert str(error).startswith(f"cannot read {path} as a packed network: ")  # noqa: PT017
            refused += 1
    assert refused > count / 2


def mutate(draw, content):
    """Change bytes, or take some away, or put some in, in one of the ways in which files are damaged."""
    mutated = bytearray(content)
    while mutated == content:
        place = draw.randrange(len(content) if draw.random() < 0.5 else min(len(content), 3000))
        length = draw.choice([1, 1, 1, 2, 8, 100])
        random_bytes = draw.randbytes(length)
        kind = draw.randrange(7)
        if kind == 0:
            mutated[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            mutated[place : place + length] = random_bytes
        elif kind == 2:
            del mutated[place : place + length]
        elif kind == 3:
            mutated[place:place] = random_bytes
        elif kind == 4:
            del mutated[place:]
        elif kind == 5:
            mutated[place : place + length] = bytes(length)
        else:
            digits = [at for at, byte in enumerate(mutated[:3000]) if chr(byte).isdigit()] or [place]
            mutated[draw.choice(digits)] = ord(draw.choice("0123456789-.eE"))
    return bytes(mutated)


def entry(name, **changes):
    return lambda header: header[name].update(changes)


def described(path, value):
    """Change one entry of the description; its path is keys and indices."""

    def change(header):
        description = json.loads(header["__metadata__"]["network"])
        inner = description
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        header["__metadata__"]["network"] = json.dumps(description)

    return change


def golden(header):
    header["__metadata__"]["golden"] = json.dumps({"inputs": 64, "sha256": "1" * 64})


FORGED = {
    "another format": (
        lambda header: header["__metadata__"].update(format="pt"),
        "expected metadata of the format 'metaplastic-packed', got others",
    ),
    "a newer version": (
        lambda header: header["__metadata__"].update(version="2"),
        "expected version 1, got '2'; use a newer metaplastic",
    ),
    "no hash": (lambda header: header["__metadata__"].pop("sha256"), "expected a hash of all bytes, got none"),
    "other golden logits": (golden, "expected the logits of the golden inputs, got others"),
    "no description": (
        lambda header: header["__metadata__"].pop("network"),
        "expected a JSON object as 'network' in the metadata",
    ),
    "a huge shape": (entry("layers.0.weight", shape=[2**30, 2**30]), "expected 'layers.0.weight' as 11529215"),
    "a shape of many dimensions": (entry("layers.0.weight", shape=[1] * 1000), "expected 'layers.0.weight' as 1 bytes"),
    "a negative shape": (entry("layers.0.weight", shape=[-5, -3]), "expected a type, a shape and two offsets"),
    "a shape of floats": (entry("layers.0.weight", shape=[5.0, 3.0]), "expected a type, a shape and two offsets"),
    "an unknown type": (entry("layers.0.weight", dtype="I64"), "expected a type, a shape and two offsets"),
    "a type of another kind": (entry("layers.0.weight", dtype=["U8"]), "expected a type, a shape and two offsets"),
    "overlapping entries": (entry("layers.0.weight", data_offsets=[0, 15]), "bytes behind the entry before it"),
    "a missing entry": (
        lambda header: header.__setitem__("layers.0.other", header.pop("layers.0.weight")),
        "expected .*, got ",
    ),
    "an entry that is no entry": (
        lambda header: header.__setitem__("x", 3),
        "expected a type, a shape and two offsets",
    ),
    "an unknown input": (described(["input"], "words"), "'words' is not a valid Input"),
    "a shape of text": (described(["input_shape"], ["a"]), "expected an input shape of integers > 0"),
    "a unit of nothing": (described(["unit"], 0.0), "expected a unit of bytes, got 0.0"),
    "a unit that is no number": (described(["unit"], float("nan")), "expected a unit of bytes, got nan"),
    "a task twice": (described(["tasks"], ["one", "one"]), "expected different names for the tasks"),
    "a task that is no name": (described(["tasks"], [1, 2]), "expected different names for the tasks"),
    "too few tasks": (described(["tasks"], ["one"]), "layer 0: expected one table, or one for each of 1 tasks, got 2"),
    "layers that are none": (described(["layers"], {}), "expected 'layers' as list, got dict"),
    "a layer that is none": (described(["layers", 0], 1), "expected a JSON object for each layer"),
    "a kind of text": (described(["layers", 0, "after"], "x"), "expected one of .* behind a layer, got 'x'"),
    "an enormous image": (described(["layers", 0, "height"], 2**40), "expected a network that takes seconds"),
    "a width that is true": (described(["layers", 0, "width"], True), "expected 'width' as int, got bool"),
    "a padding beyond the kernel": (described(["layers", 0, "padding"], 3), "expected a padding from 0 and below"),
    "an unknown pooling": (described(["layers", 0, "pool"], "sum"), "'sum' is not a valid Pooling"),
    "a bomb of nested lists": (
        lambda header: header["__metadata__"].update(network="[" * 100_000),
        "nested too deeply",
    ),
    "a bomb of digits": (
        lambda header: header["__metadata__"].update(network="9" * 10_000),
        "integer string conversion",
    ),
    "an image that does not fit": (described(["layers", 1, "height"], 6), "layer 1: expected a layer that takes"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused_with_the_reason(saved, name):
    change, message = FORGED[name]
    header, data = taken_apart(saved.read_bytes())
    change(header)
    saved.write_bytes(signed(header, data))
    with pytest.raises(ValueError, match=rf"cannot read .*net.safetensors as a packed network: .*{message}"):
        PackedNetwork.load(saved)


CONTENTS = {
    "empty": (b"", "expected a safetensors header of at most 1 MiB"),
    "a header that is too long": ((2**62).to_bytes(8, "little"), "expected a safetensors header of at most 1 MiB"),
    "a pickle": (pickle.dumps(print), "expected a safetensors header of at most 1 MiB"),
    "no JSON": ((4).to_bytes(8, "little") + b"{{{{", "Expecting property name"),
    "no UTF-8": ((8).to_bytes(8, "little") + b'{"\xff": 1}', "codec can't decode"),
    "a list": ((2).to_bytes(8, "little") + b"[]", "expected a header of named tensors"),
    "a bomb": ((10**6).to_bytes(8, "little") + b"[" * 10**6, "nested too deeply"),
    "other tensors": (safetensors.numpy.save({"x": np.zeros(3)}), "a file of hidden weights is to pack"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_no_packed_network_is_refused_with_the_reason(tmp_path, name):
    content, message = CONTENTS[name]
    path = tmp_path / "other.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"cannot read .*other.safetensors as a packed network: .*{message}"):
        PackedNetwork.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a file of at most 1073741824 bytes, got something else"):
        PackedNetwork.load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a file"):
        PackedNetwork.load(tmp_path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.safetensors"):
        PackedNetwork.load(tmp_path / "absent.safetensors")


def test_a_file_of_gigabytes_is_refused_unread(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(2**31)  # a hole, which takes no place on the disk
    with pytest.raises(ValueError, match="expected a file of at most 1073741824 bytes"):
        PackedNetwork.load(path)


def test_saving_to_a_folder_that_is_not_there_is_told(build, tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*net.safetensors"):
        pack(build("dense")).save(tmp_path / "absent" / "net.safetensors")
