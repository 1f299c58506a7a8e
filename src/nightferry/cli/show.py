"""Showing: the one way to a terminal, where nothing from outside can act.

Consoles read no markup, emoji codes or highlighting out of text, and every text from outside passes through
`nightferry.core.display.display` first.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, Union

from nightferry.core.display import display, size_text

if TYPE_CHECKING:
    from rich.console import Console

    from nightferry.core.balance import Balance

Json: TypeAlias = Union[bool, int, float, str, Sequence["Json"], Mapping[str, "Json"], None]  # noqa: UP007 - a string cannot be joined with | here
Cell: TypeAlias = str | tuple[str, str]

#: By the bin's name.
COLOURS = {"delivered": "green", "held": "red", "failed": "yellow", "ignored": "dim", "pending": "cyan"}
_MICROSECONDS = 1_000_000
_WIDE = 100_000
#: Columns whose short values are never broken over lines.
_WHOLE = {"night", "standing", "outcome", "when", "frame id", ""}


def console() -> "Console":
    """Give the console for answers; where no terminal sets a width, lines are not folded."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _WIDE
    return Console(markup=False, highlight=False, emoji=False, width=width)


def say(text: str, style: str = "") -> None:
    """Print one line of an answer."""
    from rich.text import Text

    console().print(Text(display(text), style=style), soft_wrap=True)


def say_json(value: Json) -> None:
    """Print one object as a line of JSON; bytes that are no UTF-8 are escaped as JSON does."""
    import json

    sys.stdout.write(json.dumps(value, ensure_ascii=True) + "\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table; a cell is text, or text and style. ``numbers`` names the columns set flush right."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        right = column in numbers
        grid.add_column(
            column,
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=right or column in _WHOLE,
            min_width=min(len(column), 8),
        )
    for row in rows:
        grid.add_row(
            *(Text(display(cell)) if isinstance(cell, str) else Text(display(cell[0]), cell[1]) for cell in row)
        )
    screen = console()
    if screen.measure(grid, options=screen.options.update(width=_WIDE)).maximum > screen.width:
        # on 80 columns every blank counts
        grid.padding = (0, 1, 0, 0)
    screen.print(grid)


def show_balances(balances: "Sequence[Balance]") -> None:
    """Print the balance sheet of nights."""
    columns = ("telescope", "night", "seen", "delivered", "held", "failed", "ignored", "pending", "size", "")
    table(columns, [_balance_row(balance) for balance in balances], numbers=columns[2:9])


def _balance_row(balance: "Balance") -> list[Cell]:
    counts = (
        (balance.delivered, "delivered"),
        (balance.held, "held"),
        (balance.failed, "failed"),
        (balance.ignored, "ignored"),
        (balance.pending, "pending"),
    )
    numbers: list[Cell] = [(f"{count:,}", COLOURS[place] if count else "dim") for count, place in counts]
    verdict = verdict_cell(balance)
    if balance.balanced and not balance.seen:
        verdict = ("nothing seen", "dim")
    night = balance.night
    return [night.telescope, night.date.isoformat(), f"{balance.seen:,}", *numbers, size_text(balance.bytes), verdict]


def verdict_cell(balance: "Balance") -> tuple[str, str]:
    """Return how a night stands, in a word and its colour."""
    if not balance.balanced:
        return "DOES NOT BALANCE", "bold red"
    if not balance.complete:
        return "not seen whole", "yellow"
    return ("closed", "green") if balance.closed else ("open", "yellow")


def balance_json(balance: "Balance", seconds: float | None = None) -> dict[str, Json]:
    """Return a balance in the contract's words."""
    told: dict[str, Json] = {
        "telescope": balance.night.telescope,
        "night": balance.night.date.isoformat(),
        "seen": balance.seen,
        "delivered": balance.delivered,
        "held": balance.held,
        "failed": balance.failed,
        "ignored": balance.ignored,
        "pending": balance.pending,
        "balanced": balance.balanced,
        "complete": balance.complete,
        "bytes": balance.bytes,
    }
    return told if seconds is None else told | {"seconds": round(seconds, 3)}


def span_text(seconds: float) -> str:
    """Write a duration as people read it."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 100:  # noqa: PLR2004 - three digits are enough
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"  # noqa: PLR2004


def instant_json(instant_us: int) -> str:
    """Write an instant in UTC as ISO 8601, to the microsecond."""
    moment = datetime.fromtimestamp(instant_us // _MICROSECONDS, UTC).replace(microsecond=instant_us % _MICROSECONDS)
    return moment.isoformat().replace("+00:00", "Z")
