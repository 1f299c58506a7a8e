"""Files on their way out over SMB: written under a name of their own, synced, and then given their true name.

An unfinished file is marked to be deleted when it is closed, by whatever: when the connection breaks, or this program
ends, the server itself clears it away. Only a whole and synced file loses that mark and is renamed, which the server
does not do over a name that is taken; and then it is synced once more, so that the name is on the disk, too.
"""

import os
from collections import deque
from collections.abc import Callable
from typing import BinaryIO

from nightferry.core.errors import Gone, Held, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import ROOT, Load, StorePath
from nightferry.stores.paths import checked, part_name, windows_refusal
from nightferry.stores.sessions import Cut, Garbled, Line, Silence
from nightferry.stores.smb import wire
from nightferry.stores.smb.session import Answer, Session
from nightferry.stores.smb.status import NOT_THERE, Status
from nightferry.stores.smb.wire import Opened

#: Bytes on their way at once, and in one message.
_WINDOW, _PIECE = 4 << 20, 512 * 1024
_ACCESS = wire.WRITE_DATA | wire.READ_ATTRIBUTES | wire.DELETE | wire.SYNCHRONIZE


class Putter:
    """Stores files one after the other; remembers, for one call, which folders are there."""

    def __init__(self, line: Line[Session]) -> None:
        self._line = line
        self._label = line.label
        self._folders: set[StorePath] = set()
        self._session: Session | None = None
        self._pace: Callable[[int], None] | None = None

    def put(self, load: Load) -> NightferryError | None:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        self._pace = load.pace
        try:
            folder = _split(fitting(load.target))[0]
            source, size = _opened(load)
        except NightferryError as err:
            return err
        with source:
            session = self._ready()
            try:
                self._sweep(session)
                self._enter(session, folder)
                if session.look(load.target) is not None:
                    return self._occupied(load.target)
                self._carry(session, source, size, load.target)
            except (Cut, Silence, Garbled) as err:
                self._line.drop()
                return TryAgain(f"{err}: storing {load.target!a} was not confirmed")
            except Misconfigured:
                raise
            except NightferryError as err:
                return err
        return None

    def _ready(self) -> Session:
        session = self._line.session
        if session is not self._session:
            self._session = session
            self._folders.clear()
        return session

    # -- the steps of a put ------------------------------------------------------------------------------------

    def _carry(self, session: Session, source: BinaryIO, size: int, target: StorePath) -> None:
        part = _joined(_split(target)[0], part_name())
        opened, doomed = session.do_all(
            wire.create(_place(session, part), _ACCESS, disposition=wire.NEW, options=wire.FILE_ONLY), wire.dispose()
        )
        self._done(session, opened, f"storing {target!a}")
        file = wire.read_opened(opened.body)
        try:
            self._done(session, doomed, f"marking the unfinished file for {target!a}")
            self._write(session, source, file, size, target)
            self._name(session, file, part, target)
        except (Cut, Silence, Garbled):
            self._line.pool.leftovers.add(part)  # a server that is killed clears nothing away
            raise
        except BaseException:
            session.do_all(wire.dispose(file.handle), wire.close(file.handle))
            raise

    def _write(self, session: Session, source: BinaryIO, file: Opened, size: int, target: StorePath) -> None:
        """Send a file's bytes, have them synced, and see to it that all are there."""
        sent = self._send(session, source, file, target)
        if sent != size:
            raise TryAgain(f"the local file for {target!a} changed while it was stored; tried again later")
        synced, told = session.do_all(wire.flush(file.handle), wire.query_size(file.handle))
        self._done(session, synced, f"syncing the file for {target!a}")
        self._done(session, told, f"measuring the file for {target!a}")
        kept = wire.read_size(told.body)
        if kept != size:
            raise TryAgain(f"{self._label}: of {size} bytes for {target!a} the server kept {kept}; tried again later")

    def _send(self, session: Session, source: BinaryIO, file: Opened, target: StorePath) -> int:
        under_way: deque[tuple[int, int]] = deque()
        sent = flying = 0
        longest = min(session.longest_write, _PIECE)
        try:
            while data := _read(source, longest, target):
                under_way.append((session.ask(wire.write(sent, data, file.handle)), len(data)))
                sent += len(data)
                flying += len(data)
                if self._pace is not None:
                    self._pace(len(data))
                while flying > _WINDOW:
                    flying -= self._taken(session, *under_way.popleft(), target)
            while under_way:
                self._taken(session, *under_way.popleft(), target)
        finally:
            for request, _ in under_way:
                session.forget(request)
        return sent

    def _taken(self, session: Session, request: int, length: int, target: StorePath) -> int:
        """Take the answer to a write."""
        answer = session.wait(request)
        self._done(session, answer, f"storing {target!a}")
        kept = wire.read_written(answer.body)
        if kept != length:
            raise TryAgain(f"{self._label}: of {length} bytes for {target!a} the server took {kept}; tried again later")
        return length

    def _name(self, session: Session, file: Opened, part: StorePath, target: StorePath) -> None:
        """Give a whole file its true name, unless that is taken by now."""
        self._line.pool.leftovers.add(part)  # from here on the server would keep it
        spared, named = session.do_all(
            wire.dispose(file.handle, doomed=False), wire.rename(_place(session, target), file.handle)
        )
        for answer in (spared, named):
            if answer.status == Status.OBJECT_NAME_COLLISION:
                raise self._occupied(target)
            self._done(session, answer, f"giving a file the name {target!a}")
        self._line.pool.leftovers.discard(part)
        synced, closed = session.do_all(wire.flush(file.handle), wire.close(file.handle))
        for answer in (synced, closed):
            self._done(session, answer, f"syncing the name {target!a}")

    # -- folders -----------------------------------------------------------------------------------------------

    def _enter(self, session: Session, folder: StorePath) -> None:
        """See to it that a folder is there, and is no link to somewhere else."""
        if folder in self._folders:
            return
        if folder == ROOT:
            session.need_root()
        else:
            self._enter(session, _split(folder)[0])
            self._make(session, folder)
        self._folders.add(folder)

    def _make(self, session: Session, folder: StorePath) -> None:
        opened, closed = session.do_all(
            wire.create(
                _place(session, folder),
                wire.READ_ATTRIBUTES,
                disposition=wire.OPEN_OR_NEW,
                options=wire.FOLDER_ONLY,
            ),
            wire.close(),
        )
        if opened.status in {Status.NOT_A_DIRECTORY, Status.OBJECT_NAME_COLLISION, Status.STOPPED_ON_SYMLINK}:
            raise Occupied(f"{self._label}: {folder!a} should be a folder, but something else has that name")
        self._done(session, opened, f"making the folder {folder!a}")
        session.tidy(opened, closed)
        if wire.read_opened(opened.body).facts.attributes & wire.IS_REPARSE:
            raise Occupied(f"{self._label}: {folder!a} should be a folder, but is a link to somewhere else")

    # -- ends --------------------------------------------------------------------------------------------------

    def _done(self, session: Session, answer: Answer, doing: str) -> None:
        """Raise what an answer that is no success means."""
        if answer.status:
            refusal = session.refusal(answer.status, doing)
            # what we write to is not to be found: that is no fault of the frame
            raise TryAgain(str(refusal)) if isinstance(refusal, Gone) else refusal

    def _sweep(self, session: Session) -> None:
        """Delete unfinished files that troubles left behind."""
        leftovers = self._line.pool.leftovers
        for part in tuple(leftovers):
            opened, doomed, _ = session.do_all(
                wire.create(_place(session, part), wire.DELETE, options=wire.FILE_ONLY), wire.dispose(), wire.close()
            )
            if opened.status in NOT_THERE or not (opened.status or doomed.status):
                leftovers.discard(part)

    def _occupied(self, target: StorePath) -> Occupied:
        return Occupied(f"{self._label}: the name {target!a} is taken; nothing was changed there")


def fitting(path: StorePath) -> StorePath:
    """Give back a path that Windows can hold, letter for letter; raises `Held` for any other."""
    for name in checked(path).split("/"):
        refusal = windows_refusal(name)
        if not refusal and not _is_text(name):
            refusal = f"the name {name!a} is no text, and names on an SMB share are"
        if refusal:
            raise Held(f"{refusal}: nothing is stored there; change the name template, or rename it at its origin")
    return path


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place(session: Session, path: StorePath) -> bytes:
    """Tell a path that is known to fit as the server knows it."""
    place = session.place(path)
    if place is None:
        raise Held(f"{session.label}: no file on an SMB share can have the name {path!a}; rename it at its origin")
    return place


def _read(source: BinaryIO, length: int, target: StorePath) -> bytes:
    try:
        return source.read(length)
    except OSError as err:
        raise TryAgain(f"reading the local file for {target!a} failed ({err.strerror}); check that disk") from err


def _split(path: StorePath) -> tuple[StorePath, str]:
    folder, _, name = path.rpartition("/")
    return StorePath(folder), name


def _joined(folder: StorePath, name: str) -> StorePath:
    return StorePath(f"{folder}/{name}" if folder else name)


def _opened(load: Load) -> tuple[BinaryIO, int]:
    try:
        source = load.source.open("rb", buffering=0)
    except FileNotFoundError as err:
        raise Gone(f"the local file {load.source} is no longer there; nothing was stored") from err
    except OSError as err:
        raise TryAgain(
            f"the local file {load.source} cannot be read ({err.strerror}); check it and its rights"
        ) from err
    return source, os.fstat(source.fileno()).st_size
