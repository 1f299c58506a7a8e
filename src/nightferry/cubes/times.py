"""Times of planes: Julian dates as the Earth, the Sun and the solar system's barycentre would write them.

Light-travel times are those of the start of each exposure, by the Earth's place in pyerfa's ``epv00`` (3 microseconds
against the JPL ephemeris) and the observer's on the turning Earth, where the site is known (21 ms at most). Parallax,
the Sun's gravity (some 10 microseconds) and polar motion are left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightferry.core.errors import Misconfigured
from nightferry.core.instant import DAY, Instant, tai_less_utc

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_JD_OF_MJD = 2_400_000.5
_TT_LESS_TAI = 32.184
_DAY = 86_400.0
#: Seconds that light needs for an astronomical unit (IAU 2012), and its speed in metres a second.
_AU_SECONDS, _LIGHT = 499.004783836, 299_792_458.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a plane's times follow from: its start, the pointing in degrees, the site (degrees, degrees, metres)."""

    start: Instant
    ra: float | None = None
    dec: float | None = None
    site: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Julian dates in days: ``jd`` and ``mjd`` UTC, ``hjd`` UTC at the Sun, ``bjd`` TDB at the barycentre, or NaN."""

    jd: float
    mjd: float
    hjd: float
    bjd: float


def times_of(planes: Sequence[Seen]) -> list[Times]:
    """Return the times of planes; NaN at Sun and barycentre where no pointing is known."""
    pointed = [at for at, plane in enumerate(planes) if plane.ra is not None and plane.dec is not None]
    heliocentric, barycentric = [math.nan] * len(planes), [math.nan] * len(planes)
    if pointed:
        sun, centre = _delays([planes[at] for at in pointed])
        for at, to_sun, to_centre in zip(pointed, sun, centre, strict=True):
            start = planes[at].start
            heliocentric[at] = _jd(start) + to_sun / _DAY
            tdb = to_centre + tai_less_utc(start.day) + _TT_LESS_TAI + _tdb_less_tt(start)
            barycentric[at] = _JD_OF_MJD + start.day + (start.seconds + tdb) / _DAY
    return [
        Times(_jd(plane.start), plane.start.mjd, hjd, bjd)
        for plane, hjd, bjd in zip(planes, heliocentric, barycentric, strict=True)
    ]


def _jd(start: Instant) -> float:
    return _JD_OF_MJD + start.day + start.micro / start.length


def _tdb_less_tt(start: Instant) -> float:
    """Return TDB-TT in seconds, to 30 microseconds (USNO Circular 179, equation 2.6, its first two terms)."""
    centuries = (_JD_OF_MJD + start.day + start.micro / DAY - 2_451_545.0) / 36_525.0
    return 0.001657 * math.sin(628.3076 * centuries + 6.2401) + 0.000022 * math.sin(575.3385 * centuries + 4.2970)


def _delays(planes: Sequence[Seen]) -> tuple[list[float], list[float]]:
    """Return by how many seconds light passes the Sun, and the barycentre, later than the observer."""
    try:
        import erfa  # noqa: PLC0415 - its import takes 0.1 s and brings numpy
        import numpy as np  # noqa: PLC0415
    except ModuleNotFoundError as err:
        raise Misconfigured("heliocentric and barycentric times need pyerfa: pip install pyerfa") from err
    days = np.array([_JD_OF_MJD + plane.start.day for plane in planes])
    utc = np.array([plane.start.seconds for plane in planes])
    tt = (utc + np.array([tai_less_utc(plane.start.day) + _TT_LESS_TAI for plane in planes])) / _DAY
    from_sun, from_centre = erfa.epv00(days, tt)
    ra, dec = (np.radians([getattr(plane, name) for plane in planes]) for name in ("ra", "dec"))
    target = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    site = _site_seconds(planes, erfa.c2t06a(days, tt, days, utc / _DAY, 0.0, 0.0))  # UT1 taken as UTC
    sun = ((from_sun["p"] * _AU_SECONDS + site) * target).sum(axis=-1)
    centre = ((from_centre["p"] * _AU_SECONDS + site) * target).sum(axis=-1)
    return sun.tolist(), centre.tolist()


def _site_seconds(planes: Sequence[Seen], turns: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    """Return observers' places from the Earth's centre, in light-seconds; ``turns`` lead from the sky to the Earth."""
    import erfa  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    known = {
        site: erfa.gd2gc(1, math.radians(site[1]), math.radians(site[0]), site[2])
        for site in {plane.site for plane in planes}
        if site is not None
    }
    places = np.array([np.zeros(3) if plane.site is None else known[plane.site] for plane in planes])
    seconds: npt.NDArray[np.float64] = np.einsum("nji,nj->ni", turns, places) / _LIGHT
    return seconds
