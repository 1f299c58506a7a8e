"""Folders that must be mounted: without their disk they are out of reach, and never an empty telescope."""

import os
import sys
from pathlib import Path

import pytest

from nightferry.assemble import archive_store, open_ledger, open_route, telescope_store
from nightferry.config import Config, loads
from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.core.store import Entry, Load, StorePath, Want
from nightferry.disk.mounts import is_mounted
from nightferry.folders import make_new_folders
from nightferry.stores.local import LocalStore
from nightferry.stores.mounts import mounted


def config_with(source: str, mount: str) -> Config:
    return loads(f'[telescope.a]\nsource = "{source}"\n{mount}\narchives = ["b"]\n[archive.b]\nurl = "file:///b"\n')


def test_a_plain_folder_is_no_mount_point_and_the_root_of_a_disk_is_one(tmp_path: Path) -> None:
    assert not is_mounted(tmp_path)
    assert not is_mounted(tmp_path / "none")
    assert is_mounted(Path(tmp_path.anchor))


def test_without_its_mount_no_call_of_a_store_does_anything(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(b"x")
    store = mounted(LocalStore(tmp_path), tmp_path)
    path = StorePath("a.fits")
    for call in (
        lambda: list(store.list()),
        lambda: list(store.stat([path])),
        lambda: list(store.fetch([Want(path, 1)])),
        lambda: list(store.put([Load(tmp_path / "a.fits", StorePath("b.fits"))])),
        lambda: store.remove(path),
    ):
        with pytest.raises(Unreachable, match="nothing is mounted at"):
            call()
    assert [item.name for item in tmp_path.iterdir()] == ["a.fits"]
    assert store.traits == LocalStore(tmp_path).traits
    store.close()


def test_with_its_mount_a_store_works_as_ever(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(b"x")
    store = mounted(LocalStore(tmp_path), Path(tmp_path.anchor))
    assert [entry.path for entry in store.list() if isinstance(entry, Entry)] == ["a.fits"]
    assert next(store.stat([StorePath("a.fits")])) is not None
    for arrival in store.fetch([Want(StorePath("a.fits"), 1)]):
        assert arrival.read_into(memoryview(bytearray(9))) == 1
        assert arrival.read_into(memoryview(bytearray(9))) == 0
        arrival.finish()
    store.remove(StorePath("a.fits"))
    assert list(tmp_path.iterdir()) == []
    store.close()


def test_a_disk_that_goes_away_during_a_listing_makes_it_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.fits").write_bytes(b"x")
    there = iter([True, False])
    monkeypatch.setattr("nightferry.stores.mounts.is_mounted", lambda _point: next(there))
    with pytest.raises(Unreachable):
        list(mounted(LocalStore(tmp_path), tmp_path).list())


@pytest.mark.parametrize("mount", ["mount = true", 'mount = "POINT"'])
def test_a_telescope_says_what_must_be_mounted(mount: str, tmp_path: Path) -> None:
    folder = tmp_path / "MyWorks"
    folder.mkdir()
    config = config_with(folder.as_uri(), mount.replace("POINT", tmp_path.as_posix()))
    point = folder if mount == "mount = true" else tmp_path
    with pytest.raises(Unreachable) as caught:
        list(telescope_store(config.resolved["a"]).list())
    assert f"nothing is mounted at {point}" in str(caught.value)
    assert 'mount = "/mnt/point"' in str(caught.value)


def test_an_archive_without_its_mount_gets_nothing_and_no_folder_is_made(tmp_path: Path) -> None:
    library = tmp_path / "library"
    (tmp_path / "a.fits").write_bytes(b"x")
    config = loads(
        f'[ledger]\nurl = "sqlite:///{(tmp_path / "ledger.db").as_posix()}"\n'
        f'[telescope.a]\nsource = "{tmp_path.as_uri()}"\narchives = ["b"]\n'
        f'[archive.b]\nurl = "{library.as_uri()}"\nmount = "{tmp_path.as_posix()}"\n'
    )
    with open_ledger(config) as ledger:
        make_new_folders(config, ledger, "a")
    assert not library.exists()
    with pytest.raises(Unreachable, match="nothing is mounted at"):
        list(archive_store(config.archive["b"]).put([Load(tmp_path / "a.fits", StorePath("a.fits"))]))
    assert not library.exists()


def test_without_a_word_a_folder_that_held_files_is_never_believed_to_be_empty(tmp_path: Path) -> None:
    for mount, guarded in (("", True), ("mount = false", False), ("mount = true", False)):
        route = open_route(config_with(tmp_path.as_uri(), mount), "a")
        assert route.telescope.never_bare is guarded, mount
        route.close()
    assert not open_route(config_with("ftp://127.0.0.1:1/user", ""), "a").telescope.never_bare


def test_only_a_folder_can_be_mounted() -> None:
    with pytest.raises(Misconfigured, match="only a folder"):
        config_with("ftp://127.0.0.1/user", "mount = true")


if sys.platform == "linux":

    def test_a_mount_that_only_the_system_knows_of_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        blank = tmp_path / "EMMC Images"
        blank.mkdir()
        table = tmp_path / "mountinfo"
        escaped = os.path.realpath(blank).replace(" ", "\\040")
        table.write_text(f"36 35 98:0 /mnt1 {escaped} rw,noatime master:1 - ext3 /dev/root rw\n")
        monkeypatch.setattr("nightferry.disk.mounts._MOUNTS", table)
        assert is_mounted(blank)
        assert not is_mounted(tmp_path)
