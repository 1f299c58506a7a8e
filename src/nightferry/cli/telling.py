"""The command about alerts: what people were told, what waits, and a try."""

import sys
import time
from pathlib import Path

from nightferry import api
from nightferry.alerts import Mailer
from nightferry.cli.exits import DONE, FAILED, HELD, say_error
from nightferry.cli.show import Cell, Json, instant_json, say, say_json, table
from nightferry.config.secrets import read_secret
from nightferry.core.alert import TOGETHER, Alert, Kind, Letter
from nightferry.core.errors import Misconfigured
from nightferry.core.instant import utc_text

_COLOURS = {Kind.RAISED: "red", Kind.RESOLVED: "green"}
WORDS = ("list", "test", "send")


def alerts_command(place: Path | None, word: str, *, last: int, as_json: bool) -> None:
    """List the outbox, send what waits in it, or send a test."""
    if word not in WORDS:
        raise Misconfigured(f"alerts {word!r}: expected one of {', '.join(WORDS)}")
    config = api.load(place)
    channels = tuple(dict.fromkeys(config.alerts.urls))
    with api.open_ledger(config, reading=word == "list") as ledger:
        outbox = ledger.outbox
        if word != "list":
            if not channels:
                raise Misconfigured("nobody is to be told: add [alerts] with urls to the configuration")
            number = 0
            if word == "test":
                now_us = time.time_ns() // 1000
                outbox.post(Alert(0, f"test/{now_us}", Kind.TEST, "a test", _TEST, now_us, channels))
                number = outbox.letters(1)[0].alert.number
            with Mailer(outbox, channels, read_secret, say_error, hurry=True) as mailer:
                mailer.close(patience=60.0)
            letters = [letter for letter in outbox.letters(last) if number in {0, letter.alert.number}]
        else:
            letters = list(outbox.letters(last))
        standing = outbox.standing()
    _show(letters, [alert.number for alert in standing], as_json=as_json)
    if word == "list":
        sys.exit(HELD if standing else DONE)
    waiting = [letter for letter in letters if letter.channel not in {"", TOGETHER} and not letter.sent_us]
    sys.exit(FAILED if waiting else DONE)


_TEST = "If you can read this, alerts reach you. It was sent by: nightferry alerts test"


def _show(letters: list[Letter], standing: list[int], *, as_json: bool) -> None:
    if as_json:
        for letter in letters:
            say_json(_letter_json(letter, standing))
    elif letters:
        table(("when", "what", "", "channel", "sent"), [_row(letter, standing) for letter in letters])
    else:
        say("nobody was told anything yet; try it with: nightferry alerts test")


def _row(letter: Letter, standing: list[int]) -> list[Cell]:
    alert = letter.alert
    kind = "stands" if alert.number in standing else str(alert.kind)
    return [
        utc_text(alert.at_us),
        alert.title,
        (kind, _COLOURS.get(alert.kind, "")),
        "together with others" if letter.channel == TOGETHER else letter.channel or "nobody is configured",
        _state(letter),
    ]


def _state(letter: Letter) -> str:
    if letter.sent_us:
        return utc_text(letter.sent_us)
    if letter.channel in {"", TOGETHER}:
        return ""
    if letter.tries:
        return f"tried {letter.tries} times, next {utc_text(letter.next_try_us)}: {letter.reason}"
    return "waits"


def _letter_json(letter: Letter, standing: list[int]) -> dict[str, Json]:
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
