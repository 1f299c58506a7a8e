"""Standardising: what becomes of raw frames, good ones and bad ones."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from nightferry.core.context import Context, Site
from nightferry.core.errors import Held, Misconfigured, Occupied
from nightferry.core.frame import Frame, FrameId, Role
from nightferry.core.instant import parse_instant
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome
from nightferry.core.store import StorePath
from nightferry.headers.profiles import load_profile, profile_names
from nightferry.steps.rebuild import digest_of, restore_raw
from nightferry.steps.shelf import Shelf
from nightferry.steps.standardise import Standardise
from nightferry.steps.standardise_files import (
    Settings,
    Standardised,
    draft_file,
    standardise_file,
    start_of,
)  # fmt: skip
from nightferry.steps.validate import Validate, validate_file
from tests.astra import START, astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context("callisto", "SPECULOOS-CALLISTO", "SPECU4", "SSO-PARANAL", "Astra", "Sebastian", "60.A-9009(D)", SITE)
SETTINGS = Settings(CONTEXT)
LIBRARY = Settings(Context(), profile="library")
NIGHT = Night("callisto", date(2026, 2, 22))
Changed = Mapping[str, bool | float | str | None]


def raw_file(folder: Path, name: str = "raw.fits", **options: object) -> Path:
    path = folder / name
    path.write_bytes(astra_frame(**options))  # type: ignore[arg-type]
    return path


def made(folder: Path, settings: Settings = SETTINGS, **options: object) -> Standardised:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return standardise_file(raw_file(folder, "raw.fits", **options), out, settings)


def refused(folder: Path, changed: Changed, settings: Settings = SETTINGS) -> str:
    with pytest.raises(Held) as told:
        made(folder, settings, changed=changed)
    assert list((folder / "out").iterdir()) == []
    return str(told.value)


def test_pixels_are_those_of_the_raw_frame(tmp_path: Path) -> None:
    done = made(tmp_path)
    with fits.open(tmp_path / "raw.fits") as raw, fits.open(done.file, checksum=True) as product:
        assert np.array_equal(raw[0].data, product[0].data)
    size = 64 * 48 * 2
    assert (tmp_path / "raw.fits").read_bytes()[-size:][:100] in done.file.read_bytes()


@pytest.mark.filterwarnings("ignore:'datfix'")  # of the raw frame, which has no MJD-OBS
def test_the_solution_points_where_the_raw_frame_did(tmp_path: Path) -> None:
    turned = {"PC1_1": 0.99, "PC1_2": -0.141, "PC2_1": 0.141, "PC2_2": 0.99}
    done = made(tmp_path, changed=turned | {"RADECSYS": None})
    raw, product = WCS(fits.getheader(tmp_path / "raw.fits")), WCS(fits.getheader(done.file))
    for x, y in ((0, 0), (63, 47), (30, 10)):
        assert raw.pixel_to_world(x, y).separation(product.pixel_to_world(x, y)).mas < 1e-3


def test_every_value_is_that_of_astropy(tmp_path: Path) -> None:
    header = fits.getheader(made(tmp_path).file)
    start = Time("2026-02-23T01:02:03.456789", scale="utc")
    assert header["DATE-OBS"] == "2026-02-23T01:02:03.456"
    assert header["MJD-OBS"] == pytest.approx(float(start.mjd), abs=6e-9)
    assert header["UTC"] == 3723.457
    lst = start.sidereal_time("apparent", longitude=SITE.longitude * u.deg).hour * 3600
    assert header["LST"] == pytest.approx(float(lst), abs=2e-3)
    assert header["DATE-END"] == "2026-02-23T01:02:13.456"
    assert header["MJD-END"] == pytest.approx(float((start + 10 * u.s).mjd), abs=6e-9)
    assert (header["RA"], header["DEC"], header["RADESYS"], header["EQUINOX"]) == (
        346.6223641,
        -5.0413927,
        "FK5",
        2000.0,
    )
    assert header["HIERARCH ESO OBS PROG ID"] == "60.A-9009(D)"
    assert (header["ORIGIN"], header["PI-COI"], header["BUNIT"]) == ("SSO-PARANAL", "Sebastian", "adu")
    written = Time(header["DATE"], scale="utc")
    assert abs((written - Time.now()).sec) < 100
    assert "dialect astra, profile eso" in str(header["HISTORY"])


@pytest.mark.parametrize(
    ("kind", "triple", "name"),
    [
        ("light", ("SCIENCE", "OBJECT", "IMAGE"), "Sp2306-0502"),
        ("bias", ("CALIB", "BIAS", "IMAGE"), "BIAS"),
        ("dark", ("CALIB", "DARK", "IMAGE"), "DARK"),
        ("flat", ("CALIB", "FLAT", "IMAGE"), "FLAT"),
    ],
)
def test_each_type_of_frame_has_its_triple(tmp_path: Path, kind: str, triple: tuple[str, ...], name: str) -> None:
    header = fits.getheader(made(tmp_path, kind=kind).file)
    assert tuple(header[f"HIERARCH ESO DPR {part}"] for part in ("CATG", "TYPE", "TECH")) == triple
    assert header["OBJECT"] == name
    assert ("RA" in header) == (kind == "light")


def test_what_the_archive_does_not_take_is_gone(tmp_path: Path) -> None:
    header = fits.getheader(made(tmp_path).file)
    gone = {"RADECSYS", "EPOCH", "ST", "SWOWNER", "PLTSOLVD", "PC1_1", "CDELT1"}
    assert not gone & set(header)
    assert list(header).index("WCSAXES") < min(list(header).index(key) for key in ("RADESYS", "CTYPE1", "CD1_1"))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"IMAGETYP": None}, "V03 IMAGETYP"),
        ({"IMAGETYP": "Pretzel"}, "V15 IMAGETYP: Pretzel"),
        ({"DATE-OBS": None}, "V03 DATE-OBS"),
        ({"DATE-OBS": "23/02/26"}, "V05 DATE-OBS: '23/02/26'"),
        ({"DATE-OBS": "2026-02-23T01:02:60"}, "V05 DATE-OBS"),
        ({"EXPTIME": None}, "V03 EXPTIME"),
        ({"EXPTIME": "ten"}, "V03 EXPTIME"),
        ({"RA": None}, "V03 RA"),
        ({"OBJECT": "N/A"}, "V03 OBJECT"),
        ({"ASTRA": None, "TELESCOP": "Homemade"}, "no dialect that we know"),
    ],
)
def test_a_frame_without_what_it_needs_is_held_with_the_reason(tmp_path: Path, changed: Changed, reason: str) -> None:
    assert reason in refused(tmp_path, changed)


def test_a_missing_filter_holds_nothing(tmp_path: Path) -> None:
    assert "FILTER" not in fits.getheader(made(tmp_path, changed={"FILTER": None}).file)


@pytest.mark.parametrize("field", ["telescop", "instrume", "origin", "pi", "program"])
def test_what_the_configuration_must_say_and_does_not_holds_the_frame(tmp_path: Path, field: str) -> None:
    settings = Settings(replace(CONTEXT, **{field: ""}))  # type: ignore[arg-type] # mypy cannot tell which field
    assert "V03" in refused(tmp_path, {}, settings)


def test_one_bad_frame_never_costs_another(tmp_path: Path) -> None:
    files = [raw_file(tmp_path, f"{number}.fits", number=number) for number in range(4)]
    files[1].write_bytes(files[1].read_bytes()[:-3000])
    files[2].write_bytes(b"")
    frames = [frame_of(path) for path in files]
    results = list(Standardise(Shelf(tmp_path / "shelf"), SETTINGS)(frames))
    assert [result.outcome for result in results] == [Outcome.DONE, Outcome.HELD, Outcome.HELD, Outcome.DONE]
    assert "truncated by" in results[1].reason
    assert "starts with nothing" in results[2].reason


def frame_of(path: Path, name: str = "") -> Frame:
    size = path.stat().st_size
    place = StorePath(f"20260222/{name or path.name}")
    return Frame(FrameId(path.stem.ljust(32, "0")), digest_of(path), size, NIGHT, place, Role.RAW, path)


def test_a_product_names_its_parent_and_its_way_back(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    (result,) = Standardise(Shelf(tmp_path / "shelf"), SETTINGS)([frame_of(raw)])
    product = result.product
    assert product is not None
    assert (product.role, product.parents) == (Role.STANDARD, (frame_of(raw).id,))
    assert product.name == "20260222/SPECU4.2026-02-23T01_02_03.456.fits"
    assert product.digest == digest_of(product.file)
    restore_raw(product.file, str(result.proof["recipe"]), tmp_path / "again.fits", digest=frame_of(raw).digest)
    assert (tmp_path / "again.fits").read_bytes() == raw.read_bytes()
    assert ["RADECSYS", "'FK5'", None] in json.loads(str(result.proof["changes"]))
    (judged,) = Validate(load_profile("eso"), CONTEXT)([product])
    assert (judged.outcome, judged.product) == (Outcome.DONE, product)


def test_a_product_with_an_error_is_held_by_validate(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    (result,) = Standardise(Shelf(tmp_path / "shelf"), SETTINGS)([frame_of(raw)])
    assert result.product is not None
    (judged,) = Validate(load_profile("eso"), replace(CONTEXT, telescop="SPECULOOS-IO"), gate=False)([result.product])
    assert judged.outcome is Outcome.HELD
    assert "V17 TELESCOP: SPECULOOS-CALLISTO; expected SPECULOOS-IO" in judged.reason


def test_settings_change_the_version_of_the_step(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    versions = {
        Standardise(shelf, settings).version
        for settings in (SETTINGS, LIBRARY, Settings(replace(CONTEXT, program="108.22L8.001")))
    }
    assert len(versions) == 3
    assert (
        Standardise(shelf, Settings(replace(CONTEXT, written=parse_instant("2026-01-01T00:00:00")[0]))).version
        in versions
    )


# names --------------------------------------------------------------------------------------------------------


def night_of(folder: Path, starts: Sequence[datetime], kind: str = "bias") -> list[Path]:
    return [
        raw_file(
            folder, f"{kind}-{number}.fits", kind=kind, start=start - timedelta(seconds=13 * number), number=number
        )
        for number, start in enumerate(starts)
    ]


def standardised(folder: Path, files: Sequence[Path]) -> dict[str, str]:
    folder.mkdir(exist_ok=True)
    ordered = sorted(files, key=lambda file: start_of(file, SETTINGS))
    return {file.name: standardise_file(file, folder, SETTINGS).name for file in ordered}


def test_frames_of_one_second_get_names_of_their_own_and_always_the_same(tmp_path: Path) -> None:
    files = night_of(tmp_path, [datetime(2026, 2, 23, 1, 2, 3, tzinfo=UTC)] * 4)
    first = standardised(tmp_path / "one", files)
    assert sorted(first.values()) == [f"SPECU4.2026-02-23T01_02_03.00{number}.fits" for number in range(4)]
    assert standardised(tmp_path / "two", files[::-1]) == first
    for product in (tmp_path / "one").iterdir():
        assert [f for f in validate_file(product, load_profile("eso"), CONTEXT) if f.severity == "error"] == []
    dates = {fits.getheader(product)["DATE-OBS"] for product in (tmp_path / "one").iterdir()}
    assert dates == {"2026-02-23T01:02:03.000"}


def test_frames_of_one_millisecond_are_both_delivered(tmp_path: Path) -> None:
    files = night_of(tmp_path, [START.replace(microsecond=456300), START.replace(microsecond=456700)], "light")
    names = standardised(tmp_path / "out", files)
    assert sorted(names.values()) == ["SPECU4.2026-02-23T01_02_03.456.fits", "SPECU4.2026-02-23T01_02_03.457.fits"]


def test_doing_it_again_finds_what_is_there(tmp_path: Path) -> None:
    files = night_of(tmp_path, [START] * 3)
    names = standardised(tmp_path / "out", files)
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert standardised(tmp_path / "out", files) == names
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_its_own_output_is_not_taken_for_a_raw_frame_of_another_telescope(tmp_path: Path) -> None:
    done = made(tmp_path)
    again = tmp_path / "again"
    again.mkdir()
    second = standardise_file(done.file, again, SETTINGS)
    assert second.name == done.name
    assert validate_file(second.file, load_profile("eso"), CONTEXT, sources=done.datasums) == []


def test_a_leftover_of_a_killed_run_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/SPECU4.2026-02-23T01_02_03.456.fits.1.part").write_bytes(b"half")
    assert made(tmp_path).name == "SPECU4.2026-02-23T01_02_03.456.fits"


def test_digits_of_the_start_are_cut_and_never_rounded(tmp_path: Path) -> None:
    done = made(tmp_path, start=datetime(2026, 2, 22, 23, 59, 59, 999999, tzinfo=UTC))
    assert done.name == "SPECU4.2026-02-22T23_59_59.999.fits"


def test_a_frame_of_a_leap_second_is_delivered(tmp_path: Path) -> None:
    done = made(tmp_path, changed={"DATE-OBS": "2016-12-31T23:59:60.250"})
    header = fits.getheader(done.file)
    assert (done.name, header["UTC"]) == ("SPECU4.2016-12-31T23_59_60.250.fits", 86400.25)
    assert header["DATE-END"] == "2017-01-01T00:00:09.250"
    assert {f.rule for f in validate_file(done.file, load_profile("eso"), CONTEXT, gate=False)} == set()


# odd files ----------------------------------------------------------------------------------------------------


def test_ten_thousand_cards_are_carried(tmp_path: Path) -> None:
    done = made(tmp_path, changed={f"K{number:05d}": number for number in range(10_000)})
    header = fits.getheader(done.file)
    assert header["K09999"] == 9999
    assert validate_file(done.file, load_profile("eso"), CONTEXT) == []


def test_cards_that_break_the_standard_are_dropped_and_told(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    nan = b"SKYTEMP =                  NaN / broken sensor".ljust(80)
    low = b"filter  = 'I+z     '".ljust(80)
    owner = b"SWOWNER = 'Observatory'        / Licensed owner of software".ljust(80)
    ybin = b"YBINNING=                    1".ljust(80)
    raw.write_bytes(raw.read_bytes().replace(owner, nan).replace(ybin, low))
    (tmp_path / "out").mkdir()
    done = standardise_file(raw, tmp_path / "out", SETTINGS)
    dropped = [finding.keyword for finding in done.findings if finding.rule == "V60"]
    assert dropped == ["filter", "SKYTEMP"]
    assert validate_file(done.file, load_profile("eso"), CONTEXT) == []
    restore_raw(done.file, done.recipe, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == raw.read_bytes()


def test_cards_that_no_field_is_made_of_are_told_in_one_finding(tmp_path: Path) -> None:
    done = made(tmp_path, changed={"MOONDIST": 31.5})
    (told,) = (finding for finding in done.findings if finding.rule == "V61")
    assert (told.severity, "MOONDIST" in told.got, "RA" in told.got.split(", ")) == ("info", True, False)
    assert fits.getheader(done.file)["MOONDIST"] == 31.5


def test_a_header_whose_cards_are_all_read_is_not_told_of(tmp_path: Path) -> None:
    profiles = tmp_path / "dialects"
    profiles.mkdir()
    unread = ("ST", "LST", "SWOWNER", "PLTSOLVD", "EPOCH", "RADECSYS")
    done = made(tmp_path, changed=dict.fromkeys(unread))
    keywords = {
        card for finding in done.findings if finding.rule == "V61" for card in finding.got.split(": ")[1].split(", ")
    }
    (profiles / "ours.toml").write_text(
        'title = "ours"\nextends = "astra"\norder = 1\ndetect = [{ ASTRA = "." }]\n[fields]\n'
        f"readout = {sorted(keywords)}\n"
    )
    settings = replace(SETTINGS, dialects=profiles)
    assert "V61" not in {f.rule for f in made(tmp_path, settings, changed=dict.fromkeys(unread)).findings}


def multi_extension(folder: Path) -> Path:
    path = folder / "multi.fits"
    header = fits.getheader(raw_file(folder))
    data = fits.getdata(folder / "raw.fits")
    table = fits.BinTableHDU.from_columns([fits.Column("T", "D", array=np.arange(5.0))], name="EXTRA")
    image = fits.ImageHDU(np.ones((7, 9), ">f4"), name="MASK")
    fits.HDUList([fits.PrimaryHDU(data, header, uint=True), image, table]).writeto(path)
    return path


def test_every_extension_is_carried_with_sums(tmp_path: Path) -> None:
    raw = multi_extension(tmp_path)
    (tmp_path / "out").mkdir()
    done = standardise_file(raw, tmp_path / "out", SETTINGS)
    assert validate_file(done.file, load_profile("eso"), CONTEXT, sources=done.datasums) == []
    with fits.open(done.file, checksum=True) as product:
        assert [hdu.name for hdu in product] == ["PRIMARY", "MASK", "EXTRA"]
    restore_raw(done.file, done.recipe, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == raw.read_bytes()


def test_a_compressed_file_is_held(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    packed = tmp_path / "packed.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(fits.getdata(raw), fits.getheader(raw))]).writeto(packed)
    with pytest.raises(Held, match="compressed: unpack it first"):
        standardise_file(packed, tmp_path, SETTINGS)
    plain = packed.rename(tmp_path / "packed.fits")
    with pytest.raises(Held, match=r"V01|no dialect"):
        standardise_file(plain, tmp_path, SETTINGS)


def test_a_stacked_cube_is_no_raw_frame(tmp_path: Path) -> None:
    raw = tmp_path / "stack.fits"
    header = fits.getheader(raw_file(tmp_path))
    fits.PrimaryHDU(np.zeros((3, 8, 8), ">i2"), header).writeto(raw)
    with pytest.raises(Held, match="V01 NAXIS: 3"):
        standardise_file(raw, tmp_path, SETTINGS)


@pytest.mark.parametrize("unfilled", [1, 500])
def test_a_file_without_its_last_fill_is_mended_and_can_be_restored(tmp_path: Path, unfilled: int) -> None:
    raw = raw_file(tmp_path)
    raw.write_bytes(raw.read_bytes()[:-unfilled])
    (tmp_path / "out").mkdir()
    done = standardise_file(raw, tmp_path / "out", SETTINGS)
    assert validate_file(done.file, load_profile("eso"), CONTEXT) == []
    restore_raw(done.file, done.recipe, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == raw.read_bytes()


def test_fill_behind_the_end_is_left_out_and_can_be_restored(tmp_path: Path) -> None:
    raw = raw_file(tmp_path)
    raw.write_bytes(raw.read_bytes() + bytes(5760))
    (tmp_path / "out").mkdir()
    done = standardise_file(raw, tmp_path / "out", SETTINGS)
    assert validate_file(done.file, load_profile("eso"), CONTEXT) == []
    restore_raw(done.file, done.recipe, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == raw.read_bytes()


def test_a_raw_file_is_not_restored_from_changed_pixels(tmp_path: Path) -> None:
    done = made(tmp_path)
    digest = digest_of(tmp_path / "raw.fits")
    product = bytearray(done.file.read_bytes())
    product[-3000] ^= 1
    done.file.write_bytes(product)
    with pytest.raises(Held, match="is not the raw frame"):
        restore_raw(done.file, done.recipe, tmp_path / "again", digest=digest)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("recipe", ["", "{}", '{"form":2}', '{"form":1,"units":[{"header":"!","data":1}],"rest":""}'])
def test_a_damaged_recipe_is_told(tmp_path: Path, recipe: str) -> None:
    done = made(tmp_path)
    with pytest.raises(Held, match="recipe"):
        restore_raw(done.file, recipe, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_nothing_is_restored_over_another_file(tmp_path: Path) -> None:
    done = made(tmp_path)
    with pytest.raises(Occupied):
        restore_raw(done.file, done.recipe, tmp_path / "raw.fits")


def test_a_draft_writes_nothing(tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    raw = raw_file(tmp_path)
    draft = draft_file(raw, SETTINGS)
    assert draft.name == "SPECU4.2026-02-23T01_02_03.456.fits"
    assert any(change.keyword == "RADECSYS" and change.after is None for change in draft.changes)
    assert sorted(tmp_path.iterdir()) == [*before, raw]


# the library --------------------------------------------------------------------------------------------------


def test_a_library_keeps_the_cards_and_mends_what_is_wrong(tmp_path: Path) -> None:
    done = made(tmp_path, LIBRARY, changed={"DATE-OBS": "2026-02-23T01:02:03.456789Z"})
    raw, header = fits.getheader(tmp_path / "raw.fits"), fits.getheader(done.file)
    assert header["DATE-OBS"] == "2026-02-23T01:02:03.456789"
    assert (header["RADESYS"], header["INSTRUME"], header["FILTER"]) == ("FK5", "Andor iKon-L", "I+z")
    mended = {"RADECSYS", "EPOCH", "SWOWNER", "CDELT1", "CDELT2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"}
    assert set(raw) - set(header) == mended
    assert [f for f in validate_file(done.file, load_profile("library")) if f.severity == "error"] == []
    assert done.name == "raw.fits"
    assert math.isclose(header["CD2_2"], 0.35 / 3600)


def test_a_library_takes_a_frame_that_tells_no_type(tmp_path: Path) -> None:
    assert made(tmp_path, LIBRARY, changed={"IMAGETYP": None}).name == "raw.fits"


def test_a_user_adds_a_third_profile_without_code(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "survey.toml").write_text(
        'title = "ours"\nextends = "eso"\n[[cards]]\nkey = "SURVEY"\nconst = "S1"\nrequired = true\n'
    )
    settings = Settings(CONTEXT, profile="survey", profiles=profiles)
    assert fits.getheader(made(tmp_path, settings).file)["SURVEY"] == "S1"
    assert profile_names(profiles) == ["eso", "eso-cube", "library", "library-cube", "survey"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("title = 'x'\n[[cards]]\nkey = 'A'\nfrom = 'colour'", "unknown source 'colour'"),
        ("title = 'x'\n[[cards]]\nkey = 'A'\nfunc = 'guess'", "unknown function 'guess'"),
        ("title = 'x'\n[[cards]]\nkey = '@all'", "unknown mark '@all'"),
        ("title = 'x'\ndrop = ['(']", "not a regular expression"),
        ("extends = 'nothing'\ntitle = 'x'", "unknown profile 'nothing'"),
        ("title", "not TOML"),
    ],
)
def test_a_wrong_profile_file_says_what_is_wrong(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(Misconfigured, match=wrong):
        load_profile("x", tmp_path)


def test_fitscheck_agrees(tmp_path: Path) -> None:
    done = made(tmp_path)
    program = Path(sys.executable).with_name("fitscheck")
    answer = subprocess.run([program, str(done.file)], check=False, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def test_a_steps_version_is_the_same_in_every_process(tmp_path: Path) -> None:
    program = (
        "from nightferry.headers.profiles import load_profile, profile_names\n"
        "print([repr(load_profile(name)) for name in profile_names()])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
