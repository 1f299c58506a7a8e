"""One run of one command, measured."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_METER = Path(__file__).with_name("meter.py")
_LOG_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Run:
    """What one command took: seconds on the clock, seconds of processor, and peak memory in bytes."""

    seconds: float
    processor: float
    memory: int


class Failed(Exception):  # noqa: N818 - a run that failed
    """A command did not do its work, so its time says nothing."""


def measure(command: Sequence[str], work: Path, environment: Mapping[str, str], *, patience: float) -> Run:
    """Run a command to its end; raises `Failed` when it fails, or takes longer than ``patience`` seconds."""
    report, log = work / "report", work / "log"
    report.unlink(missing_ok=True)
    meter = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_METER), str(report), str(log), *command],
        env={**os.environ, **environment},
        cwd=work,
        start_new_session=True,
    )
    try:
        meter.wait(patience)
    except BaseException as err:
        os.killpg(meter.pid, signal.SIGKILL)
        meter.wait()
        if isinstance(err, subprocess.TimeoutExpired):
            raise Failed(f"{command[0]} took longer than {patience:g} s; its last words:\n{_tail(log)}") from err
        raise
    code, seconds, user, system, memory = report.read_text().split()
    if code != "0":
        raise Failed(f"{' '.join(command)}\nended with exit code {code}; its last words:\n{_tail(log)}")
    return Run(float(seconds), float(user) + float(system), int(memory))


def quiet_down(limit: float, patience: float) -> float:
    """Wait until the machine is as idle as ``limit`` (load average), but no longer than ``patience`` seconds."""
    end = time.monotonic() + patience
    while os.getloadavg()[0] > limit and time.monotonic() < end:
        time.sleep(1)
    return os.getloadavg()[0]


def _tail(log: Path) -> str:
    return log.read_bytes()[-_LOG_SHOWN:].decode(errors="replace") if log.exists() else "(none)"
