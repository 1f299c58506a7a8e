"""A real SMTP server on loopback: it takes mail, asks for STARTTLS and a login, refuses, or never answers."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.servers.certificates import Certificate

USER, PASSWORD = "robot", "correct horse"


@dataclass
class MailServer:
    """What arrived, and how the server behaves; ``refuses`` is what it answers to every mail instead of taking it."""

    port: int = 0
    refuses: str = ""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)

    def url(self, words: str = "") -> str:
        """Tell the Apprise URL of this server, from the observatory to its operators."""
        return f"mailto://127.0.0.1:{self.port}/ops@example.org?from=nightferry@example.org&format=text{words}"

    def subjects(self) -> list[str]:
        """Tell the subjects of the mails that arrived, oldest first."""
        return [str(mail["Subject"]) for mail in self.mails]

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail, or refuse it."""
        if self.refuses:
            return self.refuses
        mail = message_from_bytes(cast("bytes", envelope.content), policy=default)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.secure.append(session.ssl is not None)
        return "250 taken"


@contextmanager
def mail_server(tls: Certificate | None = None, *, login: bool = False, port: int = 0) -> Iterator[MailServer]:
    """Serve until the block ends; with ``tls`` only after STARTTLS, with ``login`` only for `USER`."""
    server = MailServer()
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)

    def admit(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: object) -> AuthResult:
        good = isinstance(given, LoginPassword) and given == LoginPassword(USER.encode(), PASSWORD.encode())
        if isinstance(given, LoginPassword):
            server.logins.append(given.login.decode())
        return AuthResult(success=good, handled=False)  # the server itself says so to the client

    def protocol() -> SMTP:
        return SMTP(
            server,
            hostname="localhost",
            tls_context=context,
            require_starttls=tls is not None,
            auth_required=login,
            auth_require_tls=tls is not None,
            authenticator=admit if login else None,
            loop=loop,
        )

    loop = asyncio.new_event_loop()
    listener = socket.create_server(("127.0.0.1", port))
    server.port = listener.getsockname()[1]
    serving = loop.run_until_complete(loop.create_server(protocol, sock=listener))
    thread = threading.Thread(target=loop.run_forever, name="mail-server")
    thread.start()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(_end(serving), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(serving: asyncio.Server) -> None:
    """Close the server and everything that still runs in its loop."""
    serving.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


@contextmanager
def silent_server() -> Iterator[int]:
    """Take connections and never say a word; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
