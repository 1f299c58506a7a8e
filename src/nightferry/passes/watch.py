"""Watching: look after look, until somebody says stop or too many sweeps in a row were empty.

A *sweep* looks at all nights. Between two sweeps, while it is dark at the site or frames keep coming, *brief* looks at
the present night carry frames soon after they settle. When the sun has risen, a sweep for late frames ends the night.
Whatever was missed while nobody watched is found by the first sweep.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal

from nightferry.core.balance import Balance
from nightferry.core.errors import Busy, Misconfigured, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.night import Nights, evening_at
from nightferry.core.progress import Onlooker
from nightferry.core.sun import NightHours, night_hours
from nightferry.disk.errors import unforeseen
from nightferry.passes.receipts import now_us
from nightferry.passes.route import Route
from nightferry.passes.run import Orders, Pass, run_pass

#: Frames "keep coming" for this many seconds after the last new one.
_COMING = 1800.0
#: A night's last frame may be read out and written this many seconds after sunrise, and then it has to settle.
_LAST_FRAME = 60.0
#: With more unsettled nights than this, a sweep is the simpler look.
_FEW = 5
_SWEEP = Orders(patient=True, settle=False)
_BRIEF = Orders(patient=True, settle=False, brief=True)


@dataclass(frozen=True, slots=True)
class Watched:
    """One look at the telescope. ``limit_reached`` is true once, when that many sweeps in a row were empty.

    ``ended`` is the evening of the night that this sweep ended, if it did.
    """

    result: Pass
    empty_in_a_row: int
    limit_reached: bool = False
    ended: date | None = None


@dataclass(slots=True)
class _Plan:
    """When to look next, and at what."""

    route: Route
    every: float
    live: float
    sweep_at: float = 0.0  # by the monotonic clock, which no change of the clock moves
    news_at: float = -_COMING
    evening: date | None = None
    unsettled: frozenset[date] = frozenset()
    _hours: NightHours | None = field(default=None)

    def tonight(self) -> date:
        """Return the evening of the present night."""
        return evening_at(datetime.fromtimestamp(now_us() / 1e6, UTC), self.route.telescope.layout.longitude)

    def ended(self) -> date | None:
        """Return the night that has come to its end since it was begun; it is then no longer the present one."""
        tonight = self.tonight()
        if self.evening is None:
            hours = night_hours(tonight, self.route.telescope.site)
            self.evening, self._hours = tonight, hours
            if now_us() > self._end():  # begun after sunrise: the sweep that comes first has done it all
                self._hours = None
        over = self.evening if self._hours is not None and now_us() > self._end() else None
        if over is not None:
            self._hours = None
        if self.evening != tonight:
            self.evening, self._hours = tonight, night_hours(tonight, self.route.telescope.site)
        return over

    def _end(self) -> int:
        assert self._hours is not None  # noqa: S101 - asked for only where there are some
        return self._hours.end_us + round((_LAST_FRAME + self.route.telescope.settle) * 1e6)

    def sweeps(self) -> bool:
        """Whether the next look is at all nights: when it is time, or where no night can be listed alone."""
        alone = self.route.telescope.layout.parts_nights and len(self.unsettled) <= _FEW
        return not alone or time.monotonic() >= self.sweep_at

    def lively(self) -> bool:
        """Whether frames may come at any moment."""
        dark = self._hours is not None and bool(self._hours.dark) and self._hours.holds(now_us())
        return dark or time.monotonic() - self.news_at < _COMING

    def learn(self, result: Pass) -> None:
        """Remember of a look what the next ones depend on."""
        if result.news:
            self.news_at = time.monotonic()
        shown = {balance.night.date for balance in result.balances}
        waiting = {balance.night.date for balance in result.balances if balance.pending}
        self.unsettled = (self.unsettled - shown) | waiting

    def pause(self, result: Pass) -> float:
        """Return how many seconds to wait for the next look."""
        until_sweep = max(0.0, self.sweep_at - time.monotonic())
        soon = max(self.route.telescope.settle, 1.0) if result.news else until_sweep  # new files settle meanwhile
        brief = self.live if self.lively() and self.route.telescope.layout.parts_nights else until_sweep
        return min(until_sweep, soon, brief)


def watch(
    route: Route,
    ledger: Ledger,
    *,
    every: float,
    empty: int | None,
    then: Literal["stop", "alert"],
    onlooker: Onlooker,
    stop: threading.Event,
    live: float = 15.0,
    since: date | None = None,
) -> Iterator[Watched]:
    """Sweep every ``every`` seconds, look briefly in between, and carry what is new; yield after each look.

    A sweep that found nothing new since the last one, or no telescope, is an empty one. After ``empty`` of them in a
    row the watch ends, or says so once and goes on, until something comes again. Raises `Misconfigured` for a telescope
    that never answered; where one did, it may answer again.
    """
    plan = _Plan(route, every, live)
    empty_in_a_row, came = 0, False
    while not stop.is_set():
        ended = plan.ended()
        sweeping = ended is not None or plan.sweeps()
        result = _look(route, ledger, plan, sweeping=sweeping, since=since, onlooker=onlooker, stop=stop)
        if result is None:
            stop.wait(every)
            continue
        plan.learn(result)
        came = came or not result.empty
        reached = False
        if sweeping:
            plan.sweep_at = time.monotonic() + every
            empty_in_a_row, came = (0 if came else empty_in_a_row + 1), False
            reached = empty is not None and empty_in_a_row == empty
            if ended is not None:
                onlooker.note(_closing(route, ended, result))
        if sweeping or result.pulled or result.trouble is not None:
            yield Watched(result, empty_in_a_row, reached, ended)
        if reached and then == "stop":
            return
        stop.wait(plan.pause(result))


def _look(
    route: Route,
    ledger: Ledger,
    plan: _Plan,
    *,
    sweeping: bool,
    since: date | None,
    onlooker: Onlooker,
    stop: threading.Event,
) -> Pass | None:
    """Make one pass; None while another nightferry is at the telescope."""
    nights = Nights(every=True, since=since) if sweeping else Nights(named=plan.unsettled | {plan.tonight()})
    try:
        return run_pass(route, ledger, nights, _SWEEP if sweeping else _BRIEF, onlooker=onlooker, stop=stop)
    except Busy as err:
        onlooker.note(str(err))
        return None
    except TryAgain as err:  # a full disk, say: it may be over by the next look
        onlooker.note(str(err))
        return Pass(trouble=err)
    except OSError as err:  # a shelf or a ledger's folder that does not answer: as much the world's affair
        trouble = unforeseen(err)
        onlooker.note(str(trouble))
        return Pass(trouble=trouble)
    except Misconfigured as err:
        if not ledger.contact(route.telescope.name).reached_us:
            raise  # it never worked, so a person must say what is right
        onlooker.note(str(err))  # a mount that is gone, a password that was changed: it may come back
        return Pass(trouble=err)


def _closing(route: Route, evening: date, result: Pass) -> str:
    """Say how a night ended."""
    name = route.telescope.name
    balance = next((one for one in result.balances if one.night.date == evening), None)
    if balance is None or not balance.seen:
        seen = "nothing was observed" if result.trouble is None else f"nobody knows: {result.trouble}"
        return f"{name}: the night of {evening} is over; {seen}"
    return f"{name}: the night of {evening} is over; {_counts(balance)}"


def _counts(balance: Balance) -> str:
    words = [f"{balance.delivered:,} delivered"]
    counts = (("held", balance.held), ("failed", balance.failed), ("pending", balance.pending))
    words += [f"{count:,} {word}" for word, count in counts if count]
    words += [] if balance.complete else ["not seen whole"]
    return f"{', '.join(words)}: {'closed' if balance.closed else 'open'}"
