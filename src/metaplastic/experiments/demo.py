"""The demonstration: plain, metaplastic and joint learning of permuted digits, side by side."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metaplastic.experiments.config import Config
from metaplastic.experiments.interrupt import resumed_by
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.presets.digits import permuted_digits
from metaplastic.experiments.run import Result, resume, run


def demo_configs(seed: int) -> dict[str, Config]:
    """Make the configurations that are compared, on the same permutations.

    Args:
        seed: Seed of everything drawn.

    Returns:
        Configurations by name: plain, metaplastic, joint.
    """
    metaplastic = replace(permuted_digits(), seed=seed)
    plain = replace(metaplastic, optimizer=replace(metaplastic.optimizer, metaplasticity=(0.0,)))
    joint = replace(plain, method=Method.JOINT)
    named = {"plain": plain, "metaplastic": metaplastic, "joint": joint}
    return {name: replace(config, name=f"demo-{name}") for name, config in named.items()}


def run_demo(folder: Path, seeds: int, before: Callable[[str], None]) -> dict[str, list[Result]]:
    """Run the demonstration.

    Args:
        folder: Folder for the runs, one inside it for each; those that are there already are gone on with.
        seeds: Number of seeds, from 0, >= 1.
        before: Called with a title before each run.

    Returns:
        Results by name, one per seed.

    Raises:
        ValueError: When there is no seed.
        Interrupted: After Ctrl-C, with a checkpoint written.
    """
    if seeds < 1:
        raise ValueError(f"expected at least 1 seed, got {seeds}")
    results: dict[str, list[Result]] = {}
    for seed in range(seeds):
        for name, config in demo_configs(seed).items():
            before(f"{name}, seed {seed}")
            inside = folder / f"{name}-seed{seed}"
            with resumed_by(f"the same command with --out {folder}"):
                result = resume(inside) if (inside / "config.json").exists() else run(config, inside)
            results.setdefault(name, []).append(result)
    return results
