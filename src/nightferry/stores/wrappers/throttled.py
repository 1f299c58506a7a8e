"""Throttled: no more bytes in a second than a rate allows, which may change with the hour."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from datetime import time as time_of_day

from nightferry.core.errors import NightferryError
from nightferry.core.store import Arrival, Entry, Linked, Load, Oddity, PutAnswer, Store, StorePath, Traits, Want
from nightferry.stores.kit.loads import size_of

#: Bytes are counted in pieces of this many seconds; a nap is never longer, so that a change of the hour is noticed.
_PIECE_SECONDS, _NAP = 0.25, 0.5
_SMALLEST_PIECE = 4096


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day, by this machine's clock, in which another rate counts: bytes a second, None for any speed.

    From ``start`` on, up to ``end``, which may be on the next day.
    """

    start: time_of_day
    end: time_of_day
    rate: float | None

    def holds(self, now: time_of_day) -> bool:
        """Whether a moment is in it."""
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


class Throttle:
    """A rate in bytes a second that all who share it keep to together; None for any speed.

    Of several windows that hold, the first counts. Safe to use from several threads.
    """

    def __init__(
        self,
        rate: float | None,
        windows: Sequence[Window] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], time_of_day] = lambda: datetime.now().astimezone().time(),
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if any(given is not None and given <= 0 for given in (rate, *(window.rate for window in windows))):
            raise ValueError("a rate must be positive")
        self._rate, self._windows = rate, tuple(windows)
        self._clock, self._now, self._sleep = clock, now, sleep
        self._lock = threading.Lock()
        self._debt = 0.0
        self._paid_at = clock()

    @property
    def rate(self) -> float | None:
        """The rate that counts at this moment."""
        if not self._windows:
            return self._rate
        now = self._now()
        return next((window.rate for window in self._windows if window.holds(now)), self._rate)

    def piece(self, most: int) -> int:
        """Return how many bytes to move at a time, so that they flow and do not gush."""
        rate = self.rate
        return most if rate is None else min(most, max(_SMALLEST_PIECE, int(rate * _PIECE_SECONDS)))

    def spend(self, count: int) -> None:
        """Count bytes that moved, and wait until they may have."""
        with self._lock:
            self._pay()
            self._debt += count
        while True:
            with self._lock:
                rate = self._pay()
                if rate is None or self._debt < 1:
                    return
                nap = min(self._debt / rate, _NAP)
            self._sleep(nap)

    def _pay(self) -> float | None:
        """Take off the debt what time has allowed since; nothing is saved up."""
        rate, now = self.rate, self._clock()
        passed, self._paid_at = now - self._paid_at, now
        self._debt = 0.0 if rate is None else max(0.0, self._debt - passed * rate)
        return rate


def throttled(store: Store, throttle: Throttle) -> Store:
    """Make a store that keeps to a rate, in both directions; stores that share the throttle share the rate."""
    return _Throttled(store, throttle)


class _Throttled:
    """A store that keeps its callers waiting."""

    def __init__(self, store: Store, throttle: Throttle) -> None:
        self._store, self._throttle = store, throttle

    @property
    def traits(self) -> Traits:
        return self._store.traits

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        return self._store.list(enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        return self._store.stat(paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        arrivals = self._store.fetch(wants)
        try:
            for arrival in arrivals:
                yield _ThrottledArrival(arrival, self._throttle)
        finally:
            close = getattr(arrivals, "close", None)
            if close is not None:
                close()

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        paces = [_Pace(self._throttle, load.pace) for load in loads]
        sizes = [size_of(load) for load in loads]
        answers = self._store.put([replace(load, pace=pace) for load, pace in zip(loads, paces, strict=True)])
        try:
            for pace, size, answer in zip(paces, sizes, answers, strict=True):
                if not isinstance(answer, (NightferryError, Linked)) and size > pace.counted:
                    self._throttle.spend(size - pace.counted)  # a store that tells nothing of what it sends
                yield answer
        finally:
            close = getattr(answers, "close", None)
            if close is not None:
                close()

    def remove(self, path: StorePath) -> None:
        self._store.remove(path)

    def close(self) -> None:
        self._store.close()


class _Pace:
    """Counts what a store sends of one file, and keeps it waiting."""

    def __init__(self, throttle: Throttle, further: Callable[[int], None] | None) -> None:
        self._throttle, self._further = throttle, further
        self.counted = 0

    def __call__(self, count: int) -> None:
        self.counted += count
        self._throttle.spend(count)
        if self._further is not None:
            self._further(count)


class _ThrottledArrival:
    """One file on its way in, a small piece at a time."""

    def __init__(self, arrival: Arrival, throttle: Throttle) -> None:
        self._arrival, self._throttle = arrival, throttle

    @property
    def want(self) -> Want:
        return self._arrival.want

    def read_into(self, buffer: memoryview) -> int:
        count = self._arrival.read_into(buffer[: self._throttle.piece(len(buffer))])
        self._throttle.spend(count)
        return count

    def finish(self) -> Entry:
        return self._arrival.finish()
