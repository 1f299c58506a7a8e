"""What only disks do: links, crashes, missing and full disks, and folders that are not ours to read."""

import errno
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest

from nightferry.core.errors import (
    Changed,
    Gone,
    Held,
    Misconfigured,
    NightferryError,
    Occupied,
    TryAgain,
    Unreachable,
)
from nightferry.core.store import Entry, Linked, Load, Oddity, PutAnswer, StorePath, Want
from nightferry.disk import folders, names
from nightferry.disk.folders import Folder
from nightferry.stores import local, local_put
from nightferry.stores.local import LocalStore
from nightferry.stores.paths import part_name
from nightferry.testing.conform_stage import carry_all, close_iterator, generated, within, write

#: On Linux a disk of its own, in memory.
OTHER_DISK = Path("/dev/shm")  # noqa: S108 - nothing is trusted there


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "working", generated(5000))


def put(root: Path, source: Path, target: str = "a.fits", *, link: bool = True) -> PutAnswer:
    [answer] = LocalStore(root, link=link).put([Load(source, StorePath(target))])
    return answer


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def names_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


# -- linking and copying ---------------------------------------------------------------------------------------


def test_a_file_of_the_same_disk_is_linked_and_says_so(root: Path, source: Path) -> None:
    assert put(root, source, "M 31/a.fits") == Linked()
    assert (root / "M 31" / "a.fits").samefile(source)


def test_a_file_is_copied_with_its_time_where_links_are_not_wanted(root: Path, source: Path) -> None:
    os.utime(source, ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    assert put(root, source, link=False) is None
    assert not (root / "a.fits").samefile(source)
    assert (root / "a.fits").read_bytes() == generated(5000)
    assert (root / "a.fits").stat().st_mtime_ns == 1_700_000_000_000_000_000


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP])
def test_a_file_that_cannot_be_linked_is_copied(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    assert put(root, source) is None
    assert (root / "a.fits").read_bytes() == generated(5000)
    assert isinstance(put(root, source), Occupied)
    assert names_below(root) == {"a.fits"}


def test_answers_come_when_a_group_is_durable_and_not_later(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = [Load(source, StorePath(f"{n}.fits")) for n in range(200)]
    assert next(LocalStore(root).put(loads)) == Linked()
    assert len(names_below(root)) == 64
    monkeypatch.setattr(local, "_GROUP_BYTES", 3 * 5000)
    assert next(LocalStore(root, link=False).put(loads[100:])) is None
    assert len(names_below(root)) == 64 + 3


def test_a_file_of_another_disk_is_copied(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if OTHER_DISK.is_dir() and OTHER_DISK.stat().st_dev != root.stat().st_dev:
        with tempfile.TemporaryDirectory(dir=OTHER_DISK) as elsewhere:
            assert put(Path(elsewhere), source) is None
            assert (Path(elsewhere) / "a.fits").read_bytes() == generated(5000)
            assert names_below(Path(elsewhere)) == {"a.fits"}
    else:
        monkeypatch.setattr(os, "link", failing(errno.EXDEV))
        assert put(root, source) is None


def test_a_disk_without_any_exclusive_way_is_told_by_the_traits(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = LocalStore(root)
    assert store.traits.exclusive_put
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(names, "_sparing_rename", lambda: None)
    assert list(store.put([Load(source, StorePath("a.fits"))])) == [None]
    assert not store.traits.exclusive_put


def test_a_disk_without_links_takes_names_by_a_sparing_rename_where_the_system_has_one(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    for module in (local_put, names):
        monkeypatch.setattr(module, "is_taken", lambda *_: False)  # only the rename itself can tell now
    store = LocalStore(root)
    if sys.platform in {"linux", "win32"}:
        other = write(source.with_name("other"), b"other")
        load, late = Load(source, StorePath("a.fits")), Load(other, StorePath("a.fits"))
        assert [type(answer) for answer in store.put([load, late])] == [type(None), Occupied]
        assert (root / "a.fits").read_bytes() == generated(5000)
        assert store.traits.exclusive_put


def test_two_threads_never_pass_the_look_before_a_rename_together(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    true_taken = folders.is_taken

    def taken_and_wait(folder: Folder, name: str) -> bool:
        answer = true_taken(folder, name)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        return answer

    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(names, "_sparing_rename", lambda: None)
    monkeypatch.setattr(names, "is_taken", taken_and_wait)
    store = LocalStore(root)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(lambda: list(store.put([Load(source, StorePath("a.fits"))]))) for _ in range(2)]
        answers = [type(answer) for run in runs for answer in run.result()]
    assert set(answers) == {type(None), Occupied}


def test_a_taken_name_is_known_before_anything_is_copied(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "a.fits", b"old")
    monkeypatch.setattr(local_put, "pour", failing(errno.EIO))
    assert isinstance(put(root, source, link=False), Occupied)


def test_a_link_whose_answer_was_lost_counts_as_made(root: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_link = os.link

    def link_twice(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        true_link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    monkeypatch.setattr(os, "link", link_twice)
    assert put(root, source, link=False) is None
    assert names_below(root) == {"a.fits"}


def test_a_working_file_that_changes_while_it_is_copied_is_not_stored(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_pour = local_put.pour

    def pour_and_grow(opened: FileIO, target: int, pace: Callable[[int], None] | None = None) -> int:
        copied = true_pour(opened, target)
        with source.open("ab") as file:
            file.write(b"more")
        return copied

    monkeypatch.setattr(local_put, "pour", pour_and_grow)
    assert isinstance(put(root, source, link=False), Changed)
    assert names_below(root) == set()


# -- what must not be made, followed or read -------------------------------------------------------------------


def test_a_missing_root_is_never_made_for_it_may_be_a_disk_that_is_not_mounted(tmp_path: Path, source: Path) -> None:
    missing = tmp_path / "not mounted"
    store = LocalStore(missing)
    answer = put(missing, source)
    assert isinstance(answer, Misconfigured)
    assert "Is its disk mounted" in str(answer)
    with pytest.raises(Misconfigured):
        store.remove(StorePath("a.fits"))
    with pytest.raises(Misconfigured):
        list(store.stat([StorePath("a.fits")]))
    assert not missing.exists()


def test_a_disk_that_goes_away_makes_no_file_gone(tmp_path: Path) -> None:
    write(tmp_path / "a.fits", b"x")
    [answer] = carry_all(LocalStore(tmp_path / "unmounted"), [Want(StorePath("a.fits"), 1)])
    assert isinstance(answer, Unreachable)


def test_a_file_where_a_folder_is_needed_is_in_the_way(root: Path, source: Path) -> None:
    write(root / "M 31", b"mine")
    for link in (True, False):
        assert isinstance(put(root, source, "M 31/a.fits", link=link), Occupied)
    assert (root / "M 31").read_bytes() == b"mine"


def test_a_share_that_syncs_no_folders_is_used_all_the_same(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))  # the bytes are synced by another call
    assert put(root, source, "M 31/a.fits") == Linked()


def test_a_folder_that_another_writer_makes_first_is_used(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_mkdir = os.mkdir

    def mkdir_twice(path: str, *, dir_fd: int) -> None:
        true_mkdir(path, dir_fd=dir_fd)
        true_mkdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir_twice)
    assert put(root, source, "M 31/night/a.fits") == Linked()


def test_file_names_that_are_not_utf8_for_python_are_refused_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    with pytest.raises(Misconfigured, match="PYTHONUTF8=1"):
        LocalStore(root)


def test_a_file_that_is_deleted_while_it_is_read_arrives_whole(root: Path) -> None:
    file = write(root / "a.fits", generated(3_000_000))
    store = LocalStore(root)
    arrivals = store.fetch([Want(StorePath("a.fits"), 3_000_000)])
    arrival = next(arrivals)
    arrival.read_into(memoryview(bytearray(1000)))
    if sys.platform != "win32":  # there an open file cannot be deleted
        file.unlink()
    buffer = memoryview(bytearray(1 << 22))
    assert sum(iter(lambda: arrival.read_into(buffer), 0)) == 3_000_000 - 1000
    assert arrival.finish().size == 3_000_000
    close_iterator(arrivals)


def test_what_vanishes_while_it_is_listed_is_passed_over(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        (root / name).mkdir()
        write(root / name / f"{name}.fits", b"x")
    write(root / "c" / "stays.fits", b"x")

    def enter(folder: StorePath) -> bool:
        if folder == "b":
            (root / "b" / "b.fits").unlink()
            (root / "b").rmdir()
        return True

    true_status = local._status

    def status(item: os.DirEntry[str]) -> os.stat_result:
        if item.name == "c.fits":
            (root / "c" / "c.fits").unlink()
        return true_status(item)

    monkeypatch.setattr(local, "_status", status)
    found = {item.path for item in LocalStore(root).list(enter) if isinstance(item, Entry)}
    assert found == {"a/a.fits", "c/stays.fits"}


def test_an_arrival_that_was_not_read_to_its_end_cannot_be_finished(root: Path) -> None:
    write(root / "a.fits", generated(5000))
    arrivals = LocalStore(root).fetch([Want(StorePath("a.fits"), 5000)])
    arrival = next(arrivals)
    with pytest.raises(TryAgain, match="not read to its end"):
        arrival.finish()
    arrival.read_into(memoryview(bytearray(5000)))
    with pytest.raises(TryAgain, match="not read to its end"):
        arrival.finish()
    assert list(arrivals) == []
    with pytest.raises(RuntimeError, match="no longer be read"):
        arrival.read_into(memoryview(bytearray(5000)))


if sys.platform != "win32":

    @pytest.mark.parametrize("descriptors", [True, False])
    def test_a_planted_link_cannot_lead_a_write_out_of_the_root(
        tmp_path: Path, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, *, descriptors: bool
    ) -> None:
        monkeypatch.setattr(folders, "DESCRIPTORS", descriptors)
        outside = tmp_path / "outside"
        outside.mkdir()
        (root / "M 31").symlink_to(outside)
        (root / "b.fits").symlink_to(outside / "b.fits")
        for link in (True, False):
            assert isinstance(put(root, source, "M 31/a.fits", link=link), Occupied)
            assert isinstance(put(root, source, "M 31/deeper/a.fits", link=link), Occupied)
            assert isinstance(put(root, source, "b.fits", link=link), Occupied)
        assert list(outside.iterdir()) == []

    @pytest.mark.parametrize("descriptors", [True, False])
    def test_a_planted_link_cannot_lead_a_read_or_removal_out_of_the_root(
        tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, *, descriptors: bool
    ) -> None:
        monkeypatch.setattr(folders, "DESCRIPTORS", descriptors)
        outside = tmp_path / "outside"
        outside.mkdir()
        secret = write(outside / "secret.fits", b"secret")
        (root / "M 31").symlink_to(outside)
        (root / "a.fits").symlink_to(secret)
        store = LocalStore(root)
        paths = [StorePath("M 31/secret.fits"), StorePath("a.fits")]
        assert list(store.stat(paths)) == [None, None]
        assert [type(answer) for answer in carry_all(store, [Want(path, 6) for path in paths])] == [Gone, Gone]
        with pytest.raises(Gone):
            store.remove(paths[0])
        with pytest.raises(Held):
            store.remove(paths[1])
        assert secret.read_bytes() == b"secret"
        assert (root / "a.fits").is_symlink()

    def test_a_folder_swapped_for_a_link_at_any_moment_leads_nothing_out(tmp_path: Path, root: Path) -> None:
        outside, folder = tmp_path / "outside", root / "night"
        outside.mkdir()
        write(outside / "lure.fits", b"lure")
        sources = [write(tmp_path / f"{n}", generated(100, f"{n}")) for n in range(100)]
        done = threading.Event()

        def swap() -> None:
            turn = 0
            while not done.is_set():
                turn += 1
                with suppress(OSError):  # the store may have made the folder anew in between
                    folder.rename(tmp_path / f"night{turn}")
                with suppress(OSError):
                    folder.symlink_to(outside)
                with suppress(OSError):
                    folder.unlink()

        attacker = threading.Thread(target=swap)
        attacker.start()
        try:
            stored = 0
            for link in (True, False):
                store = LocalStore(root, link=link)
                loads = [Load(source, StorePath(f"night/{link}{n}.fits")) for n, source in enumerate(sources)]
                for load in loads:
                    stored += sum(not isinstance(answer, NightferryError) for answer in store.put([load]))
                    [answer] = carry_all(store, [Want(StorePath("night/lure.fits"), 4)])
                    assert isinstance(answer, NightferryError)
                    assert list(store.stat([StorePath("night/lure.fits")])) == [None]
                    assert "night/lure.fits" not in {item.path for item in store.list() if isinstance(item, Entry)}
        finally:
            done.set()
            attacker.join()
        assert [path.name for path in outside.iterdir()] == ["lure.fits"]
        assert stored > 0

    def test_a_link_planted_under_the_name_of_an_unfinished_file_is_not_written_through(
        tmp_path: Path, root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outside = write(tmp_path / "outside", b"outside")
        guessed = part_name()
        (root / guessed).symlink_to(outside)
        monkeypatch.setattr(local_put, "part_name", lambda: guessed)
        assert isinstance(put(root, source, link=False), NightferryError)
        assert outside.read_bytes() == b"outside"
        (root / guessed).unlink()
        os.link(outside, root / guessed)
        assert isinstance(put(root, source, link=False), NightferryError)
        assert outside.read_bytes() == b"outside"

    def test_pipes_are_no_files_and_never_waited_for(root: Path, source: Path) -> None:
        os.mkfifo(root / "pipe.fits")
        store = LocalStore(root)
        assert list(store.list()) == [Oddity("special", StorePath(""), "pipe.fits")]
        assert list(store.stat([StorePath("pipe.fits")])) == [None]
        [answer] = within(180, lambda: carry_all(store, [Want(StorePath("pipe.fits"), 10)]))
        assert isinstance(answer, Gone)
        assert isinstance(put(root, source, "pipe.fits"), Occupied)

    def test_names_that_could_do_harm_are_shown_as_odd(root: Path) -> None:
        for name in (b"a\nb.fits", b"back\\slash.fits", b"C:drive.fits"):
            write(root / os.fsdecode(name), b"x")
        (root / "line\rend").mkdir()
        write(root / "line\rend" / "a.fits", b"x")
        write(root / "good.fits", b"x")
        found = list(LocalStore(root).list())
        assert [item.path for item in found if isinstance(item, Entry)] == ["good.fits"]
        odd = [item for item in found if isinstance(item, Oddity)]
        assert [item.kind for item in odd] == ["name"] * 4
        assert not any(sign in item.text for item in odd for sign in "\r\n")
