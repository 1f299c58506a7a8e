"""Run, retry and watch: carry a telescope's frames, or those of several side by side."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date

from nightferry.api._routes import nights_of, opened_route
from nightferry.assemble import Hands, telescope_names
from nightferry.config import Config, for_run
from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.ledger import Ledger
from nightferry.core.progress import Onlooker
from nightferry.disk.errors import unforeseen
from nightferry.folders import make_new_folders
from nightferry.machine import prepare
from nightferry.monitor import monitored
from nightferry.passes.run import Orders, Pass, run_pass
from nightferry.passes.watch import Watched
from nightferry.passes.watch import watch as watch_route
from nightferry.pools import Lent, calculate_alone, crew
from nightferry.side_by_side import side_by_side


def run(
    config: Config,
    ledger: Ledger,
    telescope: str,
    nights: Sequence[str] | None = None,
    orders: Orders | None = None,
    *,
    take: list[str] | None = None,
    program: str = "",
    since: date | None = None,
    hands: Hands | None = None,
) -> Pass:
    """Make one pass over a telescope's nights (``YYYYMMDD``, ``open``, ``last``, ``latest``, ``all``; None: ``open``).

    ``program`` is the observing programme of the frames' headers, in place of the configuration's. ``since`` is the
    first night that ``open`` and ``all`` go back to; without it, ``open`` goes back to the configuration's, else to
    the oldest night that anything was ever pulled of. Raises `Busy` when
    another nightferry is at this telescope. What else kept it from doing all is told as the pass' ``trouble``, and
    frame by frame in the ledger.
    """
    config = for_run(config, program=program, take=take)
    _require(config, telescope, night=nights is not None)
    with opened_route(config, telescope, hands) as (route, given):
        words, orders = nights or ("open",), orders or Orders()
        if "open" in words:
            since = since or config.resolved[telescope].since or ledger.oldest_pulled(telescope)
        wanted = nights_of(words, route, since)
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
    with opened_route(config, telescope, hands) as (route, given):
        make_new_folders(config, ledger, telescope)
        yield from watch_route(
            route,
            ledger,
            every=rules.every,
            live=rules.live,
            empty=rules.empty,
            then=rules.then,
            since=config.resolved[telescope].since,
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


def run_each(
    config: Config,
    ledger: Ledger,
    telescopes: Sequence[str],
    nights: Sequence[str] | None = None,
    orders: Orders | None = None,
    *,
    since: date | None = None,
    again: bool = False,
    progress: Onlooker,
    done: Callable[[Mapping[str, Pass]], None] = lambda _: None,
) -> Mapping[str, Pass]:
    """Make one pass over each of several telescopes, side by side, and return what each came to.

    They share the machine's workers; alerts, books, log and metrics are looked after (see `nightferry.monitor`), but
    for a dry run. Trouble with one telescope keeps no other waiting: it is noted to ``progress`` and in its pass.
    With ``again`` what failed is tried once more (see `retry`) in place of ``nights``. ``done`` is called with the
    passes before alerts are waited for, which may take a little. Call it from the main thread: the first Ctrl-C or
    SIGTERM brings what is under way to a safe end, and then raises `KeyboardInterrupt`.
    """
    orders, stop = orders or Orders(), threading.Event()
    calculate_alone()
    prepare()
    with ExitStack() as open_now:
        workers = crew(config.pool.kind, config.pool.workers)  # for all, so that they share the machine
        open_now.callback(workers.shutdown)
        monitor = None
        if not orders.dry_run:
            monitor = open_now.enter_context(monitored(config, ledger, telescopes, progress.note, hasty=True))

        def carry(name: str) -> Pass:
            shown = progress if monitor is None else monitor.progress(progress, name)
            hands = Hands(shown, stop, Lent(workers))
            try:
                if again:
                    found = retry(config, ledger, name, orders, hands=hands)
                else:
                    found = run(config, ledger, name, nights, orders, since=since, hands=hands)
            except (TryAgain, Misconfigured, OSError) as err:
                trouble = unforeseen(err) if isinstance(err, OSError) else err
                shown.note(f"{name} could not be carried: {trouble}")
                found = Pass(trouble=trouble)
            if monitor is not None:
                monitor.passed(name, found)
            return found

        passes = side_by_side(telescopes, carry, config.pool.telescopes, stop, progress.note)
        done(passes)
        return passes


def watch_each(
    config: Config,
    ledger: Ledger,
    telescopes: Sequence[str],
    *,
    progress: Onlooker,
    seen: Callable[[str, Watched | NightferryError], None] = lambda _name, _look: None,
) -> None:
    """Watch several telescopes, each in a thread of its own, until all have stopped.

    ``seen`` is called from these threads after each look, and with the error that ended a telescope's watch. Alerts,
    books, log and metrics are looked after (see `nightferry.monitor`). Ctrl-C and SIGTERM end it as they do `run_each`.
    """
    stop = threading.Event()
    calculate_alone()
    prepare()
    with ExitStack() as open_now:
        workers = crew(config.pool.kind, config.pool.workers)
        open_now.callback(workers.shutdown)
        monitor = open_now.enter_context(monitored(config, ledger, telescopes, progress.note, hasty=False))

        def follow(name: str) -> None:
            hands = Hands(monitor.progress(progress, name), stop, Lent(workers))
            try:
                for look in watch(config, ledger, name, hands=hands):
                    monitor.watched(name, look)
                    seen(name, look)
            except (TryAgain, Misconfigured, OSError) as err:
                trouble = unforeseen(err) if isinstance(err, OSError) else err
                progress.note(f"{name}: {trouble}")
                seen(name, trouble)
                monitor.passed(name, trouble)
            else:
                monitor.done(name)

        side_by_side(telescopes, follow, len(telescopes), stop, progress.note)


def runnable(config: Config, chosen: Sequence[str] = (), *, night: bool) -> tuple[list[str], dict[str, list[str]]]:
    """Return the telescopes to carry from, and what the runs of those that are left out would have to name.

    Only where none is ``chosen`` any is left out; ``night``: nights are named. Raises `Misconfigured` when the
    configuration has no telescope.
    """
    names = telescope_names(config, chosen)
    if not names:
        raise Misconfigured("the configuration names no telescope; add [telescope.NAME], or see: nightferry init")
    if chosen:
        return names, {}
    missing = {name: config.resolved[name].missing(night=night) for name in names}
    return [name for name in names if not missing[name]], {name: words for name, words in missing.items() if words}
