"""What the errors of a disk mean, by who must act; and patience with files that another program has open."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from nightferry.core.errors import Held, Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable

T = TypeVar("T")


def _codes(*names: str) -> frozenset[int]:
    """Return the codes of errors by their names; not every system has each."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


FULL = _codes("ENOSPC", "EDQUOT")
NOT_ALLOWED = _codes("EACCES", "EPERM", "EROFS")
#: A name that this disk cannot hold.
BAD_NAME = _codes("ENAMETOOLONG", "EINVAL", "EILSEQ")
#: The disk or share itself is out of reach. EIO is not among them: it may be one bad file of a good disk.
AWAY = _codes(
    "ESTALE", "ENOTCONN", "ENODEV", "ENXIO", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT", "ESHUTDOWN"
)
#: There is no such file under this name: none at all, or a file or link stands where a folder should.
NOT_THERE = _codes("ENOENT", "ENOTDIR", "ELOOP")
IN_THE_WAY = _codes("EEXIST", "ENOTDIR", "EISDIR")
#: The answers of disks that cannot link here: another disk, no links on this kind of disk, too many of one file,
#: or a kernel that forbids linking other users' files.
NO_LINK = _codes("EXDEV", "EPERM", "EMLINK", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EACCES", "EINVAL")
#: The answers of systems and disks that know no such call.
NOT_SUPPORTED = _codes("ENOSYS", "EINVAL", "ENOTSUP", "EOPNOTSUPP")

#: Windows: a file that another program has open, often for a moment (virus scanners, indexers, sync clients). "Access
#: denied" is among them, for that is what a rename over a file answers that is open without leave to delete it.
_IN_USE = frozenset({5, 32, 33})
_PATIENCE, _PAUSE = 2.0, 0.02


def patiently(call: Callable[[], T], path: Path | str, patience: float = _PATIENCE) -> T:
    """Call until no other program has the file open, for about two seconds; then raise `TryAgain`.

    Only Windows has such errors; all others are raised as they come.
    """
    end, pause = time.monotonic() + patience, _PAUSE
    while True:
        try:
            return call()
        except OSError as err:
            if getattr(err, "winerror", None) not in _IN_USE:
                raise
            if time.monotonic() >= end:
                raise TryAgain(
                    f"{path}: another program has had it open for {patience:.0f} s (a virus scanner, an indexer, a "
                    f"sync client?), or it may not be changed: {err.strerror or err}"
                ) from err
        time.sleep(pause)
        pause = min(2 * pause, 0.25)


def error_of(err: OSError, doing: str) -> NightferryError:
    """Return the error to raise for one of a disk, by who must act.

    No space or quota: `NoSpace`. Not allowed, read-only, or a file in a folder's place: the operator must act,
    `Misconfigured`. A name or a size that this disk cannot hold: `Held`. A disk that went away: `Unreachable`. All
    else, I/O errors first of all: `TryAgain`.
    """
    words = f"{doing}: {err.strerror or err}"
    if err.errno in FULL:
        return NoSpace(f"{doing}: the disk is full ({err.strerror or err}). Make room there")
    if sys.platform == "win32" and getattr(err, "winerror", None) in _IN_USE - {5}:
        return TryAgain(f"{words}. Another program has it open")
    if err.errno in NOT_ALLOWED:
        return Misconfigured(f"{words}. Mend the rights, or mount the disk for writing")
    if err.errno == errno.EFBIG:
        return Held(f"{words}. This disk (or a limit set on this process) allows no file of that size")
    if err.errno in IN_THE_WAY:
        return Misconfigured(f"{words}. A file stands in a folder's place, or a folder in a file's: move it away")
    if err.errno in BAD_NAME:
        return Held(f"{words}. This disk cannot hold such a name; change it (in an archive: the name template)")
    if err.errno in AWAY:
        return Unreachable(f"{words}. Is the disk still there?")
    return TryAgain(words)


def own_error(err: OSError, place: Path, what: str) -> NightferryError:
    """Return the error to raise for one of our own disk, that says what was written there.

    There a limit on sizes is as good as a full disk: it is not the frame's fault.
    """
    if err.errno == errno.EFBIG:
        return NoSpace(f"{what} {place}: the disk is full, or allows no file of that size. Make room there")
    return error_of(err, f"{what} {place}")


def unforeseen(err: OSError) -> TryAgain:
    """Return what is tried again after an error of the operating system that nobody foresaw where it was raised."""
    place = f"{os.fsdecode(err.filename)}: " if isinstance(err.filename, str | bytes) else ""
    number = "" if err.errno is None else f" ({errno.errorcode.get(err.errno, err.errno)})"
    return TryAgain(f"{place}{err.strerror or err}{number}. Is its disk, share or server still there?")


@contextmanager
def translated(place: Path, what: str) -> Iterator[None]:
    """Turn the errors of our own disk into ours, saying where and what to do."""
    try:
        yield
    except NightferryError:
        raise
    except OSError as err:
        raise own_error(err, place, what) from err
