"""Stores on disks and shares that may not be mounted: an empty mount point is never taken for an empty telescope."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from nightferry.core.errors import Unreachable
from nightferry.core.store import Arrival, Entry, Load, Oddity, PutAnswer, Store, StorePath, Traits, Want
from nightferry.disk.mounts import is_mounted


def mounted(store: Store, point: Path) -> Store:
    """Let a store work only while something is mounted at ``point``; else its calls raise `Unreachable`."""
    return _Mounted(store, point)


class _Mounted:
    """A store whose calls look first whether its disk is there."""

    def __init__(self, store: Store, point: Path) -> None:
        self._store, self._point = store, point

    @property
    def traits(self) -> Traits:
        return self._store.traits

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        self._require()
        yield from self._store.list(enter)
        self._require()  # what went away meanwhile was not listed to its end

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        self._require()
        yield from self._store.stat(paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        self._require()
        yield from self._store.fetch(wants)

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        self._require()
        yield from self._store.put(loads)

    def remove(self, path: StorePath) -> None:
        self._require()
        self._store.remove(path)

    def close(self) -> None:
        self._store.close()

    def _require(self) -> None:
        if is_mounted(self._point):
            return
        raise Unreachable(
            f"{self._store.traits.label}: nothing is mounted at {self._point}, so what is there is not its own. "
            'Mount its disk or share. Where the mount point is a folder above, name that one: mount = "/mnt/point"'
        )
