"""The networks of the paper and their real-valued twins."""

import copy

import pytest
import torch
from torch import nn

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.nn import (
    CIFAR_STREAM_BLOCKS,
    Activation,
    BinaryConv2d,
    BinaryConvNet,
    BinaryLinear,
    BinaryMLP,
    ConvBlock,
    Distribution,
    GainInit,
    Initialization,
    Normalization,
    NormPolicy,
    Pool,
    RealConvNet,
    RealMLP,
    SignDropout,
    Statistics,
    mnist_usps_blocks,
    normalizations,
    recalibrate,
)

BLOCKS = (ConvBlock(3, 3, 1, Pool.MAX), ConvBlock(4, 2, 0, Pool.AVERAGE))
NETWORKS = {
    "binary mlp": lambda **options: BinaryMLP([6, 5, 4, 3], **options),
    "real mlp": lambda **options: RealMLP([6, 5, 4, 3], **options),
    "binary conv": lambda **options: BinaryConvNet((2, 8, 8), BLOCKS, (7,), 3, **options),
    "real conv": lambda **options: RealConvNet((2, 8, 8), BLOCKS, (7,), 3, **options),
}
SHAPES = {"binary mlp": (2, 3), "real mlp": (2, 3), "binary conv": (2, 8, 8), "real conv": (2, 8, 8)}
every_network = pytest.mark.parametrize("name", NETWORKS)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=random(seed), dtype=torch.float64)


def hidden_weights(net):
    return [parameter for parameter in net.parameters() if isinstance(parameter, HiddenWeight)]


def count(net):
    return sum(weight.numel() for weight in hidden_weights(net))


@pytest.mark.parametrize(("channels", "weights"), [((12, 20, 30), 14_832), ((10, 15, 20), 8_160), ((6, 10, 15), 4_056)])
def test_the_published_mnist_usps_networks_have_their_weights(channels, weights):
    for network in (BinaryConvNet, RealConvNet):
        assert count(network((1, 28, 28), mnist_usps_blocks(channels), (), 10)) == weights
    net = BinaryConvNet((1, 28, 28), mnist_usps_blocks(channels), (), 10)
    assert net.layers[0].in_features == channels[-1] * 4
    assert net(torch.rand(2, 28, 28)).shape == (2, 10)


def test_the_published_cifar_stream_networks_have_their_weights():
    with torch.device("meta"):
        for network in (BinaryConvNet, RealConvNet):
            net = network((3, 32, 32), CIFAR_STREAM_BLOCKS, (2048, 2048), 10, norm="layer")
            assert count(net) == 18_226_560
            assert net.layers[0].in_features == 512 * 3 * 3
            assert net(torch.empty(2, 3, 32, 32)).shape == (2, 10)


def test_the_published_mlp_has_its_weights():
    with torch.device("meta"):
        net = BinaryMLP([784, 4096, 4096, 10])
    assert count(net) == 784 * 4096 + 4096 * 4096 + 4096 * 10
    assert [tuple(weight.shape) for weight in hidden_weights(net)] == [(4096, 784), (4096, 4096), (10, 4096)]


def test_a_binary_mlp_by_hand():
    net = BinaryMLP([6, 5, 4, 3], norm="batch", generator=random()).double()
    x = normal(7, 6)
    y = x
    for depth, weight in enumerate(hidden_weights(net)):
        signs = torch.where(y >= 0, 1.0, -1.0).double() if depth else y
        y = signs @ torch.where(weight >= 0, 1.0, -1.0).double().T
        y = (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(net(x), y, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(net(x.reshape(7, 2, 3)), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", Activation)
def test_a_real_mlp_by_hand(activation):
    net = RealMLP([6, 5, 4, 3], norm="batch", activation=activation, generator=random()).double()
    function = {"relu": torch.relu, "tanh": torch.tanh}[activation.value]
    x = normal(7, 6)
    y = x
    for depth, weight in enumerate(hidden_weights(net)):
        y = (function(y) if depth else y) @ weight.T
        y = (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(net(x), y, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("binary", [True, False])
def test_a_conv_net_by_hand(binary):
    """Convolution, pooling, normalisation; what binarises or activates stands in front of the next layer."""
    net = NETWORKS["binary conv" if binary else "real conv"](norm="batch", generator=random()).double()
    first, second, third, last = hidden_weights(net)

    def weights(weight):
        return torch.where(weight >= 0, 1.0, -1.0).double() if binary else weight

    def seen(y):
        return torch.where(y >= 0, 1.0, -1.0).double() if binary else torch.relu(y)

    def normalised(y):
        across = [i for i in range(y.dim()) if i != 1]
        return (y - y.mean(across, keepdim=True)) / (y.var(across, correction=0, keepdim=True) + 1e-5).sqrt()

    x = normal(5, 2, 8, 8)
    y = nn.functional.conv2d(x, weights(first), padding=1)
    y = normalised(y.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)))
    y = nn.functional.conv2d(seen(y), weights(second))
    y = normalised(y.unfold(2, 2, 2).unfold(3, 2, 2)[:, :, :1, :1].mean((-1, -2)))
    y = normalised(seen(y).flatten(1) @ weights(third).T)
    y = normalised(seen(y) @ weights(last).T)
    torch.testing.assert_close(net(x), y, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(net(x.flatten(1)), y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["binary mlp", "binary conv"])
@pytest.mark.parametrize("binarize_input", [False, True])
def test_the_first_layer_sees_real_values_unless_told(name, binarize_input):
    net = NETWORKS[name](norm="batch", binarize_input=binarize_input, generator=random()).double()
    layers = [layer for layer in net.modules() if isinstance(layer, BinaryLinear | BinaryConv2d)]
    assert [layer.binarize_input for layer in layers] == [binarize_input] + [True] * (len(layers) - 1)
    x = normal(6, *SHAPES[name])
    signs = torch.where(x >= 0, 1.0, -1.0).double()
    assert torch.equal(net(x), net(signs)) == binarize_input


@every_network
def test_twins_have_the_same_shapes(name):
    binary, real = (NETWORKS[f"{kind} {name.split()[1]}"]() for kind in ("binary", "real"))
    assert [tuple(w.shape) for w in hidden_weights(binary)] == [tuple(w.shape) for w in hidden_weights(real)]
    assert [n.features for n in normalizations(binary)] == [n.features for n in normalizations(real)]
    assert len(hidden_weights(binary)) == len(normalizations(binary)) == sum(p.dim() > 1 for p in real.parameters())


@every_network
def test_the_generator_decides_weights_gains_and_nothing_else_does(name):
    policy = NormPolicy(gain_init=GainInit.UNIFORM)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (NETWORKS[name](norm=policy, generator=random(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    for left, right, different in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)
        assert not torch.equal(left, different) or not left.any()  # offsets all start at zero
    wide = NETWORKS[name](initialization=Initialization(Distribution.GAUSS, 30.0), generator=random(1))
    assert min(weight.std() for weight in hidden_weights(wide)) > 10


@every_network
@pytest.mark.parametrize("norm", ["running", Statistics.BATCH, "recalibrated", NormPolicy(Statistics.LAYER)])
def test_every_network_runs_with_every_policy_and_changes_no_input(name, norm):
    net = NETWORKS[name](norm=norm).double()
    x = normal(8, *SHAPES[name])
    before = x.clone()
    net(x).square().sum().backward()
    recalibrate(net, x)
    assert net.eval()(x).shape == (8, 3)
    assert torch.equal(x, before)
    statistics = norm.statistics if isinstance(norm, NormPolicy) else Statistics(norm)
    assert {layer.policy.statistics for layer in normalizations(net)} == {statistics}


@every_network
def test_a_state_dict_holds_the_hidden_weights_and_gives_the_same_logits(name):
    net, other = (NETWORKS[name](norm="running", generator=random(seed)).double() for seed in (1, 2))
    x = normal(8, *SHAPES[name])
    net(x).sum().backward()
    saved = net.state_dict()
    assert all(len(saved[key].abs().unique()) > 2 for key, value in net.named_parameters() if value.dim() > 1)
    other.load_state_dict(copy.deepcopy(saved))
    assert torch.equal(other.eval()(x), net.eval()(x))
    assert count(other) == count(net) > 0


def test_dropout_stands_before_hidden_linear_layers_and_its_zeros_survive():
    net = BinaryMLP([6, 50, 50, 3], norm="batch", dropout=0.5, generator=random())
    kinds = [type(layer) for layer in net.layers]
    block = [SignDropout, BinaryLinear, Normalization]
    assert kinds == [*block[1:], *block, *block]
    seen = []
    for layer in net.layers:
        if isinstance(layer, BinaryLinear):
            assert not layer.binarize_input
            layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].unique().tolist()))
    net(torch.randn(20, 6, generator=random()))
    assert seen[1:] == [[-1.0, 0.0, 1.0]] * 2
    seen.clear()
    net.eval()(torch.randn(20, 6, generator=random()))
    assert seen[1:] == [[-1.0, 1.0]] * 2


def test_dropout_masks_differ_between_layers_and_follow_the_generator():
    first, again, other = (BinaryMLP([4, 9, 9, 9, 2], dropout=0.5, generator=random(s)) for s in (1, 1, 2))

    def seeds(net):
        return [layer.generator.initial_seed() for layer in net.layers if isinstance(layer, SignDropout)]

    assert len(set(seeds(first))) == 3
    assert seeds(first) == seeds(again)
    assert seeds(first) != seeds(other)


def test_conv_nets_drop_hidden_linear_units_only():
    net = BinaryConvNet((2, 8, 8), BLOCKS, (7, 6), 3, dropout=0.5)
    assert sum(isinstance(layer, SignDropout) for layer in net.modules()) == 2
    assert not any(isinstance(layer, SignDropout) for layer in net.convolutions)
    assert [layer.binarize_input for layer in net.layers if isinstance(layer, BinaryLinear)] == [True, False, False]


@pytest.mark.parametrize("network", [BinaryMLP, RealMLP])
@pytest.mark.parametrize("sizes", [[], [5], [5, 0], [5, -3, 2]])
def test_bad_sizes_are_refused(network, sizes):
    with pytest.raises(ValueError, match="expected at least an input and an output width, all >= 1, got") as caught:
        network(sizes)
    assert str(sizes) in str(caught.value)


@pytest.mark.parametrize("network", [BinaryConvNet, RealConvNet])
def test_images_too_small_for_the_blocks_are_refused(network):
    message = r"expected images large enough for 3 blocks, got \(1, 8, 8\); use fewer blocks"
    with pytest.raises(ValueError, match=message):
        network((1, 8, 8), mnist_usps_blocks(), (), 10)


@pytest.mark.parametrize("network", [BinaryConvNet, RealConvNet])
@pytest.mark.parametrize("shape", [(4, 2, 28, 28), (28, 28), (1, 28, 28, 2)])
def test_images_of_another_size_are_refused(network, shape):
    net = network((1, 28, 28), mnist_usps_blocks((2, 2, 2)), (), 10, "layer")
    assert net(torch.zeros(4, 784)).shape == (4, 10)
    message = r"expected a batch of samples of 784 values, images of \(1, 28, 28\), got shape"
    with pytest.raises(ValueError, match=message):
        net(torch.zeros(shape))


def test_activations_are_found_by_name():
    assert isinstance(RealMLP([4, 3, 2], activation="tanh").layers[2], torch.nn.Tanh)
    with pytest.raises(ValueError, match="unknown activation 'tan'"):
        RealMLP([4, 3, 2], activation="tan")


def test_unknown_statistics_are_refused():
    with pytest.raises(ValueError, match=r"unknown statistics 'instance'; .*Known: batch, layer, none, recalib"):
        BinaryMLP([4, 2], norm="instance")


def test_diverged_training_reaches_the_loss():
    """No sign hides a value that is not a number from whoever looks at the loss."""
    net = BinaryMLP([4, 8, 8, 3], norm="batch")
    x = torch.randn(6, 4)
    x[0, 0] = torch.inf
    assert net(x).isnan().any()
    with torch.no_grad():
        net.layers[2].weight[0, 0] = torch.nan
    assert net(torch.randn(6, 4)).isnan().any()


def test_the_test_batchs_statistics_by_name_are_warned_of():
    with pytest.warns(UserWarning, match="predictions depend on how a test set is split"):
        BinaryMLP([4, 2], "batch")


def test_without_normalisation_a_real_network_is_torchs_own():
    """Linear layers with offsets, and torch's own initialisation."""
    net = RealMLP(
        [6, 5, 3],
        "none",
        initialization=Initialization(Distribution.FAN_IN),
        generator=torch.Generator().manual_seed(1),
    )
    twin = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), net.parameters(), strict=True):
            if value.dim() == 1:
                value.normal_(generator=torch.Generator().manual_seed(2))
            parameter.copy_(value)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(net(x), twin(x))
    weight = net.layers[0].weight
    assert 0.8 / 6**0.5 < weight.abs().max() <= 1 / 6**0.5


def test_without_normalisation_gain_and_offset_nothing_follows_a_layer():
    net = RealMLP([6, 5, 3], NormPolicy(statistics=Statistics.NONE, affine=False))
    assert [parameter.dim() for parameter in net.parameters()] == [2, 2]
