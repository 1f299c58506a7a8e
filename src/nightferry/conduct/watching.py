"""Watching: one pass after the other, until somebody says stop or too many in a row were empty."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nightferry.conduct.passes import Orders, Pass, run_pass
from nightferry.conduct.route import Route
from nightferry.core.errors import Busy, Misconfigured, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.night import Nights
from nightferry.core.progress import Onlooker


@dataclass(frozen=True, slots=True)
class Watched:
    """One look at the telescope. ``limit_reached`` is true once, when so many in a row were empty."""

    result: Pass
    empty_in_a_row: int
    limit_reached: bool = False


def watch(
    route: Route,
    ledger: Ledger,
    *,
    every: float,
    empty: int | None,
    then: Literal["stop", "alert"],
    onlooker: Onlooker,
    stop: threading.Event,
) -> Iterator[Watched]:
    """Look every so many seconds and carry what is new; yield after each look.

    A pass that found nothing new, or no telescope, is an empty one. After ``empty`` of them in a row the watch
    ends, or says so once and goes on, until something comes again.
    """
    empty_in_a_row = 0
    orders = Orders(patient=True, settle=False)
    while not stop.is_set():
        try:
            result = run_pass(route, ledger, Nights(every=True), orders, onlooker=onlooker, stop=stop)
        except Busy as err:
            onlooker.note(str(err))
            stop.wait(every)
            continue
        except TryAgain as err:  # a full disk, say: it may be over by the next look
            onlooker.note(str(err))
            result = Pass(trouble=err)
        except Misconfigured as err:
            if not ledger.contact(route.telescope.name).reached_us:
                raise  # it never worked, so a person must say what is right
            onlooker.note(str(err))  # a mount that is gone, a password that was changed: it may come back
            result = Pass(trouble=err)
        empty_in_a_row = empty_in_a_row + 1 if result.empty else 0
        reached = empty is not None and empty_in_a_row == empty
        yield Watched(result, empty_in_a_row, reached)
        if reached and then == "stop":
            return
        pause = min(every, max(route.telescope.settle, 1.0)) if result.news else every
        stop.wait(pause)
