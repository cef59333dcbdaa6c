"""The chain of beakers: the published step element by element, its special cases, and what it refuses."""

import math

import pytest
import torch
from torch import nn

from metaplastic.hidden_weight import HiddenWeight
from metaplastic.optim import BeakerAdam, Beakers, EpsPlacement, MetaplasticAdam, PowerLaw, exchange, shell

CLOSED = Beakers((0.0, 0.0, 0.0), (1.0, 2.0, 4.0), feedback=0.0)
FAST = Beakers((0.3, 0.2, 0.1, 0.05), (1.0, 0.9, 0.7, 0.8), feedback=0.2)
CHAINS = [FAST, Beakers(), Beakers((0.4, 0.3), (1.0, 1.5), 0.1), Beakers((0.25,), (1.0,), 0.3)]


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def trained(build, steps=50, shape=(7, 5), dtype=torch.float64):
    weight = HiddenWeight(drawn(*shape, seed=1, dtype=dtype))
    optimizer = build([weight])
    for gradient in drawn(steps, *shape, seed=2, dtype=dtype):
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach(), optimizer


def published(weight, gradients, chain, m, lr, decay, betas=(0.9, 0.999), eps=1e-8):
    """One synapse by the published code, number by number; a beaker that never moves from 0 closes the chain."""
    n, r, a = len(chain.conductances), chain.conductances, chain.cross_sections
    before, first, second = [weight] * n + [0.0], 0.0, 0.0
    for step, gradient in enumerate(gradients, start=1):
        slope = gradient + decay * before[0]
        first = betas[0] * first + (1 - betas[0]) * slope
        second = betas[1] * second + (1 - betas[1]) * slope**2
        size = lr * math.sqrt(1 - betas[1] ** step) / (1 - betas[0] ** step)
        after = list(before)
        after[0] += -size * first / (math.sqrt(second) + eps) + r[0] / a[0] * (before[1] - before[0])
        if (before[n - 1] - before[0]) * before[n - 1] > 0:
            after[0] += chain.feedback * (before[n - 1] - before[0])
        for k in range(1, n):
            inflow = r[k - 1] / a[k] * (before[k - 1] - before[k])
            if k == n - 1 and (before[k - 1] - before[k]) * before[k] < 0:
                inflow *= 1 - math.tanh(m * before[k]) ** 2
            after[k] += inflow + r[k] / a[k] * (before[k + 1] - before[k])
        before = after
    return before[:-1]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{len(chain.conductances)} beakers")
@pytest.mark.parametrize("m", [0.0, 1.35])
def test_it_is_the_published_step_of_every_synapse(chain, m):
    weight, optimizer = trained(
        lambda params: BeakerAdam(params, lr=0.05, weight_decay=1e-2, metaplasticity=m, beakers=chain)
    )
    starts, gradients = drawn(7, 5, seed=1), drawn(50, 7, 5, seed=2)
    rows = [
        published(start.item(), gradients[:, i, j].tolist(), chain, m, 0.05, 1e-2)
        for i, row in enumerate(starts)
        for j, start in enumerate(row)
    ]
    expected = torch.tensor(rows, dtype=torch.float64).T.reshape(-1, 7, 5)
    assert len({tuple(level.flatten().tolist()) for level in expected}) == len(chain.conductances)
    levels = optimizer.levels(next(iter(optimizer.state)))
    torch.testing.assert_close(torch.stack(levels), expected, rtol=0, atol=1e-12)
    assert torch.equal(levels[0], weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("placement", EpsPlacement)
def test_with_all_pipes_closed_and_no_feedback_it_is_adam_bit_for_bit(dtype, placement):
    options = {"lr": 5e-3, "weight_decay": 1e-2, "eps_placement": placement}
    ours, optimizer = trained(
        lambda params: BeakerAdam(params, metaplasticity=3.0, beakers=CLOSED, **options), dtype=dtype
    )
    adam, _ = trained(lambda params: MetaplasticAdam(params, metaplasticity=0.0, **options), dtype=dtype)
    assert torch.equal(ours, adam)
    first, *others = optimizer.levels(next(iter(optimizer.state)))
    start = drawn(7, 5, seed=1, dtype=dtype)
    assert not torch.equal(first, start)
    assert len(others) == 2
    assert all(torch.equal(level, start) for level in others)


def test_other_parameters_are_moved_by_adam_and_have_no_chain():
    gains = [nn.Parameter(drawn(5)) for _ in range(2)]
    weight = HiddenWeight(drawn(5))
    ours = BeakerAdam([{"params": [weight]}, {"params": gains[:1], "metaplasticity": 0.0}], beakers=FAST)
    adam = torch.optim.Adam(gains[1:], lr=5e-3)
    for gradient in drawn(20, 5, seed=3):
        for gain in gains:
            gain.grad = gradient.clone()
        ours.step()
        adam.step()
    torch.testing.assert_close(gains[0], gains[1], rtol=0, atol=1e-6)
    assert not torch.equal(gains[0], drawn(5))
    assert set(ours.state[gains[0]]) == {"step", "first_moment", "second_moment"}
    assert len(ours.levels(gains[0])) == 1


def test_all_hidden_gives_a_chain_to_every_parameter_of_its_group():
    weight = nn.Parameter(torch.ones(2))
    optimizer = BeakerAdam([{"params": [weight], "all_hidden": True}], beakers=FAST)
    weight.grad = torch.ones(2)
    optimizer.step()
    assert len(optimizer.levels(weight)) == 4


def test_one_beaker_alone_leaks_at_conductance_over_cross_section():
    weight = HiddenWeight(torch.tensor([2.0, -3.0], dtype=torch.float64))
    optimizer = BeakerAdam([weight], lr=0.0, metaplasticity=5.0, beakers=Beakers((0.2,), (4.0,), feedback=0.5))
    for _ in range(30):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
    expected = torch.tensor([2.0, -3.0], dtype=torch.float64) * (1 - 0.2 / 4) ** 30
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-13, atol=0)


def levels_of(chain, seed=4):
    return list(drawn(len(chain.conductances), 200, seed=seed))


def content(levels, chain):
    return sum(area * level for area, level in zip(chain.cross_sections, levels, strict=True))


def evened(levels, chain, steps, m=0.0):
    for _ in range(steps):
        changes = exchange(levels, chain, m)
        levels = [level + change for level, change in zip(levels, changes, strict=True)]
    return levels


def test_a_closed_chain_conserves_its_content_and_evens_out():
    chain = Beakers((0.3, 0.2, 0.1, 0.0), (1.0, 0.9, 0.7, 0.8), feedback=0.0)
    start = levels_of(chain)
    end = evened(start, chain, 500)
    torch.testing.assert_close(content(end, chain), content(start, chain), rtol=0, atol=1e-13)
    for level in end:
        torch.testing.assert_close(level, content(start, chain) / sum(chain.cross_sections), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("chain", "m"),
    [
        (Beakers((0.3, 0.2, 0.1), (1.0, 0.9, 0.7), feedback=0.0), 0.0),
        (Beakers((0.3, 0.2, 0.0), (1.0, 0.9, 0.7), feedback=0.1), 0.0),
        (Beakers((0.3, 0.2, 0.0), (1.0, 0.9, 0.7), feedback=0.0), 2.0),
    ],
    ids=["leak", "feedback", "metaplasticity"],
)
def test_leak_feedback_and_metaplasticity_each_change_the_content(chain, m):
    start = levels_of(chain)
    assert (content(evened(start, chain, 1, m), chain) - content(start, chain)).abs().max() > 1e-3


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{len(chain.conductances)} beakers")
@pytest.mark.parametrize("m", [0.0, 2.0])
def test_no_level_leaves_the_range_of_zero_and_all_levels(chain, m):
    start = levels_of(chain)
    low, high = torch.stack([torch.zeros(200, dtype=torch.float64), *start]).aminmax(dim=0)
    for level in evened(start, chain, 20, m):
        assert (low - 1e-15 <= level).all()
        assert (level <= high + 1e-15).all()


def test_the_last_beaker_resists_what_would_shrink_it_and_nothing_else():
    chain = Beakers((0.4, 0.0), (1.0, 1.0), feedback=0.0)
    last = torch.tensor([2.0, 2.0, -2.0, -2.0, 2.0, 0.0], dtype=torch.float64)
    first = torch.tensor([1.0, 3.0, -1.0, -3.0, -1.0, 1.0], dtype=torch.float64)
    frozen = lambda hidden, m: torch.zeros_like(hidden)  # noqa: E731
    given, taken = exchange([first, last], chain, 1.0, frozen)
    torch.testing.assert_close(taken, 0.4 * torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(given, 0.4 * (last - first))


def test_feedback_draws_only_towards_a_larger_magnitude_of_the_sign_of_the_last():
    chain = Beakers((0.0, 0.0), (1.0, 1.0), feedback=0.5)
    last = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0, 0.0], dtype=torch.float64)
    first = torch.tensor([1.0, 3.0, -1.0, -1.0, -3.0, 1.0, 1.0], dtype=torch.float64)
    changes, rest = exchange([first, last], chain, 0.0)
    assert changes.tolist() == [0.5, 0.0, 1.5, -0.5, 0.0, -1.5, 0.0]
    assert not rest.any()


def test_groups_may_differ_in_chain_strength_and_function():
    weights = [HiddenWeight(torch.ones(3, dtype=torch.float64)) for _ in range(2)]
    options = {"beakers": FAST, "metaplasticity": 2.0, "consolidation": PowerLaw(1.0)}
    optimizer = BeakerAdam([{"params": weights[:1], **options}, {"params": weights[1:]}], lr=0.1)
    for _ in range(5):
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        optimizer.step()
    alone = HiddenWeight(torch.ones(3, dtype=torch.float64))
    other = BeakerAdam([alone], lr=0.1, **options)
    for _ in range(5):
        alone.grad = torch.ones_like(alone)
        other.step()
    for ours, theirs in zip(optimizer.levels(weights[0]), other.levels(alone), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(optimizer.levels(weights[1])[-1], other.levels(alone)[-1])


def test_blocks_of_any_size_make_the_same_step(monkeypatch):
    def build(params):
        return BeakerAdam(params, beakers=FAST, weight_decay=1e-2)

    whole, _ = trained(build, shape=(37, 5))
    monkeypatch.setattr(shell, "_BLOCK", 16)
    cut, _ = trained(build, shape=(37, 5))
    assert torch.equal(whole, cut)


def test_gradients_in_bfloat16_move_a_weight_in_float32():
    weights = [HiddenWeight(drawn(6, dtype=torch.float32)) for _ in range(2)]
    weights[0].grad_dtype = torch.bfloat16
    for weight in weights:
        gradient = drawn(6, seed=5).bfloat16()
        weight.grad = gradient.to(weight.grad_dtype or weight.dtype)
        BeakerAdam([weight], beakers=FAST).step()
    assert weights[0].dtype == torch.float32
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], drawn(6, dtype=torch.float32))


def test_clearing_the_state_begins_a_new_chain_at_the_weight_of_that_moment():
    weight = HiddenWeight(torch.ones(3))
    optimizer = BeakerAdam([weight], lr=0.5, beakers=CLOSED)
    weight.grad = torch.ones(3)
    optimizer.step()
    moved = weight.detach().clone()
    assert [level.tolist() for level in optimizer.levels(weight)[1:]] == [[1.0] * 3] * 2
    optimizer.state.clear()
    assert len(optimizer.levels(weight)) == 1
    optimizer.step()
    assert all(torch.equal(level, moved) for level in optimizer.levels(weight)[1:])
    assert not torch.equal(weight, moved)


def test_in_a_long_chain_an_imprint_fades_as_one_over_the_root_of_time():
    beakers = 8
    chain = Beakers(tuple(2.0 ** -(k + 2) for k in range(beakers)), tuple(2.0**k for k in range(beakers)), feedback=0.0)
    levels = [torch.tensor([float(k == 0)], dtype=torch.float64) for k in range(beakers)]
    trace = []
    for _ in range(1000):
        levels = evened(levels, chain, 1)
        trace.append(levels[0].item())
    slopes = [math.log10(trace[10 * time - 1] / trace[time - 1]) for time in (10, 30, 100)]
    assert slopes == pytest.approx([-0.5] * 3, abs=0.04), slopes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), ()), "expected one conductance and one cross-section per beaker, at least one, got 0 conductances and 0"),
        (((0.1, 0.1), (1.0,)), "got 2 conductances and 1 cross-sections; give both, as many of one as of the other"),
        (((-0.1,), (1.0,)), r"expected finite conductances from 0, got \(-0.1,\); use 0 to close a pipe"),
        (((math.nan,), (1.0,)), r"expected finite conductances from 0, got \(nan,\)"),
        (((0.1,), (0.0,)), r"expected finite cross-sections above 0, got \(0.0,\)"),
        (((0.1,), (math.inf,)), r"expected finite cross-sections above 0, got \(inf,\)"),
        (((0.1,), (1.0,), -1.0), "expected a finite feedback from 0, got -1.0; use 0 for none"),
        (((0.1,), (1.0,), math.nan), "expected a finite feedback from 0, got nan"),
        (((0.6,), (1.0,), 0.5), "by at most its distance in a step, got 1.1 of it in beaker 0; use smaller"),
        (((0.5, 0.6), (1.0, 1.0)), "got 1.1 of it in beaker 1"),
    ],
)
def test_a_chain_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Beakers(*arguments)


def test_levels_of_another_chain_are_refused():
    with pytest.raises(ValueError, match="expected a level per beaker, 4, got 2; give the hidden weight and the"):
        exchange([torch.zeros(1), torch.zeros(1)], Beakers(), 0.0)


def test_the_chain_of_the_authors_is_the_default():
    assert Beakers() == Beakers((1e-2, 1e-3, 1e-4, 1e-5), (1.0, 2.0, 4.0, 8.0), 5e-3)
    assert BeakerAdam([HiddenWeight(torch.zeros(1))]).defaults["beakers"] == Beakers()


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="expected lr to be a finite number from 0, got -1"):
        BeakerAdam([HiddenWeight(torch.zeros(1))], lr=-1.0)
    with pytest.raises(ValueError, match="expected at least one hidden weight, got 1 parameters"):
        BeakerAdam([nn.Parameter(torch.zeros(1))])
