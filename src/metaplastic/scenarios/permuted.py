"""Permuted images: each task shuffles the pixels its own way."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from metaplastic.data import Dataset
from metaplastic.scenarios.scenario import Announced, Scenario, Task, Test
from metaplastic.scenarios.view import IndexView
from metaplastic.seeding import Purpose, generator


def permuted(
    dataset: Dataset,
    tasks: int | None = None,
    *,
    seed: int = 0,
    permute_first: bool = True,
    permutations: Sequence[Sequence[int] | np.ndarray | Tensor] | None = None,
    announced: Announced = Announced(),
) -> Scenario:
    r"""Make tasks that differ by a fixed permutation of their pixels.

    .. math:: x^{(t)}_i = x_{\pi_t(i)}

    One permutation :math:`\pi_t` per task, shared by training and test samples. All tasks use all classes and the
    same outputs.

    Args:
        dataset: Images of any shape.
        tasks: Number of tasks, >= 1; not given with explicit permutations.
        seed: Seed of the permutations.
        permute_first: Whether the first task is permuted too (as published) or shows the images as they are.
        permutations: The permutations themselves, one per task, instead of a seed.
        announced: What a learner is told.

    Returns:
        A domain-incremental scenario; task-incremental if the task is announced at test.

    Raises:
        ValueError: When there is no task, or a permutation is not one of all pixels.

    Example:
        >>> from metaplastic.data import load
        >>> scenario = permuted(load("digits"), tasks=3)
        >>> [task.name for task in scenario.tasks]
        ['permutation 1', 'permutation 2', 'permutation 3']

    References:
        Goodfellow et al. 2013, arXiv 1312.6211; Laborieux et al. 2021 (784 pixels, every task permuted).
    """
    pixels = dataset.train.inputs[0].numel()
    if permutations is not None and tasks not in (None, len(permutations)):
        raise ValueError(f"expected one permutation per task, got {len(permutations)} for {tasks} tasks; give only one")
    if permutations is None:
        if tasks is None or tasks < 1:
            raise ValueError(f"expected at least 1 task, got {tasks}; give tasks=... or permutations=...")
        orders = [_drawn(pixels, seed, index, permute_first) for index in range(tasks)]
    else:
        orders = [_checked(order, pixels) for order in permutations]
    views = [
        tuple(IndexView(part, dataset.scale, order, offset=dataset.offset) for part in (dataset.train, dataset.test))
        for order in orders
    ]
    names = [f"permutation {index + 1}" for index in range(len(orders))]
    return Scenario(
        name=f"permuted {dataset.name}",
        tasks=tuple(Task(name, view, tests=(i,)) for i, (name, (view, _)) in enumerate(zip(names, views, strict=True))),
        tests=tuple(Test(name, view, task=i) for i, (name, (_, view)) in enumerate(zip(names, views, strict=True))),
        announced=announced,
        classes=dataset.classes,
        input_shape=(pixels,),
        kind="task-incremental" if announced.task_at_test else "domain-incremental",
    )


def _drawn(pixels: int, seed: int, task: int, permute_first: bool) -> Tensor:
    if task == 0 and not permute_first:
        return torch.arange(pixels)
    return torch.randperm(pixels, generator=generator(seed, Purpose.PERMUTATION, task))


def _checked(order: Sequence[int] | np.ndarray | Tensor, pixels: int) -> Tensor:
    permutation = torch.as_tensor(order, dtype=torch.int64).clone()  # the caller may shuffle an array on
    if permutation.sort().values.tolist() != list(range(pixels)):
        raise ValueError(
            f"expected a permutation of 0 to {pixels - 1}, got {len(permutation)} entries, "
            f"{permutation.unique().numel()} of them different; each pixel must occur once"
        )
    return permutation
