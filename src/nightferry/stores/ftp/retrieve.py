"""The request for one file's data (EPSV, REST, RETR), and what a refusal means."""

from dataclasses import dataclass
from time import monotonic

from nightferry.core.errors import Changed, Gone, Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Entry, Want
from nightferry.stores.ftp.pool import Line
from nightferry.stores.ftp.reply import Reply, refusal
from nightferry.stores.ftp.session import Session
from nightferry.stores.ftp.stat import Means, same_time, stat_one
from nightferry.stores.ftp.wire import Pipe
from nightferry.stores.sessions import Cut, Silence


@dataclass(slots=True)
class Course:
    """One want's transfer, from the request to the end of its data."""

    want: Want
    session: Session | None = None
    pipe: Pipe | None = None
    #: The offset was asked for; and when the data connection was made, for `STALE`.
    with_rest: bool = False
    opened: float = 0.0
    #: Bytes that come before the wanted offset, because the server cannot start in the middle.
    surplus: int = 0
    received: int = 0
    #: The server's refusal of a request sent ahead; what it means is found out when it matters.
    refused: Reply | None = None
    #: How the server was asked about the file after its data ended.
    means: Means | None = None
    done: bool = False

    @property
    def nothing_to_come(self) -> bool:
        """All the bytes are with us already; servers disagree about transfers that start at the end."""
        return 0 < self.want.size == self.want.offset


def ask_file(session: Session, course: Course) -> None:
    """Ask for a file's data from its offset on."""
    want = course.want
    course.session = session
    course.with_rest = bool(want.offset and session.habits.rest)
    rest = (f"REST {want.offset}",) if course.with_rest else ()
    session.ask_transfer(*rest, f"RETR {session.place(want.path)}")


def receive_file(session: Session, course: Course) -> None:
    """Read the replies to `ask_file` and make the data connection; a refusal is noted in the course.

    A server that does not take an offset sends the file from its start, and the surplus is read over.
    """
    port = session.port()
    if port is None:
        ask_file(session, course)
        port = session.port()
        if port is None:
            raise Misconfigured(f"{session.label}: the server has neither EPSV nor PASV; switch passive mode on there")
    pipe, reply, before = session.begin(port, 1 if course.with_rest else 0)
    course.opened = monotonic()
    course.surplus = course.want.offset
    for rest in before:
        if rest.code == 350:  # noqa: PLR2004 - the offset is taken (RFC 3659)
            course.surplus = 0
        elif rest.unknown:
            session.habits.rest = False
    course.pipe = pipe
    course.refused = reply if pipe is None else None


def open_file(line: Line, course: Course) -> None:
    """Request a file and wait for its data to begin, once more on a new session if the old one was at its end."""
    habits = line.habits
    for attempt in (1, 2):
        lessons = habits.lessons
        try:
            session = line.checked()
            ask_file(session, course)
            receive_file(session, course)
        except (Cut, Silence) as err:
            line.drop()
            if attempt > 1 or (isinstance(err, Silence) and lessons == habits.lessons):
                raise
        else:
            return


def why_refused(line: Line, want: Want, reply: Reply | None) -> NightferryError:
    """Find out what a refusal to send a file means: 550 may be a missing file as well as a forbidden one."""
    label = line.label
    if want.offset:
        line.drop()  # some servers keep the offset for the next transfer
    entry = stat_one(line, want.path)
    if entry is None:
        return Gone(f"{label}: the file {want.path!a} is no longer there; list the store again")
    if want.offset > entry.size:
        return Changed(f"{label}: {want.path!a} has {entry.size} bytes now, fewer than the {want.offset} we hold of it")
    if reply is None:
        return TryAgain(f"{label}: {want.path!a} came back; tried again later")
    return refusal(reply, f"{label}: fetching {want.path!a}")


def compared(label: str, want: Want, received: int, entry: Entry | None) -> Entry:
    """Give back what the file is now, if that is what was wanted and what was received."""
    if entry is None:
        raise Changed(f"{label}: {want.path!a} vanished while it was fetched")
    if entry.size != want.size:
        raise Changed(f"{label}: {want.path!a} has {entry.size} bytes now, {want.size} were expected; list it again")
    if not same_time(want.mtime_us, entry.mtime_us, entry.resolution_us):
        raise Changed(
            f"{label}: {want.path!a} was written again since it was seen (its time is {entry.mtime_us} us now, "
            f"{want.mtime_us} us was expected); list it again"
        )
    if want.offset + received != entry.size:
        raise TryAgain(
            f"{label}: the server confirmed {want.path!a}, but sent {received} of {entry.size - want.offset} bytes; "
            f"fetch it again"
        )
    return entry
