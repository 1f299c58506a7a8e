"""A conformance stage on the in-memory store: an example to start from, and a store that fails on demand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from nightferry.core.errors import Misconfigured, NoSpace, Unreachable
from nightferry.core.store import Store
from nightferry.stores.memory import MemoryDisk, MemoryFile, MemoryStore, now_us
from nightferry.testing.conform_stage import PLANTED_US, Fault, store_path


@dataclass(slots=True)
class FaultyWire:
    """A wire that misbehaves as its fields say; all None and 0: not at all.

    ``lives`` is how many more bytes move, either way, before the far side is away; ``silent`` makes it go by
    silence (for ``timeout`` seconds, the store's own) instead of at once. The rest is as in `StoreStage`.
    """

    lives: int | None = None
    silent: bool = False
    timeout: float = 0.05
    cut: int | None = None
    lie: int = 0
    refused: bool = False
    space: int | None = None
    kept: int | None = None

    def ask(self) -> None:
        """Let a request pass unless the far side is away."""
        if self.lives is not None and self.lives <= 0:
            if self.silent:
                threading.Event().wait(self.timeout)
                raise Unreachable(f"memory: gave no answer within {self.timeout} s")
            raise Unreachable("memory: is away")

    def size(self, true: int) -> int:
        """Return a size, true or not."""
        return max(true + self.lie, 0)

    def send(self, sent: int, ready: int) -> int:
        """Move bytes of a fetched file until the cut, or until the far side is away."""
        return self._move(ready if self.cut is None else min(ready, max(self.cut - sent, 0)))

    def change(self) -> None:
        """Refuse a change on a read-only disk."""
        if self.refused:
            raise Misconfigured("memory: nothing may be written here")

    def keep(self, kept: int, ready: int) -> int:
        """Take bytes of a put file until the far side is away or full; keep them all or not."""
        moved = self._move(ready)
        while moved < ready:
            self.ask()
            moved += self._move(ready - moved)
        if self.space is not None:
            self.space -= ready
            if self.space < 0:
                raise NoSpace("memory: no space is left")
        return ready if self.kept is None else min(ready, max(self.kept - kept, 0))

    def _move(self, ready: int) -> int:
        if self.lives is None:
            return ready
        moved = min(ready, self.lives)
        self.lives -= moved
        return moved


class MemoryStage:
    """The far side of a `MemoryStore`; it can play every fault."""

    FAULTS: ClassVar[frozenset[Fault]] = frozenset(Fault)

    def __init__(self) -> None:
        self.disk = MemoryDisk()
        self.wire = FaultyWire()

    @property
    def faults(self) -> frozenset[Fault]:
        """All of them."""
        return self.FAULTS

    def store(self) -> Store:
        """Make a fresh store on the disk."""
        return MemoryStore(self.disk, wire=self.wire)

    def astray(self) -> Store:
        """Make a store on a disk that is not there."""
        return MemoryStore(MemoryDisk(present=False), wire=self.wire)

    def hasty(self) -> Store:
        """Make a fresh store: the wire's silence is short anyhow."""
        return self.store()

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        """Write a file into the disk."""
        self.disk.files[store_path(path)] = MemoryFile(data, PLANTED_US if mtime_us is None else mtime_us)

    def content(self, path: bytes) -> bytes | None:
        """Look at a file's bytes."""
        file = self.disk.files.get(store_path(path))
        return file.data if file else None

    def everything(self) -> frozenset[bytes]:
        """Return all paths of files."""
        return frozenset(path.encode("utf-8", "surrogateescape") for path in self.disk.files)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a link."""
        self.disk.links[store_path(path)] = store_path(target)

    def grow(self, path: bytes, more: bytes) -> None:
        """Append to a file."""
        name = store_path(path)
        self.disk.files[name] = MemoryFile(self.disk.files[name].data + more, now_us())

    @contextmanager
    def dies(self, after: int) -> Iterator[None]:
        """Be away after this many bytes."""
        self.wire.lives = after
        yield
        self.wire.lives = None

    @contextmanager
    def freezes(self, after: int) -> Iterator[None]:
        """Be silent after this many bytes."""
        self.wire.lives, self.wire.silent = after, True
        yield
        self.wire.lives, self.wire.silent = None, False

    @contextmanager
    def cuts_short(self, after: int) -> Iterator[None]:
        """End each fetched file there."""
        self.wire.cut = after
        yield
        self.wire.cut = None

    @contextmanager
    def lies_about_size(self, by: int) -> Iterator[None]:
        """Have wrong sizes told."""
        self.wire.lie = by
        yield
        self.wire.lie = 0

    @contextmanager
    def refuses_write(self) -> Iterator[None]:
        """Be read-only."""
        self.wire.refused = True
        yield
        self.wire.refused = False

    @contextmanager
    def full(self, after: int) -> Iterator[None]:
        """Be full after this many bytes."""
        self.wire.space = after
        yield
        self.wire.space = None

    @contextmanager
    def stores_short(self, after: int) -> Iterator[None]:
        """Keep only the start of each put file."""
        self.wire.kept = after
        yield
        self.wire.kept = None
