"""Frames of known truth, and frames that are none, through both engines and the gate: found right, or refused."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Fact
from nightferry.solving.engines import engine_names, load_engine
from nightferry.solving.frame import shelved, solve_frame
from nightferry.solving.model import Answer, Hints, Settings, Stars
from nightferry.solving.sphere import sky_of
from nightferry.testing.encode import Card, fits_image
from nightferry.testing.fields import draw_field, optics, plain_wcs, vespera_frame
from nightferry.testing.sky import TARGETS, View, make_sensor, project, star_table
from nightferry.testing.vespera import build_night

SIZE = (960, 540)
#: Those of the shipped engines that this system has: the package astrometry is not made for every one.
ENGINES = tuple(engine_names())
M45 = View(56.60, 24.11, 12.0)


@pytest.fixture
def settings(sky_index: Path) -> Settings:
    return Settings(indexes=(sky_index,), usual=False)


@pytest.fixture
def work(tmp_path: Path, settings: Settings) -> Callable[..., Answer]:
    """Solve bytes as a file."""

    def solve(data: bytes, name: str = "frame.fits", **changed: object) -> Answer:
        path = tmp_path / name
        path.write_bytes(data)
        told = {field: getattr(settings, field) for field in Settings.__dataclass_fields__}
        return solve_frame(path, Settings(**{**told, **changed}))

    return solve


def place(view: View) -> list[Card]:
    return [("RA", round(view.ra, 4), "[deg]"), ("DEC", round(view.dec, 4), "[deg]")]


def errors(answer: Answer, target: str, view: View, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Tell by how many arcseconds the solution misses each star that is really in the frame."""
    assert answer.solution is not None, answer.reason
    stars = star_table()[target]
    x, y = project(stars, view, make_sensor(size, seed=1))
    seen = (x > 0) & (y > 0) & (x < size[0] - 1) & (y < size[1] - 1)
    ra, dec = sky_of(answer.solution.wcs, x[seen] + 1, y[seen] + 1)
    east = ((ra - stars[seen, 0] + 180) % 360 - 180) * np.cos(np.radians(dec))
    return np.asarray(np.hypot(east, dec - stars[seen, 1]) * 3600)


def number(value: Fact) -> float:
    assert isinstance(value, int | float)
    return float(value)


# what is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_frame_is_found_where_it_was_drawn(work: Callable[..., Answer], engine: str, target: str) -> None:
    centre = TARGETS[target]
    view = View(centre.ra + 0.1, centre.dec - 0.07, 200.0 * (hash_of(target) - 0.5))
    answer = work(vespera_frame(target, view, cards=place(view)), engine=engine)
    off = errors(answer, target, view)
    assert np.sqrt(np.mean(off**2)) < 0.5  # a tenth of a pixel of 6 arcsec
    assert off.max() < 1.0
    assert abs(number(answer.facts["rotation"]) - view.rotation) < 0.01
    assert abs(number(answer.facts["pixel_scale"]) - 5.98) < 0.01
    assert number(answer.facts["pointing_offset"]) < 0.01
    assert number(answer.facts["chance"]) < 1e-9
    assert answer.facts["engine"] == engine


def hash_of(text: str) -> float:
    return sum(map(ord, text)) % 97 / 97


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("cards", "what"),
    [
        ([("RA", 59.9, ""), ("DEC", 24.11, "")], "three degrees off"),
        ([("RA", 236.6, ""), ("DEC", -24.11, "")], "the other side of the sky"),
        ([], "no place"),
    ],
)
def test_a_wrong_place_in_the_header_costs_time_and_no_frame(
    work: Callable[..., Answer], engine: str, cards: list[Card], what: str
) -> None:
    answer = work(vespera_frame("M45", M45, cards=cards), engine=engine)
    assert errors(answer, "M45", M45).max() < 1.0, what


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_scale_that_is_off_by_five_per_cent_is_found(work: Callable[..., Answer], factor: float) -> None:
    scale: list[Card] = [("SECPIX", 5.98 * factor, "")]
    pixels = vespera_frame("M45", M45, cards=[*place(M45), *scale]).replace(b"XPIXSZ", b"XPIXOL")
    assert errors(work(pixels), "M45", M45).max() < 1.0


def test_a_frame_without_any_hint_is_found(work: Callable[..., Answer]) -> None:
    data = vespera_frame("M45", M45).replace(b"XPIXSZ", b"XPIXOL")
    assert errors(work(data), "M45", M45).max() < 1.0


def test_a_mirrored_frame_is_found_and_told(work: Callable[..., Answer]) -> None:
    data = vespera_frame("M45", M45, cards=place(M45))
    start = data.index(b"END" + b" " * 77)
    start = (start // 2880 + 1) * 2880
    pixels = np.frombuffer(data, ">u2", SIZE[0] * SIZE[1], start).reshape(SIZE[1], SIZE[0])
    answer = work(data[:start] + np.ascontiguousarray(pixels[::-1]).tobytes() + bytes(-pixels.nbytes % 2880))
    assert answer.solution is not None, answer.reason
    assert answer.facts["mirrored"] is True


def test_colours_floats_and_packed_frames_are_found(work: Callable[..., Answer], tmp_path: Path) -> None:
    with fits.HDUList.fromstring(vespera_frame("M45", M45, cards=place(M45))) as hdus:
        pixels, header = hdus[0].data, hdus[0].header
    for key in ("BZERO", "BSCALE"):
        header.pop(key, None)
    kinds = {
        "three-planes": fits.HDUList([fits.PrimaryHDU(np.stack([pixels] * 3), header)]),
        "float": fits.HDUList([fits.PrimaryHDU(pixels.astype(np.float32) / 65535, header)]),
        "double": fits.HDUList([fits.PrimaryHDU(pixels.astype(np.float64), header)]),
        "extension": fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, header)]),
        "packed.fits.fz": fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(pixels, header)]),
    }
    for name, made in kinds.items():
        path = tmp_path / name
        made.writeto(path)
        assert errors(work(path.read_bytes(), name), "M45", M45).max() < 1.0, name
    packed = gzip.compress((tmp_path / "float").read_bytes())
    assert errors(work(packed, "float.fits.gz"), "M45", M45).max() < 1.0


def test_pixels_without_a_value_are_left_out(work: Callable[..., Answer]) -> None:
    with fits.HDUList.fromstring(vespera_frame("M45", M45, cards=place(M45))) as hdus:
        pixels, header = hdus[0].data.astype(np.float32), hdus[0].header
    pixels[:, :200] = np.nan
    pixels[100, 500] = np.inf
    for key in ("BZERO", "BSCALE"):
        header.pop(key, None)
    made = fits.PrimaryHDU(pixels, header)
    raw = made.header.tostring().encode() + pixels.astype(">f4").tobytes()
    assert errors(work(raw + bytes(-len(raw) % 2880)), "M45", M45).max() < 1.0


def test_what_the_stars_tell_is_true(work: Callable[..., Answer]) -> None:
    wcs = plain_wcs(56.6, 24.11, SIZE, 5.98)
    for width in (2.6, 5.0):
        pixels = draw_field(wcs, star_table()["M45"], SIZE, fwhm=width, brightest=6.0)
        answer = work(fits_image([*optics(SIZE), *place(M45)], pixels))
        assert answer.solution is not None, answer.reason
        assert abs(number(answer.facts["fwhm"]) / width - 1) < 0.1
        assert number(answer.facts["ellipticity"]) < 0.15
        assert abs(number(answer.facts["background"]) - 1000) < 5
        assert abs(number(answer.facts["noise"]) / 20 - 1) < 0.15


def test_a_field_below_the_horizon_tells_of_a_wrong_clock(work: Callable[..., Answer]) -> None:
    here: list[Card] = [("SITELAT", 48.0, ""), ("SITELONG", 11.0, ""), ("IMAGETYP", "Light", "")]
    for moment, wrong in (("2026-11-21T22:00:00.0", False), ("2026-11-21T09:00:00.0", True)):
        cards: list[Card] = [*place(M45), *here, ("DATE-OBS", moment, "")]
        answer = work(vespera_frame("M45", M45, cards=cards))
        assert ("clock" in answer.facts) is wrong, answer.facts


def test_every_frame_of_the_demo_s_night_that_shows_stars_is_found(
    settings: Settings, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    evening, lights = date(2026, 9, 12), rounds(1, 4)
    plan = build_night(tmp_path / "night", seed=1, evening=evening, observations=3, lights=lights, quirks=True)
    answers = {
        file.path: solve_frame(plan.root / file.path, settings, name=file.path.rpartition("/")[2])
        for file in plan.files
        if file.path.endswith(".fits") and not file.fault and "dark" not in file.path
    }
    assert len(answers) > 3 * lights
    assert {path: answer.reason for path, answer in answers.items() if answer.solution is None} == {}


# solutions that are there already ----------------------------------------------------------------------------------


def wcs_cards(ra: float, dec: float, turn: float = 12.0) -> list[Card]:
    wcs = plain_wcs(ra, dec, SIZE, 5.98, turn)
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    cards: list[Card] = [("CTYPE1", "RA---TAN", ""), ("CTYPE2", "DEC--TAN", "")]
    cards += [("CRVAL1", ra, ""), ("CRVAL2", dec, ""), ("CRPIX1", wcs.crpix[0], ""), ("CRPIX2", wcs.crpix[1], "")]
    return [*cards, *((name, value, "") for name, value in zip(names, wcs.cd, strict=True))]


def test_a_good_solution_is_checked_and_kept(work: Callable[..., Answer]) -> None:
    answer = work(vespera_frame("M45", M45, cards=wcs_cards(56.6, 24.11)))
    assert answer.solution is not None
    assert answer.solution.checked
    assert answer.facts["engine"] == "header"
    assert answer.solution.wcs.crval == (56.6, 24.11)


def test_a_wrong_solution_is_found_out_and_replaced(work: Callable[..., Answer]) -> None:
    for ra, turn in ((56.63, 12.0), (56.6, 14.0), (156.6, 12.0)):
        answer = work(vespera_frame("M45", M45, cards=wcs_cards(ra, 24.11, turn)))
        assert answer.solution is not None, answer.reason
        assert not answer.solution.checked
        assert errors(answer, "M45", M45).max() < 1.0


# what is refused ---------------------------------------------------------------------------------------------------


def blank(value: int) -> bytes:
    return fits_image([*optics(SIZE), *place(M45)], np.full((540, 960), value, np.uint16))


def noise(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return fits_image([*place(M45)], rng.normal(1000, 50, (540, 960)).astype(np.uint16))


def trailed() -> bytes:
    wcs = plain_wcs(56.6, 24.11, SIZE, 5.98)
    pixels = draw_field(wcs, star_table()["M45"], SIZE, brightest=7.0, trail=60.0)
    return fits_image([*optics(SIZE), *place(M45)], pixels)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: blank(1000), "blank"),
        (lambda: blank(65535), "blank"),
        (lambda: fits_image([], np.tile(np.array([65535, 65534], np.uint16), (540, 480))), "saturated"),
        (lambda: noise(3), "stars"),
        (trailed, "trailed"),
        (lambda: fits_image([], np.zeros((16, 16), np.uint16)), "too small"),
        (lambda: vespera_frame("M45", M45, cards=[("IMAGETYP", "Dark Frame", "")]), "dark"),
        (lambda: vespera_frame("M45", M45)[:300_000], "truncated"),
        (lambda: b"", "not FITS"),
        (lambda: b"\x1f\x8bnot really", "gzip"),
        (lambda: b"no picture at all\n" * 500, "not FITS"),
    ],
)
def test_what_shows_no_sky_is_refused_with_its_reason(
    work: Callable[..., Answer], make: Callable[[], bytes], reason: str
) -> None:
    answer = work(make())
    assert answer.solution is None
    assert reason in answer.reason
    assert not answer.world


def test_a_stack_of_planes_is_refused(work: Callable[..., Answer], tmp_path: Path) -> None:
    fits.PrimaryHDU(np.zeros((7, 64, 64), np.int16)).writeto(tmp_path / "cube.fits")
    answer = work((tmp_path / "cube.fits").read_bytes())
    assert "expected one plane" in answer.reason


def test_a_field_that_no_index_covers_is_told(work: Callable[..., Answer]) -> None:
    elsewhere = plain_wcs(200.0, -60.0, SIZE, 5.98)
    rng = np.random.default_rng(5)
    stars = np.stack([200 + rng.uniform(-2, 2, 300), -60 + rng.uniform(-1, 1, 300), rng.uniform(7, 12, 300)], axis=1)
    data = fits_image([*optics(SIZE), ("RA", 200.0, ""), ("DEC", -60.0, "")], draw_field(elsewhere, stars, SIZE))
    answer = work(data)
    assert answer.solution is None
    assert "match no field of 2 index files within 5 degrees" in answer.reason


@pytest.mark.parametrize("engine", ENGINES)
def test_a_search_that_finds_nothing_ends(settings: Settings, engine: str) -> None:
    """Two hundred stars that are nowhere, and no hint: the whole sky of the index files, at any scale."""
    rng = np.random.default_rng(2)
    flux = np.sort(rng.uniform(1, 1e5, 200))[::-1]
    stars = Stars(rng.uniform(1, 1920, 200), rng.uniform(1, 1080, 200), flux, 1920, 1080)
    began = time.monotonic()
    files = [index.path for index in shelved(settings.indexes, usual=False)]
    assert load_engine(engine).guess(stars, Hints(), files, 20.0) is None
    assert time.monotonic() - began < 300, "seconds, and minutes on a machine that has other work"


def test_missing_and_damaged_index_files_are_told(work: Callable[..., Answer], sky_index: Path, tmp_path: Path) -> None:
    data = vespera_frame("M45", M45, cards=place(M45))
    (tmp_path / "none").mkdir()
    with pytest.raises(Misconfigured, match="there is no index file"):
        work(data, indexes=(tmp_path / "none",))
    with pytest.raises(Misconfigured, match="no index folder or file"):
        work(data, indexes=(tmp_path / "missing",))
    whole = min(sky_index.glob("*.fits")).read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "index.fits").write_bytes(whole[:-5000])
    with pytest.raises(Misconfigured, match=r"none is whole: .*truncated"):
        work(data, indexes=(tmp_path / "cut",))
    (tmp_path / "cut" / "index.fits").write_bytes(b"SIMPLE  =                    T" + bytes(9000))
    with pytest.raises(Misconfigured, match="damaged"):
        work(data, indexes=(tmp_path / "cut",))


def test_an_engine_that_is_not_there_is_told() -> None:
    with pytest.raises(Misconfigured, match="unknown engine 'astap'"):
        load_engine("astap")


# no false solution -----------------------------------------------------------------------------------------------


@pytest.mark.long
def test_no_list_of_stars_that_are_not_there_is_solved(
    settings: Settings, rounds: Callable[[int, int], int], sky_index: Path
) -> None:
    """Random lists, true fields that the index does not hold, and true stars with their places shuffled."""
    from nightferry.headers.canonical import Canonical
    from nightferry.solving.frame import _Case, _looked_up
    from nightferry.solving.hints import Told

    engine = load_engine()
    indexes = shelved(settings.indexes, usual=False)
    rng = np.random.default_rng(20261121)
    targets = sorted(TARGETS)
    solved = []
    for turn in range(rounds(60, 1000)):
        count = int(rng.integers(8, 200))
        x, y = rng.uniform(1, 1920, count), rng.uniform(1, 1080, count)
        if turn % 3:  # the stars of a real field, a coordinate of them shuffled or turned over
            table = star_table()[targets[turn % 8]]
            true_x, true_y = project(table, View(table[0, 0], table[0, 1], turn), make_sensor((192, 108), seed=1))
            inside = (true_x > 0) & (true_x < 192) & (true_y > 0) & (true_y < 108)
            x, y = true_x[inside] * 10 + 1, true_y[inside] * 10 + 1
            x = rng.permutation(x) if turn % 3 == 1 else 1920 * (x / 1920) ** 1.7
        if x.size < 8:
            continue
        stars = Stars(x, y, np.sort(rng.uniform(1, 1e5, x.size))[::-1], 1920, 1080)
        centre = TARGETS[targets[turn % 8]]
        scale = None if turn % 5 == 0 else 2.99
        limits = None if scale is None else (2.7, 3.3)
        hints = Hints(None if turn % 4 == 0 else centre.ra, centre.dec, scales=limits, scale=scale)
        case = _Case(stars, Told(Canonical(), hints, ""), indexes, engine.name, None)
        found, _ = _looked_up(case, engine, 20.0)
        if found is not None:
            solved.append((turn, found.fit.matches.count, found.chance))
    assert not solved
