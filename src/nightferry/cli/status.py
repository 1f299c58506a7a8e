"""``status``: every telescope's last nights on one screen.

It loads the configuration and the ledger and nothing of what carries frames, so that it answers at once.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.options import JsonOption, Telescopes
from nightferry.cli.show import (
    COLOURS,
    Cell,
    Json,
    balance_json,
    instant_json,
    say,
    say_json,
    span_text,
    table,
    verdict_cell,
)
from nightferry.core.display import counted

if TYPE_CHECKING:
    from nightferry.core.balance import Bin
    from nightferry.core.overview import Contact, NightLine, Overview, Reason

_SECOND = 1_000_000
_DAY = 86_400


def status(
    context: typer.Context,
    telescopes: Telescopes = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many nights of each telescope.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show every telescope's last nights on one screen."""
    overviews = api.status(api.load(context.obj), telescopes or (), last)
    now_us = time.time_ns() // 1000
    if as_json:
        for overview in overviews:
            say_json(_overview_json(overview, now_us))
    else:
        _show(overviews, now_us)
    sys.exit(_code(overviews))


def _code(overviews: "Sequence[Overview]") -> int:
    """Return the exit code: what waits for a person comes before what the machine still works at."""
    from nightferry.core.balance import Bin

    # what is not at its end yet, and what it means for the exit code
    meaning = {Bin.HELD: HELD, Bin.FAILED: FAILED, Bin.PENDING: FAILED}
    found: set[int] = set()
    for overview in overviews:
        counts: list[Mapping[Bin, int]] = [overview.older, overview.older_products]
        for line in overview.nights:
            balance = line.balance
            counts += [{Bin.HELD: balance.held, Bin.FAILED: balance.failed, Bin.PENDING: balance.pending}]
            counts += [line.products.counts]
            found |= set() if balance.balanced else {HELD}
        found |= {code for place, code in meaning.items() if any(one.get(place) for one in counts)}
    return next((code for code in (HELD, FAILED) if code in found), DONE)


def _show(overviews: "Sequence[Overview]", now_us: int) -> None:
    heads = ("telescope", "last seen", "last proof", "")
    table(heads, [_contact_row(overview.contact, now_us) for overview in overviews])
    cubes = any(line.products.counts for overview in overviews for line in overview.nights)
    cubes = cubes or any(overview.older_products for overview in overviews)
    rows = [row for overview in overviews for row in _night_rows(overview, cubes=cubes)]
    if not rows:
        say("no nights yet; carry some with: nightferry run --night all")
        return
    say("")
    numbers = ("taken", "delivered", "held", "failed", "pending")
    table(("telescope", "night", *numbers, *(["cubes"] if cubes else []), "", "why"), rows, numbers=numbers)


def _contact_row(contact: "Contact", now_us: int) -> list[Cell]:
    remark: Cell = (contact.trouble, "red") if contact.trouble else ""
    return [
        contact.telescope,
        (_age(contact.reached_us, now_us), "yellow" if contact.trouble else ""),
        _age(contact.proven_us, now_us),
        remark,
    ]


def _night_rows(overview: "Overview", *, cubes: bool) -> list[list[Cell]]:
    from nightferry.core.balance import Bin

    name = overview.contact.telescope
    rows = [_night_row(name, line, cubes=cubes) for line in overview.nights]
    if overview.older or overview.older_products:
        counts = [str(overview.older.get(place, 0)) for place in (Bin.HELD, Bin.FAILED, Bin.PENDING)]
        made = [_cubes_cell(overview.older_products)] if cubes else []
        since = f"since {overview.oldest_open}" if overview.oldest_open else ""
        why = f"{since}; see: nightferry nights {name}"
        rows.append([name, "older", "", "", *counts, *made, ("open", "yellow"), why])
    return rows


def _night_row(name: str, line: "NightLine", *, cubes: bool) -> list[Cell]:
    from nightferry.core.balance import Bin

    balance = line.balance
    counts = (
        (balance.delivered, Bin.DELIVERED),
        (balance.held, Bin.HELD),
        (balance.failed, Bin.FAILED),
        (balance.pending, Bin.PENDING),
    )
    verdict = verdict_cell(balance)
    numbers: list[Cell] = [(f"{count:,}", COLOURS[place] if count else "dim") for count, place in counts]
    made = [_cubes_cell(line.products.counts)] if cubes else []
    why = [_why(line.reasons), _why(line.products.reasons, "cube")]
    taken = f"{balance.seen - balance.ignored:,}"
    night = balance.night.date.isoformat()
    return [name, night, taken, *numbers, *made, verdict, "; ".join(words for words in why if words)]


def _cubes_cell(counts: "Mapping[Bin, int]") -> Cell:
    """Return how many cubes are delivered, and how many are not and where they stand."""
    from nightferry.core.balance import Bin

    open_here = [place for place in (Bin.HELD, Bin.FAILED, Bin.PENDING) if counts.get(place)]
    words = [f"{counts.get(Bin.DELIVERED, 0):,}", *(f"{counts[place]:,} {place}" for place in open_here)]
    return ", ".join(words), COLOURS[open_here[0]] if open_here else ""


def _why(reasons: "Sequence[Reason]", what: str = "") -> str:
    """Return why frames, or cubes, are held or failed: how many at which step, and the reason of one of them."""
    return "; ".join(
        f"{counted(one.frames, what) if what else f'{one.frames:,}'} at {one.stage}: {one.reason}" for one in reasons
    )


def _age(at_us: int, now_us: int) -> str:
    if not at_us:
        return "never"
    seconds = (now_us - at_us) / _SECOND
    if seconds < 0:
        return "in the future: look at this machine's clock"
    return f"{span_text(seconds)} ago" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} days ago"


def _overview_json(overview: "Overview", now_us: int) -> dict[str, Json]:
    from nightferry.core.balance import Bin

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
        "older_cubes": {str(place): overview.older_products.get(place, 0) for place in (Bin.HELD, Bin.FAILED)},
        "oldest_open": overview.oldest_open.isoformat() if overview.oldest_open else None,
    }


def _night_json(line: "NightLine") -> dict[str, Json]:
    from nightferry.core.balance import Bin

    balance = line.balance
    cubes: dict[str, Json] = {
        str(place): line.products.counts.get(place, 0) for place in (Bin.DELIVERED, Bin.HELD, Bin.FAILED, Bin.PENDING)
    }
    return balance_json(balance) | {
        "taken": balance.seen - balance.ignored,
        "closed": balance.closed,
        "reasons": _reasons_json(line.reasons, "frames"),
        "cubes": cubes | {"reasons": _reasons_json(line.products.reasons, "cubes")},
    }


def _reasons_json(reasons: "Sequence[Reason]", what: str) -> list[Json]:
    return [{"standing": str(one.bin), "stage": one.stage, "reason": one.reason, what: one.frames} for one in reasons]


def _instant(at_us: int) -> str | None:
    return instant_json(at_us) if at_us else None
