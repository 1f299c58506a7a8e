"""The main job: every observation of a Vespera into a library sorted by object, verified, none lost, none twice."""

import re
from pathlib import Path

from nightferry.testing.vespera import NightPlan
from tests.acceptance.conftest import DONE, HELD, Desk, Telescope, digests

OBSERVATION = "2026-09-11_21-10-37_observation_NGC7000"
FRAMES = f"{OBSERVATION}/01-images-initial"
#: Where each file of the night belongs, written out by hand: the promise that users read in the README.
LIBRARY = {
    f"{OBSERVATION}/img-0001-dark.fits": "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-0001-dark.fits",
    f"{OBSERVATION}/img-0002-dark.fits": "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-0002-dark.fits",
    f"{FRAMES}/img-0001.fits": "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-0001.fits",
    f"{FRAMES}/img-0002.fits": "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-0002.fits",
    f"{OBSERVATION}/NGC7000-0002.tiff": "NGC 7000/NGC 7000_2026-09-11_21-10-37_NGC7000-0002.tiff",
    f"{OBSERVATION}/02-images-stacked/img-0001.fits": (
        "NGC 7000/NGC 7000_2026-09-11_21-10-37_02-images-stacked_img-0001.fits"
    ),
    f"{OBSERVATION}/02-images-stacked/stack.fits": (
        "NGC 7000/NGC 7000_2026-09-11_21-10-37_02-images-stacked_stack.fits"
    ),
    f"{FRAMES}/IMG-9001.FITS": "NGC 7000/NGC 7000_2026-09-11_21-10-37_01-images-initial_IMG-9001.FITS",
    f"{FRAMES}/img-9002 second try.fits": (
        "NGC 7000/NGC 7000_2026-09-11_21-10-37_01-images-initial_img-9002 second try.fits"
    ),
    f'{FRAMES}/img-9003 the "best" of tonight\'s.fits': (
        "NGC 7000/NGC 7000_2026-09-11_21-10-37_01-images-initial_img-9003 the _best_ of tonight's~DIGEST.fits"
    ),
    f"{FRAMES}/img-9004-caf\udce9.fits": (
        "NGC 7000/NGC 7000_2026-09-11_21-10-37_01-images-initial_img-9004-caf_~DIGEST.fits"
    ),
    "2026-09-11_22-45-50-observation-NGC7023/img-0001-dark.fits": (
        "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0001-dark.fits"
    ),
    "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/img-0001.fits": (
        "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0001.fits"
    ),
    "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/img-0002r.fits": (
        "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0002r.fits"
    ),
    "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/"
    "TargetSet.NGC7023.10.00.LIGHT.3.2026-09-11_22-46-40.fits.fits": (
        "NGC 7023/NGC 7023_2026-09-11_22-45-50_01-images-initial_"
        "TargetSet.NGC7023.10.00.LIGHT.3.2026-09-11_22-46-40.fits.fits"
    ),
    "2026-09-11_22-45-50-observation-NGC7023/NGC7023-0002.tif": (
        "NGC 7023/NGC 7023_2026-09-11_22-45-50_NGC7023-0002.tif"
    ),
    "2026-09-12_00-21-03_plan_My_plan/01-observation-m31/img-0001-dark.fits": (
        "M 31/M 31_2026-09-12_00-21-03_01_img-0001-dark.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/01-observation-m31/01-images-initial/img-0001.fits": (
        "M 31/M 31_2026-09-12_00-21-03_01_img-0001.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/01-observation-m31/01-images-initial/img-0002.fits": (
        "M 31/M 31_2026-09-12_00-21-03_01_img-0002.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/01-observation-m31/M31-0002.tiff": (
        "M 31/M 31_2026-09-12_00-21-03_01_M31-0002.tiff"
    ),
    "2026-09-12_00-21-03_plan_My_plan/02-observation-m45/img-0001-dark.fits": (
        "M 45/M 45_2026-09-12_00-21-03_02_img-0001-dark.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/02-observation-m45/01-images-initial/img-0001.fits": (
        "M 45/M 45_2026-09-12_00-21-03_02_img-0001.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/02-observation-m45/01-images-initial/img-0002.fits": (
        "M 45/M 45_2026-09-12_00-21-03_02_img-0002.fits"
    ),
    "2026-09-12_00-21-03_plan_My_plan/02-observation-m45/M45-0002.tiff": (
        "M 45/M 45_2026-09-12_00-21-03_02_M45-0002.tiff"
    ),
    "2026-09-12_03-30-37_observation_NGC7000/img-0001-dark.fits": (
        "NGC 7000/NGC 7000_2026-09-12_03-30-37_img-0001-dark.fits"
    ),
    "2026-09-12_03-30-37_observation_NGC7000/01-images-initial/img-0001.fits": (
        "NGC 7000/NGC 7000_2026-09-12_03-30-37_img-0001.fits"
    ),
    "2026-09-12_03-30-37_observation_NGC7000/01-images-initial/img-0002.fits": (
        "NGC 7000/NGC 7000_2026-09-12_03-30-37_img-0002.fits"
    ),
    "2026-09-12_03-30-37_observation_NGC7000/NGC7000-0002.tiff": (
        "NGC 7000/NGC 7000_2026-09-12_03-30-37_NGC7000-0002.tiff"
    ),
}
SIDECARS, PREVIEWS, LINKS = 10, 5, 1


def expected_library(plan: NightPlan) -> dict[str, str]:
    """Tell the library's names and digests; a name that had to be changed carries a short digest of the original."""
    of_path = {file.path: file.digest for file in plan.files}
    return {name: of_path[path] for path, name in LIBRARY.items() if path in of_path}  # type: ignore[index]


def nameless(carried: dict[str, str]) -> dict[str, str]:
    """Put a placeholder where a name carries a short digest."""
    return {re.sub(r"~[0-9a-f]{8,10}(?=\.)", "~DIGEST", name): digest for name, digest in carried.items()}


def looks(folder: Path) -> dict[str, tuple[int, int]]:
    """Tell inode and time of change of every file, to see whether anybody touched it."""
    return {name: ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in digests(folder)}


def test_a_whole_night_arrives_in_a_library_sorted_by_object(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    answer = desk.nightferry("run", "vespera", "--night", "all", "--json")

    assert nameless(desk.carried()) == expected_library(vespera.plan)
    sheet = answer.sheet()
    assert sheet.night == "2026-09-11", "the hours after midnight belong to the evening before"
    assert sheet.delivered == len(expected_library(vespera.plan))
    assert sheet.held == 3
    assert sheet.ignored == SIDECARS + PREVIEWS + LINKS
    assert sheet.seen == len(vespera.plan.files) + LINKS
    assert sheet.failed == sheet.pending == 0
    assert answer.code == HELD
    assert "seconds" in answer.json()[0]
    assert desk.parts() == []


def test_damaged_files_are_held_with_their_reason_and_never_reach_the_library(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    desk.run()
    held = desk.held()
    assert set(held) == {f"{FRAMES}/img-9005.fits", f"{FRAMES}/img-9006.fits", f"{FRAMES}/img-9007.fits"}
    assert "empty" in held[f"{FRAMES}/img-9005.fits"]
    assert "truncated" in held[f"{FRAMES}/img-9006.fits"]
    assert "not FITS" in held[f"{FRAMES}/img-9007.fits"]
    assert not [name for name in desk.carried() if re.search("900[567]", name)]


def test_a_second_run_moves_nothing_and_touches_nothing(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    first = desk.run()
    before = looks(desk.library)
    second = desk.nightferry("run", "vespera", "--night", "all")
    assert looks(desk.library) == before
    assert "nothing pulled" in second.out
    assert second.code == first.code == HELD
    third = desk.run()
    assert third.sheet() == first.sheet()


def test_when_all_held_frames_are_dropped_the_night_is_done(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    before = desk.run().sheet()
    for path in desk.held():
        answer = desk.nightferry("release", path, "--drop", "--why", "clouds, nobody needs it", "--json")
        assert answer.code == DONE
        assert answer.json()[0]["standing"] == "ignored"
    assert desk.held() == {}
    after = desk.run()
    assert after.code == DONE
    assert after.sheet() == before._replace(held=0, ignored=before.ignored + 3)


def test_a_truncated_frame_that_a_person_releases_is_delivered_as_it_is(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    desk.run()
    path = f"{FRAMES}/img-9006.fits"
    assert desk.nightferry("release", path, "--why", "the upper half is good").code == DONE
    desk.run()
    (source,) = (file for file in vespera.plan.files if file.path == path)
    name = "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-9006.fits"
    assert desk.carried()[name] == source.digest
    assert path not in desk.held()


def test_previews_and_the_sidecars_of_frames_come_when_asked_for(desk: Desk, vespera: Telescope) -> None:
    stray = vespera.root / "2026-09-11_21-10-37_observation_NGC7000" / "session.json"
    stray.write_text("{}")
    desk.configure(vespera.url)
    sheet = desk.run("--take", "fits,tiff,previews,sidecars").sheet()
    carried = nameless(desk.carried())
    assert carried.items() >= expected_library(vespera.plan).items()
    assert "NGC 7000/NGC 7000_2026-09-11_21-10-37_NGC7000-0002.jpg" in carried
    assert "NGC 7000/NGC 7000_2026-09-11_21-10-37_img-0001.json" in carried
    assert "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0002.json" in carried, "the sidecar of img-0002r.fits"
    assert sheet.delivered == len(expected_library(vespera.plan)) + SIDECARS + PREVIEWS
    assert sheet.ignored == LINKS + 1
    (line,) = desk.nightferry("why", stray.name, "--json").json()
    assert line["reason"] == "a JSON file that belongs to no frame"


def test_only_the_kinds_that_are_asked_for_come(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url, telescope='take = ["tiff"]')
    desk.run()
    assert {Path(name).suffix for name in desk.carried()} == {".tif", ".tiff"}


def test_one_night_of_several_is_carried_alone(desk: Desk, vespera: Telescope) -> None:
    later = vespera.root / "2026-10-02_20-00-00_observation_M13" / "01-images-initial"
    later.mkdir(parents=True)
    frame = (vespera.root / f"{FRAMES}/img-0001.fits").read_bytes()
    (later / "img-0001.fits").write_bytes(frame)
    desk.configure(vespera.url)
    (sheet,) = desk.nightferry("run", "vespera", "--night", "20261002", "--json").sheets()
    assert (sheet.night, sheet.seen, sheet.delivered) == ("2026-10-02", 1, 1)
    assert list(desk.carried()) == ["M 13/M 13_2026-10-02_20-00-00_img-0001.fits"]
    assert desk.run().code == HELD
    assert len(desk.nightferry("nights", "vespera", "--json").sheets()) == 2


def test_latest_is_the_newest_observation_by_its_folders_date(desk: Desk, vespera: Telescope) -> None:
    later = vespera.root / "2026-10-02_20-00-00_observation_M13" / "01-images-initial"
    later.mkdir(parents=True)
    (later / "img-0001.fits").write_bytes((vespera.root / f"{FRAMES}/img-0001.fits").read_bytes())
    desk.configure(vespera.url)
    answer = desk.nightferry("run", "vespera", "--night", "latest", "--json")
    assert answer.code == DONE
    assert answer.sheet().night == "2026-10-02"
    assert list(desk.carried()) == ["M 13/M 13_2026-10-02_20-00-00_img-0001.fits"]


def test_a_dry_run_names_every_frame_and_changes_nothing(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    answer = desk.nightferry("run", "vespera", "--night", "all", "--dry-run")
    assert answer.code == DONE
    assert "31 frames would be carried" in answer.out
    assert f"{FRAMES}/img-0001.fits" in answer.out
    assert not desk.library.exists()
    assert desk.nightferry("nights", "--json").out == ""


def test_steps_can_be_stopped_after_each(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    pulled = desk.run("--until", "pull").sheet()
    assert (pulled.pending, pulled.held, pulled.delivered) == (31, 0, 0)
    verified = desk.run("--until", "verify").sheet()
    assert (verified.pending, verified.held, verified.delivered) == (28, 3, 0)
    assert desk.carried() == {}
    assert desk.run("--until", "deliver").sheet().delivered == 28
    assert nameless(desk.carried()) == expected_library(vespera.plan)
