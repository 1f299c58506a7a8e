"""Audit: read back what was delivered, find what nobody delivered, and have people told of both."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from nightferry.alerts import AuditAlerts, Mailer
from nightferry.api._routes import nights_of, opened_route
from nightferry.assemble import Hands, archive_store, lock_path
from nightferry.config import Config
from nightferry.config.secrets import read_secret
from nightferry.core.audit import Finding, Stranger
from nightferry.core.errors import Busy, NightferryError, TryAgain, Unreachable
from nightferry.core.ledger import Ledger
from nightferry.folders import own_ground
from nightferry.passes.audit import audit as audit_route
from nightferry.passes.audit import strangers as list_strangers
from nightferry.passes.route import locked

#: Seconds for which whoever must know what a look of a watch delivered waits for it to end; most take less.
_LOOKS_LAST = 60.0
_Found = TypeVar("_Found", Finding, Stranger)


@dataclass(frozen=True, slots=True)
class AuditTrouble:
    """What kept a part of an audit from its end: of a telescope's name, or of the search for strangers."""

    what: str
    error: NightferryError


def audit_each(
    config: Config,
    ledger: Ledger,
    telescopes: Sequence[str],
    nights: Sequence[str] = ("all",),
    *,
    sample: float = 1.0,
    hands: Hands | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Finding | Stranger | AuditTrouble]:
    """Audit telescopes one after the other, with people told through the configured channels of what is bad.

    Where all nights are asked for, the files in the telescopes' archives that nobody delivered are found, too. What
    keeps one telescope's audit from its end keeps no other's. ``note`` is called with what a person at the terminal
    should read.
    """
    with audit_alerts(config, ledger, note) as told:
        for name in telescopes:
            found = audit(config, ledger, name, nights, sample=sample, hands=hands)
            trouble = yield from _passed_on(found, name, lambda finding, name=name: told.found(name, finding))  # type: ignore[misc] # mypy cannot type a bound default
            told.ended(name, trouble)
        if "all" in nights:
            strange: list[Stranger] = []
            what = "files that nobody delivered"
            trouble = yield from _passed_on(strangers(config, ledger, telescopes), what, strange.append)
            told.listed(own_archives(config, telescopes), strange, trouble)


def audit(
    config: Config,
    ledger: Ledger,
    telescope: str,
    nights: Sequence[str] = ("all",),
    *,
    sample: float = 1.0,
    hands: Hands | None = None,
) -> Iterator[Finding]:
    """Read back what was delivered and compare it with the ledger; yields a finding for each frame and archive.

    Frames are carried on meanwhile. Raises `Unreachable` when an archive is. Nobody is told of the findings, which
    `audit_each` sees to.
    """
    salt = datetime.now(UTC).date().isoformat()
    with opened_route(config, telescope, hands, working=False) as (route, given):
        evenings = nights_of(nights, route).evenings
        yield from audit_route(route, ledger, evenings, sample=sample, salt=salt, stop=given.stop)


@contextmanager
def audit_alerts(config: Config, ledger: Ledger, note: Callable[[str], None]) -> Iterator[AuditAlerts]:
    """Yield what tells people of an audit's findings, and send it meanwhile; what cannot be sent waits in the outbox.

    ``note`` is called with what a person at the terminal should read.
    """
    channels = config.alerts.channels
    archives = {name: telescope.archives for name, telescope in config.telescope.items()}
    with ExitStack() as sending:
        mailer = sending.enter_context(Mailer(ledger.outbox, channels, read_secret, note)) if channels else None
        told = AuditAlerts(ledger, channels, archives, mailer.wake if mailer else lambda: None)
        try:
            yield told
        finally:
            told.post()  # whatever ended it


def strangers(config: Config, ledger: Ledger, telescopes: Sequence[str]) -> Iterator[Stranger]:
    """List the telescopes' archives, each once, and yield the files that nobody delivered there.

    Archives that are said to be shared with others are left out. Raises `Unreachable` when an archive is, once all
    others were listed, and `Busy` while a telescope's frames are on their way there.
    """
    away: TryAgain | None = None
    for name in own_archives(config, telescopes):
        store = archive_store(config.archive[name])
        try:
            found = list(list_strangers(name, store, ledger, own_ground(config, name)))
            yield from _undelivered(config, ledger, name, found)
        except (Unreachable, Busy) as err:
            away = away or err
        finally:
            store.close()
    if away is not None:
        raise away


def _undelivered(config: Config, ledger: Ledger, archive: str, found: Sequence[Stranger]) -> list[Stranger]:
    """Leave out what came to lie in an archive a moment before its receipt came to lie in the ledger."""
    if not found:
        return []
    with ExitStack() as passes:
        for name, telescope in config.telescope.items():
            if archive in telescope.archives:
                passes.enter_context(locked(lock_path(config, name), name, _LOOKS_LAST))
        known = ledger.delivered_names(archive)
    return [one for one in found if one.name not in known]


def own_archives(config: Config, telescopes: Sequence[str]) -> list[str]:
    """Return the telescopes' archives in which nobody else keeps files."""
    names = dict.fromkeys(archive for telescope in telescopes for archive in config.telescope[telescope].archives)
    archives = config.archive
    return [name for name in names if not archives[name].shared and archives[name].kind != "handover"]


def _passed_on(
    found: Iterator[_Found], what: str, take: Callable[[_Found], object]
) -> Generator[_Found | AuditTrouble, None, NightferryError | None]:
    """Yield what is found, and what kept more from being found; return the latter."""
    try:
        for one in found:
            take(one)
            yield one
    except NightferryError as err:
        yield AuditTrouble(what, err)
        return err
    return None
