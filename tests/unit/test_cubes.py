"""Cubes: what goes into which, what they say, and that their planes are their frames."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import astropy.units as u
import numpy as np
import numpy.typing as npt
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.context import Context, Site
from nightferry.core.errors import Changed, Held, NoSpace, Occupied
from nightferry.core.instant import instant_of, parse_instant
from nightferry.cubes import Settings as Reading
from nightferry.cubes import Wishes, no_traits, read_source, traits_from
from nightferry.cubes.names import LONGEST, cube_name, is_cube_name
from nightferry.cubes.table import Column, column_of, read_columns, table_bytes
from nightferry.disk.parts import part_name
from nightferry.formats.cards import Value, parse_cards
from nightferry.headers.canonical import ImageType
from nightferry.headers.dialects.header import Header
from nightferry.headers.profiles import load_profile
from nightferry.steps.cube_files import Cubed, CubeSettings, Input, make_cubes, plan_cubes, split_file
from nightferry.steps.standardise_files import Settings, standardise_file
from nightferry.steps.validate import validate_file
from tests.astra import START, astra_cards, astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context(
    "callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "ESO-PARANAL", "Astra", "SPECULOOS", "60.A-9009(D)", SITE,
    written=instant_of(datetime(2026, 11, 21, tzinfo=UTC)),
)  # fmt: skip
ESO = CubeSettings(CONTEXT, durable=False)
PLAIN = CubeSettings(replace(CONTEXT, telescop="", instrume=""), durable=False)
Cards = Mapping[str, bool | float | str | None]
Pixels = npt.NDArray[np.generic]


def frame(
    folder: Path, number: int, pixels: Pixels | None = None, *, kind: str = "light", name: str = "", **options: object
) -> Path:
    """Write a raw frame by astropy, with any pixels; ``cards`` change the header, ``scale`` are BSCALE and BZERO."""
    cards: Cards = options.get("cards", {})  # type: ignore[assignment]
    if pixels is None:
        pixels = np.random.default_rng(number).integers(0, 1000, (6, 8)).astype(np.uint16)
    hdu = fits.PrimaryHDU(pixels)
    start: datetime = options.get("start", START)  # type: ignore[assignment]
    for key, value, comment in astra_cards(kind, number=number, start=start, solved=False).values():
        if key not in {"BZERO", "BSCALE", "EXTEND"}:
            hdu.header[key] = (value, comment)
    for key, changed in cards.items():
        if changed is None:
            hdu.header.remove(key, ignore_missing=True)
        else:
            hdu.header[key] = (changed, "") if isinstance(changed, str) else changed
    file = folder / (name or f"raw-{number:03d}.fits")
    hdu.writeto(file, checksum=bool(options.get("sums")))
    return file


def frames(folder: Path, count: int = 4, **options: object) -> list[Path]:
    return [frame(folder, number, **options) for number in range(count)]  # type: ignore[arg-type]


def standard(folder: Path, count: int = 4, kind: str = "light", first: int = 0, **changed: object) -> list[Path]:
    """Make standard frames; ``changed`` maps cards to a value, or to a function of the frame's number."""
    (folder / "std").mkdir(exist_ok=True)
    made = []
    for number in range(first, first + count):
        told = {key.replace("_", "-"): value(number) if callable(value) else value for key, value in changed.items()}
        raw = folder / f"{kind}-{number}.fits"
        raw.write_bytes(astra_frame(kind, number=number, changed=told, size=(8, 6)))  # type: ignore[arg-type]
        made.append(standardise_file(raw, folder / "std", Settings(CONTEXT, durable=False)).file)
    return made


def cubes(files: Sequence[Path], folder: Path, settings: CubeSettings = PLAIN, **wishes: object) -> list[Cubed]:
    folder.mkdir(exist_ok=True)
    plan = plan_cubes([Input(file) for file in files], with_wishes(settings, **wishes))
    return list(make_cubes(plan, folder, settings))


def with_wishes(settings: CubeSettings, **wishes: object) -> CubeSettings:
    return replace(settings, wishes=replace(settings.wishes, **wishes))  # type: ignore[arg-type]


def one(files: Sequence[Path], folder: Path, settings: CubeSettings = PLAIN) -> Path:
    (cube,) = cubes(files, folder, settings)
    assert cube.error is None
    assert cube.file is not None
    return cube.file


def left(files: Sequence[Path], **wishes: object) -> dict[str, str]:
    plan = plan_cubes([Input(file) for file in files], with_wishes(PLAIN, **wishes))
    return {item.file.name: item.reason for item in plan.left}


def keys(files: Sequence[Path], **wishes: object) -> list[tuple[str, int]]:
    plan = plan_cubes([Input(file) for file in files], with_wishes(PLAIN, **wishes))
    return [(group.key, len(group.sources)) for group in plan.groups]


def data_of(file: Path, number: int = 0) -> bytes:
    """Give the bytes of a data unit as they stand, without fill."""
    with fits.open(file, disable_image_compression=True) as hdus:
        info, header = hdus[number].fileinfo(), hdus[number].header
        size = (
            abs(header["BITPIX"]) // 8 * int(np.prod([header[f"NAXIS{axis + 1}"] for axis in range(header["NAXIS"])]))
        )
    return file.read_bytes()[info["datLoc"] : info["datLoc"] + size]


# what is in a cube


@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (3, 3), (1, 1)])
@pytest.mark.parametrize("form", ["u1", ">i2", "u2", ">i4", "u4", ">f4", ">f8", "i1"])
def test_planes_are_the_frames_byte_for_byte_in_every_number_format(
    tmp_path: Path, form: str, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    files = [frame(tmp_path, number, (rng.random(shape) * 99).astype(form)) for number in range(5)]
    cube = one(files, tmp_path / "out")
    assert data_of(cube) == b"".join(data_of(file) for file in files)
    assert fits.getval(cube, "BITPIX") == fits.getval(files[0], "BITPIX")
    with fits.open(cube, checksum=True) as hdus:  # warnings are errors: the sums are right
        assert [row["DATASUM"] for row in hdus["METADATA"].data] == [sum_of(data_of(file)) for file in files]
        if form[-2:] in {"u2", "u4", "i1"}:
            assert (hdus[0].data[1] == fits.getdata(files[1])).all()


def sum_of(data: bytes) -> int:
    data += bytes(-len(data) % 2880)
    total = sum(int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4))
    return (total - 1) % 0xFFFFFFFF + 1 if total else 0


def test_scaled_numbers_keep_their_scale(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        file = frame(tmp_path, number, np.arange(48, dtype=">i2").reshape(6, 8) + number)
        with fits.open(file, mode="update", do_not_scale_image_data=True) as hdus:
            hdus[0].header.update({"BSCALE": 0.25, "BZERO": 10.5, "BLANK": -1})
        files.append(file)
    cube = one(files, tmp_path / "out")
    assert [fits.getval(cube, key) for key in ("BITPIX", "BSCALE", "BZERO", "BLANK")] == [16, 0.25, 10.5, -1]
    assert fits.getdata(cube)[1][0][3] == fits.getdata(files[1])[0][3] == 11.5


def test_the_header_keeps_what_is_equal_and_the_table_what_differs(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, cards={"CCD-TEMP": -60 + at / 100, "DOMEAZ": at, "NOTE": "same"}) for at in range(4)]
    with fits.open(one(files, tmp_path / "out")) as hdus:
        header, table = hdus[0].header, hdus["METADATA"]
        assert header["NOTE"] == "same"
        assert "CCD-TEMP" not in header
        assert "DOMEAZ" not in header
        assert table.data["CCD_TEMP"].tolist() == [-60.0, -59.99, -59.98, -59.97]
        assert table.data["DOMEAZ"].tolist() == [0, 1, 2, 3]
        assert table.columns["CCD_TEMP"].unit is None  # FITS has none for degrees Celsius; the comment tells
        assert table.header.comments[next(key for key, value in table.header.items() if value == "CCD_TEMP")] == (
            "[Celsius] CCD temperature at start"
        )
        numbered = table.columns.names.index("CCD_TEMP") + 1
        assert table.header[f"TCOMM{numbered}"] == "CCD-TEMP"
        assert "NOTE" not in table.columns.names


def test_the_header_tells_what_spans_the_frames(tmp_path: Path) -> None:
    files = standard(tmp_path, 4, RA=lambda at: 359.9999 + at % 2 * 0.0002 - 360 * (at % 2))
    with fits.open(one(files, tmp_path / "out", ESO)) as hdus:
        header = hdus[0].header
        assert (header["NAXIS3"], header["NFRAMES"], header["TEXPTIME"], header["EXPTIME"]) == (4, 4, 40.0, 10.0)
        assert header["DATE-OBS"] == "2026-02-23T01:02:03.456"
        assert header["DATE-END"] == "2026-02-23T01:02:52.456"
        for date, mjd in (("DATE-OBS", "MJD-OBS"), ("DATE-END", "MJD-END")):
            assert abs(Time(header[date], scale="utc").mjd - header[mjd]) * 86400 < 2e-3
        assert min(header["RA"], 360 - header["RA"]) < 1e-6
        assert hdus["METADATA"].data["RA"].tolist() == pytest.approx([359.9999, 0.0001, 359.9999, 0.0001])


def test_the_coordinates_are_three_axes_of_pixels_and_the_sky_is_in_the_table(tmp_path: Path) -> None:
    with fits.open(one(standard(tmp_path), tmp_path / "out", ESO)) as hdus:
        header = hdus[0].header
        assert [header["WCSAXES"], *(header[f"CTYPE{axis}"] for axis in (1, 2, 3))] == [3, "PIXEL", "PIXEL", "PIXEL"]
        assert [key for key in header if key.startswith("CD")] == ["CD1_1", "CD2_2", "CD3_3"]
        assert not [key for key in header if key.startswith(("PC", "CDELT", "CUNIT", "CROTA"))]
        assert list(header)[: list(header).index("WCSAXES")] == [
            "SIMPLE",
            "BITPIX",
            "NAXIS",
            "NAXIS1",
            "NAXIS2",
            "NAXIS3",
        ]
        assert hdus["METADATA"].data["CTYPE1"].tolist() == ["RA---TAN"] * 4
        assert hdus["METADATA"].data["CD1_1"].tolist() == pytest.approx([-0.35 / 3600] * 4)


def test_times_are_those_of_astropy(tmp_path: Path) -> None:
    with fits.open(one(standard(tmp_path), tmp_path / "out", ESO)) as hdus:
        rows = hdus["METADATA"].data
        place = EarthLocation.from_geodetic(SITE.longitude, SITE.latitude, SITE.elevation)
        with iers.conf.set_temp("auto_download", False):
            starts = Time(rows["DATE_OBS"].tolist(), scale="utc", location=place)
            target = SkyCoord(rows["RA"], rows["DEC"], unit=u.deg, frame="icrs")
            sun = starts.utc + starts.light_travel_time(target, "heliocentric")
            centre = starts.tdb + starts.light_travel_time(target, "barycentric")
        assert np.abs(rows["JD_OBS"] - starts.jd).max() * 86400 < 1e-4
        assert np.abs(rows["MJD_OBS"] - starts.mjd).max() * 86400 < 1e-5
        assert np.abs(rows["HJD_OBS"] - sun.jd).max() * 86400 < 1e-3
        assert np.abs(rows["BJD_OBS"] - centre.jd).max() * 86400 < 1e-3
        units = {column.name: column.unit for column in hdus["METADATA"].columns}
        assert [units[name] for name in ("JD_OBS", "MJD_OBS", "HJD_OBS", "BJD_OBS", "EXPTIME")] == ["d"] * 4 + ["s"]


def test_the_table_names_both_files_of_a_frame_and_its_digest(tmp_path: Path) -> None:
    files = standard(tmp_path)
    plan = plan_cubes([Input(file, digest=f"{at:064d}") for at, file in enumerate(files)], ESO)
    (tmp_path / "out").mkdir()
    (cube,) = make_cubes(plan, tmp_path / "out", ESO)
    assert cube.file is not None
    rows = fits.getdata(cube.file, "METADATA")
    assert rows["FILENAME"].tolist() == [f"light-{at}.fits" for at in range(4)]
    assert rows["ARCNAME"].tolist() == [file.name for file in files]
    assert rows["DIGEST"].tolist() == [f"{at:064d}" for at in range(4)]
    assert [str(each) for each in rows["DATASUM"]] == [fits.getval(file, "DATASUM") for file in files]


def test_hierarch_keywords_that_differ_have_columns(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, cards={"HIERARCH ESO TEL AMBI TEMP": 10.5 + at}) for at in range(3)]
    with fits.open(one(files, tmp_path / "out")) as hdus:
        table = hdus["METADATA"]
        assert table.data["ESO_TEL_AMBI_TEMP"].tolist() == [10.5, 11.5, 12.5]
        assert "HIERARCH ESO TEL AMBI TEMP" in [str(value) for value in table.header.values()]


def test_planes_stand_in_order_of_time_whatever_the_order_of_the_names(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, name=f"{9 - at}.fits") for at in range(5)]
    rows = fits.getdata(one(sorted(files), tmp_path / "out"), "METADATA")
    assert rows["FILENAME"].tolist() == ["9.fits", "8.fits", "7.fits", "6.fits", "5.fits"]
    assert (np.diff(rows["MJD_OBS"]) > 0).all()


@pytest.mark.parametrize("kind", ["light", "bias", "dark", "flat"])
def test_cubes_of_standard_frames_keep_every_rule(tmp_path: Path, kind: str) -> None:
    files = standard(tmp_path, 3, kind, CCD_TEMP=lambda at: -60 + at / 100)
    cube = one(files, tmp_path / "out", ESO)
    found = validate_file(cube, load_profile("eso"), CONTEXT)
    assert [str(finding) for finding in found if finding.rule != "V62"] == []
    check = subprocess.run(
        [sys.executable, "-m", "astropy.io.fits.scripts.fitscheck", str(cube)], capture_output=True, check=False
    )
    assert check.returncode == 0, check.stderr


def test_cubes_of_raw_frames_keep_the_librarys_rules(tmp_path: Path) -> None:
    cube = one(frames(tmp_path), tmp_path / "out")
    found = validate_file(cube, load_profile("library"))
    assert [str(finding) for finding in found if finding.rule != "V62"] == []


def test_another_plane_than_its_frame_is_found_by_the_table(tmp_path: Path) -> None:
    cube = one(standard(tmp_path), tmp_path / "out", ESO)
    with fits.open(cube, mode="update", do_not_scale_image_data=True, checksum=True) as hdus:
        hdus[0].data[2][:] = 0
    found = [finding for finding in validate_file(cube, load_profile("eso"), gate=False) if finding.rule == "V25"]
    assert "planes 3 are not their frames" in str(found[0])


@pytest.mark.parametrize("name", ["cube.fits", "SPECU4.20260223T010204_S_x.fits", "SPECU4.20260223T010203_C_x.fits"])
def test_a_cube_of_another_name_is_found(tmp_path: Path, name: str) -> None:
    cube = one(standard(tmp_path), tmp_path / "out", ESO).rename(tmp_path / name)
    assert "V18" in {finding.rule for finding in validate_file(cube, load_profile("eso"), gate=False)}


# which frames make which cube


def test_frames_are_grouped_by_what_they_were_taken_for(tmp_path: Path) -> None:
    files = [
        *(frame(tmp_path, at, cards={"OBJECT": "A"}) for at in range(2)),
        *(frame(tmp_path, at, cards={"OBJECT": "B", "FILTER": "r"}) for at in range(2, 4)),
        *(frame(tmp_path, at, cards={"OBJECT": "B", "EXPTIME": 20.0}) for at in range(4, 6)),
        *(frame(tmp_path, at, kind="flat", cards={"OBJECT": f"sky {at}"}) for at in range(6, 8)),
        *(frame(tmp_path, at, kind="dark", cards={"FILTER": f"{at}"}) for at in range(8, 10)),
        *(frame(tmp_path, at, kind="bias", cards={"EXPTIME": at / 1000}) for at in range(10, 12)),
    ]
    assert keys(files) == [
        ("A_I+z_10s", 2), ("B_r_10s", 2), ("B_I+z_20s", 2), ("flat_I+z_10s", 2), ("dark_10s", 2), ("bias", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [
        {"INSTRUME": "other"}, {"XBINNING": 2}, {"GAIN": 100.0}, {"READOUTM": "fast"}, {"SET-TEMP": -40.0},
        {"HIERARCH ESO OBS PROG ID": "108.22L8.001"},
    ],
)  # fmt: skip
def test_biases_of_different_settings_are_never_in_one_cube(tmp_path: Path, changed: Cards) -> None:
    files = [
        frame(tmp_path, at, kind="bias", cards={"SET-TEMP": -60.0, **(changed if at % 2 else {})}) for at in range(4)
    ]
    assert keys(files) == [("bias", 2), ("bias", 2)]
    made = cubes(files, tmp_path / "out")
    assert len({cube.file for cube in made}) == 2
    assert len({cube.group.set for cube in made}) == 2


def test_nearly_equal_exposures_are_one(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, cards={"EXPTIME": 10.0 + at * 4e-6}) for at in range(3)] + [
        frame(tmp_path, 9, cards={"EXPTIME": 10.1})
    ]
    assert keys(files) == [("Sp2306-0502_I+z_10s", 3), ("Sp2306-0502_I+z_10.1s", 1)]


def test_frames_of_two_nights_are_never_in_one_cube(tmp_path: Path) -> None:
    late = START + timedelta(days=1)
    files = [frame(tmp_path, 0), frame(tmp_path, 1), frame(tmp_path, 2, start=late), frame(tmp_path, 3, start=late)]
    assert [count for _, count in keys(files)] == [2, 2]


@pytest.mark.parametrize(
    ("wishes", "sizes"),
    [({"max_frames": 4}, [4, 4, 2]), ({"max_bytes": 300}, [3, 3, 3, 1]), ({"max_bytes": 1}, [1] * 10)],
)
def test_groups_are_split_by_frames_or_bytes(tmp_path: Path, wishes: dict[str, int], sizes: list[int]) -> None:
    files = frames(tmp_path, 10)
    assert [count for _, count in keys(files, **wishes)] == sizes
    made = cubes(files, tmp_path / "out", with_wishes(PLAIN, **wishes))
    assert len({cube.file for cube in made}) == len(sizes)
    assert [fits.getval(str(cube.file), "CUBEPART") for cube in made] == list(range(1, len(sizes) + 1))


def test_frames_of_another_shape_or_format_are_apart_or_left_out_with_the_reason(tmp_path: Path) -> None:
    files = frames(tmp_path, 3)
    files.append(frame(tmp_path, 7, np.zeros((3, 8), np.uint16)))
    files.append(frame(tmp_path, 8, np.ones((6, 8), np.float32) * 70000.5))
    assert sorted(count for _, count in keys(files)) == [1, 1, 3]
    assert [count for _, count in keys(files, odd="out")] == [3]
    told = left(files, odd="out")
    assert "8x3 pixels of BITPIX 16" in told["raw-007.fits"]
    assert "BITPIX -32" in told["raw-008.fits"]
    made = cubes(files, tmp_path / "out")
    assert max(float(fits.getdata(str(cube.file)).max()) for cube in made) == 70000.5


# bad input


def spoilt(folder: Path) -> Iterator[tuple[Path, str]]:
    whole = frame(folder, 90).read_bytes()
    for name, raw, reason in (
        ("truncated.fits", whole[:-2900], "truncated by"),
        ("empty.fits", b"", "not FITS"),
        ("text.fits", b"not a FITS file\n" * 400, "not FITS"),
        ("header.fits", whole[:1440], "no END card"),
        ("packed.fits.gz", whole, "compressed"),
    ):
        (folder / name).write_bytes(raw)
        yield folder / name, reason
    yield frame(folder, 91, np.zeros((3, 6, 8), np.uint16), name="deep.fits"), "3 axes (8x6x3)"
    fits.HDUList([fits.PrimaryHDU(header=fits.getheader(frame(folder, 92))), fits.ImageHDU(np.zeros((6, 8)))]).writeto(
        folder / "flat.fits"
    )
    yield folder / "flat.fits", "axes (no picture)"
    two = frame(folder, 93, name="two.fits")
    fits.append(two, np.zeros((6, 8)))
    yield two, "something follows its picture"
    yield frame(folder, 94, name="kind.fits", cards={"IMAGETYP": None}), "IMAGETYP: nothing"
    yield frame(folder, 95, name="focus.fits", cards={"IMAGETYP": "Focus"}), "expected science, flat, dark or bias"
    yield frame(folder, 96, name="when.fits", cards={"DATE-OBS": None}), "DATE-OBS: nothing"
    yield frame(folder, 97, name="long.fits", cards={"EXPTIME": None}), "EXPTIME: nothing"
    yield frame(folder, 98, name="what.fits", cards={"OBJECT": None}), "OBJECT: nothing"
    yield frame(folder, 99, name="who.fits", cards={"ASTRA": None}), "no dialect that we know"
    yield folder / "absent.fits", "no such file"
    yield folder, "is a folder"


def test_what_cannot_be_a_plane_is_left_out_with_its_reason_and_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    good = frames(tmp_path, 3)
    bad = dict(spoilt(tmp_path / "bad"))
    told = left([*good, *bad])
    for file, reason in bad.items():
        assert reason in told.pop(file.name), file.name
    assert told == {}
    (cube,) = cubes([*good, *bad], tmp_path / "out")
    assert data_of(Path(str(cube.file))) == b"".join(data_of(file) for file in good)


def test_a_frame_named_twice_or_copied_is_one_plane(tmp_path: Path) -> None:
    files = frames(tmp_path, 3)
    copy = tmp_path / "copy.fits"
    copy.write_bytes(files[1].read_bytes())
    link = tmp_path / "link.fits"
    os.link(files[2], link)
    told = left([*files, files[0], copy, link])
    assert "named twice" in told["raw-000.fits"]
    assert {name for name in told if "copy of" in told[name]} <= {"copy.fits", "raw-001.fits"}
    assert len(told) == 3
    assert keys([*files, files[0], copy, link]) == [("Sp2306-0502_I+z_10s", 3)]


def test_frames_of_one_header_and_other_pixels_are_two(tmp_path: Path) -> None:
    files = [frame(tmp_path, 0, np.full((6, 8), value, np.uint16), name=f"{value}.fits") for value in (1, 2)]
    assert keys(files) == [("Sp2306-0502_I+z_10s", 2)]


def test_a_missing_airmass_is_not_a_number_and_one_in_words_stays_as_it_is(tmp_path: Path) -> None:
    changes: list[Cards] = [{"AIRMASS": None}, {"AIRMASS": "N/A"}, {"AIRMASS": 1.25}]
    cube = one([frame(tmp_path, at, cards=cards) for at, cards in enumerate(changes)], tmp_path / "out")
    rows = fits.getdata(cube, "METADATA")
    assert np.isnan(rows["AIRMASS"][:2]).all()
    assert rows["AIRMASS"][2] == 1.25
    assert rows["AIRMASS_CARD"].tolist() == ["", "'N/A'", "1.25"]


def test_a_frame_without_a_filter_is_in_a_cube_of_its_own(tmp_path: Path) -> None:
    files = [*frames(tmp_path, 2), frame(tmp_path, 5, cards={"FILTER": None})]
    assert keys(files) == [("Sp2306-0502_I+z_10s", 2), ("Sp2306-0502_10s", 1)]


@pytest.mark.parametrize(
    "target", ["C/2023 A3", "it's", "a b", "'", "../../etc/passwd", "x" * 68, "_", "-", "..", "a__b_"]
)
def test_objects_with_odd_names_have_cubes_with_safe_ones(tmp_path: Path, target: str) -> None:
    files = [frame(tmp_path, at, cards={"OBJECT": target}) for at in range(2)]
    cube = one(files, tmp_path / "out")
    assert is_cube_name(cube.name)
    assert cube.parent == tmp_path / "out"
    assert fits.getval(cube, "OBJECT") == target


@given(
    st.text(max_size=20), st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=2, unique=True),
    st.integers(1, 12345),
)  # fmt: skip
def test_names_are_short_safe_and_differ(instrument: str, words: list[str], version: int) -> None:
    start = parse_instant("2026-02-23T01:02:03")[0]
    taken: set[str] = set()
    for key in words:
        name = cube_name(instrument, start, "S", key, version=version, taken=taken, whole=key)
        assert is_cube_name(name)
        assert len(name) <= LONGEST
        assert name.lower() not in taken
        taken.add(name.lower())


def test_speculoos_names_follow_its_archive() -> None:
    start = parse_instant("2026-02-23T01:47:41.9")[0]
    name = cube_name("SPECULOOS2", start, "S", "TIC46432937b_I+z_20s", short={"SPECULOOS": "SPECU"})
    assert name == "SPECU2.20260223T014741_S_TIC46432937b_I+z_20s.fits"
    assert cube_name("SPECULOOS2", start, "C", "flat_r'_5s", short={"SPECULOOS": "SPECU"}).startswith(
        "SPECU2.20260223T014741_C_flat_r_5s~"
    )


# while it is written


def disturbed(tmp_path: Path, disturb: object) -> tuple[Cubed, list[Path]]:
    """Make a cube, and do something to its last frame while the first is written."""
    files = frames(tmp_path, 4)
    (tmp_path / "out").mkdir()
    done: list[int] = []

    def moved(count: int) -> None:
        if not done:
            disturb(files[3])  # type: ignore[operator]
        done.append(count)

    (cube,) = make_cubes(plan_cubes([Input(file) for file in files], PLAIN), tmp_path / "out", PLAIN, moved)
    return cube, list((tmp_path / "out").iterdir())


def shortened(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 2880)


def rewritten(file: Path) -> None:
    raw, told = bytearray(file.read_bytes()), file.stat()
    raw[raw.index(b"Astra")] = ord("B")
    file.write_bytes(raw)
    os.utime(file, ns=(told.st_atime_ns, told.st_mtime_ns))


def touched(file: Path) -> None:
    os.utime(file, (1, 1))


@pytest.mark.parametrize("disturb", [Path.unlink, shortened, rewritten, touched])
def test_a_frame_that_vanishes_or_changes_meanwhile_leaves_nothing_behind(tmp_path: Path, disturb: object) -> None:
    cube, there = disturbed(tmp_path, disturb)
    assert isinstance(cube.error, Changed)
    assert "raw-003.fits" in str(cube.error)
    assert there == []


def test_damage_that_a_frames_own_sum_tells_leaves_it_out(tmp_path: Path) -> None:
    files = standard(tmp_path, 4)
    raw = bytearray(files[2].read_bytes())
    raw[-2880] ^= 1
    files[2].write_bytes(raw)
    (cube,) = cubes(files, tmp_path / "out", ESO)
    assert [(item.file, "DATASUM" in item.reason) for item in cube.left] == [(files[2], True)]
    assert fits.getdata(str(cube.file), "METADATA")["ARCNAME"].tolist() == [files[at].name for at in (0, 1, 3)]


def test_a_group_of_damaged_frames_alone_makes_no_cube(tmp_path: Path) -> None:
    (file,) = standard(tmp_path, 1)
    raw = bytearray(file.read_bytes())
    raw[-2880] ^= 1
    file.write_bytes(raw)
    (cube,) = cubes([file], tmp_path / "out", ESO)
    assert isinstance(cube.error, Held)
    assert list((tmp_path / "out").iterdir()) == []


SHORT = """
import resource, signal, sys
from pathlib import Path
from nightferry.steps.cube_files import CubeSettings, Input, make_cubes, plan_cubes
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings = CubeSettings(durable=False)
plan = plan_cubes([Input(file) for file in sorted(Path(sys.argv[1]).glob("*.fits"))], settings)
for cube in make_cubes(plan, Path(sys.argv[2]), settings):
    print(type(cube.error).__name__, cube.error)
"""


def test_a_disk_that_is_full_half_way_leaves_nothing_behind(tmp_path: Path) -> None:
    for number in range(4):
        frame(tmp_path, number, np.zeros((100, 100), np.uint16))
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(tmp_path), str(tmp_path / "out")], capture_output=True, check=True, text=True
    )
    assert done.stdout.startswith("NoSpace the cube ")
    assert "the disk is full" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


KILLED = """
import os, sys
from pathlib import Path
from nightferry.steps.cube_files import CubeSettings, Input, make_cubes, plan_cubes
settings = CubeSettings(durable=False)
plan = plan_cubes([Input(file) for file in sorted(Path(sys.argv[1]).glob("*.fits"))], settings)
left = [3]
def moved(count):
    left[0] -= 1
    if not left[0]:
        os._exit(9)
list(make_cubes(plan, Path(sys.argv[2]), settings, moved))
"""


def test_a_process_that_dies_half_way_leaves_nothing_under_the_final_name(tmp_path: Path) -> None:
    files = frames(tmp_path)
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == 9
    (part,) = (tmp_path / "out").iterdir()
    assert part.suffix == ".part"
    (made,) = cubes(files, tmp_path / "out")
    assert (made.version, list((tmp_path / "out").iterdir())) == (1, [made.file])


def test_parts_of_others_are_left_alone(tmp_path: Path) -> None:
    out = mkdir(tmp_path / "out")
    ours = part_name()
    running = ours.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    elsewhere = ours.replace(ours.split("-")[1], "00000000")
    for name in (running, elsewhere, "film.part", "SPECU4.20260223T010203_S_x.fits.part", ".nightferry-mine.part"):
        (out / name).write_text("not ours")
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    (out / ours.replace(f"-{os.getpid()}-", f"-{dead.stdout.strip()}-")).write_text("left by a kill")
    made = one(frames(tmp_path), out)
    assert {path.name for path in out.iterdir()} == {
        made.name, running, elsewhere, "film.part", "SPECU4.20260223T010203_S_x.fits.part", ".nightferry-mine.part",
    }  # fmt: skip
    list(split_file(made, out, durable=False))
    assert (out / running).exists()


# again, and later


def test_the_same_frames_make_no_second_cube(tmp_path: Path) -> None:
    files = frames(tmp_path)
    cube = one(files, tmp_path / "out")
    before = cube.read_bytes(), cube.stat().st_mtime_ns
    (again,) = cubes(files[::-1], tmp_path / "out")
    assert (again.was_there, again.file) == (True, cube)
    assert (cube.read_bytes(), cube.stat().st_mtime_ns) == before
    assert list((tmp_path / "out").iterdir()) == [cube]


def test_other_pixels_under_the_same_headers_are_another_version(tmp_path: Path) -> None:
    files = frames(tmp_path)
    first = one(files, tmp_path / "out")
    raw, told = bytearray(files[1].read_bytes()), files[1].stat()
    raw[-2880] ^= 1
    files[1].write_bytes(raw)
    os.utime(files[1], ns=(told.st_atime_ns, told.st_mtime_ns))
    (again,) = cubes(files, tmp_path / "out")
    assert (again.was_there, again.version) == (False, 2)
    assert again.file != first


@pytest.mark.parametrize("late", [0, 2, 4])
def test_a_late_frame_makes_the_next_version_and_leaves_the_first(tmp_path: Path, late: int) -> None:
    files = frames(tmp_path, 5)
    early = [file for at, file in enumerate(files) if at != late]
    first = one(early, tmp_path / "out")
    before = first.read_bytes()
    (second,) = cubes(files, tmp_path / "out")
    assert (second.version, fits.getval(str(second.file), "CUBEVER")) == (2, 2)
    assert str(second.file).endswith("_v2.fits")
    assert first.read_bytes() == before
    assert [cube.was_there for cube in cubes(files, tmp_path / "out")] == [True]
    assert [cube.was_there for cube in cubes(early, tmp_path / "out")] == [True]


def test_a_late_frame_at_the_end_changes_the_last_part_alone(tmp_path: Path) -> None:
    files = frames(tmp_path, 5)
    cubes(files[:4], tmp_path / "out", max_frames=3)
    assert [(cube.was_there, cube.version) for cube in cubes(files, tmp_path / "out", max_frames=3)] == [
        (True, 1), (False, 2),
    ]  # fmt: skip


def test_the_folder_of_the_frames_can_be_that_of_the_cubes(tmp_path: Path) -> None:
    files = frames(tmp_path)
    (cube,) = cubes(files, tmp_path)
    again = sorted(tmp_path.glob("*.fits"))
    assert "a cube is never part of another" in left(again)[Path(str(cube.file)).name]
    assert [made.was_there for made in cubes(again, tmp_path)] == [True]


def test_a_name_that_another_file_has_is_not_replaced(tmp_path: Path) -> None:
    files = frames(tmp_path)
    (tmp_path / "out").mkdir()
    name = Path(str(cubes(files, tmp_path / "elsewhere")[0].file)).name
    (tmp_path / "out" / name).write_text("mine")
    (cube,) = cubes(files, tmp_path / "out")
    assert (tmp_path / "out" / name).read_text() == "mine"
    assert cube.file is not None
    assert cube.file.name != name


# and back


def headers_of(file: Path) -> dict[str, Value]:
    with file.open("rb") as stream:
        cards = parse_cards(stream.read(20 * 2880))
    own = {"CHECKSUM", "DATASUM", "SIMPLE", "EXTEND"}
    return {key: card.value for key, card in Header(cards).first.items() if key not in own}


def test_a_cube_comes_apart_into_its_frames(tmp_path: Path) -> None:
    files = [
        frame(tmp_path, at, cards={
            "CCD-TEMP": -60 - at / 3, "COUNT": at, "OPEN": bool(at % 2), "WORD": "it's " * at, "MIXED": at or "none",
            "HIERARCH ESO TEL AMBI TEMP": at * 0.1, "SELDOM": 1.5 if at == 2 else None, "RARE": 7 if at == 1 else None,
        })
        for at in range(4)
    ]  # fmt: skip
    back = list(split_file(one(files, tmp_path / "out"), mkdir(tmp_path / "back"), durable=False))
    assert [frame.file.name for frame in back] == [file.name for file in files]
    for file, again in zip(files, back, strict=True):
        assert data_of(again.file) == data_of(file)
        told, before = headers_of(again.file), headers_of(file)
        assert {key: told.get(key) for key in before} == before
        assert not {"NFRAMES", "TEXPTIME", "CUBEKEY", "SELDOM", "RARE"} - set(before) & set(told)
        fits.open(again.file, checksum=True).close()


def test_cards_come_back_in_their_order_with_their_whole_comments(tmp_path: Path) -> None:
    comment = "[deg] a comment that's as long as one may be"
    files = frames(tmp_path, 3)
    for at, file in enumerate(files):
        with fits.open(file, mode="update") as hdus:
            hdus[0].header.insert("OBJECT", ("HIERARCH ESO TEL AMBI WIND", at + 0.5, comment), after=True)
            hdus[0].header.insert("OBJECT", ("DOMETEMP", at, comment), after=True)
    cube = one(files, tmp_path / "out")
    for file, again in zip(files, split_file(cube, mkdir(tmp_path / "back"), durable=False), strict=True):
        before, after = (cards_of(one) for one in (file, again.file))
        assert after == before


def cards_of(file: Path) -> list[tuple[str, object, str]]:
    """Tell all cards but those of the data's layout, which come first in a frame from a cube."""
    layout = re.compile(r"SIMPLE|BITPIX|NAXIS\d?|EXTEND|BZERO|BSCALE|CHECKSUM|DATASUM")
    return [tuple(card) for card in fits.getheader(file).cards if not layout.fullmatch(card.keyword)]


def mkdir(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize("kind", ["light", "bias"])
def test_standard_frames_come_back_as_frames_that_keep_every_rule(tmp_path: Path, kind: str) -> None:
    files = standard(tmp_path, 3, kind)
    for file, again in zip(files, split_file(one(files, tmp_path / "out", ESO), mkdir(tmp_path / "back")), strict=True):
        assert headers_of(again.file) == headers_of(file)
        found = validate_file(again.file, load_profile("eso"), CONTEXT, sources=(int(fits.getval(file, "DATASUM")),))
        assert [str(finding) for finding in found if finding.rule != "V62"] == []


def test_commentary_of_single_frames_comes_back(tmp_path: Path) -> None:
    files = frames(tmp_path, 2)
    with fits.open(files[1], mode="update") as hdus:
        hdus[0].header["HISTORY"] = "a cloud passed"
        hdus[0].header["HISTORY"] = "and another"
    back = list(split_file(one(files, tmp_path / "out"), mkdir(tmp_path / "back")))
    assert list(fits.getheader(back[1].file)["HISTORY"]) == ["a cloud passed", "and another"]
    assert "HISTORY" not in fits.getheader(back[0].file)


def test_splitting_again_changes_nothing_and_replaces_nothing(tmp_path: Path) -> None:
    cube = one(frames(tmp_path), tmp_path / "out")
    list(split_file(cube, mkdir(tmp_path / "back")))
    assert all(frame.was_there for frame in split_file(cube, tmp_path / "back"))
    (tmp_path / "back/raw-002.fits").write_text("mine")
    with pytest.raises(Occupied):
        list(split_file(cube, tmp_path / "back"))
    assert (tmp_path / "back/raw-002.fits").read_text() == "mine"
    assert not list((tmp_path / "back").glob("*.part"))


def test_a_damaged_plane_does_not_become_a_frame(tmp_path: Path) -> None:
    cube = one(frames(tmp_path), tmp_path / "out")
    raw = bytearray(cube.read_bytes())
    raw[raw.index(data_of(cube)) + 2 * 96] ^= 1
    cube.write_bytes(raw)
    with pytest.raises(Held, match="plane 3 is not what its row tells"):
        list(split_file(cube, mkdir(tmp_path / "back")))
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == ["raw-000.fits", "raw-001.fits"]


def test_what_is_no_cube_does_not_come_apart(tmp_path: Path) -> None:
    plain = frame(tmp_path, 0)
    deep = frame(tmp_path, 1, np.zeros((2, 3, 4), np.uint16))
    cube = one(frames(mkdir(tmp_path / "raw"), 3), tmp_path / "out")
    cut = tmp_path / "cut.fits"
    cut.write_bytes(cube.read_bytes()[:-2880])
    for file, reason in ((plain, "it is no cube"), (deep, "no table METADATA"), (cut, "truncated")):
        with pytest.raises(Held, match=reason):
            list(split_file(file, tmp_path / "back"))


def test_names_in_a_cube_never_lead_out_of_the_folder(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, cards={"RAWFILE": "../../evil.fits"}) for at in range(2)]
    plan = plan_cubes([Input(file, name="../../evil.fits") for file in files], PLAIN)
    (cube,) = make_cubes(plan, mkdir(tmp_path / "out"), PLAIN)
    back = mkdir(tmp_path / "back")
    names = [frame.file for frame in split_file(Path(str(cube.file)), back)]
    assert len(set(names)) == 2
    assert {name.parent for name in names} == {back}


# the parts


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90).map(lambda text: text.rstrip()),
)  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_a_column_gives_back_every_value(values: list[Value]) -> None:
    raw, _ = table_bytes([column_of("A", values), column_of("B", [1.5] * len(values))], len(values))
    cards = Header(parse_cards(raw)).first
    first, second = read_columns(cards, raw[len(raw) - len(raw) % 2880 - data_length(cards) :])
    assert second.values == [1.5] * len(values)
    for value, again in zip(values, first.values, strict=True):
        assert again == value
        assert isinstance(again, bool) == isinstance(value, bool)


def data_length(cards: Mapping[str, object]) -> int:
    size = int(str(cards["NAXIS1"].value)) * int(str(cards["NAXIS2"].value))  # type: ignore[attr-defined]
    return -(-size // 2880) * 2880


def test_columns_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    files = [frame(tmp_path, at, cards={"JD-OBS": 5.0 + at, "A-B": at, "A_B": -at}) for at in range(2)]
    rows = fits.getdata(one(files, tmp_path / "out"), "METADATA")
    assert rows["JD_OBS_CARD"].tolist() == [5.0, 6.0]
    assert rows["A_B"].tolist() == [0, 1]
    assert rows["A_B_CARD"].tolist() == [0, -1]


def test_traits_outlast_the_frame(tmp_path: Path) -> None:
    source = read_source(frame(tmp_path, 1, cards={"SET-TEMP": -60.2, "GAIN": 5}), Reading())
    assert traits_from(source.traits.text()) == source.traits
    assert source.traits.kind is ImageType.SCIENCE
    assert traits_from(no_traits("it is a focus frame")) == "it is a focus frame"
    assert {traits_from(text) for text in ("", "[]", "{}", "null", "[1,2]")} == {
        "what the ledger tells of its kind cannot be read"
    }


def test_memory_does_not_grow_with_the_pixels(tmp_path: Path) -> None:
    import tracemalloc

    files = [frame(tmp_path, at, np.full((512, 512), at, np.uint16)) for at in range(24)]
    plan = plan_cubes([Input(file) for file in files], PLAIN)
    tracemalloc.start()
    list(make_cubes(plan, mkdir(tmp_path / "out"), PLAIN))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6e6  # the pixels are 12.6 MB


def test_the_disk_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = frames(tmp_path)

    def full(_file: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    (cube,) = cubes(files, tmp_path / "out", replace(PLAIN, durable=True))
    assert isinstance(cube.error, NoSpace)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_column_says_its_form() -> None:
    told: list[list[Value]] = [[True], [1], [1.0], [1, 2.5], ["ab", "c"], [None], [1, "a"]]
    assert [column_of("X", values).form for values in told] == ["L", "K", "D", "D", "2A", "L", "3A"]
    assert Column("X", "12A", ()).width == 12
    assert Wishes().odd == "apart"
