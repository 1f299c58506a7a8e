"""The monitor: after each pass of a process it has the alerts judged, the books and metrics written, and the log kept.

The parts know nothing of each other: `nightferry.alerts` decides who is told what, `nightferry.books` writes files for
scripts, `nightferry.telemetry` the log and the metrics.
"""

import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from nightferry.alerts import Limits, Mailer, Pinger, Rules, Situation, judge
from nightferry.assemble import archive_store, shelf_of
from nightferry.books import Copier, write_books
from nightferry.config import Config
from nightferry.config.secrets import read_secret
from nightferry.core.alert import Condition
from nightferry.core.balance import Balance
from nightferry.core.errors import Misconfigured, NightferryError, NotMounted, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.night import Night
from nightferry.core.progress import Onlooker
from nightferry.passes.run import Pass
from nightferry.passes.watch import Watched
from nightferry.telemetry import LoggedProgress, Logs, serve_metrics, write_metrics

#: A pass that neither ends nor moves anything for this many seconds is stuck, and the dead man's switch may fall.
STUCK = 1800.0
#: A look that found nothing new is followed by a full judgement after this many seconds at the earliest.
_JUDGE = 60.0


@dataclass(slots=True)
class Monitor:
    """What one process follows of its telescopes' work. Safe to use from several threads.

    ``hasty`` is true where nobody will look again soon: trouble is told at once then. ``note`` is called with what a
    person at the terminal should read.
    """

    config: Config
    ledger: Ledger
    hasty: bool
    note: Callable[[str], None]
    mailer: Mailer | None = None
    logs: Logs | None = None
    copiers: list[Copier] = field(default_factory=list)
    _nights: dict[Night, Balance] = field(default_factory=dict)
    _booked: float = -math.inf  # the monotonic clock may begin at 0 when the machine does
    _refused: set[str] = field(default_factory=set)
    _beats: dict[str, float] = field(default_factory=dict)
    #: whose night cannot be judged yet, because its frames are being carried
    _under_way: set[str] = field(default_factory=set)
    _judged: float = -math.inf
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, telescopes: Sequence[str]) -> None:
        """Take note of whose frames are about to be carried."""
        self._under_way |= set(telescopes)

    def expect(self, telescopes: Sequence[str]) -> None:
        """Take note of whose work must go on for the process to be `alive`."""
        self._beats |= dict.fromkeys(telescopes, time.monotonic())

    def beat(self, telescope: str) -> None:
        """Take note that a telescope's work goes on."""
        self._under_way.add(telescope)
        if telescope in self._beats:
            self._beats[telescope] = time.monotonic()

    def done(self, telescope: str) -> None:
        """Take note that a telescope's work came to its end, as it should."""
        self._under_way.discard(telescope)
        self._beats.pop(telescope, None)

    def alive(self) -> bool:
        """Whether the work of every telescope goes on."""
        now = time.monotonic()
        allowed = {name: STUCK + self.config.resolved[name].watch.every for name in self._beats}
        return all(now - beat < allowed[name] for name, beat in list(self._beats.items()))

    def progress(self, shown: Onlooker, telescope: str) -> Onlooker:
        """Wrap the progress of a telescope's work: each event counts as a beat and is logged, and then shown."""
        assert self.logs is not None  # noqa: S101 - `monitored` opened them
        return LoggedProgress(shown, self.logs, telescope, lambda: self.beat(telescope))

    def watched(self, telescope: str, seen: Watched) -> None:
        """Judge after a look of a watch."""
        self.beat(telescope)
        quiet = seen.result.empty and seen.result.trouble is None and seen.ended is None
        self.passed(telescope, seen.result, quiet=quiet)
        active = True if seen.limit_reached else None if seen.result.empty else False
        looks = f"{seen.empty_in_a_row} looks in a row brought nothing new"
        empty = Condition(f"empty/{telescope}", active, f"{telescope} brings nothing", f"{telescope}: {looks}")
        self._wake(posted=bool(self.ledger.outbox.follow([empty], self.config.alerts.channels, time.time_ns() // 1000)))

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

    def judge(self, now_us: int) -> None:
        """Judge how all telescopes stand, and have sent what people must be told."""
        asked = self.config.alerts
        rules = Rules(asked.channels, Limits(asked.held, asked.patience), asked.digest, self.hasty)
        sites = {name: one.site for name, one in self.config.resolved.items()}
        now = Situation(sites, frozenset(self._under_way), frozenset(self._refused), _room(self.config))
        self._wake(posted=judge(self.ledger, rules, now, now_us))

    def _wake(self, *, posted: bool) -> None:
        if posted and self.mailer is not None:
            self.mailer.wake()

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


@contextmanager
def monitored(
    config: Config,
    ledger: Ledger,
    telescopes: Sequence[str],
    note: Callable[[str], None],
    *,
    hasty: bool,
) -> Iterator[Monitor]:
    """Follow the work on these telescopes: send what the outbox holds meanwhile, ping, log, keep the books.

    At the end, what cannot be sent within a few seconds is left in the outbox for the next time. Raises
    `Misconfigured` when a log or the metrics' port cannot be opened.
    """
    monitor = Monitor(config, ledger, hasty, note)
    monitor.begin(telescopes)
    rules = config.alerts
    with ExitStack() as threads:
        monitor.logs = Logs(config)
        threads.callback(monitor.logs.close)
        if config.books.path is not None:
            folder = config.books.path.expanduser()
            for name in config.books.copies:
                copier = Copier(folder, name, archive_store(config.archive[name]), note)
                monitor.copiers.append(threads.enter_context(copier))
        if config.metrics.listen is not None and not hasty:
            threads.enter_context(serve_metrics(config, ledger, config.metrics.listen))
        if rules.urls:
            monitor.mailer = threads.enter_context(Mailer(ledger.outbox, rules.channels, read_secret, note))
        if rules.ping is not None:
            monitor.expect(telescopes)
            reference = rules.ping
            threads.enter_context(Pinger(lambda: read_secret(reference), rules.every, monitor.alive, note))
        try:
            yield monitor
        finally:
            monitor.book(now=True)


def _room(config: Config) -> int | None:
    """Return how many bytes may still be pulled; None when the disk does not say."""
    shelf = shelf_of(config)
    try:
        place = next((one for one in (shelf.root, *shelf.root.parents) if one.exists()), shelf.root)
        return shutil.disk_usage(place).free - shelf.floor
    except OSError:
        return None
