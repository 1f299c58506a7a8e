"""A small FTP server on loopback that misbehaves on demand, to rehearse what telescopes and networks do.

    with FtpServer() as server:
        server.tree.plant(b"night/a.fits", frame)
        server.facts.cut_at = 262_144                     # ends the data early and confirms all the same
        store = FtpStore(FtpAddress("127.0.0.1", server.port))

Files live in memory. What it does wrong, and what it leaves out, stands in `ServerFacts`; `dies` and `freezes` are
methods, as they happen to the whole server at a moment. Every command it hears is kept in ``heard``.
"""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Self

from tests.servers.ftp_facts import ServerFacts, Tree
from tests.servers.ftp_session import Closed, Session


class FtpServer:
    """A server for one tree of files; starts on ``with`` and is gone after it."""

    def __init__(self, *, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        self.host = host
        self.context = context
        self.tree = Tree()
        self.facts = ServerFacts()
        self.port = 0
        #: Every command line, as it came; and how many came behind another one, before its reply.
        self.heard: list[bytes] = []
        self.ahead = 0
        #: How many connections were ever made.
        self.logins = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.RLock()
        self._budget: int | None = None
        self._at_end = ""
        self._stopped = False
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Start to listen."""
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        """End all that goes on and wait for it."""
        self._stopped = True
        self._flowing.set()
        self._away()
        for thread in self._threads:
            thread.join(60)

    # -- what happens to the whole server ----------------------------------------------------------------------

    @contextlib.contextmanager
    def dies(self, after: int) -> Iterator[None]:
        """Move so many more bytes of file data, then drop all connections and refuse new ones."""
        with self._fate("dies", after):
            yield
        if self._listener is None:
            self._listen()

    @contextlib.contextmanager
    def freezes(self, after: int) -> Iterator[None]:
        """Move so many more bytes of file data, then say nothing more, and keep all connections."""
        with self._fate("freezes", after):
            yield
        self._flowing.set()

    @contextlib.contextmanager
    def changed(self, **facts: object) -> Iterator[None]:
        """Have other facts for a while."""
        before = {name: getattr(self.facts, name) for name in facts}
        for name, value in facts.items():
            setattr(self.facts, name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self.facts, name, value)

    def drop_connections(self, farewell: bytes = b"") -> None:
        """Cut every connection at once, with a last reply or without; new ones are welcome."""
        with self._lock:
            cut = tuple(self._sockets)
        for sock in cut:
            with contextlib.suppress(OSError):
                if farewell:
                    sock.sendall(farewell + b"\r\n")
                sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _fate(self, end: str, after: int) -> Iterator[None]:
        with self._lock:
            self._budget, self._at_end = after, end
        if not after:
            self._meet_fate()
        try:
            yield
        finally:
            with self._lock:
                self._budget = None

    def _meet_fate(self) -> None:
        if self._at_end == "dies":
            self._away()
        else:
            self._flowing.clear()

    # -- what sessions ask ---------------------------------------------------------------------------------------

    def allowance(self, wanted: int) -> int:
        """Say how many of the bytes wanted may move; brings the server's fate about when none are left."""
        self.pause()
        with self._lock:
            if self._budget is None:
                return wanted
            allowed = min(wanted, self._budget)
            self._budget -= allowed
            if not self._budget:
                self._meet_fate()
            return allowed

    def pause(self) -> None:
        """Wait while the server is frozen; raises `Closed` when it is stopped."""
        self._flowing.wait()
        if self._stopped:
            raise Closed

    def keep(self, sock: socket.socket) -> None:
        """Have a socket closed when the server goes away."""
        with self._lock:
            self._sockets.add(sock)

    def forget(self, sock: socket.socket) -> None:
        """Close a socket and keep it no longer."""
        with self._lock:
            self._sockets.discard(sock)
        sock.close()

    # -- the listener --------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(50)
        self.port = listener.getsockname()[1]
        self._listener = listener
        thread = threading.Thread(target=self._accept, args=(listener,), name="ftp listener", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(Closed, OSError, ValueError):  # ValueError: closed between two rounds
            while self._listener is listener:
                if not select.select([listener], [], [], 0.05)[0]:
                    continue
                self.pause()
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.keep(sock)
                self.logins += 1
                thread = threading.Thread(target=self._converse, args=(sock,), name="ftp session", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _converse(self, sock: socket.socket) -> None:
        session = Session(self, sock)
        try:
            with contextlib.suppress(Closed, OSError):  # the client went, or we did
                session.run()
        finally:
            session.close()

    def _away(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        self.drop_connections()
