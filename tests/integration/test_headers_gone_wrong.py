"""How the scripts of today spoil headers, or lose frames over them: each was observed, and each is a test here."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from astropy.io import fits
from astropy.wcs import WCS

from nightferry import api
from nightferry.config import loads
from nightferry.core.context import Context, Site
from nightferry.core.errors import Held
from nightferry.headers.profiles import load_profile
from nightferry.steps.standardise_files import Settings, Standardised, standardise_file
from nightferry.steps.validate import validate_file
from tests.astra import astra_frame
from tests.astra_night import build_astra_night

if TYPE_CHECKING:
    from nightferry.core.balance import Balance

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context(
    "callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "ESO-PARANAL", "Astra", "SPECULOOS", "60.A-9009(D)", SITE
)
SETTINGS = Settings(CONTEXT)
MAXIM = {"ASTRA": None, "SWCREATE": "MaxIm DL Version 6.20", "TELESCOP": "ACP->Callisto", "SBSTDVER": "SBFITSEXT 1.0"}
_LONG_AGO = 1_771_900_000


def made(folder: Path, **options: object) -> Standardised:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    raw = folder / str(options.pop("name", "raw.fits"))
    raw.write_bytes(astra_frame(**options))  # type: ignore[arg-type] # the options of astra_frame
    return standardise_file(raw, out, SETTINGS)


def header_of(folder: Path, **options: object) -> fits.Header:
    return fits.getheader(made(folder, **options).file)


def carry(home: Path, sections: str = "", telescopes: tuple[str, ...] = ("callisto",)) -> dict[str, Balance]:
    """Carry what lies in ``home/TELESCOPE`` to one archive that all telescopes share."""
    (home / "eso").mkdir(exist_ok=True)
    text = "".join(
        f"""
        [telescope.{name}]
        preset = "speculoos-{name}"
        route = ["verify", "standardise", "validate"]
        source = "{(home / name).as_uri()}"
        settle = "0 s"
        program = "60.A-9009(D)"
        archives = ["eso"]
        header = {{ fitsverify = false }}
        """
        for name in telescopes
    )
    config = loads(f"""
        [ledger]
        url = "sqlite:///{(home / "ledger.db").as_posix()}"
        [shelf]
        path = '{(home / "shelf").as_posix()}'
        floor = "1 MB"
        [crew]
        kind = "threads"
        {text}
        [archive.eso]
        url = "{(home / "eso").as_uri()}"
        {sections}
    """)
    balances = {}
    with api.open_ledger(config) as ledger:
        for name in telescopes:
            (balances[name],) = api.run(config, ledger, name, ["all"]).balances
    return balances


def delivered(home: Path) -> list[Path]:
    return sorted(path for path in (home / "eso").rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", ["truncated", "empty", "no-imagetyp", "no-dateobs"])
def test_one_bad_frame_never_costs_the_good_frames_beside_it(tmp_path: Path, fault: str) -> None:
    build_astra_night(tmp_path / "callisto", faults=[fault], kinds=["light"] * 28)
    balance = carry(tmp_path)["callisto"]
    assert (balance.delivered, balance.held) == (27, 1)
    assert len(delivered(tmp_path)) == 27


def test_two_frames_of_the_same_millisecond_are_two_files(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "callisto", faults=["same-ms"] * 3, kinds=["light"] * 5)
    assert carry(tmp_path)["callisto"].delivered == 5
    assert len(delivered(tmp_path)) == 5


def test_biases_of_a_camera_that_stamps_whole_seconds_are_all_delivered(tmp_path: Path) -> None:
    folder = tmp_path / "callisto/20260222"
    folder.mkdir(parents=True)
    for number in range(6):
        raw = astra_frame("bias", number=number, changed={"DATE-OBS": "2026-02-23T01:02:03"})
        path = folder / f"bias_{number}.fits"
        path.write_bytes(raw)
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    assert carry(tmp_path)["callisto"].delivered == 6
    assert {fits.getheader(path)["RAWFILE"] for path in delivered(tmp_path)} == {f"bias_{n}.fits" for n in range(6)}


@pytest.mark.parametrize("band", ["g'", "r'", "i'", "z'", "u", "I+z"])
def test_unsolved_frames_of_any_filter_keep_names_of_their_own(tmp_path: Path, band: str) -> None:
    folder = tmp_path / "callisto/20260222"
    folder.mkdir(parents=True)
    for number in range(12):
        path = folder / f"img_{number:04d}.fits"
        path.write_bytes(astra_frame(number=number, changed={"FILTER": band}, solved=False))
        os.utime(path, (_LONG_AGO, _LONG_AGO))
    assert carry(tmp_path)["callisto"].delivered == 12
    assert len(delivered(tmp_path)) == 12


def test_a_standard_frame_is_standardised_again_without_loss(tmp_path: Path) -> None:
    first = made(tmp_path)
    (tmp_path / "again").mkdir()
    again = standardise_file(first.file, tmp_path / "again", replace(SETTINGS, dialect="astra"))
    assert again.datasums == first.datasums
    assert [f for f in validate_file(again.file, load_profile("eso"), CONTEXT) if f.severity == "error"] == []


def test_a_folder_of_standard_frames_is_carried_or_held_and_never_passed_over(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "callisto", kinds=["light"] * 4)
    carry(tmp_path)
    products = tmp_path / "more/callisto/20260223"
    products.mkdir(parents=True)
    for path in delivered(tmp_path):
        (products / path.name).write_bytes(path.read_bytes())
    balance = carry(tmp_path / "more")["callisto"]
    assert (balance.seen, balance.delivered + balance.held) == (4, 4)


@pytest.mark.parametrize("suffix", [".fts", ".fit", ".FITS", ".fits"])
def test_frames_of_any_usual_suffix_are_found(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "callisto/20260222"
    folder.mkdir(parents=True)
    (folder / f"frame{suffix}").write_bytes(astra_frame())
    assert carry(tmp_path)["callisto"].delivered == 1


def test_a_night_folder_that_is_a_link_is_told_and_never_properly_empty(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "elsewhere", kinds=["light"])
    (tmp_path / "callisto").mkdir()
    (tmp_path / "callisto/20260222").symlink_to(tmp_path / "elsewhere/20260222", target_is_directory=True)
    balance = carry(tmp_path)["callisto"]
    assert (balance.seen, balance.ignored) == (1, 1)


@pytest.mark.parametrize("name", ["C/2023 A3", "Sp2306-0502 'b'", "a/../b"])
def test_an_object_with_a_slash_in_its_name_costs_nothing(tmp_path: Path, name: str) -> None:
    build_astra_night(tmp_path / "callisto", kinds=["light"] * 2)
    path = tmp_path / "callisto/20260222/comet.fits"
    path.write_bytes(astra_frame(number=7, changed={"OBJECT": name}))
    os.utime(path, (_LONG_AGO, _LONG_AGO))
    assert carry(tmp_path)["callisto"].delivered == 3
    assert name in {fits.getheader(one)["OBJECT"] for one in delivered(tmp_path)}


def test_an_airmass_of_n_a_costs_nothing(tmp_path: Path) -> None:
    assert "AIRMASS" not in header_of(tmp_path, changed={"AIRMASS": "N/A"})


def test_the_pixel_scale_stays_when_cdelt_goes(tmp_path: Path) -> None:
    header = header_of(tmp_path)
    assert not {"CDELT1", "PC1_1"} & set(header)
    scale = math.sqrt(abs(header["CD1_1"] * header["CD2_2"] - header["CD1_2"] * header["CD2_1"])) * 3600
    assert scale == pytest.approx(0.35, rel=1e-9)


def test_sidereal_time_is_in_seconds(tmp_path: Path) -> None:
    assert header_of(tmp_path)["LST"] == pytest.approx(23575.6 - 39.107, abs=0.2)


def test_sexagesimal_right_ascension_is_hours(tmp_path: Path) -> None:
    header = header_of(tmp_path, changed={**MAXIM, "RA": "08 05 14.96", "DEC": "-05 02 29.0"}, solved=False)
    assert header["RA"] == pytest.approx((8 + 5 / 60 + 14.96 / 3600) * 15)
    assert header["DEC"] == pytest.approx(-(5 + 2 / 60 + 29 / 3600))


def test_date_is_when_the_file_was_written_and_not_the_end_of_the_exposure(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    header = header_of(tmp_path)
    told = datetime.fromisoformat(header["DATE"]).replace(tzinfo=UTC)
    assert abs((told - before).total_seconds()) < 60
    assert header["DATE-END"] == "2026-02-23T01:02:13.456"


@pytest.mark.filterwarnings("ignore:'datfix'")  # of the raw frame, which has no MJD-OBS
def test_the_position_angle_is_that_of_the_raw_frame(tmp_path: Path) -> None:
    angle = math.radians(30)
    turned = {
        "PC1_1": math.cos(angle), "PC1_2": -math.sin(angle), "PC2_1": math.sin(angle), "PC2_2": math.cos(angle),
    }  # fmt: skip
    done = made(tmp_path, changed=turned | {"RADECSYS": None, "EPOCH": None, "RADESYS": "FK5"})
    raw = WCS(fits.getheader(tmp_path / "raw.fits")).pixel_scale_matrix
    product = WCS(fits.getheader(done.file)).pixel_scale_matrix
    assert math.atan2(product[1][0], product[1][1]) == pytest.approx(math.atan2(raw[1][0], raw[1][1]))


def test_no_stale_checksum_is_left(tmp_path: Path) -> None:
    done = made(tmp_path, changed={"CHECKSUM": "0000000000000000", "DATASUM": "1"})
    with fits.open(done.file, checksum=True) as product:  # a wrong sum is a warning, and so an error
        assert product[0].header["DATASUM"] == str(done.datasums[0])


def test_the_start_in_days_is_exact_to_a_millisecond(tmp_path: Path) -> None:
    header = header_of(tmp_path)
    seconds = (header["MJD-OBS"] % 1) * 86400
    assert seconds == pytest.approx(3723.456789, abs=1e-3)


SPELLINGS = {
    "Light Frame": "SCIENCE", "Light frame": "SCIENCE", "LIGHT": "SCIENCE", "light": "SCIENCE", "object": "SCIENCE",
    "Bias Frame": "CALIB", "BIAS": "CALIB", "Zero": "CALIB", "Dark Frame": "CALIB", "DARK": "CALIB",
    "Flat Frame": "CALIB", "Flat Field": "CALIB", "FLAT": "CALIB", "Sky Flat": "CALIB", "DARKFLAT": "CALIB",
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_an_image_type_gets_its_dpr_keywords(tmp_path: Path, spelling: str) -> None:
    header = header_of(tmp_path, changed={"IMAGETYP": spelling})
    assert header["HIERARCH ESO DPR CATG"] == SPELLINGS[spelling]


def test_a_mistyped_telescope_never_passes(tmp_path: Path) -> None:
    done = made(tmp_path)
    wrong = replace(CONTEXT, telescop="SPECULOOS-CALISTO")
    assert "V17" in {finding.rule for finding in validate_file(done.file, load_profile("eso"), wrong)}


def test_a_missing_frame_type_is_held_and_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(Held, match="IMAGETYP"):
        made(tmp_path, changed={"IMAGETYP": "Portrait"})


def test_two_telescopes_that_share_an_archive_are_counted_each_for_itself(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "callisto", kinds=["light"] * 3)
    build_astra_night(tmp_path / "io", kinds=["light"] * 5)
    balances = carry(tmp_path, telescopes=("callisto", "io"))
    assert {name: balance.delivered for name, balance in balances.items()} == {"callisto": 3, "io": 5}
    assert len(delivered(tmp_path)) == 8


def test_a_frame_whose_pixels_changed_on_the_way_is_never_delivered(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "callisto", faults=["sum-wrong"], kinds=["light"] * 2)
    balance = carry(tmp_path)["callisto"]
    assert (balance.delivered, balance.held) == (1, 1)


def test_a_full_archive_is_told_and_nothing_counts_as_delivered(tmp_path: Path) -> None:
    build_astra_night(tmp_path / "callisto", kinds=["light"] * 3)
    (tmp_path / "eso").mkdir()
    (tmp_path / "eso/2026-02-22").write_text("a file in the folder's place")
    balance = carry(tmp_path)["callisto"]
    assert balance.delivered == 0
    assert balance.held + balance.failed == 3
