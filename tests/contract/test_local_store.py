import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nightferry.core.errors import Misconfigured, Occupied
from nightferry.core.store import Load, Oddity, StorePath
from nightferry.stores import local_put
from nightferry.stores.local import LocalStore
from nightferry.stores.paths import part_name
from nightferry.testing.conform_stage import PLANTED_US, Fault, generated, put_all, write
from nightferry.testing.conformance import StoreConformance


class LocalStage:
    """A folder. Its faults are the disk's own, played where the store calls the system."""

    FAULTS = frozenset({Fault.GROWS, Fault.REFUSES_WRITE, Fault.FULL})

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        root.mkdir()

    @property
    def faults(self) -> frozenset[Fault]:
        return self.FAULTS

    def store(self) -> LocalStore:
        return LocalStore(self.root)

    def astray(self) -> LocalStore:
        return LocalStore(self.root / "not" / "there")

    def _at(self, path: bytes) -> Path:
        return self.root / os.fsdecode(path)

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        file = self._at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        when = (PLANTED_US if mtime_us is None else mtime_us) * 1000
        os.utime(file, ns=(when, when))

    def content(self, path: bytes) -> bytes | None:
        file = self._at(path)
        return file.read_bytes() if file.is_file() else None

    def everything(self) -> frozenset[bytes]:
        return frozenset(
            os.fsencode(path.relative_to(self.root).as_posix()) for path in self.root.rglob("*") if path.is_file()
        )

    def link(self, path: bytes, target: bytes) -> None:
        self._at(path).parent.mkdir(parents=True, exist_ok=True)
        self._at(path).symlink_to(os.fsdecode(target))

    def grow(self, path: bytes, more: bytes) -> None:
        with self._at(path).open("ab") as file:
            file.write(more)

    @contextmanager
    def refuses_write(self) -> Iterator[None]:
        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        with self.patch.context() as patch:
            patch.setattr(os, "link", refuse)
            patch.setattr(os, "mkdir", refuse)
            patch.setattr(os, "unlink", refuse)
            yield

    @contextmanager
    def full(self, after: int) -> Iterator[None]:
        left = after

        def pour(source: int, target: int) -> None:
            nonlocal left
            data = os.pread(source, 1 << 30, 0)
            os.write(target, data[:left])
            if len(data) > left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= len(data)

        with self.patch.context() as patch:
            patch.setattr(local_put, "_link", lambda *_: False)
            patch.setattr(local_put, "_pour", pour)
            yield

    def dies(self, after: int) -> Iterator[None]:
        raise NotImplementedError

    freezes = cuts_short = lies_about_size = stores_short = dies


class TestLocalStore(StoreConformance):
    faults = LocalStage.FAULTS

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalStage:
        return LocalStage(tmp_path / "root", monkeypatch)


class CopyingStage(LocalStage):
    """A folder on another disk than the working files: nothing can be linked, all is copied."""

    def store(self) -> LocalStore:
        self.patch.setattr(local_put, "_link", lambda *_: False)
        return super().store()


class TestCopyingStore(StoreConformance):
    faults = CopyingStage.FAULTS

    @pytest.fixture
    def stage(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CopyingStage:
        return CopyingStage(tmp_path / "root", monkeypatch)


def library(tmp_path: Path) -> Path:
    root = tmp_path / "library"
    root.mkdir()
    return root


def put(root: Path, source: Path, target: str) -> object:
    return put_all(LocalStore(root), [Load(source, StorePath(target))])[0]


def test_a_file_of_the_same_disk_is_linked(tmp_path: Path) -> None:
    source = write(tmp_path / "working", generated(5000))
    assert put(library(tmp_path), source, "M 31/a.fits") is None
    assert (tmp_path / "library" / "M 31" / "a.fits").samefile(source)


def test_a_missing_root_is_never_made_for_it_may_be_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    answer = put(tmp_path / "library", write(tmp_path / "working", b"x"), "a.fits")
    assert isinstance(answer, Misconfigured)
    assert "Is its disk mounted" in str(answer)
    assert not (tmp_path / "library").exists()


def test_a_planted_link_cannot_lead_a_write_out_of_the_root(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", library(tmp_path)
    outside.mkdir()
    (root / "M 31").symlink_to(outside)
    (root / "b.fits").symlink_to(outside / "b.fits")
    source = write(tmp_path / "working", b"x")
    assert isinstance(put(root, source, "M 31/a.fits"), Occupied)
    assert isinstance(put(root, source, "b.fits"), Occupied)
    assert list(outside.iterdir()) == []


def test_a_file_where_a_folder_is_needed_is_in_the_way(tmp_path: Path) -> None:
    root = library(tmp_path)
    (root / "M 31").write_bytes(b"mine")
    assert isinstance(put(root, write(tmp_path / "working", b"x"), "M 31/a.fits"), Occupied)
    assert (root / "M 31").read_bytes() == b"mine"


def test_what_a_dead_process_left_unfinished_is_swept_and_never_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = library(tmp_path)
    living = part_name()
    dead = living.replace(f"-{os.getpid()}-", "-4194305-")  # above the largest process number of Linux
    for name in (living, dead):
        (root / name).write_bytes(b"half")
    assert list(LocalStore(root).list()) == []
    monkeypatch.setattr(local_put, "_link", lambda *_: False)
    assert put(root, write(tmp_path / "working", b"x"), "a.fits") is None
    assert {path.name for path in root.iterdir()} == {living, "a.fits"}


@pytest.mark.parametrize("no_link", [True, False])
def test_a_disk_without_links_still_overwrites_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, no_link: bool
) -> None:
    if no_link:

        def refuse(*args: object, **kwargs: object) -> None:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    root = library(tmp_path)
    source = write(tmp_path / "working", generated(3000))
    assert put(root, source, "a.fits") is None
    assert (root / "a.fits").read_bytes() == generated(3000)
    assert isinstance(put(root, write(tmp_path / "other", b"other"), "a.fits"), Occupied)
    assert (root / "a.fits").read_bytes() == generated(3000)
    assert [path.name for path in root.iterdir()] == ["a.fits"]


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.fits")
        assert list(LocalStore(tmp_path).list()) == [Oddity("special", StorePath(""), "pipe.fits")]
        assert list(LocalStore(tmp_path).stat([StorePath("pipe.fits")])) == [None]
