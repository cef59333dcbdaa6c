"""The demonstration: plain, metaplastic and joint learning of permuted digits, side by side."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from metaplastic.experiments.config import Config
from metaplastic.experiments.interrupt import resumed_by
from metaplastic.experiments.method_config import Method
from metaplastic.experiments.presets.digits import permuted_digits
from metaplastic.experiments.run import Result, resume, run
from metaplastic.experiments.stack import kept_record


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
        ValueError: When there is no seed, or a run that is there is of another configuration.
        Interrupted: After Ctrl-C, with a checkpoint written.
    """
    if seeds < 1:
        raise ValueError(f"expected at least 1 seed, got {seeds}")
    planned = [
        (f"{name}-seed{seed}", name, config) for seed in range(seeds) for name, config in demo_configs(seed).items()
    ]
    # All are looked at before one is trained, as nothing is to be trained for a table with a stranger in it.
    there = {place for place, _, config in planned if kept_record(config, folder / place)}
    results: dict[str, list[Result]] = {}
    for place, name, config in planned:
        before(f"{name}, seed {config.seed}")
        with resumed_by(f"the same command with --out {folder}"):
            result = resume(folder / place) if place in there else run(config, folder / place)
        results.setdefault(name, []).append(result)
    return results
