"""Retried: a call that met a named fault is made again after a pause, and goes on where it stood."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Self, TypeVar

from nightferry.core.errors import NightferryError, TryAgain
from nightferry.core.store import Arrival, Entry, Load, Oddity, PutAnswer, Store, StorePath, Traits, Want

T = TypeVar("T")


def retried(
    store: Store,
    faults: tuple[type[TryAgain], ...],
    pauses: Sequence[float],
    sleep: Callable[[float], object] = time.sleep,
) -> Store:
    """Make a store that meets ``faults`` with another try after each of ``pauses`` (seconds), and then gives in.

    Only the named faults are met so; there is no default. Pauses begin anew with everything that came through. A
    listing is begun again only as long as nothing of it was handed on; a fetch goes on at the byte where it stood, in
    stores that can; of a put only the loads that failed are repeated.
    """
    if not faults:
        raise ValueError("name the faults that are worth another try")
    return _Retried(store, faults, tuple(pauses), sleep)


class _Patience:
    """The pauses that are left; all of them again when something moved."""

    def __init__(self, pauses: tuple[float, ...], sleep: Callable[[float], object]) -> None:
        self._pauses, self._sleep = pauses, sleep
        self._used = 0

    def moved(self) -> None:
        self._used = 0

    def pause(self) -> bool:
        """Pause before another try; False when there shall be none."""
        if self._used >= len(self._pauses):
            return False
        self._sleep(self._pauses[self._used])
        self._used += 1
        return True


class _Retried:
    """A store whose calls are patient."""

    def __init__(
        self,
        store: Store,
        faults: tuple[type[TryAgain], ...],
        pauses: tuple[float, ...],
        sleep: Callable[[float], object],
    ) -> None:
        self.store, self.faults = store, faults
        self._pauses, self._sleep = pauses, sleep

    @property
    def traits(self) -> Traits:
        return self.store.traits

    def patience(self) -> _Patience:
        return _Patience(self._pauses, self._sleep)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        patience = self.patience()
        while True:
            begun = False
            try:
                for item in self.store.list(enter):
                    begun = True
                    yield item
            except self.faults:
                if begun or not patience.pause():
                    raise
            else:
                return

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        asked, done, patience = [*paths], 0, self.patience()
        while True:
            try:
                for answer in self.store.stat(asked[done:]):
                    done += 1
                    patience.moved()
                    yield answer
            except self.faults:
                if not patience.pause():
                    raise
            else:
                return

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        return _Fetch(self, wants)

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        answers: dict[int, PutAnswer] = {}
        left, patience = list(range(len(loads))), self.patience()
        while left:
            raised: NightferryError | None = None
            try:
                answers.update(zip(left, self.store.put([loads[place] for place in left]), strict=True))
            except NightferryError as err:
                raised = err
            if raised is not None and not isinstance(raised, self.faults):
                yield from _in_order(answers)
                raise raised
            before = len(left)
            left = [place for place in left if isinstance(answers.get(place, raised), self.faults)]
            if len(left) < before:
                patience.moved()
            if left and not patience.pause():
                yield from _in_order(answers)
                if raised is not None:
                    raise raised
                return
        yield from _in_order(answers)

    def remove(self, path: StorePath) -> None:
        patience = self.patience()
        while True:
            try:
                self.store.remove(path)
            except self.faults:
                if not patience.pause():
                    raise
            else:
                return

    def close(self) -> None:
        self.store.close()


def _in_order(answers: dict[int, PutAnswer]) -> Iterator[PutAnswer]:
    """Yield the answers up to the first load that has none."""
    place = 0
    while place in answers:
        yield answers[place]
        place += 1


class _Fetch:
    """The arrivals of one call; a fault begins the call anew, at the file and the byte where it stood."""

    def __init__(self, around: _Retried, wants: Sequence[Want]) -> None:
        self._around, self._wants = around, wants
        self._place = -1
        self._got = 0
        self._arrivals: Iterator[Arrival] | None = None
        self._arrival: Arrival | None = None
        self._patience = around.patience()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrival:
        self._place += 1
        if self._place >= len(self._wants):
            self.close()
            raise StopIteration
        self._got, self._arrival = 0, None
        if self._arrivals is not None:
            self._arrival = self.patiently(self._next)
        return _RetriedArrival(self, self._place, self._wants[self._place])

    def close(self) -> None:
        arrivals, self._arrivals, self._arrival = self._arrivals, None, None
        if arrivals is not None:
            _close(arrivals)

    def __del__(self) -> None:
        with suppress(AttributeError):  # the constructor itself failed
            self.close()

    def at(self, place: int) -> bool:
        """Whether this is the arrival that may be read."""
        return place == self._place

    def read(self, buffer: memoryview) -> int:
        def read() -> int:
            return self._open().read_into(buffer)

        count = self.patiently(read)
        self._got += count
        if count:
            self._patience.moved()
        return count

    def finish(self) -> Entry:
        def finish() -> Entry:
            fresh = self._arrival is None
            arrival = self._open()
            if fresh and arrival.read_into(memoryview(bytearray(1))):
                raise TryAgain(f"{arrival.want.path!a} goes on after what was its end; fetch it again")
            return arrival.finish()

        return self.patiently(finish)

    def patiently(self, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except self._around.faults:
                resumable = not self._got or self._around.traits.resumes
                self.close()
                if not resumable or not self._patience.pause():
                    raise

    def _open(self) -> Arrival:
        """Return the arrival in hand, or ask anew for what did not come yet."""
        if self._arrival is None:
            first = self._wants[self._place]
            rest = self._wants[self._place + 1 :]
            self._arrivals = self._around.store.fetch([replace(first, offset=first.offset + self._got), *rest])
            self._arrival = self._next()
        return self._arrival

    def _next(self) -> Arrival:
        if self._arrivals is None:
            return self._open()
        return next(self._arrivals)


class _RetriedArrival:
    """One file on its way in, over as many calls as it takes."""

    def __init__(self, fetch: _Fetch, place: int, want: Want) -> None:
        self._fetch, self._place, self._want = fetch, place, want

    @property
    def want(self) -> Want:
        return self._want

    def read_into(self, buffer: memoryview) -> int:
        self._see_to_it()
        return self._fetch.read(buffer)

    def finish(self) -> Entry:
        self._see_to_it()
        return self._fetch.finish()

    def _see_to_it(self) -> None:
        if not self._fetch.at(self._place):
            raise TryAgain(f"{self._want.path!a}: this arrival is over; fetch the file again")


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()
