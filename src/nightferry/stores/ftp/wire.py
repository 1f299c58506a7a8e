"""Where an FTP server is, and sockets to it that never wait for ever: how an FTP store connects, reads and sends.

A blocking socket with the kernel's own time-outs (SO_RCVTIMEO, SO_SNDTIMEO) needs one system call where
Python's `settimeout` needs two, and only on such a socket can one call fill a whole buffer (MSG_WAITALL).
Where the platform has no such thing, and under TLS, `settimeout` does the same at more calls.
"""

import contextlib
import math
import os
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Literal, TypeAlias, TypeVar

from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.stores.kit.sessions import Cut, Silence

# -- the address -----------------------------------------------------------------------------------------------------

#: How long a server that was never sent commands ahead may take to answer them, in seconds.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class FtpAddress:
    """Everything a store must know to reach one folder on one FTP server.

    ``root`` is the folder that the store shows; with a leading ``/`` it counts from the server's root, otherwise
    from the folder in which a login starts. ``timeout`` (seconds) bounds every single wait: to connect, for a
    reply, for the next bytes. ``connections`` is how many calls may run side by side.

    ``pipeline``: None sends commands ahead once a probe has shown that the server answers them one by one; False
    never does; True takes the probe for granted.

    ``tls``: ``explicit`` asks for it on the ordinary port (AUTH TLS, RFC 4217), ``implicit`` speaks it from the
    first byte (port 990). Certificates are verified, against ``ca_file`` if given, unless ``verify`` is False.
    """

    host: str
    port: int = 21
    root: str = ""
    user: str = "anonymous"
    password: str = field(default="nightferry@", repr=False)
    tls: Literal["none", "explicit", "implicit"] = "none"
    verify: bool = True
    ca_file: Path | None = None
    timeout: float = 30.0
    connections: int = 2
    pipeline: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what would smuggle a second command into a line, or could never work."""
        for what, text in (("host", self.host), ("root", self.root), ("user", self.user), ("password", self.password)):
            if any(sign in text for sign in "\r\n\0"):
                raise Misconfigured(f"the {what} for an FTP server must not contain line ends or NUL; remove them")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")

    @property
    def label(self) -> str:
        """The address as messages show it, without user and password."""
        scheme, usual = ("ftp", 21) if self.tls == "none" else ("ftps", 990 if self.tls == "implicit" else 21)
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == usual else f":{self.port}"
        return f"{scheme}://{host}{port}/{self.root.strip('/')}"


def tls_context(address: FtpAddress) -> ssl.SSLContext:
    """Make the TLS settings for an address; raises `Misconfigured` for a CA file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as err:
        raise Misconfigured(
            f"{address.label}: the CA file {address.ca_file} cannot be used ({err}); name a readable PEM file"
        ) from err
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Python 3.11.2, which Debian 12 has, lets OpenSSL take a cut connection for one that ended well.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


# -- sockets ---------------------------------------------------------------------------------------------------------

T = TypeVar("T")
Socket = socket.socket | ssl.SSLSocket
#: An internet address as `socket.getpeername` tells it: host and port, and two numbers more with IPv6.
Peer: TypeAlias = tuple[str, int, *tuple[int, ...]]

#: A sender that brings fewer bytes than this in a whole time-out counts as frozen.
SLOWEST = 1024
_PIECE = 1 << 18

_FILLS = sys.platform in {"linux", "darwin"}
# Only Linux bounds connecting by SO_SNDTIMEO, too (socket(7)).
_CONNECTS = sys.platform == "linux"


def connected(label: str, call: Callable[[], T]) -> T:
    """Return what ``call`` makes, and raise its socket errors as `Unreachable` ones (`Silence` or `Cut`)."""
    try:
        return call()
    except (TimeoutError, BlockingIOError) as err:
        raise Silence(f"{label}: no answer within the time-out; is the host on, and in reach?") from err
    except (OSError, UnicodeError) as err:  # UnicodeError: a host name that is none
        raise Cut(f"{label}: cannot connect ({_words(err)}); is the host on, its address right?") from err


def _words(err: Exception) -> str:
    return str(getattr(err, "strerror", None) or err)


def dial(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to a server by its name, trying each of its addresses; commands are sent at once (no delay)."""
    sock = socket.create_connection((host, port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _kept(sock, timeout)
    return sock


def dial_beside(peer: Peer, port: int, timeout: float) -> socket.socket:
    """Connect to another port of the host that a control connection goes to, whatever address it names.

    Data connections are not kept alive: nobody waits on one for longer than the time-out.
    """
    sock = socket.socket(socket.AF_INET if len(peer) == 2 else socket.AF_INET6, socket.SOCK_STREAM)  # noqa: PLR2004
    try:
        if _CONNECTS:
            bound_waits(sock, timeout)
            sock.connect((peer[0], port, *peer[2:]))
        else:
            sock.settimeout(timeout)
            sock.connect((peer[0], port, *peer[2:]))
            bound_waits(sock, timeout)
    except OSError:
        sock.close()
        raise
    return sock


def _kept(sock: socket.socket, timeout: float) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    bound_waits(sock, timeout)


def bound_waits(sock: Socket, timeout: float) -> None:
    """Let no wait on a socket last longer than ``timeout`` seconds, by the kernel where it can."""
    if _FILLS and not isinstance(sock, ssl.SSLSocket):
        limit = _timeval(timeout)
        with contextlib.suppress(OSError):  # another layout of `struct timeval`: the other way does it, too
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            if sock.gettimeout() is not None:
                sock.settimeout(None)
            return
    sock.settimeout(timeout)


@cache
def _timeval(seconds: float) -> bytes:
    fraction, whole = math.modf(seconds)
    return struct.pack("@ll", int(whole), max(int(fraction * 1_000_000), 0 if whole else 1))


def wrap(sock: Socket, context: ssl.SSLContext, address: FtpAddress, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    """Speak TLS from here on, going on with an earlier ``session`` if given; closes the socket if that fails.

    Raises `Misconfigured` for a certificate that is not to be trusted, `Unreachable` for other trouble.
    """
    label, timeout = address.label, address.timeout
    sock.settimeout(timeout)
    try:
        return context.wrap_socket(sock, server_hostname=address.host, session=session, suppress_ragged_eofs=False)
    except ssl.SSLCertVerificationError as err:
        sock.close()
        raise Misconfigured(
            f"{label}: the server's certificate is refused ({err.verify_message or err.reason}); "
            f"name the CA that signed it, or the host as the certificate names it"
        ) from err
    except TimeoutError as err:
        sock.close()
        raise Silence(f"{label}: the TLS handshake got no answer within {timeout:g} s; is the host in reach?") from err
    except OSError as err:
        sock.close()
        raise Cut(
            f"{label}: the TLS handshake failed ({_words(err)}); does the server speak TLS 1.2 or newer?"
        ) from err


class Pipe:
    """A data connection: bytes one way, then its end."""

    def __init__(self, sock: Socket, timeout: float, label: str) -> None:
        self.sock = sock
        #: The sender closed its end.
        self.ended = False
        #: It did so without the farewell of TLS, as someone who cuts the line would.
        self.ragged = False
        self._timeout = timeout
        self._label = label
        secure = isinstance(sock, ssl.SSLSocket)
        self._flags = socket.MSG_WAITALL if _FILLS and not secure and sock.gettimeout() is None else 0

    def encrypt(self, sock: ssl.SSLSocket) -> None:
        """Go on over TLS, on the same connection."""
        self.sock = sock
        self._flags = 0

    def fill(self, view: memoryview) -> int:
        """Fill a buffer from its start; fewer bytes than it holds come only at the end of the data.

        The connection is closed at that end. Raises `TryAgain` when the sender is silent or crawls, or the
        connection breaks.
        """
        got, wanted = 0, len(view)
        receive, flags = self.sock.recv_into, self._flags
        since, mark = monotonic(), 0
        try:
            while got < wanted and not self.ended:
                count = receive(view[got:] if got else view, 0, flags)
                got += count
                if not count:
                    self._end(ragged=False)
                elif got < wanted and (now := monotonic()) - since >= self._timeout:
                    if got - mark < SLOWEST:
                        raise self._silence()
                    since, mark = now, got
        except (TimeoutError, BlockingIOError) as err:
            raise self._silence() from err
        except OSError as err:
            if _is_ragged(err):
                self._end(ragged=True)
                return got
            raise TryAgain(f"{self._label}: the data connection broke ({_words(err)}); tried again later") from err
        return got

    def _end(self, *, ragged: bool) -> None:
        self.ended, self.ragged = True, ragged
        self.sock.close()

    def _silence(self) -> TryAgain:
        return TryAgain(f"{self._label}: the data stopped coming for {self._timeout:g} s; tried again later")

    def send(self, source: BinaryIO, pace: Callable[[int], None] | None = None) -> None:
        """Send a local file from its start to its end, and say farewell; ``pace`` is told of bytes that went out.

        Raises `TryAgain` when the receiver is silent or breaks off; its reply may tell why.
        """
        try:
            self.sock.settimeout(self._timeout)
            if isinstance(self.sock, ssl.SSLSocket):
                _copy(source, self.sock, pace)
                _part(self.sock)
            elif hasattr(os, "sendfile") and pace is None:
                self.sock.sendfile(source)
            else:
                _copy(source, self.sock, pace)
        except TimeoutError as err:
            raise TryAgain(f"{self._label}: no data were taken for {self._timeout:g} s; tried again later") from err
        except OSError as err:
            raise TryAgain(f"{self._label}: sending broke off ({_words(err)}); tried again later") from err

    def close(self) -> None:
        """Let go of the connection, without waiting for anyone."""
        self.sock.close()


def _is_ragged(err: OSError) -> bool:
    # Python 3.11.2 has no class of its own for it.
    return isinstance(err, ssl.SSLEOFError) or getattr(err, "reason", "") == "UNEXPECTED_EOF_WHILE_READING"


def _copy(source: BinaryIO, sock: Socket, pace: Callable[[int], None] | None) -> None:
    piece = memoryview(bytearray(_PIECE))
    with open(source.fileno(), "rb", buffering=0, closefd=False) as raw:
        while count := raw.readinto(piece):
            sock.sendall(piece[:count])
            if pace is not None:
                pace(count)


def _part(sock: ssl.SSLSocket) -> None:
    """Say to the receiver of TLS data that they are whole, and let it finish.

    Closing with the receiver's own last messages unread would reset the connection and could cost it the tail of
    the data, so its farewell is waited for. One that does not answer it may have the data all the same: its reply
    and the file's size will tell.
    """
    with contextlib.suppress(OSError):
        sock.unwrap()
