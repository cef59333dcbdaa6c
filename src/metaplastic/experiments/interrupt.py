"""Ctrl-C at a moment that loses nothing."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818  (an interruption is not an error)
    """A run was interrupted and can be resumed.

    Args:
        again: The command that goes on with it.
    """

    def __init__(self, again: str) -> None:
        super().__init__(f"interrupted; go on with: {again}")


@contextmanager
def resumed_by(again: str) -> Iterator[None]:
    """Let an interruption at any moment, before the first step and after the last too, say what goes on.

    Of several around each other the outermost speaks: what a run says of itself would go on with that run alone.

    Args:
        again: The command that goes on.

    Yields:
        Nothing.

    Raises:
        Interrupted: In the place of KeyboardInterrupt, or of one that says another command.
    """
    try:
        yield
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(again) from None


class Interrupt:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Turn the first Ctrl-C into a wish that is read between two steps; the second ends the process as usual.

    Outside the main thread, where signals cannot be handled, nothing changes.

    Yields:
        The wish; the previous handler is put back at the end.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    previous = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        interrupt.asked = True
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, previous)
