"""A pass: list, sight, let settle, carry, clear, and strike the balance."""

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from nightferry.core.balance import Balance
from nightferry.core.errors import Misconfigured, NightferryError, NotMounted, TryAgain
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.ledger import Account, Known, Ledger
from nightferry.core.night import Night, Nights
from nightferry.core.overview import Contact
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import CLEAR, DELIVER, PULL
from nightferry.core.store import Entry, StorePath
from nightferry.passes.astray import Looked, look_at_archives
from nightferry.passes.carry import Tally, carry
from nightferry.passes.clear import clear
from nightferry.passes.grouping import carry_groups
from nightferry.passes.item import items_of, processing_until
from nightferry.passes.receipts import now_us
from nightferry.passes.route import Route
from nightferry.passes.scan import Scan, back_receipt, gone_receipt, scan, sight_again
from nightferry.passes.tidy import tidy

#: How often one pass waits for files that keep changing; what still changes then is left for the next pass.
_SETTLE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Planned:
    """What a dry run would do with a frame."""

    night: Night
    path: StorePath
    size: int
    stage: str


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass found and did.

    ``listed`` files were shown, ``news`` of them not seen before; ``pulled`` frames of ``moved`` bytes came;
    ``cleared`` were deleted at the source. ``complete`` says whether the look behind it was whole, ``looked`` whether
    there was one. ``moving`` of its ``seconds`` were spent on carrying, the others on listing, settling and clearing.
    ``trouble`` is what kept the pass from doing all it should.
    """

    balances: Sequence[Balance] = ()
    seconds: float = 0.0
    moving: float = 0.0
    listed: int = 0
    news: int = 0
    pulled: int = 0
    moved: int = 0
    cleared: int = 0
    odd: int = 0
    trouble: NightferryError | None = None
    plan: Sequence[Planned] = ()
    complete: bool = True
    looked: bool = True

    @property
    def empty(self) -> bool:
        """Whether the telescope had nothing for us, or did not answer."""
        return not self.news and not self.pulled


@dataclass(frozen=True, slots=True)
class Orders:
    """How a pass is to be done.

    ``until`` names the last step; ``patient`` honours the back-off of failed frames; ``settle`` waits here for
    files that are too fresh, instead of leaving them for the next pass; ``brief`` only carries what is new, and leaves
    clearing and tidying to another pass.
    """

    until: str = CLEAR
    patient: bool = False
    settle: bool = True
    brief: bool = False
    dry_run: bool = False


def run_pass(
    route: Route, ledger: Ledger, nights: Nights, orders: Orders, *, onlooker: Onlooker, stop: threading.Event
) -> Pass:
    """Carry a telescope's nights as far as they can be carried now.

    Raises `Busy` when another nightferry is at this telescope and `Misconfigured` when the telescope's store
    refuses us. A telescope out of reach is told as the pass' trouble: what is on the shelf already is delivered
    all the same.
    """
    started = time.perf_counter()
    name = route.telescope.name
    with route.locked():
        if not orders.dry_run:
            ledger.expect(name, route.expectation)
        try:
            found, trouble = _scan(route, ledger, nights, onlooker, brief=orders.brief)
        except Misconfigured as err:  # a mount that is gone, say: whoever asks how the telescope is must hear of it
            if not orders.dry_run:
                ledger.greet(Contact(name, looked_us=now_us(), trouble=str(err)))
            raise
        chosen = nights.settle_newest({found.newest} if found.newest else set())
        if orders.dry_run:
            chosen = chosen.among(night.date for night in ledger.nights(name))
            plan = _plan(route, ledger, found, nights if nights.every else chosen, chosen.evenings)
            return _report(found, Pass(trouble=trouble, plan=plan), _balances(ledger, name, chosen), started)
        ledger.greet(_contact(name, found, trouble))
        ledger.sight(found.news)
        _tell_doubts(found.doubts, onlooker)
        ledger.record([*found.doubts, *_never_pulled(ledger, found.gone), *_back_again(route, ledger, found.held)])
        archives = Looked() if orders.brief else look_at_archives(route, ledger, onlooker)
        told = _not_at_their_end(ledger, name, nights) if nights.unclosed else None
        chosen = chosen.among(night.date for night in ledger.nights(name))
        tally = _carry(
            route, ledger, chosen, orders, onlooker=onlooker, stop=stop, reachable=trouble is None, shut=archives.astray
        )
        trouble = trouble or tally.trouble
        cleared = 0
        if orders.brief:
            done = Pass(moving=tally.seconds, pulled=tally.pulled, moved=tally.bytes, trouble=trouble)
            return _report(found, done, _balances(ledger, name, chosen, told), started)
        if trouble is None and not stop.is_set() and orders.until in {DELIVER, CLEAR, _gather_name(route)}:
            trouble = carry_groups(
                route,
                ledger,
                chosen.evenings,
                patient=orders.patient,
                onlooker=onlooker,
                stop=stop,
                shut=archives.astray,
            )
        trouble = trouble or archives.trouble
        try:
            if trouble is None and not stop.is_set():
                cleared = _clear(route, ledger, chosen, orders, onlooker)
            tidy(route, ledger)
        except (TryAgain, Misconfigured) as err:  # what was carried is told all the same
            onlooker.note(str(err))
            trouble = trouble or err
        done = Pass(moving=tally.seconds, pulled=tally.pulled, moved=tally.bytes, cleared=cleared, trouble=trouble)
        return _report(found, done, _balances(ledger, name, chosen, told), started)


def _gather_name(route: Route) -> str:
    return route.group_step.name if route.group_step else ""


def _report(found: Scan, done: Pass, balances: Sequence[Balance], started: float) -> Pass:
    """Add to what was done what was found, and the balances."""
    return replace(
        done,
        balances=balances,
        seconds=time.perf_counter() - started,
        listed=found.listed,
        news=len(found.news),
        odd=found.odd,
        complete=done.trouble is None and found.complete,
        looked=found.looked,
    )


def _scan(
    route: Route, ledger: Ledger, nights: Nights, onlooker: Onlooker, *, brief: bool
) -> tuple[Scan, NightferryError | None]:
    # where folders tell nights, only theirs are listed, and only what is known of them is compared
    evenings = nights.evenings if brief and route.telescope.layout.parts_nights else None
    try:
        known = ledger.known(route.telescope.name, evenings)
        found = scan(route, known, nights, onlooker)
        if found.bare and route.telescope.never_bare:
            _require_reason(route, ledger, ledger.known(route.telescope.name))
    except TryAgain as err:
        onlooker.note(str(err))
        return Scan(0, (), (), (), None, 0, looked=False), err
    return found, None


def _require_reason(route: Route, ledger: Ledger, known: Mapping[StorePath, Known]) -> None:
    """Let a folder be empty when nothing was ever there, or all that was there is cleared by us; else raise."""
    cleared: set[StorePath] = set()
    for archive in route.telescope.archives:
        cleared |= {proof.path for proof in ledger.proofs(route.telescope.name, archive) if proof.cleared}
    missing = len(known.keys() - cleared)
    if missing:
        raise NotMounted(
            f"{route.source.traits.label}: nothing at all is there, where {missing:,} files were before: is its disk "
            f"or share mounted? Mount it and try again. Where it was emptied on purpose, say 'mount = false' in "
            f"[telescope.{route.telescope.name}]"
        )


def _tell_doubts(doubts: Sequence[Receipt], onlooker: Onlooker) -> None:
    if doubts:
        others = f" (and of {len(doubts) - 1:,} others; see: nightferry why FRAME)" if len(doubts) > 1 else ""
        onlooker.note(f"in doubt of a frame's night or time{others}: {doubts[0].reason}")


def _contact(telescope: str, found: Scan, trouble: NightferryError | None) -> Contact:
    """Return how the telescope answered this look."""
    now = now_us()
    if trouble is not None:
        return Contact(telescope, looked_us=now, trouble=str(trouble))
    return Contact(telescope, looked_us=now, reached_us=now, news_us=now if found.news else 0)


def _never_pulled(ledger: Ledger, gone: Sequence[Receipt]) -> list[Receipt]:
    """Leave out the frames that are on our side already: those need their telescope no more."""
    found = [(receipt, ledger.account(receipt.frame)) for receipt in gone]
    return [receipt for receipt, account in found if account is not None and account.standing.stage == PULL]


def _back_again(route: Route, ledger: Ledger, held: Sequence[FrameId]) -> list[Receipt]:
    """Open those frames again that were held for being gone: a card was out, or a listing was cut short."""
    accounts = [account for frame in held if (account := ledger.account(frame)) is not None]
    return [receipt for account in accounts if (receipt := back_receipt(route, account)) is not None]


def _carry(
    route: Route,
    ledger: Ledger,
    chosen: Nights,
    orders: Orders,
    *,
    onlooker: Onlooker,
    stop: threading.Event,
    reachable: bool,
    shut: Collection[str],
) -> Tally:
    """Carry what has settled; wait for the rest to settle, a few times at the most."""
    total = Tally()
    onlooker.planned(*ledger.outstanding(route.telescope.name, chosen.evenings))
    for turn in range(_SETTLE_ROUNDS + 1):
        fresh: list[Account] = []
        work = ledger.open_work(
            route.telescope.name, chosen.evenings, now_us=now_us(), retry=turn == 0 and not orders.patient
        )
        began = time.perf_counter()
        settled = _settled(work, route.telescope.settle, fresh)
        retry = turn == 0 and not orders.patient
        tally = carry(
            route,
            ledger,
            items_of(route, processing_until(route, orders.until), settled, retry=retry),
            onlooker=onlooker,
            stop=stop,
            until=orders.until,
            retry=retry,
            reachable=reachable,
            shut=shut,
        )
        total = Tally(
            total.bytes + tally.bytes,
            total.pulled + tally.pulled,
            total.seconds + time.perf_counter() - began,
            total.trouble or tally.trouble,
        )
        hopeless = total.trouble or not reachable or stop.is_set()
        if not fresh or not orders.settle or hopeless or turn == _SETTLE_ROUNDS:
            break
        try:
            _let_settle(route, ledger, fresh, onlooker, stop)
        except TryAgain as err:
            onlooker.note(str(err))
            return replace(total, trouble=err)
    return total


def _settled(accounts: Iterable[Account], settle: float, fresh: list[Account]) -> Iterator[Account]:
    """Let through the frames that nobody writes any more; keep the others in ``fresh``."""
    for account in accounts:
        if account.sighting.seen_us + settle * 1e6 > now_us() and account.standing.stage == PULL:
            fresh.append(account)
        else:
            yield account


def _let_settle(
    route: Route, ledger: Ledger, fresh: Sequence[Account], onlooker: Onlooker, stop: threading.Event
) -> None:
    """Wait until the files are old enough, then look whether they are still the same."""
    newest = max(account.sighting.seen_us for account in fresh)
    settle = route.telescope.settle  # the most to wait: our clock may have been ahead when they were sighted
    seconds = min(max(0.0, newest / 1e6 + settle - now_us() / 1e6), settle)
    onlooker.settling(len(fresh), seconds)
    if stop.wait(seconds):
        return
    changed: list[tuple[Sighting, Entry]] = []
    gone: list[Receipt] = []
    entries = route.source.stat([account.sighting.path for account in fresh])
    for account, entry in zip(fresh, entries, strict=True):
        sighting = account.sighting
        if entry is None:
            gone.append(gone_receipt(route, sighting.id, sighting.night, sighting.path))
        elif (entry.size, entry.mtime_us) != (sighting.size, sighting.mtime_us):
            changed.append((sighting, entry))
    again, doubts = sight_again(route, changed)
    ledger.sight(again)
    ledger.record([*doubts, *gone])


def _clear(route: Route, ledger: Ledger, chosen: Nights, orders: Orders, onlooker: Onlooker) -> int:
    """Delete at the source what the configuration lets us, and tell how many frames it was."""
    if route.telescope.clear_after is None or orders.until != CLEAR:
        return 0
    cleared = clear(route, ledger, chosen.evenings, onlooker=onlooker)
    return sum(clearance.outcome is Outcome.DONE for clearance in cleared)


def _not_at_their_end(ledger: Ledger, telescope: str, nights: Nights) -> frozenset[date]:
    """Return the evenings that a pass over open nights reports: with work for us or for a person, or named."""
    waiting = {
        balance.night.date
        for balance in ledger.balances(telescope)
        if (balance.held or not balance.closed) and nights.wants(balance.night.date)
    }
    return frozenset(waiting | nights.named)


def _balances(ledger: Ledger, telescope: str, chosen: Nights, told: frozenset[date] | None = None) -> Sequence[Balance]:
    """Strike the balance of each night, or of those that are ``told``; one that was asked for may be empty."""
    evenings = chosen.evenings if told is None else sorted(told)
    found = {balance.night: balance for balance in ledger.balances(telescope, evenings)}
    for evening in chosen.named if told is None else told:
        night = Night(telescope, evening)
        found.setdefault(night, Balance(night))
    return [found[night] for night in sorted(found)]


def _plan(route: Route, ledger: Ledger, found: Scan, chosen: Nights, evenings: Sequence[date] | None) -> list[Planned]:
    """Return what a pass would do, and write nothing."""
    plan = [
        Planned(sighting.night, sighting.path, sighting.size, PULL)
        for sighting in found.news
        if not sighting.ignored and not sighting.refused and chosen.wants(sighting.night.date)
    ]
    replaced = {sighting.path for sighting in found.news}
    plan += [
        Planned(account.sighting.night, account.sighting.path, account.sighting.size, account.standing.stage)
        for account in ledger.open_work(route.telescope.name, evenings, now_us=now_us(), retry=True)
        if account.sighting.path not in replaced
    ]
    return plan
