"""Final names: given to whole files in one indivisible step that replaces nothing."""

import ctypes
import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from functools import cache, partial
from pathlib import Path

from nightferry.core.errors import Busy
from nightferry.disk.errors import NO_LINK, NOT_SUPPORTED, patiently
from nightferry.disk.folders import Folder, is_taken, lstat

_RENAME_NOREPLACE, _RENAME_EXCL = 1, 4  # Linux' renameat2(2), macOS' renameatx_np(2)
#: Paths that are not relative to an open folder: macOS has its own number.
_AT_FDCWD = -2 if sys.platform == "darwin" else -100
#: EPERM is how some sandboxes answer calls that they do not know; what is not allowed is told by the next try.
_NO_SPARING_RENAME = NOT_SUPPORTED | {errno.EPERM}
_LONGEST_WAIT, _PAUSE = 10.0, 0.01
_one_at_a_time = threading.Lock()


class Way(Enum):
    """How a file came by its name. After `LINKED` it has its part's name as well, which is to be deleted."""

    LINKED = "linked"
    RENAMED = "renamed"
    LOOKED = "looked"


def give_name(folder: Folder, part: str, name: str) -> Way:
    """Give a whole, synced file its final name in the same folder; raises FileExistsError when that is taken.

    A hard link is exclusive everywhere; where there are none (FAT, exFAT, some shares) Linux and macOS rename without
    replacing, and Windows' rename never replaces. Where a disk has neither (exFAT on macOS, some FUSE disks), the name
    is looked at and the file renamed while the folder is locked: no two of us pass the look together, and a kill in
    between leaves the part alone. What nothing can exclude there is another program that takes the name within the
    one step between: the answer `LOOKED` says so.
    """
    if sys.platform == "win32":
        patiently(partial(os.rename, folder.at(part), folder.at(name)), folder.at(name))
        return Way.RENAMED
    if _linked(folder, part, name):
        return Way.LINKED
    if _renamed(folder, part, name):
        return Way.RENAMED
    with _locked(folder):
        if is_taken(folder, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
        os.rename(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    return Way.LOOKED


def replace(part: Path | str, target: Path) -> None:
    """Give a whole, synced file of ours the name that an older one of ours has; raises OSError.

    At every moment the old file or the new one stands under the name.
    """
    patiently(partial(os.replace, part, target), target)


def _linked(folder: Folder, part: str, name: str) -> bool:
    """Link a part to its name; False where disk or system cannot."""
    try:
        os.link(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    except FileExistsError:
        # NFS may repeat a link whose answer was lost, and then finds its own: man 2 open, O_EXCL
        if not os.path.samestat(lstat(folder, part), lstat(folder, name)):
            raise
    except OSError as err:
        if err.errno in NO_LINK:
            return False
        raise
    return True


def _renamed(folder: Folder, part: str, name: str) -> bool:
    """Rename a part without replacing; False where system or disk know no such call."""
    call = _sparing_rename()
    if call is None:
        return False
    at = _AT_FDCWD if folder.fd is None else folder.fd
    if call(at, os.fsencode(folder.at(part)), at, os.fsencode(folder.at(name))) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_SPARING_RENAME:
        return False
    raise OSError(code, os.strerror(code), name)


@cache
def _sparing_rename() -> Callable[[int, bytes, int, bytes], int] | None:
    """Return the system's rename that never replaces; None where it has none."""
    name, flag = ("renameatx_np", _RENAME_EXCL) if sys.platform == "darwin" else ("renameat2", _RENAME_NOREPLACE)
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None)  # glibc has renameat2 since 2.28
    if call is None:
        return None

    def rename(old_at: int, old: bytes, new_at: int, new: bytes) -> int:
        return int(call(old_at, old, new_at, new, ctypes.c_uint(flag)))

    return rename


@contextmanager
def _locked(folder: Folder) -> Iterator[None]:
    """Keep all others of this machine that give names without an exclusive way from this folder.

    The lock is the folder's own, leaves no file and ends with the process, however that ends.
    """
    import fcntl  # noqa: PLC0415 - there is none on Windows, which needs none of this

    with _one_at_a_time:
        fd = os.open(folder.path, os.O_RDONLY) if folder.fd is None else folder.fd
        try:
            locked = _flock(fd, folder.path)
            try:
                yield
            finally:
                if locked:
                    fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            if folder.fd is None:
                os.close(fd)


def _flock(fd: int, path: str) -> bool:
    """Lock an open folder; False where its disk has no locks. Raises `Busy` when another holds it for long."""
    import fcntl  # noqa: PLC0415 - as above

    end = time.monotonic() + _LONGEST_WAIT
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Busy(f"{path}: another nightferry has had this folder locked for {_LONGEST_WAIT:.0f} s") from None
            time.sleep(_PAUSE)
        except OSError:  # no locks on this disk: threads are kept apart all the same
            return False
        else:
            return True
