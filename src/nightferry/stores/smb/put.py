"""Files on their way out over SMB: written under a name of their own, synced, and then given their true name.

An unfinished file is marked to be deleted when it is closed, by whatever: when the connection breaks, or this program
ends, the server itself clears it away. Only a whole and synced file loses that mark and is renamed, which the server
does not do over a name that is taken; and then it is synced once more, so that the name is on the disk, too.
"""

from collections import deque

from nightferry.core.errors import Gone, Held, NightferryError, Occupied, TryAgain
from nightferry.core.store import ROOT, Load, StorePath
from nightferry.stores.kit.loads import Content, occupied, stored, sweep, unfinished
from nightferry.stores.kit.sessions import Cut, Garbled, Silence
from nightferry.stores.paths import above, checked, inside, is_text, part_name, windows_refusal
from nightferry.stores.smb import wire
from nightferry.stores.smb.session import Answer, Session, SmbLease
from nightferry.stores.smb.wire import NOT_THERE, Opened, Status

#: Bytes on their way at once, and in one message.
_WINDOW, _PIECE = 4 << 20, 512 * 1024
_ACCESS = wire.WRITE_DATA | wire.READ_ATTRIBUTES | wire.DELETE | wire.SYNCHRONIZE


class Putter:
    """Stores files one after the other; remembers, for one call, which folders are there."""

    def __init__(self, lease: SmbLease) -> None:
        self._lease = lease
        self._label = lease.label
        self._folders: set[StorePath] = set()
        self._session: Session | None = None

    def put(self, load: Load) -> NightferryError | None:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        return stored(self._lease, load, fitting, self._store)

    def _store(self, session: Session, content: Content) -> None:
        if session is not self._session:
            self._session = session
            self._folders.clear()
        folder = above(content.target)
        self._sweep(session)
        self._enter(session, folder)
        if session.look(content.target) is not None:
            raise occupied(self._label, content.target)
        self._carry(session, content, inside(folder, part_name()))

    # -- the steps of a put ------------------------------------------------------------------------------------

    def _carry(self, session: Session, content: Content, part: StorePath) -> None:
        """Write a file under a name of its own, and then give it its true one."""
        target = content.target
        answer, doomed = session.do_all(
            wire.create(_place(session, part), _ACCESS, disposition=wire.NEW, options=wire.FILE_ONLY), wire.dispose()
        )
        self._done(session, answer, f"storing {target!a}")
        file = wire.read_opened(answer.body)
        with unfinished(self._lease.pool.leftovers, part):  # a server that is killed clears nothing away
            try:
                self._done(session, doomed, f"marking the unfinished file for {target!a}")
                self._write(session, content, file)
                self._name(session, file, target)
            except (Cut, Silence, Garbled):
                raise
            except BaseException:
                session.do_all(wire.dispose(file.handle), wire.close(file.handle))
                raise

    def _write(self, session: Session, content: Content, file: Opened) -> None:
        """Send a file's bytes, have them synced, and see to it that all are there."""
        content.need_all(self._send(session, content, file))
        synced, told = session.do_all(wire.flush(file.handle), wire.query_size(file.handle))
        self._done(session, synced, f"syncing the file for {content.target!a}")
        self._done(session, told, f"measuring the file for {content.target!a}")
        kept = wire.read_size(told.body)
        if kept != content.size:
            raise content.kept(self._label, kept)

    def _send(self, session: Session, content: Content, file: Opened) -> int:
        """Send a file's bytes, and tell how many that were."""
        under_way: deque[tuple[int, int]] = deque()
        sent = flying = 0
        longest = min(session.longest_write, _PIECE)
        try:
            while data := content.read(longest):
                under_way.append((session.ask(wire.write(sent, data, file.handle)), len(data)))
                sent += len(data)
                flying += len(data)
                content.went(len(data))
                while flying > _WINDOW:
                    flying -= self._taken(session, *under_way.popleft(), content.target)
            while under_way:
                self._taken(session, *under_way.popleft(), content.target)
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

    def _name(self, session: Session, file: Opened, target: StorePath) -> None:
        """Give a whole file its true name, unless that is taken by now."""
        spared, named = session.do_all(
            wire.dispose(file.handle, doomed=False), wire.rename(_place(session, target), file.handle)
        )
        for answer in (spared, named):
            if answer.status == Status.OBJECT_NAME_COLLISION:
                raise occupied(self._label, target)
            self._done(session, answer, f"giving a file the name {target!a}")
        synced, closed = session.do_all(wire.flush(file.handle), wire.close(file.handle))
        for answer in (synced, closed):
            self._done(session, answer, f"syncing the name {target!a}")

    # -- folders -----------------------------------------------------------------------------------------------

    def _enter(self, session: Session, folder: StorePath) -> None:
        """Make sure that a folder is there, and is no link to somewhere else."""
        if folder in self._folders:
            return
        if folder == ROOT:
            session.need_root()
        else:
            self._enter(session, above(folder))
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

        def deleted(part: StorePath) -> bool:
            answer, doomed, _ = session.do_all(
                wire.create(_place(session, part), wire.DELETE, options=wire.FILE_ONLY), wire.dispose(), wire.close()
            )
            return answer.status in NOT_THERE or not (answer.status or doomed.status)

        sweep(self._lease.pool.leftovers, deleted)


def fitting(path: StorePath) -> StorePath:
    """Return a path that Windows can hold, letter for letter; raises `Held` for any other."""
    for name in checked(path).split("/"):
        refusal = windows_refusal(name)
        if not refusal and not is_text(name):
            refusal = f"the name {name!a} is no text, and names on an SMB share are"
        if refusal:
            raise Held(f"{refusal}: nothing is stored there; change the name template, or rename it at its origin")
    return path


def _place(session: Session, path: StorePath) -> bytes:
    """Return a path that is known to fit as the server knows it."""
    place = session.place(path)
    if place is None:
        raise Held(f"{session.label}: no file on an SMB share can have the name {path!a}; rename it at its origin")
    return place
