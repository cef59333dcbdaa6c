"""The fast engine against the plain one: what can be equal is equal, and nothing is left behind."""

import copy
import logging

import pytest
import torch
from torch.nn import functional

import metaplastic as mp
from metaplastic import native
from metaplastic.learners import Engine, Moment, Schedule, WithoutHooks, accelerated, learn
from metaplastic.learners.engine import has_fast_bfloat16, multiplies_integers_fast
from metaplastic.nn import (
    CIFAR_STREAM_BLOCKS,
    BinaryConvNet,
    IntegerProduct,
    Precision,
    RealMLP,
    clipped_straight_through,
    integer_mm,
)
from metaplastic.nn.arithmetic import integer_mm_bytes

pytestmark = pytest.mark.skipif(
    not (multiplies_integers_fast() and has_fast_bfloat16()),
    reason="the processor has no instructions for products of bytes and bfloat16, so the fast engine makes none",
)
RANDOM = torch.Generator().manual_seed(5)
PRODUCTS = "torch" if native.products is None else "native"


@pytest.fixture(scope="module")
def scenario():
    return mp.permuted(mp.load("digits"), tasks=2, seed=3)


def network(sizes=(64, 48, 33, 10), norm="layer", seed=1):
    return mp.BinaryMLP(list(sizes), norm=norm, generator=torch.Generator().manual_seed(seed))


def adam(net, **options):
    return mp.MetaplasticAdam(mp.param_groups(net, 5.0), lr=5e-3, **options)


@pytest.mark.parametrize("width", [1, 3, 64, 127, 1000])
@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize("outputs", [1, 2, 19])
def test_integer_products_are_exact(width, batch, outputs):
    left = torch.randint(-128, 128, (batch, width), dtype=torch.int8, generator=RANDOM)
    right = torch.randint(-1, 2, (outputs, width), dtype=torch.int8, generator=RANDOM)
    assert torch.equal(integer_mm(left, right), (left.long() @ right.long().t()).int())


def test_products_of_large_weights_are_exact():
    """Where the weight stands on the left."""
    left = torch.randint(-128, 128, (5, 2048), dtype=torch.int8, generator=RANDOM)
    right = torch.randint(-1, 2, (4096, 2048), dtype=torch.int8, generator=RANDOM)
    assert torch.equal(integer_mm(left, right), (left.double() @ right.double().t()).int())


@pytest.mark.parametrize("width", [1, 3, 64, 784])
def test_products_of_bytes_are_exact_at_both_ends(width):
    pixels = torch.randint(0, 256, (7, width), dtype=torch.uint8, generator=RANDOM)
    pixels[0], pixels[1] = 0, 255
    before = pixels.clone()
    signs = torch.randint(0, 2, (5, width), generator=RANDOM).mul(2).sub(1).to(torch.int8)
    assert torch.equal(integer_mm_bytes(pixels, signs), (pixels.long() @ signs.long().t()).int())
    assert torch.equal(pixels, before)


@pytest.fixture(params=["native", "torch"])
def products(request, monkeypatch):
    """Whose products and update an engine finds."""
    if request.param == "torch":
        monkeypatch.setattr(native, "products", None)
        monkeypatch.setattr(native, "update", None)
    elif native.products is None:
        pytest.skip("not compiled, or a processor without AVX-512")
    return request.param


@pytest.mark.parametrize("norm", ["layer", "running", "recalibrated"])
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.usefixtures("products")
def test_logits_and_losses_are_the_same_bits(scenario, norm, precision):
    plain, fast = network(norm=norm), network(norm=norm)
    rows = torch.arange(100)
    with accelerated(fast, adam(fast), scenario, Engine.FAST, precision) as chosen:
        shown = chosen.shown(scenario)
        assert (chosen.integer_layers, chosen.layers, chosen.bytes) == (3, 3, True)
        assert chosen.products == ("torch" if native.products is None else "native")
        inputs = shown.tasks[0].view.batch(rows)[0]
        assert inputs.dtype is torch.uint8
        assert torch.equal(fast(inputs), plain(scenario.tasks[0].view.batch(rows)[0]))


def gradients(net, view, penalty=None):
    inputs, labels = view.batch(torch.arange(100))
    net.zero_grad()
    loss = functional.cross_entropy(net(inputs), labels)
    (loss if penalty is None else loss + penalty(net)).backward()
    return [parameter.grad.double().clone() for parameter in net.parameters()]


@pytest.mark.parametrize(("precision", "error"), [(Precision.EXACT, 1e-6), (Precision.FAST, 1e-2)])
@pytest.mark.parametrize("penalty", [None, lambda net: sum((p**2).sum() for p in net.parameters())])
@pytest.mark.usefixtures("products")
def test_gradients_are_the_same_up_to_the_precision(scenario, precision, error, penalty):
    plain, fast = network(norm="recalibrated"), network(norm="recalibrated")
    expected = gradients(plain, scenario.tasks[0].view, penalty)
    with accelerated(fast, adam(fast), scenario, Engine.FAST, precision) as chosen:
        shown = chosen.shown(scenario)
        for _ in range(2):  # the second time the buffers are used again
            got = gradients(fast, shown.tasks[0].view, penalty)
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours - theirs).norm() <= error * theirs.norm()


def test_one_step_moves_the_same_weights_except_behind_a_tie(scenario, products):
    """Adam's first step is lr sign(g) wherever |g| is well above eps, so it shows any other difference at once.

    Native products add up in another order than float32 does elsewhere. What that does to a gradient near eps, the
    step lr g / (|g| + eps) enlarges by its slope; nothing else is allowed for.
    """
    plain, fast = network(norm="recalibrated"), network(norm="recalibrated")
    step = next(learn(plain, scenario, adam(plain), schedule=Schedule(epochs=1)))
    optimizer = adam(fast)
    with accelerated(fast, optimizer, scenario, Engine.FAST, Precision.EXACT) as chosen:
        shown = chosen.shown(scenario)
        assert next(learn(fast, shown, optimizer, schedule=Schedule(epochs=1))).loss == step.loss
    tied = _ties(network(norm="recalibrated"), scenario)
    layers = [layer for layer in plain.modules() if isinstance(layer, mp.BinaryLinear)]
    twins = [layer for layer in fast.modules() if isinstance(layer, mp.BinaryLinear)]
    for layer, twin, near in zip(layers, twins, tied, strict=True):
        difference = (layer.weight - twin.weight).abs()[:, ~near]
        assert difference.numel() > 0.9 * layer.weight.numel()
        eps, rounding = 1e-8 / 0.001**0.5, 2e-8 if products == "native" else 0.0
        slope = 5e-3 * eps / (layer.weight.grad.abs() + eps).square()
        assert (difference <= 1e-6 + rounding * slope[:, ~near]).all()


def _ties(net, scenario):
    """Units of each layer's input whose normalised value comes within 1e-5 of zero for some sample of the batch."""
    schedule = Schedule(epochs=1)
    inputs, _ = scenario.tasks[0].view.batch(schedule.batches(scenario.tasks[0], 0, 0)[0])
    near, x = [], inputs.flatten(1)
    for layer in net.layers:
        if isinstance(layer, mp.BinaryLinear):
            near.append((x.abs() < 1e-5).any(0) if near else torch.zeros(x.shape[1], dtype=torch.bool))
        x = layer(x)
    return near


def test_both_engines_count_the_same_correct_predictions(scenario):
    from metaplastic.evaluation import count_correct

    net = network()
    mp.train(net, scenario, adam(net), epochs=2)
    expected = count_correct(net, scenario)
    with accelerated(net, adam(net), scenario) as chosen:
        shown = chosen.shown(scenario)
        assert count_correct(net, shown) == expected
        assert count_correct(net, shown, batch_size=7) == expected
    assert min(expected) > 100


@pytest.mark.parametrize("norm", ["layer", "running", "recalibrated"])
def test_what_is_learned_is_as_good(scenario, norm):
    accuracy = {}
    for engine in Engine:
        net = network((64, 256, 10), norm=norm)
        accuracy[engine] = mp.train(net, scenario, adam(net), epochs=5, engine=engine).accuracy
    assert accuracy[Engine.PLAIN][0, 0] > 0.85
    assert abs(accuracy[Engine.PLAIN][0, 0] - accuracy[Engine.FAST][0, 0]) < 0.05


def test_network_and_optimizer_are_left_as_they_were_found(scenario):
    net = network()
    optimizer = adam(net)
    expected = copy.deepcopy(net.state_dict())

    def interrupted():
        with accelerated(net, optimizer, scenario) as chosen:
            shown = chosen.shown(scenario)
            inputs, labels = shown.tasks[0].view.batch(torch.arange(10))
            functional.cross_entropy(net(inputs), labels).backward()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(torch.equal(expected[name], tensor) for name, tensor in net.state_dict().items())
    assert all(layer.product is None for layer in net.modules() if isinstance(layer, mp.BinaryLinear))
    assert (optimizer.fused, optimizer.copies) == (False, {})
    net(scenario.tasks[0].view.batch(torch.arange(10))[0]).sum().backward()
    assert all(parameter.grad.dtype is torch.float32 for parameter in net.parameters())


def test_a_functional_call_computes_with_the_weights_that_it_brings(scenario):
    net = network()
    inputs = scenario.tasks[0].view.batch(torch.arange(10))[0]
    other = {name: -tensor.detach() for name, tensor in net.named_parameters() if name.endswith("weight")}
    expected = torch.func.functional_call(net, other, (inputs,))
    with accelerated(net, adam(net), scenario):
        assert torch.equal(torch.func.functional_call(net, other, (inputs,)), expected)


def test_numbers_given_to_a_layer_of_bytes_are_multiplied_as_numbers(scenario):
    net = network()
    inputs = scenario.tasks[0].view.batch(torch.arange(10))[0]
    expected = net(inputs)
    with accelerated(net, adam(net), scenario) as chosen:
        assert chosen.bytes
        assert torch.equal(net(inputs), expected)


@pytest.mark.parametrize("shape", [(48,), (2, 48), (2, 3, 48)])
def test_inputs_of_any_shape_are_multiplied(scenario, shape):
    net = network()
    x = torch.randn(shape, generator=RANDOM)
    expected = net.layers[2](x)
    with accelerated(net, adam(net), scenario):
        assert torch.equal(net.layers[2](x), expected)


def test_transforms_of_functions_take_the_plain_product(scenario):
    net = network()
    x = torch.randn(5, 64, generator=RANDOM)
    expected = torch.func.vmap(net.layers[2])(torch.ones(5, 48))
    jacobian = torch.func.jacrev(lambda x: net(x[None])[0])(x[0])
    with accelerated(net, adam(net), scenario):
        assert torch.equal(torch.func.vmap(net.layers[2])(torch.ones(5, 48)), expected)
        assert torch.equal(torch.func.jacrev(lambda x: net(x[None])[0])(x[0]), jacobian)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.usefixtures("products")
def test_inputs_of_another_precision_are_multiplied_as_without_an_engine(dtype):
    """As `torch.autocast` makes them between layers."""
    net = torch.nn.Sequential(mp.BinaryLinear(300, 16, binarize_input=True))
    x = torch.randn(7, 300, generator=RANDOM).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        expected = net(x)
        with accelerated(net, adam(net), engine=Engine.FAST):
            assert torch.equal(net(x), expected)
    with accelerated(net, adam(net), engine=Engine.FAST), pytest.raises(RuntimeError, match="dtype"):
        net(x.double())


def test_weights_that_are_replaced_are_noticed(scenario):
    net, other = network(), network(seed=9)
    with accelerated(net, adam(net), scenario) as chosen:
        inputs = chosen.shown(scenario).tasks[0].view.batch(torch.arange(10))[0]
        net(inputs)
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(other.parameters()), net.parameters())
        shown = net(inputs)
    assert torch.equal(shown, other(scenario.tasks[0].view.batch(torch.arange(10))[0]))


def test_a_copy_of_the_network_learns_by_itself(scenario):
    net = network()
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        next(learn(net, chosen.shown(scenario), optimizer, schedule=Schedule(epochs=1)))
        twin = copy.deepcopy(net)
        twin.load_state_dict(network(seed=9).state_dict())
        inputs = scenario.tasks[0].view.batch(torch.arange(10))[0]
        assert torch.equal(twin(inputs), network(seed=9)(inputs))
        twin(inputs).sum().backward()
        assert all(parameter.grad.dtype is torch.float32 for parameter in twin.parameters())


def test_a_copy_of_the_network_is_independent(scenario):
    net = network()
    inputs = scenario.tasks[0].view.batch(torch.arange(10))[0]
    with accelerated(net, adam(net), scenario):
        expected = net(inputs).detach()
        twin = copy.deepcopy(net)
        with torch.no_grad():
            twin.layers[2].weight.neg_()
        assert torch.equal(net(inputs), expected)
        assert not torch.equal(twin(inputs), expected)


def test_a_frozen_network_learns_by_its_normalisation_only(scenario):
    net = network(norm="recalibrated")
    for parameter in net.parameters():
        parameter.requires_grad_(parameter.dim() == 1)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        shown = chosen.shown(scenario)
        list(learn(net, shown, optimizer, schedule=Schedule(epochs=1)))
    same = [torch.equal(old, new) for old, new in zip(before, net.parameters(), strict=True)]
    assert same == [parameter.dim() == 2 for parameter in net.parameters()]


class Pull(WithoutHooks):
    """A learner whose penalty reaches the hidden weights besides the loss."""

    def __init__(self, net):
        self.net = net

    def curriculum(self, scenario):
        return scenario

    def penalty(self):
        return sum((weight**2).sum() for weight in self.net.parameters() if weight.dim() == 2)


def test_a_penalty_reaches_the_hidden_weights(scenario):
    losses = {}
    for engine in Engine:
        net = network()
        optimizer = adam(net)
        with accelerated(net, optimizer, scenario, engine) as chosen:
            shown = chosen.shown(scenario)
            events = learn(net, shown, optimizer, Pull(net), schedule=Schedule(epochs=2))
            losses[engine] = [event.loss for event in events if event.moment is Moment.EPOCH]
    assert losses[Engine.FAST] == pytest.approx(losses[Engine.PLAIN], rel=0.05)


@pytest.mark.parametrize(
    ("net", "expected"),
    [
        (
            RealMLP([64, 16, 10], norm="layer"),
            "update: fused, products in integers in 0 of 2 layers, gradients in float32",
        ),
        (
            BinaryConvNet((3, 32, 32), CIFAR_STREAM_BLOCKS, (8,), 10, norm="layer"),
            f"products in integers in 2 of 8 layers by {PRODUCTS} code, gradients in",
        ),
        (
            mp.BinaryMLP([64, 16, 10], norm="layer", binarize_input=True),
            f"products in integers in 2 of 2 layers by {PRODUCTS} code, grad",
        ),
        (
            mp.BinaryMLP([64, 16, 10], norm="layer", dropout=0.5),
            f"products in integers in 1 of 2 layers by {PRODUCTS} code, images as",
        ),
    ],
)
def test_other_networks_are_sped_up_as_far_as_they_allow(scenario, caplog, net, expected):
    with caplog.at_level(logging.INFO, logger="metaplastic"), accelerated(net, adam(net), scenario):
        pass
    assert expected in caplog.records[-1].getMessage()


def test_inputs_of_two_signs_are_not_shown_as_bytes_and_give_the_same_logits():
    scenario = mp.permuted(mp.load("digits").two_signed(), tasks=1)
    net = mp.BinaryMLP([64, 16, 10], norm="layer", binarize_input=True)
    inputs = scenario.tasks[0].view.batch(torch.arange(50))[0]
    expected = net(inputs)
    with accelerated(net, adam(net), scenario, Engine.FAST) as chosen:
        assert not chosen.bytes
        assert chosen.integer_layers == 2
        assert chosen.shown(scenario) is scenario
        assert torch.equal(net(inputs), expected)
    assert not torch.equal(net(inputs.abs()), expected)


def test_augmented_images_are_shown_as_bytes_and_give_the_same_logits():
    scenario = mp.stream(mp.load("digits"), 2, augment="flip-and-crop-or-rotate")
    net, rows = network(), torch.arange(100)
    expected = net(scenario.tasks[1].in_epoch(3).view.batch(rows)[0])
    with accelerated(net, adam(net), scenario, Engine.FAST) as chosen:
        assert chosen.bytes
        inputs, labels = chosen.shown(scenario).tasks[1].in_epoch(3).view.batch(rows)
        assert inputs.dtype is torch.uint8
        assert torch.equal(net(inputs), expected)
        assert torch.equal(labels, scenario.tasks[1].view.batch(rows)[1])
    assert not torch.equal(net(scenario.tasks[1].view.batch(rows)[0]), expected)


def test_another_optimizer_gets_gradients_in_float32(scenario):
    net = network()
    optimizer = torch.optim.Adam(net.parameters())
    with accelerated(net, optimizer, scenario) as chosen:
        shown = chosen.shown(scenario)
        assert (chosen.update, chosen.gradients, chosen.integer_layers) == ("optimizer", "float32", 3)
        list(learn(net, shown, optimizer, schedule=Schedule(epochs=1)))


def test_an_optimizer_of_ours_that_holds_a_part_leaves_gradients_in_float32(scenario):
    net = network()
    ours = mp.MetaplasticAdam([net.layers[0].weight])
    rest = torch.optim.Adam([parameter for parameter in net.parameters() if parameter is not net.layers[0].weight])
    with accelerated(net, ours, scenario) as chosen:
        assert chosen.gradients == "float32"
        inputs, labels = chosen.shown(scenario).tasks[0].view.batch(torch.arange(10))
        functional.cross_entropy(net(inputs), labels).backward()
        ours.step()
        rest.step()


def test_a_network_that_changes_its_input_is_given_numbers(scenario):
    class Centred(mp.BinaryMLP):
        def forward(self, x):
            return super().forward(x - 0.5)

    net, hooked = Centred([64, 16, 10], norm="layer"), network()
    hooked.register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
    for one in (net, hooked):
        with accelerated(one, adam(one), scenario) as chosen:
            assert not chosen.bytes
            assert chosen.shown(scenario) is scenario


def test_the_plain_engine_compiles_nothing(scenario):
    net = network()
    optimizer = adam(net, fused=True)
    with accelerated(net, optimizer, scenario, Engine.PLAIN) as chosen:
        assert (chosen.update, optimizer.fused) == ("blocks", False)
    assert optimizer.fused
    assert copy.deepcopy(optimizer).fused


def test_inputs_that_are_no_bytes_are_multiplied_in_float32(scenario):
    net = network()
    view = mp.Samples(torch.rand(200, 64), torch.arange(200) % 10)
    data = mp.Dataset("own", view, view, tuple("0123456789"))
    own = mp.stream(data, 2)
    with accelerated(net, adam(net), own) as chosen:
        shown = chosen.shown(own)
        assert (chosen.integer_layers, chosen.bytes) == (2, False)
        assert shown.tasks[0].view.batch(torch.arange(3))[0].dtype is torch.float32


def test_a_loop_of_ones_own_is_sped_up_without_a_scenario(scenario):
    losses = {}
    for engine in Engine:
        net = network()
        optimizer = adam(net)
        with mp.accelerated(net, optimizer, engine=engine) as chosen:
            assert chosen.integer_layers == (2 if engine is Engine.FAST else 0)
            for rows in torch.arange(1000).split(100):
                inputs, labels = scenario.tasks[0].view.batch(rows)
                optimizer.zero_grad()
                loss = functional.cross_entropy(net(inputs), labels)
                loss.backward()
                optimizer.step()
                losses.setdefault(engine, []).append(loss.item())
    assert losses[Engine.FAST][0] == losses[Engine.PLAIN][0]
    assert losses[Engine.FAST] == pytest.approx(losses[Engine.PLAIN], rel=0.3)


def test_engines_and_precisions_asked_for_by_name_that_cannot_be_had_are_errors(scenario):
    net = network()
    with pytest.raises(ValueError, match="expected precision 'exact' with engine 'plain'"):
        mp.train(net, scenario, adam(net), epochs=1, engine="plain", precision="fast")
    with pytest.raises(ValueError, match="expected an update that can be compiled for engine 'fast'"):
        mp.train(net, scenario, torch.optim.Adam(net.parameters()), epochs=1, engine="fast")
    with pytest.raises(ValueError, match="expected binary layers and a metaplastic optimizer for precision 'fast'"):
        mp.train(net, scenario, torch.optim.Adam(net.parameters()), epochs=1, precision="fast")
    with pytest.raises(ValueError, match="unknown engine 'fats'; did you mean 'fast'"):
        mp.train(net, scenario, adam(net), epochs=1, engine="fats")
    with pytest.raises(ValueError, match="unknown engine 'fats'; did you mean 'fast'"):
        accelerated(net, adam(net), engine="fats").__enter__()
    with accelerated(net, adam(net), engine="fast", precision="exact") as chosen:
        assert (chosen.engine, chosen.gradients) == (Engine.FAST, "float32")
    with accelerated(net, adam(net), engine="plain") as chosen:
        assert chosen.engine is Engine.PLAIN


@pytest.mark.parametrize("where", ["weight", "gain"])
def test_what_is_not_finite_reaches_the_loss_or_is_found_at_the_end_of_the_epoch(scenario, where):
    from metaplastic.learners import NonFiniteLossError

    net = network(norm="recalibrated")
    optimizer = adam(net)
    with accelerated(net, optimizer, scenario) as chosen:
        shown = chosen.shown(scenario)
        events = learn(net, shown, optimizer, schedule=Schedule(epochs=1))
        next(events)
        with torch.no_grad():
            (net.layers[2].weight if where == "weight" else net.layers[1].gain)[3] = torch.nan
        with pytest.raises(NonFiniteLossError):
            list(events)


def test_a_gradient_that_was_kept_is_added_to():
    weight = mp.HiddenWeight(torch.randn(3, 4, generator=RANDOM))
    weight.grad_dtype = torch.bfloat16
    product = IntegerProduct(weight, Precision.FAST, clipped_straight_through)
    assert product.serves(weight, torch.zeros(5, 4))
    x = torch.randn(5, 4, generator=RANDOM)
    product(x).sum().backward()
    once = weight.grad.clone()
    product(x).sum().backward()
    assert torch.equal(weight.grad, 2 * once)
