"""An ``ssh`` as a pair of pipes: every wait on it has an end, and its last words are kept."""

import contextlib
import io
import subprocess
import threading
from collections.abc import Iterator
from time import monotonic
from typing import cast

from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.stores.sessions import Cut, Silence
from nightferry.stores.sftp.address import SftpAddress
from nightferry.stores.sftp.command import ssh_command, ssh_environment
from nightferry.stores.sftp.complaint import shown

_LAST_WORDS = 16 * 1024
#: Bytes that one write gives away, so that each has a wait of its own.
_PIECE = 64 * 1024
_PARTING = 1.0
_LARGE_PIPE = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux


class SshProcess:
    """A running ``ssh``. Raises `Misconfigured` when there is none to run.

    Pipes cannot be waited for with an end on every system, so a thread looks on, and ends the child when a wait
    takes too long; another one keeps what the child complains about.
    """

    def __init__(self, address: SftpAddress) -> None:
        self._label = address.label
        self._timeout = address.timeout
        command = ssh_command(address)
        self._environment = contextlib.ExitStack()
        try:
            environment = self._environment.enter_context(ssh_environment(address))
            self._child = subprocess.Popen(  # noqa: S603 - a list of words, of which the host is no option
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # without a terminal to ask on, and out of reach of its Ctrl-C
            )
        except OSError as err:
            self._environment.close()
            if isinstance(err, FileNotFoundError | PermissionError):
                raise Misconfigured(
                    f"{address.label}: there is no program {address.program!a} to run; SFTP needs OpenSSH's client: "
                    "install it (Debian, Ubuntu: apt-get install openssh-client; Windows: the optional feature "
                    "OpenSSH Client)"
                ) from err
            raise TryAgain(f"{address.label}: ssh could not be started ({err})") from err
        # without buffers, the pipes are raw files
        self._to_server = cast("io.FileIO", self._child.stdin)
        self._from_server = cast("io.FileIO", self._child.stdout)
        self._words = cast("io.FileIO", self._child.stderr)
        self._deadline: float | None = None
        self._timed_out = False
        self._over = threading.Event()
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, name="nightferry-ssh-words", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="nightferry-ssh-watch", daemon=True)
        self._listener.start()
        self._watcher.start()
        self._widen()

    def read_into(self, room: memoryview) -> int:
        """Read what is there, waiting for some; raises `Cut` at the end and `Silence` after the time-out."""
        try:
            count = self._from_server.readinto(room)
        except (OSError, ValueError) as err:
            raise self._lost() from err
        if not count:
            raise self._lost()
        return int(count)

    def write(self, data: bytes) -> None:
        """Give bytes to the server, waiting as long as it takes them."""
        view = memoryview(data)
        try:
            while view:
                with self.patience():
                    view = view[self._to_server.write(view[:_PIECE]) or 0 :]
        except (OSError, ValueError) as err:
            raise self._lost() from err

    @contextlib.contextmanager
    def patience(self, times: float = 1.0) -> Iterator[None]:
        """Bound all waits within the block, taken together."""
        self._deadline = monotonic() + self._timeout * times
        try:
            yield
        finally:
            self._deadline = None

    def last_words(self) -> str:
        """Tell what ``ssh`` complained about, once it ended."""
        self._listener.join(_PARTING)
        return bytes(self._said).decode("utf-8", "replace")

    def opened(self) -> None:
        """Note that the login is done, so that nobody needs the password any more."""
        self._environment.close()

    def ended(self) -> bool:
        """Whether ``ssh`` is known to have ended."""
        return self._child.poll() is not None

    def close(self, *, politely: bool = False) -> None:
        """End ``ssh``, giving it a moment to part from the server if that is wished; may be called again."""
        with contextlib.suppress(OSError):
            self._to_server.close()
        if politely:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_PARTING)
        self._child.kill()
        self._child.wait()
        self._over.set()
        self._from_server.close()
        for thread in (self._listener, self._watcher):
            thread.join(_PARTING)
        self._environment.close()

    def _lost(self) -> Cut | Silence:
        words = shown(self.last_words())
        said = f" ({words})" if words else ""
        if self._timed_out:
            return Silence(f"{self._label}: no answer within {self._timeout:g} s{said}; it is tried again later")
        return Cut(f"{self._label}: the connection ended{said}")

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._words:
            while words := self._words.read(4096):
                self._said += words
                del self._said[:-_LAST_WORDS]

    def _watch(self) -> None:
        while not self._over.wait(min(0.25, self._timeout / 4)):
            deadline = self._deadline
            if deadline is not None and monotonic() > deadline:
                self._timed_out = True
                self._child.kill()
                return

    def _widen(self) -> None:
        """Make room for more in the pipe, where that can be done: fewer, larger reads."""
        try:
            import fcntl  # noqa: PLC0415 - not on Windows
        except ImportError:
            return
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._from_server, getattr(fcntl, "F_SETPIPE_SZ", _SET_PIPE_SIZE), _LARGE_PIPE)
