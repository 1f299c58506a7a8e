"""Waiting: frames that the crew or an archive has no time for yet, remembered by name alone.

Pulling goes on while works or an archive lag behind, for what is on the shelf is safe and the telescope may be gone
tomorrow. A frame in memory takes thousands of bytes, its name a hundred; all else stands in the ledger, and is read
from there when the frame's turn comes. So a pass' memory does not grow with the night.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from nightferry.core.frame import FrameId

#: So many frames at the crew are kept in memory whole, under way or before their turn: 16 batches of frames of 2 MB. An
#: archive with many connections keeps two batches for each of them.
SEATS = 256
#: Called in are so many at once.
CALLED = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queues of frames that wait outside, one for each place; owned by one thread."""

    _queues: dict[str, deque[FrameId]] = field(default_factory=dict)

    def places(self) -> Sequence[str]:
        """Tell where anybody waits."""
        return [place for place, queue in self._queues.items() if queue]

    def leave(self, place: str, frames: Sequence[FrameId]) -> None:
        """Have frames wait outside."""
        self._queues.setdefault(place, deque()).extend(frames)

    def call_in(self, place: str) -> Sequence[FrameId]:
        """Call in those who wait longest; empty when nobody does."""
        queue = self._queues.get(place, deque())
        return [queue.popleft() for _ in range(min(len(queue), CALLED))]
