"""Files on their way in over SFTP: many requests in flight, over the end of one file and into the next ones.

A file is asked for in pieces up to its size and one byte beyond, so that its true end is seen. What it is, is
asked before its first byte and after its last one, by name and not following links.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

from nightferry.core.errors import Changed, Gone, NightferryError, TryAgain
from nightferry.core.store import BUFFER_SIZE, Arrival, Entry, Want
from nightferry.stores.arrivals import SessionArrival
from nightferry.stores.paths import checked, path_refusal
from nightferry.stores.sessions import Cut, Garbled, Line, Pool, Silence
from nightferry.stores.sftp.session import Session
from nightferry.stores.sftp.walk import as_entry
from nightferry.stores.sftp.wire import NO_ATTRS, OPEN_READ, U32, Code, Kind, Status, number

#: Bytes and files that are on their way at once.
_WINDOW, _FILES = 4 << 20, 16
#: Pieces that fill the usual buffer exactly.
_PIECE = BUFFER_SIZE // 5


Value = TypeVar("Value")


@dataclass(slots=True)
class Course:
    """One wanted file on one session; a fresh one has not been asked for yet."""

    want: Want
    session: Session | None = None
    looking: int | None = None
    opening: int | None = None
    opened: bytes | Status | None = None  #: the handle, or why there is none
    judged: bool = False  #: it is open, and is the wanted file
    trouble: NightferryError | None = None
    asked: int = 0  #: the offset up to which pieces were asked for
    pieces: deque[tuple[int, int, int]] = field(default_factory=deque)  #: request, offset, length
    probed: bool = False
    rest: memoryview | None = None  #: of a piece that the last buffer could not hold
    at_end: bool = False
    done: bool = False

    @property
    def in_flight(self) -> int:
        """Bytes that were asked for and not taken."""
        return sum(length for _, _, length in self.pieces)

    @property
    def handle(self) -> bytes | None:
        """The open file's handle."""
        return self.opened if isinstance(self.opened, bytes) else None


class SftpFetch:
    """The arrivals of one call, over one session; see `Store.fetch`."""

    def __init__(self, pool: Pool[Session], wants: Sequence[Want]) -> None:
        self._pool = pool
        self._wants = wants
        self._place = -1
        self._line: Line[Session] | None = None
        self._course: Course | None = None
        self._ahead: deque[Course] = deque()

    def __iter__(self) -> Self:
        """Iterate over itself."""
        return self

    def __next__(self) -> Arrival:
        """Give up what was not finished of the last arrival, and yield the next one."""
        self._give_up()
        self._place += 1
        if self._place >= len(self._wants):
            self.close()
            raise StopIteration
        if self._line is None:
            self._line = Line(self._pool)
        self._course = self._ahead.popleft() if self._ahead else Course(self._wants[self._place])
        return SessionArrival(self, self._course)

    def close(self) -> None:
        """Give the session back; files that were opened ahead are closed."""
        self._place = len(self._wants)
        self._give_up()
        while self._ahead:
            self._abandon(self._ahead.popleft())
        if self._line is not None:
            line, self._line = self._line, None
            line.hang_up()

    def __del__(self) -> None:
        """Give the session back when nobody can ask for more."""
        with contextlib.suppress(AttributeError):  # the constructor itself failed
            self.close()

    # -- what arrivals ask for ---------------------------------------------------------------------------------

    def read(self, course: Course, buffer: memoryview) -> int:
        """Fill the buffer with the next bytes; see `Arrival.read_into`."""
        line = self._line_for(course)
        if course.trouble is not None:
            raise course.trouble
        try:
            self._open(line, course)
            return self._fill(course, buffer)
        except NightferryError as err:
            raise self._failed(line, course, err) from err

    def finish(self, course: Course) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        line = self._line_for(course)
        path, size = course.want.path, course.want.size
        if self.read(course, memoryview(bytearray(1))):
            raise Changed(f"{line.label}: {path!a} goes on after its {size} bytes")
        session = line.session
        try:
            looking = session.ask(Kind.LSTAT, session.place(path))
            self._close(course)
            self._pump(course)
            entry = as_entry(path, session.looked(path, session.wait(looking)))
        except NightferryError as err:
            raise self._failed(line, course, err) from err
        course.done = True
        return self._compared(line, course.want, entry)

    # -- the steps of a transfer -------------------------------------------------------------------------------

    def _line_for(self, course: Course) -> Line[Session]:
        if self._line is None or course is not self._course or course.done:
            raise TryAgain(
                f"{course.want.path!a}: this arrival is over (read, failed or given up); fetch the file again"
            )
        return self._line

    def _open(self, line: Line[Session], course: Course) -> None:
        """Have the file open, and see to it that it is the wanted one."""
        if course.judged:
            return
        checked(course.want.path)
        session = line.session
        if course.session is not session:
            course.session = course.looking = course.opening = None
        self._pump(course)
        path = course.want.path
        attrs = session.looked(path, session.wait(_there(course.looking)))
        if course.opened is None:
            course.opened = session.handle(session.wait(_there(course.opening)))
        self._compared(line, course.want, as_entry(path, attrs))
        if isinstance(course.opened, Status):
            raise session.refusal(course.opened, f"opening {path!a}")
        course.judged = True

    def _compared(self, line: Line[Session], want: Want, entry: Entry | None) -> Entry:
        where = f"{line.label}: {want.path!a}"
        if entry is None:
            line.session.need_root()
            raise Gone(f"{where} is no longer there, or no plain file")
        if want.offset > entry.size:
            raise Changed(f"{where} has {entry.size} bytes, fewer than the {want.offset} that were fetched before")
        if entry.size != want.size:
            raise Changed(f"{where} has {entry.size} bytes, and had {want.size} when it was wanted")
        if want.mtime_us is not None and entry.mtime_us is not None and want.mtime_us != entry.mtime_us:
            raise Changed(f"{where} was written again since it was wanted")
        return entry

    def _fill(self, course: Course, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and not course.at_end:
            if course.rest is None:
                self._pump(course)
                piece = self._next_piece(course)
                if piece is None:
                    break
            else:
                piece, course.rest = course.rest, None
            count = min(len(piece), len(buffer) - filled)
            buffer[filled : filled + count] = piece[:count]
            filled += count
            if count < len(piece):
                course.rest = memoryview(bytes(piece[count:]))
        return filled

    def _next_piece(self, course: Course) -> memoryview | None:
        """Give the next bytes of a file; None at its end."""
        session = _there(course.session)
        request, offset, length = course.pieces.popleft()
        kind, body = session.wait(request)
        if kind != Kind.DATA:
            status = session.status((kind, body))
            if status.code != Code.EOF:
                raise session.refusal(status, f"reading {course.want.path!a} at {offset}")
            course.at_end = True
            for later, _, _ in course.pieces:
                session.forget(later)
            course.pieces.clear()
            return None
        view = memoryview(body)
        count = int.from_bytes(view[:4])
        if len(view) < 4 or count != len(view) - 4 or not 0 < count <= length:  # noqa: PLR2004 - the count itself
            raise Garbled(f"{session.label}: of {length} bytes asked for the server sent {len(view) - 4}")
        if offset >= course.want.size:
            raise Changed(
                f"{session.label}: {course.want.path!a} goes on after the {course.want.size} bytes that it had when it "
                "was wanted"
            )
        if count < length:  # the end of the file, or as much as this server sends at once
            course.pieces.appendleft(_asked(session, course, offset + count, length - count))
        return view[4:]

    # -- asking ahead ------------------------------------------------------------------------------------------

    def _pump(self, current: Course) -> None:
        """Keep requests on their way, for this file and the ones after it."""
        session = _there(self._line).session
        room = _WINDOW
        for course in self._courses(current):
            if course.session is None:
                if path_refusal(course.want.path):
                    continue
                course.session = session
                course.asked = course.want.offset
                course.looking = session.ask(Kind.LSTAT, session.place(course.want.path))
                course.opening = session.ask(Kind.OPEN, session.place(course.want.path), OPEN_READ, NO_ATTRS)
            elif course.opened is None and course.opening is not None and session.has(course.opening):
                course.opened = session.handle(session.wait(course.opening))
            room -= course.in_flight
            room = self._ask_pieces(session, course, room)
            if room <= 0:
                break

    def _courses(self, current: Course) -> list[Course]:
        while len(self._ahead) < _FILES and self._place + len(self._ahead) + 1 < len(self._wants):
            self._ahead.append(Course(self._wants[self._place + len(self._ahead) + 1]))
        return [current, *self._ahead]

    def _ask_pieces(self, session: Session, course: Course, room: int) -> int:
        if course.handle is None or course.at_end or course.trouble is not None:
            return room
        longest = min(session.limits.read, _PIECE)
        while room > 0 and course.asked < course.want.size:
            length = min(longest, course.want.size - course.asked)
            course.pieces.append(_asked(session, course, course.asked, length))
            course.asked += length
            room -= length
        if course.asked >= course.want.size and not course.probed:
            course.probed = True
            course.pieces.append(_asked(session, course, course.asked, 1))
        return room

    # -- ends --------------------------------------------------------------------------------------------------

    def _failed(self, line: Line[Session], course: Course, err: NightferryError) -> NightferryError:
        """End a course, and the session with all courses on it if it is to blame."""
        if isinstance(err, Cut | Silence | Garbled):
            session = course.session
            line.drop()
            words = session.last_words() if session is not None else ""
            self._ahead.clear()
            if session is not None:  # this session is over; whether the server is, the next one tells
                err = TryAgain(f"{err} in {course.want.path!a}{f' ({words})' if words else ''}")
        else:
            self._abandon(course)
        course.trouble = err
        return err

    def _give_up(self) -> None:
        course, self._course = self._course, None
        if course is not None and not course.done:
            course.done = True
            self._abandon(course)

    def _abandon(self, course: Course) -> None:
        """Let go of a file, whatever of it is still to come."""
        session = course.session
        if session is None or self._line is None or not self._line.has(session):
            return
        with contextlib.suppress(Cut, Silence, Garbled):
            if course.opened is None and course.opening is not None:
                course.opened = session.handle(session.wait(course.opening))
            if course.looking is not None:
                session.forget(course.looking)
            self._close(course)

    def _close(self, course: Course) -> None:
        session = _there(course.session)
        for request, _, _ in course.pieces:
            session.forget(request)
        course.pieces.clear()
        if course.handle is not None:
            session.forget(session.ask(Kind.CLOSE, course.handle))
            course.opened = None
            course.opening = None


def _asked(session: Session, course: Course, offset: int, length: int) -> tuple[int, int, int]:
    return session.ask(Kind.READ, _there(course.handle), number(offset), U32.pack(length)), offset, length


def _there(value: Value | None) -> Value:
    """Give what cannot be missing at this stage of a course."""
    if value is None:
        raise RuntimeError("a course was asked for what it has not reached yet")
    return value
