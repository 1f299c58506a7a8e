"""Limited: at most a number of calls at once on one host."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from weakref import WeakValueDictionary

from nightferry.core.store import Arrival, Entry, Load, Oddity, PutAnswer, Store, StorePath, Traits, Want


def limited(store: Store, limit: int, host: str = "") -> Store:
    """Let at most ``limit`` calls run on a host at once, over all stores that name it; others wait their turn.

    ``host`` is any text that two stores of the same machine share; without one a store is limited by its own
    label. Stores with different limits on one host each keep to their own: a call starts when fewer than its
    store's ``limit`` run there. An iterator counts from its first step until it ends or is closed. A thread that
    holds every place already raises RuntimeError rather than to wait for itself for ever.
    """
    if limit < 1:
        raise ValueError(f"a store needs one call at least, not {limit}")
    return _Limited(store, limit, _gate(host or store.traits.label))


class _Gate:
    """Counts the calls that run on one host, by the thread that holds each."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._holders: list[int] = []

    @contextmanager
    def place(self, limit: int) -> Iterator[None]:
        """Wait until fewer than ``limit`` calls run, and count as one more."""
        thread = threading.get_ident()
        with self._changed:
            while len(self._holders) >= limit:
                if set(self._holders) == {thread}:
                    raise RuntimeError(
                        f"this thread would wait for itself: it has {len(self._holders)} calls of {limit} running "
                        "on this host already; finish or close their iterators first"
                    )
                self._changed.wait()
            self._holders.append(thread)
        try:
            yield
        finally:
            with self._changed:
                self._holders.remove(thread)
                self._changed.notify_all()


# The calls that run on a host are a fact of this process, whichever store they came from.
_gates: WeakValueDictionary[str, _Gate] = WeakValueDictionary()
_gates_lock = threading.Lock()


def _gate(host: str) -> _Gate:
    with _gates_lock:
        gate = _gates.get(host)
        if gate is None:
            gate = _gates[host] = _Gate()
        return gate


class _Limited:
    """A store whose calls wait for a place."""

    def __init__(self, store: Store, limit: int, gate: _Gate) -> None:
        self._store, self._limit, self._gate = store, limit, gate

    @property
    def traits(self) -> Traits:
        traits = self._store.traits
        return replace(traits, connections=min(self._limit, traits.connections))

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        with self._gate.place(self._limit):
            yield from self._store.list(enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        asked = [*paths]  # they may come out of a listing of this very store, which needs a place, too
        with self._gate.place(self._limit):
            yield from self._store.stat(asked)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        with self._gate.place(self._limit):
            yield from self._store.fetch(wants)

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        with self._gate.place(self._limit):
            yield from self._store.put(loads)

    def remove(self, path: StorePath) -> None:
        with self._gate.place(self._limit):
            self._store.remove(path)

    def close(self) -> None:
        self._store.close()
