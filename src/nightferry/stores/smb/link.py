"""Where an SMB share is, and a TCP connection to it that carries whole messages: every wait has an end."""

import contextlib
import re
import socket
from dataclasses import dataclass, field
from time import monotonic

from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.stores.kit.sessions import Cut, Garbled, Silence
from nightferry.stores.smb.wire import LONGEST_MESSAGE

# -- the address -----------------------------------------------------------------------------------------------------

PORT = 445
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_SHARE = re.compile(r'["\\/\[\]:|<>+=;,*?]')


@dataclass(frozen=True, slots=True)
class SmbAddress:
    r"""Everything a store must know to reach one folder of one share.

    ``root`` is the folder that the store shows, below the share, ``/`` between folders. ``user`` may name a domain,
    as ``DOMAIN\user`` or ``user@domain``; without a user the login is a guest's. ``encrypt`` asks for an encrypted
    session even where the server does not; every other login but a guest's is signed. ``timeout`` (seconds) bounds
    every single wait, ``connections`` says how many calls may run side by side.
    """

    host: str
    share: str
    root: str = ""
    port: int = PORT
    user: str = ""
    password: str | None = field(default=None, repr=False)
    encrypt: bool = False
    timeout: float = 30.0
    connections: int = 2

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        if not self.host:
            raise Misconfigured("an SMB server needs a host")
        for what, said in (("host", self.host), ("share", self.share), ("user", self.user), ("folder", self.root)):
            if _CONTROL.search(said):
                raise Misconfigured(f"the {what} of an SMB server must not contain control characters; remove them")
        if not self.share:
            raise Misconfigured(
                f"smb://{self.host}: which share? Its name comes after the host: smb://{self.host}/SHARE"
            )
        if _NO_SHARE.search(self.share):
            raise Misconfigured(f"{self.label}: {self.share!a} cannot be the name of a share; correct the URL")
        if self.user and self.password is None:
            raise Misconfigured(f"{self.label}: the user {self.user!a} needs a password: name where it is in 'secret'")
        if self.password and not self.user:
            raise Misconfigured(f"{self.label}: there is a password but no user; say whose it is in 'user'")
        if self.encrypt and not self.user:
            raise Misconfigured(f"{self.label}: a guest's session cannot be encrypted; give it a user and a password")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")

    @property
    def label(self) -> str:
        """The address as messages show it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != PORT else ""
        return f"smb://{host}{port}/{self.share}/{self.root}".rstrip("/")


def share_of(path: str) -> tuple[str, str]:
    """Split the path of an ``smb://`` URL into the share and the folder below it."""
    share, _, root = path.strip("/").partition("/")
    return share, root.strip("/")


# -- the connection --------------------------------------------------------------------------------------------------

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
