"""Waiting: frames that the crew or an archive has no time for yet, remembered by name alone.

Pulling goes on while works or an archive lag behind, for what is on the shelf is safe and the telescope may be gone
tomorrow. A frame in memory takes thousands of bytes, its name a hundred; all else stands in the ledger, and is read
from there when the frame's turn comes. So a pass' memory does not grow with the night.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from nightferry.core.frame import FrameId

#: So many frames at the crew, or at one archive, are kept in memory whole, under way or before their turn: enough for
#: every worker to find its next batch there.
SEATS = 512
#: Called in are so many at once.
CALLED = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queues of frames that wait outside, one for each place; owned by one thread."""

    _queues: dict[str, deque[FrameId]] = field(default_factory=dict)

    def places(self) -> Sequence[str]:
        """Tell where anybody waits."""
        return [place for place, queue in self._queues.items() if queue]

    def has_room(self, load: int) -> bool:
        """Whether a place with so many frames in memory takes another batch."""
        return load < SEATS

    def leave(self, place: str, frames: Sequence[FrameId]) -> None:
        """Have frames wait outside."""
        self._queues.setdefault(place, deque()).extend(frames)

    def next(self, place: str, load: int) -> Sequence[FrameId]:
        """Call in whoever waits longest, as soon as half of the seats are free; empty when nobody does or they are not."""
        queue = self._queues.get(place)
        if not queue or load > SEATS // 2:
            return ()
        return [queue.popleft() for _ in islice(range(len(queue)), CALLED)]
