"""Putting files into local folders: linked on the same disk, copied elsewhere; whole and durable or not at all.

A link appears under its name in one indivisible step. A copy is written to an unfinished file in the same folder,
made durable there, and given its name by a step that spares what stands there. A group shares its syncs, and is
answered when all its files, and all folders whose names changed, are on the disk.
"""

import errno
import io
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nightferry.core.errors import Changed, Gone, Held, NightferryError, Occupied, TryAgain
from nightferry.core.store import BUFFER_SIZE, Linked, Load, PutAnswer
from nightferry.disk.errors import NO_LINK, error_of
from nightferry.disk.folders import NO_FOLLOW, Folder, is_taken
from nightferry.disk.names import Way, give_name
from nightferry.disk.parts import part_name, sweep
from nightferry.disk.sync import sync_data, sync_file, sync_folder
from nightferry.stores.local_folders import Folders, refusal

_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_PART_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW | _FLAGS
#: Copies that wait for their sync together; each keeps a file open, of which macOS allows 256 in all.
_OPEN_COPIES = 16


@dataclass(slots=True)
class Memory:
    """What a store remembers from put to put; paths are those of folders.

    ``link``: whether links are wanted. ``exclusive``: whether every disk met so far gave names without a race.
    ``durable``: folders whose own names are known to be on the disk. ``swept``: folders that were looked through
    for what dead processes left. ``unsure``: working files (device, number) whose sync failed once.
    """

    link: bool = True
    exclusive: bool = True
    durable: set[str] = field(default_factory=set)
    swept: set[str] = field(default_factory=set)
    unsure: set[tuple[int, int]] = field(default_factory=set)


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
        placing.answer = Occupied(f"{words}: a link is in the way; move it away") if looped else error_of(err, words)
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
        if memory.link and _link(folder, source, placing.load.source, placing.name, memory):
            placing.answer = Linked()
            return
        if placing.above not in memory.swept:
            sweep(folder)
            memory.swept.add(placing.above)
        if is_taken(folder, placing.name):  # spares copying in vain; the claim decides
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


def _link(folder: Folder, source: io.FileIO, path: Path, name: str, memory: Memory) -> bool:
    """Link the file, once its bytes are durable; False where the disks cannot do that."""
    identity = (status := os.fstat(source.fileno())).st_dev, status.st_ino
    if identity in memory.unsure:
        return False
    try:
        sync_data(source.fileno())  # the shelf did its part, so this costs nothing
    except OSError:
        memory.unsure.add(identity)  # a second sync would answer well, with the bytes lost: written anew, as a copy
        return False
    try:
        os.link(path, folder.at(name), dst_dir_fd=folder.fd)
    except FileExistsError:
        raise
    except OSError as err:
        if err.errno in NO_LINK:
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
    """Give a durable copy its name; `Traits.exclusive_put` shows whether any disk had no exclusive way to do that."""
    folder = folders.open(placing.above)
    way = give_name(folder, placing.part, placing.name)
    if way is Way.LINKED:
        with suppress(OSError):  # the file has its name; the unfinished one is discarded at the end, or swept later
            os.unlink(folder.at(placing.part), dir_fd=folder.fd)
            placing.part = ""
        return
    placing.part = ""
    if way is Way.LOOKED:
        memory.exclusive = False


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
            return error_of(err, f"{folders.label}: the folder {path or '.'} cannot be made durable")
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
