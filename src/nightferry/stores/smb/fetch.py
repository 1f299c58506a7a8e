"""One file on its way in over SMB: many requests in flight, and its true end seen.

A small file is opened, read and closed by one message. A larger one is asked for in pieces up to its size and one
byte beyond, so that its true end is seen. What it is, the server says when it opens it and again when it closes it.
Whatever is opened is open to all others, too: to be read, written, renamed and deleted.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from nightferry.core.errors import Changed, NightferryError
from nightferry.core.store import BUFFER_SIZE, Entry, Want
from nightferry.stores.kit.sessions import Garbled
from nightferry.stores.kit.transfers import compared
from nightferry.stores.paths import checked, path_refusal
from nightferry.stores.smb import wire
from nightferry.stores.smb.session import Answer, Session
from nightferry.stores.smb.walk import as_entry
from nightferry.stores.smb.wire import NOT_THERE, Facts, Opened, Status

#: Pieces that fill the usual buffer exactly, in bytes.
_PIECE = BUFFER_SIZE // 4
#: Files up to this size, in bytes, are opened, read and closed by one message.
_SMALL = 256 * 1024 - 1
_ACCESS = wire.READ_DATA | wire.READ_ATTRIBUTES


@dataclass(slots=True)
class SmbTransfer:
    """One wanted file; see `nightferry.stores.kit.transfers.Transfer`."""

    want: Want
    session: Session | None = None
    trouble: NightferryError | None = None
    done: bool = False
    _opening: int | None = None
    _opened: Opened | None = None
    _refused: int = 0  #: why it could not be opened
    _judged: bool = False  #: it is open, and is the wanted file
    _asked: int = 0  #: the offset up to which pieces were asked for
    _pieces: deque[tuple[int, int, int]] = field(default_factory=deque)  #: request, offset, length
    _closing: int | None = None
    _rest: memoryview | None = None  #: of a piece that the last buffer could not hold
    _source: Answer | None = None  #: the answer that the rest is in
    _at_end: bool = False

    # -- asking ahead ------------------------------------------------------------------------------------------

    def ask(self, session: Session) -> None:
        """Ask for a small file whole, and for a larger one to be opened; see `Transfer.ask`."""
        want = self.want
        place = None if path_refusal(want.path) else session.place(want.path)
        if place is None:
            return
        self.session, self._asked = session, want.offset
        opening = wire.create(place, _ACCESS, options=wire.FILE_ONLY)
        length = want.size - want.offset + 1
        if not 0 < length <= min(_SMALL, session.longest_read):
            self._opening = session.ask(opening)
            return
        self._opening, piece, self._closing = session.chain([opening, wire.read(want.offset, length), wire.close()])
        self._asked = want.size + 1
        self._pieces.append((piece, want.offset, length))

    def go_on(self, room: int) -> int:
        """Ask for pieces, once the file is open; see `Transfer.go_on`."""
        session = self.session
        if session is None:
            return room
        if self._opening is not None and session.has(self._opening):
            self._take_opened(session)
        room -= sum(length for _, _, length in self._pieces)
        if self._opened is None or self._at_end:
            return room
        longest = min(session.longest_read, _PIECE)
        end = max(self.want.size, self.want.offset) + 1
        while room > 0 and self._asked < end:
            length = min(longest, end - self._asked)
            request = session.ask(wire.read(self._asked, length, self._opened.handle))
            self._pieces.append((request, self._asked, length))
            self._asked += length
            room -= length
        return room

    # -- the steps of a transfer -------------------------------------------------------------------------------

    def open(self, session: Session, pump: Callable[[], None]) -> None:
        """Have the file open, and check that it is the wanted one; see `Transfer.open`."""
        if self._judged:
            return
        path = checked(self.want.path)
        if session.place(path) is None:
            raise session.gone(path)
        pump()
        self._take_opened(session)
        if self._opened is None:
            if self._refused in NOT_THERE:
                raise session.gone(path)
            raise session.refusal(self._refused, f"opening {path!a}")
        self._compared(session, self._opened.facts)
        self._judged = True
        pump()

    def _take_opened(self, session: Session) -> None:
        """Take the answer to the open, if it was not taken yet."""
        if self._opening is None:
            return
        self._refused, body = session.wait(self._opening)
        self._opening = None
        if not self._refused:
            self._opened = wire.read_opened(body)

    def _compared(self, session: Session, facts: Facts) -> Entry:
        entry = as_entry(self.want.path, facts)
        if entry is None:
            raise session.gone(self.want.path)
        return compared(session.label, self.want, entry)

    def fill(self, buffer: memoryview, pump: Callable[[], None]) -> int:
        """Fill the buffer with the next bytes; see `Transfer.fill`."""
        filled = 0
        while filled < len(buffer) and not (self._at_end and self._rest is None):
            if self._rest is None:
                pump()
                self._take_piece()
            piece = self._rest
            if piece is None:  # the end
                break
            count = min(len(piece), len(buffer) - filled)
            buffer[filled : filled + count] = piece[:count]
            filled += count
            if count < len(piece):
                self._rest = piece[count:]
            else:
                self._spare(piece)
        return filled

    def _spare(self, piece: memoryview) -> None:
        """Give back the memory of a piece that was copied out of."""
        self._rest = None
        if self._source is not None and self.session is not None:
            piece.release()
            self.session.spare(self._source)
            self._source = None

    def _take_piece(self) -> None:
        """Have the next bytes of the file in its rest; none at its end."""
        session, want = self.session, self.want
        if session is None:
            return
        request, offset, length = self._pieces.popleft()
        answer = session.wait(request)
        if answer.status == Status.END_OF_FILE:
            self._ended(session)
            return
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
        if self._closing is not None or offset + count == want.size < offset + length:
            self._ended(session)  # it was asked for a byte beyond, and there is none
        elif count < length and self._opened is not None:  # as much as this server sends at once
            again = session.ask(wire.read(offset + count, length - count, self._opened.handle))
            self._pieces.appendleft((again, offset + count, length - count))
        self._rest, self._source = data, answer

    def _ended(self, session: Session) -> None:
        self._at_end = True
        self._forget_pieces(session)

    def _forget_pieces(self, session: Session) -> None:
        for request, _, _ in self._pieces:
            session.forget(request)
        self._pieces.clear()

    # -- ends --------------------------------------------------------------------------------------------------

    def finish(self, session: Session, pump: Callable[[], None]) -> Entry:
        """Have the file closed, and compare what the server says of it then; see `Transfer.finish`."""
        opened = self._opened
        if opened is None:
            raise RuntimeError("a file that was not opened is to be closed")
        request = self._closing
        if request is None:
            request = session.ask(wire.close(opened.handle))
            self._opened = None
        self._closing = None
        pump()
        answer = session.wait(request)
        if answer.status and self._opened is not None:  # a chain that ended at the end of the file
            answer = session.do(wire.close(opened.handle))
        self._opened = None
        if answer.status:
            raise session.refusal(answer.status, f"closing {self.want.path!a}")
        return self._compared(session, wire.read_closed(answer.body))

    def let_go(self, session: Session) -> None:
        """Close the file, unless it is closed already, and forget what is still to come; see `Transfer.let_go`."""
        self._take_opened(session)
        self._forget_pieces(session)
        if self._opened is None:
            if self._closing is not None:
                session.forget(self._closing)
        elif self._closing is None or session.wait(self._closing).status:
            session.forget(session.ask(wire.close(self._opened.handle)))
        self._opened = self._closing = None
