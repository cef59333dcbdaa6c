"""What is measured, at a size where it takes no time; the figures themselves are a machine's."""

import json

import pytest
from rich.console import Console

from metaplastic import cli
from metaplastic.benchmark import Workload, bench, tables
from metaplastic.benchmark.measurements import CURVES, Curve, bench_curves, bench_epoch, bench_stack, floor
from metaplastic.benchmark.pairing import SubjectSpec, ratio, take_turns, working
from metaplastic.benchmark.worker import make, peak_bytes

TINY = Workload(hidden=(8,), batch_size=10, tasks=2, rounds=2, repeats=1)


@pytest.fixture(scope="module")
def found():
    said = []
    measured = bench(TINY, said.append, repeats=2)
    assert len(said) == 5
    return measured


def test_everything_is_measured_for_every_subject(found):
    assert set(found["seconds"]) == {"published", "tuned", "plain", "exact", "fast"}
    for stages in found["seconds"].values():
        assert {"forward", "backward", "optimizer", "step"} <= set(stages)
        assert all(0 < spread["low"] <= spread["median"] <= spread["high"] for spread in stages.values())
    assert all(size >= 0 for size in found["peak_bytes"].values())  # beyond an empty process, which may have held more
    assert {"published / fast", "tuned / fast"} <= set(found["step_ratios"])
    assert {"published / fast", "tuned / plain"} <= set(found["update_ratios"])
    assert json.loads(json.dumps(found)) == found


def test_the_peak_of_memory_is_that_of_the_process():
    assert 5e7 < peak_bytes() < 1e12  # torch alone takes more than the lower


def test_the_tables_show_them(found):
    console = Console(width=200, record=True)
    for table in tables(found):
        console.print(table)
    text = console.export_text()
    for words in ("784-8-10, batch 10, 1 threads, 2 rounds", "step, published / this", "update alone", "fast / floor"):
        assert words in text


def test_the_command_writes_what_it_measured(monkeypatch, tmp_path, capsys, found):
    from metaplastic import benchmark

    monkeypatch.setattr(benchmark, "bench", lambda work, say: found | {"workload": work.as_json()})
    cli.main(["bench", "--hidden", "8", "--rounds", "2", "--out", str(tmp_path / "bench.json")])
    assert json.loads((tmp_path / "bench.json").read_text())["workload"]["hidden"] == [8]
    assert "bench.json" in capsys.readouterr().out


def test_epochs_are_measured_with_their_tests():
    measured = bench_epoch(TINY, 2, lambda _: None, train=40, test=20)
    for one in measured["epoch_seconds"].values():
        assert one["epoch"]["low"] >= one["training"]["low"] + one["tests"]["low"] - 1e-9
    assert 0 < measured["tests_share"] < 1
    assert measured["epoch_ratio"]["median"] > 0


def test_a_stack_is_measured_against_its_members():
    measured = bench_stack(TINY, 2, lambda _: None)
    assert measured["members"] == 2
    assert set(measured["seconds"]) == {"stack", "alone"}
    assert 0 < measured["gain"]["low"] <= measured["gain"]["median"] <= measured["gain"]["high"]


def test_curves_are_measured(monkeypatch):
    monkeypatch.delitem(CURVES, "width")
    monkeypatch.setitem(CURVES, "batch_size", ("step", (2,)))
    monkeypatch.setitem(CURVES, "tasks", ("evaluation", (1, 2)))
    curves = bench_curves(TINY, lambda _: None)["curves"]
    assert list(curves) == ["batch_size", "tasks"]
    assert all(min(curve["seconds"]) > 0 and min(curve["bytes"]) >= 0 for curve in curves.values())


def test_exponents_are_those_of_the_upper_half():
    curve = Curve("width", (1, 2, 4, 8, 16, 32), (1.0,) * 6, (1,) * 6)
    assert curve.exponent((5.0, 5.0, 5.0, 8.0**3, 16.0**3, 32.0**3)) == pytest.approx(3.0)


def test_ratios_are_taken_round_by_round():
    spread = ratio([2.0, 20.0, 200.0], [1.0, 10.0, 50.0])
    assert (spread.median, spread.low, spread.high) == (2.0, 2.0, 3.0)


def test_the_floor_is_products_and_bytes_at_the_rates_of_the_machine():
    work = Workload(hidden=(10,), batch_size=7)
    rates = {"int8": 1e3, "bfloat16": 1e2, "float32": 1.0, "memory": 1e4}
    first, second = 7840, 100
    products = 2 * 7 * (first + second) / 1e3 + 2 * 7 * (first + 2 * second) / 1e2
    assert floor(work, rates)["products"] == pytest.approx(products)
    assert floor(work, rates)["update"] == pytest.approx((29 * (first + second) + 2 * second) / 1e4)


@pytest.mark.parametrize("size", [10, 700, 4000, 6001])
def test_a_step_takes_as_many_samples_as_it_is_said_to(size):
    ours = make("fast", Workload(hidden=(8,), batch_size=size, tasks=1).options())
    with ours.stack:
        assert {len(rows) for rows in ours.schedule.batches(ours.scenario.tasks[0], 0, 0)} == {size}


def test_a_worker_that_fails_is_an_error_with_its_traceback():
    spec = SubjectSpec("plain", TINY.options())
    with working({"one": spec}, 1) as workers, pytest.raises(RuntimeError, match=r"(?s)Traceback.*attribute 'dance'"):
        take_turns(workers, "dance", 1, 1)


def test_a_worker_that_the_system_ends_is_an_error_with_its_status():
    spec = SubjectSpec("plain", TINY.options())
    with working({"one": spec}, 1) as workers:
        workers["one"].process.kill()
        workers["one"].process.wait()
        with pytest.raises(ChildProcessError, match="got its end with status -9; systems end what takes more memory"):
            workers["one"].measure("step")


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"hidden": ()}, {"hidden": (0,)}, {"threads": -1}, {"threads": 2**40}]
)
def test_impossible_workloads_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Workload(**wrong)
