"""Syncs: files, folders and whole file systems on the disk itself, as strong as the system has it."""

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

from nightferry.disk.errors import NOT_SUPPORTED
from nightferry.disk.folders import Folder, opened


def sync_file(fd: int) -> None:
    """Have a file's bytes and length on the disk itself when this returns; raises OSError.

    Where it raises, the file is to be written anew: a second sync may well succeed, with the bytes lost.
    """
    if sys.platform == "darwin":
        import errno  # noqa: PLC0415 - with its use
        import fcntl  # noqa: PLC0415 - there is none on Windows

        try:  # fsync there leaves the bytes in the drive's cache: man 2 fsync
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as err:
            if err.errno not in NOT_SUPPORTED | {errno.ENOTTY}:
                raise
        else:
            return
    os.fsync(fd)


def sync_data(fd: int) -> None:
    """Have the bytes of a file that is open for reading on the disk, its times perhaps not; raises OSError.

    Costs nothing when they are there already. Windows syncs no file that is open for reading: nothing is done there.
    """
    if sys.platform.startswith("linux"):
        os.fdatasync(fd)
    elif sys.platform != "win32":
        sync_file(fd)


def sync_folder(folder: Folder | Path) -> None:
    """Have a folder's names on the disk itself when this returns; raises OSError.

    Windows has no such call, and some network disks refuse it: there the disk keeps names as well as it does.
    """
    if isinstance(folder, Path):
        with opened(folder) as found:
            sync_folder(found)
        return
    if folder.fd is None:
        return
    try:
        sync_file(folder.fd)
    except OSError as err:
        if err.errno not in NOT_SUPPORTED:
            raise


def sync_file_system(fd: int) -> bool:
    """Sync the whole file system of an open file; False where there is no such call (it exists on Linux).

    Raises OSError, and then for all files that were written there: nobody can say which one it is about.
    """
    library = _libc()
    if library is None:
        return False
    if library.syncfs(fd) == 0:
        return True
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


@cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "syncfs") else None
