"""The sun over a site: when its nights begin and end.

The sun's place comes from pyerfa (``epv00``, IAU 2006/2000A precession and nutation), good to an arcsecond; what limits
the time of a sunrise is refraction, for which -0.833 degrees stand, as almanacs have it (about two minutes either way).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from nightferry.core.context import Site
from nightferry.core.instant import instant_of, tai_less_utc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The sun's upper limb at the horizon: 34' of refraction and 16' of radius (Explanatory Supplement, 9.311).
HORIZON = -0.833
_STEP = 120
_DAY = 86_400
_TT_LESS_TAI = 32.184
_FIRST_MJD = 40_587  # 1970-01-01


@dataclass(frozen=True, slots=True)
class NightHours:
    """When a night begins and ends, in microseconds since 1970 UTC.

    ``dark`` is whether the sun goes down in it: None where no site tells. Where the sun never rises the night lasts
    from noon to noon, and where it never sets it has no length, at the end of that time.
    """

    begin_us: int
    end_us: int
    dark: bool | None

    def holds(self, at_us: int) -> bool:
        """Whether it is night then."""
        return self.begin_us <= at_us < self.end_us


@lru_cache(maxsize=64)
def night_hours(evening: date, site: Site | None) -> NightHours:
    """Tell the hours of the night of an evening date, from the first sunset after noon to the next sunrise.

    Without a site the machine's own noon stands at both ends.
    """
    if site is None:
        noon = datetime(evening.year, evening.month, evening.day, 12).astimezone()
        next_noon = datetime.combine(evening + timedelta(days=1), noon.time()).astimezone()
        return NightHours(_us(noon.timestamp()), _us(next_noon.timestamp()), None)
    midnight = datetime(evening.year, evening.month, evening.day, tzinfo=UTC).timestamp()
    noon_s = round(midnight + _DAY / 2 - site.longitude * 240)
    return _between(noon_s, noon_s + _DAY, site)


def altitude(at_us: int, site: Site) -> float:
    """Tell the sun's altitude in degrees, without refraction."""
    return float(_altitudes([at_us / 1e6], site)[0])


def _between(start: int, end: int, site: Site) -> NightHours:
    times = list(range(start, end + 1, _STEP))
    heights = _altitudes([float(one) for one in times], site) - HORIZON
    down = heights < 0
    if down.all():
        return NightHours(_us(start), _us(end), dark=True)
    if not down.any():
        return NightHours(_us(end), _us(end), dark=False)
    first = int(down.argmax())
    last = len(times) - 1 - int(down[::-1].argmax())
    begin = times[first] if first == 0 else _crossing(times, heights, first - 1)
    finish = times[last] if last == len(times) - 1 else _crossing(times, heights, last)
    return NightHours(_us(begin), _us(finish), dark=True)


def _crossing(times: list[int], heights: "NDArray[np.float64]", before: int) -> float:
    """Interpolate between a sample and the next, where the sign changes."""
    one, other = float(heights[before]), float(heights[before + 1])
    return times[before] + _STEP * one / (one - other)


def _altitudes(seconds: list[float], site: Site) -> "NDArray[np.float64]":
    """Tell the sun's altitudes in degrees at times in seconds since 1970 UTC."""
    import erfa  # noqa: PLC0415 - brings numpy, 0.1 s that only those pay who ask for the sun
    import numpy as np  # noqa: PLC0415

    utc = np.asarray(seconds) / _DAY
    day = 2_400_000.5 + _FIRST_MJD
    first = instant_of(datetime.fromtimestamp(seconds[0], UTC)).day
    tt = utc + (tai_less_utc(first) + _TT_LESS_TAI) / _DAY
    earth, _ = erfa.epv00(day, tt)
    sun = -np.asarray(earth["p"])
    place = np.einsum("nij,nj->ni", erfa.c2i06a(day, tt).reshape(-1, 3, 3), sun.reshape(-1, 3))
    angle, declination = erfa.c2s(place)
    hour = erfa.era00(day, utc) + np.deg2rad(site.longitude) - angle  # UT1 is within a second of UTC
    latitude = np.deg2rad(site.latitude)
    sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
    return np.asarray(np.rad2deg(np.arcsin(sine)), np.float64)


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
