"""The sessions of one store with one server: as many as it may have, used again over calls and threads."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from nightferry.core.errors import NightferryError, TryAgain, Unreachable
from nightferry.core.store import Entry, StorePath


class Cut(Unreachable):
    """The connection ended, or was never made."""


class Silence(Unreachable):
    """The server said nothing for as long as we wait."""


class Garbled(TryAgain):
    """The server said something that its protocol does not know."""


class Session(Protocol):
    """A login that a pool keeps; not for several threads at once."""

    def alive(self) -> bool:
        """Whether the server still answers; all answers still to come are passed over."""
        ...

    def settle(self) -> bool:
        """Forget all answers that are still to come; False when that cannot be, and the session is of no more use."""
        ...

    def close(self, *, politely: bool = False) -> None:
        """End the session; may be called again."""
        ...


S = TypeVar("S", bound=Session)
H = TypeVar("H")


class Pool(Generic[S, H]):
    """Idle sessions, and a gate that lets only ``connections`` calls through at once; ``make`` logs in.

    ``server`` is what the store learns about its server. A session that rested for more than ``rest`` seconds is asked
    whether it still lives before it is used again.
    """

    def __init__(self, make: Callable[[], S], label: str, connections: int, server: H, *, rest: float = 0.2) -> None:
        self.label = label
        self.connections = connections
        self.server = server
        #: Unfinished files of ours that could not be deleted yet.
        self.leftovers: set[StorePath] = set()
        self._make = make
        self._rest = rest
        self._gate = threading.Semaphore(connections)
        self._lock = threading.Lock()
        self._idle: list[tuple[S, float]] = []
        self._holders: list[int] = []
        self._era = 0

    def enter(self) -> int:
        """Wait for a place among the running calls; gives a token for `leave`."""
        thread = threading.get_ident()
        if not self._gate.acquire(blocking=False):
            with self._lock:
                alone = self._holders.count(thread) >= self.connections
            if alone:
                raise RuntimeError(
                    f"this thread already runs {self.connections} calls on {self.label}, "
                    f"as many as it has connections, and would wait for itself: finish or close one first"
                )
            self._gate.acquire()
        with self._lock:
            self._holders.append(thread)
        return thread

    def enter_beside(self) -> int | None:
        """Take a second place for a running call if another one stays free for others; never waits."""
        if not self._gate.acquire(blocking=False):
            return None
        if not self._gate.acquire(blocking=False):
            self._gate.release()
            return None
        self._gate.release()
        thread = threading.get_ident()
        with self._lock:
            self._holders.append(thread)
        return thread

    def leave(self, token: int) -> None:
        """Give a place back."""
        with self._lock:
            self._holders.remove(token)
        self._gate.release()

    def take(self) -> tuple[S, int]:
        """Return an idle session that still lives, or a new one, and the era it belongs to."""
        while True:
            with self._lock:
                era = self._era
                session, since = self._idle.pop() if self._idle else (None, 0.0)
            if session is None:
                return self._make(), era
            if monotonic() - since < self._rest or session.alive():
                return session, era
            session.close()

    def give(self, session: S, era: int) -> None:
        """Take a session back; one in the middle of something, or from before `close`, is ended."""
        settled = session.settle()
        with self._lock:
            kept = settled and era == self._era
            if kept:
                self._idle.append((session, monotonic()))
        if not kept:
            session.close(politely=True)

    def close(self) -> None:
        """End all idle sessions, and those in use as soon as they are given back."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._era += 1
        for session, _ in idle:
            session.close(politely=True)


class Lease(Generic[S, H]):
    """One call's way to the server: a place among the running calls, and a session that can be replaced."""

    def __init__(self, pool: Pool[S, H], token: int | None = None) -> None:
        self.pool = pool
        self.label = pool.label
        self.server = pool.server
        self._session: S | None = None
        self._era = 0
        self._token: int | None = pool.enter() if token is None else token

    def beside(self) -> "Lease[S, H] | None":
        """Return a second lease for the same call, if the pool can spare one."""
        token = self.pool.enter_beside()
        return None if token is None else Lease(self.pool, token)

    def __enter__(self) -> Self:
        """Use as a context manager to release it at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it; a session that is to blame for what went wrong, or may be, is not used again."""
        if isinstance(err, Cut | Silence | Garbled) or not isinstance(err, NightferryError | GeneratorExit | None):
            self.drop()
        self.release()

    @contextmanager
    def dropped_unless_done(self) -> Iterator[None]:
        """End the session unless this block is gone through to its end: something is open on it until then."""
        try:
            yield
        except BaseException:
            self.drop()
            raise

    @property
    def session(self) -> S:
        """The session, made when it is first needed; raises `Unreachable` or `Misconfigured`."""
        if self._session is None:
            self._session, self._era = self.pool.take()
        return self._session

    def checked(self) -> S:
        """Return a session that lives, after a while in which the server may have ended the old one."""
        if self._session is not None and not self._session.alive():
            self.drop()
        return self.session

    def has(self, session: S) -> bool:
        """Whether this is the session in use."""
        return session is self._session

    def drop(self) -> None:
        """End the session, whatever it is in the middle of; the next use makes a new one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def release(self) -> None:
        """Give session and place back; may be called again."""
        if self._session is not None:
            session, self._session = self._session, None
            self.pool.give(session, self._era)
        if self._token is not None:
            token, self._token = self._token, None
            self.pool.leave(token)


def stat_over(
    pool: Pool[S, H],
    stat: Callable[[Lease[S, H], list[StorePath]], Iterator[Entry | None]],
    paths: Iterable[StorePath],
) -> Iterator[Entry | None]:
    """Yield sizes and times over a lease of a pool; see `Store.stat`.

    The paths are taken in first: they may come out of a listing of this very store, which needs a lease, too.
    """
    asked = [*paths]
    with Lease(pool) as lease:
        yield from stat(lease, asked)
