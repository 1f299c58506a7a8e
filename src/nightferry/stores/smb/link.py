"""A TCP connection that carries whole messages: every wait on it has an end."""

import contextlib
import socket
from time import monotonic

from nightferry.core.errors import Unreachable
from nightferry.stores.sessions import Cut, Garbled, Silence
from nightferry.stores.smb.address import SmbAddress
from nightferry.stores.smb.wire import LONGEST_MESSAGE

_AHEAD = 64 * 1024
#: Buffers of large messages that are kept to be used again, and what counts as large.
_SPARE, _LARGE = 24, 32 * 1024


class Link:
    """A connection to a server; raises `Unreachable` when there can be none.

    Not for several threads at once.
    """

    def __init__(self, address: SmbAddress) -> None:
        self._label = address.label
        self._timeout = address.timeout
        self._ahead = memoryview(bytearray(_AHEAD))
        self._start = self._end = 0
        self._spare: list[bytearray] = []
        try:
            self._sock = socket.create_connection((address.host, address.port), address.timeout)
        except TimeoutError as err:
            raise Silence(f"{self._label}: no answer within {self._timeout:g} s; it is tried again later") from err
        except (OSError, UnicodeError) as err:  # a host's name may be no name at all
            raise Unreachable(f"{self._label}: no connection ({err}); it is tried again later") from err
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def send(self, message: bytes | bytearray) -> None:
        """Send a message, waiting as long as the server takes its bytes."""
        self._give(len(message).to_bytes(4) + message)

    def send_all(self, messages: "list[bytearray]") -> None:
        """Send messages, several in one go where they are short."""
        joined = bytearray()
        for message in messages:
            joined += len(message).to_bytes(4)
            joined += message
        self._give(joined)

    def _give(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._sock.send(rest) :]
        except OSError as err:
            raise self._lost(err) from err

    def receive(self) -> memoryview:
        """Receive a message, whole within the time-out; its buffer is the caller's until it is given to `spare`."""
        limit = monotonic() + self._timeout
        while self._end - self._start < 4:  # noqa: PLR2004 - the length before each message
            self._fill(limit)
        length = int.from_bytes(self._ahead[self._start : self._start + 4])
        if length > LONGEST_MESSAGE:  # the first byte is 0 for a message
            raise Garbled(
                f"{self._label}: the server sent {bytes(self._ahead[self._start : self._end])[:20]!r}, no SMB"
            )
        self._start += 4
        message = self._buffer(length)
        got = min(length, self._end - self._start)
        message[:got] = self._ahead[self._start : self._start + got]
        self._start += got
        while got < length:
            got += self._read_into(message[got:], limit)
        return message

    def spare(self, message: memoryview) -> None:
        """Take the buffer of a message back, which nobody looks at any more."""
        if len(self._spare) < _SPARE and isinstance(message.obj, bytearray) and len(message.obj) >= _LARGE:
            self._spare.append(message.obj)

    def close(self) -> None:
        """End the connection; may be called again."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _buffer(self, length: int) -> memoryview:
        if length >= _LARGE:
            for place, one in enumerate(self._spare):
                if length <= len(one) <= 2 * length:
                    del self._spare[place]
                    return memoryview(one)[:length]
        return memoryview(bytearray(length))

    def _fill(self, limit: float) -> None:
        if self._start == self._end:
            self._start = self._end = 0
        elif _AHEAD - self._end < 4:  # noqa: PLR2004 - a length must fit
            left = self._end - self._start
            self._ahead[:left] = bytes(self._ahead[self._start : self._end])
            self._start, self._end = 0, left
        self._end += self._read_into(self._ahead[self._end :], limit)

    def _read_into(self, room: memoryview, limit: float) -> int:
        if monotonic() > limit:
            raise Silence(f"{self._label}: no whole answer within {self._timeout:g} s; it is tried again later")
        try:
            count = self._sock.recv_into(room)
        except OSError as err:
            raise self._lost(err) from err
        if not count:
            raise Cut(f"{self._label}: the connection ended")
        return count

    def _lost(self, err: OSError) -> Cut | Silence:
        if isinstance(err, TimeoutError):
            return Silence(f"{self._label}: no answer within {self._timeout:g} s; it is tried again later")
        return Cut(f"{self._label}: the connection ended ({err.strerror or err})")
