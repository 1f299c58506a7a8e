"""The digest: one message a night, with the truth on its first line."""

from collections.abc import Sequence
from datetime import date

from nightferry.alerts.conditions import Facts, NightFacts
from nightferry.core.alert import Alert
from nightferry.core.balance import Bin


def digest_of(evening: date, telescopes: Sequence[Facts], standing: Sequence[Alert]) -> tuple[str, str, bool]:
    """Write the digest of a night: title, text, and whether all is well."""
    nights = [(facts, _night(facts, evening)) for facts in telescopes]
    lines = [_line(facts, night) for facts, night in nights]
    found = [night.line.balance for _, night in nights if night]
    taken = sum(one.seen - one.ignored for one in found)
    delivered = sum(one.delivered for one in found)
    older = {place: sum(facts_older(facts, evening, place) for facts in telescopes) for place in (Bin.HELD, Bin.FAILED)}
    well = delivered == taken and not standing and not any(older.values())
    well = well and all(_answered(facts, night) for facts, night in nights)
    title = f"{evening}: {delivered:,} of {taken:,} frames delivered" if taken else f"{evening}: nothing was observed"
    if not taken and not all(_answered(facts, night) for facts, night in nights):
        title = f"{evening}: nothing arrived"
    if standing:
        title += f", {len(standing)} {'alert stands' if len(standing) == 1 else 'alerts stand'}"
    parts = ["\n".join(lines)]
    if any(older.values()):
        words = ", ".join(f"{count:,} {place}" for place, count in older.items() if count)
        parts.append(f"Of the nights before: {words}.")
    if standing:
        parts.append("Still so:\n" + "\n".join(f"- {alert.title}" for alert in standing))
    return title, "\n\n".join(parts), well


def facts_older(facts: Facts, evening: date, place: Bin) -> int:
    """Count the frames of the nights shown before this one that stand there."""
    before = [night.line.balance for night in facts.nights if night.line.balance.night.date < evening]
    return sum(one.held if place is Bin.HELD else one.failed for one in before)


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
    reasons = [f"\n    {one.frames:,} {one.bin} at {one.stage}: {one.reason}" for one in night.line.reasons]
    return f"{name}: {', '.join(words)}, {balance.bytes / 1e9:.1f} GB{''.join(reasons)}"
