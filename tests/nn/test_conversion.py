"""Models made binary, against layers computed by hand."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

import metaplastic as mp
from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn import BinaryConv2d, BinaryLinear, Initialization, Normalization, Offset, binarize
from metaplastic.nn.dataflow import follow


def sign(x):
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def normal(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def chain(*layers):
    return nn.Sequential(*layers).double()


def mlp():
    return chain(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 4), nn.BatchNorm1d(4))


class Block(nn.Module):
    """A residual block: one ReLU in two places, of which one also feeds the sum."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(5, 3)
        self.first = nn.Linear(5, 5)
        self.norm = nn.LayerNorm(5)
        self.relu = nn.ReLU()
        self.second = nn.Linear(5, 5)

    def forward(self, x):
        inner = self.relu(self.norm(self.first(x)))
        return self.last(functional.relu(self.second(inner) + x).view(x.size(0), -1))


class Branching(nn.Module):
    """Cannot be followed: what it does depends on a value."""

    def __init__(self):
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.part(x)) if x.sum() > 0 else self.head(x)


def test_a_linear_layer_multiplies_by_the_signs_of_its_weights_and_adds_its_bias():
    model = chain(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))
    binary, _ = binarize(model)
    x = normal(7, 6)
    hidden = torch.tanh(x @ sign(model[0].weight).T + model[0].bias)
    expected = sign(hidden) @ sign(model[2].weight).T + model[2].bias
    torch.testing.assert_close(binary(x), expected, rtol=1e-13, atol=1e-13)


def test_an_offset_follows_the_features_of_sequences():
    model = chain(nn.Linear(6, 5))
    x = normal(2, 3, 6)
    expected = x @ sign(model[0].weight).T + model[0].bias
    torch.testing.assert_close(binarize(model)[0](x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"dilation": (1, 2), "groups": 2},
        {"padding": "same"},
        {"padding": "valid"},
        {"bias": False},
    ],
    ids=str,
)
def test_a_convolution_keeps_all_but_its_weights(options):
    model = chain(nn.Conv2d(4, 6, (1, 3), **options))
    old = model[0]
    x = normal(2, 4, 7, 8)
    expected = functional.conv2d(sign(x), sign(old.weight), old.bias, old.stride, old.padding, old.dilation, old.groups)
    torch.testing.assert_close(binarize(model, binarize_input="all")[0](x), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("signs", "expected"), [("hidden", [False, True]), ("all", [True] * 2), ("none", [False] * 2)])
def test_which_layers_see_signs_is_an_argument(signs, expected):
    binary, report = binarize(mlp(), binarize_input=signs)
    assert [layer.binarize_input for layer in binary.modules() if isinstance(layer, BinaryLinear)] == expected
    assert [layer.signs for layer in report.layers] == expected


def test_a_copy_is_changed_unless_asked_otherwise():
    model = mlp()
    before = copy.deepcopy(model)
    binary, _ = binarize(model)
    assert repr(model) == repr(before)
    assert all(map(torch.equal, model.state_dict().values(), before.state_dict().values()))
    with torch.no_grad():
        binary[0].weight.zero_()
    assert torch.equal(model[0].weight, before[0].weight)
    same, _ = binarize(model, in_place=True)
    assert same is model
    assert isinstance(model[0], BinaryLinear)


def test_hidden_weights_start_from_the_weights_of_the_model_and_draw_nothing():
    model = mlp()
    state = torch.get_rng_state()
    binary, _ = binarize(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(binary[0].weight, model[0].weight)
    assert isinstance(binary[0].weight, HiddenWeight)


def test_hidden_weights_can_be_drawn_anew():
    def drawn(seed):
        start = Initialization(width=0.2)
        return binarize(mlp(), initialization=start, generator=torch.Generator().manual_seed(seed))[0][0].weight

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert 0.05 < drawn(1).abs().max() <= 0.1
    assert drawn(1).dtype == torch.float64


def test_dtype_mode_and_what_is_frozen_are_kept():
    model = chain(nn.Linear(4, 3), nn.Linear(3, 2)).to(torch.bfloat16).eval()
    model[0].weight.requires_grad_(False)
    model[1].bias.requires_grad_(False)
    binary, _ = binarize(model)
    assert {value.dtype for value in binary.parameters()} == {torch.bfloat16}
    assert not any(module.training for module in binary.modules() if isinstance(module, BinaryLinear | Offset))
    assert [value.requires_grad for value in binary.parameters()] == [False, True, True, False]


def test_a_bias_in_front_of_batch_norm_is_dropped_without_any_effect():
    model = chain(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3))
    x = normal(4, 2, 6, 6)
    binary, report = binarize(model)
    assert isinstance(binary[0], BinaryConv2d)
    assert report.layers[0].remark == "its bias had no effect in front of BatchNorm2d '2', and was dropped"
    sums = functional.conv2d(x, sign(model[0].weight), model[0].bias)
    expected = functional.batch_norm(functional.max_pool2d(sums, 2), None, None, training=True)
    torch.testing.assert_close(binary(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "norm", [nn.LayerNorm(3), nn.ReLU(), nn.Sequential(nn.AvgPool1d(1, padding=0)), nn.BatchNorm1d(5)]
)
def test_a_bias_that_has_an_effect_is_kept(norm):
    binary, report = binarize(chain(nn.Linear(4, 3), norm))
    assert isinstance(binary[0][1], Offset)
    assert report.layers[0].remark == "its bias is an Offset behind it"
    assert (report.layers[0].one_bit, report.layers[0].real) == (12, 3)


def test_a_bias_of_a_layer_that_is_used_twice_is_kept():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

        def forward(self, x):
            return self.layer(self.norm(self.layer(x)))

    assert isinstance(binarize(Twice())[0].layer[1], Offset)


@pytest.mark.parametrize(
    ("options", "converted"),
    [
        ({"include": "*.second"}, ["block.second"]),
        ({"include": ["block.*", "stem"], "exclude": "block.last"}, ["stem", "block.first", "block.second"]),
        ({"types": nn.Conv2d}, ["stem"]),
        ({"keep_first": True}, ["block.first", "block.second", "block.last"]),
        ({"keep_last": True}, ["stem", "block.first", "block.second"]),
    ],
    ids=str,
)
def test_layers_are_chosen_by_name_by_type_and_by_the_order_of_their_use(options, converted):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block()
            self.stem = nn.Conv2d(1, 5, 1)

        def forward(self, x):
            return self.block(self.stem(x).flatten(1))

    binary, report = binarize(Model(), binarize_input="none", **options)
    assert [layer.name for layer in report.converted] == converted
    assert {layer.name for layer in report.left_alone} == {"stem", "block.first", "block.second", "block.last"} - {
        *converted
    }
    kinds = (BinaryLinear, BinaryConv2d)
    made = {name.removesuffix(".0") for name, module in binary.named_modules() if isinstance(module, kinds)}
    assert made == set(converted)


@pytest.mark.parametrize("options", [{"include": "head"}, {"exclude": ["0", "head"]}])
def test_a_name_that_is_no_layer_is_refused(options):
    with pytest.raises(ValueError, match=r"unknown layer 'head'. Known: 0, 3"):
        binarize(mlp(), **options)


def tied():
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 4), "head": nn.Linear(4, 7), "other": nn.Linear(4, 4)})
    model["head"].weight = model["embedding"].weight
    return model


def hooked():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].register_forward_hook(lambda *_: None)
    return model


class Reading(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return functional.linear(self.other(x), self.layer.weight)


ALONE = {
    "shared": (tied, "head", "its weight is shared with another module"),
    "other weights": (tied, "embedding", "there is no binary Embedding"),
    "hooks": (hooked, "0", "it has hooks, which would be lost"),
    "read": (Reading, "layer", "the model reads its weight past its forward"),
    "padding": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.Conv2d(2, 2, 3)),
        "0",
        "padding_mode 'circular'; binary convolutions pad with zeros",
    ),
    "subclass": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 2)),
        "0",
        "ParametrizedLinear is a class of its own, and may do more than multiply",
    ),
    "attention": (
        lambda: nn.Sequential(nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 4)),
        "1.linear1",
        "TransformerEncoderLayer reads its weight past its forward",
    ),
    "lazy": (
        lambda: nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2)),
        "0",
        "its shape is not known yet; run a batch through the model first",
    ),
    "binary": (
        lambda: nn.Sequential(BinaryLinear(4, 3, binarize_input=False), nn.Linear(3, 2)),
        "0",
        "binary already",
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_what_cannot_be_converted_is_left_alone_with_the_reason(name):
    build, layer, reason = ALONE[name]
    model = build()
    binary, report = binarize(model)
    assert {row.name: row.remark for row in report.left_alone}[layer] == reason
    assert type(binary.get_submodule(layer)) is type(model.get_submodule(layer))
    assert report.converted
    assert f"left alone: {reason}" in str(report)


def test_a_model_with_nothing_to_convert_is_refused_with_the_reasons():
    message = r"expected a layer .* in Sequential, got none: 0: binary already; 1: the last layer, kept real as asked"
    with pytest.raises(ValueError, match=message):
        binarize(nn.Sequential(BinaryLinear(4, 3, binarize_input=False), nn.Linear(3, 2)), keep_last=True)
    with pytest.raises(ValueError, match=r"expected a model that holds layers, got a single Linear; put it into an"):
        binarize(nn.Linear(3, 2))


def test_a_module_in_two_places_stays_one():
    shared = nn.Linear(4, 4)
    binary, report = binarize(nn.Sequential(shared, nn.Tanh(), shared))
    assert binary[0] is binary[2]
    assert report.one_bit == 16


POSITIVE = {
    "directly": [nn.ReLU()],
    "past pooling and flattening": [nn.ReLU(inplace=True), nn.MaxPool2d(1), nn.Flatten()],
    "past dropout": [nn.ReLU6(), nn.Dropout(0.1)],
    "sigmoid": [nn.Sigmoid()],
}


@pytest.mark.parametrize("name", POSITIVE)
def test_an_activation_without_negative_values_in_front_of_signs_is_found(name):
    model = nn.Sequential(nn.Linear(4, 4), *POSITIVE[name], nn.Linear(4, 2))
    if name == "past pooling and flattening":
        model = nn.Sequential(nn.Conv2d(1, 1, 1), *POSITIVE[name], nn.Linear(4, 2))
    last = str(len(model) - 1)
    with pytest.warns(UserWarning, match=f"'{last}' would compute with the signs of values that are never negative"):
        _, report = binarize(model)
    (caution,) = (text for text in report.cautions if "all signs are +1" in text)
    assert caution.startswith(f"'{last}': behind {type(POSITIVE[name][0]).__name__} '1' no value is negative")
    assert ("pass remove_relu=True" in caution) == (name != "sigmoid")
    assert binarize(model, binarize_input="none")[1].cautions == tuple(
        text for text in report.cautions if "no normalisation" in text
    )


@pytest.mark.parametrize("between", [[nn.ReLU(), nn.BatchNorm1d(4)], [nn.Tanh()], [nn.LeakyReLU()], []])
def test_nothing_is_said_of_activations_where_signs_differ(between):
    _, report = binarize(nn.Sequential(nn.Linear(4, 4), *between, nn.Linear(4, 2)))
    assert not any("all signs" in text for text in report.cautions)


def test_a_relu_is_taken_out_where_it_goes_to_signs_only():
    model = chain(nn.Linear(6, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 4))
    binary, report = binarize(model, remove_relu=True)
    assert report.removed == ("ReLU '2'",)
    assert "taken out: ReLU '2'" in str(report)
    x = normal(7, 6)
    hidden = functional.layer_norm(x @ sign(model[0].weight).T + model[0].bias, (5,))
    torch.testing.assert_close(binary(x), sign(hidden) @ sign(model[3].weight).T + model[3].bias)


def test_a_relu_that_is_a_function_is_left_with_advice():
    with pytest.warns(UserWarning, match=r"'last' would compute"):
        binary, report = binarize(Block(), remove_relu=True)
    assert report.removed == ("ReLU 'relu'",)
    (caution,) = (text for text in report.cautions if "all signs" in text)
    assert caution == (
        "'last': behind relu() no value is negative, so all signs are +1 and nothing is learned; take it out of the "
        "model's forward, or pass binarize_input='none'"
    )
    assert isinstance(binary.relu, nn.Identity)
    with pytest.warns(UserWarning, match="'second', 'last' would compute"):
        _, report = binarize(Block())
    assert any("pass remove_relu=True" in text for text in report.cautions)


def test_a_shared_relu_stays_where_one_of_its_uses_feeds_something_else():
    class Sums(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.relu = nn.Linear(4, 4), nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return self.two(self.relu(self.one(x))) + self.relu(x)

    with pytest.warns(UserWarning, match="'two' would compute"):
        binary, report = binarize(Sums(), remove_relu=True)
    assert isinstance(binary.relu, nn.ReLU)
    assert "minding that its output goes elsewhere too" in report.cautions[0]


def test_layers_without_a_normalisation_are_named_and_can_be_given_one():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    _, report = binarize(model)
    assert any(text.startswith("'3': no normalisation was found behind") for text in report.cautions)
    binary, report = binarize(model, norm="layer")
    assert isinstance(binary[0], BinaryLinear)
    assert isinstance(binary[3][1], Normalization)
    assert report.layers[1].remark == "layer normalisation behind it, in the place of its bias"
    assert not any("no normalisation" in text for text in report.cautions)
    sums = sign(normal(6, 5)).float() @ sign(model[3].weight).T
    expected = functional.layer_norm(sums, (3,))
    torch.testing.assert_close(binary[3](normal(6, 5).float()), expected)


def test_dropout_in_front_of_signs_is_named():
    _, report = binarize(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)))
    assert any(
        "'2': the zeros of dropout in front become signs +1; use mp.nn.SignDropout" in c for c in report.cautions
    )


def test_a_model_that_cannot_be_followed_is_followed_in_its_parts():
    assert list(follow(Branching()).neighbours) == ["part.0", "part.2"]
    with pytest.warns(UserWarning, match=r"'part.2' would compute"):
        _, report = binarize(Branching())
    assert [row.name for row in report.layers] == ["part.0", "part.2", "head"]
    assert report.cautions[-1].startswith("'head': the model's forward could not be followed here; see yourself")


FOLLOWED = """
from torch import nn
from metaplastic.nn import BinaryConvNet, ConvBlock, RealConvNet
from metaplastic.nn.dataflow import follow
for network in (BinaryConvNet, RealConvNet):
    net = network((1, 8, 8), (ConvBlock(2, 3, 1),), (), 4, "recalibrated")
    assert follow(nn.Sequential(net, nn.ReLU(), nn.Linear(4, 2))).whole, network
"""


def test_networks_of_images_are_followed():
    """In a process without the checks of shapes, which what stands for a tensor cannot pass."""
    done = subprocess.run([sys.executable, "-c", FOLLOWED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_following_leaves_nothing_behind_in_the_model():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.seen = nn.Linear(4, 3), []

        def forward(self, x):
            self.last = x
            self.seen.append(x)
            return self.layer(x)

    model = Remembering()
    binary, _ = binarize(model, in_place=True)
    assert (binary.seen, hasattr(binary, "last")) == ([], False)


def test_the_report_counts_every_parameter_once():
    binary, report = binarize(tied())
    one_bit = sum(value.numel() for value in binary.parameters() if isinstance(value, HiddenWeight))
    assert report.one_bit == one_bit == 16
    assert report.real == sum(value.numel() for value in binary.parameters()) - one_bit
    assert report.others == 0


def test_the_report_is_a_table():
    model = nn.Sequential(nn.Linear(64, 32, bias=False), nn.LayerNorm(32), nn.Linear(32, 10))
    assert str(binarize(model, include="0")[1]).splitlines() == [
        "layer       kind    shape    1-bit parameters  real parameters  input  remark",
        "0           Linear  32 x 64             2,048                0  real",
        "2           Linear  10 x 32                                330         left alone: not asked for by name",
        "all others                                                  64",
        "total                                   2,048              394",
    ]


def test_a_converted_model_learns_under_metaplasticity_and_can_be_packed():
    torch.manual_seed(0)
    digits = mp.load("digits")
    pixels, labels = digits.train.inputs.flatten(1) * digits.scale, digits.train.labels
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10), nn.BatchNorm1d(10)
    )
    net, _ = mp.binarize(model, remove_relu=True)
    optimizer = mp.MetaplasticAdam(mp.param_groups(net, metaplasticity=1.35), lr=5e-3)
    for _ in range(4):
        for rows in torch.randperm(len(labels)).split(100):
            optimizer.zero_grad()
            functional.cross_entropy(net(pixels[rows]), labels[rows]).backward()
            optimizer.step()
    net.eval()
    classes = net(pixels).argmax(1)
    assert (classes == labels).float().mean() > 0.9
    packed = mp.pack(net, input="real").predict(pixels)
    assert (torch.as_tensor(packed) == classes).float().mean() > 0.999
