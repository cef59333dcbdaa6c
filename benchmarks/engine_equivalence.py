"""Do the engines train the same? Accuracy matrices and loss curves over seeds, against the noise of rounding.

    python benchmarks/engine_equivalence.py run FOLDER       # hours to minutes, depending on --epochs and --seeds
    python benchmarks/engine_equivalence.py compare FOLDER   # the numbers and the picture

Six permutations of MNIST, 784-1024-1024-10, metaplastic, normalisation kept per task (the preset permuted-mnist). The
yardstick is the plain engine against itself with its inputs multiplied by 1 + 1e-6: weights of two correct computations
part after a step, because Adam's first step is lr sign(g) and because pre-activations are integers that tie with the
batch mean; what can be compared is what comes of it.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from scipy import stats

from metaplastic.experiments import preset
from metaplastic.experiments.run import make_trial
from metaplastic.files import write_text
from metaplastic.learners import Engine, Moment
from metaplastic.nn import Precision
from metaplastic.report import style

VARIANTS: dict[str, tuple[Engine, Precision | None]] = {
    "plain": (Engine.PLAIN, None),
    "plain, inputs x (1 + 1e-6)": (Engine.PLAIN, None),
    "fast, gradients in float32": (Engine.FAST, Precision.EXACT),
    "fast, gradients in bfloat16": (Engine.FAST, Precision.FAST),
}
REFERENCE, NOISE = list(VARIANTS)[:2]
WINDOW = 50
"""Steps that a point of a loss curve is the mean of."""


def run(folder: Path, seeds: list[int], epochs: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for variant in VARIANTS:
            path = place(folder, variant, seed)
            if not path.exists():
                print(f"{variant}, seed {seed} ...", flush=True)
                write_text(path, json.dumps(trained(variant, seed, epochs)) + "\n")


def place(folder: Path, variant: str, seed: int) -> Path:
    words = "".join(letter if letter.isalnum() else " " for letter in variant).split()
    return folder / f"{'-'.join(words)}-seed{seed}.json"


def trained(variant: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train once; the counts of correct predictions after every task, and the curve of the loss."""
    config = dataclasses.replace(preset("permuted-mnist"), seed=seed, epochs=epochs)
    trial = make_trial(config)
    trial.evaluate_epochs = 0
    if variant == NOISE:
        trial.scenario = scaled(trial.scenario, 1 + 1e-6)
    losses = []
    with trial.accelerated(*VARIANTS[variant]) as chosen:
        trial.begin()
        for event, _ in trial.run():
            if event.moment is Moment.STEP:
                losses.append(event.loss)
    curve = np.array(losses).reshape(-1, WINDOW).mean(1)
    matrix = trial.matrix
    return {
        "variant": variant,
        "engine": chosen.as_json(),
        "seed": seed,
        "epochs": epochs,
        "correct": [list(stage) for stage in matrix.correct],
        "totals": list(matrix.totals),
        "loss": curve.tolist(),
    }


def scaled(scenario: Any, factor: float) -> Any:
    """Multiply every input by a number next to 1."""
    return scenario._with_views(lambda view: dataclasses.replace(view, scale=view.scale * factor))


def compare(folder: Path) -> None:
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*-seed*.json"))]
    runs = {variant: [one for one in found if one["variant"] == variant] for variant in VARIANTS}
    matrices = {name: np.array([one["correct"] for one in ones]) / 100 for name, ones in runs.items()}
    rows = {}
    for variant in list(VARIANTS)[1:]:
        rows[variant] = comparison(matrices[variant], matrices[REFERENCE], matrices[NOISE])
    seeds = [one["seed"] for one in runs[REFERENCE]]
    summary = {"seeds": seeds, "epochs": found[0]["epochs"], "against": REFERENCE, "variants": rows}
    summary["final"] = {
        name: {"mean": matrix[:, -1].mean(1).mean(), "sd": matrix[:, -1].mean(1).std(ddof=1)}
        for name, matrix in matrices.items()
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=2) + "\n")
    write_text(folder / "report.md", report(summary))
    print(report(summary))
    draw(runs, folder / "losses.png")


def comparison(ours: np.ndarray, plain: np.ndarray, noise: np.ndarray) -> dict[str, float]:
    """Compare accuracy matrices [seed, stage, test] in per cent, paired by seed.

    Only what was learned is compared: tests of later tasks are at chance.
    """
    learned = np.tril(np.ones(plain.shape[1:], dtype=bool))
    final = (ours - plain)[:, -1].mean(1)
    distance = np.sqrt(((ours - plain)[:, learned] ** 2).mean(1))
    noise_distance = np.sqrt(((noise - plain)[:, learned] ** 2).mean(1))
    same = bool((final == 0).all())
    return {
        "final difference": final.mean(),
        "final difference, sd": final.std(ddof=1),
        "final difference, p of a paired t-test": 1.0 if same else float(stats.ttest_1samp(final, 0).pvalue),
        "rms distance of matrices": distance.mean(),
        "rms distance of matrices, sd": distance.std(ddof=1),
        "rms distance of the noise": noise_distance.mean(),
        "further apart than the noise, p of a one-sided paired t-test": (
            1.0
            if np.array_equal(distance, noise_distance)
            else float(stats.ttest_rel(distance, noise_distance, alternative="greater").pvalue)
        ),
    }


def report(summary: dict[str, Any]) -> str:
    lines = [
        f"Six permutations of MNIST, 784-1024-1024-10, m = 3, normalisation kept per task, {summary['epochs']} epoch a "
        f"task, {len(summary['seeds'])} seeds. All differences are from the plain engine, paired by seed.",
        "",
        "| | final accuracy, % | difference | p, paired t-test | rms distance of the accuracy matrices | "
        "p of being further apart than the noise |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, final in summary["final"].items():
        cells = [f"{final['mean']:.1f} ± {final['sd']:.1f}", *[""] * 4]
        if name in summary["variants"]:
            one = summary["variants"][name]
            cells[1:] = [
                f"{one['final difference']:.2f} ± {one['final difference, sd']:.2f}",
                f"{one['final difference, p of a paired t-test']:.2f}",
                f"{one['rms distance of matrices']:.1f} ± {one['rms distance of matrices, sd']:.1f}",
                "" if name == NOISE else f"{one['further apart than the noise, p of a one-sided paired t-test']:.2f}",
            ]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    noise = (
        "The row of inputs x (1 + 1e-6) is the noise of rounding: it is what the plain engine differs from itself by."
    )
    return "\n".join([*lines, "", noise]) + "\n"


def draw(runs: dict[str, list[dict[str, Any]]], path: Path) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    with style.look():
        figure, (curves, differences) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
        colours = dict(zip(runs, plt.rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
        plain = np.array([one["loss"] for one in runs[REFERENCE]])
        steps = (np.arange(plain.shape[1]) + 0.5) * WINDOW
        for name, ones in runs.items():
            losses = np.array([one["loss"] for one in ones])
            curves.plot(steps, losses.mean(0), label=name, linewidth=1, color=colours[name])
            if name != REFERENCE:
                differences.plot(steps, (losses - plain).mean(0), linewidth=0.8, color=colours[name])
        curves.set(ylabel="training loss, mean of the seeds")
        figure.legend(loc="outside upper center", ncol=2, frameon=False)
        differences.set(xlabel="step", ylabel="loss less that of plain")
        figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("run", "compare"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.command == "run":
        run(options.folder, options.seeds, options.epochs)
    else:
        compare(options.folder)


if __name__ == "__main__":
    main()
