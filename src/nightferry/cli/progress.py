"""Progress: bars on a terminal, plain lines elsewhere, nothing at all with ``--json``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nightferry.cli.show import size_text, span_text
from nightferry.core.display import display
from nightferry.core.frame import Sighting
from nightferry.core.progress import Nobody, Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import DELIVER


@contextmanager
def onlooker(*, quiet: bool = False) -> Iterator[Onlooker]:
    """Give somebody who tells of a pass' progress in the way that fits where it is told.

    Everything goes to stderr: stdout is for answers.
    """
    if quiet:
        yield Notes()
    elif sys.stderr.isatty():
        from nightferry.cli.bars import Bars  # noqa: PLC0415 - brings rich's bars, which only a terminal shows

        with Bars() as bars:
            yield bars
    else:
        yield Lines()


class Notes(Nobody):
    """Tells only what a person must know, as lines on stderr."""

    def note(self, text: str) -> None:
        """Print the note."""
        sys.stderr.write(f"{display(text)}\n")
        sys.stderr.flush()


class Lines(Notes):
    """Tells of each frame in a line of its own."""

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


def receipt_line(sighting: Sighting, receipt: Receipt) -> str:
    """Say a receipt in one line; empty for steps that merely went well."""
    if receipt.outcome is not Outcome.DONE:
        return f"{receipt.outcome}: {sighting.path}: {receipt.step}: {receipt.reason}"
    if receipt.step == DELIVER:
        return f"delivered: {receipt.target}: {receipt.proof.get('name', '')} ({size_text(sighting.size)})"
    return ""


def settling_text(files: int, seconds: float) -> str:
    """Say what we wait for."""
    return f"{files:,} files are too fresh; waiting {span_text(seconds)} to see whether they still change"
