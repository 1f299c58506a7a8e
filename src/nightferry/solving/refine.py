"""Refine: from a guess to a solution, by matching the stars of the frame with those of the catalogue."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nightferry.core.canonical import Wcs
from nightferry.solving.arrays import Floats
from nightferry.solving.model import Fit, Matches, Stars
from nightferry.solving.sphere import from_plane, pixels_of, sky_of, to_plane
from nightferry.solving.warp import FREEDOM, Kind, Warp, estimate

#: Pixels within which stars are first matched: a guess is good to a few, its corners to some more.
FIRST_REACH, LEAST_REACH = 8.0, 1.5
_ROUNDS = 3  # of matching anew with a better solution
_CLIP = 3.0  # times the scatter: matches beyond are none
_AFFINE = 6
#: Matches from which a kind of distortion may be thought of.
_LEAST: dict[Kind, int] = {"radial": 20, "cubic": 60}


@dataclass(frozen=True, slots=True)
class Sky:
    """Catalogue stars around a frame, brightest first; degrees."""

    ra: Floats
    dec: Floats

    def brightest(self, count: int) -> "Sky":
        """Keep so many."""
        return Sky(self.ra[:count], self.dec[:count])


def refine(guess: Wcs, stars: Stars, sky: Sky, learnt: Warp | None = None) -> Fit | None:
    """Match and fit in turns; None where too few stars match for any fit."""
    wcs, reach = guess, FIRST_REACH
    fitted: tuple[Wcs, Warp] | None = None
    for number in range(_ROUNDS):
        pairs = match(wcs, stars, sky, reach)
        if len(pairs.star) < 5:  # noqa: PLR2004 - six numbers need three, and two more to tell
            return None
        found = Matches(stars.x[pairs.star], stars.y[pairs.star], sky.ra[pairs.other], sky.dec[pairs.other])
        keep, wcs, warp = _fit_clipped(found, wcs, stars, learnt, last=number == _ROUNDS - 1)
        if keep is None:
            return None
        fitted = wcs, warp
        rms = scatter(wcs, keep)
        reach = max(LEAST_REACH, min(reach, 5 * rms))
    if fitted is None:
        return None
    wcs, warp = fitted
    return measured(with_inverse(wcs, warp), warp, stars, sky, reach)


def measured(wcs: Wcs, warp: Warp | None, stars: Stars, sky: Sky, reach: float) -> Fit:
    """Tell how well a solution does; without a warp nothing was fitted, the solution is taken as it is."""
    pairs = match(wcs, stars, sky, reach)
    matches = Matches(stars.x[pairs.star], stars.y[pairs.star], sky.ra[pairs.other], sky.dec[pairs.other])
    freedom = 0 if warp is None else _AFFINE + FREEDOM[warp.kind]
    kind = "header" if warp is None else warp.kind
    return Fit(wcs, matches, pairs.inside, reach, freedom, scatter(wcs, matches), kind)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which star of the frame is which of the catalogue, and how many of the catalogue's lie in the frame."""

    star: npt.NDArray[np.intp]
    other: npt.NDArray[np.intp]
    inside: int


def match(wcs: Wcs, stars: Stars, sky: Sky, reach: float) -> Pairs:
    """Pair each star with the catalogue star nearest to it, where each is the other's nearest within ``reach``."""
    x, y = pixels_of(wcs, sky.ra, sky.dec)
    inside = np.flatnonzero((x > 0.5) & (x < stars.width + 0.5) & (y > 0.5) & (y < stars.height + 0.5))  # noqa: PLR2004 - the frame's edges
    if not inside.size or not stars.count:
        nothing = np.array([], dtype=np.intp)
        return Pairs(nothing, nothing, int(inside.size))
    apart = (stars.x[:, None] - x[inside]) ** 2 + (stars.y[:, None] - y[inside]) ** 2
    nearest, back = apart.argmin(axis=1), apart.argmin(axis=0)
    each = np.arange(stars.count)
    good = (back[nearest] == each) & (apart[each, nearest] < reach**2)
    return Pairs(each[good], inside[nearest[good]], int(inside.size))


def scatter(wcs: Wcs, matches: Matches) -> float:
    """Tell the root mean square distance between matched stars, in pixels; infinite without any."""
    if not matches.count:
        return math.inf
    x, y = pixels_of(wcs, matches.ra, matches.dec)
    return float(np.sqrt(np.mean((x - matches.x) ** 2 + (y - matches.y) ** 2)))


def refit(matches: Matches, wcs: Wcs, size: tuple[int, int], warp: Warp) -> Wcs:
    """Fit place and matrix anew under a given distortion."""
    u, v = normal_places(matches, size, warp.norm)
    crval, cd = _fit_linear(*warp.apply(u, v), matches, _centre(wcs, size))
    return _as_wcs(crval, cd, size, warp)


def normal_places(matches: Matches, size: tuple[int, int], norm: float) -> tuple[Floats, Floats]:
    """Tell matched stars' places in the frame, from its middle and in units of ``norm``."""
    return (matches.x - (size[0] + 1) / 2) / norm, (matches.y - (size[1] + 1) / 2) / norm


def straight_places(matches: Matches, wcs: Wcs, norm: float) -> tuple[Floats, Floats]:
    """Tell where matched stars lie in the plane by the catalogue, in units of ``norm``, with a solution's matrix."""
    east, north = to_plane(matches.ra, matches.dec, wcs.crval)
    a, b, c, d = (value * norm for value in wcs.cd)
    determinant = a * d - b * c
    return (d * east - b * north) / determinant, (a * north - c * east) / determinant


def norm_of(size: tuple[int, int]) -> float:
    """Tell half the diagonal of a frame, in pixels."""
    return math.hypot(*size) / 2


def _fit_clipped(
    found: Matches, wcs: Wcs, stars: Stars, learnt: Warp | None, *, last: bool
) -> tuple[Matches | None, Wcs, Warp]:
    """Fit, leave out what does not belong, and fit again; the kind of distortion is chosen in the last round."""
    size = (stars.width, stars.height)
    norm = norm_of(size)
    warp = learnt if learnt is not None else Warp("none", norm)
    for _ in range(4):
        if learnt is None:
            warp = _choose(found, wcs, size, norm) if last or found.count >= 2 * _LEAST["radial"] else warp
        wcs = refit(found, wcs, size, warp)
        x, y = pixels_of(wcs, found.ra, found.dec)
        off = np.hypot(x - found.x, y - found.y)
        typical = max(float(np.median(off)) / 1.177, 0.05)  # of a Rayleigh distribution
        good = off < _CLIP * 1.5 * typical
        if np.count_nonzero(good) < 5:  # noqa: PLR2004 - as above
            return None, wcs, warp
        if good.all():
            break
        found = Matches(found.x[good], found.y[good], found.ra[good], found.dec[good])
    return found, wcs, warp


def _choose(found: Matches, wcs: Wcs, size: tuple[int, int], norm: float) -> Warp:
    """Choose the kind of distortion that the matches themselves ask for (Schwarz 1978, Ann. Stat. 6, 461)."""
    u, v = normal_places(found, size, norm)
    numbers = 2 * found.count
    best, lowest = Warp("none", norm), math.inf
    kinds: tuple[Kind, ...] = ("none", "radial", "cubic")
    for kind in kinds:
        if found.count < _LEAST.get(kind, 0):
            continue
        trial = refit(found, wcs, size, Warp("none", norm))
        warp = Warp("none", norm)
        for _ in range(2 if kind != "none" else 0):
            warp = estimate(kind, (u, v, *straight_places(found, trial, norm)), norm)
            trial = refit(found, trial, size, warp)
        rest = scatter(trial, found) ** 2 * found.count
        price = numbers * math.log(max(rest, 1e-12) / numbers) + (_AFFINE + FREEDOM[kind]) * math.log(numbers)
        if price < lowest:
            best, lowest = warp, price
    return best


def _centre(wcs: Wcs, size: tuple[int, int]) -> tuple[float, float]:
    ra, dec = sky_of(wcs, np.array([(size[0] + 1) / 2]), np.array([(size[1] + 1) / 2]))
    return float(ra[0]), float(dec[0])


def _fit_linear(
    u: Floats, v: Floats, matches: Matches, crval: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float, float, float]]:
    """Fit a matrix, and the place that the middle of the frame looks at, by least squares."""
    terms = np.stack([np.ones_like(u), u, v], axis=1)
    for _ in range(4):
        east, north = to_plane(matches.ra, matches.dec, crval)
        found, *_ = np.linalg.lstsq(terms, np.stack([east, north], axis=1), rcond=None)
        ra, dec = from_plane(found[0, :1], found[0, 1:], crval)
        crval = float(ra[0]), float(dec[0])
        if float(np.abs(found[0]).max()) < 1e-10:  # noqa: PLR2004 - degrees, a third of a microarcsecond
            break
    (a, c), (b, d) = found[1].tolist(), found[2].tolist()
    return crval, (a, b, c, d)


def _as_wcs(
    crval: tuple[float, float], cd: tuple[float, float, float, float], size: tuple[int, int], warp: Warp
) -> Wcs:
    kind = "TAN" if warp.kind == "none" else "TAN-SIP"
    a, b, c, d = (value / warp.norm for value in cd)
    middle = ((size[0] + 1) / 2, (size[1] + 1) / 2)
    return Wcs((f"RA---{kind}", f"DEC--{kind}"), middle, crval, (a, b, c, d), warp.cards())


def with_inverse(wcs: Wcs, warp: Warp) -> Wcs:
    """Add the way back to a solution, which the search for it had no need of."""
    return replace(wcs, further={**wcs.further, **warp.inverse()})


def measured_again(fit: Fit, wcs: Wcs, warp: Warp) -> Fit:
    """Tell how well another solution does for the same matches."""
    freedom = _AFFINE + FREEDOM[warp.kind]
    whole = with_inverse(wcs, warp)
    return replace(fit, wcs=whole, rms=scatter(wcs, fit.matches), freedom=freedom, warp=warp.kind)
