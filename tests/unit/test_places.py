"""Two places are never taken for one, nor one for two."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nightferry import api
from nightferry.core.errors import Misconfigured, NotMounted
from nightferry.core.receipt import Outcome
from nightferry.folders import is_unused, make_new_folders, refuse_overlap
from nightferry.passes.audit import audit
from nightferry.passes.clear import clear
from nightferry.passes.route import Route
from tests.unit.conftest import Bench, Far, frame_bytes, light, name_of


def config_of(home: Path, source: Path, library: Path) -> api.Config:
    """Return a configuration of a telescope that is a folder, and a library."""
    return api.loads(
        f'[ledger]\nurl = "sqlite:///{home}/ledger.db"\n[shelf]\npath = "{home}/shelf"\n'
        f'[telescope.t]\npreset = "vespera"\nsource = "{source.as_uri()}"\narchives = ["library"]\n'
        f'[archive.library]\nurl = "file://{library}"\n'
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return the telescope's folder and another one."""
    for name in ("source", "library"):
        (tmp_path / name / "sub").mkdir(parents=True)
    return tmp_path / "source", tmp_path / "library"


def test_two_folders_beside_each_other_are_two_places(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    refuse_overlap(config_of(tmp_path, *folders), "t")
    refuse_overlap(config_of(tmp_path, folders[0], tmp_path / "not-there-yet"), "t")


@pytest.mark.parametrize("where", ["", "sub", "sub/deeper", "..", "sub/..", "../source"])
def test_an_archive_that_is_the_source_lies_in_it_or_contains_it_is_refused(
    tmp_path: Path, folders: tuple[Path, Path], where: str
) -> None:
    with pytest.raises(Misconfigured, match="are one place, or one lies in the other"):
        refuse_overlap(config_of(tmp_path, folders[0], folders[0] / where), "t")


@pytest.mark.parametrize("to", ["source", "source/sub", "."])
def test_a_link_to_the_source_is_the_source(tmp_path: Path, folders: tuple[Path, Path], to: str) -> None:
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path / to, target_is_directory=True)
    try:
        with pytest.raises(Misconfigured, match="one place"):
            refuse_overlap(config_of(tmp_path, folders[0], link), "t")
        with pytest.raises(Misconfigured, match="one place"):
            refuse_overlap(config_of(tmp_path, link, folders[0] / "sub"), "t")
    finally:
        link.unlink()


def test_a_folder_that_is_another_by_device_and_number_is_that_one(
    tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a bind mount is: no name tells, and the numbers do."""
    source, library = folders
    stat = Path.stat

    def bound(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        return stat(source if path == library else path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", bound)
    with pytest.raises(Misconfigured, match="one place"):
        refuse_overlap(config_of(tmp_path, source, library / "nights"), "t")


@pytest.mark.parametrize("command", ["run", "watch", "clear"])
def test_no_command_that_carries_or_deletes_starts_on_such_a_place(
    tmp_path: Path, folders: tuple[Path, Path], command: str
) -> None:
    config = config_of(tmp_path, folders[0], folders[0] / "sub")
    start: dict[str, Callable[[], object]] = {
        "run": lambda: api.run(config, ledger, "t", ["all"]),
        "watch": lambda: next(iter(api.watch(config, ledger, "t"))),
        "clear": lambda: api.clear(config, ledger, "t"),
    }
    with api.open_ledger(config) as ledger, pytest.raises(Misconfigured, match="one place"):
        start[command]()
    checks = [one for one in api.check(config) if one.what.startswith("telescope t")]
    assert [one.ok for one in checks] == [False]


def carried(bench: Bench, frames: int = 4) -> None:
    """Carry some frames into the library."""
    for number in range(1, frames + 1):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry()


def test_a_library_that_holds_nothing_of_what_it_was_given_gets_nothing_more(bench: Bench) -> None:
    """Emptied, another disk, a changed URL, a second configuration with its own library: all look like this."""
    carried(bench)
    bench.library.disk.files.clear()
    bench.telescope.plant(light(9), frame_bytes(9))
    done = bench.carry()
    assert isinstance(done.trouble, NotMounted)
    assert "none of 4 frames" in str(done.trouble)
    assert bench.library.content() == {}
    assert bench.bins()[light(9)] == "pending"
    assert bench.told(light(9))[0] == ("pull", "done")


def test_an_archive_that_is_away_is_told_also_where_nothing_is_to_be_delivered(bench: Bench) -> None:
    carried(bench)
    bench.library.disk.present = False
    bench.library.wire.lives = 0
    done = bench.carry()
    assert isinstance(done.trouble, NotMounted)
    assert "where frames were delivered before" in str(done.trouble)


def test_pulling_and_other_archives_go_on_meanwhile(bench: Bench) -> None:
    other = Far("memory:backup")
    archives = {"library": bench.library.store, "backup": other.store}
    for number in range(1, 5):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry(route=bench.route(archives=archives))
    bench.library.disk.files.clear()
    bench.telescope.plant(light(9), frame_bytes(9))
    bench.carry(route=bench.route(archives=archives))
    assert name_of(9) in other.content()
    assert bench.library.content() == {}


def test_frames_that_their_owner_culled_one_by_one_change_nothing(bench: Bench) -> None:
    carried(bench)
    for number in (1, 2, 3):
        del bench.library.disk.files[name_of(number)]
    bench.telescope.plant(light(9), frame_bytes(9))
    done = bench.carry()
    assert done.trouble is None
    assert name_of(9) in bench.library.content()


def test_once_it_is_back_the_waiting_frames_are_delivered(bench: Bench) -> None:
    carried(bench)
    away = dict(bench.library.disk.files)
    bench.library.disk.files.clear()
    bench.telescope.plant(light(9), frame_bytes(9))
    bench.carry()
    bench.library.disk.files.update(away)
    assert bench.carry().trouble is None
    assert set(bench.bins().values()) == {"delivered"}


def test_an_archive_that_took_a_delivery_is_never_made_anew(tmp_path: Path, bench: Bench) -> None:
    """Not even where another archive of the telescope was never reached, so that no frame counts as delivered."""
    other = Far("memory:b")
    other.wire.lives = 0
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry(route=bench.route(archives={"library": bench.library.store, "b": other.store}))
    assert ("deliver", "done") in bench.told(light(1))
    assert not is_unused(bench.ledger, "library")
    assert is_unused(bench.ledger, "b")
    (tmp_path / "source").mkdir()
    library = tmp_path / "gone"
    make_new_folders(config_of(tmp_path, tmp_path / "source", library), bench.ledger, "t")
    assert not library.exists()


def handing_over(bench: Bench, *, backup: Far | None = None) -> Route:
    """Return a route whose library is emptied by others, maybe with an archive beside it that keeps frames."""
    archives = {"library": bench.library.store} | ({"backup": backup.store} if backup else {})
    return bench.route(archives=archives, handover=["library"])


def test_a_hand_over_that_others_emptied_takes_the_next_frames(bench: Bench) -> None:
    for number in range(1, 5):
        bench.telescope.plant(light(number), frame_bytes(number))
    bench.carry(route=handing_over(bench))
    bench.library.disk.files.clear()
    bench.telescope.plant(light(9), frame_bytes(9))
    assert bench.carry(route=handing_over(bench)).trouble is None
    assert list(bench.library.content()) == [name_of(9)]
    assert set(bench.bins().values()) == {"delivered"}


def test_an_audit_finds_no_fault_with_what_was_taken_away_from_a_hand_over(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.plant(light(2), frame_bytes(2))
    bench.carry(route=handing_over(bench))
    del bench.library.disk.files[name_of(1)]
    found = list(audit(handing_over(bench), bench.ledger, stop=bench.stop))
    assert [(str(one.verdict), one.proof.name) for one in found] == [("good", name_of(2))]
    assert set(bench.bins().values()) == {"delivered"}


def test_a_hand_over_alone_clears_nothing(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry(route=handing_over(bench))
    bench.clear_after = 0.0
    with pytest.raises(Misconfigured, match="keeps them nowhere"):
        clear(handing_over(bench), bench.ledger, None, onlooker=bench.witness)
    assert light(1) in bench.telescope.content()


def test_an_archive_that_keeps_lets_a_frame_be_cleared_that_was_handed_over_and_taken_away(bench: Bench) -> None:
    backup = Far("memory:backup")
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry(route=handing_over(bench, backup=backup))
    bench.library.disk.files.clear()
    bench.clear_after = 0.0
    (answer,) = clear(handing_over(bench, backup=backup), bench.ledger, None, onlooker=bench.witness)
    assert answer.outcome is Outcome.DONE
    assert bench.telescope.content() == {}
    assert bench.library.content() == {}, "no probe is put where others take files away"
