"""Folders of a server: one listing, asked for and read to its confirmed end, and the walk from folder to folder."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nightferry.core.errors import Misconfigured, NightferryError, TryAgain, Unreachable
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.ftp.control import Reply, refusal
from nightferry.stores.ftp.listing import Clock, Listing, entries_of, fact_time, read_machine, read_plain
from nightferry.stores.ftp.session import Lease, Session
from nightferry.stores.ftp.wire import Pipe
from nightferry.stores.kit.sessions import Cut
from nightferry.stores.kit.tree import Tree
from nightferry.stores.paths import above

# -- one folder ------------------------------------------------------------------------------------------------------

#: Bytes of one folder's listing that are read at most: some three million files.
LONGEST_LISTING = 256 << 20
_PIECE = 1 << 18
_NO_PARAMETER = 504
# What old servers say instead of sending an empty listing, of a folder that was just entered.
_EMPTY = re.compile(r"no (?:such )?(?:files?|director|matching)|not found|empty", re.IGNORECASE)
# Words by which a reply takes back its code: "226 Transfer done (but failed to open directory)" is vsftpd's own.
_TAKEN_BACK = re.compile(
    r"fail|could ?n[o']t|can ?no?t|can't|unable|denied|forbidden|not permitted|permission|truncat|incomplete|not all"
    r"|abort|interrupt|partial|exceed|limit reached|too many|skipped|unreadable|(?<!no )(?<!0 )\berrors?\b",
    re.IGNORECASE,
)


@dataclass(slots=True)
class _Answer:
    """What the server said to a folder being asked for: a listing that comes or came, or (neither) a closed door.

    ``doubt`` says why the listing is not the whole folder; ``machine`` how it is to be read.
    """

    folder: StorePath
    machine: bool = False
    pipe: Pipe | None = None
    body: bytes | None = None
    doubt: str = ""


class ClosedFolderError(Exception):
    """A folder is there and may not be entered."""


class Lister:
    """Reads the listings of folders, one call's worth, asking for the next while this one is worked on."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._next: _Answer | None = None

    def look(self, folder: StorePath, following: StorePath | None = None) -> Listing | None:
        """Return what stands in a folder; None if it is not there.

        A listing that is not whole says so among its oddities. ``following`` is asked for ahead, if the server bears
        it. Raises `Misconfigured` when the root is missing, `ClosedFolderError` for a folder that may not be entered.
        """
        answer = self._read(folder, following)
        if answer is not None and answer.body is not None:
            read = read_machine if answer.machine else read_plain
            listing = read(answer.body.decode("utf-8", "surrogateescape"), folder)
            if answer.doubt:
                listing.odd("unread", answer.doubt)
            return listing
        label = self._lease.label
        if folder == ROOT:
            raise Misconfigured(f"{label}: the root folder cannot be entered; check its path and the login's rights")
        shown = self.look(above(folder))
        if shown is not None and folder in shown.folders:
            raise ClosedFolderError(f"{label}: the folder {folder!a} is there but may not be entered")
        return None

    def settle(self) -> Session:
        """Read what was asked for ahead to its end, and give the session, free for other commands."""
        if self._next is not None and self._next.pipe is not None:
            answer, pipe, self._next = self._next, self._next.pipe, None
            try:
                self._next = self._finish(self._lease.session, answer, pipe, None)
            except NightferryError:  # asked for again when its turn comes
                self._lease.drop()
        return self._lease.checked()

    def close(self) -> None:
        """Let go of a listing that nobody will read."""
        if self._next is not None and self._next.pipe is not None:
            self._next.pipe.close()
            self._lease.drop()
        self._next = None

    def _read(self, folder: StorePath, following: StorePath | None) -> _Answer | None:
        server = self._lease.server
        lessons, was_ahead = server.lessons, self._next is not None
        try:
            return self._read_once(folder, following)
        except TryAgain as err:
            self.close()
            self._lease.drop()
            # A session may have been at its end, and a listing asked for ahead may have waited too long for us.
            if not (was_ahead or isinstance(err, Cut) or lessons != server.lessons):
                return self._unread(folder, err)
        try:
            return self._read_once(folder, None)
        except TryAgain as err:
            self.close()
            self._lease.drop()
            return self._unread(folder, err)

    def _unread(self, folder: StorePath, err: TryAgain) -> _Answer:
        """Return that a folder could not be read; raises what concerns more than this folder."""
        if folder == ROOT or isinstance(err, Unreachable):
            raise err
        return _Answer(folder, body=b"", doubt=str(err))

    def _read_once(self, folder: StorePath, following: StorePath | None) -> _Answer | None:
        answer, self._next = self._next, None
        if answer is None or answer.folder != folder:
            if answer is not None and answer.pipe is not None:
                answer.pipe.close()
                self._lease.drop()
            session = self._lease.checked()
            _ask(session, folder)
            answer = _open(session, folder)
        if answer.pipe is None:
            return answer
        return self._finish(self._lease.session, answer, answer.pipe, following)

    def _finish(self, session: Session, answer: _Answer, pipe: Pipe, following: StorePath | None) -> _Answer:
        folder = answer.folder
        body = _read_to_end(pipe, session.label)
        if following is not None and session.ahead and not pipe.ragged:
            doubt = self._finish_ahead(session, folder, following)
            return _Answer(folder, answer.machine, body=body, doubt=doubt)
        doubt = _confirm(session, folder)
        if pipe.ragged:
            self._confirm_ragged(session, folder, body)
        return _Answer(folder, answer.machine, body=body, doubt=doubt)

    def _finish_ahead(self, session: Session, folder: StorePath, following: StorePath) -> str:
        _ask(session, following)
        session.control.flush()
        with session.doubted():
            doubt = _confirm(session, folder)
        try:
            with session.doubted():
                self._next = _open(session, following)
        except NightferryError:  # asked for again, alone, when its turn comes
            self._lease.drop()
        else:
            session.server.ahead_proven = True
        return doubt

    def _confirm_ragged(self, session: Session, folder: StorePath, body: bytes) -> None:
        """Check that a listing without the farewell of TLS is whole: cut ones do not come twice the same."""
        _ask(session, folder)
        again = _open(session, folder)
        if again.pipe is None or _read_to_end(again.pipe, session.label) != body:
            raise TryAgain(f"{session.label}: the listing of {folder!a} was cut; tried again later")
        _confirm(session, folder)


def _ask(session: Session, folder: StorePath) -> None:
    """Ask for a folder's listing.

    Going into the folder first (CWD) tells a missing folder from an empty one, which some servers list just the
    same (vsftpd), and keeps names with ``*``, blanks or a leading ``-`` from being read as patterns and options.
    """
    command = "MLSD" if session.server.machine_listings else "LIST"
    session.ask_transfer(command, before=(f"CWD {session.place(folder)}",))


def _open(session: Session, folder: StorePath) -> _Answer:
    """Read the replies to `_ask`, up to the point where the listing begins to come."""
    machine = session.server.machine_listings
    reply = session.control.final()
    if not reply.good:
        _read_over(session)
        if reply.code in {550, 553, 501, 450}:
            return _Answer(folder)
        raise refusal(reply, f"{session.label}: entering the folder {folder!a}")
    port = session.port()
    if port is None:
        session.ask_transfer("MLSD" if machine else "LIST")
        port = session.port()
        if port is None:
            raise Misconfigured(f"{session.label}: the server has neither EPSV nor PASV; switch passive mode on there")
    pipe, reply, _ = session.begin(port)
    if pipe is not None:
        return _Answer(folder, machine, pipe)
    if machine and (reply.unknown or reply.code == _NO_PARAMETER):  # it was offered by FEAT, and is not there
        session.server.mlsd = False
        raise TryAgain(f"{session.label}: the server offers MLSD and refuses it ({reply}); LIST is used from now on")
    if reply.good or (reply.code in {450, 550} and _EMPTY.search(reply.text)):
        return _Answer(folder, machine, body=b"", doubt=_doubt_in(reply) if reply.good else "")
    if folder != ROOT and reply.code in {450, 451, 550, 552}:  # this folder was entered, and is not shown
        return _Answer(folder, machine, body=b"", doubt=str(reply))
    raise refusal(reply, f"{session.label}: listing the folder {folder!a}")


def _doubt_in(reply: Reply) -> str:
    """Return the words by which a good reply takes back that all was shown; empty where it does not."""
    return str(reply) if _TAKEN_BACK.search(reply.text) else ""


def _read_over(session: Session) -> None:
    """Let pass what was asked behind a refused CWD: when it left already, the folder before is listed now."""
    if not session.control.ahead:
        session.control.forget()
    elif (port := session.port()) is not None:
        pipe, _, _ = session.begin(port)
        if pipe is not None:
            _read_to_end(pipe, session.label)
            session.control.final()


def _confirm(session: Session, folder: StorePath) -> str:
    """Read the reply behind a listing's data, and return what it says against the listing being whole."""
    reply = session.control.final()
    if not reply.good and folder != ROOT:  # whatever is wrong with it, the other folders are not
        raise TryAgain(f"{session.label}: listing the folder {folder!a} did not end well: {reply}")
    if not reply.good:
        raise refusal(reply, f"{session.label}: listing the root folder")
    return _doubt_in(reply)


def _read_to_end(pipe: Pipe, label: str) -> bytes:
    text, piece = bytearray(), memoryview(bytearray(_PIECE))
    try:
        while not pipe.ended:
            text += piece[: pipe.fill(piece)]
            if len(text) > LONGEST_LISTING:
                raise Misconfigured(f"{label}: a folder's listing exceeds {LONGEST_LISTING >> 20} MiB; split it up")
    finally:
        pipe.close()
    return bytes(text)


# -- the tree --------------------------------------------------------------------------------------------------------


def walk(lease: Lease, enter: Callable[[StorePath], bool] | None) -> Iterator[Entry | Oddity]:
    """Yield every file below the root, with all that cannot be carried; see `Store.list`."""
    lister = Lister(lease)
    clock = Clock(time.time_ns() // 1000)
    folders, tree = deque([ROOT]), Tree()
    try:
        while folders:
            folder = folders.popleft()
            try:
                listing = lister.look(folder, folders[0] if folders else None)
            except ClosedFolderError:
                yield Oddity("closed", above(folder), folder.rpartition("/")[2])
                continue
            if listing is None:  # vanished since its parent was listed
                continue
            for inner in listing.folders:
                if enter is not None and not enter(inner):
                    continue
                if (odd := tree.unread(inner)) is None:
                    folders.append(inner)
                else:
                    yield odd
            yield from listing.oddities
            yield from dated(listing, clock, lister)
    finally:
        lister.close()


def dated(listing: Listing, clock: Clock, lister: Lister) -> list[Entry]:
    """Make the files of a listing entries, asking the server for what its times lack."""
    if not listing.rows:
        return listing.files
    names = {when: name for _, when, name, _ in listing.rows}
    wanted = clock.wants(names)
    if wanted:
        session = lister.settle()
        if session.server.mdtm:
            _measure(session, clock, {when: StorePath(listing.prefix + names[when]) for when in wanted})
    return entries_of(listing, clock.tell)


def _measure(session: Session, clock: Clock, paths: dict[str, StorePath]) -> None:
    session.ask(*(f"MDTM {session.place(path)}" for path in paths.values()))
    for when in paths:
        exact = exact_time(session, session.control.final())
        if exact is not None:
            clock.measure(when, exact)


def exact_time(session: Session, reply: Reply) -> int | None:
    """Read a reply to MDTM, in microseconds since 1970 UTC; None, and noted, when the server has no MDTM."""
    if reply.unknown:
        session.server.mdtm = False
    return fact_time(reply.text.strip()) if reply.code == 213 else None  # noqa: PLR2004
