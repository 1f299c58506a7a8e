"""Durable files: written beside their final names, synced, named, and their folder synced."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Protocol

from nightferry.core.errors import NightferryError
from nightferry.disk.errors import own_error, patiently
from nightferry.disk.folders import opened
from nightferry.disk.names import give_name, replace
from nightferry.disk.parts import part_name, sweep_once
from nightferry.disk.sync import sync_file, sync_file_system, sync_folder

#: From this many files on, one sync of the file system is cheaper than one of each file (measured: 64 KiB files,
#: 312 a second with a sync each, 6,400 with one for all).
_SYNC_TOGETHER = 4


class _Writing(Protocol):
    def flush(self) -> None: ...
    def fileno(self) -> int: ...


class WholeFile(FileIO):
    """A file that takes all of what is written to it, or raises; a disk that is nearly full may take a part."""

    def write(self, data: bytes | memoryview, /) -> int:  # type: ignore[override] # never anything but bytes here
        """Write all of the bytes and return how many they are."""
        taken = super().write(data)
        while taken < len(data):
            taken += super().write(memoryview(data)[taken:])
        return taken


@contextmanager
def part_beside(target: Path) -> Iterator[Path]:
    """Give a fresh part's path beside a final name, and delete what stands there in the end.

    What dead processes left in that folder is swept first. Give the part its name with `name_new` or `name_anew`.
    """
    sweep_once(target.parent)
    part = target.with_name(part_name())
    try:
        yield part
    finally:
        with suppress(OSError, NightferryError):  # what cannot be deleted now is swept by a later process
            patiently(partial(part.unlink, missing_ok=True), part)


def finish(file: _Writing, *, durable: bool = True) -> None:
    """Have all that was written on the disk when this returns; raises OSError, and then write it anew."""
    file.flush()
    if durable:
        sync_file(file.fileno())


def name_new(part: Path, target: Path, *, durable: bool = True) -> None:
    """Give a finished part its name; raises FileExistsError when that is taken, and OSError.

    With ``durable`` the name is on the disk when this returns.
    """
    with opened(target.parent) as folder:
        give_name(folder, part.name, target.name)
        if durable:
            sync_folder(folder)


def name_anew(part: Path, target: Path, *, durable: bool = True) -> None:
    """Give a finished part the name of an older file of ours, or a new one; raises OSError."""
    replace(part, target)
    if durable:
        sync_folder(target.parent)


def write_new(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a small file; raises FileExistsError when its name is taken, and OSError."""
    with part_beside(target) as part:
        _write(part, data, durable=durable)
        name_new(part, target, durable=durable)


def write_anew(target: Path, data: bytes, *, durable: bool = True) -> None:
    """Write a small file of ours in the place of an older one; a reader finds the old bytes or the new ones."""
    with part_beside(target) as part:
        _write(part, data, durable=durable)
        name_anew(part, target, durable=durable)


def _write(part: Path, data: bytes, *, durable: bool) -> None:
    with WholeFile(part, "x") as file:
        file.write(data)
        finish(file, durable=durable)


def make_folders(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it, with names that are on the disk when this returns; raises OSError.

    Those above it get the usual rights.
    """
    missing: list[Path] = []
    here = folder
    while not here.is_dir():
        missing.append(here)
        here = here.parent
    for each in reversed(missing):
        each.mkdir(mode if each == folder else 0o777, exist_ok=True)
        sync_folder(each.parent)


def part_of(place: Path) -> str:
    """Return where a frame of the shelf stands while it arrives, from where it will stand: one state has one part."""
    return f"{place}.part"


def land(pairs: Sequence[tuple[FileIO, Path]], what: str = "the shelf") -> list[NightferryError | None]:
    """Make finished files durable and give them their final names, all together; answer for each, in order.

    Each pair is a file that is open as `part_of` its final name, and that name. When this returns those without an
    error survive a power cut; before it, none of them has its final name. A part whose sync failed is deleted, for
    nobody may build on it. Raises OSError where a sync of all failed.
    """
    answers: list[NightferryError | None] = [None] * len(pairs)
    if not pairs:
        return answers
    try:
        together = len(pairs) >= _SYNC_TOGETHER and sync_file_system(pairs[0][0].fileno())
    except OSError:
        for file, final in pairs:
            _abandon(file, final)
        raise
    for place, (file, final) in enumerate(pairs):
        try:
            if not together:
                _sync(file, final)
            file.close()  # Windows renames no open file
            replace(part_of(final), final)
        except NightferryError as err:
            answers[place] = err
        except OSError as err:
            answers[place] = own_error(err, final, what)
    for folder in {final.parent for (_, final), answer in zip(pairs, answers, strict=True) if answer is None}:
        sync_folder(folder)
    return answers


def _sync(file: FileIO, final: Path) -> None:
    try:
        sync_file(file.fileno())
    except OSError:
        _abandon(file, final)
        raise


def _abandon(file: FileIO, final: Path) -> None:
    """Close and delete a part whose bytes may be lost."""
    with suppress(OSError):
        file.truncate(0)  # where it cannot be deleted, nothing is left to build on
    with suppress(OSError):
        file.close()
    with suppress(OSError):
        os.unlink(part_of(final))  # noqa: PTH108 - a str
