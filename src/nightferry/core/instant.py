"""Instants of UTC to the microsecond, leap seconds included, as headers write them.

Python's ``datetime`` knows no 23:59:60, and a frame taken in a leap second must still be told apart from its
neighbours, so an instant here is a day and the microseconds since its midnight.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

MICROSECONDS = 1_000_000
DAY = 86_400 * MICROSECONDS
#: The Modified Julian Date of date.toordinal() == 0.
_MJD_OF_ORDINAL = -678_576
#: Days that end with 23:59:60 UTC. Source: IERS Bulletin C; none was announced after 2016.
_LEAP_DAYS = frozenset(
    date.fromisoformat(text).toordinal() + _MJD_OF_ORDINAL
    for text in (
        "1972-06-30", "1972-12-31", "1973-12-31", "1974-12-31", "1975-12-31", "1976-12-31", "1977-12-31",
        "1978-12-31", "1979-12-31", "1981-06-30", "1982-06-30", "1983-06-30", "1985-06-30", "1987-12-31",
        "1989-12-31", "1990-12-31", "1992-06-30", "1993-06-30", "1994-06-30", "1995-12-31", "1997-06-30",
        "1998-12-31", "2005-12-31", "2008-12-31", "2012-06-30", "2015-06-30", "2016-12-31",
    )
)  # fmt: skip
_ISO = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})(?:\.(?P<digits>\d{1,12}))?)?"
    r"(?P<zone>Z|[+-]00:?00)?"
)
_LAST_SECOND = 60
#: The first and the last day that a calendar of four digits has, as Modified Julian Dates.
_FIRST_DAY, _LAST_DAY = date.min.toordinal() + _MJD_OF_ORDINAL, date.max.toordinal() + _MJD_OF_ORDINAL
#: Seconds from one to the other, and more than any two instants are apart.
_LONGEST_SPAN = 1e12


@dataclass(frozen=True, order=True, slots=True)
class Instant:
    """A moment of UTC: ``day`` is the Modified Julian Date at midnight, ``micro`` the microseconds since then."""

    day: int
    micro: int

    @property
    def length(self) -> int:
        """Microseconds in this day: a leap second makes it longer."""
        return length_of(self.day)

    @property
    def mjd(self) -> float:
        """The Modified Julian Date in days of UTC; a day with a leap second is stretched, as SOFA does."""
        return self.day + self.micro / self.length

    @property
    def seconds(self) -> float:
        """Seconds since midnight; 86400 and more in a leap second."""
        return self.micro / MICROSECONDS

    @property
    def date(self) -> date:
        """The date."""
        return date.fromordinal(self.day - _MJD_OF_ORDINAL)

    def plus(self, seconds: float) -> "Instant":
        """Return the instant ``seconds`` later (earlier if negative), to the microsecond; leap seconds count.

        Raises `ValueError` where that is not in the years 1 to 9999.
        """
        if not abs(seconds) < _LONGEST_SPAN:  # NaN, too
            raise ValueError(f"{seconds} s later is beyond the years 1 to 9999")
        micro = self.micro + round(seconds * MICROSECONDS)
        # the days without their leap seconds first, so that a span of years costs no more than one of hours
        day = self.day + micro // DAY
        micro = micro % DAY - (_leaps_before(day) - _leaps_before(self.day)) * MICROSECONDS
        while micro < 0:
            day -= 1
            micro += length_of(day)
        while micro >= length_of(day):
            micro -= length_of(day)
            day += 1
        if not _FIRST_DAY <= day <= _LAST_DAY:
            raise ValueError(f"{seconds} s later is beyond the years 1 to 9999")
        return Instant(day, micro)

    def minus(self, other: "Instant") -> float:
        """Return how many seconds this is after another; leap seconds between them are not counted."""
        return (self.day - other.day) * 86_400 + (self.micro - other.micro) / MICROSECONDS

    def iso(self, digits: int = 3, separator: str = "T") -> str:
        """Write ``YYYY-MM-DDThh:mm:ss.sss``; further digits are cut off, never rounded up."""
        minutes, micro = divmod(self.micro, 60 * MICROSECONDS)
        if minutes == 24 * 60:  # within the leap second
            minutes, micro = minutes - 1, micro + 60 * MICROSECONDS
        second, micro = divmod(micro, MICROSECONDS)
        hour, minute = divmod(minutes, 60)
        fraction = f".{micro:06d}"[: digits + 1] if digits else ""
        return f"{self.date.isoformat()}{separator}{hour:02d}:{minute:02d}:{second:02d}{fraction}"

    def cut(self, digits: int) -> "Instant":
        """Cut off digits of the second beyond this many."""
        step = 10 ** (6 - digits)
        return Instant(self.day, self.micro // step * step)


def length_of(day: int) -> int:
    """Return how many microseconds a day of UTC has; ``day`` is a Modified Julian Date."""
    return DAY + MICROSECONDS if day in _LEAP_DAYS else DAY


def _leaps_before(day: int) -> int:
    return sum(leap < day for leap in _LEAP_DAYS)


def parse_instant(text: str) -> tuple[Instant, float]:
    """Read an ISO-8601 time of UTC: the instant, cut to microseconds, and the resolution of the text in seconds.

    A blank may stand for the ``T``, a ``Z`` behind it, up to 12 digits after the second. Raises `ValueError`
    for anything else: dates without a time, other zones, ``dd/mm/yy``, a 60th second on a day without one.
    """
    found = _ISO.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no time: expected YYYY-MM-DDThh:mm:ss.sss")
    if found["hour"] is None:
        raise ValueError(f"{text!r} is a date without a time of day")
    day = date.fromisoformat(found["date"]).toordinal() + _MJD_OF_ORDINAL
    hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
    digits = found["digits"] or ""
    if hour >= 24 or minute >= 60 or second > _LAST_SECOND:  # noqa: PLR2004 - a clock's own numbers
        raise ValueError(f"{text!r} is no time of day")
    micro = ((hour * 60 + minute) * 60 + second) * MICROSECONDS + int(digits[:6].ljust(6, "0"))
    if second == _LAST_SECOND and (hour, minute) != (23, 59):
        raise ValueError(f"{text!r}: a leap second comes at 23:59:60 only")
    if micro >= length_of(day):
        raise ValueError(f"{text!r}: that day had no leap second")
    return Instant(day, micro), 10.0 ** -len(digits)


def instant_of(moment: datetime) -> Instant:
    """Turn an aware datetime into an instant."""
    utc = moment.astimezone(UTC)
    midnight = utc.replace(hour=0, minute=0, second=0, microsecond=0)
    return Instant(utc.date().toordinal() + _MJD_OF_ORDINAL, (utc - midnight) // timedelta(microseconds=1))


def datetime_of(instant: Instant) -> datetime:
    """Turn an instant into a datetime; one within a leap second becomes the midnight that follows it."""
    midnight = datetime.combine(instant.date, time(), UTC)
    return midnight + timedelta(microseconds=min(instant.micro, DAY))


def read_date_obs(value: object) -> datetime | None:
    """Read the value of DATE-OBS, a time of UTC; None when it is none."""
    if not isinstance(value, str):
        return None
    try:
        return datetime_of(parse_instant(value)[0])
    except (ValueError, OverflowError):
        return None


def tai_less_utc(day: int) -> int:
    """Return TAI-UTC in seconds on a day from 1972 on, the leap seconds that are known counted."""
    return 10 + _leaps_before(day)


def utc_text(moment_us: int) -> str:
    """Write microseconds since 1970 UTC to the second."""
    return datetime.fromtimestamp(moment_us / MICROSECONDS, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
