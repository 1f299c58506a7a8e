"""Listings: many folders are read at once, so that a tree costs its names and not its round trips."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from nightferry.core.errors import Misconfigured
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.kit.listings import Names
from nightferry.stores.kit.tree import Tree
from nightferry.stores.paths import path_refusal, split
from nightferry.stores.sftp.kinds import with_kinds
from nightferry.stores.sftp.session import Session, SftpLease
from nightferry.stores.sftp.wire import Attrs, Code, Kind, Named, Status, read_names

#: Folders that are read side by side, and requests on their way for each.
_WIDE, _AHEAD = 12, 2
#: Files that are asked about in one go.
_WINDOW = 64


@dataclass(slots=True)
class Reading:
    """A folder that is being read."""

    folder: StorePath
    opening: int
    handle: bytes | None = None
    requests: deque[int] = field(default_factory=deque)


def walk(lease: SftpLease, enter: Callable[[StorePath], bool] | None) -> Iterator[Entry | Oddity]:
    """Yield every file below the root, with all that cannot be carried; see `Store.list`."""
    session = lease.session
    waiting, tree = deque([ROOT]), Tree()
    readings: deque[Reading] = deque()
    while waiting or readings:
        while waiting and len(readings) < _WIDE:
            folder = waiting.popleft()
            readings.append(Reading(folder, session.ask(Kind.OPENDIR, session.place(folder))))
        reading = readings.popleft()
        if reading.handle is None:
            opened = _opened(session, reading)
            if opened is None:
                readings.append(reading)
            else:
                yield from opened
            continue
        names = _piece(session, reading)
        if names is None:
            continue
        if isinstance(names, Oddity):
            yield names
            continue
        readings.append(reading)
        found, folders = _sorted(reading.folder, with_kinds(session, reading.folder, names))
        ahead, odd = tree.sorted(folders, enter)
        waiting += ahead
        yield from found
        yield from odd


def _opened(session: Session, reading: Reading) -> list[Oddity] | None:
    """Take the answer to an open; tell what to yield if the folder cannot be read, None if it can."""
    answer = session.handle(session.wait(reading.opening))
    if isinstance(answer, bytes):
        reading.handle = answer
        reading.requests.extend(session.ask(Kind.READDIR, answer) for _ in range(_AHEAD))
        return None
    if not reading.folder:
        raise _rootless(session, answer)
    if answer.code == Code.NO_SUCH_FILE:  # it vanished since its parent was listed
        return []
    if answer.code == Code.PERMISSION_DENIED:
        return [Oddity("closed", *split(reading.folder))]
    return [Oddity("unread", reading.folder, f"the server answered {answer}")]


def _rootless(session: Session, answer: Status) -> Exception:
    if answer.code in {Code.NO_SUCH_FILE, Code.PERMISSION_DENIED}:
        return Misconfigured(
            f"{session.label}: the root folder cannot be read ({answer}); correct the URL's path, or the rights there"
        )
    return session.refusal(answer, "listing the root folder")


def _piece(session: Session, reading: Reading) -> list[Named] | Oddity | None:
    """Take the next piece of a folder; None at its end, an oddity where that comes too early."""
    handle = reading.handle or b""
    kind, body = session.wait(reading.requests.popleft())
    if kind == Kind.NAME:
        names = read_names(bytes(body))
        reading.requests.append(session.ask(Kind.READDIR, handle))
        return names
    status = session.status((kind, body))
    for request in reading.requests:
        session.forget(request)
    session.forget(session.ask(Kind.CLOSE, handle))
    if status.code in {Code.EOF, Code.NO_SUCH_FILE}:
        return None
    if reading.folder:
        return Oddity("unread", reading.folder, f"the server broke off its listing: {status}")
    raise session.refusal(status, "listing the root folder")


def _sorted(folder: StorePath, names: list[Named]) -> tuple[list[Entry | Oddity], list[StorePath]]:
    """Return the files and oddities, and the folders, of a piece of a listing."""
    found: list[Entry | Oddity] = []
    folders: list[StorePath] = []
    path_of = Names(folder).path
    for raw, (size, kind, mtime_us) in names:
        if raw in {b".", b".."}:
            continue
        name = raw.decode("utf-8", "surrogateescape")
        path = path_of(name, len(raw))
        if path is None:
            continue
        if isinstance(path, Oddity):
            found.append(path)
        elif kind == "file" and size is not None:
            found.append(Entry(path, size, mtime_us))
        elif kind == "folder":
            folders.append(path)
        elif kind == "link":
            found.append(Oddity("link", folder, name))
        else:
            found.append(Oddity("special" if kind == "special" else "unknown", folder, name))
    return found, folders


def stat_all(lease: SftpLease, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
    """Yield each file's size and time, in order; see `Store.stat`."""
    rest = iter(paths)
    while batch := list(islice(rest, _WINDOW)):
        session = lease.session
        asked = [None if path_refusal(path) else session.ask_look(path) for path in batch]
        answers = [
            None if request is None else as_entry(path, session.looked(path, session.wait(request)))
            for path, request in zip(batch, asked, strict=True)
        ]
        if None in answers:
            session.need_root()
        yield from answers


def as_entry(path: StorePath, attrs: Attrs | None) -> Entry | None:
    """Make an entry of what a server tells; None for what is no plain file."""
    if attrs is None or attrs.size is None or attrs.kind not in {"file", ""}:
        return None
    return Entry(path, attrs.size, attrs.mtime_us)
