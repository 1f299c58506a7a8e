"""Folders of a server: one listing, asked for and read to its confirmed end, and the walk from folder to folder."""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.ftp.control import Reply, refusal
from nightferry.stores.ftp.listing import Clock, Listing, entries_of, fact_time, read_machine, read_plain
from nightferry.stores.ftp.session import Lease, Session
from nightferry.stores.ftp.wire import Pipe
from nightferry.stores.kit.sessions import Cut
from nightferry.stores.paths import above

# -- one folder ------------------------------------------------------------------------------------------------------

#: Bytes of one folder's listing that are read at most: some three million files.
LONGEST_LISTING = 256 << 20
_PIECE = 1 << 18
# What old servers say instead of sending an empty listing.
_EMPTY = re.compile(r"no files", re.IGNORECASE)


@dataclass(slots=True)
class _Answer:
    """What the server said to a folder being asked for: a listing that comes or came, or (neither) a closed door."""

    folder: StorePath
    pipe: Pipe | None = None
    body: bytes | None = None


class Lister:
    """Reads the listings of folders, one call's worth, asking for the next while this one is worked on."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._next: _Answer | None = None

    def look(self, folder: StorePath, following: StorePath | None = None) -> Listing | None:
        """Tell what stands in a folder; None if it is not there.

        ``following`` is asked for ahead, if the server bears it. Raises `Misconfigured` when the root is
        missing or a folder that is there may not be entered.
        """
        body = self._read(folder, following)
        if body is not None:
            read = read_machine if self._lease.server.machine_listings else read_plain
            return read(body.decode("utf-8", "surrogateescape"), folder)
        label = self._lease.label
        if folder == ROOT:
            raise Misconfigured(f"{label}: the root folder cannot be entered; check its path and the login's rights")
        shown = self.look(above(folder))
        if shown is not None and folder in shown.folders:
            raise Misconfigured(
                f"{label}: the folder {folder!a} is there but may not be entered, so nobody knows what is in it; "
                f"change its rights there, or leave it out of the listing"
            )
        return None

    def settle(self) -> Session:
        """Read what was asked for ahead to its end, and give the session, free for other commands."""
        if self._next is not None and self._next.pipe is not None:
            answer, pipe, self._next = self._next, self._next.pipe, None
            try:
                self._next = _Answer(answer.folder, body=self._finish(self._lease.session, answer.folder, pipe, None))
            except NightferryError:  # asked for again when its turn comes
                self._lease.drop()
        return self._lease.checked()

    def close(self) -> None:
        """Let go of a listing that nobody will read."""
        if self._next is not None and self._next.pipe is not None:
            self._next.pipe.close()
            self._lease.drop()
        self._next = None

    def _read(self, folder: StorePath, following: StorePath | None) -> bytes | None:
        server = self._lease.server
        lessons, was_ahead = server.lessons, self._next is not None
        try:
            return self._read_once(folder, following)
        except TryAgain as err:
            self.close()
            self._lease.drop()
            # A session may have been at its end, and a listing asked for ahead may have waited too long for us.
            if not (was_ahead or isinstance(err, Cut) or lessons != server.lessons):
                raise
        return self._read_once(folder, None)

    def _read_once(self, folder: StorePath, following: StorePath | None) -> bytes | None:
        answer, self._next = self._next, None
        if answer is None or answer.folder != folder:
            if answer is not None and answer.pipe is not None:
                answer.pipe.close()
                self._lease.drop()
            session = self._lease.checked()
            _ask(session, folder)
            answer = _open(session, folder)
        if answer.pipe is None:
            return answer.body
        return self._finish(self._lease.session, folder, answer.pipe, following)

    def _finish(self, session: Session, folder: StorePath, pipe: Pipe, following: StorePath | None) -> bytes:
        body = _read_to_end(pipe, session.label)
        if following is not None and session.ahead and not pipe.ragged:
            return self._finish_ahead(session, folder, body, following)
        _confirm(session, folder)
        if pipe.ragged:
            self._confirm_ragged(session, folder, body)
        return body

    def _finish_ahead(self, session: Session, folder: StorePath, body: bytes, following: StorePath) -> bytes:
        _ask(session, following)
        session.control.flush()
        with session.doubted():
            _confirm(session, folder)
        try:
            with session.doubted():
                self._next = _open(session, following)
        except NightferryError:  # asked for again, alone, when its turn comes
            self._lease.drop()
        else:
            session.server.ahead_proven = True
        return body

    def _confirm_ragged(self, session: Session, folder: StorePath, body: bytes) -> None:
        """See to it that a listing without the farewell of TLS is whole: cut ones do not come twice the same."""
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
    reply = session.control.final()
    if not reply.good:
        _read_over(session)
        if reply.code in {550, 553, 501, 450}:
            return _Answer(folder)
        raise refusal(reply, f"{session.label}: entering the folder {folder!a}")
    port = session.port()
    if port is None:
        session.ask_transfer("MLSD" if session.server.machine_listings else "LIST")
        port = session.port()
        if port is None:
            raise Misconfigured(f"{session.label}: the server has neither EPSV nor PASV; switch passive mode on there")
    pipe, reply, _ = session.begin(port)
    if pipe is not None:
        return _Answer(folder, pipe)
    if reply.good or (reply.code in {450, 550} and _EMPTY.search(reply.text)):
        return _Answer(folder, body=b"")
    raise refusal(reply, f"{session.label}: listing the folder {folder!a}")


def _read_over(session: Session) -> None:
    """Let pass what was asked behind a refused CWD: when it left already, the folder before is listed now."""
    if not session.control.ahead:
        session.control.forget()
    elif (port := session.port()) is not None:
        pipe, _, _ = session.begin(port)
        if pipe is not None:
            _read_to_end(pipe, session.label)
            session.control.final()


def _confirm(session: Session, folder: StorePath) -> None:
    reply = session.control.final()
    if not reply.good:
        raise refusal(reply, f"{session.label}: listing the folder {folder!a}")


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
    folders = deque([ROOT])
    try:
        while folders:
            folder = folders.popleft()
            listing = lister.look(folder, folders[0] if folders else None)
            if listing is None:  # vanished since its parent was listed
                continue
            folders += [inner for inner in listing.folders if enter is None or enter(inner)]
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
