"""The store: a place that holds files, telescopes and archives alike.

One protocol of four verbs (list, stat, fetch, put, and remove where allowed). What a store can and cannot do
stands in its `Traits`; nobody tests for a store's type. The contract is what the comments below say, and
`nightferry.testing.conformance` proves it for every store.

Paths in a store are plain strings, ``/`` between folders, relative to the store's root, without a leading
slash; bytes that are not UTF-8 travel as surrogate escapes, so that every name can be given back unchanged.
(They are not ``PurePosixPath``: a listing of 100,000 entries must cost no more than its bytes, see
``docs/decisions``.)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, NewType, Protocol, TypeAlias

from nightferry.core.errors import NightferryError

StorePath = NewType("StorePath", str)
ROOT = StorePath("")

#: A multiple of the FITS block (364 x 2880 bytes), so that whole blocks arrive; measured best near 1 MiB.
BUFFER_SIZE = 364 * 2880


class Entry(NamedTuple):
    """A file as the store shows it now; a tuple, for a listing makes a hundred thousand of them in tenths of a second.

    ``size`` is in bytes. ``mtime_us`` is the time of last change in microseconds since 1970-01-01 UTC by the
    store's own clock, or None when it tells none; ``resolution_us`` is how far it may be off because of the
    way it was told (a minute or a day for a plain FTP listing).
    """

    path: StorePath
    size: int
    mtime_us: int | None
    resolution_us: int = 0

    def agrees_with(self, size: int, mtime_us: int | None) -> bool:
        """Whether this may well be the same state of the file as one of that size and time."""
        if self.size != size:
            return False
        if self.mtime_us is None or mtime_us is None:
            return True
        return abs(self.mtime_us - mtime_us) <= max(self.resolution_us, 0)


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something in a listing that cannot be carried: counted and reported, never dropped.

    ``link``: a symbolic link (never followed); ``name``: a name that could do harm (traversal, CR/LF, NUL);
    ``special``: a device, socket or pipe. These hide nothing. The others leave a listing in doubt, for they may hide
    files: ``line``: a line of it that could not be read; ``closed``: a file or folder that we may not read; ``unread``:
    ``folder`` was not listed whole, and ``text`` says why, in the server's own words where it said something;
    ``unknown``: an entry of which the store does not tell whether it is a file or a folder.
    """

    kind: Literal["link", "name", "line", "special", "closed", "unread", "unknown"]
    folder: StorePath
    text: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What a store can do; anything that depends on it asks here."""

    #: how the store is named in messages, without secrets: ``ftp://10.0.0.1/user``
    label: str
    #: `Store.fetch` honours an offset
    resumes: bool = True
    #: times in `Store.list` are exact, so `Store.stat` would tell nothing more
    exact_times: bool = True
    #: `Store.put` can not replace an existing file, even when two writers race
    exclusive_put: bool = True
    #: how many calls may run side by side
    connections: int = 4


@dataclass(frozen=True, slots=True)
class Want:
    """A file to fetch, from ``offset`` bytes on."""

    path: StorePath
    size: int
    mtime_us: int | None = None
    offset: int = 0


class Arrival(Protocol):
    """One file on its way in."""

    @property
    def want(self) -> Want:
        """What was asked for."""
        ...

    def read_into(self, buffer: memoryview) -> int:
        """Fill ``buffer`` from its start and tell how many bytes came; 0 only at the end of the data.

        The end of the data is not yet proof of anything: `finish` is. Raises `Gone` when the file is not
        there, `TryAgain` for any trouble on the way, `Unreachable` when the store itself went away.
        """
        ...

    def finish(self) -> Entry:
        """Have the store confirm that all was sent, and tell what the file looks like now.

        Raises `TryAgain` unless the store itself says that the transfer ended well, and `Changed` when size
        or time are no longer those of the want. Whether enough bytes came is for the caller to compare.
        """
        ...


@dataclass(frozen=True, slots=True)
class Load:
    """A local file to put under a name in the store.

    A store that has sent some of its bytes tells ``pace`` how many, which may keep it waiting; a store that does not
    is kept waiting between files.
    """

    source: Path
    target: StorePath
    pace: Callable[[int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Linked:
    """The answer of a put that gave the local file itself a second name, instead of copying its bytes."""


@dataclass(frozen=True, slots=True)
class Attested:
    """The answer of a put whose server says by a digest of its own what it holds, and was seen to refuse wrong ones.

    ``digest`` is the BLAKE3 of the bytes that were sent, as they were read here; ``word`` is what the server said.
    """

    digest: str
    word: str


#: None: stored as a copy; `Linked`: stored as a link; `Attested`: stored, on the server's word; an error: not stored.
PutAnswer: TypeAlias = NightferryError | Linked | Attested | None


class Store(Protocol):
    """A place that holds files. Safe to use from several threads; each running call takes one connection."""

    @property
    def traits(self) -> Traits:
        """What this store can do."""
        ...

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree and yield each file once, in no particular order.

        ``enter`` says for each folder whether to look inside. Links are never followed. A folder that
        vanishes while it is being walked is skipped; a root that is missing raises `Misconfigured`, a store
        that cannot be reached raises `Unreachable`: "nothing there" is only ever said by a listing that worked.
        """
        ...

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield each file's exact size and time as it is now, in order; None for a file that is not there."""
        ...

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted files one after the other over one connection.

        Each arrival is read and finished (or given up) before the next is asked for. A file that cannot be
        opened yields an arrival whose first read raises, so one bad file never costs another.
        """
        ...

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Store local files under their names, whole and durable or not at all; answer in order.

        Folders are made as needed. None, `Linked` or `Attested` mean stored; `Occupied` that the name is taken
        (whatever bytes are under it, nothing was changed); other errors as everywhere. An answer may be held back
        until several files were made durable together.
        """
        ...

    def remove(self, path: StorePath) -> None:
        """Delete one file; raises `Gone` when it is not there."""
        ...

    def close(self) -> None:
        """Let go of all connections; the store may be used again afterwards."""
        ...
