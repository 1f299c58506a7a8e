"""Putting files into local folders: linked on the same disk, copied elsewhere; whole and durable or not at all.

A link appears under its name in one indivisible step. A copy is written to an unfinished file in the same folder,
made durable there, and given its name by a step that spares what stands there. A group shares its syncs, and is
answered when all its files, and all folders whose names changed, are on the disk.
"""

import ctypes
import errno
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from nightferry.core.errors import Changed, Gone, Held, NightferryError, Occupied, TryAgain
from nightferry.core.store import BUFFER_SIZE, Linked, Load, PutAnswer
from nightferry.stores.local_folders import (
    NO_FOLLOW,
    Folder,
    Folders,
    failure,
    lstat,
    refusal,
    sync_file,
    sync_folder,
)
from nightferry.stores.paths import is_part, part_name, part_writer

# The answers of disks that cannot link here: another disk, no links on this kind of disk, too many of one file,
# or a kernel that forbids linking other users' files.
_NO_LINK = {
    getattr(errno, name) for name in ("EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EACCES", "EINVAL")
    if hasattr(errno, name)
}  # fmt: skip
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_PART_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | _FLAGS
_RENAME_NOREPLACE = 1
#: Copies that wait for their sync together; each keeps a file open, of which macOS allows 256 in all.
_OPEN_COPIES = 16
#: Seconds after which an unfinished file is stale even when its writer cannot be asked (another host's).
_STALE_SECONDS = 7 * 86400.0
_one_at_a_time = threading.Lock()


@dataclass(slots=True)
class Memory:
    """What a store remembers from put to put; paths are those of folders.

    ``link``: whether links are wanted. ``exclusive``: whether every disk met so far gave names without a race.
    ``durable``: folders whose own names are known to be on the disk. ``swept``: folders that were looked through
    for what dead processes left.
    """

    link: bool = True
    exclusive: bool = True
    durable: set[str] = field(default_factory=set)
    swept: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Placing:
    """One load on its way. A copy has a ``part``, and ``fd`` is open until that part is durable."""

    load: Load
    part: str = ""
    fd: int = -1
    answer: PutAnswer = None

    @property
    def above(self) -> str:
        return self.load.target.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.load.target.rpartition("/")[2]


def put_group(folders: Folders, loads: Sequence[Load], memory: Memory) -> list[PutAnswer]:
    """Put a group of files and make them durable together; then answer for each, in order."""
    placings = [_Placing(load) for load in loads]
    copies: list[_Placing] = []
    try:
        for placing in placings:
            _attempt(placing, folders, memory, _begin)
            copies += [placing] if placing.fd >= 0 else []
            if len(copies) == _OPEN_COPIES:
                _sync_copies(copies, folders, memory)
        _sync_copies(copies, folders, memory)
        for placing in placings:
            if placing.part:
                _attempt(placing, folders, memory, _claim)
        stored = [placing for placing in placings if not isinstance(placing.answer, NightferryError)]
        if trouble := _sync_folders(folders, {placing.above for placing in stored}, memory):
            for placing in stored:
                placing.answer = trouble
    finally:
        for placing in placings:
            _discard(placing, folders)
    return [placing.answer for placing in placings]


def _attempt(
    placing: _Placing, folders: Folders, memory: Memory, stage: Callable[[_Placing, Folders, Memory], None]
) -> None:
    """Bring one load a stage further; whatever fails is that load's answer alone."""
    target = placing.load.target
    try:
        stage(placing, folders, memory)
    except FileExistsError:
        placing.answer = Occupied(f"{folders.label}: {target!r} is taken; nothing was changed there")
    except NotADirectoryError:
        placing.answer = Occupied(
            f"{folders.label}: a file or link stands where {target!r} needs a folder; move it away"
        )
    except OSError as err:
        looped = err.errno == errno.ELOOP  # how some systems call a link in a folder's place
        words = f"{folders.label}: cannot store {placing.load.source} as {target!r}"
        placing.answer = Occupied(f"{words}: a link is in the way; move it away") if looped else failure(err, words)
    except NightferryError as err:
        placing.answer = err
    else:
        return
    _discard(placing, folders)


def _begin(placing: _Placing, folders: Folders, memory: Memory) -> None:
    """Link the file to its name, or copy it to an unfinished one."""
    if reason := refusal(placing.load.target):
        raise Held(f"{folders.label}: {reason}; change it in the archive's name template")
    with _opened(placing.load.source) as source:
        folder = folders.make(placing.above)
        if memory.link and _link(folder, source, placing.load.source, placing.name):
            placing.answer = Linked()
            return
        if placing.above not in memory.swept:
            sweep(folder)
            memory.swept.add(placing.above)
        if _taken(folder, placing.name):  # spares copying in vain; the claim decides
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), placing.name)
        part = part_name()
        placing.fd = os.open(folder.at(part), _PART_FLAGS, 0o666, dir_fd=folder.fd)
        placing.part = part
        _copy(source, placing.fd, placing.load)


def _opened(source: Path) -> io.FileIO:
    try:
        return io.FileIO(source)
    except FileNotFoundError as err:
        raise Gone(f"the working file {source} is not there (any more)") from err


def _link(folder: Folder, source: io.FileIO, path: Path, name: str) -> bool:
    """Link the file, once its bytes are durable; False where the disks cannot do that."""
    if sys.platform.startswith("linux"):
        os.fdatasync(source.fileno())  # costs nothing when the shelf did its part; its times need not be durable
    elif sys.platform != "win32":  # Windows syncs no file that is open for reading; the shelf synced it
        sync_file(source.fileno())
    try:
        os.link(path, folder.at(name), dst_dir_fd=folder.fd)
    except FileExistsError:
        raise
    except OSError as err:
        if err.errno in _NO_LINK:
            return False
        raise
    return True


def _copy(source: io.FileIO, target: int, load: Load) -> None:
    """Write all of a file's bytes and its times, and see to it that they came to lie there."""
    before = os.fstat(source.fileno())
    copied = pour(source, target, load.pace)
    after, kept = os.fstat(source.fileno()), os.fstat(target).st_size
    if (copied, after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        raise Changed(f"the working file {load.source} changed while it was copied")
    if kept != copied:
        raise TryAgain(f"the disk took {copied:,} bytes for {load.target!r} but kept {kept:,}: check that disk")
    if os.utime in os.supports_fd:
        with suppress(OSError):  # a share that lets nobody set times holds the bytes all the same
            os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))


def pour(source: io.FileIO, target: int, pace: Callable[[int], None] | None = None) -> int:
    """Copy from one open file to the other and tell how many bytes that were; ``pace`` is told of each piece."""
    size = os.fstat(source.fileno()).st_size
    buffer = memoryview(bytearray(min(size + 1, BUFFER_SIZE)))  # zeroing a megabyte costs more than a small file
    copied = 0
    while count := source.readinto(buffer) or 0:
        rest = buffer[:count]
        while rest:
            rest = rest[os.write(target, rest) :]
        copied += count
        if pace is not None:
            pace(count)
    return copied


def _sync_copies(copies: list[_Placing], folders: Folders, memory: Memory) -> None:
    """Make copies durable under their unfinished names: all were written before, so the disk orders its work."""
    for placing in copies:
        _attempt(placing, folders, memory, _sync)
    copies.clear()


def _sync(placing: _Placing, _folders: Folders, _memory: Memory) -> None:
    fd, placing.fd = placing.fd, -1
    try:
        sync_file(fd)  # never tried again when it fails: the disk may have dropped the bytes and forgotten why
    finally:
        os.close(fd)


def _claim(placing: _Placing, folders: Folders, memory: Memory) -> None:
    """Give a durable copy its name without replacing anything, in the best way that system and disk offer.

    A hard link is exclusive everywhere; where there are none (FAT, exFAT, some shares) Linux renames without
    replacing, and Windows' rename never replaces. What is left (exFAT on macOS) is a look before the rename,
    which two processes at the very same moment could both pass: `Traits.exclusive_put` tells.
    """
    folder, part, name = folders.open(placing.above), placing.part, placing.name
    if sys.platform == "win32":
        os.rename(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    elif _claim_by_link(folder, part, name):
        with suppress(OSError):  # the file has its name; the unfinished one is discarded at the end, or swept later
            os.unlink(folder.at(part), dir_fd=folder.fd)
            placing.part = ""
        return
    elif not _claim_by_rename(folder, part, name):
        memory.exclusive = False
        with _one_at_a_time:
            if _taken(folder, name):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            os.rename(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    placing.part = ""


def _claim_by_link(folder: Folder, part: str, name: str) -> bool:
    try:
        os.link(folder.at(part), folder.at(name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    except FileExistsError:
        # NFS may repeat a link whose answer was lost, and then finds its own: man 2 open, O_EXCL
        if not os.path.samestat(lstat(folder, part), lstat(folder, name)):
            raise
    except OSError as err:
        if err.errno in _NO_LINK:
            return False
        raise
    return True


def _claim_by_rename(folder: Folder, part: str, name: str) -> bool:
    """Rename by Linux' renameat2; False where system or disk know no such call."""
    call = _renameat2()
    if call is None or folder.fd is None:
        return False
    if call(folder.fd, os.fsencode(part), folder.fd, os.fsencode(name), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}:
        return False
    raise OSError(code, os.strerror(code), name)


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    call: Callable[[int, bytes, int, bytes, int], int] | None
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)  # glibc has it since 2.28
    return call


def _sync_folders(folders: Folders, changed: set[str], memory: Memory) -> NightferryError | None:
    """Make the group's names durable, and those of the folders they stand in.

    A folder that was there may have been made a moment ago by a writer that has not synced it yet, or did not
    live to, so every folder above a name is synced once in a store's life.
    """
    waiting = dict.fromkeys([*folders.touched, *changed])
    ways: set[str] = set()
    for path in changed:
        while path and path not in memory.durable and path not in ways:
            ways.add(path)
            path = path.rpartition("/")[0]  # noqa: PLW2901 - goes up to the root
            waiting[path] = None
    for path in waiting:
        try:
            sync_folder(folders.open(path))
        except NightferryError as err:  # the root went away
            return err
        except OSError as err:
            return failure(err, f"{folders.label}: the folder {path or '.'} cannot be made durable")
    memory.durable |= ways
    return None


def _discard(placing: _Placing, folders: Folders) -> None:
    """Let go of an unfinished file; what cannot be deleted now is swept by a later put."""
    if placing.fd >= 0:
        os.close(placing.fd)
        placing.fd = -1
    if placing.part:
        with suppress(OSError, NightferryError):
            folder = folders.open(placing.above)
            os.unlink(folder.at(placing.part), dir_fd=folder.fd)
        placing.part = ""


def sweep(folder: Folder) -> int:
    """Delete what dead processes left unfinished in a folder, and tell how many that were.

    A process of this host is asked whether it lives; another host's, and any on Windows, counts as dead when its
    file is a week old. What cannot be deleted stays.
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
    try:
        old = time.time() - entry.stat(follow_symlinks=False).st_mtime > _STALE_SECONDS
    except OSError:
        return False
    writer = part_writer(entry.name)
    if old or writer is None or sys.platform == "win32":  # signal 0 is no question on Windows
        return old
    try:
        os.kill(writer, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # another user's; no number that a process can have
        return False
    return False


def _taken(folder: Folder, name: str) -> bool:
    try:
        lstat(folder, name)
    except FileNotFoundError:
        return False
    return True
