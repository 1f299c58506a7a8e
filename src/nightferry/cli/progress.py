"""Progress of passes: bars on a terminal, plain lines elsewhere, nothing at all with ``--json``."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from nightferry.cli.show import span_text
from nightferry.core.display import display, size_text
from nightferry.core.frame import Sighting
from nightferry.core.progress import Nobody, Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER, PULL
from nightferry.core.store import StorePath

if TYPE_CHECKING:
    from rich.progress import TaskID

_NAME_WIDTH = 34


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Onlooker]:
    """Yield what shows the progress of a pass in the way that fits where it is shown.

    Everything goes to stderr: stdout is for answers.
    """
    if quiet:
        yield Notes()
    elif sys.stderr.isatty():
        with Bars() as bars:
            yield bars
    else:
        yield Lines()


class Notes(Nobody):
    """Shows only what a person must know, as lines on stderr."""

    def note(self, text: str) -> None:
        """Print the note."""
        sys.stderr.write(f"{display(text)}\n")
        sys.stderr.flush()


class Lines(Notes):
    """Shows each frame in a line of its own."""

    def settling(self, files: int, seconds: float) -> None:
        """Say what we wait for."""
        self.note(settling_text(files, seconds))

    def planned(self, frames: int, size: int) -> None:
        """Say how much there is to do."""
        if frames:
            self.note(f"{frames:,} frames to carry, {size_text(size)}")

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        """Say where a frame was delivered, or what stopped it."""
        if line := receipt_line(sighting, receipt):
            self.note(line)


class Bars(Notes):
    """Draws one bar for each frame under way and one for all, with speed and time left, as a terminal shows them."""

    def __init__(self) -> None:
        from rich.console import Console  # 60 ms that only a terminal pays
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._lock = threading.Lock()
        self._console = Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._listing: TaskID | None = None
        self._all: TaskID | None = None
        self._frames: dict[StorePath, TaskID] = {}
        self._left = 0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        """Print the note above the bars."""
        self._console.print(display(text), style="yellow", soft_wrap=True)

    def listed(self, files: int) -> None:
        """Count what was listed."""
        with self._lock:
            if self._listing is None:
                self._listing = self._progress.add_task("listing the telescope", total=None)
            self._progress.update(self._listing, description=f"listed {files:,} files")

    def settling(self, files: int, seconds: float) -> None:
        """Say what we wait for."""
        self.note(settling_text(files, seconds))

    def planned(self, frames: int, size: int) -> None:
        """Open the bar for everything."""
        with self._lock:
            if self._listing is not None:
                self._progress.remove_task(self._listing)
                self._listing = None
            self._left = frames
            if frames and self._all is None:
                self._all = self._progress.add_task(_all_text(frames), total=size)
            elif self._all is not None:
                done = self._progress.tasks[self._progress.task_ids.index(self._all)].completed
                self._progress.update(self._all, total=done + size, description=_all_text(frames))

    def started(self, path: StorePath, size: int) -> None:
        """Open a bar for a frame."""
        with self._lock:
            self._frames[path] = self._progress.add_task(_short(path), total=size)

    def moved(self, path: StorePath, count: int) -> None:
        """Move the frame's bar and the one for everything."""
        with self._lock:
            if path in self._frames:
                self._progress.advance(self._frames[path], count)
            if self._all is not None:
                self._progress.advance(self._all, count)

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        """Close a frame's bar; say what stopped one."""
        with self._lock:
            if receipt.step == PULL:
                if (task := self._frames.pop(sighting.path, None)) is not None:
                    self._progress.remove_task(task)
                self._left = max(0, self._left - 1)
                if self._all is not None:
                    self._progress.update(self._all, description=_all_text(self._left))
        if receipt.outcome is not Outcome.DONE:
            self.note(receipt_line(sighting, receipt))


def receipt_line(sighting: Sighting, receipt: Receipt) -> str:
    """Return a receipt in one line; empty for steps that merely went well."""
    if receipt.outcome is not Outcome.DONE:
        return f"{receipt.outcome}: {sighting.path}: {receipt.step}: {receipt.reason}"
    if receipt.step == DELIVER:
        return f"delivered: {receipt.target}: {receipt.proof.get('name', '')} ({size_text(sighting.size)})"
    return ""


def settling_text(files: int, seconds: float) -> str:
    """Return what we wait for."""
    return f"{files:,} files are too fresh; waiting {span_text(seconds)} to see whether they still change"


def _all_text(frames: int) -> str:
    return f"{frames:,} frames to go".ljust(_NAME_WIDTH)


def _short(path: StorePath) -> str:
    name = display(path.rpartition("/")[2])
    return (name if len(name) <= _NAME_WIDTH else f"...{name[3 - _NAME_WIDTH :]}").ljust(_NAME_WIDTH)
