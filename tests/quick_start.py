"""Commands without their start-up: a process that has nightferry loaded forks for each, and each is its own process.

Loading takes longer than what most commands of a test do, and a stage types a thousand of them. Run as a program, this
module is the process that forks; to tests it is `Forker`. Where `AVAILABLE` is false (macOS, Windows) each one starts.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NoReturn

AVAILABLE = sys.platform == "linux"
#: What most commands load; nothing of it starts a thread, which a fork would not take along.
_LOADED = (
    "alembic.command", "nightferry.cli.app", "nightferry.api._nights", "nightferry.api._carry",
    "nightferry.config.presets", "nightferry.stores.ftp", "nightferry.stores.local_put", "nightferry.monitor",
)  # fmt: skip
#: What an interpreter reads only once, when it starts (LD_PRELOAD and the like: before).
_READ_ONCE = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "FAKETIME", "NO_FAKE", "DONT_FAKE")
_LONGEST = 1 << 17


def nightferry(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, patience: float = 240.0
) -> subprocess.CompletedProcess[str]:
    """Run ``nightferry WORDS...`` to its end, where warnings are errors and nobody types.

    Raises `subprocess.TimeoutExpired`, and kills it, after so many seconds: a busy machine may need a minute for what
    takes a second.
    """
    env, cwd = os.environ if env is None else env, cwd or Path.cwd()
    if AVAILABLE and (forker := shared_forker()).suits(env):
        return forker.run(words, env, cwd, patience)
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "nightferry", *words],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=patience,
        check=False,
    )


class Forker:
    """Has commands done by forks of a process that was started once, until it is closed."""

    def __init__(self) -> None:
        self._environment = _interpreters(os.environ)
        self._channel, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far:
            command = [sys.executable, "-W", "error", "-P", __file__, f"{far.fileno()}"]
            self._process = subprocess.Popen(command, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL)

    def close(self) -> None:
        """Let the process end."""
        self._channel.close()
        self._process.wait()

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether a command with this environment may be a fork: its interpreter would have started alike."""
        return _interpreters(env) == self._environment

    def run(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, patience: float
    ) -> subprocess.CompletedProcess[str]:
        """Run ``nightferry WORDS...`` to its end; raises `subprocess.TimeoutExpired`, and kills it, after its time."""
        wanted = json.dumps([list(words), dict(env), f"{cwd}", _umask()]).encode()
        assert len(wanted) < _LONGEST
        told, tell = os.pipe()
        with (
            open(told, encoding="ascii") as ended,  # noqa: PTH123 - a pipe has no path
            open(os.devnull, "rb") as nothing,  # noqa: PTH123 - as above
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            try:
                fds = [nothing.fileno(), out.fileno(), err.fileno(), tell]
                socket.send_fds(self._channel, [wanted], fds)
            finally:
                os.close(tell)
            process = int(ended.readline())
            if not select.select([ended], [], [], patience)[0]:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(words), patience)
            code = int(ended.readline())
            return subprocess.CompletedProcess(list(words), code, _read(out), _read(err))


@cache
def shared_forker() -> Forker:
    """Start the process for all tests of this one, to be ended with it."""
    started = Forker()
    atexit.register(started.close)
    return started


def _interpreters(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key.startswith(_READ_ONCE) and key != "PYTHONIOENCODING"}


def _umask() -> int:
    """Tell this process' umask without changing it for a moment, as `os.umask` would."""
    (line,) = (line for line in Path("/proc/self/status").read_text("ascii").splitlines() if line.startswith("Umask:"))
    return int(line.split()[1], 8)


def _read(file: io.BufferedIOBase | tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def _serve(channel: socket.socket) -> None:
    """Fork for each request until nobody can ask any more; returns in a fork, which is the command from then on."""
    for module in _LOADED:
        importlib.import_module(module)
    gc.freeze()  # no fork looks through what all share, at its end least of all
    while True:
        wanted, fds, _, _ = socket.recv_fds(channel, _LONGEST, 4)
        if not wanted:
            channel.close()
            sys.exit()
        if os.fork() == 0:
            channel.close()
            *streams, tell = fds
            if (command := os.fork()) != 0:
                _attend(command, tell)
            os.close(tell)
            words, env, cwd, umask = json.loads(wanted)
            _become(words, env, cwd, umask, streams)
            return
        for fd in fds:
            os.close(fd)
        _bury()


def _attend(command: int, tell: int) -> NoReturn:
    """Tell the number of the command's process, wait for its end, and tell its exit code."""
    os.write(tell, b"%d\n" % command)
    _, status = os.waitpid(command, 0)
    with suppress(BrokenPipeError):  # nobody waits any longer
        os.write(tell, b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _bury() -> None:
    """Let the attendants of earlier commands go."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _become(words: list[str], env: dict[str, str], cwd: str, umask: int, streams: Sequence[int]) -> None:
    """Be as a process is that was started with these words, environment, folder, umask and streams."""
    os.umask(umask)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[0:0] = [cwd]
    sys.argv = ["nightferry", *words]
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc] # noqa: SIM115 - a stream's number
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc] # noqa: SIM115 - as above
    sys.stderr = sys.__stderr__ = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # type: ignore[misc] # noqa: SIM115 - as above


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_module("nightferry", run_name="__main__", alter_sys=True)
