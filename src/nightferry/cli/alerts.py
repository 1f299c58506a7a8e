"""``alerts``: what people were told, what waits, and a try."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD, say_error
from nightferry.cli.options import JsonOption
from nightferry.cli.show import Cell, Json, instant_json, say, say_json, table
from nightferry.core.errors import Misconfigured

if TYPE_CHECKING:
    from nightferry.core.alert import Letter

#: By the kind's name.
_COLOURS = {"raised": "red", "resolved": "green"}
WORDS = ("list", "test", "send")


def alerts(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(help="list (what people were told), send (what waits), test (send one).")
    ] = "list",
    last: Annotated[int, typer.Option("--last", min=1, help="How many to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what people were told; send what waits, or a test."""
    if what not in WORDS:
        raise Misconfigured(f"alerts {what!r}: expected one of {', '.join(WORDS)}")
    config = api.load(context.obj)
    with api.open_ledger(config, reading=what == "list") as ledger:
        if what == "list":
            found = api.alerts(ledger, last)
        else:
            found = api.send_alerts(config, ledger, test=what == "test", last=last, note=say_error)
    _show(found, as_json=as_json)
    if what == "list":
        sys.exit(HELD if found.standing else DONE)
    sys.exit(FAILED if found.waiting else DONE)


def _show(found: "api.Alerts", *, as_json: bool) -> None:
    letters, standing = found.letters, [alert.number for alert in found.standing]
    if as_json:
        for letter in letters:
            say_json(_letter_json(letter, standing))
    elif letters:
        table(("when", "what", "", "channel", "sent"), [_row(letter, standing) for letter in letters])
    else:
        say("nobody was told anything yet; try it with: nightferry alerts test")


def _row(letter: "Letter", standing: list[int]) -> list[Cell]:
    from nightferry.core.alert import TOGETHER
    from nightferry.core.instant import utc_text

    alert = letter.alert
    kind = "stands" if alert.number in standing else str(alert.kind)
    return [
        utc_text(alert.at_us),
        alert.title,
        (kind, _COLOURS.get(str(alert.kind), "")),
        "together with others" if letter.channel == TOGETHER else letter.channel or "nobody is configured",
        _state(letter),
    ]


def _state(letter: "Letter") -> str:
    from nightferry.core.alert import TOGETHER
    from nightferry.core.instant import utc_text

    if letter.sent_us:
        return utc_text(letter.sent_us)
    if letter.channel in {"", TOGETHER}:
        return ""
    if letter.tries:
        return f"tried {letter.tries} times, next {utc_text(letter.next_try_us)}: {letter.reason}"
    return "waits"


def _letter_json(letter: "Letter", standing: list[int]) -> dict[str, Json]:
    alert = letter.alert
    return {
        "key": alert.key,
        "kind": str(alert.kind),
        "stands": alert.number in standing,
        "title": alert.title,
        "body": alert.body,
        "at": instant_json(alert.at_us),
        "channel": letter.channel,
        "sent": instant_json(letter.sent_us) if letter.sent_us else None,
        "tries": letter.tries,
        "reason": letter.reason,
    }
