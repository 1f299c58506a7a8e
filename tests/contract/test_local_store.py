"""The local store against the conformance suite, in every way in which it can go about a put."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest

from nightferry.core.names import windows_refusal
from nightferry.disk import folders, names
from nightferry.stores import local_put
from nightferry.stores.local import LocalStore
from nightferry.testing.conform_rights import bound_by_rights
from nightferry.testing.conform_stage import PLANTED_US, Fault, Limit
from nightferry.testing.conformance import StoreConformance

WINDOWS = sys.platform == "win32"
#: Where a name must be UTF-8 (macOS) or spare more (Windows), the disk itself says no.
NAMES = tuple(
    name
    for name in StoreConformance.names
    if (not WINDOWS or not windows_refusal(name.decode("utf-8", "surrogateescape")))
    and (sys.platform != "darwin" or name == name.decode("utf-8", "ignore").encode())
)
LIMITS = frozenset({Limit.LINKS}) if WINDOWS else frozenset()  # links there ask for rights


def not_allowed(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


class LocalStage:
    """A folder, whose files are linked from where the suite makes them."""

    FAULTS = frozenset({Fault.GROWS} if WINDOWS else {Fault.GROWS, Fault.REFUSES_WRITE})
    links = True

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        root.mkdir()
        self.prepare()

    def prepare(self) -> None:
        """Nothing: everything that the system offers is used."""

    @property
    def faults(self) -> frozenset[Fault]:
        return self.FAULTS

    def store(self) -> LocalStore:
        return LocalStore(self.root, link=self.links)

    def hasty(self) -> LocalStore:
        raise NotImplementedError("a disk does not freeze in tests")

    def astray(self) -> LocalStore:
        return LocalStore(self.root / "not" / "there")

    def at(self, path: bytes) -> Path:
        return self.root / os.fsdecode(path)

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        file = self.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        when = (PLANTED_US if mtime_us is None else mtime_us) * 1000
        os.utime(file, ns=(when, when))

    def content(self, path: bytes) -> bytes | None:
        file = self.at(path)
        return file.read_bytes() if file.is_file() else None

    def everything(self) -> frozenset[bytes]:
        return frozenset(
            os.fsencode(path.relative_to(self.root).as_posix()) for path in self.root.rglob("*") if path.is_file()
        )

    def link(self, path: bytes, target: bytes) -> None:
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).symlink_to(os.fsdecode(target))

    def grow(self, path: bytes, more: bytes) -> None:
        with self.at(path).open("ab") as file:
            file.write(more)

    @contextmanager
    def refuses_write(self) -> Iterator[None]:
        folders = [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        try:
            with bound_by_rights():
                yield
        finally:
            for folder in folders:
                folder.chmod(0o755)

    @contextmanager
    def full(self, after: int) -> Iterator[None]:
        left = after

        def pour(source: FileIO, target: int, pace: Callable[[int], None] | None = None) -> int:
            nonlocal left
            data = source.readall()
            os.write(target, data[:left])
            if len(data) > left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= len(data)
            return len(data)

        with self.patch.context() as patch:
            patch.setattr(local_put, "pour", pour)
            yield

    @contextmanager
    def stores_short(self, after: int) -> Iterator[None]:
        def pour(source: FileIO, target: int, pace: Callable[[int], None] | None = None) -> int:
            data = source.readall()
            os.write(target, data[:after])
            return len(data)

        with self.patch.context() as patch:
            patch.setattr(local_put, "pour", pour)
            yield

    def dies(self, after: int) -> Iterator[None]:
        raise NotImplementedError

    freezes = cuts_short = lies_about_size = dies


class CopyingStage(LocalStage):
    """A folder into which nothing is linked."""

    FAULTS = LocalStage.FAULTS | {Fault.FULL, Fault.STORES_SHORT}
    links = False


class LinklessStage(CopyingStage):
    """A disk without hard links, such as FAT: Linux renames there without replacing."""

    links = True

    def prepare(self) -> None:
        self.patch.setattr(os, "link", not_allowed)


class PlainStage(LinklessStage):
    """A disk without hard links on a system without a sparing rename, such as exFAT on macOS."""

    def prepare(self) -> None:
        super().prepare()
        self.patch.setattr(names, "_sparing_rename", lambda: None)


class PathStage(CopyingStage):
    """A system without folder descriptors, such as Windows."""

    def prepare(self) -> None:
        self.patch.setattr(folders, "DESCRIPTORS", False)


class TestLinkingStore(StoreConformance):
    faults = LocalStage.FAULTS
    limits = LIMITS
    names = NAMES

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return LocalStage(tmp_path / "root", monkeypatch)


class TestCopyingStore(StoreConformance):
    faults = CopyingStage.FAULTS
    limits = LIMITS
    names = NAMES

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return CopyingStage(tmp_path / "root", monkeypatch)


class TestLinklessStore(StoreConformance):
    faults = LinklessStage.FAULTS
    limits = LIMITS
    names = NAMES[:3]

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return LinklessStage(tmp_path / "root", monkeypatch)


class TestPlainStore(StoreConformance):
    faults = PlainStage.FAULTS
    limits = LIMITS
    names = NAMES[:3]

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return PlainStage(tmp_path / "root", monkeypatch)


class TestPathStore(StoreConformance):
    faults = PathStage.FAULTS
    limits = LIMITS
    names = NAMES

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return PathStage(tmp_path / "root", monkeypatch)
