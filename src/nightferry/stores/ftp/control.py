"""The control connection: one command line out, one reply in, and never a wait without end (RFC 959, 4217)."""

import contextlib
import re
import socket
import ssl
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable
from nightferry.stores.ftp.wire import FtpAddress, Peer, Socket, bound_waits, connected, dial, wrap
from nightferry.stores.kit.sessions import Cut, Silence

# -- replies: pure functions from text to values and errors (RFC 959, 2389, 2428, 3659) ------------------------------

#: The facts of MLSD and MLST without which plain listings serve us better.
NEEDED_FACTS = frozenset({"type", "size", "modify"})

_EPSV = re.compile(r"\(([\x21-\x7e])\1\1([0-9]{1,5})\1\)")
_PASV = re.compile(r"([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})")
_QUOTED = re.compile(r'"((?:[^"]|"")*)"')
_NUMBER = re.compile(r"^\s*([0-9]{1,18})\s*$")
_FULL = re.compile(r"no space|disk (is )?full|quota|out of space|insufficient (disk )?(space|storage)", re.IGNORECASE)
_ABSENT = re.compile(r"no such (file|dir)|not found|does ?n[o']t exist|can ?not find|no files", re.IGNORECASE)
_BARRED = re.compile(r"access|permission|denied|not allowed|busy|unavailable", re.IGNORECASE)
_CROWDED = re.compile(r"too many|maximum|try again|limit|busy|already (logged|connected)", re.IGNORECASE)


class Reply(NamedTuple):
    """One whole reply: its code and its text, several lines joined by line feeds."""

    code: int
    text: str

    @property
    def preliminary(self) -> bool:
        """More will follow (1xx)."""
        return self.code < 200  # noqa: PLR2004 - reply classes of RFC 959

    @property
    def good(self) -> bool:
        """It worked (2xx)."""
        return 200 <= self.code < 300  # noqa: PLR2004

    @property
    def unknown(self) -> bool:
        """The server does not know the command or what was asked of it (500, 501, 502, 504)."""
        return self.code in {500, 501, 502, 504}

    @property
    def absent(self) -> bool:
        """The reply says in words that there is no such file or folder; without words, 550 may mean anything."""
        return self.code in {450, 550} and bool(_ABSENT.search(self.text)) and not _BARRED.search(self.text)

    def __str__(self) -> str:
        """Quote the reply for a message."""
        return quoted(f"{self.code} {self.text}")


def quoted(text: str) -> str:
    """Make what a server said safe to show: one short line without control characters."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text[:200])
    return f'"{line}"'


def refusal(reply: Reply, doing: str, *, storing: bool = False) -> NightferryError:
    """Return the error that a reply means which is no success; ``doing`` says where and what was asked.

    Only where something was to be stored does a full disk mean `NoSpace`.
    """
    if storing and (reply.code in {452, 552} or _FULL.search(reply.text)):
        return NoSpace(f"{doing}: the server has no space left ({reply}); free some there")
    if reply.code in {530, 532}:
        return Misconfigured(f"{doing}: the server wants another login ({reply}); check user and secret")
    return TryAgain(f"{doing}: expected success, the server answered {reply}; it is tried again later")


def login_refusal(reply: Reply, label: str, user: str) -> NightferryError:
    """Return why a login was refused: a crowded server asks for patience, anything else for the operator."""
    if 400 <= reply.code < 500 or (reply.code == 530 and _CROWDED.search(reply.text)):  # noqa: PLR2004
        return Unreachable(f"{label}: the server takes no login now ({reply}); it is tried again later")
    return Misconfigured(f"{label}: the server refuses the login of {user!r} ({reply}); check user and secret")


def epsv_port(reply: Reply) -> int | None:
    """Read the port out of a 229 reply (RFC 2428); None when there is none."""
    found = _EPSV.search(reply.text) if reply.code == 229 else None  # noqa: PLR2004
    return _port(int(found[2])) if found else None


def pasv_port(reply: Reply) -> int | None:
    """Read the port out of a 227 reply; its address is never used, whatever it says."""
    found = _PASV.search(reply.text) if reply.code == 227 else None  # noqa: PLR2004
    return _port(int(found[5]) * 256 + int(found[6])) if found else None


def _port(number: int) -> int | None:
    return number if 0 < number < 65536 else None  # noqa: PLR2004


def pwd_path(reply: Reply) -> str | None:
    """Read the folder out of a 257 reply, doubled quotes undone; None when it is not an absolute one."""
    found = _QUOTED.search(reply.text) if reply.code == 257 else None  # noqa: PLR2004
    path = found[1].replace('""', '"') if found else ""
    return path if path.startswith("/") else None


def size_of(reply: Reply) -> int | None:
    """Read the number of bytes out of a 213 reply to SIZE."""
    found = _NUMBER.match(reply.text) if reply.code == 213 else None  # noqa: PLR2004
    return int(found[1]) if found else None


@dataclass(frozen=True, slots=True)
class Features:
    """What a server says it can do (FEAT, RFC 2389)."""

    told: bool = False
    utf8: bool = False
    facts: frozenset[str] = frozenset()

    @property
    def machine_listings(self) -> bool:
        """MLSD and MLST are there and tell all that we need."""
        return self.facts >= NEEDED_FACTS


def features_of(reply: Reply) -> Features:
    """Read the reply to FEAT; a server that does not know FEAT has told nothing."""
    if reply.code != 211:  # noqa: PLR2004
        return Features()
    names: dict[str, str] = {}
    for line in reply.text.split("\n")[1:]:
        name, _, rest = line.strip().partition(" ")
        names[name.upper()] = rest
    facts = frozenset(fact.strip("* ").lower() for fact in names.get("MLST", "").split(";"))
    return Features(told=True, utf8="UTF8" in names, facts=facts - {""})


# -- the connection --------------------------------------------------------------------------------------------------

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
