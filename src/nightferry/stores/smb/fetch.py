"""Files on their way in over SMB: many requests in flight, over the end of one file and into the next ones.

A small file is opened, read and closed by one message. A larger one is asked for in pieces up to its size and one
byte beyond, so that its true end is seen. What it is, the server says when it opens it and again when it closes it.
Whatever is opened is open to all others, too: to be read, written, renamed and deleted.
"""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from nightferry.core.errors import Changed, NightferryError, TryAgain
from nightferry.core.store import BUFFER_SIZE, Arrival, Entry, Want
from nightferry.stores.arrivals import SessionArrival
from nightferry.stores.paths import checked, path_refusal
from nightferry.stores.sessions import Cut, Garbled, Line, Pool, Silence
from nightferry.stores.smb import wire
from nightferry.stores.smb.session import Answer, Session
from nightferry.stores.smb.status import NOT_THERE, Status
from nightferry.stores.smb.walk import as_entry
from nightferry.stores.smb.wire import Facts, Opened

#: Bytes and files that are on their way at once.
_WINDOW, _FILES = 4 << 20, 16
#: Pieces that fill the usual buffer exactly.
_PIECE = BUFFER_SIZE // 4
#: Files up to this size are opened, read and closed by one message.
_SMALL = 256 * 1024 - 1
_ACCESS = wire.READ_DATA | wire.READ_ATTRIBUTES


@dataclass(slots=True)
class Course:
    """One wanted file on one session; a fresh one has not been asked for yet."""

    want: Want
    session: Session | None = None
    opening: int | None = None
    opened: Opened | None = None
    refused: int = 0  #: why it could not be opened
    judged: bool = False  #: it is open, and is the wanted file
    trouble: NightferryError | None = None
    asked: int = 0  #: the offset up to which pieces were asked for
    pieces: deque[tuple[int, int, int]] = field(default_factory=deque)  #: request, offset, length
    closing: int | None = None
    rest: memoryview | None = None  #: of a piece that the last buffer could not hold
    source: Answer | None = None  #: the answer that the rest is in
    at_end: bool = False
    done: bool = False

    @property
    def in_flight(self) -> int:
        """Bytes that were asked for and not taken."""
        return sum(length for _, _, length in self.pieces)


class SmbFetch:
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
        try:
            facts = self._closed(course)
        except NightferryError as err:
            raise self._failed(line, course, err) from err
        course.done = True
        return self._compared(line, course.want, facts)

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
        path = checked(course.want.path)
        session = line.session
        if session.place(path) is None:
            raise session.gone(path)
        if course.session is not session:
            course.session = course.opening = None
        self._pump(course)
        self._take_opened(course)
        if course.opened is None:
            if course.refused in NOT_THERE:
                raise session.gone(path)
            raise session.refusal(course.refused, f"opening {path!a}")
        self._compared(line, course.want, course.opened.facts)
        course.judged = True
        self._pump(course)

    def _take_opened(self, course: Course) -> None:
        if course.opening is None or course.session is None:
            return
        status, body = course.session.wait(course.opening)
        course.opening = None
        course.refused = status
        if not status:
            course.opened = wire.read_opened(body)

    def _compared(self, line: Line[Session], want: Want, facts: Facts) -> Entry:
        where = f"{line.label}: {want.path!a}"
        entry = as_entry(want.path, facts)
        if entry is None:
            raise line.session.gone(want.path)
        if want.offset > entry.size:
            raise Changed(f"{where} has {entry.size} bytes, fewer than the {want.offset} that were fetched before")
        if entry.size != want.size:
            raise Changed(f"{where} has {entry.size} bytes, and had {want.size} when it was wanted")
        if want.mtime_us is not None and entry.mtime_us is not None and want.mtime_us != entry.mtime_us:
            raise Changed(f"{where} was written again since it was wanted")
        return entry

    def _fill(self, course: Course, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer) and not (course.at_end and course.rest is None):
            if course.rest is None and not self._next_piece(course):
                break
            piece = course.rest
            if piece is None:
                continue
            count = min(len(piece), len(buffer) - filled)
            buffer[filled : filled + count] = piece[:count]
            filled += count
            if count < len(piece):
                course.rest = piece[count:]
                continue
            course.rest = None
            if course.source is not None and course.session is not None:
                piece.release()
                course.session.spare(course.source)
                course.source = None
        return filled

    def _next_piece(self, course: Course) -> bool:
        """Have the next bytes of a file in its rest; False at its end."""
        session, want = course.session, course.want
        if session is None:
            return False
        self._pump(course)
        request, offset, length = course.pieces.popleft()
        answer = session.wait(request)
        if answer.status == Status.END_OF_FILE:
            self._ended(course)
            return False
        if answer.status:
            raise session.refusal(answer.status, f"reading {want.path!a} at {offset}")
        data = wire.read_data(answer.body)
        count = len(data)
        if not 0 < count <= length:
            raise Garbled(f"{session.label}: of {length} bytes asked for the server sent {count}")
        if offset + count > want.size:
            raise Changed(
                f"{session.label}: {want.path!a} goes on after the {want.size} bytes that it had when it was wanted"
            )
        if course.closing is not None or offset + count == want.size < offset + length:
            self._ended(course)  # it was asked for a byte beyond, and there is none
        elif count < length and course.opened is not None:  # as much as this server sends at once
            again = session.ask(wire.read(offset + count, length - count, course.opened.handle))
            course.pieces.appendleft((again, offset + count, length - count))
        course.rest, course.source = data, answer
        return True

    def _ended(self, course: Course) -> None:
        course.at_end = True
        if course.session is not None:
            for later, _, _ in course.pieces:
                course.session.forget(later)
        course.pieces.clear()

    def _closed(self, course: Course) -> Facts:
        """Have the file closed, and tell what the server says of it then."""
        session, opened = course.session, course.opened
        if session is None or opened is None:
            raise RuntimeError("a file that was not opened is to be closed")
        request = course.closing
        if request is None:
            request = session.ask(wire.close(opened.handle))
            course.opened = None
        course.closing = None
        self._pump(course)
        answer = session.wait(request)
        if answer.status and course.opened is not None:  # a chain that ended at the end of the file
            answer = session.do(wire.close(opened.handle))
        course.opened = None
        if answer.status:
            raise session.refusal(answer.status, f"closing {course.want.path!a}")
        return wire.read_closed(answer.body)

    # -- asking ahead ------------------------------------------------------------------------------------------

    def _pump(self, current: Course) -> None:
        """Keep requests on their way, for this file and the ones after it."""
        if self._line is None:
            return
        session = self._line.session
        room = _WINDOW
        for course in self._courses(current):
            if course.session is None:
                self._ask(session, course)
            elif course.opening is not None and session.has(course.opening):
                self._take_opened(course)
            room -= course.in_flight
            room = self._ask_pieces(session, course, room)
            if room <= 0:
                break

    def _courses(self, current: Course) -> list[Course]:
        while len(self._ahead) < _FILES and self._place + len(self._ahead) + 1 < len(self._wants):
            self._ahead.append(Course(self._wants[self._place + len(self._ahead) + 1]))
        return [current, *self._ahead]

    def _ask(self, session: Session, course: Course) -> None:
        """Ask for a file: a small one whole, a larger one to be opened."""
        want = course.want
        place = None if path_refusal(want.path) else session.place(want.path)
        if place is None:
            return
        course.session, course.asked = session, want.offset
        opening = wire.create(place, _ACCESS, options=wire.FILE_ONLY)
        length = want.size - want.offset + 1
        if not 0 < length <= min(_SMALL, session.longest_read):
            course.opening = session.ask(opening)
            return
        course.opening, piece, course.closing = session.chain([opening, wire.read(want.offset, length), wire.close()])
        course.asked = want.size + 1
        course.pieces.append((piece, want.offset, length))

    def _ask_pieces(self, session: Session, course: Course, room: int) -> int:
        if course.opened is None or course.at_end or course.trouble is not None:
            return room
        longest = min(session.longest_read, _PIECE)
        end = max(course.want.size, course.want.offset) + 1
        while room > 0 and course.asked < end:
            length = min(longest, end - course.asked)
            request = session.ask(wire.read(course.asked, length, course.opened.handle))
            course.pieces.append((request, course.asked, length))
            course.asked += length
            room -= length
        return room

    # -- ends --------------------------------------------------------------------------------------------------

    def _failed(self, line: Line[Session], course: Course, err: NightferryError) -> NightferryError:
        """End a course, and the session with all courses on it if it is to blame."""
        if isinstance(err, Cut | Silence | Garbled):
            line.drop()
            self._ahead.clear()
            if course.session is not None:  # this session is over; whether the server is, the next one tells
                err = TryAgain(f"{err} in {course.want.path!a}")
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
        try:
            self._take_opened(course)
            for request, _, _ in course.pieces:
                session.forget(request)
            course.pieces.clear()
            if course.opened is None:
                if course.closing is not None:
                    session.forget(course.closing)
            elif course.closing is None or session.wait(course.closing).status:
                session.forget(session.ask(wire.close(course.opened.handle)))
        except (Cut, Silence, Garbled):
            self._line.drop()
            self._ahead.clear()
        course.opened = course.closing = None
