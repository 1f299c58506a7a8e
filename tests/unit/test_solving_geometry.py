"""The numbers of plate solving, each beside what somebody else computes: projections, distortion, chance."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from nightferry.formats.cards import close_header
from nightferry.headers.canonical import Wcs
from nightferry.headers.profiles.make import celestial_cards
from nightferry.solving.gate import chance, judge, tail
from nightferry.solving.learning import learn, lesson_of, read_lesson, relearnt
from nightferry.solving.model import Answer, Hints, Solution, Stars
from nightferry.solving.refine import Sky, measured, norm_of, refine
from nightferry.solving.sphere import pixels_of, rotation_of, separation, sky_of
from nightferry.solving.warp import Warp, read_warp
from nightferry.testing.fields import made_up_stars, plain_wcs

SIZE = (3840, 2160)
#: Each coordinate grows by half a per mille of its own at the corner: two pixels.
LENS = Warp("radial", norm_of(SIZE), (0, 0, 0, 1e-3, 0, 1e-3, 0), (0, 0, 0, 0, 1e-3, 0, 1e-3))
TILT = Warp(
    "cubic", norm_of(SIZE), (3e-4, -1e-4, 2e-4, 8e-4, 1e-4, 5e-4, -2e-4), (-2e-4, 3e-4, 1e-4, 0, 9e-4, 1e-4, 7e-4)
)


def warped(wcs: Wcs, warp: Warp) -> Wcs:
    kinds = ("RA---TAN-SIP", "DEC--TAN-SIP")
    return replace(wcs, ctype=kinds, further={**warp.cards(), **warp.inverse()})


def as_astropy(wcs: Wcs) -> WCS:
    structure = b"".join(
        f"{key:<8}= {value:>20}".encode().ljust(80)
        for key, value in (("SIMPLE", "T"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", SIZE[0]), ("NAXIS2", SIZE[1]))
    )
    header = close_header([structure, *(card.raw for card in celestial_cards(wcs))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(fits.Header.fromstring(header))


@given(
    place=st.tuples(st.floats(0, 359.99), st.floats(-89.5, 89.5)),
    scale=st.floats(0.1, 10),
    turn=st.floats(-180, 180),
    kind=st.sampled_from(["plain", "bent", "flipped", "bent and flipped"]),
)
def test_pixels_and_sky_agree_with_wcslib(place: tuple[float, float], scale: float, turn: float, kind: str) -> None:
    bent, flipped = "bent" in kind, "flipped" in kind
    wcs = plain_wcs(*place, SIZE, scale, turn)
    if flipped:
        wcs = replace(wcs, cd=(-wcs.cd[0], wcs.cd[1], -wcs.cd[2], wcs.cd[3]))
    if bent:
        wcs = warped(wcs, TILT)
    x, y = np.array([1.0, 3840, 1, 3840, 1920.5]), np.array([1.0, 1, 2160, 2160, 1080.5])
    theirs = as_astropy(wcs).all_pix2world(np.stack([x, y], axis=1), 1)
    ours = sky_of(wcs, x, y)
    for one, other in zip(theirs, zip(*ours, strict=True), strict=True):
        assert separation((one[0], one[1]), (other[0], other[1])) * 3600 < 1e-6
    back_x, back_y = pixels_of(wcs, *ours)
    assert np.abs(back_x - x).max() < 1e-5
    assert np.abs(back_y - y).max() < 1e-5


def test_the_way_back_in_the_cards_is_exact_to_a_thousandth_of_a_pixel() -> None:
    wcs = warped(plain_wcs(100.0, 40.0, SIZE, 1.5), TILT)
    reader = as_astropy(wcs)
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(1, 3840, 30), np.linspace(1, 2160, 30)))
    ra, dec = sky_of(wcs, x, y)
    u, v = (reader.wcs_world2pix(np.stack([ra, dec], axis=1), 1) - wcs.crpix).T
    for axis, told in (("AP", x), ("BP", y)):
        straight, middle = (u, wcs.crpix[0]) if axis == "AP" else (v, wcs.crpix[1])
        bent = sum(wcs.further[f"{axis}_{p}_{q}"] * u**p * v**q for p in range(6) for q in range(6 - p) if p + q)
        assert np.abs(straight + bent + middle - told).max() < 1e-3


def test_rotation_is_the_position_angle_of_up() -> None:
    for turn in (-179.0, -90.0, 0.0, 33.0, 150.0):
        wcs = plain_wcs(10.0, 20.0, (100, 100), 3.0, turn)
        assert abs(rotation_of(wcs) - turn) < 1e-9


# fitting -------------------------------------------------------------------------------------------------------


def seen(wcs: Wcs, stars: np.ndarray, *, noise: float, seed: int) -> Stars:
    """Measure stars through a solution, each place off by some noise; a tenth of them lost, as many others added."""
    rng = np.random.default_rng(seed)
    x, y = pixels_of(wcs, stars[:, 0], stars[:, 1])
    inside = (x > 1) & (y > 1) & (x < SIZE[0]) & (y < SIZE[1]) & (rng.uniform(size=x.size) > 0.1)
    x, y, magnitude = x[inside], y[inside], stars[inside, 2]
    extra = max(1, x.size // 10)
    x = np.concatenate([x + rng.normal(0, noise, x.size), rng.uniform(1, SIZE[0], extra)])
    y = np.concatenate([y + rng.normal(0, noise, y.size), rng.uniform(1, SIZE[1], extra)])
    flux = np.concatenate([10 ** (-0.4 * magnitude), np.full(extra, 1e-6)])
    order = np.argsort(-flux)
    return Stars(x[order], y[order], flux[order], *SIZE)


def solved(wcs: Wcs, stars: np.ndarray, seed: int, learnt: Warp | None = None) -> Answer:
    """Refine a frame from a guess that is off by pixels, as an engine's is."""
    flat = replace(wcs, ctype=("RA---TAN", "DEC--TAN"), further={}, crval=(wcs.crval[0] + 0.0008, wcs.crval[1]))
    measured_stars = seen(wcs, stars, noise=0.15, seed=seed)
    fit = refine(flat, measured_stars, Sky(stars[:, 0], stars[:, 1]), learnt)
    assert fit is not None
    assert not judge(fit, measured_stars, Hints())
    return Answer(Solution(fit, "", "", chance(fit, measured_stars)), "", {}, "lens", SIZE)


def misses(found: Wcs, truth: Wcs) -> tuple[float, float]:
    """Tell by how many arcseconds a solution is off: root mean square over the frame, worst of the corners."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(1, SIZE[0], 9), np.linspace(1, SIZE[1], 9)))
    off = [
        3600 * separation((one[0], one[1]), (other[0], other[1]))
        for one, other in zip(
            zip(*sky_of(found, x, y), strict=True), zip(*sky_of(truth, x, y), strict=True), strict=True
        )
    ]
    return math.sqrt(sum(value**2 for value in off) / len(off)), max(off[0], off[8], off[-1], off[-9])


@pytest.mark.parametrize("warp", [LENS, TILT], ids=["lens", "tilted"])
def test_a_distortion_is_learnt_over_a_night_and_mends_the_corners(warp: Warp) -> None:
    answers, truths = [], []
    for number in range(12):
        truth = warped(plain_wcs(120.0 + number / 50, 35.0, SIZE, 1.5, 5.0 * number), warp)
        answers.append(solved(truth, made_up_stars(120.0, 35.0, radius=1.5, count=500, seed=number), number))
        truths.append(truth)
    learnt = learn(answers)["lens"]
    before, after = [], []
    for answer, truth in zip(answers, truths, strict=True):
        again = relearnt(answer, learnt)
        assert answer.solution is not None
        assert again is not None
        before.append(misses(answer.solution.wcs, truth))
        after.append(misses(again.wcs, truth))
    assert np.median([rms for rms, _ in after]) < 0.15
    assert np.median([corner for _, corner in after]) < 0.5
    if warp is TILT:  # that of a plain lens each frame knows well enough by itself
        assert np.median([corner for _, corner in after]) < np.median([corner for _, corner in before])


def test_a_plane_stays_a_plane() -> None:
    truth = plain_wcs(120.0, 35.0, SIZE, 1.5)
    answers = [solved(truth, made_up_stars(120.0, 35.0, radius=1.5, count=500, seed=n), n) for n in range(12)]
    assert learn(answers) == {}
    assert sum(answer.solution.fit.warp == "none" for answer in answers if answer.solution) >= 10


def test_few_stars_are_not_bent_to_fit() -> None:
    truth = plain_wcs(120.0, 35.0, SIZE, 1.5)
    answer = solved(truth, made_up_stars(120.0, 35.0, radius=0.8, count=25, seed=3), 3)
    assert answer.solution is not None
    assert answer.solution.fit.warp == "none"
    assert misses(answer.solution.wcs, truth)[1] < 1.0


def test_what_was_learnt_is_read_back_and_damage_is_nothing() -> None:
    answer = solved(warped(plain_wcs(120.0, 35.0, SIZE, 1.5), LENS), made_up_stars(120.0, 35.0, count=900), 1)
    lesson = lesson_of(answer)
    assert lesson is not None
    again = read_lesson(lesson.text())
    assert again is not None
    assert again.text() == lesson.text()
    assert read_warp(TILT.text()) == replace(TILT, kind="learnt")
    for bad in ("", "{", "[]", '{"form": 9}', lesson.text()[:-3], lesson.text().replace('"norm"', '"mron"')):
        assert read_lesson(bad) is None
        assert read_warp(bad) is None


# the gate --------------------------------------------------------------------------------------------------------


def test_the_tail_of_chances_is_that_of_the_binomial() -> None:
    def plain(trials: int, least: int, share: float) -> float:
        return sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(least, trials + 1))

    for trials, least, share in ((10, 3, 0.1), (200, 12, 0.003), (50, 50, 0.5), (30, 1, 1e-6)):
        assert tail(trials, least, share) == pytest.approx(plain(trials, least, share), rel=1e-9)
    assert tail(5, 0, 0.5) == tail(5, 3, 1.0) == 1.0
    assert tail(5, 1, 0.0) == 0.0


def test_a_solution_that_luck_could_bring_is_refused() -> None:
    truth = plain_wcs(120.0, 35.0, SIZE, 1.5)
    stars = made_up_stars(120.0, 35.0, radius=1.5, count=300, seed=4)
    good = seen(truth, stars, noise=0.15, seed=1)
    sky = Sky(stars[:, 0], stars[:, 1])
    assert judge(measured(truth, None, good, sky, 3.0), good, Hints()) == ""
    elsewhere = plain_wcs(120.05, 35.03, SIZE, 1.5)
    assert judge(measured(elsewhere, None, good, sky, 3.0), good, Hints())
    rough = seen(truth, stars, noise=1.4, seed=1)
    assert "scatter" in judge(measured(truth, None, rough, sky, 5.0), rough, Hints())
    reason = judge(measured(truth, None, good, sky, 3.0), good, Hints(scale=1.6, tolerance=0.05))
    assert "its scale is 1.5000 arcsec per pixel; expected 1.6000 within 5%" in reason


def test_parameters_that_were_fitted_are_no_evidence() -> None:
    truth = plain_wcs(120.0, 35.0, SIZE, 1.5)
    stars = made_up_stars(120.0, 35.0, radius=0.6, count=40, seed=4)
    good = seen(truth, stars, noise=0.1, seed=1)
    fit = measured(truth, None, good, Sky(stars[:, 0], stars[:, 1]), 3.0)
    assert chance(replace(fit, freedom=20), good) > chance(replace(fit, freedom=6), good) > chance(fit, good)
    assert chance(replace(fit, freedom=200), good) == 1.0
