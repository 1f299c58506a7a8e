"""The night: the unit of grouping, locking, closing and reporting, and the one place that decides it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from nightferry.core.errors import Misconfigured

HALF_DAY = timedelta(hours=12)


@dataclass(frozen=True, order=True, slots=True)
class Night:
    """One telescope's night, named by the local date of its evening."""

    telescope: str
    date: date

    def __str__(self) -> str:
        return f"{self.telescope} {self.date.isoformat()}"


def evening_of(local: datetime) -> date:
    """Tell the evening date of the night that a local clock time belongs to.

    A night lasts from local noon to local noon, so the hours after midnight belong to the evening before.
    """
    return (local - HALF_DAY).date()


def evening_at(instant: datetime, longitude: float | None) -> date:
    """Tell the evening date at a site, from local mean solar time (daylight saving never enters).

    ``instant`` is aware; ``longitude`` is in degrees, east positive. Without a site the machine's own time
    zone stands in for it.
    """
    if longitude is None:
        return evening_of(instant.astimezone().replace(tzinfo=None))
    solar = instant.astimezone(UTC) + timedelta(seconds=longitude * 240)
    return evening_of(solar.replace(tzinfo=None))


@dataclass(frozen=True, slots=True)
class Nights:
    """Which nights a run is about: everything, the newest at the telescope, or the named evenings."""

    named: frozenset[date] = frozenset()
    every: bool = False
    newest: bool = False

    @classmethod
    def parse(cls, words: list[str], *, now: datetime, longitude: float | None) -> Self:
        """Read ``YYYYMMDD``, ``YYYY-MM-DD``, ``last``, ``latest`` and ``all``; raise `Misconfigured` for others."""
        named: set[date] = set()
        for word in words:
            if word in {"all", "latest"}:
                if len(words) > 1:
                    raise Misconfigured(f"--night {word} stands alone; it cannot be joined with other nights")
                return cls(every=word == "all", newest=word == "latest")
            if word == "last":
                named.add(evening_at(now, longitude) - timedelta(days=1))
            else:
                named.add(parse_evening(word))
        return cls(named=frozenset(named))

    def wants(self, evening: date) -> bool:
        """Whether frames of this evening belong to the run (the newest is found by `settle_newest` first)."""
        return self.every or evening in self.named

    @property
    def evenings(self) -> list[date] | None:
        """The named evenings, oldest first; None for all there are."""
        return None if self.every else sorted(self.named)

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
        f"{word!r} is not a night: expected YYYYMMDD or YYYY-MM-DD (the evening's date), 'last', 'latest' or 'all'"
    )
