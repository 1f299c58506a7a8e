"""Alerts: tell people something, show what they were told, and send what waits."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nightferry.alerts import Mailer, send
from nightferry.config import Config
from nightferry.config.secrets import read_secret
from nightferry.core.alert import TOGETHER, Alert, Kind, Letter
from nightferry.core.errors import Misconfigured
from nightferry.core.ledger import Ledger

_TEST = "If you can read this, alerts reach you. It was sent by: nightferry alerts test"
#: How long what waits may take to be sent, in seconds.
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Alerts:
    """The newest letters to people, newest first, and the alerts that were raised and are not resolved."""

    letters: Sequence[Letter]
    standing: Sequence[Alert]

    @property
    def waiting(self) -> list[Letter]:
        """The letters that have a channel and could not be sent yet."""
        return [one for one in self.letters if one.channel not in {"", TOGETHER} and not one.sent_us]


def alerts(ledger: Ledger, last: int = 20) -> Alerts:
    """Return what people were told last."""
    return Alerts(list(ledger.outbox.letters(last)), ledger.outbox.standing())


def send_alerts(
    config: Config, ledger: Ledger, *, test: bool = False, last: int = 20, note: Callable[[str], None] = lambda _: None
) -> Alerts:
    """Send what waits in the outbox, or with ``test`` a message to see one arrive, and return what became of it.

    Raises `Misconfigured` where no channel is configured.
    """
    channels, outbox = config.alerts.channels, ledger.outbox
    if not channels:
        raise Misconfigured("nobody is to be told: add [alerts] with urls to the configuration")
    number = 0
    if test:
        now_us = time.time_ns() // 1000
        outbox.post(Alert(0, f"test/{now_us}", Kind.TEST, "a test", _TEST, now_us, channels))
        number = outbox.letters(1)[0].alert.number
    with Mailer(outbox, channels, read_secret, note, hurry=True) as mailer:
        mailer.close(patience=_PATIENCE)
    letters = [letter for letter in outbox.letters(last) if number in {0, letter.alert.number}]
    return Alerts(letters, outbox.standing())


def alert(config: Config, title: str, body: str) -> None:
    """Send a message to people at once, through the configured channels; without any nothing is done."""
    if config.alerts.urls:
        send([read_secret(reference) for reference in config.alerts.urls], title, body)
