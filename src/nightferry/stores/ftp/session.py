"""A logged-in session with an FTP server, and what a store learns about the server by using it."""

import contextlib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple, TypeAlias

from nightferry.core.errors import Misconfigured, NightferryError, TryAgain, Unreachable
from nightferry.core.store import StorePath
from nightferry.stores.ftp.control import (
    Control,
    Features,
    Reply,
    epsv_port,
    features_of,
    log_in,
    pasv_port,
    pwd_path,
    quoted,
    refusal,
)
from nightferry.stores.ftp.wire import PATIENCE, FtpAddress, Pipe, connected, dial_beside, tls_context, wrap
from nightferry.stores.kit import sessions
from nightferry.stores.kit.sessions import Cut, Silence

#: An idle connection is asked whether it still lives after this many seconds.
QUIET = 1.0
# The reply of a server that could not make, or did not get, the data connection (RFC 959).
_NO_DATA = 425
_TRUSTED = contextlib.nullcontext()


@dataclass(slots=True)
class ServerFacts:
    """What is known about a server, shared by all sessions of a store; it only ever learns, so races do no harm."""

    address: FtpAddress
    context: ssl.SSLContext | None = None
    features: Features | None = None
    #: EPSV is worth asking for; no server was seen that forgets PASV.
    epsv: bool = True
    #: A data connection was made the present way.
    passive_works: bool = False
    #: Commands may be sent ahead of replies; None while no probe was made.
    ahead: bool | None = None
    #: It did so across the end of a transfer, too.
    ahead_proven: bool = False
    #: SIZE, MDTM, REST and MLST have not been refused as unknown.
    size: bool = True
    mdtm: bool = True
    rest: bool = True
    mlst: bool = True
    #: MLSD has not been refused, though FEAT offered it.
    mlsd: bool = True
    #: A file's size and time were told by a command.
    stat_works: bool = False

    @property
    def machine_listings(self) -> bool:
        """MLSD and MLST tell all that we need."""
        return self.mlst and self.mlsd and self.features is not None and self.features.machine_listings

    @property
    def lessons(self) -> tuple[bool, bool, bool]:
        """What a failure may have taught: if it changed, the same may work the next time."""
        return self.ahead is not False, self.epsv, self.mlsd

    def distrust(self) -> None:
        """Send no more commands ahead: the server did not bear it."""
        self.ahead = False


def facts_for(address: FtpAddress) -> ServerFacts:
    """Start knowing nothing but the address; raises `Misconfigured` for TLS settings that cannot work."""
    context = None if address.tls == "none" else tls_context(address)
    return ServerFacts(address, context, ahead=address.pipeline)


class Opening(NamedTuple):
    """What came of asking for data: the data connection (None: refused), that reply, and those to commands before."""

    pipe: Pipe | None
    reply: Reply
    before: list[Reply]


@dataclass(slots=True)
class Session:
    """One control connection, logged in, in binary mode."""

    control: Control
    server: ServerFacts
    #: The root folder's absolute path, without a trailing slash.
    base: str
    label: str
    #: Whether this connection answered the probe for commands sent ahead.
    probed: bool = False
    _passive: str = "EPSV"

    def place(self, path: StorePath) -> str:
        """Return the absolute path at the server."""
        return f"{self.base}/{path}" if path else self.base or "/"

    @property
    def ahead(self) -> bool:
        """Whether commands may be sent ahead."""
        return self.probed and bool(self.server.ahead)

    def ask(self, *commands: str) -> None:
        """Queue commands; they leave together only if the server bears that."""
        self.control.ahead = self.ahead
        self.control.ask(*commands)

    def ask_transfer(self, *commands: str, before: tuple[str, ...] = ()) -> None:
        """Queue what opens a data connection, then the commands that use it."""
        self._passive = "EPSV" if self.server.epsv else "PASV"
        self.ask(*before, self._passive, *commands)

    def port(self) -> int | None:
        """Read the reply to the first command of `ask_transfer`; None if this way is unknown to the server.

        Then the commands that were to follow are passed over, and the caller asks again, in the other way.
        """
        reply = self.control.final()
        port = (epsv_port if self._passive == "EPSV" else pasv_port)(reply)
        if port is not None:
            return port
        if self._passive == "EPSV" and (reply.code >= 500 or reply.good):  # noqa: PLR2004
            self.server.epsv = False
            self.control.pass_over()
            return None
        raise refusal(reply, f"{self.label}: opening a data connection")

    def begin(self, port: int, before: int = 0) -> Opening:
        """Make the data connection, and read the replies up to the one to the command that moves data.

        ``before`` tells how many commands stand before that one. A server that was sent commands ahead may have
        refused them and closed its port before we come to connect: then its refusal counts, not our failure.
        """
        pipe, trouble = self._dial(port)
        with contextlib.ExitStack() as stack:
            if pipe is not None:
                stack.callback(pipe.close)
            if trouble is not None:
                stack.callback(self._blame_passive)
            heard = [self.control.final() for _ in range(before)]
            reply = self.control.answer()
            if trouble is not None and (reply.preliminary or reply.code == _NO_DATA):
                raise trouble
            if not reply.preliminary:
                if trouble is not None:
                    stack.pop_all()
                return Opening(None, reply, heard)
            if pipe is not None and self.server.context is not None:
                self._encrypt(pipe, self.server.context)
            stack.pop_all()
            return Opening(pipe, reply, heard)

    def _dial(self, port: int) -> tuple[Pipe | None, Cut | None]:
        timeout, where = self.server.address.timeout, f"{self.label}, data port {port}"
        try:
            sock = connected(where, lambda: dial_beside(self.control.peer, port, timeout))
        except (Cut, Silence) as err:
            if isinstance(err, Cut) and self.control.ahead:
                return None, err
            self._blame_passive()
            raise
        self.server.passive_works = True
        return Pipe(sock, timeout, self.label), None

    def _blame_passive(self) -> None:
        """Let the next try use PASV, if no data connection was ever made the present way."""
        if not self.server.passive_works:
            self.server.epsv = False

    def _encrypt(self, pipe: Pipe, context: ssl.SSLContext) -> None:
        """Wrap the data connection, in the control connection's TLS session: servers ask for that as a proof."""
        address = self.server.address
        pipe.encrypt(wrap(pipe.sock, context, address, self.control.tls_session))

    def doubted(self) -> contextlib.AbstractContextManager[None]:
        """Read replies to commands sent ahead across the end of a transfer.

        Until that has worked once, replies are waited for less long, and any trouble ends the sending ahead.
        """
        return _TRUSTED if self.server.ahead_proven or not self.ahead else self._doubting()

    @contextlib.contextmanager
    def _doubting(self) -> Iterator[None]:
        server, timeout = self.server, self.server.address.timeout
        self.control.patience(min(timeout, PATIENCE))
        try:
            yield
        except NightferryError:
            server.distrust()
            raise
        self.control.patience(timeout)

    def alive(self) -> bool:
        """Whether an idle session can still be used; costs a round trip after a while of silence."""
        if not self.control.idle or self.control.spoke_up():
            return False
        if monotonic() - self.control.heard > QUIET:
            try:
                self.control.do("NOOP")  # any answer is a sign of life
            except (Cut, Silence):
                return False
        return True

    def settle(self) -> bool:
        """Return whether every answer came: FTP has no way to pass over one."""
        return self.control.idle

    def close(self, *, politely: bool = False) -> None:
        """End the session."""
        self.control.close(politely=politely and self.control.idle)


def open_session(server: ServerFacts) -> Session:
    """Log in and get ready; raises `Unreachable` or `Misconfigured`."""
    session = _ready(server)
    if session is None:  # it does not bear commands sent ahead, as is known now
        session = _ready(server)
    if session is None:
        raise Unreachable(f"{server.address.label}: the server's answers make no sense; tried again later")
    return session


def _ready(server: ServerFacts) -> Session | None:
    control = log_in(server.address, server.context)
    try:
        if server.features is None:
            server.features = features_of(control.do("FEAT"))
        if server.features.utf8:
            control.do("OPTS UTF8 ON")
        if server.machine_listings:
            control.do("OPTS MLST type;size;modify;")
        return _settle(server, control)
    except NightferryError:
        control.close()
        raise


def _settle(server: ServerFacts, control: Control) -> Session | None:
    """Go to binary mode and find the root, and see on the way whether commands may be sent ahead.

    Three harmless commands leave in one segment. A server that reads line by line answers all; one that throws
    away what came behind a command stays silent, and gets them one by one on a new connection.
    """
    label, timeout = server.address.label, server.address.timeout
    probing = server.ahead is not False
    control.ahead = probing
    if probing and not server.ahead:
        control.patience(min(timeout, PATIENCE))
    control.ask("PWD", "TYPE I", "NOOP")
    try:
        where, binary, alive = control.final(), control.final(), control.final()
    except (Cut, Silence):
        if server.ahead is None:
            server.distrust()
            control.close()
            return None
        raise
    control.patience(timeout)
    in_order = where.code in {257, 550} and binary.code == 200 and alive.code != 257  # noqa: PLR2004
    if probing and not in_order and not server.ahead_proven:
        server.distrust()
        control.close()
        return None
    if not binary.good:
        raise Misconfigured(f"{label}: the server has no binary mode ({binary}); nothing can be carried from it whole")
    if server.ahead is None:
        server.ahead = True
    return Session(control, server, _base(server.address.root, where, label), label, probed=probing)


def _base(root: str, where: Reply, label: str) -> str:
    if root.startswith("/"):
        return root.rstrip("/")
    login = pwd_path(where)
    if login is None:
        raise TryAgain(
            f"{label}: the server does not tell in which folder a login starts ({quoted(where.text)}); "
            f"name the root with a leading slash"
        )
    below = root.strip("/")
    return login.rstrip("/") + (f"/{below}" if below else "")


Pool: TypeAlias = sessions.Pool[Session, ServerFacts]
Lease: TypeAlias = sessions.Lease[Session, ServerFacts]


def pool_for(address: FtpAddress) -> Pool:
    """Make the pool of one server, of which nothing is known yet; raises `Misconfigured` for unusable TLS settings.

    Every session is asked whether it lives before it is used again: that costs nothing before a second of rest.
    """
    server = facts_for(address)
    return sessions.Pool(lambda: open_session(server), address.label, address.connections, server, rest=0.0)
