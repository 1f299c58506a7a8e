"""Item: what one pass knows of a frame on its way, and how frames gather in batches."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nightferry.core.balance import open_stages
from nightferry.core.frame import Digest, Frame, FrameId, Sighting
from nightferry.core.ledger import Account
from nightferry.core.receipt import Receipt
from nightferry.core.step import DELIVER, PULL, VERIFY, Group, ProcessingStep
from nightferry.core.version import Version
from nightferry.passes.processing import passage_of, versions_of
from nightferry.passes.receipts import now_us
from nightferry.passes.route import Route
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull, described_frame, pulled_digest, pulled_frame

#: The most frames and bytes of a batch: enough to sync small files together, while big frames
#: still spread over all connections.
BATCH_FRAMES, BATCH_BYTES = 64, 32 << 20


#: So many frames at the pool are kept in memory whole, under way or before their turn: 16 batches of frames of 2 MB. An
#: archive with many connections keeps two batches for each of them.
WINDOW = 256
#: The most that are resumed at once.
RESUMED = 64


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What a frame of many is made of: its group, and by members' identities their raw frames with all receipts."""

    group: Group
    accounts: Mapping[FrameId, Account]


@dataclass(frozen=True, slots=True)
class Item:
    """A frame in this pass: its sighting, the archives that lack it, and the frame once it is on the shelf.

    ``verified`` is the digest of the bytes that passed `verify`, or that a person released. ``product`` is what the
    route's steps made of it, and ``receipts`` are those of earlier passes, where the route has works. ``made_of`` is
    there for a frame that we make of many; no telescope has it.
    """

    sighting: Sighting
    archives: tuple[str, ...]
    frame: Frame | None = None
    verified: Digest | None = None
    tries: int = 0
    product: Frame | None = None
    receipts: tuple[Receipt, ...] = ()
    made_of: MadeOf | None = None

    @property
    def load(self) -> Frame | None:
        """What is delivered: the product of the works, or the raw frame where there are none."""
        return self.product or self.frame


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that a step is at, or that the pool takes through the works (no step); ``place`` names who does it."""

    step: Pull | Deliver | None
    items: Sequence[Item]
    started_us: int
    place: str = ""


def processing_until(route: Route, until: str) -> tuple[ProcessingStep, ...]:
    """Return the steps up to the one that a pass ends with."""
    names = [work.name for work in route.processing]
    return route.processing[: names.index(until) + 1] if until in names else route.processing


def items_of(
    route: Route, works: Sequence[ProcessingStep], accounts: Iterable[Account], *, retry: bool
) -> Iterator[Item]:
    """Yield what is to be done for each frame now; ``retry`` does not wait for back-offs to end."""
    now, expected, versions = now_us(), route.expectation, versions_of(works)
    for account in accounts:
        stages = open_stages(account.receipts, expected)
        due = [stage for stage in stages if stage.standing.due(now, retry=retry)]
        if not due:
            continue
        frame = None
        if due[0].step != PULL:  # None again when the shelf lost it: then it is pulled anew
            frame = pulled_frame(account.sighting, account.receipts, route.shelf)
        item = Item(account.sighting, tuple(route.deliveries), frame)
        if due[0].step not in {PULL, VERIFY}:
            item = replace(item, verified=pulled_digest(account.receipts))
        if due[0].step == DELIVER:
            item = replace(item, archives=tuple(stage.target for stage in due))
        yield _with_memory(route, works, versions, item, account.receipts) if works else item


def _with_memory(
    route: Route,
    works: Sequence[ProcessingStep],
    versions: Sequence[Version],
    item: Item,
    receipts: tuple[Receipt, ...],
) -> Item:
    """Add what the ledger remembers of the processing; a product that is on the shelf needs no raw frame beside it."""
    raw = item.frame or described_frame(item.sighting, receipts, route.shelf)
    if raw is None:
        return item
    passage = passage_of(works, versions, raw, receipts)
    product = passage.frame if passage.at == len(works) else None
    return replace(item, product=product, receipts=receipts)


def parted(items: Sequence[Item]) -> tuple[list[Item], dict[FrameId, Item]]:
    """Part those whose very bytes passed `verify` before from those that it must still judge."""
    good = [item for item in items if item.frame and item.frame.digest == item.verified]
    known = {item.sighting.id for item in good}
    return good, {item.sighting.id: item for item in items if item.sighting.id not in known}


def merged(items: Iterable[Item]) -> list[Item]:
    """Make one of the items of one frame: two at once would both pull it."""
    found: dict[FrameId, Item] = {}
    for item in items:
        other = found.get(item.sighting.id, item)
        archives = tuple(dict.fromkeys((*other.archives, *item.archives)))
        frame, product = item.frame if other.frame else None, item.product if other.product else None
        tries = max(item.tries, other.tries)
        found[item.sighting.id] = replace(item, archives=archives, frame=frame, product=product, tries=tries)
    return list(found.values())


def grouped(items_of: Iterable[Item]) -> Iterator[list[Item]]:
    """Group frames into batches: many small ones together, big ones each on its own."""
    batch: list[Item] = []
    size = 0
    for item in items_of:
        if batch and (len(batch) >= BATCH_FRAMES or size + item.sighting.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.sighting.size
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Waiting:
    """Queues of frames that wait outside, one for each place; owned by one thread.

    Pulling goes on while processing or an archive lag behind, for what is on the shelf is safe and the telescope may be
    gone tomorrow. A frame in memory takes thousands of bytes, its name a hundred; all else stands in the ledger, and is
    read from there when the frame's turn comes. So a pass' memory does not grow with the night.
    """

    _queues: dict[str, deque[FrameId]] = field(default_factory=dict)

    def places(self) -> Sequence[str]:
        """Return where anybody waits."""
        return [place for place, queue in self._queues.items() if queue]

    def leave(self, place: str, frames: Sequence[FrameId]) -> None:
        """Have frames wait outside."""
        self._queues.setdefault(place, deque()).extend(frames)

    def resume(self, place: str) -> Sequence[FrameId]:
        """Call in those who wait longest; empty when nobody does."""
        queue = self._queues.get(place, deque())
        return [queue.popleft() for _ in range(min(len(queue), RESUMED))]
