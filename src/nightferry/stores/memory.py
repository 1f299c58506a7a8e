"""A store in this process's memory: for tests, trials and as the smallest example of a store."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nightferry.core.errors import Changed, Gone, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import BUFFER_SIZE, Arrival, Entry, Load, Oddity, PutAnswer, StorePath, Traits, Want
from nightferry.stores.kit.listings import above_all, entering
from nightferry.stores.paths import checked


class Wire(Protocol):
    """What lies between a memory store and its files, so that tests can make it misbehave."""

    def ask(self) -> None:
        """Let one request pass, or raise what a bad network raises."""
        ...

    def size(self, true: int) -> int:
        """Return which size the far side tells for a file of ``true`` bytes."""
        ...

    def send(self, sent: int, ready: int) -> int:
        """Return how many of ``ready`` bytes of a fetched file move on, after ``sent``; 0 ends the data."""
        ...

    def change(self) -> None:
        """Let one change of the files pass, or raise what a read-only disk raises."""
        ...

    def keep(self, kept: int, ready: int) -> int:
        """Return how many of ``ready`` bytes of a put file are kept, after ``kept``."""
        ...


class GoodWire:
    """A wire that never fails."""

    def ask(self) -> None:
        """Let every request pass."""

    def size(self, true: int) -> int:
        """Return the true size."""
        return true

    def send(self, sent: int, ready: int) -> int:  # noqa: ARG002 - the protocol's signature
        """Move all."""
        return ready

    def change(self) -> None:
        """Let every change pass."""

    def keep(self, kept: int, ready: int) -> int:  # noqa: ARG002 - the protocol's signature
        """Keep all."""
        return ready


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file's bytes and the time of its last change in microseconds since 1970 UTC."""

    data: bytes
    mtime_us: int


@dataclass(slots=True)
class MemoryDisk:
    """The files behind a memory store; a folder is there as long as a file is in it.

    Several stores may stand on one disk. Take ``lock`` around what must not see a change half-way.
    """

    files: dict[StorePath, MemoryFile] = field(default_factory=dict)
    links: dict[StorePath, str] = field(default_factory=dict)
    present: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryStore:
    """A store on a `MemoryDisk`, with exact times, resumed fetches and exclusive puts."""

    def __init__(self, disk: MemoryDisk | None = None, label: str = "memory:", wire: Wire | None = None) -> None:
        self.disk = disk or MemoryDisk()
        self._wire = wire or GoodWire()
        self._traits = Traits(label=label)

    @property
    def traits(self) -> Traits:
        """What this store can do."""
        return self._traits

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the files as they are at the first step."""
        self._wire.ask()
        with self.disk.lock:
            if not self.disk.present:
                raise Misconfigured(f"{self._traits.label} has no such root: give a disk that is present")
            files, links = dict(self.disk.files), dict(self.disk.links)
        inside = entering(enter)
        for path, file in files.items():
            if inside(path):
                yield Entry(path, self._wire.size(len(file.data)), file.mtime_us)
        for path in links:
            if inside(path):
                yield Oddity("link", StorePath(_parent(path)), path.rpartition("/")[2])

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield each file's size and time, None for a file that is not there."""
        for path in paths:
            self._wire.ask()
            file = self.disk.files.get(path)
            yield Entry(path, self._wire.size(len(file.data)), file.mtime_us) if file else None

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted files one after the other."""
        for want in wants:
            yield _MemoryArrival(self.disk, self._wire, want)

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Store local files under their names, each answered at once."""
        for load in loads:
            try:
                self._put(load)
            except NightferryError as err:
                yield err
            else:
                yield None

    def remove(self, path: StorePath) -> None:
        """Delete one file; raises `Gone` when it is not there."""
        self._wire.ask()
        with self.disk.lock:
            if checked(path) not in self.disk.files:
                raise Gone(f"{self._traits.label} has no file {path!r}")
            self._wire.change()
            del self.disk.files[path]

    def close(self) -> None:
        """Let go of nothing: there are no connections."""

    def _put(self, load: Load) -> None:
        target = checked(load.target)
        self._wire.ask()
        self._refuse_taken(target)
        self._wire.change()
        try:
            status = load.source.stat()
            data = self._receive(load)
        except FileNotFoundError as err:
            raise Gone(f"the working file {load.source} is not there (any more)") from err
        except OSError as err:
            raise TryAgain(f"cannot read {load.source} to put it: {err.strerror or err}") from err
        if len(data) != status.st_size:
            raise TryAgain(f"{self._traits.label} kept {len(data)} of {status.st_size} bytes of {target!r}")
        with self.disk.lock:
            self._refuse_taken(target)
            self.disk.files[target] = MemoryFile(data, status.st_mtime_ns // 1000)

    def _receive(self, load: Load) -> bytes:
        kept = bytearray()
        with load.source.open("rb") as source:
            while chunk := source.read(BUFFER_SIZE):
                kept += chunk[: self._wire.keep(len(kept), len(chunk))]
                if load.pace is not None:
                    load.pace(len(chunk))
        return bytes(kept)

    def _refuse_taken(self, target: StorePath) -> None:
        with self.disk.lock:
            if target in self.disk.files or target in self.disk.links:
                raise Occupied(f"{self._traits.label} has a file {target!r} already; nothing was changed")
            if any(path.startswith(f"{target}/") for path in self.disk.files):
                raise Occupied(f"{self._traits.label} has a folder where the file {target!r} should go")
            for folder in above_all(target):
                if folder in self.disk.files or folder in self.disk.links:
                    raise Occupied(f"{self._traits.label} has a file {folder!r} where {target!r} needs a folder")


class _MemoryArrival:
    """One file on its way out of a memory disk."""

    def __init__(self, disk: MemoryDisk, wire: Wire, want: Want) -> None:
        self._disk, self._wire, self._want = disk, wire, want
        self._position = want.offset
        self._ended = False

    @property
    def want(self) -> Want:
        """What was asked for."""
        return self._want

    def read_into(self, buffer: memoryview) -> int:
        """Copy the next bytes of the file as it is now."""
        self._wire.ask()
        data = self._file().data
        if self._want.offset > len(data):
            raise Changed(f"{self._want.path!r} has {len(data)} bytes, fewer than were fetched: {self._want.offset}")
        ready = min(len(data) - self._position, len(buffer))
        count = self._wire.send(self._position - self._want.offset, ready) if ready > 0 else 0
        buffer[:count] = data[self._position : self._position + count]
        self._position += count
        self._ended = count == 0
        return count

    def finish(self) -> Entry:
        """Compare the file as it is now with the want."""
        self._wire.ask()
        if not self._ended:
            raise TryAgain(f"{self._want.path!r} was not read to its end")
        file = self._file()
        entry = Entry(self._want.path, self._wire.size(len(file.data)), file.mtime_us)
        if not entry.agrees_with(self._want.size, self._want.mtime_us):
            raise Changed(f"{self._want.path!r} changed while it was fetched: wanted {self._want}, found {entry}")
        return entry

    def _file(self) -> MemoryFile:
        file = self._disk.files.get(checked(self._want.path))
        if file is None:
            raise Gone(f"there is no file {self._want.path!r}")
        return file


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def now_us() -> int:
    """Return the time in microseconds since 1970 UTC."""
    return time.time_ns() // 1000
