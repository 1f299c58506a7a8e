from datetime import UTC, date, datetime

import pytest

from nightferry.config import load_preset
from nightferry.core.frame import Place, Role
from nightferry.core.layout import Layout, sidecar_owner, suffix_of
from nightferry.core.store import StorePath

VESPERA = load_preset("vespera").as_layout(None, None)
#: An evening by this machine's own zone, whichever it is: there is no site here.
SEEN_US = int(datetime(2026, 9, 22, 18).astimezone().timestamp() * 1e6)


def place(path: str, layout: Layout = VESPERA) -> Place:
    return layout.place(StorePath(path), None, SEEN_US)


@pytest.mark.parametrize(
    ("path", "evening", "object_", "stem", "suffix"),
    [
        (
            "2026-09-12_01-40-22_observation_NGC7023/01-images-initial/img-0001.fits",
            date(2026, 9, 11), "NGC 7023", "01-40-22_img-0001", ".fits",
        ),
        (
            "2026-09-12_21-40-22-observation-m31/01-images-initial/img-0148r.tiff",
            date(2026, 9, 12), "M 31", "21-40-22_img-0148r", ".tiff",
        ),
        (
            "2026-09-12_01-40-22_observation_NGC7023/img-0001-dark.fits",
            date(2026, 9, 11), "NGC 7023", "01-40-22_img-0001-dark", ".fits",
        ),
        (
            "2026-09-21_21-43-55_plan_My_plan/01-observation-m16/01-images-initial/img-0001.fits",
            date(2026, 9, 21), "M 16", "21-43-55_01_img-0001", ".fits",
        ),
        (
            "2026-09-21_21-43-55_plan_My_plan/03-observation-m16/01-images-initial/img-0001.fits",
            date(2026, 9, 21), "M 16", "21-43-55_03_img-0001", ".fits",
        ),
        (
            "2026-02-22-21-00-00_observation-M42/02-images-stacked/stack.fits",
            date(2026, 2, 22), "M 42", "21-00-00_02-images-stacked_stack", ".fits",
        ),
        (
            "2026-09-12_01-40-22_observation_C2025R3/01-images-initial/TargetSet.8.00.LIGHT.329.fits.fits",
            date(2026, 9, 11), "C/2025 R3", "01-40-22_01-images-initial_TargetSet.8.00.LIGHT.329", ".fits.fits",
        ),
        (
            "Stellina-38a323/281/2021-04-21_04-23-30-observation-IC443/04-24-43-capture-initial/img-0001.fits",
            date(2021, 4, 20), "IC 443", "04-23-30_04-24-43-capture-initial_img-0001", ".fits",
        ),
        (
            "2026-09-21_21-43-55_plan_My_plan/notes/summary.tif",
            date(2026, 9, 21), "My plan", "21-43-55_notes_summary", ".tif",
        ),
        ("loose/frame.fit", date(2026, 9, 22), "unsorted", "loose_frame", ".fit"),
    ],
)  # fmt: skip
def test_vespera_paths_tell_night_object_and_name(
    path: str, evening: date, object_: str, stem: str, suffix: str
) -> None:
    told = place(path)
    assert (told.evening, told.fields["object"], told.fields["stem"], told.fields["suffix"], told.ignored) == (
        evening, object_, stem, suffix, "",
    )  # fmt: skip


def test_equal_names_of_one_session_stay_apart() -> None:
    session = "2026-02-22_21-00-00_observation_M42"
    paths = [
        f"{session}/{folder}{name}"
        for folder in ("", "01-images-initial/", "02-images-stacked/", "02-images-stacked/old/")
        for name in ("img-0001.fits", "img-0001r.fits", "img-0001-dark.fits", "img-0002-dark.fits", "stack.fits")
    ]
    stems = {place(path).fields["stem"] for path in paths}
    assert len(stems) == len(paths)


def test_sessions_of_one_object_and_date_stay_apart() -> None:
    first = place("2026-09-12_21-00-00_observation_M31/01-images-initial/img-0001.fits")
    second = place("2026-09-12_23-30-00_observation_M31/01-images-initial/img-0001.fits")
    assert first.fields["object"] == second.fields["object"]
    assert first.fields["stem"] != second.fields["stem"]


def test_only_what_is_wanted_is_taken() -> None:
    session = "2026-09-12_01-40-22_observation_NGC7023"
    assert place(f"{session}/img-0001.jpg").ignored == "previews are not taken (setting 'take')"
    assert place(f"{session}/img-0001.json").ignored == "sidecars are not taken (setting 'take')"
    assert "unknown kind" in place(f"{session}/video.mp4").ignored
    assert "AppleDouble" in place(f"{session}/01-images-initial/._img-0001.fits").ignored
    everything = load_preset("vespera").as_layout(["fits", "tiff", "previews", "sidecars"], None)
    assert place(f"{session}/img-0001.jpg", everything).role is Role.PREVIEW
    assert place(f"{session}/img-0001.json", everything).role is Role.SIDECAR
    assert place(f"{session}/img-0001.jpg", everything).ignored == ""


@pytest.mark.parametrize("suffix", ["fits", "FITS", "fit", "fts", "FTS", "tif", "tiff", "TIFF", "fits.gz", "fits.fz"])
def test_all_spellings_of_frames_are_taken(suffix: str) -> None:
    assert place(f"2026-09-12_01-40-22_observation_M31/01-images-initial/img-0001.{suffix}").ignored == ""


def test_an_impossible_date_in_a_folder_is_no_date() -> None:
    told = place("2026-02-31_25-00-00_observation_M31/01-images-initial/img-0001.fits")
    assert told.evening == date(2026, 9, 22)
    assert told.fields["object"] == "M 31"


def test_whole_folders_tell_their_night() -> None:
    assert VESPERA.evening_of_folder(StorePath("2026-09-12_01-40-22_observation_M31")) == date(2026, 9, 11)
    nested = StorePath("Stellina-38a323/281/2021-04-21_04-23-30-observation-IC443/04-24-43-capture-initial")
    assert VESPERA.evening_of_folder(nested) == date(2021, 4, 20)
    assert VESPERA.evening_of_folder(StorePath("other")) is None


def test_a_time_of_change_decides_where_no_folder_tells_the_night() -> None:
    layout = load_preset("generic").as_layout(None, -70.3903)
    changed = int(datetime(2026, 9, 13, 3, 30, tzinfo=UTC).timestamp() * 1e6)
    assert layout.place(StorePath("a/b.fits"), changed, SEEN_US).evening == date(2026, 9, 12)


def test_a_sidecar_belongs_to_frames_of_its_stem() -> None:
    assert "a/img-0001" in sidecar_owner(StorePath("a/img-0001.json"))
    assert "a/img-0001" in sidecar_owner(StorePath("a/img-0001-stacking.json"))
    assert "a/img-0001r" in sidecar_owner(StorePath("a/img-0001.json"))
    assert "a/img-0002" not in sidecar_owner(StorePath("a/img-0001.json"))


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.fits", ".fits"), ("a.fits.fits", ".fits.fits"), (".fits", ""), ("a", ""), ("a.b", "")]
)
def test_suffixes_are_told_whole(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
