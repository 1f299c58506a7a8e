"""Putting files into local folders: linked on the same disk, copied elsewhere; whole and durable or not at all."""

import ctypes
import errno
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from nightferry.core.errors import Gone, Held, NightferryError, Occupied
from nightferry.core.store import BUFFER_SIZE, Linked, Load, PutAnswer
from nightferry.stores.local_folders import NO_FOLLOW, Folder, Folders, failure, sync_file, sync_folder
from nightferry.stores.paths import checked, is_part, part_name, part_writer, windows_refusal

# The answers of disks that cannot link here: another disk, no links on this kind of disk, too many of one file,
# or a kernel that forbids linking other users' files.
_NO_LINK = {
    getattr(errno, name) for name in ("EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EACCES", "EINVAL")
    if hasattr(errno, name)
}  # fmt: skip
_WRITE_FLAGS = (
    os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
)
_RENAME_NOREPLACE = 1
_STALE_SECONDS = 86400.0


def put_group(folders: Folders, loads: Sequence[Load]) -> Iterator[PutAnswer]:
    """Put a group of files and make them durable together; then answer for each, in order."""
    answers: list[PutAnswer] = []
    for load in loads:
        try:
            answers.append(_put(folders, load))
        except NightferryError as err:
            answers.append(err)
        except OSError as err:
            answers.append(failure(err, f"{folders.label}: {load.target}"))
    trouble = _sync(folders)
    yield from (answer if isinstance(answer, NightferryError) else trouble or answer for answer in answers)


def _sync(folders: Folders) -> NightferryError | None:
    """Make all names of the group durable; when that fails, none of them counts as stored."""
    for path in folders.touched:
        try:
            sync_folder(folders.open(path))
        except OSError as err:
            return failure(err, f"{folders.label}: the folder {path or '.'} cannot be made durable")
    return None


def _put(folders: Folders, load: Load) -> Linked | None:
    """Give a file its name, by a link where that can be done; nothing stands under it when this raises."""
    target = checked(load.target)
    path, _, name = target.rpartition("/")
    if sys.platform == "win32" and (refusal := windows_refusal(name)):
        raise Held(f"{folders.label}: {refusal}; change it in the archive's name template")
    source = _open_source(load.source)
    try:
        folder = folders.make(path)
        linked = _link(folder, load.source, source, name)
        if not linked:
            _copy(folders, path, source, name)
    except FileExistsError as err:
        raise Occupied(f"{folders.label}: {target} is taken") from err
    except NotADirectoryError as err:
        raise Occupied(f"{folders.label}: a file or link stands where {target} needs a folder") from err
    finally:
        os.close(source)
    folders.touched[path] = None
    return Linked() if linked else None


def _open_source(source: Path) -> int:
    try:
        return os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as err:
        raise Gone(f"the working file {source} is not there (any more)") from err
    except OSError as err:
        raise failure(err, f"the working file {source}") from err


def _link(folder: Folder, path: Path, source: int, name: str) -> bool:
    """Link the file, once its bytes are durable; False where the disks cannot do that."""
    try:
        with suppress(OSError):  # Windows syncs no file that is open for reading; what is copied is synced anyway
            os.fsync(source)
        os.link(path, folder.at(name), dst_dir_fd=folder.fd)
    except FileExistsError:
        raise
    except OSError as err:
        if err.errno in _NO_LINK:
            return False
        raise
    return True


def _copy(folders: Folders, path: str, source: int, name: str) -> None:
    """Copy under a temporary name in the same folder, sync, and rename without overwriting."""
    folder = folders.make(path)
    _sweep(folder)
    if _taken(folder, name):  # spares copying in vain; the rename decides
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    part = part_name()
    fd = os.open(folder.at(part), _WRITE_FLAGS, 0o666, dir_fd=folder.fd)
    try:
        try:
            _pour(source, fd)
            sync_file(fd)
        finally:
            os.close(fd)
        _rename(folder, part, name)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(folder.at(part), dir_fd=folder.fd)
        raise


def _pour(source: int, target: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    while chunk := os.read(source, BUFFER_SIZE):
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(target, rest) :]


def _rename(folder: Folder, part: str, name: str) -> None:
    """Rename without overwriting, in the best way that system and disk offer.

    A hard link is exclusive everywhere; where there are none (FAT, exFAT, some shares) Linux renames without
    replacing, and Windows' rename never replaces. What is left (FAT on other systems) is a look before the
    rename, which two writers at the very same moment could both pass.
    """
    try:
        os.link(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    except FileExistsError:
        raise
    except OSError as err:
        if err.errno not in _NO_LINK:
            raise
    else:
        os.unlink(folder.at(part), dir_fd=folder.fd)
        return
    if sys.platform.startswith("linux") and folder.fd is not None and _rename_noreplace(folder.fd, part, name):
        return
    if sys.platform != "win32" and _taken(folder, name):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
    os.rename(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)


def _rename_noreplace(fd: int, part: str, name: str) -> bool:
    """Rename by Linux' renameat2; False where kernel or file system know no such call."""
    call = _libc()
    if call is None:
        return False
    if call.renameat2(fd, os.fsencode(part), fd, os.fsencode(name), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(code, os.strerror(code), name)


@cache
def _libc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "renameat2") else None


def _taken(folder: Folder, name: str) -> bool:
    try:
        os.lstat(folder.at(name), dir_fd=folder.fd)
    except FileNotFoundError:
        return False
    return True


def _sweep(folder: Folder) -> None:
    """Take away what dead processes left unfinished in this folder."""
    with os.scandir(folder.path if folder.fd is None else folder.fd) as entries:
        stale = [entry.name for entry in entries if is_part(entry.name) and _is_stale(entry)]
    for name in stale:
        with suppress(FileNotFoundError):
            os.unlink(folder.at(name), dir_fd=folder.fd)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    writer = part_writer(entry.name)
    try:
        old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS
    except FileNotFoundError:
        return False
    if writer is None or os.name != "posix":  # another host's, or a system where signal 0 is no question
        return old
    try:
        os.kill(writer, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
