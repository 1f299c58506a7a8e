"""What the commands do, callable from Python.

::

    from nightferry import api

    config = api.load()
    with api.open_ledger(config) as ledger:
        done = api.run(config, ledger, "vespera", ["all"])
        for balance in done.balances:
            print(balance.night, balance.delivered, balance.closed)

Every function raises `nightferry.core.errors.Misconfigured` for what a person must change first, and other
`NightferryError` as its docstring says.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from nightferry import alerts
from nightferry.alerts import AuditAlerts, Mailer
from nightferry.assemble import (
    Hands,
    archive_store,
    idle_hands,
    lock_path,
    open_ledger,
    open_route,
    telescope_names,
)
from nightferry.config import Config, for_run, load, loads
from nightferry.config.secrets import read_secret
from nightferry.core.audit import Finding, Stranger
from nightferry.core.balance import Bin
from nightferry.core.errors import Busy, Misconfigured, TryAgain, Unreachable
from nightferry.core.frame import DOUBTS
from nightferry.core.ledger import Account, Ledger, latest_editions
from nightferry.core.night import Nights
from nightferry.core.receipt import Outcome
from nightferry.core.step import LIST, RELEASE
from nightferry.disk.errors import translated
from nightferry.folders import make_new_folders, own_ground
from nightferry.monitor import Monitor, monitored
from nightferry.passes.audit import audit as audit_route
from nightferry.passes.audit import strangers as list_strangers
from nightferry.passes.clear import clear as clear_route
from nightferry.passes.receipts import noted
from nightferry.passes.restore import Restored
from nightferry.passes.restore import restore as restore_frame
from nightferry.passes.route import Route, locked
from nightferry.passes.run import Orders, Pass, run_pass
from nightferry.passes.watch import Watched
from nightferry.passes.watch import watch as watch_route
from nightferry.steps.clear import Clearance
from nightferry.steps.rebuild import digest_of

__all__ = [
    "AuditAlerts",
    "Hands",
    "Monitor",
    "Orders",
    "Pass",
    "Restored",
    "Stranger",
    "Watched",
    "alert",
    "audit",
    "audit_alerts",
    "clear",
    "find_any",
    "find_one",
    "idle_hands",
    "load",
    "loads",
    "monitored",
    "open_ledger",
    "own_archives",
    "release",
    "restore",
    "retry",
    "run",
    "strangers",
    "telescope_names",
    "watch",
]


#: A watch's looks take seconds, mostly: whoever must know what they delivered waits so many for one to end.
_LOOKS_LAST = 60.0


def run(
    config: Config,
    ledger: Ledger,
    telescope: str,
    nights: Sequence[str] | None = None,
    orders: Orders | None = None,
    *,
    take: list[str] | None = None,
    program: str = "",
    hands: Hands | None = None,
) -> Pass:
    """Make one pass over a telescope's nights (``YYYYMMDD``, ``last``, ``latest``, ``all``; None: ``last``).

    ``program`` is the observing programme of the frames' headers, in place of the configuration's. Raises `Busy` when
    another nightferry is at this telescope. What else kept it from doing all is told as the pass' ``trouble``, and
    frame by frame in the ledger.
    """
    config = for_run(config, program=program, take=take)
    _require(config, telescope, night=nights is not None)
    with _route(config, telescope, hands) as (route, given):
        wanted, orders = _nights(nights or ("last",), route), orders or Orders()
        if orders.until not in route.steps:
            raise Misconfigured(f"--until {orders.until!r}: expected one of {', '.join(route.steps)}")
        if not orders.dry_run:
            make_new_folders(config, ledger, telescope)
        return run_pass(route, ledger, wanted, orders, onlooker=given.onlooker, stop=given.stop)


def retry(
    config: Config,
    ledger: Ledger,
    telescope: str,
    orders: Orders | None = None,
    *,
    program: str = "",
    hands: Hands | None = None,
) -> Pass:
    """Try again now what failed, on all nights, without waiting for the back-off to end."""
    failed = {account.sighting.night.date for account in ledger.accounts(telescope, None, [Bin.FAILED])}
    words = [evening.isoformat() for evening in sorted(failed)]
    return run(config, ledger, telescope, words, orders, program=program, hands=hands) if words else Pass()


def watch(
    config: Config,
    ledger: Ledger,
    telescope: str,
    *,
    take: list[str] | None = None,
    program: str = "",
    hands: Hands | None = None,
) -> Iterator[Watched]:
    """Make pass after pass until told to stop; yields after each."""
    config = for_run(config, program=program, take=take)
    _require(config, telescope, night=False)
    rules = config.resolved[telescope].watch
    with _route(config, telescope, hands) as (route, given):
        make_new_folders(config, ledger, telescope)
        yield from watch_route(
            route,
            ledger,
            every=rules.every,
            live=rules.live,
            empty=rules.empty,
            then=rules.then,
            onlooker=given.onlooker,
            stop=given.stop,
        )


def _require(config: Config, telescope: str, *, night: bool) -> None:
    """Refuse a run that does not name what the telescope's section says each must; `Misconfigured`."""
    (name,) = telescope_names(config, [telescope])
    if missing := config.resolved[name].missing(night=night):
        options = " and ".join({"night": "--night WHEN", "program": "--program ID"}[word] for word in missing)
        raise Misconfigured(
            f"telescope {name} is carried only by a run that names its {' and '.join(missing)} "
            f"(telescope.{name}.require): add {options}"
        )


def clear(
    config: Config,
    ledger: Ledger,
    telescope: str,
    nights: Sequence[str] = ("all",),
    *,
    dry_run: bool = False,
    hands: Hands | None = None,
) -> list[Clearance]:
    """Delete at the source what is proven delivered; answer for every frame that is not cleared yet."""
    with _route(config, telescope, hands, working=False) as (route, given):
        if route.telescope.clear_after is None:
            raise Misconfigured(
                f"telescope.{telescope} is not to be cleared: to delete frames at the source once they are proven "
                f'delivered, add [telescope.{telescope}.clear] with after = "7 d"'
            )
        with route.locked():
            evenings = _nights(nights, route).evenings
            return clear_route(route, ledger, evenings, onlooker=given.onlooker, dry_run=dry_run)


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

    Frames are carried on meanwhile. Raises `Unreachable` when an archive is. Whoever passes the findings on to
    `audit_alerts` has people told of them.
    """
    salt = datetime.now(UTC).date().isoformat()
    with _route(config, telescope, hands, working=False) as (route, given):
        evenings = _nights(nights, route).evenings
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
    """Tell the telescopes' archives in which nobody else keeps files."""
    names = dict.fromkeys(archive for telescope in telescopes for archive in config.telescope[telescope].archives)
    return [name for name in names if not config.archive[name].shared]


def alert(config: Config, title: str, body: str) -> None:
    """Tell people, through the configured channels; without any it says nothing."""
    if config.alerts.urls:
        alerts.send([read_secret(reference) for reference in config.alerts.urls], title, body)


def find_one(ledger: Ledger, text: str, telescope: str | None = None) -> Account:
    """Find the one frame that a person means; raises `Misconfigured` when it is none or several."""
    found = [
        account for account in ledger.find(text) if telescope is None or account.sighting.night.telescope == telescope
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Misconfigured(
            f"the ledger knows no frame {text!r}: give its path at the telescope, its file name, its name in an "
            "archive, or 8 digits or more of its digest"
        )
    raise _unclear(
        text, "frames", [f"{one.sighting.id[:12]}  {one.sighting.night}  {one.sighting.path}" for one in found]
    )


def find_any(ledger: Ledger, text: str) -> Account:
    """Find the one frame, or else the one cube, that a person means.

    Raises `Misconfigured` when it is none or several.
    """
    if not ledger.find(text):
        found = [product for product in ledger.products() if product.is_meant(text)]
        if len(found) == 1:
            return found[0]
        if found:
            raise _unclear(text, "cubes", [f"{one.id[:12]}  {one.night}  {one.name}" for one in found])
    return find_one(ledger, text)


def _unclear(text: str, what: str, found: Sequence[str]) -> Misconfigured:
    shown = "\n".join(f"  {line}" for line in found[:20])
    more = f"\n  ... and {len(found) - 20} more" if len(found) > 20 else ""  # noqa: PLR2004 - a screenful
    return Misconfigured(f"{text!r} may be any of {len(found)} {what}; name one by its identity:\n{shown}{more}")


def release(ledger: Ledger, frame: str, why: str, *, drop: bool = False) -> Account:
    """Release a held frame or cube, with a person's reason; ``drop`` leaves it out of all further work instead.

    What `verify` or `validate` held goes on as it is; what another step held is tried there again.
    """
    meant = find_any(ledger, frame)
    name, standing = meant.name, meant.standing
    if not why.strip():
        raise Misconfigured("a release needs a reason: --why TEXT")
    if standing.bin is not Bin.HELD and not (drop and standing.bin is Bin.FAILED):
        raise Misconfigured(f"{name} is not held; it is {standing.bin}")
    doubt = meant.sighting.role in DOUBTS
    if standing.stage == LIST and not drop and not doubt:
        raise Misconfigured(f"{name} can never be carried ({standing.reason}); it can be dropped")
    if meant.made and not drop and meant not in latest_editions(ledger.products(meant.night.telescope)):
        raise Misconfigured(
            f"{name} is not made again, for a later version took its place: put the file back from another archive or "
            "a backup, or drop it"
        )
    receipt = noted(meant.id, meant.night, RELEASE, Outcome.DONE, why, proof={"drop": True} if drop else {})
    ledger.record([receipt])
    return ledger.account(meant.id) or meant


def restore(config: Config, ledger: Ledger, frame: str, into: Path, *, dry_run: bool = False) -> Restored:
    """Rebuild a frame's raw file in a folder, byte for byte, from the shelf, an archive, or a product at hand.

    ``frame`` is what `find_one` takes, or the path of a standard frame's file here. Raises `Held` saying why it
    cannot be had, `TryAgain` when it may be later, and `Occupied` when another file has its name there.
    """
    here = Path(frame)
    product = here if here.is_file() else None
    if product is not None:
        with translated(product, "the file"):
            frame = digest_of(product)
    account = find_one(ledger, frame)
    telescope = account.sighting.night.telescope
    with _route(config, telescope, None, working=False) as (route, _):
        return restore_frame(route, account, into, product=product, dry_run=dry_run)


def evenings_of(words: Sequence[str], longitude: float | None = None) -> list[date] | None:
    """Read nights for a question to the ledger: None for all of them."""
    return Nights.parse(list(words), now=datetime.now(UTC), longitude=longitude).evenings


def _nights(words: Sequence[str], route: Route) -> Nights:
    return Nights.parse(list(words), now=datetime.now(UTC), longitude=route.telescope.layout.longitude)


@contextmanager
def _route(
    config: Config, telescope: str, hands: Hands | None, *, working: bool = True
) -> Iterator[tuple[Route, Hands]]:
    (name,) = telescope_names(config, [telescope])
    given = hands or idle_hands()
    route = open_route(config, name, working=working, hands=given)
    try:
        yield route, given
    finally:
        route.close()
