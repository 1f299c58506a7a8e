"""A process whose calls of the disk can be counted, failed, killed, watched and preceded by another program's.

`install` comes before nightferry is imported: from then on each call that changes a disk (by way of `os`, of `open` and
`FileIO`, of syncfs and the sparing rename) passes `Calls`, which does nothing until a `Plan` is armed.
"""

# ruff: noqa: PTH116, PTH115, PTH119, ANN001, ANN002, ANN003, ANN201, ANN202, ANN204, PLR0917

from __future__ import annotations

import builtins
import ctypes
import errno
import io
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO  # the true one, whatever `install` puts into its place
from pathlib import Path
from typing import IO, Any

#: The calls of `os` that change a disk or make it durable. Reading and closing change nothing.
CHANGES = (
    "open", "write", "fsync", "fdatasync", "link", "unlink", "remove", "mkdir", "rmdir", "rename", "replace", "utime",
    "chmod", "truncate", "ftruncate",
)  # fmt: skip
#: What file systems answer that have no hard links, or know no rename that replaces nothing.
REFUSALS = (errno.EPERM, errno.ENOTSUP, errno.EINVAL)
FOREIGN = b"another program's"
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Plan:
    """What befalls the ``at``-th call: ``kill``, ``fail`` with ``code``, or another program makes ``plant`` before it.

    ``ever`` fails all calls after it as well. ``links`` and ``renames`` say what the disk can do.
    """

    kind: str = "count"
    at: int = 0
    code: int = 0
    ever: bool = False
    plant: str = ""
    links: bool = True
    renames: bool = True


@dataclass
class Calls:
    """What was called, and what that did to bytes and names that a power cut would take."""

    plan: Plan | None = None
    made: list[str] = field(default_factory=list)
    hit: str = ""
    planted: bool = False
    wrong: list[str] = field(default_factory=list)
    unsynced: dict[tuple[int, int], str] = field(default_factory=dict)
    folders: dict[tuple[int, int], str] = field(default_factory=dict)
    spoilt: set[tuple[int, int]] = field(default_factory=set)

    def arm(self, plan: Plan) -> None:
        """Begin to count."""
        self.__init__(plan)  # type: ignore[misc] # anew

    def step(self, name: str, target: str = "", torn: Callable[[], object] | None = None) -> int:
        """Pass a call, and return the code that it is to fail with; 0 lets it through. ``torn`` does half of it."""
        plan = self.plan
        if plan is None:
            return 0
        self.made.append(name)
        number = len(self.made)
        if number != plan.at and not (plan.ever and number > plan.at):
            return 0
        self.hit = self.hit or name
        if plan.kind == "plant":
            self._plant(name, target, plan)
            return 0
        if plan.kind == "count":
            return 0
        if torn is not None and plan.code != errno.EINTR:  # which comes before any byte
            torn()
        if plan.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        return plan.code

    def _plant(self, name: str, target: str, plan: Plan) -> None:
        """Make a file as another program would, unless there is one."""
        looked = name == "rename" and not (plan.links or plan.renames)
        if looked and os.path.basename(target) == os.path.basename(plan.plant):
            return  # the one step that nothing can make exclusive on such a disk
        try:
            fd = _TRUE["open"](plan.plant, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except OSError:  # it is there by now, or its folder is not yet
            return
        _TRUE["write"](fd, FOREIGN)
        os.close(fd)
        self.planted = True

    # -- what a power cut would take ---------------------------------------------------------------------------

    def wrote(self, fd: int) -> None:
        """Remember that an open file has bytes that are not on the disk."""
        self.unsynced[_identity(os.fstat(fd))] = _path_of(fd)

    def synced(self, fd: int | None, *, failed: bool) -> None:
        """Remember what is on the disk: an open file or folder, or all for None. What failed once is spoilt."""
        known = [*self.unsynced, *self.folders] if fd is None else [_identity(os.fstat(fd))]
        for one in known:
            if failed:
                self.spoilt.add(one)
            else:
                self.unsynced.pop(one, None)
                self.folders.pop(one, None)

    def created(self, fd: int, folder: str | int, name: str) -> None:
        """Remember a file that was opened for writing: an empty one has nothing of what had its number before."""
        status = os.fstat(fd)
        if status.st_size == 0:
            self.unsynced.pop(_identity(status), None)
            self.spoilt.discard(_identity(status))
            self.named(None, folder, name)

    def named(self, before: os.stat_result | None, folder: str | int, name: str) -> None:
        """Judge a name that was given: its bytes have to be on the disk, and its folder has to get there."""
        at = os.fstat(folder) if isinstance(folder, int) else os.stat(folder or ".")
        if not name.endswith(".part"):
            self.folders[_identity(at)] = f"the folder of {name}"
            if before is not None and _identity(before) in self.unsynced:
                self.wrong.append(f"{name} was given to bytes that are not on the disk")
            if before is not None and _identity(before) in self.spoilt:
                self.wrong.append(f"{name} was given to a file whose sync had failed")


CALLS = Calls()
_TRUE: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in CHANGES}
_TRUE_OPEN = io.open


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _path_of(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return str(fd)


def _failed(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class CountedFile(FileIO):
    """A file whose opening for writing, and whose writes, are counted."""

    def __init__(self, file, mode="r", closefd=True, opener=None):  # type: ignore[no-untyped-def] # noqa: FBT002 - as io has it
        writes = any(letter in mode for letter in "wax")
        if writes and (code := CALLS.step("open", str(file))):
            raise _failed(code)
        super().__init__(file, mode, closefd, opener)
        if writes and CALLS.plan is not None and isinstance(file, (str, os.PathLike)):
            folder, name = os.path.split(os.fspath(file))
            CALLS.created(self.fileno(), folder, name)

    def write(self, data, /):  # type: ignore[no-untyped-def]
        """Write, or only a half where that is planned."""
        view = memoryview(data)
        code = CALLS.step("write", torn=lambda: FileIO.write(self, view[: len(view) // 2]))
        if code:
            raise _failed(code)
        if CALLS.plan is not None:
            CALLS.wrote(self.fileno())
        return super().write(data)

    def truncate(self, size=None, /):  # type: ignore[no-untyped-def]
        """Cut the file."""
        if code := CALLS.step("truncate"):
            raise _failed(code)
        return super().truncate(size)


def _open(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):  # type: ignore[no-untyped-def] # noqa: FBT002 - as io has it
    """Open as `open` does, by way of `CountedFile` where anything may be written."""
    if not any(letter in mode for letter in "wax+"):
        return _TRUE_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = CountedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)  # type: ignore[no-untyped-call]
    if buffering == 0:
        return raw
    buffered: IO[bytes] = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


def _counted(name: str) -> Callable[..., Any]:
    call = _TRUE[name]

    def run(*args, **kwargs):  # type: ignore[no-untyped-def]
        plan = CALLS.plan
        if plan is None or (name == "open" and not args[1] & _WRITING):
            return call(*args, **kwargs)
        half = None
        if name == "write":
            half = lambda: call(args[0], memoryview(args[1])[: len(args[1]) // 2])  # noqa: E731
        code = CALLS.step(name, str(args[1] if name in {"link", "rename", "replace"} else args[0]), half)
        if not code and name == "link" and not plan.links:
            raise _failed(REFUSALS[len(CALLS.made) % len(REFUSALS)])
        if code:
            if name in {"fsync", "fdatasync"}:
                CALLS.synced(args[0], failed=True)
            raise _failed(code)
        before = _before(name, args, kwargs)
        answer = call(*args, **kwargs)
        _note(name, args, kwargs, before, answer)
        return answer

    return run


def _before(name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> os.stat_result | None:
    if name not in {"link", "rename", "replace"}:
        return None
    try:
        return os.stat(args[0], dir_fd=kwargs.get("src_dir_fd"), follow_symlinks=False)  # type: ignore[arg-type]
    except OSError:
        return None


def _note(
    name: str, args: tuple[object, ...], kwargs: dict[str, object], before: os.stat_result | None, answer: object
) -> None:
    if name == "write":
        CALLS.wrote(args[0])  # type: ignore[arg-type]
    elif name in {"fsync", "fdatasync"}:
        CALLS.synced(args[0], failed=False)  # type: ignore[arg-type]
    elif name in {"link", "rename", "replace", "mkdir"}:
        place = os.fspath(args[0] if name == "mkdir" else args[1])  # type: ignore[call-overload]
        at = kwargs.get("dir_fd" if name == "mkdir" else "dst_dir_fd")
        folder, base = os.path.split(place)
        CALLS.named(before, at if at is not None else folder, base)  # type: ignore[arg-type]
    elif name == "open" and args[1] & os.O_CREAT:  # type: ignore[operator]
        folder, base = os.path.split(os.fspath(args[0]))  # type: ignore[call-overload]
        at = kwargs.get("dir_fd")
        CALLS.created(answer, at if at is not None else folder, base)  # type: ignore[arg-type]


class _Libc:
    """The syncfs of the system, counted."""

    def __init__(self) -> None:
        self._true = ctypes.CDLL(None, use_errno=True)

    def syncfs(self, fd: int) -> int:
        """Sync all."""
        code = CALLS.step("syncfs")
        if CALLS.plan is not None:
            CALLS.synced(None, failed=bool(code))
        if code:
            ctypes.set_errno(code)
            return -1
        return int(self._true.syncfs(fd))


def install() -> None:
    """Have all calls pass `CALLS`; before anything of nightferry is imported."""
    for name in CHANGES:
        counted = _counted(name)
        for group in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if _TRUE[name] in group:
                group.add(counted)
        setattr(os, name, counted)
    io.FileIO = CountedFile  # type: ignore[misc]
    io.open = builtins.open = _open
    from nightferry.disk import names, sync

    true_rename = names._sparing_rename()
    sync._libc = _Libc  # type: ignore[assignment]

    def sparing(old_at: int, old: bytes, new_at: int, new: bytes) -> int:
        plan = CALLS.plan
        target = os.fsdecode(new)
        code = CALLS.step("renameat2", target)
        if not code and plan is not None and not plan.renames:
            code = REFUSALS[len(CALLS.made) % len(REFUSALS)]
        if code:
            ctypes.set_errno(code)
            return -1
        try:
            before = os.stat(os.fsdecode(old), dir_fd=old_at, follow_symlinks=False)
        except OSError:
            before = None
        assert true_rename is not None
        answer = true_rename(old_at, old, new_at, new)
        if answer == 0 and plan is not None:
            CALLS.named(before, new_at, target)
        return answer

    names._sparing_rename = lambda: sparing  # type: ignore[assignment]


def files_below(folder: Path) -> dict[str, bytes]:
    """Read all files of a tree."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
