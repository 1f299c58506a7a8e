"""The night: the unit of grouping, locking, closing and reporting, and the one place that decides it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Self

from nightferry.core.errors import Misconfigured

HALF_DAY = timedelta(hours=12)
#: By how much a file's time may be ahead of our own clock before it is worth a word: clocks drift, disks round.
CLOCK_SLACK = timedelta(minutes=5)
_DIGITS = re.compile(r"\d+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, order=True, slots=True)
class Night:
    """One telescope's night, named by the local date of its evening."""

    telescope: str
    date: date

    def __str__(self) -> str:
        return f"{self.telescope} {self.date.isoformat()}"


def evening_of(local: datetime) -> date:
    """Return the evening date of the night that a local clock time belongs to.

    A night lasts from local noon to local noon, so the hours after midnight belong to the evening before.
    """
    return (local - HALF_DAY).date()


def evening_at(instant: datetime, longitude: float | None) -> date:
    """Return the evening date at a site, from local mean solar time (daylight saving never enters).

    ``instant`` is aware; ``longitude`` is in degrees, east positive. Without a site the machine's own time
    zone stands in for it.
    """
    if longitude is None:
        return evening_of(instant.astimezone().replace(tzinfo=None))
    solar = instant.astimezone(UTC) + timedelta(seconds=longitude * 240)
    return evening_of(solar.replace(tzinfo=None))


class NightRule(StrEnum):
    """What decides a frame's night. The first three believe a date, the others the time of the file's last change."""

    FOLDER = "folder"  #: the date in a folder's name
    NAME = "name"  #: the date in the file's own name
    HEADER = "header"  #: DATE-OBS, read from the telescope as soon as the file is seen
    LOCAL_NOON = "local-noon"  #: local mean solar time by the site's longitude; without one, this machine's zone
    LOCAL_12H = "local-12h"  #: this machine's time zone
    UTC_12H = "utc-12h"  #: UTC


class Clock(StrEnum):
    """Which time the dates in a telescope's folders and names tell."""

    LOCAL = "local"
    UTC = "utc"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a frame's night: the evenings that its folder and its name tell, and instants (aware).

    ``header`` is DATE-OBS, ``changed`` the file's last change by the telescope's clock, ``seen`` when we first saw
    that state of it, by ours.
    """

    seen: datetime
    folder: date | None = None
    name: date | None = None
    header: datetime | None = None
    changed: datetime | None = None


def decide_night(rule: NightRule, evidence: Evidence, longitude: float | None) -> date:
    """Return a frame's evening by a rule; ``longitude`` in degrees, east positive.

    Where the rule finds nothing, the next of folder, name, header, time of change and our own time is believed.
    """
    if rule is NightRule.FOLDER and evidence.folder is not None:  # the plain case, of 100,000 in a listing
        return evidence.folder
    told = dict(_evenings(rule, evidence, longitude))
    first = _AUTHORITY.get(rule, _CHANGED)
    for what in (first, *_AUTHORITY.values(), _CHANGED):
        if (evening := told.get(what)) is not None:
            return evening
    return _evening_by(rule, evidence.seen, longitude)


def contradictions(rule: NightRule, evidence: Evidence, longitude: float | None, evening: date) -> str:
    """Say what tells another night than ``evening``, by more than one; empty when nothing does.

    One night is no contradiction: programs name nights by evening, by morning or by UTC.
    """
    day = evening.toordinal()
    others = [
        f"the {what} says {told.isoformat()}"
        for what, told in _evenings(rule, evidence, longitude)
        if not -1 <= told.toordinal() - day <= 1
    ]
    return f"counted to the night of {evening.isoformat()}, but {' and '.join(others)}" if others else ""


def clock_ahead(changed: datetime | None, seen: datetime) -> str:
    """Say that a telescope's clock is ahead of ours: it showed us a file that it will change only later."""
    if changed is None or changed - seen <= CLOCK_SLACK:
        return ""
    return (
        f"the telescope's clock is {_span(changed - seen)} or more ahead of ours, or its listing tells no UTC: the "
        f"file's last change is told as {_moment(changed)}, and we saw it at {_moment(seen)}; set its clock"
    )


def clock_behind(changed: datetime | None, last_seen: datetime) -> str:
    """Say that a telescope's clock is behind ours: a file that changed after we saw it bears an earlier time."""
    if changed is None or last_seen - changed <= CLOCK_SLACK:
        return ""
    return (
        f"the telescope's clock is {_span(last_seen - changed)} or more behind ours, or its listing tells no UTC: the "
        f"file changed after we saw it at {_moment(last_seen)}, and its last change is told as {_moment(changed)}; "
        "set its clock"
    )


@lru_cache(maxsize=1024)  # most frames of a listing share their session with others
def evening_of_stamp(day: str, time: str, clock: Clock, longitude: float | None) -> date | None:
    """Read a date and a time as they stand in names, whatever stands between their digits; None for no date.

    A date without a time is an evening already.
    """
    start = _start(day, time)
    if start is None:
        return None
    if not time:
        return start.date()
    if not in_calendar(start):
        return None
    return evening_of(start) if clock is Clock.LOCAL else evening_at(start.replace(tzinfo=UTC), longitude)


def in_calendar(instant: datetime) -> bool:
    """Whether an instant is clear of both ends of the calendar, where no night can be told."""
    return date.min.year < instant.year < date.max.year


def instant_at(instant_us: int) -> datetime | None:
    """Turn microseconds since 1970 UTC into an instant; None for one that is at an end of the calendar."""
    try:
        instant = _EPOCH + timedelta(microseconds=instant_us)
    except OverflowError:
        return None
    return instant if in_calendar(instant) else None


_CHANGED = "time of change"
_AUTHORITY = {NightRule.FOLDER: "folder", NightRule.NAME: "name", NightRule.HEADER: "header"}


def _evenings(rule: NightRule, evidence: Evidence, longitude: float | None) -> Iterator[tuple[str, date]]:
    """Yield each piece of evidence that there is, as the evening it speaks for."""
    if evidence.folder is not None:
        yield "folder", evidence.folder
    if evidence.name is not None:
        yield "name", evidence.name
    if evidence.header is not None:
        yield "header", _evening_by(rule, evidence.header, longitude)
    if evidence.changed is not None:
        yield _CHANGED, _evening_by(rule, evidence.changed, longitude)


def _evening_by(rule: NightRule, instant: datetime, longitude: float | None) -> date:
    if rule is NightRule.UTC_12H:
        return evening_of(instant.astimezone(UTC).replace(tzinfo=None))
    return evening_at(instant, None if rule is NightRule.LOCAL_12H else longitude)


def _start(day: str, time: str) -> datetime | None:
    days, clock = "".join(_DIGITS.findall(day)), "".join(_DIGITS.findall(time))[:6] or "000000"
    if (len(days), len(clock)) != (8, 6):  # YYYYMMDD, hhmmss
        return None
    try:
        return datetime.strptime(days + clock, "%Y%m%d%H%M%S")  # noqa: DTZ007 - whose zone it is, the caller knows
    except ValueError:
        return None


def _span(span: timedelta) -> str:
    minutes = span // timedelta(minutes=1)
    if minutes >= 2 * 24 * 60:
        return f"{minutes // (24 * 60):,} days"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _moment(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Nights:
    """Which nights a run is about: everything, what is not closed yet, the newest there, or the named evenings.

    ``since`` is the first evening that everything goes back to; what is older is left at the telescope. With
    ``unclosed`` (and ``every``) the run reports the nights that it found not at their end, and the ``named`` ones.
    """

    named: frozenset[date] = frozenset()
    every: bool = False
    newest: bool = False
    unclosed: bool = False
    since: date | None = None

    @classmethod
    def parse(cls, words: list[str], *, now: datetime, longitude: float | None, since: date | None = None) -> Self:
        """Parse ``YYYYMMDD``, ``YYYY-MM-DD``, ``open``, ``last``, ``latest`` and ``all``.

        ``since`` bounds ``open`` and ``all``; nights that are named are wanted however old. Raises `Misconfigured`.
        """
        named: set[date] = set()
        last = evening_at(now, longitude) - timedelta(days=1)
        for word in words:
            if word in {"open", "all", "latest"}:
                if len(words) > 1:
                    raise Misconfigured(f"--night {word} stands alone; it cannot be joined with other nights")
                if word == "open":  # yesterday evening is reported even where nothing was observed
                    return cls(frozenset({last}), every=True, unclosed=True, since=since)
                return cls(every=word == "all", newest=word == "latest", since=since if word == "all" else None)
            if word == "last":
                named.add(last)
            else:
                named.add(parse_evening(word))
        return cls(named=frozenset(named))

    def wants(self, evening: date) -> bool:
        """Whether frames of this evening belong to the run (the newest is found by `settle_newest` first)."""
        if self.every:
            return self.since is None or evening >= self.since
        return evening in self.named

    @property
    def chooses(self) -> bool:
        """Whether some evenings are wanted and others not."""
        return bool(self.named or self.since) if not self.every else self.since is not None

    @property
    def evenings(self) -> list[date] | None:
        """The named evenings, oldest first; None for all there are."""
        return None if self.every else sorted(self.named)

    def among(self, known: Iterable[date]) -> "Nights":
        """Name the wanted ones of the known evenings, where everything goes back only to a day."""
        if not self.every or self.since is None:
            return self
        return Nights(named=frozenset(evening for evening in known if self.wants(evening)))

    def settle_newest(self, seen: set[date]) -> "Nights":
        """Turn ``latest`` into the newest evening that was seen; any other choice stays as it is."""
        if not self.newest:
            return self
        return Nights(named=frozenset({max(seen)}) if seen else frozenset())


def parse_evening(word: str) -> date:
    """Read a night's date as people type it; raise `Misconfigured` when it is none."""
    for form in ("%Y%m%d", "%Y-%m-%d"):
        try:
            return datetime.strptime(word, form).replace(tzinfo=UTC).date()
        except ValueError:
            continue
    raise Misconfigured(
        f"{word!r} is not a night: expected YYYYMMDD or YYYY-MM-DD (the evening's date), 'open', 'last', 'latest' "
        "or 'all'"
    )
