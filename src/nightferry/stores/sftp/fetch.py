"""One file on its way in over SFTP: many requests in flight, and its true end seen.

A file is asked for in pieces up to its size and one byte beyond, so that its true end is seen. What it is, is
asked before its first byte and after its last one, by name and not following links.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from nightferry.core.errors import Changed, NightferryError
from nightferry.core.store import BUFFER_SIZE, Entry, Want
from nightferry.stores.kit.sessions import Garbled
from nightferry.stores.kit.transfers import compared
from nightferry.stores.paths import checked, path_refusal
from nightferry.stores.sftp.session import Session
from nightferry.stores.sftp.walk import as_entry
from nightferry.stores.sftp.wire import NO_ATTRS, OPEN_READ, U32, Attrs, Code, Kind, Status, number

#: Pieces that fill the usual buffer exactly, in bytes.
_PIECE = BUFFER_SIZE // 5


Value = TypeVar("Value")


@dataclass(slots=True)
class SftpTransfer:
    """One wanted file; see `nightferry.stores.kit.transfers.Transfer`."""

    want: Want
    session: Session | None = None
    trouble: NightferryError | None = None
    done: bool = False
    _looking: int | None = None
    _opening: int | None = None
    _opened: bytes | Status | None = None  #: the handle, or why there is none
    _judged: bool = False  #: it is open, and is the wanted file
    _asked: int = 0  #: the offset up to which pieces were asked for
    _pieces: deque[tuple[int, int, int]] = field(default_factory=deque)  #: request, offset, length
    _probed: bool = False  #: the byte beyond the end was asked for
    _rest: memoryview | None = None  #: of a piece that the last buffer could not hold
    _at_end: bool = False

    # -- asking ahead ------------------------------------------------------------------------------------------

    def ask(self, session: Session) -> None:
        """Ask what stands under the name, and have it opened; see `Transfer.ask`."""
        if path_refusal(self.want.path):
            return
        place = session.place(self.want.path)
        self.session, self._asked = session, self.want.offset
        self._looking = session.ask_look(self.want.path)
        self._opening = session.ask(Kind.OPEN, place, OPEN_READ, NO_ATTRS)

    def go_on(self, room: int) -> int:
        """Ask for pieces, once the file is open; see `Transfer.go_on`."""
        session, size = self.session, self.want.size
        if session is None:
            return room
        if self._opening is not None and session.has(self._opening):
            self._take_opened(session)
        room -= sum(length for _, _, length in self._pieces)
        if not isinstance(self._opened, bytes) or self._at_end:
            return room
        longest = min(session.limits.read, _PIECE)
        while room > 0 and self._asked < size:
            length = min(longest, size - self._asked)
            self._pieces.append(self._asked_for(session, self._asked, length))
            self._asked += length
            room -= length
        if self._asked >= size and not self._probed:
            self._probed = True
            self._pieces.append(self._asked_for(session, self._asked, 1))
        return room

    def _asked_for(self, session: Session, offset: int, length: int) -> tuple[int, int, int]:
        handle = self._opened
        assert isinstance(handle, bytes)  # noqa: S101 - nothing is asked of a file that is not open
        return session.ask(Kind.READ, handle, number(offset), U32.pack(length)), offset, length

    # -- the steps of a transfer -------------------------------------------------------------------------------

    def open(self, session: Session, pump: Callable[[], None]) -> None:
        """Have the file open, and check that it is the wanted one; see `Transfer.open`."""
        if self._judged:
            return
        path = checked(self.want.path)
        pump()
        attrs = session.looked(path, session.wait(_there(self._looking)))
        self._take_opened(session)
        self._compared(session, attrs)
        if isinstance(self._opened, Status):
            raise session.refusal(self._opened, f"opening {path!a}")
        self._judged = True

    def _take_opened(self, session: Session) -> None:
        """Take the answer to the open, if it was not taken yet."""
        if self._opening is not None:
            self._opened = session.handle(session.wait(self._opening))
            self._opening = None

    def _compared(self, session: Session, attrs: Attrs | None) -> Entry:
        entry = as_entry(self.want.path, attrs)
        if entry is None:
            raise session.gone(self.want.path)
        return compared(session.label, self.want, entry)

    def fill(self, buffer: memoryview, pump: Callable[[], None]) -> int:
        """Fill the buffer with the next bytes; see `Transfer.fill`."""
        filled = 0
        while filled < len(buffer) and not self._at_end:
            if self._rest is None:
                pump()
                piece = self._next_piece()
                if piece is None:
                    break
            else:
                piece, self._rest = self._rest, None
            count = min(len(piece), len(buffer) - filled)
            buffer[filled : filled + count] = piece[:count]
            filled += count
            if count < len(piece):
                self._rest = memoryview(bytes(piece[count:]))
        return filled

    def _next_piece(self) -> memoryview | None:
        """Return the next bytes of the file; None at its end."""
        session, want = _there(self.session), self.want
        request, offset, length = self._pieces.popleft()
        kind, body = session.wait(request)
        if kind != Kind.DATA:
            status = session.status((kind, body))
            if status.code != Code.EOF:
                raise session.refusal(status, f"reading {want.path!a} at {offset}")
            self._at_end = True
            self._forget_pieces(session)
            return None
        view = memoryview(body)
        count = int.from_bytes(view[:4])
        if len(view) < 4 or count != len(view) - 4 or not 0 < count <= length:  # noqa: PLR2004 - the count itself
            raise Garbled(f"{session.label}: of {length} bytes asked for the server sent {len(view) - 4}")
        if offset >= want.size:
            raise Changed(
                f"{session.label}: {want.path!a} goes on after the {want.size} bytes that it had when it was wanted"
            )
        if count < length:  # the end of the file, or as much as this server sends at once
            self._pieces.appendleft(self._asked_for(session, offset + count, length - count))
        return view[4:]

    # -- ends --------------------------------------------------------------------------------------------------

    def finish(self, session: Session, pump: Callable[[], None]) -> Entry:
        """Ask once more what stands under the name, and close the file; see `Transfer.finish`."""
        looking = session.ask_look(self.want.path)
        self._close(session)
        pump()
        return self._compared(session, session.looked(self.want.path, session.wait(looking)))

    def let_go(self, session: Session) -> None:
        """Close the file, and forget what is still to come; see `Transfer.let_go`."""
        if self._looking is not None:
            session.forget(self._looking)
        self._take_opened(session)
        self._close(session)

    def _close(self, session: Session) -> None:
        self._forget_pieces(session)
        if isinstance(self._opened, bytes):
            session.forget(session.ask(Kind.CLOSE, self._opened))
        self._opened = None

    def _forget_pieces(self, session: Session) -> None:
        for request, _, _ in self._pieces:
            session.forget(request)
        self._pieces.clear()


def _there(value: Value | None) -> Value:
    """Return what cannot be missing at this stage of a transfer."""
    if value is None:
        raise RuntimeError("a transfer was asked for what it has not reached yet")
    return value
