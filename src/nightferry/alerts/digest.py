"""The digest: one message a night, with the truth on its first line."""

from collections.abc import Sequence
from datetime import date

from nightferry.alerts.conditions import Facts, NightFacts
from nightferry.core.alert import Alert
from nightferry.core.balance import Bin
from nightferry.core.display import counted

#: So many of the alerts that stand are listed.
_LISTED = 30
_CUBES = (Bin.DELIVERED, Bin.HELD, Bin.FAILED, Bin.PENDING)


def digest_of(evening: date, telescopes: Sequence[Facts], standing: Sequence[Alert]) -> tuple[str, str, bool]:
    """Write the digest of a night: title, text, and whether all is well."""
    nights = [(facts, _night(facts, evening)) for facts in telescopes]
    lines = [_line(facts, night) for facts, night in nights]
    found = [night.line.balance for _, night in nights if night]
    taken = sum(one.seen - one.ignored for one in found)
    delivered = sum(one.delivered for one in found)
    older = {
        (place, what): sum(_older(facts, evening, place, what) for facts in telescopes)
        for what in ("frame", "cube")
        for place in (Bin.HELD, Bin.FAILED)
    }
    cubes = {place: sum(night.line.products.counts.get(place, 0) for _, night in nights if night) for place in Bin}
    waiting = [f"{counted(cubes[place], 'cube')} {place}" for place in (Bin.HELD, Bin.FAILED) if cubes[place]]
    well = delivered == taken and not standing and not waiting and not any(older.values())
    well = well and all(_answered(facts, night) for facts, night in nights)
    title = f"{evening}: {delivered:,} of {taken:,} frames delivered" if taken else f"{evening}: nothing was observed"
    if not taken and not all(_answered(facts, night) for facts, night in nights):
        title = f"{evening}: nothing arrived"
    title = ", ".join([title, *waiting])
    if standing:
        title += f", {len(standing)} {'alert stands' if len(standing) == 1 else 'alerts stand'}"
    parts = ["\n".join(lines)]
    if any(older.values()):
        words = [f"{counted(count, what)} {place}" for (place, what), count in older.items() if count]
        parts.append(f"Of the nights before: {', '.join(words)}.")
    if standing:
        lines = [f"- {alert.title}" for alert in standing[:_LISTED]]
        lines += [f"- and {len(standing) - _LISTED:,} more"] if len(standing) > _LISTED else []
        parts.append("\n".join(["Still so:", *lines]))
    return title, "\n\n".join(parts), well


def _older(facts: Facts, evening: date, place: Bin, what: str) -> int:
    """Count the frames or cubes of all nights before this one that stand there."""
    lines = (*(night.line for night in facts.nights), *facts.older)
    before = [line for line in lines if line.balance.night.date < evening]
    if what == "cube":
        return sum(line.products.counts.get(place, 0) for line in before)
    return sum(line.balance.held if place is Bin.HELD else line.balance.failed for line in before)


def _night(facts: Facts, evening: date) -> NightFacts | None:
    return next((night for night in facts.nights if night.line.balance.night.date == evening), None)


def _answered(facts: Facts, night: NightFacts | None) -> bool:
    ended_us = night.ended_us if night else 0
    return facts.contact.reached_us > ended_us and not facts.contact.trouble


def _line(facts: Facts, night: NightFacts | None) -> str:
    name = facts.contact.telescope
    if night is None or not night.line.balance.seen - night.line.balance.ignored:
        if not facts.contact.reached_us:
            return f"{name}: was never reached"
        if not _answered(facts, night):
            return f"{name}: nothing arrived, and it does not answer: {facts.contact.trouble or 'nobody asked it'}"
        if night is not None and night.line.balance.ignored:
            return f"{name}: nothing to carry; {night.line.balance.ignored:,} files are left there by rule"
        return f"{name}: nothing was observed"
    balance = night.line.balance
    words = [f"{balance.delivered:,} of {balance.seen - balance.ignored:,} delivered"]
    counts = (("held", balance.held), ("failed", balance.failed), ("pending", balance.pending))
    words += [f"{count:,} {word}" for word, count in counts if count]
    products = night.line.products
    made = [f"{counted(products.counts[place], 'cube')} {place}" for place in _CUBES if products.counts.get(place)]
    words += [f"{balance.bytes / 1e9:.1f} GB", *made]
    reasons = [f"\n    {one.frames:,} {one.bin} at {one.stage}: {one.reason}" for one in night.line.reasons]
    reasons += [
        f"\n    {counted(one.frames, 'cube')} {one.bin} at {one.stage}: {one.reason}" for one in products.reasons
    ]
    return f"{name}: {', '.join(words)}{''.join(reasons)}"
