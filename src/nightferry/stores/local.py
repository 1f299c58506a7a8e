"""Folders of this machine: local disks, and shares that are mounted."""

import io
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nightferry.core.errors import Changed, Gone, Held, Misconfigured, NightferryError, TryAgain, Unreachable
from nightferry.core.store import ROOT, Arrival, Entry, Load, Oddity, PutAnswer, StorePath, Traits, Want
from nightferry.disk.errors import NOT_THERE, error_of, patiently
from nightferry.disk.folders import NO_FOLLOW, Folder, is_link, lstat
from nightferry.stores.kit.loads import size_of
from nightferry.stores.kit.tree import Tree
from nightferry.stores.local_folders import Folders, refusal
from nightferry.stores.local_put import Memory, put_group
from nightferry.stores.paths import is_part, name_refusal, split

_READ_FLAGS = (
    os.O_RDONLY
    | NO_FOLLOW
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe under a file's name must not keep us waiting for its writer
)
#: Loads that are made durable together, by number and by bytes; answers wait for it.
_GROUP_LOADS, _GROUP_BYTES = 64, 256 * 1024 * 1024
#: Paths of this many characters are shown by Windows and, unless it was told otherwise, not found.
_LONGEST_ON_WINDOWS = 248


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below a folder. No symbolic link below it is ever followed, for reading or for writing.

    The root itself may be a link. ``link`` lets a put link a file of the same disk instead of copying it.
    """

    root: Path
    connections: int = 4
    link: bool = True
    _memory: Memory = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise `Misconfigured` where Python takes file names for anything but UTF-8: they would change on the way."""
        encoding = sys.getfilesystemencoding()
        if encoding.lower() != "utf-8":
            raise Misconfigured(f"file names are {encoding} here, not UTF-8: set PYTHONUTF8=1, or a UTF-8 locale")
        object.__setattr__(self, "_memory", Memory(link=self.link))

    @property
    def traits(self) -> Traits:
        """What a folder can do; ``exclusive_put`` turns false when a put meets a disk that has no way to it."""
        return Traits(label=self._label, exclusive_put=self._memory.exclusive, connections=self.connections)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree; our own unfinished files are left out.

        A folder or file that may not be read is an `Oddity` ``closed``, so that one of them (``lost+found``,
        ``System Volume Information``) never hides all others; a folder with any other trouble (a dead mount) is one
        that is ``unread``. Raises `Misconfigured` when the root is not there or may not be read, and `Unreachable`
        when its disk is away.
        """
        with self._folders() as folders:
            waiting, tree = [ROOT], Tree()
            while waiting:
                path = waiting.pop()
                try:
                    found, below = _scan(folders.open(path), path)
                except OSError as err:
                    if not path:
                        raise self._rootless(err) from err
                    yield from _unread(path, err)
                    continue
                yield from found
                ahead, odd = tree.sorted(below, enter)
                waiting += ahead
                yield from odd

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield each file's size and time; None for what is not there, no plain file, or a path that is refused."""
        with self._folders() as folders:
            for path in paths:
                yield self._look(folders, path)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Open and yield the files one after the other."""
        with self._folders() as folders:
            for want in wants:
                arrival = _LocalArrival(folders, want)
                try:
                    yield arrival
                finally:
                    arrival.close()

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Link or copy files to their names; answers come group by group, when the group is durable."""
        group: list[Load] = []
        size = 0
        for number, load in enumerate(loads, 1):
            group.append(load)
            size += size_of(load)
            if number == len(loads) or len(group) == _GROUP_LOADS or size >= _GROUP_BYTES:
                with self._folders() as folders:
                    answers = put_group(folders, group, self._memory)
                yield from answers
                group, size = [], 0

    def remove(self, path: StorePath) -> None:
        """Delete one file; raises `Gone` when it is not there, and `Held` for anything but a plain file."""
        if reason := refusal(path):
            raise Held(f"{self._label}: {reason}")
        above, name = split(path)
        with self._folders() as folders:
            try:
                folder = folders.open(above)
                if not stat.S_ISREG(lstat(folder, name).st_mode):
                    raise Held(f"{self._label}: {path!r} is no plain file, so it is not removed")
                patiently(partial(os.unlink, folder.at(name), dir_fd=folder.fd), f"{self._label}: {path!r}")
            except OSError as err:
                if err.errno in NOT_THERE:
                    raise Gone(f"{self._label}: there is no file {path!r}") from err
                raise error_of(err, f"{self._label}: cannot remove {path!r}") from err

    def close(self) -> None:
        """Nothing is kept open between calls."""

    @property
    def _label(self) -> str:
        return f"file://{self.root.as_posix()}"

    def _rootless(self, err: OSError) -> NightferryError:
        """Return the error of a root that cannot be listed: without it there is no store, whatever ails it."""
        trouble = error_of(err, f"{self._label}: cannot list the root folder")
        return trouble if isinstance(trouble, Misconfigured) else Unreachable(str(trouble))

    def _folders(self) -> Folders:
        return Folders(str(self.root.absolute()), self._label)

    def _look(self, folders: Folders, path: StorePath) -> Entry | None:
        if refusal(path):
            return None
        above, name = split(path)
        try:
            status = lstat(folders.open(above), name)
        except OSError as err:
            if err.errno in NOT_THERE:
                return None
            raise error_of(err, f"{self._label}: cannot look at {path!r}") from err
        return _entry(path, status) if stat.S_ISREG(status.st_mode) else None


class _LocalArrival:
    """One file on its way in, opened at the first read."""

    def __init__(self, folders: Folders, want: Want) -> None:
        self._folders, self._want = folders, want
        self._file: io.FileIO | None = None
        self._ended = self._left = False

    @property
    def want(self) -> Want:
        return self._want

    def read_into(self, buffer: memoryview) -> int:
        if self._left:
            raise RuntimeError(f"{self._place}: the next arrival was asked for, this one can no longer be read")
        try:
            self._file = self._file or self._opened()
            count = self._file.readinto(buffer) or 0
        except OSError as err:
            raise self._trouble(err) from err
        self._ended = count == 0
        return count

    def finish(self) -> Entry:
        """Return size and time of the file that was read, as they are now.

        The open file is asked, not the name: a file that was renamed or deleted while it was read is still the
        whole file that was wanted, and may be gone for ever if it is not kept now.
        """
        if self._file is None or not self._ended:
            raise TryAgain(f"{self._place} was not read to its end")
        try:
            entry = _entry(self._want.path, os.fstat(self._file.fileno()))
        except OSError as err:
            raise self._trouble(err) from err
        if not entry.agrees_with(self._want.size, self._want.mtime_us):
            raise Changed(
                f"{self._place} changed: expected {self._want.size:,} bytes of time {self._want.mtime_us} us, "
                f"found {entry.size:,} of {entry.mtime_us} us"
            )
        return entry

    def close(self) -> None:
        """Close the file, whether it was read to its end or not."""
        self._left = True
        if self._file is not None:
            self._file.close()

    @property
    def _place(self) -> str:
        return f"{self._folders.label}: {self._want.path!r}"

    def _opened(self) -> io.FileIO:
        if reason := refusal(self._want.path):
            raise Held(f"{self._folders.label}: {reason}")
        above, name = split(self._want.path)
        try:
            folder = self._folders.open(above)
        except Misconfigured as err:  # the root was there when the file was listed, so its disk went away
            raise Unreachable(str(err)) from err
        fd = os.open(folder.at(name), _READ_FLAGS, dir_fd=folder.fd)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or (not NO_FOLLOW and is_link(lstat(folder, name))):
                raise Gone(f"{self._place} is no plain file (any more)")
            if status.st_size < self._want.offset:
                raise Changed(f"{self._place} has {status.st_size:,} bytes, fewer than came: {self._want.offset:,}")
            os.lseek(fd, self._want.offset, os.SEEK_SET)
            return io.FileIO(fd)
        except (OSError, NightferryError):
            os.close(fd)
            raise

    def _trouble(self, err: OSError) -> NightferryError:
        """Sort an error of one file: a file that may not be read yet (its writer has it locked) is tried again."""
        if err.errno in NOT_THERE:
            return Gone(f"{self._place} is not there (any more)")
        trouble = error_of(err, f"cannot read {self._place}")
        return trouble if isinstance(trouble, TryAgain) else TryAgain(f"cannot read {self._place}: {err.strerror}")


def _unread(path: StorePath, err: OSError) -> Iterator[Oddity]:
    """Yield what hides behind the trouble of one folder; nothing for one that vanished since its parent was listed."""
    above, name = split(path)
    if isinstance(err, PermissionError):
        yield Oddity("closed", above, name)
    elif err.errno not in NOT_THERE or _is_long(path):
        yield Oddity("unread", path, err.strerror or str(err))


def _scan(folder: Folder, path: StorePath) -> tuple[list[Entry | Oddity], list[StorePath]]:
    """Read one folder: its files and what is odd, and the folders in it."""
    found: list[Entry | Oddity] = []
    below: list[StorePath] = []
    prefix = f"{path}/" if path else ""
    with os.scandir(folder.path if folder.fd is None else folder.fd) as items:
        for item in items:
            name = item.name
            if reason := name_refusal(name):
                if not is_part(name):
                    found.append(Oddity("name", path, reason))
                continue
            try:
                one = _told(item, path, StorePath(prefix + name))
            except FileNotFoundError:  # it vanished, or this system shows longer names than it can be asked about
                if _is_long(item.path):
                    found.append(Oddity("unknown", path, name))
            except PermissionError:
                found.append(Oddity("closed", path, name))
            except OSError as err:
                found.append(Oddity("unknown", path, f"{name}: {err.strerror or err}"))
            else:
                if one is None:
                    below.append(StorePath(prefix + name))
                else:
                    found.append(one)
    return found, below


def _told(item: "os.DirEntry[str]", folder: StorePath, path: StorePath) -> Entry | Oddity | None:
    """Return what stands under a name; None for a folder."""
    if item.is_file(follow_symlinks=False):
        return _entry(path, _status(item))
    if item.is_symlink() or _is_junction(item):
        return Oddity("link", folder, item.name)
    if item.is_dir(follow_symlinks=False):
        return None
    return Oddity("special", folder, item.name)


def _is_long(path: str) -> bool:
    """Whether a path may be longer than this system takes, though it shows the name."""
    return sys.platform == "win32" and len(path) >= _LONGEST_ON_WINDOWS


if sys.platform == "win32":

    def _status(item: "os.DirEntry[str]") -> os.stat_result:
        """Ask the file itself: what a folder tells of a file that is open for writing is old on Windows."""
        return os.lstat(item.path)

    def _is_junction(item: "os.DirEntry[str]") -> bool:
        return is_link(item.stat(follow_symlinks=False))

else:

    def _status(item: "os.DirEntry[str]") -> os.stat_result:
        return item.stat(follow_symlinks=False)

    def _is_junction(_item: "os.DirEntry[str]") -> bool:
        return False


def _entry(path: StorePath, status: os.stat_result) -> Entry:
    return Entry(path, status.st_size, status.st_mtime_ns // 1000)
