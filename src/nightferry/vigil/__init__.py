"""The vigil: after each pass, what people must be told, and the process' own pulse.

It asks the ledger and the sun, never a store, so nothing that keeps a telescope or an archive waiting keeps it.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from nightferry.alerts import Facts, Habits, Mailer, NightFacts, Pinger, conditions_of, digest_of
from nightferry.assemble import archive_store, shelf_of
from nightferry.config import Config
from nightferry.config.secrets import read_secret
from nightferry.core.alert import Alert, Condition, Kind
from nightferry.core.balance import Balance, Bin
from nightferry.core.context import Site
from nightferry.core.errors import Misconfigured, NightferryError, NotMounted, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.night import Night, evening_at
from nightferry.core.overview import NightLine, Overview
from nightferry.core.progress import Onlooker
from nightferry.passes.run import Pass
from nightferry.passes.sun import night_hours
from nightferry.passes.watch import Watched
from nightferry.vigil.audits import AuditAlerts, audit_alerts
from nightferry.vigil.books import write_books
from nightferry.vigil.copies import Copier
from nightferry.vigil.journal import Journal, Written
from nightferry.vigil.metrics import serve_metrics, write_metrics

__all__ = ["AuditAlerts", "Vigil", "audit_alerts", "keep", "over_evening"]

#: So many nights of each telescope are looked at, and all older ones in which something is held or failed.
NIGHTS = 3
_HOUR_US = 3600 * 1_000_000
#: A night's frames should be here so long after it ended; a telescope that was not looked at since is waited for.
_SWEEP_US, _LATEST_US = _HOUR_US, 4 * _HOUR_US
#: A pass that neither ends nor moves anything for so many seconds is stuck, and the dead man's switch may fall.
STUCK = 1800.0
#: A look that found nothing new is followed by a full judgement after so many seconds at the earliest.
_JUDGE = 60.0
#: A digest a night stands among so many of the newest alerts, unless there is far more to worry about.
_RECENT = 200


@dataclass(slots=True)
class Vigil:
    """What is watched over by one process. Safe to use from several threads.

    ``hasty`` is true where nobody will look again soon: trouble is told at once then.
    """

    config: Config
    ledger: Ledger
    hasty: bool
    note: Callable[[str], None]
    mailer: Mailer | None = None
    journal: Journal | None = None
    copiers: list[Copier] = field(default_factory=list)
    _nights: dict[Night, Balance] = field(default_factory=dict)
    _booked: float = -math.inf  # the monotonic clock may begin at 0 when the machine does
    _refused: set[str] = field(default_factory=set)
    _beats: dict[str, float] = field(default_factory=dict)
    #: whose night cannot be judged yet, because its frames are being carried
    _under_way: set[str] = field(default_factory=set)
    _judged: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def channels(self) -> tuple[str, ...]:
        """Those who are told."""
        return tuple(dict.fromkeys(self.config.alerts.urls))

    def beat(self, telescope: str) -> None:
        """Say that a telescope's work goes on."""
        self._under_way.add(telescope)
        if telescope in self._beats:
            self._beats[telescope] = time.monotonic()

    def begin(self, telescopes: Sequence[str]) -> None:
        """Say whose frames are about to be carried."""
        self._under_way |= set(telescopes)

    def expect(self, telescopes: Sequence[str]) -> None:
        """Say whose work must go on."""
        self._beats |= dict.fromkeys(telescopes, time.monotonic())

    def alive(self) -> bool:
        """Whether the work of every telescope goes on."""
        now = time.monotonic()
        allowed = {name: STUCK + self.config.resolved[name].watch.every for name in self._beats}
        return all(now - beat < allowed[name] for name, beat in list(self._beats.items()))

    def onlooker(self, watcher: Onlooker, telescope: str) -> Onlooker:
        """Give the onlooker of a telescope's work: it feels the pulse, writes the log, and passes everything on."""
        assert self.journal is not None  # noqa: S101 - `keep` opened it
        return Written(watcher, self.journal, telescope, lambda: self.beat(telescope))

    def done(self, telescope: str) -> None:
        """Say that a telescope's work came to its end, as it should."""
        self._under_way.discard(telescope)
        self._beats.pop(telescope, None)

    def watched(self, telescope: str, seen: Watched) -> None:
        """Judge after a look of a watch."""
        self.beat(telescope)
        quiet = seen.result.empty and seen.result.trouble is None and seen.ended is None
        self.passed(telescope, seen.result, quiet=quiet)
        active = True if seen.limit_reached else None if seen.result.empty else False
        looks = f"{seen.empty_in_a_row} looks in a row brought nothing new"
        self._follow([Condition(f"empty/{telescope}", active, f"{telescope} brings nothing", f"{telescope}: {looks}")])

    def passed(self, telescope: str, result: Pass | NightferryError, *, quiet: bool = False) -> None:
        """Judge after a pass, or after the error that ended it; a quiet one is judged once a minute."""
        trouble = result.trouble if isinstance(result, Pass) else result
        with self._lock:
            self._under_way.discard(telescope)
            if isinstance(trouble, Misconfigured | NotMounted):
                self._refused.add(telescope)
            else:
                self._refused.discard(telescope)
            if isinstance(result, Pass):
                self._nights |= {balance.night: balance for balance in result.balances}
            if quiet and time.monotonic() - self._judged < _JUDGE:
                return
            self._judged = time.monotonic()
        try:
            self.judge(time.time_ns() // 1000)
        except TryAgain as err:  # the ledger is busy: the next look judges again, and no frame waits for it
            self.note(str(err))
        self.book()

    def book(self, *, now: bool = False) -> None:
        """Bring books and metrics up to date; while frames come, once a minute is enough."""
        with self._lock:
            if not (now or self.hasty) and time.monotonic() - self._booked < _JUDGE:
                return
            self._booked = time.monotonic()
            nights, self._nights = self._nights, {}
        try:
            self._write_books(list(nights.values()))
            if self.config.metrics.file is not None:
                write_metrics(self.config, self.ledger, self.config.metrics.file.expanduser())
        except (TryAgain, Misconfigured) as err:
            with self._lock:
                self._nights = nights | self._nights
            self.note(str(err))

    def _write_books(self, nights: Sequence[Balance]) -> None:
        if self.config.books.path is None:
            return
        folder = self.config.books.path.expanduser()
        for name in dict.fromkeys(balance.night.telescope for balance in nights):
            program = self.config.resolved[name].program
            changed = write_books(folder, self.ledger, [one for one in nights if one.night.telescope == name], program)
            for copier in self.copiers:
                copier.add(changed)

    def judge(self, now_us: int) -> None:
        """Look at everything, write down what people must be told, and wake the mailer."""
        facts = [self._facts(name, now_us) for name in self.config.telescope]
        rules = self.config.alerts
        habits = Habits(rules.held, 0.0 if self.hasty else rules.patience)
        conditions = conditions_of(facts, self._room(), _wanted(facts), habits)
        named = {condition.key for condition in conditions}
        standing = self.ledger.outbox.standing()
        # what is judged only while it is so is over when nobody finds it any more
        gone = [one.key for one in standing if one.key not in named and one.key.startswith("archive/")]
        self._follow([*conditions, *(Condition(key, active=False) for key in gone), *self._late(standing, named)])
        self._digest(facts, now_us)

    def _follow(self, conditions: Sequence[Condition]) -> None:
        if self.ledger.outbox.follow(conditions, self.channels, time.time_ns() // 1000):
            self._wake()

    def _wake(self) -> None:
        if self.mailer is not None:
            self.mailer.wake()

    def _facts(self, name: str, now_us: int) -> Facts:
        overview = self.ledger.overview(name, NIGHTS)
        site = self.config.resolved[name].site
        nights = [_night(line, site, now_us) for line in _lines(overview, over_evening(site, now_us))]
        if name in self._under_way:  # what has not arrived yet may be on its way
            nights = [replace(night, over=False) for night in nights]
        waiting = overview.older.get(Bin.PENDING, 0) + sum(line.balance.pending for line in overview.nights)
        dark = night_hours(_evening(site, now_us), site).holds(now_us) if site else None
        older = self._older(overview)
        return Facts(overview.contact, nights, dark, name in self._refused, waiting, older)

    def _older(self, overview: Overview) -> Sequence[NightLine]:
        """Tell of the nights before those of an overview in which something is held or failed."""
        if not (overview.older_products or overview.older.get(Bin.HELD) or overview.older.get(Bin.FAILED)):
            return ()
        oldest = min(line.balance.night.date for line in overview.nights)
        return self.ledger.open_nights(overview.contact.telescope, oldest)

    def _late(self, standing: Sequence[Alert], named: set[str]) -> Iterator[Condition]:
        """Judge nights that alerts stand for and in which nothing is held or failed any more."""
        for alert in standing:
            kind, _, rest = alert.key.partition("/")
            telescope, _, evening = rest.rpartition("/")
            if alert.key in named or telescope not in self.config.telescope:
                continue
            if kind in {"held", "bug", "cubes"}:
                yield Condition(alert.key, active=False)
            elif kind == "silent":
                found = self.ledger.balances(telescope, [date.fromisoformat(evening)])
                if not found or not found[0].held or found[0].delivered:
                    yield Condition(alert.key, active=False)

    def _room(self) -> int | None:
        """Tell how many bytes may still be pulled; None when the disk does not say."""
        shelf = shelf_of(self.config)
        try:
            place = next((one for one in (shelf.root, *shelf.root.parents) if one.exists()), shelf.root)
            return shutil.disk_usage(place).free - shelf.floor
        except OSError:
            return None

    def _digest(self, facts: Sequence[Facts], now_us: int) -> None:
        """Post the digest of the newest night that is over everywhere, once it can tell the truth."""
        if self.config.alerts.digest == "never" or not any(one.contact.looked_us for one in facts):
            return
        sites = [self.config.resolved[name].site for name in self.config.telescope]
        evening = min(over_evening(site, now_us) for site in sites)
        ends = [night_hours(evening, site).end_us for site in sites]
        for one, end_us in zip(facts, ends, strict=True):
            carried = one.contact.telescope in self._under_way
            if (carried and self.hasty) or (
                (carried or one.contact.looked_us < end_us) and now_us < end_us + _LATEST_US
            ):
                return
        nights = [
            night.line.balance for one in facts for night in one.nights if night.line.balance.night.date == evening
        ]
        if not any(balance.seen for balance in nights) and not self._told_before():
            return  # nightferry was not here yet, and has nothing to say of that night
        title, body, well = digest_of(evening, facts, self.ledger.outbox.standing())
        if well and self.config.alerts.digest == "trouble":
            return
        if self.ledger.outbox.post(Alert(0, f"digest/{evening}", Kind.DIGEST, title, body, now_us, self.channels)):
            self._wake()

    def _told_before(self) -> bool:
        """Whether there was a digest before."""
        return any(letter.alert.key.startswith("digest/") for letter in self.ledger.outbox.letters(_RECENT))


@contextmanager
def keep(
    config: Config,
    ledger: Ledger,
    telescopes: Sequence[str],
    note: Callable[[str], None],
    *,
    hasty: bool,
) -> Iterator[Vigil]:
    """Watch over the work on these telescopes: send what the outbox holds meanwhile, ping, log, keep the books.

    At the end, what cannot be sent within a few seconds is left in the
    outbox for the next time. Raises `Misconfigured` when a log or the metrics' port cannot be opened.
    """
    vigil = Vigil(config, ledger, hasty, note)
    vigil.begin(telescopes)
    rules = config.alerts
    with ExitStack() as threads:
        vigil.journal = Journal(config)
        threads.callback(vigil.journal.close)
        if config.books.path is not None:
            folder = config.books.path.expanduser()
            for name in config.books.copies:
                copier = Copier(folder, name, archive_store(config.archive[name]), note)
                vigil.copiers.append(threads.enter_context(copier))
        if config.metrics.listen is not None and not hasty:
            threads.enter_context(serve_metrics(config, ledger, config.metrics.listen))
        if rules.urls:
            vigil.mailer = threads.enter_context(Mailer(ledger.outbox, vigil.channels, read_secret, note))
        if rules.ping is not None:
            vigil.expect(telescopes)
            reference = rules.ping
            threads.enter_context(Pinger(lambda: read_secret(reference), rules.every, vigil.alive, note))
        try:
            yield vigil
        finally:
            vigil.book(now=True)


def over_evening(site: Site | None, now_us: int) -> date:
    """Tell the newest evening whose frames should all be here by now."""
    evening = _evening(site, now_us)
    while night_hours(evening, site).end_us + _SWEEP_US > now_us:
        evening -= timedelta(days=1)
    return evening


def _evening(site: Site | None, now_us: int) -> date:
    return evening_at(datetime.fromtimestamp(now_us / 1e6, UTC), site.longitude if site else None)


def _lines(overview: Overview, evening: date) -> list[NightLine]:
    """List the nights to judge, the one that just ended even where it has no frames."""
    lines = list(overview.nights)
    if all(line.balance.night.date != evening for line in lines):
        lines.append(NightLine(Balance(Night(overview.contact.telescope, evening))))
    return lines


def _night(line: NightLine, site: Site | None, now_us: int) -> NightFacts:
    hours = night_hours(line.balance.night.date, site)
    return NightFacts(line, hours.end_us + _SWEEP_US <= now_us, hours.begin_us, hours.end_us, hours.dark)


def _wanted(facts: Sequence[Facts]) -> int:
    """Tell how many bytes a night like the last ones takes on the shelf."""
    return sum(max((night.line.balance.bytes for night in one.nights), default=0) for one in facts)
