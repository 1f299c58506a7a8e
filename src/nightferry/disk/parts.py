"""Unfinished files: their names, which tell who writes them, and sweeping those that the dead left behind."""

import hashlib
import os
import socket
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from nightferry.core.names import UNFINISHED, is_part
from nightferry.disk.folders import Folder, opened

__all__ = ["is_part", "is_running", "part_name", "part_writer", "sweep", "sweep_folder", "sweep_once"]

#: Seconds after which an unfinished file is stale even when its writer cannot be asked (another host's).
_STALE_SECONDS = 7 * 86400.0
#: Folders that this process looked through already.
_swept: set[str] = set()


def part_name() -> str:
    """Make a fresh name for an unfinished file, which tells the process that writes it."""
    return f".nightferry-{_host()}-{os.getpid()}-{os.urandom(8).hex()}.part"


def part_writer(name: str) -> int | None:
    """Return the process on this host that writes, or wrote, an unfinished file; None for another host's."""
    found = UNFINISHED.fullmatch(name)
    return int(found[2]) if found and found[1] == _host() else None


def sweep_folder(folder: Path) -> None:
    """Sweep a folder, by its path; one that is not there needs no sweeping. Raises OSError."""
    with suppress(FileNotFoundError), opened(folder) as found:
        sweep(found)


def sweep_once(folder: Path) -> None:
    """Sweep a folder when this process first writes there; what cannot be read is not swept."""
    path = os.path.abspath(folder)  # noqa: PTH100 - a str is all that is wanted
    if path not in _swept:
        with suppress(OSError):
            sweep_folder(folder)
            _swept.add(path)


def sweep(folder: Folder) -> int:
    """Delete what dead processes left unfinished in a folder, and return how many files that were.

    A process of this host is asked whether it runs; what another host left counts as stale when it is a week old.
    What cannot be deleted stays.
    """
    with os.scandir(folder.path if folder.fd is None else folder.fd) as entries:
        stale = [entry.name for entry in entries if is_part(entry.name) and _is_stale(entry)]
    swept = 0
    for name in stale:
        with suppress(OSError):
            os.unlink(folder.at(name), dir_fd=folder.fd)
            swept += 1
    return swept


def _is_stale(entry: "os.DirEntry[str]") -> bool:
    writer = part_writer(entry.name)
    if writer is not None and not is_running(writer):
        return True
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS
    except OSError:
        return False


if sys.platform == "win32":

    def is_running(pid: int) -> bool:
        """Whether a process of that number runs on this host; True where nobody can tell."""
        import ctypes  # noqa: PLC0415 - few ask, and its `windll` exists on Windows only

        query_limited, no_such, still_active, most = 0x1000, 87, 259, 0xFFFFFFFF
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = ctypes.c_void_p
        handle = kernel.OpenProcess(query_limited, 0, pid & most)
        if not handle:
            return pid > most or ctypes.get_last_error() != no_such
        code = ctypes.c_ulong(still_active)
        kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(code))
        kernel.CloseHandle(ctypes.c_void_p(handle))
        return code.value == still_active

else:

    def is_running(pid: int) -> bool:
        """Whether a process of that number runs on this host; True where nobody can tell."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):  # another user's; no number that a process can have
            return True
        return True


@cache
def _host() -> str:
    """Name the space in which a process number means one process: the host, and on Linux its namespace."""
    try:
        space = str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - a Path would do the same, at length
    except OSError:
        space = ""
    return hashlib.blake2b(f"{socket.gethostname()} {space}".encode(), digest_size=4).hexdigest()
