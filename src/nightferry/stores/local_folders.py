"""Folders of a local disk, opened so that no symbolic link can lead out of the root.

Where the system has folder descriptors (Linux, macOS), each component of a path is opened relative to the
folder before it and never through a link, so that nobody can swap a folder for a link between our look and our
use. Elsewhere (Windows) each component is looked at just before it is used, which leaves that gap.
"""

import errno
import os
import stat
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nightferry.core.errors import Held, Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable
from nightferry.stores.paths import path_refusal, windows_refusal

#: Whether folders can be opened and used as such.
DESCRIPTORS = {os.open, os.stat, os.mkdir, os.unlink, os.link, os.rename} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd
)
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_OPEN_AT_ONCE = 16

_NO_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_NOT_ALLOWED = {errno.EACCES, errno.EPERM, errno.EROFS}
_BAD_NAME = {errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
_AWAY = {
    getattr(errno, name)
    for name in ("ESTALE", "ENOTCONN", "ENODEV", "ENXIO", "EHOSTDOWN", "EHOSTUNREACH", "ETIMEDOUT", "ESHUTDOWN")
    if hasattr(errno, name)
}
#: Errors that mean: there is no such file under this name (a file or a link stands where a folder should).
NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder: by its descriptor where the system has them, else by its path."""

    path: str
    fd: int | None

    def at(self, name: str) -> str:
        """Give what a system call takes, together with ``dir_fd=folder.fd``, for a name in this folder."""
        return name if self.fd is not None else os.path.join(self.path, name)  # noqa: PTH118 - 100,000 times a listing

    def close(self) -> None:
        """Let go of the descriptor."""
        if self.fd is not None:
            os.close(self.fd)


class Folders:
    """The folders below one root that one call of a store works in; a context that closes them.

    Not for several threads. A folder stays open while it is among the last 16 that were asked for, so hold on to
    its path rather than to the folder. ``touched`` gathers the paths of folders whose names changed.
    """

    def __init__(self, root: str, label: str) -> None:
        self.root, self.label = root, label
        self.touched: dict[str, None] = {}
        self._open: OrderedDict[str, Folder] = OrderedDict()

    def __enter__(self) -> Self:
        """Open nothing yet: the root is opened with the first folder."""
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        """Close all folders."""
        while self._open:
            self._open.popitem()[1].close()

    def open(self, path: str) -> Folder:
        """Open the folder of that path, ``""`` for the root.

        Raises `Misconfigured` for a root that is not there and OSError for any other folder: ENOENT when it is
        missing, ENOTDIR or ELOOP when a file or a link stands in its place.
        """
        return self._reach(path, make=False)

    def make(self, path: str) -> Folder:
        """Open the folder of that path, made if need be; the folders that this changes are noted as touched."""
        return self._reach(path, make=True)

    def _reach(self, path: str, *, make: bool) -> Folder:
        names = path.split("/") if path else []
        depth = len(names)
        while depth and "/".join(names[:depth]) not in self._open:
            depth -= 1
        here = "/".join(names[:depth])
        folder = self._open.get(here) or self._keep("", self._open_root())
        self._open.move_to_end(here)
        for name in names[depth:]:
            parent, here = here, f"{here}/{name}" if here else name
            try:
                below = self._step(folder, name)
            except FileNotFoundError:
                if not make:
                    raise
                _make(folder, name)
                self.touched[parent] = None
                below = self._step(folder, name)
            folder = self._keep(here, below)
        return folder

    def _keep(self, path: str, folder: Folder) -> Folder:
        self._open[path] = folder
        if len(self._open) > _OPEN_AT_ONCE:
            self._open.popitem(last=False)[1].close()
        return folder

    def _step(self, folder: Folder, name: str) -> Folder:
        path = os.path.join(folder.path, name)  # noqa: PTH118 - see Folder.at
        if folder.fd is not None:
            return Folder(path, os.open(name, _FOLDER_FLAGS | NO_FOLLOW, dir_fd=folder.fd))
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or is_link(status):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return Folder(path, None)

    def _open_root(self) -> Folder:
        """Open the root, through links if the configuration names one.

        A root that is missing is never made here: it is rather a disk that was not mounted than a folder that
        nobody made yet, and what was written into its place would be lost from sight at the next mount.
        """
        try:
            return _open_plain(self.root)
        except (FileNotFoundError, NotADirectoryError) as err:
            raise Misconfigured(
                f"{self.label}: there is no folder {self.root}. Is its disk mounted, and is the path right?"
            ) from err
        except OSError as err:
            if err.errno in _NOT_ALLOWED:
                raise Misconfigured(f"{self.label}: may not open {self.root}: {err.strerror}. Mend the rights") from err
            raise failure(err, f"{self.label}: cannot open {self.root}") from err


def refusal(path: str) -> str:
    """Say why this machine's disks must not be asked for a path; empty when they may."""
    reason = path_refusal(path)
    if not reason and sys.platform == "win32":
        reason = next(filter(None, map(windows_refusal, path.split("/"))), "")
    return reason


def lstat(folder: Folder, name: str) -> os.stat_result:
    """Look at a name in a folder, not following a link; raises OSError."""
    return os.stat(folder.at(name), dir_fd=folder.fd, follow_symlinks=False)


def is_link(status: os.stat_result) -> bool:
    """Whether an lstat is that of a symbolic link, or of a Windows junction, which is as good as one."""
    if sys.platform == "win32":
        return status.st_reparse_tag in {stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT}
    return stat.S_ISLNK(status.st_mode)


def failure(err: OSError, doing: str) -> NightferryError:
    """Sort a disk's error by who must act.

    No space or quota: `NoSpace`. Not allowed, or read-only: the operator must act, `Misconfigured`. A name or a
    size that this disk cannot hold: `Held`. A disk that went away: `Unreachable`. All else, I/O errors first of
    all: `TryAgain`.
    """
    words = f"{doing}: {err.strerror or err}"
    if err.errno in _NO_SPACE:
        return NoSpace(f"{words}. Make room there")
    if err.errno in _NOT_ALLOWED:
        return Misconfigured(f"{words}. Mend the rights, or mount the disk for writing")
    if err.errno == errno.EFBIG:
        return Held(f"{words}. This disk (or a limit set on this process) allows no file of that size")
    if err.errno in _BAD_NAME:
        return Held(f"{words}. This disk cannot hold such a name; change it in the archive's name template")
    if err.errno in _AWAY:
        return Unreachable(f"{words}. Is the disk still there?")
    return TryAgain(words)


def sync_file(fd: int) -> None:
    """Have a file's bytes and length on the disk itself when this returns; raises OSError."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - there is none on Windows

        try:  # fsync there leaves the bytes in the drive's cache: man 2 fsync
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as err:
            if err.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
                raise
        else:
            return
    os.fsync(fd)


def sync_folder(folder: Folder) -> None:
    """Have a folder's names on the disk itself when this returns; raises OSError.

    Windows has no such call, and some network disks refuse it: there the disk keeps names as well as it does.
    """
    if folder.fd is None:
        return
    try:
        sync_file(folder.fd)
    except OSError as err:
        if err.errno not in {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS}:
            raise


def _make(folder: Folder, name: str) -> None:
    with suppress(FileExistsError):  # another writer was first
        os.mkdir(folder.at(name), dir_fd=folder.fd)


def _open_plain(path: str) -> Folder:
    if DESCRIPTORS:
        return Folder(path, os.open(path, _FOLDER_FLAGS))
    if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - a str all the way
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return Folder(path, None)
