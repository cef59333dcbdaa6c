"""The paper's size of every study against a transcription of the table of the authors' commands."""

import pytest

from metaplastic.experiments import Size, study
from metaplastic.experiments.config import Reset
from metaplastic.experiments.method_config import Method, Penalty
from metaplastic.learners import FisherKind, Weights
from metaplastic.nn import GainInit, Scope, Statistics

# panel: m, decay, epochs, batch, hidden, reset per task, normalisation kept per task, tasks
FIG_2 = {
    name: (m, 1e-7, 40, 100, (4096, 4096), True, True, 6) for name, m in zip("abcd", (0, 0.5, 1, 1.35), strict=True)
}
COMMANDS = {
    "fig2": FIG_2,
    "fig2f": {f"m{row[0]:g}": row for row in FIG_2.values()},
    "table1": {
        name: FIG_2["d"] if name == "metaplastic" else FIG_2["a"] for name in ("plain", "random", "ewc", "metaplastic")
    },
    "fig3": {
        f"{kind}-{width}": (m, 1e-8, 40, 100, (width, width), sequence, sequence, 10)
        for width in (512, 1024, 2048, 4096)
        for kind, m, sequence in (
            ("metaplastic", 1.35, True),
            ("ewc", 0, True),
            ("interleaved", 0, False),
            ("interleaved-metaplastic", 1.35, False),
        )
    },
    "fig4ab": {name: (m, 1e-7, 50, 100, (4096, 4096), True, True, 2) for name, m in (("a", 0), ("b", 1.5))},
    "fig4ab-reversed": {name: (m, 1e-7, 50, 100, (4096, 4096), True, True, 2) for name, m in (("a", 0), ("b", 1.5))},
    "fig5-fashion": {
        name: (m, 1e-7, 20, 100, (1024, 1024), False, False, parts)
        for name, m, parts in (
            *(("plain", 0, 60), ("metaplastic", 2.5, 60)),
            *(("whole", 0, 1), ("whole-metaplastic", 2.5, 1)),
        )
    },
    "fig4cd": {
        name: (m, decay, 240, 20, (), False, False, tasks)
        for name, m, decay, tasks in (
            ("c", 1.2, 1e-8, 2),
            ("d", 1.2, 1e-8, 2),
            ("mnist-alone", 0, 0, 1),
            ("usps-alone", 0, 0, 1),
        )
    },
    "fig4ef": {name: (m, 1e-8, 10, 100, (2048,), True, True, 2) for name, m in (("e", 0), ("f", 1.8))},
    "fig4gh": {name: (m, 0, 20, 20, (2048, 2048), True, False, 2) for name, m in (("g", 0), ("h", 1.3))},
    "fig5-cifar": {
        name: (m, 0, 200, 64, (2048, 2048), False, False, parts)
        for name, m, parts in (
            *(("plain", 0, 20), ("metaplastic", 13, 20)),
            *(("whole", 0, 1), ("whole-metaplastic", 13, 1)),
        )
    },
    "fig6ce": {"cde": (1.35, 1e-7, 40, 100, (1024, 1024), False, False, 1)},
}


NORMS = {
    **dict.fromkeys(
        ("fig2", "table1", "fig3", "fig4ab", "fig4ab-reversed", "fig4ef", "fig6ce"), (Statistics.RECALIBRATED, True)
    ),
    **dict.fromkeys(("fig2f", "fig5-cifar"), (Statistics.RUNNING, True)),
    "fig5-fashion": (Statistics.RUNNING, False),
    "fig4cd": (Statistics.BATCH, False),
    "fig4gh": (Statistics.LAYER, False),
}
"""Statistics, and whether there are gain and offset; exact statistics stand for the authors' running ones."""


def tasks(scenario):
    return getattr(scenario, "tasks", None) or getattr(scenario, "parts", None) or len(scenario.data)


@pytest.mark.parametrize(("name", "panel"), [(name, panel) for name, rows in COMMANDS.items() for panel in rows])
def test_a_panel_has_the_settings_of_the_authors_command(name, panel):
    config = study(name, Size.PAPER).panels[panel].config
    assert (
        config.optimizer.metaplasticity[0],
        config.optimizer.weight_decay,
        config.epochs,
        config.batch_size,
        config.network.hidden,
        config.optimizer.reset_optimizer is Reset.TASK,
        config.norm.scope is Scope.PER_TASK,
        tasks(config.scenario),
    ) == COMMANDS[name][panel]
    assert (config.norm.statistics, config.norm.affine) == NORMS[name]
    assert config.running.test_batch == (100 if name == "fig4cd" else 1000)
    cifar = name == "fig5-cifar"
    assert config.optimizer.lr == (1e-4 if cifar else 0.005)
    assert config.network.distribution.value == ("xavier" if cifar else "uniform")
    assert config.network.init_width == 0.1
    assert config.network.dropout == (0.5 if cifar else 0.0)
    held = config.method in (Method.EWC, Method.RANDOM_CONSOLIDATION)
    assert config.penalty == (Penalty(strength=5000.0) if held else Penalty())
    assert config.norm.gain_init is GainInit.ONES
    assert config.network.binarize_input == (name in ("fig4cd", "fig4ef", "fig4gh"))


def test_what_a_penalty_is_unless_it_says_otherwise():
    """As in the authors' code: per-sample gradients of true labels, of 5,000 samples, on binary weights."""
    assert Penalty(strength=5000.0) == Penalty(
        strength=5000.0, weights=Weights.BINARY, fisher=FisherKind.EMPIRICAL, fisher_samples=5000
    )


def test_the_rest_of_the_table():
    assert next(panel.config.scenario.data for panel in study("fig4ab-reversed", Size.PAPER).panels.values()) == (
        "fashion-mnist",
        "mnist",
    )
    assert {panel.config.norm.statistics for panel in study("fig2f", Size.PAPER).panels.values()} == {
        Statistics.RUNNING
    }
    channels = {name: panel.config.network.channels for name, panel in study("fig4cd", Size.PAPER).panels.items()}
    assert (channels["c"], channels["d"], channels["usps-alone"]) == ((12, 20, 30), (10, 15, 20), (6, 10, 15))
    few = study("fig4cd", Size.PAPER).panels["c"].config
    assert few.scenario.samples == (2000, 1800)
    probe = study("fig6ce", Size.PAPER).panels["cde"]
    assert (probe.counts, probe.draws, probe.samples) == ((1000, 2000, 100), 100, 60_000)
    assert all(panel.config.method is Method.JOINT for name, panel in study("fig3").panels.items() if "inter" in name)
    plain, told = (study("table1").panels[name].config for name in ("unannounced", "metaplastic"))
    assert plain.scenario.announced != told.scenario.announced
