"""Lines of the metrics as a run of Weights & Biases."""

import os
import uuid
from pathlib import Path
from typing import Any

from metaplastic.experiments.loggers import Followed, require_package, scalars
from metaplastic.experiments.trial import Line
from metaplastic.files import write_text

PROJECT = "metaplastic"
"""Project that runs are logged to, unless the environment variable WANDB_PROJECT names another."""


class WandbLogger:
    """Log what can be drawn to Weights & Biases, against the epochs trained.

    Who logs where is wandb's own business: `wandb login`, `WANDB_PROJECT`, and `WANDB_MODE=offline` where there is no
    network. It also sends what it finds out about the machine. Its files are in `FOLDER/wandb`; a run that is gone on
    with is the same run there.

    Args:
        folder: Folder of the record, or any other.

    Raises:
        ImportError: When `metaplastic[wandb]` is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self.wandb: Any = require_package("wandb")
        self.folder = Path(folder)

    def open(self, followed: Followed) -> None:
        """Begin a run, or go on with it.

        Args:
            followed: What will be trained.
        """
        self.followed = followed
        self.folder.mkdir(parents=True, exist_ok=True)
        self.run: Any = self.wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=followed.name,
            dir=str(self.folder),
            config=dict(followed.config),
            id=self._id(),
            resume="allow",
            settings=self.wandb.Settings(console="off"),
            reinit="create_new",
        )
        self.run.define_metric("epochs")
        self.run.define_metric("*", step_metric="epochs")

    def _id(self) -> str:
        path = self.folder / "wandb-id"
        if not path.exists():
            write_text(path, uuid.uuid4().hex[:12])
        return path.read_text(encoding="utf-8")

    def log(self, line: Line) -> None:
        """Log numbers.

        Args:
            line: A line of the metrics.
        """
        at, found = scalars(self.followed, line)
        if found:
            self.run.log({"epochs": at, **found})

    def close(self) -> None:
        """End the run."""
        self.run.finish()
