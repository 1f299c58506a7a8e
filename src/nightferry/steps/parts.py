"""Parts of files that are being written into folders of other people: whose they are, and when they may go."""

import os
import platform
import re
import sys
from pathlib import Path

from nightferry.core.frame import fingerprint

_LONGEST_HOST = 40


def part_beside(target: Path) -> Path:
    """Name the part of a file: after this machine and process, and never longer than a name may be."""
    return target.with_name(f"nightferry-cube.{_host()}.{os.getpid()}.{fingerprint(target.name)[:12]}.part")


def clear_parts(folder: Path) -> None:
    """Take away the parts that processes of this machine left when they were killed.

    Those of processes that run, of other machines and of other programs stay. Raises `OSError` as the disk does.
    """
    ours = re.compile(rf"nightferry-cube\.{re.escape(_host())}\.(\d{{1,10}})\.[0-9a-f]{{12}}\.part")
    for path in list(folder.glob("nightferry-cube.*.part")):
        told = ours.fullmatch(path.name)
        if told is None or _runs(int(told[1])):
            continue
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            if sys.platform != "win32":  # there it means that somebody has it open
                raise


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", platform.node())[:_LONGEST_HOST] or "host"


def _runs(pid: int) -> bool:
    """Whether a process runs here; on Windows no: there a file that is open cannot be taken away anyhow."""
    if pid == os.getpid():
        return True
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
