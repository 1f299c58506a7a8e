"""Files on their way out over SFTP: written under a name of their own, synced, and then given their true name.

The name is given by a hard link (``hardlink@openssh.com``), which no system makes over a name that is taken;
where there are no hard links, by the protocol's own rename, which must not replace but may be raced. The file and
its folder are synced (``fsync@openssh.com``) before the answer, where the server can.
"""

from collections import deque

from nightferry.core.errors import Gone, Misconfigured, NightferryError, NoSpace, Occupied, TryAgain
from nightferry.core.store import ROOT, Load, StorePath
from nightferry.stores.kit.loads import Content, occupied, stored, sweep, unfinished
from nightferry.stores.kit.sessions import Cut, Garbled, Silence
from nightferry.stores.paths import above, checked, inside, part_name
from nightferry.stores.sftp.session import Session, SftpLease
from nightferry.stores.sftp.wire import (
    NO_ATTRS,
    OPEN_NEW,
    OPEN_PLAIN,
    OPEN_READ,
    Attrs,
    Code,
    Kind,
    Status,
    mode_attrs,
    number,
    text,
)

#: Bytes on their way at once.
_WINDOW = 4 << 20
_FSYNC, _LINK = b"fsync@openssh.com", b"hardlink@openssh.com"
_FILE_MODE, _FOLDER_MODE = 0o644, 0o755


class Putter:
    """Stores files one after the other; remembers, for one call, which folders are there."""

    def __init__(self, lease: SftpLease) -> None:
        self._lease = lease
        self._label = lease.label
        self._folders: dict[StorePath, bytes | None] = {}
        self._session: Session | None = None

    def put(self, load: Load) -> NightferryError | None:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        return stored(self._lease, load, checked, self._store)

    def _store(self, session: Session, content: Content) -> None:
        if session is not self._session:
            self._session = session
            self._folders.clear()
        folder = above(content.target)
        self._sweep(session)
        self._enter(session, folder)
        if session.look(content.target) is not None:
            raise occupied(self._label, content.target)
        part = inside(folder, part_name())
        try:
            with unfinished(self._lease.pool.leftovers, part):
                self._carry(session, content, part)
                self._name(session, part, content.target)
        except (Cut, Silence, Garbled):
            raise
        except NightferryError:
            self._sweep_up(session)
            raise
        self._sync_folder(session, folder)

    def close(self) -> None:
        """Let go of the folders."""
        if self._session is not None and self._lease.has(self._session):
            for handle in self._folders.values():
                if handle is not None:
                    self._session.forget(self._session.ask(Kind.CLOSE, handle))
        self._folders.clear()

    # -- the steps of a put ------------------------------------------------------------------------------------

    def _carry(self, session: Session, content: Content, part: StorePath) -> None:
        """Have the whole file lie, synced, under the name of an unfinished one."""
        folder = above(part)
        place = session.place(part)
        handle = session.handle(session.wait(session.ask(Kind.OPEN, place, OPEN_NEW, mode_attrs(_FILE_MODE))))
        if isinstance(handle, Status) and handle.code == Code.OP_UNSUPPORTED and session.look(part) is None:
            # no exclusive open here; a name by chance of our own, which was looked for, is as good
            handle = session.handle(session.wait(session.ask(Kind.OPEN, place, OPEN_PLAIN, mode_attrs(_FILE_MODE))))
        if isinstance(handle, Status):
            raise self._refusal(session, handle, folder, content.size)
        trouble = self._write(session, content, handle)
        found = session.attrs(session.wait(session.ask(Kind.FSTAT, handle)))
        if trouble is None and _FSYNC in session.extensions:
            status = session.do(Kind.EXTENDED, text(_FSYNC), handle)
            trouble = None if status.code in {Code.OK, Code.OP_UNSUPPORTED} else status
        status = session.do(Kind.CLOSE, handle)
        trouble = trouble or (None if status.code == Code.OK else status)
        if isinstance(trouble, Status):
            raise self._refusal(session, trouble, folder, content.size)
        if trouble is not None:
            raise trouble
        if isinstance(found, Status) and found.code == Code.OP_UNSUPPORTED:
            found = session.look(part) or found
        kept = found.size if isinstance(found, Attrs) else found
        if kept != content.size:
            raise content.kept(self._label, kept)

    def _write(self, session: Session, content: Content, handle: bytes) -> Status | NightferryError | None:
        """Send a file's bytes; tell why the server, or our disk, did not go through with it."""
        under_way: deque[tuple[int, int]] = deque()
        sent = flying = 0
        trouble: Status | NightferryError | None = None
        try:
            while trouble is None and (data := content.read(session.limits.write)):
                under_way.append((session.ask(Kind.WRITE, handle, number(sent), text(data)), len(data)))
                sent += len(data)
                flying += len(data)
                content.went(len(data))
                while flying > _WINDOW and trouble is None:
                    trouble, flying = _taken(session, under_way, flying)
            if trouble is None:
                content.need_all(sent)
        except (Cut, Silence, Garbled):
            raise
        except NightferryError as err:  # the file at the server is to be closed all the same
            trouble = err
        while under_way:
            failed, flying = _taken(session, under_way, flying)
            trouble = trouble or failed
        return trouble

    def _name(self, session: Session, part: StorePath, target: StorePath) -> None:
        """Give a whole file its true name, unless that is taken by now."""
        places = session.place(part), session.place(target)
        status = Status(Code.OP_UNSUPPORTED, "")
        if _LINK in session.extensions:
            status = session.do(Kind.EXTENDED, text(_LINK), *places)
            if status.code == Code.OK:
                if session.do(Kind.REMOVE, places[0]).code != Code.OK:
                    self._lease.pool.leftovers.add(part)
                return
        if session.look(target) is None:
            self._lease.server.links = False  # a rename may be raced
            status = session.do(Kind.RENAME, *places)
            if status.code == Code.OK:
                return
        if session.look(target) is not None:
            raise occupied(self._label, target)
        if status.code == Code.OP_UNSUPPORTED:
            raise Misconfigured(
                f"{self._label}: the server knows neither RENAME nor hard links ({status}), without which no file can "
                "be there whole or not at all; switch one of them on there, or use another protocol of that server"
            )
        raise session.refusal(status, f"giving a file the name {target!a}")

    def _sync_folder(self, session: Session, folder: StorePath) -> None:
        """Have the names in a folder reach the disk, where the server opens and syncs folders as it does files."""
        handle = self._folders.get(folder)
        if handle is not None:
            status = session.do(Kind.EXTENDED, text(_FSYNC), handle)
            if status.code == Code.FAILURE:
                raise TryAgain(
                    f"{self._label}: the folder {folder!a} could not be synced ({status}); tried again later"
                )

    # -- folders -----------------------------------------------------------------------------------------------

    def _enter(self, session: Session, folder: StorePath) -> None:
        """Make sure that a folder is there, and is no link to somewhere else."""
        if folder in self._folders:
            return
        if folder == ROOT:
            session.need_root()
        else:
            outer = above(folder)
            self._enter(session, outer)
            if self._made(session, folder):
                self._sync_folder(session, outer)
        if len(self._folders) >= 32:  # noqa: PLR2004 - servers open no more than some hundred at once
            self.close()
        self._folders[folder] = self._folder_handle(session, folder)

    def _made(self, session: Session, folder: StorePath) -> bool:
        """Make a folder if it is not there; tell whether it was made."""
        found = session.look(folder)
        made = False
        if found is None:
            status = session.do(Kind.MKDIR, session.place(folder), mode_attrs(_FOLDER_MODE))
            made = status.code == Code.OK
            found = session.look(folder)  # another writer may have been faster
            if found is None:
                raise self._refusal(session, status, above(folder), 1, f"making the folder {folder!a}")
        if found.kind not in {"folder", ""}:
            raise Occupied(f"{self._label}: {folder!a} should be a folder, but something else has that name")
        return made

    def _folder_handle(self, session: Session, folder: StorePath) -> bytes | None:
        if _FSYNC not in session.extensions:
            return None
        handle = session.handle(session.wait(session.ask(Kind.OPEN, session.place(folder), OPEN_READ, NO_ATTRS)))
        if isinstance(handle, Status):
            return None
        if session.do(Kind.EXTENDED, text(_FSYNC), handle).code != Code.OK:
            session.forget(session.ask(Kind.CLOSE, handle))
            return None
        return handle

    # -- ends --------------------------------------------------------------------------------------------------

    def _refusal(
        self, session: Session, status: Status, folder: StorePath, size: int, doing: str = ""
    ) -> NightferryError:
        """Return why a server did not take a file: SFTP has no word for a full disk, so its space is asked for."""
        doing = doing or f"storing {size} bytes in {folder!a}"
        if status.code not in {Code.PERMISSION_DENIED, Code.NO_SUCH_FILE}:
            free = session.free_space(folder)
            if free is not None and free < size:
                return NoSpace(f"{self._label}: {doing}: the server has {free} bytes left ({status}); free some there")
            if status.code == Code.FAILURE:
                return TryAgain(
                    f"{self._label}: {doing}: the server failed ({status}), which can mean a quota that is used up or "
                    "a disk that can only be read; look there. It is tried again later"
                )
        refusal = session.refusal(status, doing)
        return TryAgain(str(refusal)) if isinstance(refusal, Gone) else refusal

    def _sweep(self, session: Session) -> None:
        """Delete unfinished files that troubles left behind."""

        def deleted(part: StorePath) -> bool:
            return session.do(Kind.REMOVE, session.place(part)).code in {Code.OK, Code.NO_SUCH_FILE}

        sweep(self._lease.pool.leftovers, deleted)

    def _sweep_up(self, session: Session) -> None:
        """Sweep after a failure, which must not become another one."""
        try:
            self._sweep(session)
        except (Cut, Silence, Garbled):
            self._lease.drop()


def _taken(session: Session, under_way: deque[tuple[int, int]], flying: int) -> tuple[Status | None, int]:
    """Take the answer to the oldest write."""
    request, length = under_way.popleft()
    status = session.status(session.wait(request))
    return (None if status.code == Code.OK else status), flying - length
