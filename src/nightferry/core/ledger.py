"""The ledger: sightings and receipts, append-only, and the questions that are asked of them.

A sighting is replaced by the next one of the same path (the file changed before or after we pulled it).
A state of a file that was never pulled and is no longer there is not a frame; a state that was pulled is one
for ever. So the frames of a night are: the last sighting of each path, and every earlier sighting whose pull
is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from nightferry.core.balance import Balance, Bin, Expectation, Standing
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Receipt
from nightferry.core.store import StorePath


@dataclass(frozen=True, slots=True)
class Known:
    """The last sighting of a path, as much of it as a listing is compared with."""

    id: FrameId
    evening: date
    size: int
    mtime_us: int | None
    seen_us: int
    bin: Bin
    next_try_us: int
    rule: str


@dataclass(frozen=True, slots=True)
class Account:
    """One frame with all that is known of it."""

    sighting: Sighting
    standing: Standing
    receipts: tuple[Receipt, ...]


class Ledger(Protocol):
    """Where sightings and receipts are kept. One process writes; several may read."""

    def expect(self, telescope: str, expected: Expectation) -> None:
        """Say what the telescope's route asks for; standings that depend on it are made anew if it changed."""
        ...

    def known(self, telescope: str) -> Mapping[StorePath, Known]:
        """Tell the last sighting of every path that the telescope ever showed."""
        ...

    def sight(self, sightings: Sequence[Sighting]) -> None:
        """Append sightings, in one durable transaction."""
        ...

    def record(self, receipts: Sequence[Receipt]) -> None:
        """Append receipts, in one durable transaction."""
        ...

    def accounts(
        self, telescope: str | None = None, evenings: Sequence[date] | None = None, bins: Sequence[Bin] | None = None
    ) -> Sequence[Account]:
        """Tell the frames of telescope, nights and bins (None: any), ordered by night and path."""
        ...

    def account(self, frame: FrameId) -> Account | None:
        """Tell one frame by its identity."""
        ...

    def find(self, text: str) -> Sequence[Account]:
        """Find frames by identity or digest (8 digits or more), path, file name, or name in an archive."""
        ...

    def balances(self, telescope: str | None = None, evenings: Sequence[date] | None = None) -> Sequence[Balance]:
        """Tell the balance of each night, oldest first."""
        ...

    def nights(self, telescope: str) -> Sequence[Night]:
        """Tell the nights of a telescope, oldest first."""
        ...

    def rebuild(self, telescope: str | None = None) -> None:
        """Make the standings anew from sightings and receipts alone."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...
