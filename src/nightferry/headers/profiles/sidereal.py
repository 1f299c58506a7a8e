"""Local sidereal time, from the Earth's rotation as the IERS measured it. No network, no tables read whole.

pyerfa's ``gst06a`` is apparent sidereal time by IAU 2006/2000A. It wants UT1, which runs up to 0.9 s from UTC, so the
difference is looked up in the IERS file of the package astropy-iers-data: one line per day, each as long as the other,
so two lines are read and nothing else (docs/decisions/0002).
"""

from functools import cache
from pathlib import Path
from typing import Protocol, cast

from nightferry.core.errors import Misconfigured
from nightferry.core.instant import DAY, Instant, tai_less_utc

#: Where finals2000A.all keeps the day and UT1-UTC in seconds (IERS, readme.finals2000A).
_MJD, _UT1 = slice(7, 15), slice(58, 68)
_TT_LESS_TAI = 32.184
_DAY = 86_400.0


def lst_seconds(instant: Instant, longitude: float) -> float:
    """Return apparent local sidereal time in seconds, 0 to 86400; ``longitude`` is in degrees, east positive.

    It is good to a millisecond; before March 1989, to three.
    """
    erfa = _library()
    day, fraction = 2_400_000.5 + instant.day, instant.micro / DAY
    ut1 = fraction + (ut1_less_utc(instant) or 0.0) / _DAY
    tt = fraction + (tai_less_utc(instant.day) + _TT_LESS_TAI) / _DAY
    turn = float(erfa.gst06a(day, ut1, day, tt)) / 6.283185307179586
    seconds = round((turn + longitude / 360.0) % 1.0 * _DAY, 6)
    return seconds if seconds < _DAY else 0.0


def ut1_less_utc(instant: Instant) -> float | None:
    """Return UT1-UTC in seconds, interpolated between days; None beyond the IERS file."""
    here, there = _of_day(instant.day), _of_day(instant.day + 1)
    if here is None or there is None:
        return None
    there -= round(there - here)  # a leap second between the two days
    return here + (there - here) * instant.micro / DAY


@cache
def _of_day(day: int) -> float | None:
    """Read one day's line."""
    path, first, length = _table()
    with path.open("rb") as file:
        file.seek((day - first) * length if day >= first else 0)
        line = file.read(length)
    try:
        return float(line[_UT1]) if int(float(line[_MJD])) == day else None
    except ValueError:  # the last lines are days without a prediction
        return None


@cache
def _table() -> tuple[Path, int, int]:
    """Find the file, its first day and the length of its lines."""
    try:
        import astropy_iers_data  # noqa: PLC0415 - only who writes sidereal time needs it
    except ModuleNotFoundError as err:
        raise Misconfigured("sidereal time needs astropy-iers-data: pip install astropy-iers-data") from err
    path = Path(astropy_iers_data.IERS_A_FILE)
    with path.open("rb") as file:
        line = file.readline()
    return path, int(float(line[_MJD])), len(line)


class _Erfa(Protocol):
    """What is used of pyerfa, a module without types."""

    def gst06a(self, uta: float, utb: float, tta: float, ttb: float) -> float:
        """Return Greenwich apparent sidereal time in radians, from UT1 and TT as Julian dates in two parts."""
        ...


@cache
def _library() -> _Erfa:
    try:
        import erfa  # noqa: PLC0415 - its import takes 0.1 s and brings numpy
    except ModuleNotFoundError as err:
        raise Misconfigured("sidereal time needs pyerfa: pip install pyerfa") from err
    return cast("_Erfa", erfa)
