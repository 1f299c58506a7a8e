"""The judge: reads in the ledger how every telescope stands, and writes down what people must be told.

It asks the ledger and the sun, never a store, so nothing that keeps a telescope or an archive waiting keeps it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from nightferry.alerts.conditions import Facts, Limits, NightFacts, conditions_of
from nightferry.alerts.digest import digest_of
from nightferry.core.alert import Alert, Condition, Kind
from nightferry.core.balance import Balance, Bin
from nightferry.core.context import Site
from nightferry.core.ledger import Ledger
from nightferry.core.night import Night, evening_at
from nightferry.core.overview import NightLine, Overview
from nightferry.core.sun import night_hours

#: How many nights of each telescope are looked at, beside all older ones in which something is held or failed.
NIGHTS = 3
_HOUR_US = 3600 * 1_000_000
#: A night's frames should be here so long after it ended; a telescope that was not looked at since is waited for.
_SWEEP_US, _LATEST_US = _HOUR_US, 4 * _HOUR_US
#: An earlier digest stands among this many of the newest alerts, unless there is far more to worry about.
_RECENT = 200


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is told, and of what.

    ``hasty`` is true where nobody will look again soon: trouble is told at once then. ``digest`` is ``"never"``,
    ``"trouble"`` (of nights that were not well) or another word for every night.
    """

    channels: tuple[str, ...]
    limits: Limits
    digest: str
    hasty: bool


@dataclass(frozen=True, slots=True)
class Situation:
    """What the ledger cannot know: telescopes with their sites, how their work stands, and the shelf's room in bytes.

    ``under_way`` are the telescopes whose frames are being carried, so that their night cannot be judged yet;
    ``refused`` those whose store was there before and is not what it was. ``room`` is None where the disk does not say.
    """

    sites: Mapping[str, Site | None]
    under_way: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    room: int | None = None


def judge(ledger: Ledger, rules: Rules, now: Situation, now_us: int) -> bool:
    """Judge all telescopes and post what people must be told; return whether anything was posted."""
    facts = [_facts(ledger, now, name, now_us) for name in now.sites]
    limits = replace(rules.limits, patience=0.0) if rules.hasty else rules.limits
    conditions = conditions_of(facts, now.room, _expected(facts), limits)
    named = {condition.key for condition in conditions}
    standing = ledger.outbox.standing()
    # what is judged only while it is so is over when nobody finds it any more
    gone = [one.key for one in standing if one.key not in named and one.key.startswith("archive/")]
    over = [Condition(key, active=False) for key in gone]
    late = _late(ledger, now, standing, named)
    posted = ledger.outbox.follow([*conditions, *over, *late], rules.channels, now_us)
    return _post_digest(ledger, rules, now, facts, now_us) or bool(posted)


def over_evening(site: Site | None, now_us: int) -> date:
    """Return the newest evening whose frames should all be here by now."""
    evening = _evening(site, now_us)
    while night_hours(evening, site).end_us + _SWEEP_US > now_us:
        evening -= timedelta(days=1)
    return evening


def _facts(ledger: Ledger, now: Situation, name: str, now_us: int) -> Facts:
    overview, site = ledger.overview(name, NIGHTS), now.sites[name]
    nights = [_night(line, site, now_us) for line in _lines(overview, over_evening(site, now_us))]
    if name in now.under_way:  # what has not arrived yet may be on its way
        nights = [replace(night, over=False) for night in nights]
    waiting = overview.older.get(Bin.PENDING, 0) + sum(line.balance.pending for line in overview.nights)
    dark = night_hours(_evening(site, now_us), site).holds(now_us) if site else None
    return Facts(overview.contact, nights, dark, name in now.refused, waiting, _older(ledger, overview))


def _older(ledger: Ledger, overview: Overview) -> Sequence[NightLine]:
    """Return the nights before those of an overview in which something is held or failed."""
    if not (overview.older_products or overview.older.get(Bin.HELD) or overview.older.get(Bin.FAILED)):
        return ()
    oldest = min(line.balance.night.date for line in overview.nights)
    return ledger.open_nights(overview.contact.telescope, oldest)


def _late(ledger: Ledger, now: Situation, standing: Sequence[Alert], named: set[str]) -> Iterator[Condition]:
    """Judge nights that alerts stand for and in which nothing is held or failed any more."""
    for alert in standing:
        kind, _, rest = alert.key.partition("/")
        telescope, _, evening = rest.rpartition("/")
        if alert.key in named or telescope not in now.sites:
            continue
        if kind in {"held", "bug", "cubes"}:
            yield Condition(alert.key, active=False)
        elif kind == "silent":
            found = ledger.balances(telescope, [date.fromisoformat(evening)])
            if not found or not found[0].held or found[0].delivered:
                yield Condition(alert.key, active=False)


def _post_digest(ledger: Ledger, rules: Rules, now: Situation, facts: Sequence[Facts], now_us: int) -> bool:
    """Post the digest of the newest night that is over everywhere, once it can tell the truth."""
    if rules.digest == "never" or not any(one.contact.looked_us for one in facts):
        return False
    evening = min(over_evening(site, now_us) for site in now.sites.values())
    if not _is_complete(evening, rules, now, facts, now_us):
        return False
    nights = [night.line.balance for one in facts for night in one.nights if night.line.balance.night.date == evening]
    if not any(balance.seen for balance in nights) and not _has_told_before(ledger):
        return False  # nightferry was not here yet, and has nothing to say of that night
    title, body, well = digest_of(evening, facts, ledger.outbox.standing())
    if well and rules.digest == "trouble":
        return False
    digest = Alert(0, f"digest/{evening}", Kind.DIGEST, title, body, now_us, rules.channels)
    return ledger.outbox.post(digest)


def _is_complete(evening: date, rules: Rules, now: Situation, facts: Sequence[Facts], now_us: int) -> bool:
    """Whether every telescope was looked at since the night ended there, or was waited for long enough."""
    for one in facts:
        name = one.contact.telescope
        end_us = night_hours(evening, now.sites[name]).end_us
        carried = name in now.under_way
        if carried and rules.hasty:
            return False
        if (carried or one.contact.looked_us < end_us) and now_us < end_us + _LATEST_US:
            return False
    return True


def _has_told_before(ledger: Ledger) -> bool:
    return any(letter.alert.key.startswith("digest/") for letter in ledger.outbox.letters(_RECENT))


def _evening(site: Site | None, now_us: int) -> date:
    return evening_at(datetime.fromtimestamp(now_us / 1e6, UTC), site.longitude if site else None)


def _lines(overview: Overview, evening: date) -> list[NightLine]:
    """Return the nights to judge, the one that just ended even where it has no frames."""
    lines = list(overview.nights)
    if all(line.balance.night.date != evening for line in lines):
        lines.append(NightLine(Balance(Night(overview.contact.telescope, evening))))
    return lines


def _night(line: NightLine, site: Site | None, now_us: int) -> NightFacts:
    hours = night_hours(line.balance.night.date, site)
    return NightFacts(line, hours.end_us + _SWEEP_US <= now_us, hours.begin_us, hours.end_us, hours.dark)


def _expected(facts: Sequence[Facts]) -> int:
    """Return the bytes that a night like the last ones takes on the shelf."""
    return sum(max((night.line.balance.bytes for night in one.nights), default=0) for one in facts)
