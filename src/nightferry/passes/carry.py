"""Carry: drive open frames through pull, verify, steps and deliver, with a bounded window of work in flight.

Pulls run on the telescope's connections, deliveries on each archive's own, so a slow archive keeps neither another
one nor the telescope waiting. Results come back to the one thread that writes receipts, which it does in groups.
"""

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import cast

from nightferry.core.balance import stage_name
from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, Stopped, Unreachable
from nightferry.core.ledger import Ledger
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import CLEAR, DELIVER, PULL, VERIFY
from nightferry.passes.attempt import Attempt, attempt
from nightferry.passes.item import (
    BATCH_FRAMES,
    WINDOW,
    Item,
    Job,
    Waiting,
    grouped,
    items_of,
    merged,
    parted,
    processing_until,
)
from nightferry.passes.making import Made, make, told_to_members
from nightferry.passes.processing import POOL, Passed, pass_through, passage_of, versions_of
from nightferry.passes.receipts import now_us, receipt_of
from nightferry.passes.route import Route
from nightferry.pools import threads
from nightferry.steps.pull import Pull

#: Receipts are written when there are this many, or the oldest is this many seconds old. What is lost with the power
#: meanwhile is done again. Writing costs 53 us a receipt in groups of 64, 35 in groups of 256, 27 in thousands.
FLUSH_RECEIPTS, FLUSH_SECONDS = 4096, 0.5
#: Who makes frames of many, where archives and the telescope are named; no archive can have this name.
MAKING = "(making)"
#: How many workers are woken before there is work for them.
_FIRST_WORKERS = 2
#: Pauses in seconds before a failed frame is tried again within the same pass, and before a telescope that
#: cannot be reached is.
RETRY_PAUSES = (0.5, 2.0)


@dataclass(slots=True)
class Tally:
    """What a pass did in ``seconds``, as far as the balance does not tell.

    ``trouble`` is what ended the pulling early.
    """

    bytes: int = 0
    pulled: int = 0
    seconds: float = 0.0
    trouble: NightferryError | None = None


def carry(
    route: Route,
    ledger: Ledger,
    items: Iterable[Item],
    *,
    onlooker: Onlooker,
    stop: threading.Event,
    until: str = DELIVER,
    retry: bool = False,
    reachable: bool = True,
    shut: Collection[str] = (),
) -> Tally:
    """Carry the frames as far as ``until``; every answer is in the ledger when this returns or raises.

    ``retry`` does not wait for back-offs to end; without ``reachable`` nothing is pulled, and nothing is delivered to
    the archives that are ``shut``. Setting ``stop`` ends it at the next buffer of bytes.
    """
    away = {*shut, *(() if reachable else ("",))}
    carrier = _Carrier(route, ledger, onlooker, stop, until=until, retry=retry, shut=away)
    with ExitStack() as pools:
        carrier.pools[MAKING] = pools.enter_context(threads(1, "making"))  # the shelf has room for one at a time
        carrier.pools[""] = pools.enter_context(threads(route.source.traits.connections, PULL))
        for name, step in route.deliveries.items():
            carrier.pools[name] = pools.enter_context(threads(step.store.traits.connections, name))
        try:
            carrier.drive(grouped(items))
        except KeyboardInterrupt:
            stop.set()
            onlooker.note("stopping: what is under way comes to a safe end first")
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
        shut: set[str],
    ) -> None:
        self.route, self.ledger, self.onlooker = route, ledger, onlooker
        self.stop, self.until, self.retry = stop, until, retry
        self.tally = Tally()
        self.pools: dict[str, Executor] = {}
        self._jobs: dict[Future[object], Job] = {}  # an `Attempt`, or what `pass_through` answers
        self._receipts: list[Receipt] = []
        self._flushed = time.monotonic()
        self._moved = 0  # stages that were passed; as long as there are more of them, trying again is worth it
        self._again: list[Item] = []
        self._ready: list[Item] = []  # products whose receipts are not written yet
        self._waiting = Waiting()
        self._expected = route.expectation
        self.processing = processing_until(route, until)
        self._versions = versions_of(self.processing)
        self._warm = False
        # Stores by name, the telescope's is empty: out of reach until after a pause, or closed for this pass.
        self._away: set[str] = set()
        self._shut = shut

    def drive(self, batches: Iterator[list[Item]]) -> None:
        """Carry all batches; what fails is tried again after a pause, as long as anything moves at all."""
        pauses = iter(RETRY_PAUSES)
        while True:
            before = self._moved
            again, self._again = merged(self._again), []
            self._away.clear()
            rest = chain(grouped(again), batches)
            self._round(rest)
            if self.stop.is_set():
                return
            if not (self._again or self._away):
                if not isinstance(self.tally.trouble, (Misconfigured, NoSpace)):
                    self.tally.trouble = None  # it passed: every frame has its answer
                return
            if self._moved > before:
                pauses = iter(RETRY_PAUSES)
            pause = next(pauses, None)
            if pause is None or self.stop.wait(pause):
                return
            batches = rest

    def finish(self) -> None:
        """Begin nothing more, take in everything that is still in flight, and write it down."""
        for store in (*self.pools, POOL):
            self._call_off(store)
        while self._jobs:
            self._collect()
        self._flush()

    def _round(self, batches: Iterator[list[Item]]) -> None:
        """Keep the pulls in flight up to their number until the batches are used up or cannot be started.

        One waits behind each that is under way, so that no connection idles while receipts are written. Deliveries
        are not counted: what is on the shelf is safe, and the telescope may be gone tomorrow.
        """
        window = 2 * self.route.source.traits.connections
        used_up = False
        while True:
            self._resume()
            while not used_up and sum(not job.place for job in self._jobs.values()) < window:
                if self.stop.is_set() or "" in self._away:
                    used_up = True
                    break
                batch = next(batches, None)
                used_up = batch is None
                self._start(batch or [])
            if used_up and not self._jobs:
                return
            self._collect()

    def _resume(self) -> None:
        """Take up frames again that wait outside, where more than half of the seats are free by now."""
        for place in self._waiting.places():
            while not (self.stop.is_set() or place in self._away or place in self._shut):
                names = self._waiting.resume(place) if self._room(place) > self._window(place) // 2 else ()
                if not names:
                    break
                self._flush()  # what is to be done next depends on receipts that may not be written yet
                accounts = self.ledger.accounts_of(names)
                for batch in grouped(items_of(self.route, self.processing, accounts, retry=self.retry)):
                    self._start([_for_one(item, place) for item in batch])

    def _window(self, place: str) -> int:
        """Return how many frames may be in memory with the pool or an archive, and before it."""
        delivery = self.route.deliveries.get(place)
        return max(WINDOW, 2 * BATCH_FRAMES * delivery.store.traits.connections) if delivery else WINDOW

    def _room(self, place: str) -> int:
        return self._window(place) - sum(len(job.items) for job in self._jobs.values() if job.place == place)

    def _admitted(self, place: str, items: Sequence[Item]) -> Sequence[Item]:
        """Return who stays in memory; the others wait outside. Who is tried again stays, so that tries are counted."""
        if self._room(place) > 0:
            return items
        self._waiting.leave(place, [item.sighting.id for item in items if not (item.tries or item.made_of)])
        return [item for item in items if item.tries or item.made_of]

    def _start(self, batch: Sequence[Item]) -> None:
        """Hand a batch to whoever is next: the pull for what is not here, the archives for what is."""
        self._warm_up()
        self._make([item for item in batch if item.made_of and item.product is None])
        self._hand_over([item for item in batch if item.made_of and item.product is not None])
        batch = [item for item in batch if item.made_of is None]
        absent = [item for item in batch if item.load is None]
        if absent and "" not in self._shut:
            sightings = [item.sighting for item in absent]
            future = self.pools[""].submit(attempt, self.route.pull, sightings)
            self._jobs[_any(future)] = Job(self.route.pull, absent, now_us())
        self._arrived([item for item in batch if item.frame is not None and item.product is None])
        self._hand_over([item for item in batch if item.product is not None])

    def _make(self, items: Sequence[Item]) -> None:
        """Have frames made of many, one after the other."""
        if MAKING in self._away:
            self._again += items
        elif MAKING not in self._shut:
            for item in items:
                future = self.pools[MAKING].submit(make, self.route, item, self.stop)
                self._jobs[_any(future)] = Job(None, [item], now_us(), MAKING)

    def _warm_up(self) -> None:
        """Have workers begin their day while the first frames are on their way: starting takes them a while."""
        if self.processing and self.route.pool is not None and not self._warm:
            self._warm = True
            for _ in range(_FIRST_WORKERS):
                self.route.pool.submit(pass_through, self.processing, [])

    def _arrived(self, items: Sequence[Item]) -> None:
        """Verify what is on the shelf and hand what is good to the works, or where there are none to its archives."""
        good, doubtful = parted(items)
        if doubtful and self.until != PULL:
            started, step = now_us(), self.route.verify
            for result in attempt(step, [item.frame for item in doubtful.values() if item.frame]).results:
                item = doubtful[result.source.id]
                self._note(item, receipt_of(result, step, started))
                if result.outcome is Outcome.DONE and item.frame:
                    good.append(replace(item, verified=item.frame.digest))
        if self.until in {PULL, VERIFY} or self.stop.is_set():
            return
        if self.processing:
            self._work(good)
        else:
            self._hand_over(good)

    def _work(self, items: Sequence[Item]) -> None:
        """Hand frames to the pool, as far as there is room."""
        self._put_to_work(self._admitted(POOL, items))

    def _put_to_work(self, items: Sequence[Item]) -> None:
        """Give the pool one task: frames, and all steps for them."""
        if not items or self.route.pool is None or POOL in self._shut:
            return
        works, versions = self.processing, self._versions
        batch = [passage_of(works, versions, item.frame, item.receipts) for item in items if item.frame is not None]
        future = self.route.pool.submit(pass_through, works, batch)
        self._jobs[_any(future)] = Job(None, items, now_us(), POOL)

    def _hand_over(self, good: Sequence[Item]) -> None:
        """Hand frames to the archives that lack them."""
        if self.processing and (self.until not in {DELIVER, CLEAR} or self.stop.is_set()):
            return
        for name, delivery in self.route.deliveries.items():
            due = [item for item in good if name in item.archives and name not in self._shut]
            if name in self._away:
                self._again += [replace(item, archives=(name,)) for item in due]
            elif seated := self._admitted(name, due):
                frames = [item.load for item in seated if item.load]
                future = self.pools[name].submit(attempt, delivery, frames)
                self._jobs[_any(future)] = Job(delivery, seated, now_us(), name)

    def _hand_over_products(self) -> None:
        """Hand over what was made just now, once its receipts are durable.

        A product has its time of writing in its header, so one that is made again without its receipt has other bytes:
        a receipt that comes after the name in an archive would leave, after a kill, a name taken by "other bytes".
        One write to the ledger is enough for all that came through together.
        """
        if self._ready:
            self._flush()
            ready, self._ready = self._ready, []
            self._hand_over(ready)

    def _collect(self) -> None:
        """Wait until some job ends or receipts get old, and take in what ended."""
        if self._jobs:
            done, _ = wait(self._jobs, timeout=FLUSH_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                self._take(self._jobs.pop(future), _outcome_of(future))
            self._hand_over_products()
        old = time.monotonic() - self._flushed > FLUSH_SECONDS
        if len(self._receipts) >= FLUSH_RECEIPTS or (self._receipts and old):
            self._flush()

    def _take(self, job: Job, answer: object) -> None:
        """Write down a job's answers and send its frames on."""
        if job.place == MAKING:
            self._take_made(job.items[0], answer)
            return
        if job.step is None:
            self._take_processed(job, answer if isinstance(answer, Passed) else None)
            return
        if not isinstance(answer, Attempt):
            return
        items = {(item.load.id if item.load else item.sighting.id): item for item in job.items}
        moved: list[Item] = []
        self._heed(answer.trouble, job.place)
        for result in answer.results:
            item = items[result.source.id]
            receipt = receipt_of(result, job.step, job.started_us, frame=item.sighting.id)
            self._note(item, receipt)
            self._moved += result.outcome is Outcome.DONE
            if result.outcome is Outcome.FAILED and item.tries < len(RETRY_PAUSES):
                self._try_again(item, receipt.target)
            elif result.outcome is Outcome.DONE and isinstance(job.step, Pull):
                moved.append(replace(item, frame=result.product))
                self.tally.pulled += 1
                self.tally.bytes += item.sighting.size
        self._arrived(moved)

    def _take_made(self, item: Item, answer: object) -> None:
        """Write down what became of a frame of many, also for its members, and hand it over."""
        if not isinstance(answer, Made):
            return
        self._heed(answer.trouble, MAKING)
        for receipt in answer.receipts:
            self._note(item, receipt)
            self._moved += receipt.outcome is Outcome.DONE
        self._receipts += [told for receipt in answer.receipts[:1] for told in told_to_members(item, receipt)]
        item = replace(item, receipts=(*item.receipts, *answer.receipts))
        if answer.product is not None:
            self._ready.append(replace(item, product=answer.product))
        elif answer.receipts and answer.receipts[-1].outcome is Outcome.FAILED and item.tries < len(RETRY_PAUSES):
            self._try_again(item, MAKING)

    def _take_processed(self, job: Job, answer: Passed | None) -> None:
        """Write down what the steps answered of each frame, and hand over what came through."""
        items = {item.sighting.id: item for item in job.items}
        if answer is None:
            self._take_death(job)
            return
        self._heed(answer.trouble, POOL)
        for told in answer.answers:
            item, work = items[told.origin], self.processing[told.place]
            receipt = receipt_of(
                told.result, work, told.started_us, frame=told.origin, version=self._versions[told.place].text
            )
            self._note(item, receipt)
            items[told.origin] = replace(item, receipts=(*item.receipts, receipt))
            self._moved += receipt.outcome is Outcome.DONE
            if receipt.outcome is Outcome.FAILED and item.tries < len(RETRY_PAUSES):
                self._try_again(items[told.origin], POOL)
        self._ready += [replace(items[origin], product=frame) for origin, frame in answer.products.items()]

    def _take_death(self, job: Job) -> None:
        """Take in that a worker died of a batch, twice: each frame has a task of its own then, and dies alone."""
        if len(job.items) > 1:
            for item in job.items:
                self._put_to_work([item])
            return
        (item,) = job.items
        reason = "a bug in nightferry, or a machine out of memory: the worker process died of this frame, twice"
        result = Result(item.sighting, Outcome.BROKEN, reason)
        self._note(item, receipt_of(result, self.processing[0], job.started_us, version=self._versions[0].text))

    def _try_again(self, item: Item, store: str) -> None:
        """Have a frame tried again after a pause, from the pull on if its working file is gone."""
        if store in self._shut:
            return
        sighting, shelf = item.sighting, self.route.shelf
        frame = item.frame if shelf.has(sighting.id, sighting.night, sighting.size) else None
        product = item.product if item.product and item.product.file.exists() else None
        archives = (store,) if store in self.route.deliveries else item.archives
        again = replace(item, archives=archives, frame=frame, product=product, tries=item.tries + 1)
        self._again.append(again)

    def _heed(self, trouble: NightferryError | None, store: str) -> None:
        """Draw the consequences of a trouble that concerns a whole store."""
        if trouble is None or isinstance(trouble, Stopped):
            return
        if str(trouble) != str(self.tally.trouble):
            self.onlooker.note(str(trouble))
        if not isinstance(self.tally.trouble, Misconfigured):  # what a person must mend is what the pass ends with
            self.tally.trouble = trouble
        if isinstance(trouble, (NoSpace, Misconfigured)):
            self._shut.add(store)
            self._call_off(store)
        elif isinstance(trouble, Unreachable):
            self._away.add(store)
            self._again += self._call_off(store)

    def _call_off(self, store: str) -> list[Item]:
        """Take back the jobs at a store that nobody has begun yet."""
        jobs = [(future, job) for future, job in self._jobs.items() if job.place == store and future.cancel()]
        back: list[Item] = []
        for future, job in jobs:
            del self._jobs[future]
            back += (
                [replace(item, archives=(store,)) for item in job.items]
                if job.place in self.route.deliveries
                else job.items
            )
        return back

    def _note(self, item: Item, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        if item.made_of is None:
            self.onlooker.receipt(item.sighting, receipt)
            return
        where, why = stage_name(receipt.step, receipt.target), f": {receipt.reason}" if receipt.reason else ""
        self.onlooker.note(f"{item.sighting.path}: {where}: {receipt.outcome}{why}")

    def _flush(self) -> None:
        self.ledger.record(self._receipts)
        self._receipts = []
        self._flushed = time.monotonic()


def _for_one(item: Item, place: str) -> Item:
    """Narrow a frame that waited for an archive to that archive; the others have it, or have it in hand."""
    return item if place == POOL else replace(item, archives=tuple({place} & set(item.archives)))


def _any(future: Future[Attempt] | Future[Passed] | Future[Made]) -> Future[object]:
    return cast("Future[object]", future)


def _outcome_of(future: Future[object]) -> object:
    """Return what a job answered; None when its worker died of it."""
    try:
        return future.result()
    except BrokenExecutor:
        return None
