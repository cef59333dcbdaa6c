"""Lines of the metrics as event files of TensorBoard."""

from pathlib import Path
from typing import Any

from metaplastic.experiments.loggers import Followed, require_package, scalars
from metaplastic.experiments.trial import Line


class TensorBoardLogger:
    """Write what can be drawn to `FOLDER/tensorboard`, against the epochs trained.

    Look at it by `tensorboard --logdir FOLDER`. Where a run is gone on with, what was written after its checkpoint is
    taken back.

    Args:
        folder: Folder of the record, or any other.

    Raises:
        ImportError: When `metaplastic[tensorboard]` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        require_package("tensorboard")
        self.folder = Path(folder) / "tensorboard"

    def open(self, followed: Followed) -> None:
        """Begin a file of events.

        Args:
            followed: What will be trained.
        """
        from torch.utils.tensorboard import SummaryWriter

        self.followed = followed
        # Step 0 is the untrained network, which is written before the first checkpoint and stays.
        self.writer: Any = SummaryWriter(str(self.folder), purge_step=followed.done + 1)
        self.writer.add_text("configuration", _listed(followed.config), followed.done)

    def log(self, line: Line) -> None:
        """Write numbers, and have them on the disk.

        Args:
            line: A line of the metrics.
        """
        at, found = scalars(self.followed, line)
        for name, value in found.items():
            self.writer.add_scalar(name, value, at)
        self.writer.flush()

    def close(self) -> None:
        """Close the file."""
        self.writer.close()


def _listed(config: Any, above: str = "") -> str:
    """Write JSON values as a list in Markdown, nested fields by their path."""
    lines = []
    for name, value in config.items():
        lines.append(_listed(value, f"{above}{name}.") if isinstance(value, dict) else f"- {above}{name}: {value}")
    return "\n".join(lines)
