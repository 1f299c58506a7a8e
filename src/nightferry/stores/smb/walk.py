"""Listings: many folders are read at once, and what is told of each file comes with its name."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

from nightferry.core.errors import Misconfigured, NightferryError, Unreachable
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.kit.listings import Names
from nightferry.stores.kit.sessions import Cut
from nightferry.stores.kit.tree import Tree
from nightferry.stores.paths import is_text, path_refusal, split
from nightferry.stores.smb import wire
from nightferry.stores.smb.session import Session, SmbLease
from nightferry.stores.smb.wire import NOT_THERE, Facts, Named, Status, told

#: Folders that are read side by side.
_WIDE = 12
#: Folders that are waiting to be read when a second session is worth its login: a server works for each by itself.
_MANY = 40
#: Bytes of names that are asked for with a folder's opening, and then.
_FIRST, _THEN = 64 * 1024, 512 * 1024
#: Files that are asked about in one go.
_WINDOW = 64
#: What is answered of a folder that is there: it leads elsewhere, or its name is shown and not taken.
_SHOWN_ALL_THE_SAME = {Status.STOPPED_ON_SYMLINK, Status.OBJECT_NAME_INVALID, Status.NAME_TOO_LONG}


@dataclass(slots=True)
class Reading:
    """A folder that is being read; ``above`` are the numbers of the folders that it lies in, and its own."""

    session: Session
    folder: StorePath
    above: frozenset[int]
    opening: int
    requests: deque[int]
    handle: bytes | None = None


def walk(lease: SmbLease, enter: Callable[[StorePath], bool] | None) -> Iterator[Entry | Oddity]:
    """Yield every file below the root, with all that cannot be carried; see `Store.list`."""
    with ExitStack() as stack:
        sessions, alone = [lease.session], True
        waiting: deque[tuple[StorePath, frozenset[int]]] = deque([(ROOT, frozenset())])
        tree = Tree()
        readings: deque[Reading] = deque()
        while waiting or readings:
            if alone and len(waiting) > _MANY:
                alone = False
                sessions += _second(lease, stack)
            yield from _begin(sessions, waiting, readings)
            if not readings:
                continue
            reading = readings.popleft()
            if reading.handle is None and (unread := _opened(reading)) is not None:
                yield from unread
                continue
            names = _piece(reading)
            if names is None or isinstance(names, Oddity):
                yield from () if names is None else (names,)
                continue
            readings.append(reading)
            found, folders = _sorted(reading, names)
            ahead, odd = tree.sorted(folders, enter)
            waiting.extend((inner, folders[inner]) for inner in ahead)
            yield from found
            yield from odd


def _begin(
    sessions: list[Session], waiting: deque[tuple[StorePath, frozenset[int]]], readings: deque[Reading]
) -> Iterator[Oddity]:
    """Ask for as many folders as are read side by side, on each session in turn."""
    while waiting and len(readings) < _WIDE * len(sessions):
        begun = _begun(sessions[0], *waiting.popleft())
        sessions.append(sessions.pop(0))
        if isinstance(begun, Reading):
            readings.append(begun)
        else:
            yield begun


def _second(lease: SmbLease, stack: ExitStack) -> list[Session]:
    """Return another session to read with; none where the pool, or the server, has none to spare."""
    beside = lease.beside()
    if beside is None:
        return []
    stack.enter_context(beside)
    stack.push(lambda _kind, err, _trace: beside.drop() if err is not None else None)  # folders are open on it
    try:
        return [beside.session]
    except NightferryError:
        return []


def _begun(session: Session, folder: StorePath, above: frozenset[int]) -> Reading | Oddity:
    """Ask for a folder, its first names, and what comes after them, in one go."""
    place = session.place(folder)
    if place is None:  # a name of a listing of this very server
        if folder:
            return Oddity("unread", folder, "it cannot be asked for by this name; rename it there")
        raise Misconfigured(f"{session.label}: the folder cannot be asked for by this name; correct the URL's path")
    opening, *rest = session.chain(
        [
            wire.create(place, wire.LIST | wire.READ_ATTRIBUTES, options=wire.FOLDER_ONLY),
            wire.query_folder(min(_FIRST, session.longest_listing)),
            wire.query_folder(min(_FIRST, session.longest_listing)),
        ]
    )
    return Reading(session, folder, above, opening, deque(rest))


def _opened(reading: Reading) -> list[Oddity] | None:
    """Take the answer to an open; tell what to yield if the folder cannot be read, None if it can."""
    session = reading.session
    status, body = session.wait(reading.opening)
    if not status:
        reading.handle = wire.read_opened(body).handle
        return None
    for request in reading.requests:
        session.forget(request)
    if not reading.folder:
        raise _rootless(session, status)
    if status in NOT_THERE - _SHOWN_ALL_THE_SAME:  # it vanished since its parent was listed
        return []
    if status == Status.ACCESS_DENIED:
        return [Oddity("closed", *split(reading.folder))]
    return [_unread(reading, status)]


def _unread(reading: Reading, status: int) -> Oddity:
    """Return the oddity of a folder that is not listed whole; raises what concerns the whole share."""
    err = reading.session.refusal(status, f"listing the folder {reading.folder!a}")
    if isinstance(err, Unreachable | Cut) or not reading.folder:
        raise err
    return Oddity("unread", reading.folder, told(status))


def _rootless(session: Session, status: int) -> NightferryError:
    if status in NOT_THERE or status == Status.ACCESS_DENIED:
        return Misconfigured(
            f"{session.label}: the folder cannot be read ({told(status)}); correct the URL's path, or the rights there"
        )
    return session.refusal(status, "listing the folder that the URL names")


def _piece(reading: Reading) -> list[Named] | Oddity | None:
    """Take the next piece of a folder; None at its end, an oddity where that comes too early."""
    session, handle = reading.session, reading.handle or b""
    status, body = session.wait(reading.requests.popleft())
    if not status:
        names = wire.read_names(body)
        if not reading.requests:
            length = min(_THEN, session.longest_listing)
            reading.requests.extend(session.ask(wire.query_folder(length, handle)) for _ in range(2))
        return names
    for request in reading.requests:
        session.forget(request)
    session.forget(session.ask(wire.close(handle)))
    if status in {Status.NO_MORE_FILES, Status.NO_SUCH_FILE} or status in NOT_THERE:
        return None
    return _unread(reading, status)


def _sorted(reading: Reading, names: list[Named]) -> tuple[list[Entry | Oddity], dict[StorePath, frozenset[int]]]:
    """Return the files and oddities of a piece of a listing, and its folders with the numbers of those above."""
    found: list[Entry | Oddity] = []
    folders: dict[StorePath, frozenset[int]] = {}
    folder = reading.folder
    path_of = Names(folder).path
    for raw, (size, mtime_us, attributes), link, number in names:
        name = _decoded(raw)
        if name == ".":
            reading.above |= {number} - {0}
            continue
        if name == "..":
            continue
        if not name.isascii() and not is_text(name):
            found.append(Oddity("name", folder, ascii(name)[:300]))
            continue
        path = path_of(name, len(name.encode()))
        if path is None:
            continue
        if isinstance(path, Oddity):
            found.append(path)
        elif link or (attributes & wire.IS_FOLDER and number in reading.above):
            found.append(Oddity("link", folder, name))  # the server follows some by itself, and then goes in circles
        elif attributes & wire.IS_FOLDER:
            folders[path] = reading.above | ({number} - {0})
        elif attributes & wire.IS_DEVICE:
            found.append(Oddity("special", folder, name))
        else:
            found.append(Entry(path, size, mtime_us))
    return found, folders


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-16-le", "surrogatepass") if len(raw) % 2 == 0 else "\ud800"


def stat_all(lease: SmbLease, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
    """Yield each file's size and time, in order; see `Store.stat`."""
    rest = iter(paths)
    while batch := list(islice(rest, _WINDOW)):
        session = lease.session
        asked = [None if path_refusal(path) else session.place(path) for path in batch]
        chains = [
            None
            if place is None
            else session.chain(
                [
                    wire.create(place, wire.READ_ATTRIBUTES, options=wire.FILE_ONLY),
                    wire.close(),
                ]
            )
            for place in asked
        ]
        answers = [_told(session, path, chain) for path, chain in zip(batch, chains, strict=True)]
        if None in answers:
            session.need_root()
        yield from answers


def _told(session: Session, path: StorePath, chain: list[int] | None) -> Entry | None:
    if chain is None:
        return None
    opened, closed = map(session.wait, chain)
    if not opened.status:
        session.tidy(opened, closed)
        return as_entry(path, wire.read_opened(opened.body).facts)
    if opened.status in NOT_THERE:
        return None
    raise session.refusal(opened.status, f"looking at {path!a}")


def as_entry(path: StorePath, facts: Facts) -> Entry | None:
    """Make an entry of what a server tells; None for what is no plain file."""
    if facts.attributes & (wire.IS_FOLDER | wire.IS_DEVICE):
        return None
    return Entry(path, facts.size, facts.mtime_us)
