"""Views: samples as tasks and tests show them to a network."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64, Shaped
from torch import Tensor

from metaplastic.data import Samples


@runtime_checkable
class View(Protocol):
    """Samples as a task shows them to a network."""

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Tensor, Tensor]:
        """Return inputs `[batch, ...]`, as the network takes them, and labels `[batch]` of some rows.

        Rows lie where the network does.
        """
        ...

    def to(self, device: torch.device) -> "View":
        """Return the view with its tensors on a device."""
        ...


@dataclass(frozen=True)
class IndexView:
    """Samples seen through index operations: nothing is copied until a batch is asked for.

    Args:
        samples: The samples, as they lie in memory; views may share them.
        scale: What every entry of an input is multiplied by; None shows entries as they are stored.
        permutation: `[pixels]`: where each pixel of the shown input is taken from; None leaves images as they are.
        rows: `[view]`: which samples belong to the view; None means all.
        labels: `[classes]`: the label shown for each stored one; None leaves labels as they are.
        offset: What is added to every scaled entry.
    """

    samples: Samples
    scale: float | None = 1.0
    permutation: Int64[Tensor, " pixels"] | None = None
    rows: Int64[Tensor, " view"] | None = None
    labels: Int64[Tensor, " classes"] | None = None
    offset: float = 0.0

    def __len__(self) -> int:
        return len(self.samples) if self.rows is None else len(self.rows)

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Shaped[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """Gather, permute and scale some samples.

        Args:
            rows: Positions within the view.

        Returns:
            Inputs in float32 unless they are shown as stored, flattened if they are permuted, and labels.
        """
        rows = rows.to(self.samples.inputs.device)
        if self.rows is not None:
            rows = self.rows[rows]
        inputs, labels = self.samples.inputs[rows], self.samples.labels[rows]
        if self.permutation is not None:
            inputs = inputs.flatten(1)[:, self.permutation]
        if self.labels is not None:
            labels = self.labels[labels]
        return self.as_shown(inputs), labels

    def as_shown(self, stored: Shaped[Tensor, "batch ..."]) -> Shaped[Tensor, "batch ..."]:
        """Scale inputs as the view shows them.

        Args:
            stored: `[batch, ...]`: inputs as they are stored.

        Returns:
            The same in float32 unless they are shown as stored.
        """
        if self.scale is None:
            return stored
        scaled = stored.to(torch.float32) * self.scale
        return scaled + self.offset if self.offset else scaled

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where inputs are not bytes, or 0 is not shown as 0."""
        return self.scale if self.samples.inputs.dtype is torch.uint8 and not self.offset else None

    def stored(self) -> "IndexView":
        """Return the view with inputs shown as they are stored, not scaled."""
        return replace(self, scale=None)

    def laid_out(self) -> "IndexView":
        """Return the same view of a copy of its samples that lies as it shows them."""
        inputs, labels = replace(self, scale=None).batch(torch.arange(len(self)))
        return IndexView(Samples(inputs, labels), self.scale, offset=self.offset)

    def to(self, device: torch.device) -> "IndexView":
        """Move the view; tensors that are already there are not copied.

        Args:
            device: Where to.

        Returns:
            The same view there.
        """

        def moved(index: Tensor | None) -> Tensor | None:
            return None if index is None else index.to(device)

        return replace(
            self,
            samples=Samples(self.samples.inputs.to(device), self.samples.labels.to(device)),
            permutation=moved(self.permutation),
            rows=moved(self.rows),
            labels=moved(self.labels),
        )


@dataclass(frozen=True)
class UnionView:
    """Several views one behind the other, as one.

    Args:
        views: The views, whose inputs have one shape.
    """

    views: tuple[View, ...]

    def __len__(self) -> int:
        return sum(map(len, self.views))

    def batch(self, rows: Int64[Tensor, " batch"]) -> tuple[Shaped[Tensor, "batch ..."], Int64[Tensor, " batch"]]:
        """Gather some samples, each from the view it belongs to.

        Args:
            rows: Positions within the union.

        Returns:
            Inputs and labels, in the order of `rows`.
        """
        starts = torch.tensor([0, *map(len, self.views)], device=rows.device).cumsum(0)
        owner = torch.bucketize(rows, starts[1:], right=True)
        order = owner.argsort(stable=True)
        parts = [
            view.batch(rows[owner == index] - starts[index])
            for index, view in enumerate(self.views)
            if bool((owner == index).any())
        ]
        back = order.argsort()
        inputs, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
        return inputs[back.to(inputs.device)], labels[back.to(labels.device)]

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where views differ or are not stored as bytes."""
        return common_unit(self.views)

    def in_epoch(self, epoch: int) -> "UnionView":
        """Return the union as it is shown in an epoch.

        Args:
            epoch: Index of the epoch.

        Returns:
            The union of the views as they are shown in it.
        """
        return UnionView(tuple(in_epoch(view, epoch) for view in self.views))

    def stored(self) -> "UnionView":
        """Return the union with inputs shown as they are stored, not scaled."""
        return UnionView(tuple(stored(view) for view in self.views))

    def to(self, device: torch.device) -> "UnionView":
        """Move the views.

        Args:
            device: Where to.

        Returns:
            The same union there.
        """
        return UnionView(tuple(view.to(device) for view in self.views))


@runtime_checkable
class StoredView(View, Protocol):
    """A view that can show its inputs as they are stored."""

    @property
    def unit_of_bytes(self) -> float | None:
        """What one step of a byte is worth to a network; None where inputs are not stored as bytes."""
        ...

    def stored(self) -> View:
        """Return the view with inputs shown as they are stored, not scaled."""
        ...


@runtime_checkable
class ChangingView(View, Protocol):
    """A view that shows its samples otherwise in every epoch."""

    def in_epoch(self, epoch: int) -> View:
        """Return the view as it is shown in an epoch; nothing that was shown before may play a part."""
        ...


def in_epoch(view: View, epoch: int) -> View:
    """Show a view as it is in an epoch.

    Args:
        view: Any view.
        epoch: Index of the epoch.

    Returns:
        The view in that epoch; itself where it does not change.
    """
    return view.in_epoch(epoch) if isinstance(view, ChangingView) else view


def common_unit(views: Iterable[View]) -> float | None:
    """Find the unit of the bytes of several views.

    Args:
        views: Any views.

    Returns:
        What one step of a byte is worth; None unless all hold bytes of one unit.
    """
    units = {view.unit_of_bytes if isinstance(view, StoredView) else None for view in views}
    return units.pop() if len(units) == 1 else None


def stored(view: View) -> View:
    """Show the inputs of a view as they are stored, where it can.

    Args:
        view: Any view.

    Returns:
        The view, not scaled.
    """
    return view.stored() if isinstance(view, StoredView) else view
