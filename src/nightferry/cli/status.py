"""The command of the morning: every telescope's last nights on one screen.

It loads the configuration and the ledger and nothing of what carries frames, so that it answers at once.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.show import COLOURS, Cell, Json, balance_json, instant_json, say, say_json, span_text, table
from nightferry.config import Config, ledger_url, load
from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured
from nightferry.core.overview import Contact, NightLine, Overview, Reason
from nightferry.ledgers.glance import glance

_SECOND = 1_000_000
_DAY = 86_400
#: What is not at its end yet, and what it means for the exit code.
_OPEN = {Bin.HELD: HELD, Bin.FAILED: FAILED, Bin.PENDING: FAILED}


def status_command(place: Path | None, telescopes: Sequence[str], *, last: int, as_json: bool) -> None:
    """Print the overview of each telescope and exit with what it means."""
    config = load(place)
    names = _names(config, telescopes)
    with glance(ledger_url(config)) as ledger:
        overviews = [ledger.overview(name, last) for name in names]
    now_us = time.time_ns() // 1000
    if as_json:
        for overview in overviews:
            say_json(_overview_json(overview, now_us))
    else:
        _show(overviews, now_us)
    sys.exit(_code(overviews))


def _names(config: Config, chosen: Sequence[str]) -> list[str]:
    if not config.telescope:
        raise Misconfigured("the configuration names no telescope; add [telescope.NAME], or see: nightferry init")
    for name in chosen:
        if name not in config.telescope:
            raise Misconfigured(
                f"there is no telescope {name!r} in the configuration; it has {', '.join(config.telescope)}"
            )
    return list(dict.fromkeys(chosen)) or list(config.telescope)


def _code(overviews: Sequence[Overview]) -> int:
    """Tell the exit code: what waits for a person comes before what the machine still works at."""
    found = {code for overview in overviews for place, code in _OPEN.items() if overview.older.get(place)}
    for overview in overviews:
        for line in overview.nights:
            counts = {Bin.HELD: line.balance.held, Bin.FAILED: line.balance.failed, Bin.PENDING: line.balance.pending}
            found |= {_OPEN[place] for place, count in counts.items() if count}
            found |= set() if line.balance.balanced else {HELD}
    return next((code for code in (HELD, FAILED) if code in found), DONE)


def _show(overviews: Sequence[Overview], now_us: int) -> None:
    heads = ("telescope", "last seen", "last proof", "")
    table(heads, [_contact_row(overview.contact, now_us) for overview in overviews])
    rows = [row for overview in overviews for row in _night_rows(overview)]
    if not rows:
        say("no nights yet; carry some with: nightferry run --night all")
        return
    say("")
    columns = ("telescope", "night", "taken", "delivered", "held", "failed", "pending", "", "why")
    table(columns, rows, numbers=columns[2:7])


def _contact_row(contact: Contact, now_us: int) -> list[Cell]:
    remark: Cell = (contact.trouble, "red") if contact.trouble else ""
    return [
        contact.telescope,
        (_age(contact.reached_us, now_us), "yellow" if contact.trouble else ""),
        _age(contact.proven_us, now_us),
        remark,
    ]


def _night_rows(overview: Overview) -> list[list[Cell]]:
    name = overview.contact.telescope
    rows = [_night_row(name, line) for line in overview.nights]
    if overview.older:
        counts = [str(overview.older.get(place, 0)) for place in (Bin.HELD, Bin.FAILED, Bin.PENDING)]
        since = f"since {overview.oldest_open}" if overview.oldest_open else ""
        rows.append([name, "older", "", "", *counts, ("open", "yellow"), f"{since}; see: nightferry nights {name}"])
    return rows


def _night_row(name: str, line: NightLine) -> list[Cell]:
    balance = line.balance
    counts = (
        (balance.delivered, Bin.DELIVERED),
        (balance.held, Bin.HELD),
        (balance.failed, Bin.FAILED),
        (balance.pending, Bin.PENDING),
    )
    verdict = ("closed", "green") if balance.closed else ("open", "yellow")
    if not balance.balanced:
        verdict = ("DOES NOT BALANCE", "bold red")
    numbers: list[Cell] = [(f"{count:,}", COLOURS[place] if count else "dim") for count, place in counts]
    taken = f"{balance.seen - balance.ignored:,}"
    return [name, balance.night.date.isoformat(), taken, *numbers, verdict, _why(line.reasons)]


def _why(reasons: Sequence[Reason]) -> str:
    """Say why frames are held or failed: how many at which step, and the reason of one of them."""
    return "; ".join(f"{one.frames:,} at {one.stage}: {one.reason}" for one in reasons)


def _age(at_us: int, now_us: int) -> str:
    if not at_us:
        return "never"
    seconds = (now_us - at_us) / _SECOND
    if seconds < 0:
        return "in the future: look at this machine's clock"
    return f"{span_text(seconds)} ago" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days ago"


def _overview_json(overview: Overview, now_us: int) -> dict[str, Json]:
    contact = overview.contact
    return {
        "telescope": contact.telescope,
        "last_look": _instant(contact.looked_us),
        "last_seen": _instant(contact.reached_us),
        "last_proof": _instant(contact.proven_us),
        "proof_age_seconds": round((now_us - contact.proven_us) / _SECOND, 3) if contact.proven_us else None,
        "trouble": contact.trouble,
        "nights": [_night_json(line) for line in overview.nights],
        "older": {str(place): overview.older.get(place, 0) for place in (Bin.HELD, Bin.FAILED, Bin.PENDING)},
        "oldest_open": overview.oldest_open.isoformat() if overview.oldest_open else None,
    }


def _night_json(line: NightLine) -> dict[str, Json]:
    balance = line.balance
    reasons: list[Json] = [
        {"standing": str(one.bin), "stage": one.stage, "reason": one.reason, "frames": one.frames}
        for one in line.reasons
    ]
    told = balance_json(balance)
    return told | {"taken": balance.seen - balance.ignored, "closed": balance.closed, "reasons": reasons}


def _instant(at_us: int) -> str | None:
    return instant_json(at_us) if at_us else None
