"""The FTP server of a simulated telescope, on pyftpdlib; imported only where that is installed.

Anonymous users may read and delete below one folder and see nothing else. Differences from plain pyftpdlib:
names that are not UTF-8 pass unchanged, links are told as links, replies can be late, and no command changes
the working folder of the process that the server lives in.
"""

import errno
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# First of all: it alone silences the warning that asyncore is deprecated, which the other modules import as well.
from pyftpdlib.ioloop import IOLoop

# isort: split
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.filesystems import AbstractedFS, FilesystemError
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from nightferry.core.errors import Misconfigured

#: Seconds until the server notices that it should stop.
_POLL = 0.05

# Without a handler of its own, pyftpdlib would set up logging for the whole program.
logging.getLogger("pyftpdlib").addHandler(logging.NullHandler())


class _Card(AbstractedFS):  # type: ignore[misc]  # pyftpdlib has no types
    """The telescope's memory card: ``/`` holds one folder, and the real tree is below it."""

    tree: Path
    top: str

    def ftp2fs(self, ftppath: str) -> str:
        """Return the real path behind a path of the client's."""
        path = self.ftpnorm(ftppath)
        if path == self.top or path.startswith(f"{self.top}/"):
            return os.path.normpath(f"{self.tree}/{path[len(self.top) :]}")
        return os.path.normpath(f"{self.root}/{path}")

    def fs2ftp(self, fspath: str) -> str:
        """Return the client's path of a real one; ``/`` for what it must not see."""
        for base, shown in ((str(self.tree), self.top), (self.root, "")):
            if fspath == base or fspath.startswith(base + os.sep):
                return shown + fspath[len(base) :].replace(os.sep, "/") or "/"
        return "/"

    def validpath(self, path: str) -> bool:
        """Whether a real path, its links followed, is one that clients may touch."""
        real = os.path.realpath(path)
        bases = (os.path.realpath(self.tree), os.path.realpath(self.root))
        return any(real == base or real.startswith(base + os.sep) for base in bases)

    def chdir(self, path: str) -> None:
        """Enter a folder for this client alone; the original changes the folder of the whole process."""
        if not Path(path).is_dir():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.cwd = self.fs2ftp(path)

    def rmdir(self, path: str) -> None:
        """Remove a folder, but not the one that everything is below."""
        if path in {str(self.tree), str(Path(self.root, self.top[1:]))}:
            raise FilesystemError("This folder stays")
        super().rmdir(path)

    def format_mlsx(
        self,
        basedir: str,
        listing: Iterable[str],
        perms: str,
        facts: Iterable[str],
        ignore_err: bool = True,  # noqa: FBT001, FBT002 - pyftpdlib's signature
    ) -> Iterator[bytes]:
        """Write a machine-readable listing; links are told as such, where the original follows them."""
        channel = self.cmd_channel
        plain: list[str] = []
        for name in listing:
            if Path(basedir, name).is_symlink():
                yield f"type=OS.unix=symlink; {name}\r\n".encode(channel.encoding, channel.unicode_errors)
            else:
                plain.append(name)
        yield from super().format_mlsx(basedir, plain, perms, facts, ignore_err)


class _Session(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """One client's connection."""

    banner = "Vespera, simulated"
    abstracted_fs = _Card
    unicode_errors = "surrogateescape"
    delay: float = 0.0

    def push(self, data: str) -> None:
        """Send a reply; the original cannot send a name that is not UTF-8."""
        super(FTPHandler, self).push(data.encode(self.encoding, self.unicode_errors))

    def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
        """Take a command, now or after the delay; other clients are served meanwhile."""
        if self.delay:
            self.ioloop.call_later(self.delay, self._take, line, cmd, arg, _errback=self.handle_error)
        else:
            super().pre_process_command(line, cmd, arg)

    def _take(self, line: str, cmd: str, arg: str) -> None:
        if self.connected:  # the client may have left while its command waited
            super().pre_process_command(line, cmd, arg)


@contextmanager
def serve(tree: Path, *, top: str, host: str, port: int, delay: float) -> Iterator[int]:
    """Serve ``tree`` below ``/top`` from a thread of its own; give the port, and stop at the end.

    Raises `Misconfigured` when the port cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="nightferry-") as home, _listen(host, port) as listener:
        Path(home, top).mkdir()
        card = type("Card", (_Card,), {"tree": tree.resolve(), "top": f"/{top}"})
        session = type(
            "Session",
            (_Session,),
            {"abstracted_fs": card, "authorizer": _anonymous(home), "delay": delay},
        )
        server = FTPServer(listener, session, ioloop=IOLoop())
        stop = threading.Event()
        thread = threading.Thread(target=_loop, args=(server, stop), name="simulated telescope", daemon=True)
        chosen: int = server.address[1]
        thread.start()
        try:
            yield chosen
        finally:
            stop.set()
            thread.join()


def _listen(host: str, port: int) -> socket.socket:
    advice = "choose another port, or 0 for any that is free"
    if not 0 <= port <= 65535:
        raise Misconfigured(f"there is no port {port}, they end at 65535; {advice}")
    try:
        return socket.create_server((host, port))
    except OSError as err:
        raise Misconfigured(f"the simulated telescope cannot listen on port {port} of {host}: {err}; {advice}") from err


def _anonymous(home: str) -> DummyAuthorizer:
    """Let everybody in who calls himself anonymous, to read, write and delete."""
    authorizer = DummyAuthorizer()
    authorizer.add_anonymous(home)
    # Asked for directly, anonymous write permission is answered with a warning; here it is meant.
    authorizer.user_table["anonymous"]["perm"] = "elradfmwT"
    return authorizer


def _loop(server: FTPServer, stop: threading.Event) -> None:
    """Serve until told to stop, then close every connection."""
    wait: float | None = None
    try:
        while not stop.is_set():
            wait = server.ioloop.loop(_POLL if wait is None else min(wait, _POLL), blocking=False)
    finally:
        server.close_all()
