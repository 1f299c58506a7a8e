"""The sun over a site: when its nights begin and end.

The sun's place comes from the low-precision formulas of the Astronomical Almanac (page C5 of each year's volume), which
are good to 0.01 degrees from 1950 to 2050, a few seconds of a sunrise; what limits that time is refraction, for which
-0.833 degrees stand, as almanacs have it (about two minutes either way). A pass in which nothing is new asks for the
sun, too, and would spend a third of its time on the import of a library that knows its place to an arcsecond.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from math import asin, atan2, cos, degrees, radians, sin

from nightferry.core.context import Site

#: The sun's upper limb at the horizon: 34' of refraction and 16' of radius (Explanatory Supplement, 9.311).
HORIZON = -0.833
_STEP = 120
_DAY = 86_400
_J2000 = 946_728_000  # seconds since 1970 at 2000-01-01 12:00 UTC


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
    """Return the hours of the night of an evening date, from the first sunset after noon to the next sunrise.

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
    """Return the sun's altitude in degrees, without refraction."""
    return _altitude(at_us / 1e6, site)


def _between(start: int, end: int, site: Site) -> NightHours:
    times = range(start, end + 1, _STEP)
    heights = [_altitude(one, site) - HORIZON for one in times]
    down = [height < 0 for height in heights]
    if all(down):
        return NightHours(_us(start), _us(end), dark=True)
    if not any(down):
        return NightHours(_us(end), _us(end), dark=False)
    first = down.index(True)
    last = len(times) - 1 - down[::-1].index(True)
    begin = times[first] if first == 0 else _crossing(times, heights, first - 1)
    finish = times[last] if last == len(times) - 1 else _crossing(times, heights, last)
    return NightHours(_us(begin), _us(finish), dark=True)


def _crossing(times: Sequence[int], heights: Sequence[float], before: int) -> float:
    """Interpolate between a sample and the next, where the sign changes."""
    one, other = heights[before], heights[before + 1]
    return times[before] + _STEP * one / (one - other)


def _altitude(seconds: float, site: Site) -> float:
    """Return the sun's altitude in degrees at a time in seconds since 1970 UTC."""
    days = (seconds - _J2000) / _DAY  # UT1 is within a second of UTC, and Terrestrial Time makes 0.001 degrees
    anomaly = radians(357.528 + 0.9856003 * days)
    longitude = radians(280.460 + 0.9856474 * days + 1.915 * sin(anomaly) + 0.020 * sin(2 * anomaly))
    obliquity = radians(23.439 - 0.0000004 * days)
    ascension = atan2(cos(obliquity) * sin(longitude), cos(longitude))
    declination = asin(sin(obliquity) * sin(longitude))
    sidereal = radians(280.46062 + 360.98564737 * days + site.longitude)  # Greenwich's, mean, turned to the site's
    latitude = radians(site.latitude)
    hour = sidereal - ascension
    return degrees(asin(sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour)))


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
