"""Stars: where they are in a picture, and what they tell of focus, tracking, clouds and saturation.

The finding itself is sep's (Barbary 2016, JOSS 1, 58; after SExtractor, Bertin & Arnouts 1996).
"""

import math
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from nightferry.core.errors import Held, Misconfigured
from nightferry.core.frame import Fact
from nightferry.solving.arrays import Floats, Singles
from nightferry.solving.model import Stars
from nightferry.solving.pixels import Picture

#: Stars that are kept, brightest first.
MOST_STARS = 400
#: Fewer stars than this prove nothing.
FEWEST = 8
_THRESHOLD = 5.0  # of a detection, in units of the noise
_HARDER, _TRIES = 2.5, 4  # when too much stands out: by how much the threshold rises, and how often
_BUFFER = 300_000  # pixels: sep's own, which costs nothing; seven times as many cost 31 ms a picture
_SHARE = 7  # of big pictures, every seventh pixel may stand out
_BAND = 128  # rows
_MESH = 128  # pixels: the grid on which the sky is measured
_LONG, _NARROW = 3.0, 0.35  # a trail's axis ratio; a hot pixel's short axis in pixels
_SHAPES = 40  # stars whose shape is measured
_FULL_SHARE = 0.5  # of a picture in which nothing can be found
_SIGMA_TO_FWHM = 2.0 * math.sqrt(2.0 * math.log(2.0))


class _Background(Protocol):
    globalback: float
    globalrms: float

    def subfrom(self, data: Singles) -> None: ...


class _Sep(Protocol):
    """What is used of sep, a module without types."""

    def Background(self, data: Singles, **options: object) -> _Background: ...  # noqa: N802 - sep's name

    def extract(self, data: Singles, thresh: float, **options: object) -> npt.NDArray[np.void]: ...

    def set_extract_pixstack(self, size: int) -> None: ...

    def flux_radius(
        self, data: Singles, x: Floats, y: Floats, rmax: Floats, frac: float, **options: object
    ) -> tuple[Floats, npt.NDArray[np.int16]]: ...


def find_stars(picture: Picture) -> tuple[Stars, dict[str, Fact]]:
    """Find the stars of a picture, and measure them. Raises `Held`, with what was seen, where too few can be found."""
    sep = _library()
    pixels = picture.pixels
    low, high = float(pixels.min()), float(pixels.max())
    if low == high:
        raise Held(f"blank: every pixel is {low:g}")
    full = float(np.count_nonzero(pixels >= 0.98 * picture.full)) / pixels.size if picture.full > 0 else 0.0
    if full > _FULL_SHARE:
        raise Held(f"saturated: {full:.0%} of the pixels are full")
    sky = sep.Background(pixels, mask=picture.bad, bw=_MESH, bh=_MESH)
    sky.subfrom(pixels)
    facts: dict[str, Fact] = {
        "background": round(float(sky.globalback), 2),
        "noise": round(float(sky.globalrms) * picture.bin, 2),
        "saturated": round(full, 6),
    }
    if not sky.globalrms > 0:
        raise Held("blank: the sky has no noise")
    found = _extract(sep, pixels, float(sky.globalrms), picture.bad)
    with np.errstate(divide="ignore", invalid="ignore"):
        trails = (found["a"] > _LONG * found["b"]) & (found["npix"] > 20)  # noqa: PLR2004 - a cosmic ray is shorter
    good = found[(found["b"] > _NARROW) & (found["a"] <= _LONG * found["b"]) & (found["flux"] > 0)]
    good = good[np.argsort(-good["flux"], kind="stable")]
    facts["stars"] = int(good.size)
    trailed = int(np.count_nonzero(trails))
    if good.size:
        facts |= _shapes(sep, picture, float(sky.globalback), good[: 4 * _SHAPES])
    if trailed > max(good.size, FEWEST):
        facts["trailed"] = trailed
    good = good[:MOST_STARS]
    middle = (picture.bin + 1) / 2
    x, y = (good[axis].astype(np.float64) * picture.bin + middle for axis in "xy")
    return Stars(x, y, good["flux"].astype(np.float64), picture.width, picture.height), facts


def too_few(stars: Stars, facts: dict[str, Fact]) -> str:
    """Say why these stars are too few to prove anything; empty when they are enough."""
    if stars.count >= FEWEST:
        return ""
    if "trailed" in facts:
        return f"trailed: {facts['trailed']} trails and {stars.count} stars; the telescope moved"
    return f"only {stars.count} stars found; expected {FEWEST} or more: clouds, focus, or no sky"


def _extract(sep: _Sep, pixels: Singles, noise: float, bad: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.void]:
    """Find what stands out; a picture too full of it is looked at with a higher threshold.

    sep keeps the pixels that stand out in a buffer of fixed size, and raises a bare Exception when it overflows. So
    they are counted before, which costs 2 ms of a picture of two million pixels, and the buffer gets room for twice as
    many: it holds a few that end no object yet beside them.
    """
    threshold = _THRESHOLD
    for _ in range(_TRIES):
        count = standing_out(pixels, threshold * noise)
        if count <= max(_BUFFER // 2, pixels.size // _SHARE):
            sep.set_extract_pixstack(max(_BUFFER, 2 * count + 1000))
            return sep.extract(
                pixels, threshold, err=noise, mask=bad, minarea=5, deblend_nthresh=1, deblend_cont=1.0, clean=False
            )
        threshold *= _HARDER
    raise Held("no stars stand out: the picture is full of structure, as of noise or saturation")


def standing_out(pixels: Singles, limit: float) -> int:
    """Count the pixels above a limit once the picture is smoothed as sep does it: 1 2 1, 2 4 2, 1 2 1.

    That kernel is two squares of 2 x 2 ones, one after the other, so four additions do. Bands of rows stay in the
    processor's cache.
    """
    height, width = pixels.shape
    count = 0
    band = np.zeros((_BAND + 2, width + 2), np.float32)
    for top in range(0, height, _BAND):
        first, last = max(0, top - 1), min(height, top + _BAND + 1)
        band[:] = 0
        band[first - top + 1 : last - top + 1, 1:-1] = pixels[first:last]
        smooth = _squares(_squares(band))
        count += int(np.count_nonzero(smooth[: min(_BAND, height - top)] > 16 * limit))
    return count


def _squares(picture: Singles) -> Singles:
    """Add up each square of 2 x 2 pixels."""
    rows = picture[:-1] + picture[1:]
    added: Singles = rows[:, :-1] + rows[:, 1:]
    return added


def _shapes(sep: _Sep, picture: Picture, background: float, found: npt.NDArray[np.void]) -> dict[str, Fact]:
    """Measure width and roundness on bright stars that are not full; FWHM in pixels of the frame, binning undone."""
    top = 0.9 * picture.full - background if picture.full > 0 else math.inf
    clean = found[found["peak"] < top][:_SHAPES]
    if not clean.size:
        return {}
    x, y = (clean[axis].astype(np.float64) for axis in "xy")
    half, _ = sep.flux_radius(picture.pixels, x, y, np.full(x.size, 6.0) + 3 * clean["a"], 0.5, subpix=3)
    half = half[np.isfinite(half) & (half > 0)]
    facts: dict[str, Fact] = {"ellipticity": round(float(np.median(1 - clean["b"] / clean["a"])), 3)}
    if half.size:
        # squares that the light is collected in widen a star: those of the binning, and those that are summed up here
        added = _SIGMA_TO_FWHM**2 * (2 * picture.bin**2 - 1) / 12
        widths = np.sqrt(np.maximum((2 * picture.bin * half) ** 2 - added, 0.25))
        middle = float(np.median(widths))
        facts["fwhm"] = round(middle, 3)
        facts["fwhm_spread"] = round(1.4826 * float(np.median(np.abs(widths - middle))), 3)
    return facts


def _library() -> _Sep:
    try:
        import sep  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as err:
        raise Misconfigured("plate solving needs sep: pip install 'nightferry[solve]'") from err
    return cast("_Sep", sep)
