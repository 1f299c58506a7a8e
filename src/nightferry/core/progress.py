"""What a pass tells whoever looks on, while it goes on."""

from typing import Protocol

from nightferry.core.frame import Sighting
from nightferry.core.receipt import Receipt
from nightferry.core.store import StorePath


class Onlooker(Protocol):
    """Is told of progress, from several threads; must answer fast and never raise."""

    def listed(self, files: int) -> None:
        """Show how many files were listed until now."""
        ...

    def settling(self, files: int, seconds: float) -> None:
        """Show how many files are too fresh, and for how many seconds we wait for them to settle."""
        ...

    def planned(self, frames: int, size: int) -> None:
        """Show how many more frames are to be carried, and their bytes."""
        ...

    def started(self, path: StorePath, size: int) -> None:
        """Show that a frame begins to arrive."""
        ...

    def moved(self, path: StorePath, count: int) -> None:
        """Show how many more bytes of it arrived."""
        ...

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        """Show a step's answer on a frame."""
        ...

    def note(self, text: str) -> None:
        """Show what a person would like to know."""
        ...


class Nobody:
    """Looks on without a word."""

    def listed(self, files: int) -> None:
        """Say nothing."""

    def settling(self, files: int, seconds: float) -> None:
        """Say nothing."""

    def planned(self, frames: int, size: int) -> None:
        """Say nothing."""

    def started(self, path: StorePath, size: int) -> None:
        """Say nothing."""

    def moved(self, path: StorePath, count: int) -> None:
        """Say nothing."""

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""
