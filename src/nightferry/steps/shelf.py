"""The shelf: working files on one disk, kept until delivered and proven."""

import ctypes
import errno
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import FileIO
from pathlib import Path

from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, TryAgain
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.night import Night

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC, errno.EFBIG}
#: From so many files on, one sync of the file system is cheaper than one of each file (measured: 64 KiB files,
#: 312 a second with a sync each, 6,400 with one for all).
_SYNC_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder for working files. ``floor`` is how many bytes of the disk stay free of what is pulled."""

    root: Path
    floor: int = 0
    _folders: dict[Night, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    def folder(self, night: Night) -> Path:
        """Tell the folder of a night's raw frames."""
        known = self._folders.get(night)
        if known is None:
            known = self._folders[night] = self.root / night.telescope / night.date.isoformat()
        return known

    def file(self, sighting: Sighting) -> Path:
        """Tell where a frame stands once it is whole. Names from outside never become a path here."""
        return self.folder(sighting.night) / sighting.id

    def part(self, sighting: Sighting) -> Path:
        """Tell where a frame stands while it arrives. The name is that of one state of the file only."""
        return Path(part_of(self.file(sighting)))

    def require_room(self, size: int, *, onward: bool = False) -> None:
        """Raise `NoSpace` when so many more bytes would fill the disk past its floor.

        What takes a frame on the shelf ``onward`` to its archives may use the room below the floor, for only what is
        delivered makes room again. Makes the shelf's own folder if need be, but never the one above it.
        """
        if not self.root.parent.is_dir():
            # making it would hide a disk that is not mounted, and fill the wrong one
            raise Misconfigured(f"the shelf {self.root}: there is no folder {self.root.parent}. Is its disk mounted?")
        with translated(self.root, "the shelf"):
            self.root.mkdir(exist_ok=True)
            free = shutil.disk_usage(self.root).free
        if free - size < (0 if onward else self.floor):
            raise NoSpace(
                f"the disk of the shelf {self.root} has {free:,} bytes free; {size:,} more would fill it past its "
                f"floor of {self.floor:,}: free some space, or lower shelf.floor"
            )

    def has(self, frame: FrameId, night: Night, size: int) -> bool:
        """Whether the whole frame is here."""
        try:
            return os.stat(f"{self.folder(night)}/{frame}").st_size == size  # noqa: PTH116 - once or more a frame
        except OSError:
            return False

    def drop(self, frame: FrameId, night: Night) -> None:
        """Take a working file away; gone already is as good."""
        with translated(self.root, "the shelf"):
            (self.folder(night) / frame).unlink(missing_ok=True)


@contextmanager
def translated(place: Path, what: str) -> Iterator[None]:
    """Turn the errors of our own disk into ours, saying where and what to do."""
    try:
        yield
    except NightferryError:
        raise
    except OSError as err:
        raise disk_trouble(err, place, what) from err


def disk_trouble(err: OSError, place: Path, what: str) -> NightferryError:
    """Make of an error of our own disk one that says where it was and what to do."""
    if err.errno in _FULL:
        return NoSpace(f"{what} {place}: the disk is full; free some space")
    if err.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Misconfigured(f"{what} {place} cannot be written: {err.strerror}; check its permissions")
    if err.errno in {errno.ENOTDIR, errno.EEXIST, errno.EISDIR}:
        return Misconfigured(f"{what} {place}: a file stands in a folder's place, or a folder in a file's")
    return TryAgain(f"{what} {place}: {err}")


class WholeFile(FileIO):
    """A file that takes all of what is written to it, or raises; a disk that is nearly full may take a part."""

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override] # never anything but bytes here
        """Write all of the bytes and tell how many they are."""
        taken = super().write(data)
        while taken < len(data):
            taken += super().write(memoryview(data)[taken:])
        return taken


def part_of(place: Path) -> str:
    """Tell where a frame stands while it arrives, from where it will stand."""
    return f"{place}.part"


def land(pairs: Sequence[tuple[FileIO, Path]]) -> None:
    """Make finished files durable and give them their final names, all together.

    Each pair is a file that is open as `part_of` its final name, and that name. When this returns the files
    survive a power cut; before it, none of them has its final name.
    """
    if not pairs:
        return
    if len(pairs) < _SYNC_TOGETHER or not _sync_file_system(pairs[0][0].fileno()):
        for file, _ in pairs:
            os.fsync(file.fileno())
    for file, final in pairs:
        file.close()  # Windows renames no open file
        os.replace(part_of(final), final)  # noqa: PTH105 - as cheap as it gets, once a frame
    for folder in {final.parent for _, final in pairs}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable, where the system can open folders."""
    if os.name != "posix":  # Windows journals names itself and opens no folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file_system(descriptor: int) -> bool:
    """Sync the whole file system of an open file; False where there is no such call (it exists on Linux)."""
    library = _libc()
    if library is None:
        return False
    if library.syncfs(descriptor) == 0:
        return True
    code = ctypes.get_errno()
    raise OSError(code, os.strerror(code))


@cache
def _libc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    return library if hasattr(library, "syncfs") else None
