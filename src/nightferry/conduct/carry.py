"""Carry: drive open frames through pull, verify and deliver, with a bounded window of work in flight.

Pulls run on the telescope's connections, deliveries on each archive's own, so a slow archive keeps no other
waiting. Results come back to the one thread that writes receipts, which it does in groups.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain

from nightferry.conduct.attempt import Attempt, attempt, receipt_of
from nightferry.conduct.route import Route, now_us
from nightferry.core.balance import open_stages
from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, Stopped, Unreachable
from nightferry.core.frame import Frame, Sighting
from nightferry.core.ledger import Account, Ledger
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.crews import threads
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull, pulled_frame

#: A batch holds so many frames or bytes at the most: enough to sync small files together, while big frames
#: still spread over all connections.
BATCH_FRAMES, BATCH_BYTES = 64, 32 << 20
#: Receipts are written when there are so many, or the oldest is so many seconds old.
FLUSH_RECEIPTS, FLUSH_SECONDS = 256, 0.5
#: Pauses in seconds before a failed frame is tried again within the same pass, and before a telescope that
#: cannot be reached is.
RETRY_PAUSES = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class _Cargo:
    """A frame in this pass: its sighting, the archives that lack it, and the frame once it is on the shelf."""

    sighting: Sighting
    archives: tuple[str, ...]
    frame: Frame | None = None
    verified: bool = False
    tries: int = 0


@dataclass(frozen=True, slots=True)
class _Job:
    """A batch that a step is at."""

    step: Pull | Deliver
    cargo: Sequence[_Cargo]
    started_us: int


@dataclass(slots=True)
class Tally:
    """What a pass did, as far as the balance does not tell. ``trouble`` is what ended the pulling early."""

    bytes: int = 0
    pulled: int = 0
    trouble: NightferryError | None = None


def carry(
    route: Route,
    ledger: Ledger,
    accounts: Iterable[Account],
    *,
    onlooker: Onlooker,
    stop: threading.Event,
    until: str = "deliver",
    retry: bool = False,
    reachable: bool = True,
) -> Tally:
    """Carry the frames as far as ``until``; every answer is in the ledger when this returns or raises.

    ``retry`` does not wait for back-offs to end; without ``reachable`` nothing is pulled. Setting
    ``stop`` ends it at the next buffer of bytes.
    """
    carrier = _Carrier(route, ledger, onlooker, stop, until=until, retry=retry, reachable=reachable)
    with ExitStack() as crews:
        carrier.crews[""] = crews.enter_context(threads(route.source.traits.connections, "pull"))
        for name, step in route.deliveries.items():
            carrier.crews[name] = crews.enter_context(threads(step.store.traits.connections, name))
        try:
            carrier.drive(_grouped(carrier.cargoes(accounts)))
        except BaseException:
            stop.set()
            raise
        finally:
            carrier.finish()
    return carrier.tally


class _Carrier:
    """One pass' work in hand, owned by one thread; only results come from others."""

    def __init__(
        self,
        route: Route,
        ledger: Ledger,
        onlooker: Onlooker,
        stop: threading.Event,
        *,
        until: str,
        retry: bool,
        reachable: bool,
    ) -> None:
        self.route, self.ledger, self.onlooker = route, ledger, onlooker
        self.stop, self.until, self.retry = stop, until, retry
        self.tally = Tally()
        self.crews: dict[str, Executor] = {}
        self._jobs: dict[Future[Attempt], _Job] = {}
        self._receipts: list[Receipt] = []
        self._flushed = time.monotonic()
        self._again: list[_Cargo] = []
        self._halted = False  # the telescope is out of reach: start nothing until after a pause
        self._ended = not reachable  # nothing (more) can be pulled in this pass

    def drive(self, batches: Iterator[list[_Cargo]]) -> None:
        """Carry all batches; what fails is tried again after a pause, as long as anything moves at all."""
        pauses = iter(RETRY_PAUSES)
        while True:
            before = self.tally.pulled
            again, self._again = self._again, []
            self._halted = False
            rest = chain(_grouped(again), batches)
            self._round(rest)
            if self.stop.is_set() or not (self._again or self._halted):
                return
            if self.tally.pulled > before:
                pauses = iter(RETRY_PAUSES)
            pause = next(pauses, None)
            if pause is None or self.stop.wait(pause):
                return
            batches = rest

    def finish(self) -> None:
        """Take in everything that is still in flight, and write it down."""
        while self._jobs:
            self._collect()
        self._flush()

    def cargoes(self, accounts: Iterable[Account]) -> Iterator[_Cargo]:
        """Tell what is to be done for each frame now."""
        now = now_us()
        for account in accounts:
            stages = open_stages(account.receipts, self.route.expectation)
            due = [stage for stage in stages if stage.standing.due(now, retry=self.retry)]
            if not due:
                continue
            frame = None
            if due[0].step != "pull":  # None again when the shelf lost it: then it is pulled anew
                frame = pulled_frame(account.sighting, account.receipts, self.route.shelf)
            delivering = due[0].step == "deliver"
            archives = tuple(stage.target for stage in due) if delivering else tuple(self.route.deliveries)
            yield _Cargo(account.sighting, archives, frame, verified=delivering)

    def _round(self, batches: Iterator[list[_Cargo]]) -> None:
        """Keep the window of work in flight full until the batches are used up or cannot be started."""
        window = self.route.source.traits.connections + 1
        used_up = False
        while not used_up or self._jobs:
            while not used_up and len(self._jobs) < window:
                if self.stop.is_set() or self._halted:
                    used_up = True
                    break
                batch = next(batches, None)
                used_up = batch is None
                self._start(batch or [])
            self._collect()

    def _start(self, batch: Sequence[_Cargo]) -> None:
        """Hand a batch to whoever is next: the pull for what is not here, the archives for what is."""
        absent = [item for item in batch if item.frame is None]
        if absent and not self._ended:
            sightings = [item.sighting for item in absent]
            future = self.crews[""].submit(attempt, self.route.pull, sightings)
            self._jobs[future] = _Job(self.route.pull, absent, now_us())
        self._arrived([item for item in batch if item.frame is not None])

    def _arrived(self, cargo: Sequence[_Cargo]) -> None:
        """Verify what is on the shelf and hand what is good to its archives."""
        good = [item for item in cargo if item.verified]
        doubtful = {item.sighting.id: item for item in cargo if not item.verified}
        if doubtful and self.until != "pull":
            started, step = now_us(), self.route.verify
            for result in attempt(step, [item.frame for item in doubtful.values() if item.frame]).results:
                item = doubtful[result.source.id]
                self._note(item, receipt_of(result, step, started))
                if result.outcome is Outcome.DONE:
                    good.append(replace(item, verified=True))
        if self.until in {"pull", "verify"}:
            return
        for name, delivery in self.route.deliveries.items():
            due = [item for item in good if name in item.archives]
            if due:
                frames = [item.frame for item in due if item.frame]
                future = self.crews[name].submit(attempt, delivery, frames)
                self._jobs[future] = _Job(delivery, due, now_us())

    def _collect(self) -> None:
        """Wait until some job ends or receipts get old, and take in what ended."""
        if self._jobs:
            done, _ = wait(self._jobs, timeout=FLUSH_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                self._take(self._jobs.pop(future), future.result())
        old = time.monotonic() - self._flushed > FLUSH_SECONDS
        if len(self._receipts) >= FLUSH_RECEIPTS or (self._receipts and old):
            self._flush()

    def _take(self, job: _Job, answer: Attempt) -> None:
        """Write down a job's answers and send its frames on."""
        cargo = {item.sighting.id: item for item in job.cargo}
        moved: list[_Cargo] = []
        for result in answer.results:
            item = cargo[result.source.id]
            receipt = receipt_of(result, job.step, job.started_us)
            self._note(item, receipt)
            if result.outcome is Outcome.FAILED and item.tries < len(RETRY_PAUSES):
                archives = (receipt.target,) if receipt.target else item.archives
                self._again.append(replace(item, archives=archives, tries=item.tries + 1))
            elif result.outcome is Outcome.DONE and isinstance(job.step, Pull):
                moved.append(replace(item, frame=result.product))
                self.tally.pulled += 1
                self.tally.bytes += item.sighting.size
        if isinstance(job.step, Pull):
            self._heed(answer.trouble)
        self._arrived(moved)

    def _heed(self, trouble: NightferryError | None) -> None:
        """Draw the consequences of a trouble that concerns more than one frame."""
        if trouble is None or isinstance(trouble, Stopped):
            return
        if self.tally.trouble is None or not isinstance(trouble, Unreachable):
            self.onlooker.note(str(trouble))
        self.tally.trouble = trouble
        self._halted = isinstance(trouble, Unreachable)
        self._ended = self._ended or isinstance(trouble, (NoSpace, Misconfigured))

    def _note(self, item: _Cargo, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        self.onlooker.receipt(item.sighting, receipt)

    def _flush(self) -> None:
        self.ledger.record(self._receipts)
        self._receipts = []
        self._flushed = time.monotonic()


def _grouped(cargoes: Iterable[_Cargo]) -> Iterator[list[_Cargo]]:
    """Group frames into batches: many small ones together, big ones each on its own."""
    batch: list[_Cargo] = []
    size = 0
    for item in cargoes:
        if batch and (len(batch) >= BATCH_FRAMES or size + item.sighting.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.sighting.size
    if batch:
        yield batch
