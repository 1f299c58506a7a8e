"""What a durable file is: names that replace nothing, syncs as strong as the system has them, parts that are swept."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from nightferry.core.errors import (
    Busy,
    Held,
    Misconfigured,
    NightferryError,
    NoSpace,
    Occupied,
    TryAgain,
    Unreachable,
)
from nightferry.disk import names
from nightferry.disk.errors import error_of, patiently, translated
from nightferry.disk.files import land, make_folders, name_new, part_beside, part_of, write_anew, write_new
from nightferry.disk.folders import opened
from nightferry.disk.names import Way, give_name
from nightferry.disk.parts import is_running, part_name, sweep_folder
from nightferry.disk.sync import sync_file, sync_file_system, sync_folder
from nightferry.headers.canonical import Wcs
from nightferry.solving.cards import write_solution
from nightferry.solving.model import Fit, Solution
from nightferry.steps.claims import claim
from nightferry.steps.rebuild import place_as
from tests.astra import astra_frame

REFUSALS = [errno.EPERM, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS]


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


def without_links(patch: pytest.MonkeyPatch, code: int = errno.EPERM, *, renames: bool = False) -> None:
    patch.setattr(os, "link", failing(code))
    if not renames:
        patch.setattr(names, "_sparing_rename", lambda: None)


def solution() -> Solution:
    wcs = Wcs(("RA---TAN", "DEC--TAN"), (4.0, 3.0), (56.5, 24.1), (1e-4, 0.0, 0.0, 1e-4))
    fit = SimpleNamespace(wcs=wcs, matches=SimpleNamespace(count=40), expected=50, rms=0.3)
    return Solution(cast("Fit", fit), "index", "engine", 1e-9)


def named(folder: Path, part: str, name: str) -> Way:
    with opened(folder) as found:
        return give_name(found, part, name)


# -- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("renames", [True, False])
def test_a_taken_name_is_never_given_whatever_the_disk_can_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, *, renames: bool
) -> None:
    without_links(monkeypatch, code, renames=renames)
    (tmp_path / "part").write_bytes(b"new")
    (tmp_path / "final").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        named(tmp_path, "part", "final")
    assert (tmp_path / "final").read_bytes() == b"old"
    assert (tmp_path / "part").read_bytes() == b"new"
    assert named(tmp_path, "part", "free") is not Way.LINKED
    assert (tmp_path / "free").read_bytes() == b"new"


if sys.platform != "win32":

    def test_the_answer_says_how_a_name_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ways = []
        for number in range(3):
            (tmp_path / "part").write_bytes(b"x")
            ways.append(named(tmp_path, "part", f"{number}"))
            (tmp_path / "part").unlink(missing_ok=True)
            without_links(monkeypatch, renames=number == 0)
        assert ways[0] is Way.LINKED
        assert ways[1] is (Way.RENAMED if sys.platform == "linux" else ways[1])
        assert ways[2] is Way.LOOKED

    @pytest.mark.parametrize("renames", [True, False])
    def test_a_file_made_by_another_program_before_the_naming_is_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, renames: bool
    ) -> None:
        """The one who wrote the part had looked, and the name was free then."""
        without_links(monkeypatch, renames=renames)
        target = tmp_path / "final"

        def made_in_between(*_: object, **__: object) -> None:
            target.write_bytes(b"another's")
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", made_in_between)
        with part_beside(target) as part:
            part.write_bytes(b"ours")
            with pytest.raises(FileExistsError):
                name_new(part, target)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"final": b"another's"}

    # Gives a name on a disk without links and sparing renames, and stops with the folder locked: after its look.
    LOOKING = """
import os, sys, time
from pathlib import Path
from nightferry.disk import names
from nightferry.disk.files import write_new

def refused(*_, **__):
    raise PermissionError(1, "no links")

os.link, names._sparing_rename = refused, lambda: None
true_rename = os.rename

def rename(*words, **more):
    print("looked", flush=True)
    sys.stdin.readline()
    true_rename(*words, **more)

os.rename = rename
write_new(Path(sys.argv[1]), b"first")
"""

    def test_two_processes_never_pass_the_look_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        without_links(monkeypatch)
        target = tmp_path / "final"
        with subprocess.Popen(
            [sys.executable, "-c", LOOKING, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as first:
            assert first.stdin is not None
            assert first.stdout is not None
            assert first.stdout.readline() == "looked\n"
            waited: list[float] = []

            def let_it_go_on(seconds: float) -> None:
                if not waited:
                    assert first.stdin is not None
                    first.stdin.write("go on\n")
                    first.stdin.flush()
                waited.append(seconds)
                first.wait()

            monkeypatch.setattr(time, "sleep", let_it_go_on)
            with pytest.raises(FileExistsError):
                write_new(target, b"second")
        assert waited
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"final": b"first"}

    def test_a_folder_that_stays_locked_is_not_waited_for_for_ever(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_links(monkeypatch)
        monkeypatch.setattr(names, "_LONGEST_WAIT", 0.0)
        with subprocess.Popen(
            [sys.executable, "-c", LOOKING, tmp_path / "final"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as first:
            assert first.stdout is not None
            first.stdout.readline()
            with pytest.raises(Busy, match="locked"):
                write_new(tmp_path / "other", b"second")
            first.communicate("go on\n")
        assert [path.name for path in tmp_path.iterdir()] == ["final"]

    def test_a_kill_while_a_name_is_given_leaves_nothing_empty_under_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_links(monkeypatch)
        part, target = tmp_path / "raw.part", tmp_path / "raw"
        part.write_bytes(b"whole")

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, killed)
        with pytest.raises(KeyboardInterrupt):
            place_as(part, target)
        assert not target.exists()


def test_restoring_over_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"ours")
    (tmp_path / "final").write_bytes(b"another's")
    with pytest.raises(Occupied, match="nothing was overwritten"):
        place_as(tmp_path / "part", tmp_path / "final")
    assert (tmp_path / "final").read_bytes() == b"another's"


def test_a_claim_without_links_is_whole_and_has_one_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nightferry.core.frame import FrameId

    without_links(monkeypatch)
    assert claim(tmp_path / "names", "a.fits", FrameId("1" * 32))
    assert claim(tmp_path / "names", "a.fits", FrameId("1" * 32))
    assert not claim(tmp_path / "names", "a.fits", FrameId("2" * 32))
    assert [path.name for path in (tmp_path / "names").iterdir()] == ["a.fits"]


@pytest.mark.parametrize("renames", [True, False])
def test_a_file_made_while_a_frame_was_solved_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, renames: bool
) -> None:
    source, target = tmp_path / "raw.fits", tmp_path / "into" / "raw.fits"
    source.write_bytes(astra_frame(size=(8, 6)))
    target.parent.mkdir()
    without_links(monkeypatch, renames=renames)
    true_mode = shutil.copymode

    def made_in_between(old: Path, part: Path) -> None:
        target.write_bytes(b"another's")
        true_mode(old, part)

    monkeypatch.setattr(shutil, "copymode", made_in_between)
    with pytest.raises(Occupied, match="nothing was overwritten"):
        write_solution(source, solution(), target=target)
    assert {path.name: path.read_bytes() for path in target.parent.iterdir()} == {"raw.fits": b"another's"}


def test_a_solution_written_into_a_file_changes_no_other_name_of_it(tmp_path: Path) -> None:
    """The library may hold the same file by a link, and what it holds is proven."""
    source, delivered = tmp_path / "raw.fits", tmp_path / "delivered.fits"
    source.write_bytes(astra_frame(size=(8, 6)))
    before = source.read_bytes()
    delivered.hardlink_to(source)
    write_solution(source, solution())
    assert delivered.read_bytes() == before
    assert b"nightferry solve" in source.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


# -- syncs -----------------------------------------------------------------------------------------------------


def unlanded(folder: Path, count: int) -> list[tuple[FileIO, Path]]:
    pairs = [(FileIO(part_of(folder / f"{number}"), "w"), folder / f"{number}") for number in range(count)]
    for file, _ in pairs:
        file.write(b"frame")
    return pairs


if sys.platform != "win32":

    def test_the_shelf_is_synced_as_strongly_as_library_and_ledger_on_macos(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Fsync leaves the bytes in the drive's cache there."""
        import fcntl

        asked: list[int] = []
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", lambda _fd, code: asked.append(code))
        monkeypatch.setattr("nightferry.disk.files.sync_file_system", lambda _fd: False)
        monkeypatch.setattr(os, "fsync", failing(errno.EIO))  # a plain one is not enough
        assert land(unlanded(tmp_path, 5)) == [None] * 5
        assert asked == [51] * 6  # five files and their folder
        asked.clear()
        write_anew(tmp_path / "book", b"text")
        assert asked == [51] * 2

    def test_a_disk_that_knows_no_full_sync_is_synced_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fcntl

        synced: list[int] = []
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", failing(errno.ENOTSUP))
        monkeypatch.setattr(os, "fsync", synced.append)
        with (tmp_path / "a").open("wb") as file:
            sync_file(file.fileno())
            assert synced == [file.fileno()]
        monkeypatch.setattr(fcntl, "fcntl", failing(errno.EIO))
        with (tmp_path / "a").open("wb") as file, pytest.raises(OSError, match="Input/output"):
            sync_file(file.fileno())


def test_a_sync_of_the_whole_disk_that_fails_lands_nothing_and_leaves_nothing_to_build_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.disk.files.sync_file_system", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        land(unlanded(tmp_path, 5))
    assert list(tmp_path.iterdir()) == []


if sys.platform == "linux":

    def test_what_the_system_answers_to_a_sync_of_the_whole_disk_is_heeded(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        class Failing:
            def syncfs(self, fd: int) -> int:
                asked.append(fd)
                return -1

        monkeypatch.setattr("nightferry.disk.sync._libc", Failing)
        monkeypatch.setattr("ctypes.get_errno", lambda: errno.EIO)
        pairs = unlanded(tmp_path, 4)
        first = pairs[0][0].fileno()
        with pytest.raises(OSError, match="Input/output"):
            land(pairs)
        assert asked == [first]
        assert list(tmp_path.iterdir()) == []

    def test_this_system_syncs_whole_disks(tmp_path: Path) -> None:
        with (tmp_path / "a").open("wb") as file:
            assert sync_file_system(file.fileno())


def test_a_frame_whose_sync_fails_costs_no_other_and_leaves_nothing_to_build_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = unlanded(tmp_path, 3)
    bad, true_sync = pairs[1][0].fileno(), os.fsync

    def fsync(fd: int) -> None:
        if fd == bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        true_sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    assert [type(answer) for answer in land(pairs)] == [type(None), TryAgain, type(None)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]


def test_the_folder_of_what_landed_is_synced_after_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[str]] = []

    def folder_synced(folder: Path) -> None:
        sync_folder(folder)
        seen.append({path.name for path in folder.iterdir()})

    monkeypatch.setattr("nightferry.disk.files.sync_folder", folder_synced)
    for count in (1, 5):
        seen.clear()
        land(unlanded(tmp_path, count))
        assert seen == [{path.name for path in tmp_path.iterdir()}]
    monkeypatch.setattr("nightferry.disk.files.sync_folder", failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        land(unlanded(tmp_path, 1))


def test_a_new_folder_is_synced_into_the_one_above(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("nightferry.disk.files.sync_folder", synced.append)
    make_folders(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    make_folders(tmp_path / "a" / "b")
    assert len(synced) == 2
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        make_folders(tmp_path / "file")


def test_a_small_file_is_synced_before_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def file_synced(fd: int) -> None:
        order.append(f"{os.fstat(fd).st_size} bytes, {(tmp_path / 'final').exists()}")

    def folder_synced(_folder: object) -> None:
        order.append(f"folder, {(tmp_path / 'final').exists()}")

    monkeypatch.setattr("nightferry.disk.files.sync_file", file_synced)
    monkeypatch.setattr("nightferry.disk.files.sync_folder", folder_synced)
    write_new(tmp_path / "final", b"text")
    assert order == ["4 bytes, False", "folder, True"]


# -- parts -----------------------------------------------------------------------------------------------------


def test_parts_of_the_dead_are_swept_and_those_of_the_living_stay(tmp_path: Path) -> None:
    mine = part_name()
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    dead = mine.replace(f"-{os.getpid()}-", f"-{gone.stdout.strip()}-")
    for name in (mine, dead, "film.part", ".nightferry-x.part"):
        (tmp_path / name).write_bytes(b"half")
    sweep_folder(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {mine, "film.part", ".nightferry-x.part"}
    sweep_folder(tmp_path / "nowhere")


def test_a_process_is_asked_whether_it_runs() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        assert is_running(other.pid)
        other.communicate(b"\n")
    assert not is_running(other.pid)
    assert is_running(os.getpid())
    assert is_running(9_999_999_999)  # no number that a process can have: nobody can tell


def test_a_part_is_deleted_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half way"), part_beside(tmp_path / "final") as part:  # noqa: PT012 - the write is its cause
        part.write_bytes(b"half")
        raise ValueError("half way")
    assert list(tmp_path.iterdir()) == []


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ENOSPC", NoSpace),
        ("EDQUOT", NoSpace),
        ("EACCES", Misconfigured),
        ("EROFS", Misconfigured),
        ("EISDIR", Misconfigured),
        ("ENAMETOOLONG", Held),
        ("EFBIG", Held),
        ("ESTALE", Unreachable),
        ("ENOTCONN", Unreachable),
        ("EHOSTDOWN", Unreachable),
        ("EIO", TryAgain),
        ("EINTR", TryAgain),
    ],
)
def test_an_error_is_sorted_by_who_must_act(code: str, kind: type[NightferryError]) -> None:
    if hasattr(errno, code):
        number = getattr(errno, code)
        error = error_of(OSError(number, os.strerror(number)), "the archive /a")
        assert type(error) is kind
        assert str(error).startswith("the archive /a: ")


def test_a_size_that_our_own_disk_does_not_allow_is_no_fault_of_the_frame(tmp_path: Path) -> None:
    with pytest.raises(NoSpace, match=r"the shelf .*the disk is full"), translated(tmp_path, "the shelf"):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


class InUseError(OSError):
    """What Windows answers for a file that another program has open."""

    winerror = 32


def test_a_file_that_a_virus_scanner_has_open_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    tries = 0

    def call() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise InUseError(errno.EACCES, "in use")
        return "done"

    assert patiently(call, tmp_path) == "done"
    assert tries == 3


def test_a_file_that_stays_open_is_tried_again_later_and_not_a_matter_of_rights(tmp_path: Path) -> None:
    def call() -> None:
        raise InUseError(errno.EACCES, "in use")

    with pytest.raises(TryAgain, match="another program"):
        patiently(call, tmp_path, patience=0.0)
    with pytest.raises(PermissionError):
        patiently(failing(errno.EACCES), tmp_path)


def test_one_frame_that_another_program_has_open_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_replace = os.replace

    def replace(part: Path, final: Path) -> None:
        if final.name == "1":
            raise InUseError(errno.EACCES, "in use")
        true_replace(part, final)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("nightferry.disk.errors.patiently.__defaults__", (0.0,))
    answers = land(unlanded(tmp_path, 5))
    assert [type(answer) for answer in answers] == [type(None), TryAgain, type(None), type(None), type(None)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1.part", "2", "3", "4"]
