"""The control connection: one command line out, one reply in, and never a wait without end (RFC 959, 4217)."""

import contextlib
import socket
import ssl
from time import monotonic

from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.stores.ftp.address import FtpAddress
from nightferry.stores.ftp.reply import Reply, login_refusal, quoted
from nightferry.stores.ftp.wire import Peer, Socket, bound_waits, connected, dial, wrap
from nightferry.stores.sessions import Cut, Silence

#: Longest reply that is read, in bytes: more is no FTP server.
LONGEST_REPLY = 1 << 20


class Control:
    """A control connection on which commands may be sent ahead of their replies.

    Commands are asked (`ask`) and answered (`answer`) in order. With ``ahead`` all that was asked leaves at once;
    without it each is sent when the reply to the one before was read, so callers need not know which.
    Lost connections raise `Cut` or `Silence`, both `Unreachable`.
    """

    def __init__(self, sock: Socket, address: FtpAddress) -> None:
        self.sock = sock
        self.ahead = False
        #: The byte 255 is written twice, as in RFC 959's Telnet: proftpd wants it so, vsftpd and pure-ftpd do not.
        self.telnet = False
        #: when the last reply came
        self.heard = monotonic()
        self._peer: Peer | None = None
        self._address = address
        self._label = address.label
        self._waiting: list[bytes] = []
        self._unanswered = 1  # the greeting answers the connection itself
        self._received = b""

    @property
    def idle(self) -> bool:
        """Every command that was asked has its final reply."""
        return not self._unanswered and not self._waiting

    @property
    def peer(self) -> Peer:
        """The address that the connection goes to; raises `OSError` when there is none any more."""
        if self._peer is None:
            self._peer = self.sock.getpeername()
        return self._peer

    def ask(self, *commands: str) -> None:
        """Queue commands; they leave with the next `flush` or `answer`."""
        lines = [command.encode("utf-8", "surrogateescape") for command in commands]
        if self.telnet:
            lines = [line.replace(b"\xff", b"\xff\xff") for line in lines]
        for line in lines:
            if b"\n" in line or b"\r" in line or b"\0" in line:
                raise AssertionError("a path that was not checked reached an FTP command")
        self._waiting += lines

    def flush(self) -> None:
        """Send what was asked, all in one, if it may be sent ahead."""
        if self.ahead and self._waiting:
            self._send(len(self._waiting))

    def answer(self) -> Reply:
        """Read the next reply; a preliminary one (1xx) leaves its command unanswered."""
        self.flush()
        if not self._unanswered:
            self._send(1)
        reply = self._read()
        if not reply.preliminary:
            self._unanswered -= 1
        return reply

    def final(self) -> Reply:
        """Read the final reply to the oldest command that has none, passing over preliminary ones."""
        while (reply := self.answer()).preliminary:
            pass
        return reply

    def forget(self) -> None:
        """Drop what was asked and not sent."""
        self._waiting.clear()

    def pass_over(self) -> None:
        """Drop what was asked: what is unsent stays unsent, what is sent gets its reply read."""
        self.forget()
        while self._unanswered:
            self.final()

    def do(self, command: str) -> Reply:
        """Send one command and read its final reply."""
        self.ask(command)
        return self.final()

    def patience(self, seconds: float) -> None:
        """Bound each wait from now on, in seconds; no matter on a connection that is closed."""
        with contextlib.suppress(OSError):
            bound_waits(self.sock, seconds)

    def secure(self, context: ssl.SSLContext) -> None:
        """Go over to TLS."""
        if self._received:
            raise Unreachable(f"{self._label}: the server spoke on before TLS began; someone may be in the line")
        self.sock = wrap(self.sock, context, self._address, None)

    @property
    def tls_session(self) -> ssl.SSLSession | None:
        """The TLS session, as it is after the last bytes read: TLS 1.3 renews it on the way."""
        return self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None

    def spoke_up(self) -> bool:
        """Whether something came unasked, which on an idle connection can only be its end."""
        if self._received:
            return True
        try:
            self.sock.settimeout(0)
            if isinstance(self.sock, ssl.SSLSocket):
                self._received = self.sock.recv(1)
                return True
            self.sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, ssl.SSLWantReadError):
            self.patience(self._address.timeout)
            return False
        except OSError:
            return True
        return True

    def close(self, *, politely: bool = False) -> None:
        """Let go of the connection; politely, if the server is to be told."""
        if politely:
            with contextlib.suppress(OSError):
                self.sock.settimeout(0)
                self.sock.send(b"QUIT\r\n")
        self.sock.close()

    def _send(self, count: int) -> None:
        lines, self._waiting = self._waiting[:count], self._waiting[count:]
        self._unanswered += len(lines)
        try:
            self.sock.sendall(b"\r\n".join(lines) + b"\r\n")
        except (TimeoutError, BlockingIOError) as err:
            raise Silence(f"{self._label}: the server takes no more commands; is it frozen?") from err
        except OSError as err:
            raise Cut(f"{self._label}: the server closed the connection ({err}); tried again later") from err

    def _read(self) -> Reply:
        limit = monotonic() + 2 * self._address.timeout
        first = self._line(limit)
        lines = [first[4:]]
        code = first[:3]
        if not (code.isascii() and code.isdigit() and code[0] in "12345"):
            raise Unreachable(f"{self._label}: expected an FTP reply, got {quoted(first)}; is this an FTP server?")
        if first[3:4] == "-":
            length = 0
            while not ((line := self._line(limit)).startswith(code) and line[3:4] in {" ", ""}):
                lines.append(line)
                length += len(line)
                if length > LONGEST_REPLY:
                    raise Unreachable(f"{self._label}: a reply without end; is this an FTP server?")
            lines.append(line[4:])
        self.heard = monotonic()
        reply = Reply(int(code), "\n".join(lines))
        if reply.code == 421:  # noqa: PLR2004 - the server closes the connection (RFC 959)
            raise Cut(f"{self._label}: the server ended the session ({reply}); tried again later")
        return reply

    def _line(self, limit: float) -> str:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > LONGEST_REPLY or monotonic() > limit:
                raise Silence(f"{self._label}: the server does not finish a reply; is it frozen?")
            try:
                more = self.sock.recv(65536)
            except (TimeoutError, BlockingIOError) as err:
                raise Silence(f"{self._label}: the server did not answer within the time-out; is it frozen?") from err
            except OSError as err:
                raise Cut(f"{self._label}: the connection broke ({err}); tried again later") from err
            if not more:
                raise Cut(f"{self._label}: the server closed the connection; tried again later")
            self._received += more
        line = self._received[:end]
        self._received = self._received[end + 1 :]
        return line.rstrip(b"\r").decode("utf-8", "surrogateescape")


def log_in(address: FtpAddress, context: ssl.SSLContext | None) -> Control:
    """Connect, secure and log in; raises `Unreachable`, or `Misconfigured` for credentials and certificates."""
    label = address.label
    control = Control(connected(label, lambda: dial(address.host, address.port, address.timeout)), address)
    with contextlib.ExitStack() as stack:
        stack.callback(control.close)
        if context is not None and address.tls == "implicit":
            control.secure(context)
        _greet(control, label)
        if context is not None and address.tls == "explicit":
            _go_secure(control, context, label)
        _identify(control, address)
        if context is not None:
            _protect_data(control, label)
        stack.pop_all()
    return control


def _greet(control: Control, label: str) -> None:
    reply = control.final()
    if not reply.good:
        raise Unreachable(f"{label}: the server does not welcome us now ({reply}); tried again later")
    control.telnet = "proftpd" in reply.text.lower()


def _go_secure(control: Control, context: ssl.SSLContext, label: str) -> None:
    reply = control.do("AUTH TLS")
    if not reply.good:
        raise Misconfigured(f"{label}: the server offers no TLS ({reply}); switch it on there, or use plain FTP")
    control.secure(context)


def _protect_data(control: Control, label: str) -> None:
    for command in ("PBSZ 0", "PROT P"):
        reply = control.do(command)
        if not reply.good:
            raise Misconfigured(f"{label}: the server does not encrypt data ({reply}); switch it on there")


def _identify(control: Control, address: FtpAddress) -> None:
    reply = control.do(f"USER {address.user}")
    if reply.code == 331:  # noqa: PLR2004 - password, please
        reply = control.do(f"PASS {address.password}")
    if not reply.good:
        raise login_refusal(reply, address.label, address.user)
