"""Folders of this machine: local disks, and shares that are mounted."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightferry.core.errors import Changed, Gone, NightferryError, TryAgain
from nightferry.core.store import ROOT, Arrival, Entry, Load, Oddity, PutAnswer, StorePath, Traits, Want
from nightferry.stores.local_folders import NO_FOLLOW, NOT_THERE, Folder, Folders, failure, is_link
from nightferry.stores.local_put import put_group
from nightferry.stores.paths import checked, is_part, name_refusal

#: So many files are made durable together; answers wait for it.
_GROUP = 64
_READ_FLAGS = os.O_RDONLY | NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
#: A pipe or device under a file's name must not keep us waiting when it is opened.
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class LocalStore:
    """The files below a folder. No symbolic link below it is ever followed, for reading or for writing."""

    root: Path
    connections: int = 4

    @property
    def traits(self) -> Traits:
        """What a folder can do."""
        return Traits(label=f"file://{self.root.as_posix()}", connections=self.connections)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree; raises `Misconfigured` when the root is missing or a folder may not be read."""
        with self._folders() as folders:
            folders.open(ROOT)  # a missing root raises; only other folders may vanish
            todo = [ROOT]
            while todo:
                path = todo.pop()
                with self._translated(path):
                    found = _look(folders, path)
                for item in found:
                    if isinstance(item, str):
                        if enter is None or enter(item):
                            todo.append(item)
                    else:
                        yield item

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Tell each file's size and time; None for what is not there or no plain file."""
        with self._folders() as folders:
            for path in paths:
                with self._translated(path):
                    yield _stat(folders, checked(path))

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Open and yield the files one after the other."""
        for want in wants:
            arrival = _LocalArrival(self, want)
            try:
                yield arrival
            finally:
                arrival.close()

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Link or copy files to their names; answers come group by group, when the group is durable."""
        for start in range(0, len(loads), _GROUP):
            with self._folders() as folders:
                yield from put_group(folders, loads[start : start + _GROUP])

    def remove(self, path: StorePath) -> None:
        """Delete one file; raises `Gone` when it is not there or is no plain file."""
        folder_path, name = _split(checked(path))
        with self._folders() as folders, self._translated(path):
            if _stat(folders, path) is None:
                raise Gone(f"{self.traits.label}: there is no file {path}")
            folder = folders.open(folder_path)
            os.unlink(folder.at(name), dir_fd=folder.fd)

    def close(self) -> None:
        """Nothing is kept open between calls."""

    def _folders(self) -> Folders:
        return Folders(str(self.root.absolute()), self.traits.label)

    def _translated(self, path: StorePath) -> "_Translated":
        return _Translated(self.traits.label, path)


class _Translated:
    """Turns the disk's errors into ours; a context."""

    def __init__(self, label: str, path: StorePath) -> None:
        self.label, self.path = label, path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, trace: object) -> None:
        if isinstance(err, FileNotFoundError):
            raise Gone(f"{self.label}: {self.path} is not there (any more)") from err
        if isinstance(err, OSError):
            raise failure(err, f"{self.label}: {self.path or 'its root'}") from err


class _LocalArrival:
    """One file being read."""

    def __init__(self, store: LocalStore, want: Want) -> None:
        self._store, self._want = store, want
        self._fd: int | None = None

    @property
    def want(self) -> Want:
        return self._want

    def read_into(self, buffer: memoryview) -> int:
        with self._store._translated(self._want.path):  # noqa: SLF001 - one module, one secret
            if self._fd is None:
                self._fd = self._open()
            count = 0
            while count < len(buffer) and (
                got := os.readv(self._fd, [buffer[count:]]) if _READV else _read(self._fd, buffer[count:])
            ):
                count += got
            return count

    def finish(self) -> Entry:
        path = self._want.path
        entry = next(self._store.stat([path]))
        if entry is None:
            raise Changed(f"{path} vanished while it was read")
        if not entry.agrees_with(self._want.size, self._want.mtime_us):
            raise Changed(f"{path} changed while it was read")
        with self._store._translated(path):  # noqa: SLF001 - as above
            if self._fd is None or os.lseek(self._fd, 0, os.SEEK_CUR) != os.fstat(self._fd).st_size:
                raise TryAgain(f"{path} was not read to its end")
        return entry

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        want = self._want
        folder_path, name = _split(checked(want.path))
        with self._store._folders() as folders:  # noqa: SLF001 - as above
            try:
                folder = folders.open(folder_path)
                fd = os.open(folder.at(name), _READ_FLAGS | _NO_WAIT, dir_fd=folder.fd)
            except OSError as err:
                if err.errno in NOT_THERE:
                    raise Gone(f"{self._store.traits.label}: there is no file {want.path}") from err
                raise
        status = os.fstat(fd)
        trouble: NightferryError | None = None
        if not stat.S_ISREG(status.st_mode):
            trouble = Gone(f"{self._store.traits.label}: {want.path} is no plain file")
        elif want.offset > status.st_size:
            trouble = Changed(f"{want.path} is shorter than it was: {status.st_size:,} bytes")
        if trouble is not None:
            os.close(fd)
            raise trouble
        os.lseek(fd, want.offset, os.SEEK_SET)
        return fd


_READV = hasattr(os, "readv")


def _read(fd: int, buffer: memoryview) -> int:
    """Read where there is no call that reads into a buffer (Windows)."""
    got = os.read(fd, len(buffer))
    buffer[: len(got)] = got
    return len(got)


def _split(path: StorePath) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _look(folders: Folders, path: StorePath) -> list[Entry | Oddity | StorePath]:
    """List one folder: files, oddities, and the paths of folders; nothing when it vanished."""
    found: list[Entry | Oddity | StorePath] = []
    try:
        folder = folders.open(path)
        with os.scandir(folder.path if folder.fd is None else folder.fd) as entries:
            found.extend(item for entry in entries if (item := _entry(path, entry)) is not None)
    except OSError as err:
        if path and err.errno in NOT_THERE:
            return []
        raise
    return found


def _entry(folder: StorePath, entry: os.DirEntry[str]) -> Entry | Oddity | StorePath | None:
    name = entry.name
    if name_refusal(name):
        return None if is_part(name) else Oddity("name", folder, name)
    try:
        if entry.is_dir(follow_symlinks=False):
            return StorePath(f"{folder}/{name}" if folder else name)
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if is_link(status):
        return Oddity("link", folder, name)
    if not stat.S_ISREG(status.st_mode):
        return Oddity("special", folder, name)
    return Entry(StorePath(f"{folder}/{name}" if folder else name), status.st_size, status.st_mtime_ns // 1000)


def _stat(folders: Folders, path: StorePath) -> Entry | None:
    folder_path, name = _split(path)
    try:
        folder: Folder = folders.open(folder_path)
        status = os.stat(folder.at(name), dir_fd=folder.fd, follow_symlinks=False)
    except OSError as err:
        if err.errno in NOT_THERE:
            return None
        raise
    if not stat.S_ISREG(status.st_mode):
        return None
    return Entry(path, status.st_size, status.st_mtime_ns // 1000)
