"""The local store killed, refused and filled up at every point of a put."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nightferry.core.errors import (
    Changed,
    Gone,
    Held,
    Misconfigured,
    NightferryError,
    NoSpace,
    Occupied,
    TryAgain,
    Unreachable,
)
from nightferry.core.store import Entry, Load, Oddity, StorePath, Want
from nightferry.disk.folders import Folder
from nightferry.disk.sync import sync_file, sync_folder
from nightferry.stores import local_put
from nightferry.stores.local import LocalStore
from nightferry.stores.paths import is_part, part_name
from nightferry.testing.conform_rights import bound_by_rights
from nightferry.testing.conform_stage import carry_all, generated, write

#: The calls that a put makes of the system; a crash before any of them leaves what the ones before it did.
CALLS = ("open", "write", "fsync", "fdatasync", "link", "unlink", "mkdir", "utime", "close", "rename")
TARGETS = ("night/a.fits", "night/deeper/b.fits")

# Puts two files in a process that ends itself, as kill -9 does, before its n-th call of the system; the calls of
# the store alone are counted. Says "done" when there was no n-th call.
KILLED = """
import os, signal, sys
from pathlib import Path
from nightferry.core.store import Load, StorePath
from nightferry.stores.local import LocalStore
from nightferry.disk.folders import Folder
from nightferry.disk.sync import sync_file, sync_folder

root, link, last, folder, calls, targets = sys.argv[1:]
left = int(last)

def counted(call):
    def run(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return run

store = LocalStore(Path(root), link=link == "link")
loads = [Load(Path(folder, f"{n}"), StorePath(target)) for n, target in enumerate(targets.split(","))]
for name in calls.split(","):
    setattr(os, name, counted(getattr(os, name)))
os.supports_fd.add(os.utime)  # wrapped, it takes descriptors as before
answers = list(store.put(loads))
print("done", [str(answer) for answer in answers if isinstance(answer, Exception)])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


@pytest.fixture
def loads(tmp_path: Path) -> list[Load]:
    return [
        Load(write(tmp_path / f"{n}", generated(3_000_000 + n)), StorePath(target)) for n, target in enumerate(TARGETS)
    ]


def names_below(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def assert_whole_or_absent(root: Path, loads: list[Load]) -> None:
    """No file has its name but with all its bytes, and everything else there is an unfinished file of ours."""
    for load in loads:
        file = root / load.target
        assert not file.exists() or file.read_bytes() == load.source.read_bytes()
    assert {name for name in names_below(root) - set(TARGETS) if not is_part(name.rpartition("/")[2])} == set()
    assert {item.path for item in LocalStore(root).list() if isinstance(item, Entry)} <= set(TARGETS)


def recover(root: Path, loads: list[Load], *, link: bool) -> None:
    """Put again: all is there then, and nothing else is left."""
    for answer in LocalStore(root, link=link).put(loads):
        assert not isinstance(answer, NightferryError) or isinstance(answer, Occupied), answer
    assert {name: (root / name).read_bytes() for name in names_below(root)} == {
        load.target: load.source.read_bytes() for load in loads
    }


if sys.platform != "win32":

    @pytest.mark.parametrize("way", ["link", "copy"])
    def test_a_put_killed_before_any_of_its_system_calls_is_made_good_by_the_next(
        tmp_path: Path, root: Path, loads: list[Load], way: str
    ) -> None:
        points = 0
        while True:
            points += 1
            place = root / f"{points}"
            place.mkdir()
            done = subprocess.run(
                [sys.executable, "-c", KILLED, place, way, f"{points}", tmp_path, ",".join(CALLS), ",".join(TARGETS)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert_whole_or_absent(place, loads)
            recover(place, loads, link=way == "link")
            if done.returncode != -signal.SIGKILL:
                break
        assert (done.stdout, done.returncode) == ("done []\n", 0), done.stderr
        assert points > (15 if way == "link" else 30)


def raising(call: Callable[..., object], turn: list[int], code: int) -> Callable[..., object]:
    """Wrap a call of the system so that the one whose turn it is fails."""

    def run(*args: object, **kwargs: object) -> object:
        turn[0] -= 1
        if turn[0] == 0:
            raise OSError(code, os.strerror(code))
        return call(*args, **kwargs)

    return run


@pytest.mark.parametrize("link", [True, False])
@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EIO, TryAgain), (errno.ENOSPC, NoSpace), (errno.EROFS, Misconfigured)]
)
def test_a_system_call_that_fails_anywhere_fails_its_loads_alone_and_leaves_nothing_torn(
    root: Path,
    loads: list[Load],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[NightferryError],
    *,
    link: bool,
) -> None:
    points = failures = 0
    turn = [0]
    while turn[0] <= 0:  # the turn came, so there may be another call
        points += 1
        turn = [points]
        place = root / f"{points}"
        place.mkdir()
        with monkeypatch.context() as patch:
            for name in CALLS:
                if name != "close":  # a close that fails has closed all the same
                    patch.setattr(os, name, raising(getattr(os, name), turn, code))
            answers = list(LocalStore(place, link=link).put(loads))
        for load, answer in zip(loads, answers, strict=True):
            assert not isinstance(answer, NightferryError) or isinstance(answer, kind), repr(answer)
            assert isinstance(answer, NightferryError) or (place / load.target).exists()
        failures += any(isinstance(answer, NightferryError) for answer in answers)
        assert_whole_or_absent(place, loads)
        recover(place, loads, link=link)
    assert failures > (10 if link else 20)


def test_bytes_and_names_are_synced_before_they_count(
    root: Path, loads: list[Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file's bytes before its name, a folder after each new name in it: a power cut at any point tears nothing."""
    synced: set[int] = set()
    unsynced: set[Path] = set()
    true_link, true_mkdir = os.link, os.mkdir

    def file_synced(fd: int) -> None:
        sync_file(fd)
        synced.add(os.fstat(fd).st_ino)

    def folder_synced(folder: Folder) -> None:
        sync_folder(folder)
        unsynced.discard(Path(folder.path))

    def link(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        assert os.stat(old, dir_fd=src_dir_fd).st_ino in synced
        unsynced.update(folder for folder in (root / "night", root / "night/deeper") if same(folder, dst_dir_fd))
        true_link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def mkdir(name: str, *, dir_fd: int) -> None:
        true_mkdir(name, dir_fd=dir_fd)
        unsynced.update(folder for folder in (root, root / "night") if same(folder, dir_fd))

    for name, double in (("link", link), ("mkdir", mkdir)):
        monkeypatch.setattr(os, name, double)
    monkeypatch.setattr(local_put, "sync_file", file_synced)
    monkeypatch.setattr(local_put, "sync_folder", folder_synced)
    for _ in LocalStore(root, link=False).put(loads):
        assert unsynced == set()


def same(folder: Path, fd: int) -> bool:
    return folder.exists() and os.path.samestat(folder.stat(), os.fstat(fd))


def test_a_folder_that_another_writer_made_is_synced_into_the_folder_above(
    root: Path, loads: list[Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who made it may not have lived to sync it; once is enough."""
    (root / "night" / "deeper").mkdir(parents=True)
    synced: list[str] = []
    monkeypatch.setattr(local_put, "sync_folder", lambda folder: synced.append(Path(folder.path).name))
    store = LocalStore(root)
    list(store.put(loads[1:]))
    assert set(synced) == {"deeper", "night", "library"}
    synced.clear()
    list(store.put([Load(loads[0].source, StorePath("night/deeper/c.fits"))]))
    assert synced == ["deeper"]
    shutil.rmtree(root / "night" / "deeper")  # made anew, it is as good as never synced
    synced.clear()
    list(store.put(loads[1:]))
    assert set(synced) == {"deeper", "night"}


def test_a_working_file_whose_bytes_cannot_be_synced_is_not_linked(
    root: Path, loads: list[Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(os, name, fail, raising=False)
    assert [type(answer) for answer in LocalStore(root).put(loads)] == [TryAgain, TryAgain]
    assert names_below(root) == set()


def test_unfinished_files_of_the_dead_are_swept_and_never_listed(root: Path, loads: list[Load]) -> None:
    night = root / "night"
    night.mkdir()
    mine = part_name()
    dead = mine.replace(f"-{os.getpid()}-", "-4194305-")  # more than the largest process number of Linux
    huge = mine.replace(f"-{os.getpid()}-", "-9999999999-")
    foreign = mine.replace(mine[len(".nightferry-") :][:8], "00000000")
    old = part_name().replace(f"-{os.getpid()}-", "-1-")
    for name in (mine, dead, huge, foreign, old):
        write(night / name, b"half")
    week = 8 * 24 * 3600
    os.utime(night / old, (night.stat().st_mtime - week, night.stat().st_mtime - week))
    assert list(LocalStore(root).list()) == []
    assert list(LocalStore(root, link=False).put(loads[:1])) == [None]
    left = {mine, huge, foreign, "a.fits"} | ({dead} if sys.platform == "win32" else set())
    assert {path.name for path in night.iterdir()} == left


def test_a_folder_is_looked_through_for_unfinished_files_once_only(
    root: Path, loads: list[Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    monkeypatch.setattr(local_put, "sweep", lambda folder: looked.append(folder.path))
    store = LocalStore(root, link=False)
    for name in "abc":
        list(store.put([Load(loads[0].source, StorePath(f"night/{name}.fits"))]))
    assert looked == [str(root / "night")]


def test_an_unfinished_file_can_neither_be_asked_for_nor_put(root: Path, loads: list[Load]) -> None:
    name = StorePath(f"night/{part_name()}")
    (root / "night").mkdir()
    write(root / name, b"half")
    store = LocalStore(root)
    assert list(store.stat([name])) == [None]
    assert [type(answer) for answer in carry_all(store, [Want(name, 4)])] == [Held]
    assert [type(answer) for answer in store.put([Load(loads[0].source, name)])] == [Held]


def test_few_descriptors_are_open_at_once_and_none_is_left(
    root: Path, loads: list[Load], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: set[int] = set()
    most = 0
    true_open, true_close = os.open, os.close

    def open_counted(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        nonlocal most
        fd = true_open(path, flags, mode, dir_fd=dir_fd)
        opened.add(fd)
        most = max(most, len(opened))
        return fd

    def close_counted(fd: int) -> None:
        opened.discard(fd)
        true_close(fd)

    monkeypatch.setattr(os, "open", open_counted)
    monkeypatch.setattr(os, "close", close_counted)
    store = LocalStore(root, link=False)
    many = [Load(load.source, StorePath(f"{n}/{n}/{load.target}")) for n in range(40) for load in loads]
    assert not any(isinstance(answer, NightferryError) for answer in store.put(many))
    assert not opened
    assert most < 40  # four connections of them stay below the 256 that macOS allows
    assert sum(isinstance(item, Entry) for item in store.list()) == 80
    next(store.list())
    next(store.stat([many[0].target, many[1].target]))
    wants = [Want(StorePath("0"), 1), Want(many[0].target, 3_000_000, offset=4_000_000)]
    assert [type(answer) for answer in carry_all(store, wants)] == [Gone, Changed]
    assert not opened


if sys.platform != "win32":

    def test_a_folder_that_may_not_be_read_is_shown_as_odd_and_hides_no_other(root: Path) -> None:
        for name in ("locked/a.fits", "listed/b.fits", "open/c.fits"):
            (root / name).parent.mkdir()
            write(root / name, b"x")
        (root / "locked").chmod(0)
        (root / "listed").chmod(0o444)  # its names may be read, its files may not be looked at
        with bound_by_rights():
            found = list(LocalStore(root).list())
        (root / "locked").chmod(0o755)
        (root / "listed").chmod(0o755)
        assert [item.path for item in found if isinstance(item, Entry)] == ["open/c.fits"]
        odd = {(item.kind, item.folder, item.text.partition(":")[0]) for item in found if isinstance(item, Oddity)}
        assert odd == {("closed", "", "locked"), ("closed", "listed", "b.fits")}

    def test_a_root_that_may_not_be_read_is_misconfigured(root: Path) -> None:
        root.chmod(0)
        with bound_by_rights(), pytest.raises(Misconfigured, match="Mend the rights"):
            list(LocalStore(root).list())
        root.chmod(0o755)

    def test_a_file_that_may_not_be_read_is_tried_again_and_costs_no_other(root: Path) -> None:
        for name in ("a.fits", "b.fits"):
            write(root / name, b"x")
        (root / "a.fits").chmod(0)
        wants = [Want(StorePath(name), 1) for name in ("a.fits", "b.fits")]
        with bound_by_rights():
            answers = carry_all(LocalStore(root), wants)
        assert isinstance(answers[0], TryAgain)
        assert answers[1] == b"x"


@pytest.mark.parametrize("code", [errno.ESTALE, errno.ENOTCONN, errno.EIO])
def test_a_disk_that_fails_while_it_is_listed_is_never_an_empty_one(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    (root / "night").mkdir()

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "scandir", fail)
    with pytest.raises(Unreachable):
        list(LocalStore(root).list())


# Puts files into a disk of 4 MiB made for this process alone: where the system lets us make one (root, or a user
# namespace); elsewhere no file of this process may grow beyond 1 MiB. Prints what was used, each answer's kind, and
# what stands there.
SMALL_DISK = """
import ctypes, json, os, resource, sys
from pathlib import Path
from nightferry.core.store import Load, StorePath
from nightferry.stores.local import LocalStore

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
NEWNS, NEWUSER, PRIVATE, READ_ONLY_AGAIN = 0x20000, 0x10000000, 0x40000 | 0x4000, 0x20 | 1

def small_disk():
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(NEWNS | (0 if user == 0 else NEWUSER)) != 0:
        return False
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    return libc.mount(b"none", b"/", None, PRIVATE, None) == 0 and (
        libc.mount(b"tmpfs", os.fsencode(root), b"tmpfs", 0, b"size=4m") == 0
    )

def put(*targets):
    loads = [Load(folder / source, StorePath(target)) for source, target in targets]
    return [type(answer).__name__ for answer in LocalStore(root, link=False).put(loads)]

disk = small_disk()
if not disk:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
answers = put(*((f"{n}", f"sub{n}/{n}.fits") for n in range(4)))
there = {path.relative_to(root).as_posix(): path.stat().st_size for path in root.rglob("*") if path.is_file()}
then = []
if disk and ctypes.CDLL(None).mount(b"none", os.fsencode(root), None, READ_ONLY_AGAIN, None) == 0:
    then = put(("0", "new/0.fits"), ("0", "sub0/new.fits"))
print(json.dumps([disk, answers, there, then]))
"""

if sys.platform != "win32":

    def test_a_disk_that_is_full_or_read_only_takes_nothing_by_halves(tmp_path: Path, root: Path) -> None:
        for number, size in enumerate((500_000, 3_000_000, 2_000_000, 100_000)):
            write(tmp_path / f"{number}", generated(size))
        ran = subprocess.run(
            [sys.executable, "-c", SMALL_DISK, root, tmp_path], capture_output=True, text=True, timeout=300, check=False
        )
        assert ran.returncode == 0, ran.stderr
        disk, answers, there, then = json.loads(ran.stdout)
        if disk:
            assert answers == ["NoneType", "NoneType", "NoSpace", "NoneType"]
            assert there == {"sub0/0.fits": 500_000, "sub1/1.fits": 3_000_000, "sub3/3.fits": 100_000}
            assert then == ["Misconfigured", "Misconfigured"]
        else:
            assert answers == ["NoneType", "Held", "Held", "NoneType"]
            assert there == {"sub0/0.fits": 500_000, "sub3/3.fits": 100_000}
