"""Open folders: names are looked at, linked and deleted relative to them, where the system can."""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Whether folders can be opened and used as such.
DESCRIPTORS = {os.open, os.stat, os.mkdir, os.unlink, os.link, os.rename} <= os.supports_dir_fd and (
    os.scandir in os.supports_fd
)
NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
FOLDER_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder: by its descriptor where the system has them, else by its path."""

    path: str
    fd: int | None

    def at(self, name: str) -> str:
        """Return what a system call takes, together with ``dir_fd=folder.fd``, for a name in this folder."""
        return name if self.fd is not None else os.path.join(self.path, name)  # noqa: PTH118 - 100,000 times a listing

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd is not None:
            os.close(self.fd)


def open_folder(path: str) -> Folder:
    """Open a folder, through links if the path has some; raises OSError."""
    if DESCRIPTORS:
        return Folder(path, os.open(path, FOLDER_FLAGS))
    if not stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116 - a str all the way
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return Folder(path, None)


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Open a folder for as long as the context lasts; raises OSError."""
    folder = open_folder(os.fspath(path))
    try:
        yield folder
    finally:
        folder.close()


def lstat(folder: Folder, name: str) -> os.stat_result:
    """Look at a name in a folder, not following a link; raises OSError."""
    return os.stat(folder.at(name), dir_fd=folder.fd, follow_symlinks=False)


def is_taken(folder: Folder, name: str) -> bool:
    """Whether anything stands under a name."""
    try:
        lstat(folder, name)
    except FileNotFoundError:
        return False
    return True


def is_link(status: os.stat_result) -> bool:
    """Whether an lstat is that of a symbolic link, or of a Windows junction, which is as good as one."""
    if sys.platform == "win32":
        return status.st_reparse_tag in {stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT}
    return stat.S_ISLNK(status.st_mode)
