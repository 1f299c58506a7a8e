"""Solve one frame: pixels to stars to a guess to a refined solution, past the gate; and what the stars tell."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from nightferry.core.context import Site
from nightferry.core.errors import Held, Misconfigured, TryAgain
from nightferry.core.frame import Fact
from nightferry.headers.canonical import Canonical, ImageType, Wcs
from nightferry.headers.profiles.sidereal import lst_seconds
from nightferry.solving.engines import load_engine
from nightferry.solving.gate import LEAST_MATCHES, chance, judge
from nightferry.solving.hints import Told, read_hints
from nightferry.solving.indexes import Index, find_indexes, star_table, state_of
from nightferry.solving.model import Answer, Engine, Hints, Settings, Solution, Stars
from nightferry.solving.pixels import read_picture
from nightferry.solving.refine import Sky, measured, refine
from nightferry.solving.sphere import centre_of, mirrored, rotation_of, separation, understood
from nightferry.solving.stars import find_stars, too_few
from nightferry.solving.warp import Warp

#: Pixels within which the stars of a header's own solution must be found.
_CHECK_REACH = 3.0
#: Catalogue stars that are compared, for each star of the frame: a deeper catalogue only adds luck.
_DEPTH, _LEAST_DEPTH = 2, 60
#: Frames with fewer stars are not looked for beyond their hint: the search would be long and prove nothing.
_BLIND_STARS = 12
_LIGHTS = frozenset({None, ImageType.SCIENCE, ImageType.ACQUISITION, ImageType.FOCUS, ImageType.UNKNOWN})


@dataclass(frozen=True, slots=True)
class _Case:
    """One frame in work: its stars, what is known of it, and the files to look it up in."""

    stars: Stars
    told: Told
    indexes: Sequence[Index]
    engine: str
    warp: Warp | None


def solve_frame(path: Path, settings: Settings, warps: Mapping[str, Warp] | None = None, *, name: str = "") -> Answer:
    """Solve a frame. ``warps`` are the distortions of instruments as far as known; ``name`` is its name elsewhere.

    Raises `Misconfigured` when no engine or no index files are there; everything else is in the answer.
    """
    began = time.perf_counter()
    try:
        answer = _solve(path, settings, warps or {}, name or path.name)
    except Held as err:
        answer = Answer(None, str(err))
    except TryAgain as err:
        answer = Answer(None, str(err), world=True)
    return replace(answer, seconds=time.perf_counter() - began)


def _solve(path: Path, settings: Settings, warps: Mapping[str, Warp], name: str) -> Answer:
    engine = load_engine(settings.engine)
    indexes = shelved(settings.indexes, usual=settings.usual)
    picture = read_picture(path)
    size = (picture.width, picture.height)
    told = read_hints(picture.header, settings, name, size)
    if told.canonical.image_type not in _LIGHTS:
        reason = f"a {told.canonical.image_type} frame shows no sky"
        return Answer(None, reason, instrument=told.instrument, size=size, sky=False)
    try:
        stars, facts = find_stars(picture)
    except Held as err:
        return Answer(None, str(err), {"stars": 0}, told.instrument, size)
    if reason := too_few(stars, facts):
        return Answer(None, reason, facts, told.instrument, size)
    warp = warps.get(told.instrument)
    case = _Case(stars, told, indexes, engine.name, warp)
    solution = None if settings.again else _checked(case)
    reason = ""
    if solution is None:
        solution, reason = _looked_up(case, engine, settings.seconds)
    if solution is not None:
        facts |= facts_of(solution, size)
        facts |= _sky_facts(solution.wcs, size, told.canonical, settings.site)
    return Answer(solution, reason, facts, told.instrument, size, hdu=picture.unit.number)


def shelved(places: tuple[Path, ...], *, usual: bool) -> tuple[Index, ...]:
    """List the index files; the folders are read again only when they changed. Raises `Misconfigured` for none."""
    return _shelved(places, usual, state_of(places, usual=usual))


@lru_cache(maxsize=4)
def _shelved(places: tuple[Path, ...], usual: bool, _state: tuple[str, ...]) -> tuple[Index, ...]:  # noqa: FBT001 - what it is remembered by
    shelf = find_indexes(places, usual=usual)
    if not shelf.indexes:
        wrong = f" Of those that lie there, none is whole: {'; '.join(shelf.damaged)}." if shelf.damaged else ""
        raise Misconfigured(
            f"there is no index file of astrometry.net, so no field can be looked up.{wrong} "
            "See: nightferry index status; a route without solve carries frames as they are"
        )
    return shelf.indexes


def _checked(case: _Case) -> Solution | None:
    """Prove the solution that the header brings; None when it brings none, or none that holds."""
    wcs = case.told.canonical.wcs
    if wcs is None or not understood(wcs):
        return None
    for index in _deepest(case.indexes):
        sky = _sky(index, wcs, case.stars)
        if sky is None:
            continue
        fit = measured(wcs, None, case.stars, sky, _CHECK_REACH)
        if not judge(fit, case.stars, Hints()):
            return Solution(fit, index.path.name, "header", chance(fit, case.stars), checked=True)
        return None
    return None


def _looked_up(case: _Case, engine: Engine, seconds: float) -> tuple[Solution | None, str]:
    """Ask the engine: near the hint first, then all over the sky; tell the solution, or why there is none."""
    hints = case.told.hints
    limit = time.monotonic() + seconds
    reason = ""
    for tried in _tries(hints, case.stars):
        files = [index.path for index in case.indexes if _useful(index, tried, case.stars)]
        if not files:
            return None, _uncovered(case, tried)
        left = limit - time.monotonic()
        if left <= 0:
            break
        guess = engine.guess(case.stars, tried, files, left)
        if guess is None:
            continue
        solution, why = _refined(case, guess.wcs, guess.index, tried)
        if solution is not None:
            return solution, ""
        reason = reason or f"a solution was found and refused: {why}"
    if not reason and time.monotonic() >= limit:
        reason = f"{_not_found(case)}; the search ended at its limit of {seconds:g} s"
    return None, reason or _not_found(case)


def _tries(hints: Hints, stars: Stars) -> list[Hints]:
    if hints.ra is None:
        return [hints]
    blind = replace(hints, ra=None, dec=None)
    return [hints, blind] if stars.count >= _BLIND_STARS else [hints]


def _useful(index: Index, hints: Hints, stars: Stars) -> bool:
    """Whether an index has quads that fit into the frame, at any scale that the hints allow."""
    if hints.scales is None:
        return True
    side = min(stars.width, stars.height) / 60
    return index.may_serve(side * hints.scales[0], side * hints.scales[1])


def _uncovered(case: _Case, hints: Hints) -> str:
    side = min(case.stars.width, case.stars.height) / 60
    scale = hints.scale or (hints.scales or (0.0, 0.0))[0]
    return (
        f"no index file covers a field of {side * scale:.1f} arcmin at {scale:.2f} arcsec per pixel: "
        "see nightferry index status"
    )


def _not_found(case: _Case) -> str:
    hints = case.told.hints
    near = "anywhere" if hints.ra is None else f"within {hints.radius:g} degrees of {hints.ra:.4f} {hints.dec:+.4f}"
    if hints.ra is not None and case.stars.count >= _BLIND_STARS:
        near += ", nor anywhere else"
    scale = "" if hints.scales is None else f", at {hints.scales[0]:.3f} to {hints.scales[1]:.3f} arcsec per pixel"
    return f"{case.stars.count} stars match no field of {len(case.indexes)} index files {near}{scale}"


def _refined(case: _Case, guess: Wcs, name: str, hints: Hints) -> tuple[Solution | None, str]:
    """Refine a guess with the deepest catalogue at hand, and judge it."""
    why = "no index file has stars there"
    for index in _deepest(case.indexes):
        sky = _sky(index, guess, case.stars)
        if sky is None:
            continue
        fit = refine(guess, case.stars, sky, case.warp)
        if fit is None:
            return None, "its stars are not those of the catalogue"
        why = judge(fit, case.stars, hints)
        if why:
            return None, why
        return Solution(fit, name or index.path.name, case.engine, chance(fit, case.stars)), ""
    return None, why


def _deepest(indexes: Sequence[Index]) -> list[Index]:
    """Order index files by how deep their catalogues reach: those for small fields reach deepest."""
    return sorted(indexes, key=lambda index: (index.low, -index.stars))


def _sky(index: Index, wcs: Wcs, stars: Stars) -> Sky | None:
    """List the catalogue stars around a frame, no deeper than the frame itself; None where the index has too few."""
    ra, dec = centre_of(wcs, stars.width, stars.height)
    if not math.isfinite(ra + dec):
        return None
    radius = 0.55 * math.hypot(stars.width, stars.height) * wcs.scale / 3600
    found_ra, found_dec, _ = star_table(index.path).near(ra, dec, min(radius, 60.0))
    if found_ra.size < LEAST_MATCHES:
        return None
    most = max(_LEAST_DEPTH, _DEPTH * stars.count)
    return Sky(found_ra, found_dec).brightest(most)


def facts_of(solution: Solution, size: tuple[int, int]) -> dict[str, Fact]:
    """Return what a solution is, as facts: degrees, arcseconds."""
    wcs, fit = solution.wcs, solution.fit
    ra, dec = centre_of(wcs, *size)
    return {
        "ra": round(ra, 6),
        "dec": round(dec, 6),
        "pixel_scale": round(wcs.scale, 5),
        "rotation": round(rotation_of(wcs), 4),
        "mirrored": mirrored(wcs),
        "matched": fit.matches.count,
        "expected": fit.expected,
        "rms_arcsec": round(fit.rms * wcs.scale, 4),
        "chance": float(f"{solution.chance:.2e}"),
        "distortion": fit.warp,
        "engine": solution.engine,
        "index": solution.index,
        "checked": solution.checked,
    }


def _sky_facts(wcs: Wcs, size: tuple[int, int], canonical: Canonical, site: Site | None) -> dict[str, Fact]:
    """Return what the solved place says of the header's: pointing offset in degrees, altitude at the start."""
    facts: dict[str, Fact] = {}
    place = centre_of(wcs, *size)
    if canonical.ra is not None and canonical.dec is not None:
        facts["pointing_offset"] = round(separation(place, (canonical.ra, canonical.dec)), 5)
    where = site
    if where is None and canonical.site_lat is not None and canonical.site_lon is not None:
        where = Site(canonical.site_lat, canonical.site_lon)
    if where is not None and canonical.start is not None:
        turn = lst_seconds(canonical.start, where.longitude) / 240 - place[0]
        altitude = _altitude(turn, place[1], where.latitude)
        facts["altitude"] = round(altitude, 3)
        if altitude < -1:  # a degree for refraction and the horizon's own height
            facts["clock"] = "the field was below the horizon at DATE-OBS: the clock or the site is wrong"
    return facts


def _altitude(hour_angle: float, dec: float, latitude: float) -> float:
    """Return the height above the horizon; all in degrees."""
    turn, height, where = (math.radians(value) for value in (hour_angle, dec, latitude))
    sine = math.sin(height) * math.sin(where) + math.cos(height) * math.cos(where) * math.cos(turn)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))
