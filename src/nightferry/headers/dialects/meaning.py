"""Cards that change what other cards mean: a time scale, a zone, a unit in a comment. Used, or the frame is held.

The list is data (``meaning.toml``). A dialect says what its program means by such a card; where it says nothing, what
the card changes cannot be read, and that is an error which quotes it.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from nightferry.core.instant import Instant, parse_instant, tai_less_utc
from nightferry.core.patterns import compiled
from nightferry.formats.cards import Card
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.dialects.header import Header, as_number

Use = Literal["system", "zone", "same", "local", "end", "middle"]
#: What a dialect may say of a zone card: DATE-OBS is local time whose hours the card gives, or it is UTC all the same.
Zone = Literal["local", "utc"]
_Pattern = Annotated[re.Pattern[str], BeforeValidator(compiled)]
#: TT is this much ahead of TAI, GPS's clocks this much behind it, in seconds (IERS Conventions 2010, section 10.1).
_TT_LESS_TAI, _TAI_LESS_GPS = 32.184, 19
#: Zones are whole quarters of an hour, at most this far from UTC, in seconds.
_QUARTER, _FARTHEST_ZONE = 900, 14 * 3600
_CLOCK = re.compile(r"(?P<sign>[+-])?(?P<hours>\d{1,2}):(?P<minutes>\d\d)")
#: Units of one kind: a comment that speaks of one of them agrees with a dialect that reads another.
_ALIKE: Mapping[str, str] = {"hms": "h", "dms": "deg"}


class CardRow(BaseModel):
    """A kind of card that changes what others mean; the file says what each key is."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    key: _Pattern
    use: Use
    changes: tuple[Literal["start", "end"], ...]
    part: Literal["value", "comment"] = "value"
    says: _Pattern | None = None
    harmless: _Pattern | None = None

    def speaks(self, card: Card) -> bool:
        """Whether a card says something that changes a meaning."""
        if not self.key.fullmatch(card.keyword.upper()) or card.commentary:
            return False
        text = card.comment if self.part == "comment" else str("" if card.value is None else card.value).strip()
        if self.part == "value" and card.value is None:
            text = card.token
        if not text or (self.says is not None and not self.says.search(text)):
            return False
        return self.harmless is None or not self.harmless.search(text)


class UnitRow(BaseModel):
    """How a comment names a unit of a field."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    field: Literal["ra", "dec", "exptime"]
    unit: Literal["h", "deg", "rad", "s", "ms", "us", "min"]
    says: _Pattern


class Meaning(BaseModel):
    """The whole list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    card: tuple[CardRow, ...]
    unit: tuple[UnitRow, ...]


@cache
def load_meaning() -> Meaning:
    """Read the list."""
    text = resources.files("nightferry.headers").joinpath("meaning.toml").read_text(encoding="utf-8")
    return Meaning.model_validate(tomllib.loads(text))


def is_applied(card: Card) -> bool:
    """Whether a card would change the times of a header whose times are UTC already, and must not stay in it."""
    return any(row.use in {"zone", "same"} and row.part == "value" and row.speaks(card) for row in load_meaning().card)


def unit_of(field: str, declared: str, comment: str, *, trusted: bool) -> str:
    """Return the unit of a value: the dialect's, or that of the card's own comment where the dialect trusts it.

    Raises `ValueError` where the two are at odds and the comment is not trusted.
    """
    spoken = [row.unit for row in load_meaning().unit if row.field == field and row.says.search(comment)]
    if not spoken or _ALIKE.get(declared, declared) in spoken:
        return declared
    if trusted and len(spoken) == 1:
        return spoken[0]
    raise ValueError(f"that unit, where the card's comment says {comment!r}")


@dataclass(frozen=True, slots=True)
class Times:
    """Start and end of an exposure, as far as they are known, with what was found on the way."""

    start: Instant | None
    end: Instant | None
    findings: tuple[Finding, ...] = ()


def settled(
    times: Times, header: Header, *, exptime: float | None, zone: Zone | None, comments: bool, told_utc: bool
) -> Times:
    """Return the times with all that changes their meaning applied, as UTC.

    ``zone`` and ``comments`` are what the dialect allows; ``told_utc`` says that the start itself names its zone (a
    ``Z`` behind it). What cannot be applied becomes an error that quotes its card, and the times are None then.
    """
    found: list[Finding] = []
    local = zone != "utc" and not told_utc  # a zone moves the times once, however many cards speak of it
    for row in load_meaning().card:
        for card in header.cards:
            if not row.speaks(card) or (times.start is None and times.end is None):
                continue
            if row.use == "zone" and not local:
                continue
            local = local and row.use != "zone"
            try:
                times = _applied(row, card, times, header, exptime=exptime, zone=zone, comments=comments)
            except ValueError as err:
                quoted = card.raw[:80].decode("latin-1").strip()
                found.append(Finding("V05", Severity.ERROR, card.keyword, quoted, str(err)))
                times = Times(None, None)
    return Times(times.start, times.end, tuple(found))


def _applied(
    row: CardRow,
    card: Card,
    times: Times,
    header: Header,
    *,
    exptime: float | None,
    zone: Zone | None,
    comments: bool,
) -> Times:
    if row.use == "system":
        return _moved(times, lambda instant: utc_of(instant, str(card.value).strip()), row)
    if row.use == "zone":
        if zone != "local":
            raise ValueError("a dialect that says whether DATE-OBS is local time (zone) beside such a card")
        east = zone_of(_zone_card(header))
        return _moved(times, lambda instant: instant.plus(-east), row)
    if row.use in {"same", "local"}:
        _compare(row.use, times.start, parse_instant(str(card.value))[0], zone)
        return times
    if not comments:
        raise ValueError("a dialect that reads this comment (comments = true), for it changes what DATE-OBS is")
    if exptime is None or times.start is None:
        raise ValueError("an exposure time, for DATE-OBS is not the start")
    if row.use == "end":
        return Times(times.start.plus(-exptime), times.start)
    return Times(times.start.plus(-exptime / 2), times.end)


def _moved(times: Times, move: Callable[[Instant], Instant], row: CardRow) -> Times:
    start, end = times.start, times.end
    return Times(
        move(start) if start is not None and "start" in row.changes else start,
        move(end) if end is not None and "end" in row.changes else end,
    )


def utc_of(instant: Instant, system: str) -> Instant:
    """Return a time of another scale as UTC: TAI, TT, GPS; raise `ValueError` for scales that no header should have."""
    ahead = {"TAI": 0.0, "IAT": 0.0, "TT": _TT_LESS_TAI, "TDT": _TT_LESS_TAI, "ET": _TT_LESS_TAI, "GPS": -_TAI_LESS_GPS}
    offset = ahead.get(system.upper().partition("(")[0].strip())
    if offset is None:
        raise ValueError("UTC, or TAI, TT or GPS, which are converted")
    return instant.plus(-tai_less_utc(instant.day) - offset)


def _zone_card(header: Header) -> Card:
    """Return the card that tells the zone; raises `ValueError` where there is none."""
    rows = [row for row in load_meaning().card if row.use == "zone" and row.part == "value"]
    found = next((card for card in header.cards if any(row.key.fullmatch(card.keyword.upper()) for row in rows)), None)
    if found is None:
        raise ValueError("a card that tells the zone of this local time")
    return found


def zone_of(card: Card) -> int:
    """Return what a zone card says, in seconds east of UTC: hours, or ``+02:00``; raises `ValueError`."""
    seconds: float | None
    if isinstance(card.value, str) and (clock := _CLOCK.fullmatch(card.value.strip())):
        seconds = int(clock["hours"]) * 3600 + int(clock["minutes"]) * 60
        seconds = -seconds if clock["sign"] == "-" else seconds
    else:
        hours = as_number(card.value)
        seconds = None if hours is None else hours * 3600
    if seconds is None or seconds % _QUARTER or abs(seconds) > _FARTHEST_ZONE:
        raise ValueError("hours east of UTC, in whole quarters")
    return int(seconds)


def _compare(use: Use, start: Instant | None, other: Instant, zone: Zone | None) -> None:
    """Raise `ValueError` unless a start and another card's time of it can both be right."""
    if start is None:
        return
    apart = abs(start.minus(other))
    off = min(apart % _QUARTER, _QUARTER - apart % _QUARTER)
    if use == "same" and apart > 1 and zone is None:
        raise ValueError("the same time as DATE-OBS; one of them is not UTC")
    if use == "local" and (off > 1 or apart > _FARTHEST_ZONE):
        raise ValueError("local time, whole quarters of an hour from DATE-OBS")
