"""Refine: from a guess to a solution, by matching the stars of the frame with those of the catalogue."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nightferry.headers.canonical import Wcs
from nightferry.solving.arrays import Floats
from nightferry.solving.model import Fit, Matches, Stars
from nightferry.solving.sphere import from_plane, pixels_of, sky_of, to_plane
from nightferry.solving.warp import FREEDOM, Kind, Warp, estimate

#: Pixels within which stars are first matched: a guess is good to a few, its corners to some more.
FIRST_REACH, LEAST_REACH = 8.0, 1.5
_ROUNDS = 3  # of matching anew with a better solution
_CLIP, _CLIPS = 4.5, 4  # times the scatter in one axis: matches beyond are none; and how often that is looked at
_FEWEST = 5  # matches of a fit: six numbers need three, and two more to tell
_AFFINE = 6
#: Matches from which a kind of distortion may be thought of.
_LEAST: dict[Kind, int] = {"radial": 20, "cubic": 60}


@dataclass(frozen=True, slots=True)
class Sky:
    """Catalogue stars around a frame, brightest first; degrees."""

    ra: Floats
    dec: Floats

    def brightest(self, count: int) -> "Sky":
        """Keep this many."""
        return Sky(self.ra[:count], self.dec[:count])


def refine(guess: Wcs, stars: Stars, sky: Sky, learnt: Warp | None = None) -> Fit | None:
    """Match and fit in turns; None where too few stars match for any fit."""
    size = (stars.width, stars.height)
    wcs, warp, reach = guess, learnt or Warp("none", norm_of(size)), FIRST_REACH
    for number in range(_ROUNDS):
        pairs = match(wcs, stars, sky, reach)
        found = Matches(stars.x[pairs.star], stars.y[pairs.star], sky.ra[pairs.other], sky.dec[pairs.other])
        kept = _clipped(found, wcs, size, warp)
        if kept is None:
            return None
        if learnt is None and number:  # the first round's matches may lack the corners
            warp = _choose(kept.matches, kept.wcs, size)
            kept = _clipped(kept.matches, kept.wcs, size, warp)
            if kept is None:
                return None
        wcs = kept.wcs
        reach = max(LEAST_REACH, min(reach, 5 * kept.rms))
    return measured(with_inverse(wcs, warp), warp, stars, sky, reach)


def measured(wcs: Wcs, warp: Warp | None, stars: Stars, sky: Sky, reach: float) -> Fit:
    """Return how well a solution does; without a warp nothing was fitted, the solution is taken as it is."""
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
    """Return the root mean square distance between matched stars, in pixels; infinite without any."""
    if not matches.count:
        return math.inf
    x, y = pixels_of(wcs, matches.ra, matches.dec)
    return float(np.sqrt(np.mean((x - matches.x) ** 2 + (y - matches.y) ** 2)))


def refit(matches: Matches, wcs: Wcs, size: tuple[int, int], warp: Warp) -> Wcs:
    """Fit place and matrix anew under a given distortion."""
    return _fit_linear(matches, wcs, size, warp).wcs


def normal_places(matches: Matches, size: tuple[int, int], norm: float) -> tuple[Floats, Floats]:
    """Return matched stars' places in the frame, from its middle and in units of ``norm``."""
    return (matches.x - (size[0] + 1) / 2) / norm, (matches.y - (size[1] + 1) / 2) / norm


def straight_places(matches: Matches, wcs: Wcs, norm: float) -> tuple[Floats, Floats]:
    """Return where matched stars lie in the plane by the catalogue, in units of ``norm``, with a solution's matrix."""
    east, north = to_plane(matches.ra, matches.dec, wcs.crval)
    a, b, c, d = (value * norm for value in wcs.cd)
    determinant = a * d - b * c
    return (d * east - b * north) / determinant, (a * north - c * east) / determinant


def norm_of(size: tuple[int, int]) -> float:
    """Return half the diagonal of a frame, in pixels."""
    return math.hypot(*size) / 2


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fit: its solution, the matches that it rests on, and how far each is off, in pixels."""

    wcs: Wcs
    matches: Matches
    off: Floats

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.off**2)))


def _clipped(found: Matches, wcs: Wcs, size: tuple[int, int], warp: Warp) -> _Fitted | None:
    """Fit, leave out what does not belong, and fit again; None when too little is left."""
    for _ in range(_CLIPS):
        if found.count < _FEWEST:
            return None
        fitted = _fit_linear(found, wcs, size, warp)
        typical = max(float(np.median(fitted.off)) / 1.177, 0.05)  # sigma of a Rayleigh distribution; pixels
        good = fitted.off < _CLIP * typical
        if good.all():
            return fitted
        wcs, found = fitted.wcs, Matches(found.x[good], found.y[good], found.ra[good], found.dec[good])
    return _fit_linear(found, wcs, size, warp) if found.count >= _FEWEST else None


def _choose(found: Matches, wcs: Wcs, size: tuple[int, int]) -> Warp:
    """Choose the kind of distortion that the matches themselves ask for (Schwarz 1978, Ann. Stat. 6, 461)."""
    norm, numbers = norm_of(size), 2 * found.count
    u, v = normal_places(found, size, norm)
    flat = _fit_linear(found, wcs, size, Warp("none", norm))
    best, lowest = Warp("none", norm), math.inf
    kinds: tuple[Kind, ...] = ("none", "radial", "cubic")
    for kind in kinds:
        if found.count < _LEAST.get(kind, 0):
            continue
        warp, trial = best, flat
        for _ in range(0 if kind == "none" else 2):
            warp = estimate(kind, (u, v, *straight_places(found, trial.wcs, norm)), norm)
            trial = _fit_linear(found, trial.wcs, size, warp)
        rest = float(np.sum(trial.off**2))
        price = numbers * math.log(max(rest, 1e-12) / numbers) + (_AFFINE + FREEDOM[kind]) * math.log(numbers)
        if price < lowest:
            best, lowest = warp, price
    return best


def _fit_linear(matches: Matches, wcs: Wcs, size: tuple[int, int], warp: Warp) -> _Fitted:
    """Fit a matrix, and the place that the middle of the frame looks at, by least squares."""
    u, v = warp.apply(*normal_places(matches, size, warp.norm))
    terms = np.stack([np.ones_like(u), u, v], axis=1)
    ra, dec = sky_of(wcs, np.array([(size[0] + 1) / 2]), np.array([(size[1] + 1) / 2]))
    for _ in range(4):
        crval = float(ra[0]), float(dec[0])
        wanted = np.stack(to_plane(matches.ra, matches.dec, crval), axis=1)
        found, *_ = np.linalg.lstsq(terms, wanted, rcond=None)
        if float(np.abs(found[0]).max()) < 1e-9:  # noqa: PLR2004 - degrees: some microarcseconds
            break
        middle_east, middle_north = found[0].astype(np.float64)[:, None]
        ra, dec = from_plane(middle_east, middle_north, crval)
    (a, c), (b, d) = (found[1] / warp.norm).tolist(), (found[2] / warp.norm).tolist()
    kind = "TAN" if warp.kind == "none" else "TAN-SIP"
    middle = ((size[0] + 1) / 2, (size[1] + 1) / 2)
    made = Wcs((f"RA---{kind}", f"DEC--{kind}"), middle, crval, (a, b, c, d), warp.cards())
    scale = math.sqrt(abs(a * d - b * c)) or 1.0
    return _Fitted(made, matches, np.hypot(*(wanted - terms @ found).T) / scale)


def with_inverse(wcs: Wcs, warp: Warp) -> Wcs:
    """Add the way back to a solution, which the search for it had no need of."""
    return replace(wcs, further={**wcs.further, **warp.inverse()})


def measured_again(fit: Fit, wcs: Wcs, warp: Warp) -> Fit:
    """Return how well another solution does for the same matches."""
    freedom = _AFFINE + FREEDOM[warp.kind]
    whole = with_inverse(wcs, warp)
    return replace(fit, wcs=whole, rms=scatter(wcs, fit.matches), freedom=freedom, warp=warp.kind)
