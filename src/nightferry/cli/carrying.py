"""The commands that carry: run, retry, watch."""

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD, code_of, code_of_balances, say_error
from nightferry.cli.machine import prepare
from nightferry.cli.progress import onlooker
from nightferry.cli.show import balance_json, say, say_json, show_balances, size_text, span_text, table
from nightferry.cli.side_by_side import side_by_side
from nightferry.config import Config, for_run
from nightferry.config.units import seconds
from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.core.layout import KINDS
from nightferry.core.ledger import Ledger
from nightferry.core.progress import Onlooker
from nightferry.core.step import CLEAR, DELIVER
from nightferry.passes.run import Orders, Pass
from nightferry.pools import Lent, calculate_alone, crew

Carry = Callable[[Config, Ledger, str, api.Hands], Pass]


def run_command(
    place: Path | None,
    telescopes: Sequence[str],
    nights: Sequence[str] | None,
    *,
    until: str,
    take: str | None,
    program: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make one pass over each telescope and exit with what it means."""
    kinds = read_take(take)
    config = for_run(api.load(place), program=program, take=kinds)
    orders = Orders(until=until, dry_run=dry_run)

    def carry(config: Config, ledger: Ledger, name: str, hands: api.Hands) -> Pass:
        return api.run(config, ledger, name, nights, orders, hands=hands)

    _carry_each(config, _names(config, telescopes, night=bool(nights)), carry, orders, as_json=as_json)


def retry_command(place: Path | None, telescopes: Sequence[str], *, program: str, dry_run: bool, as_json: bool) -> None:
    """Try again what failed and exit with what came of it."""
    config = for_run(api.load(place), program=program)
    orders = Orders(dry_run=dry_run)

    def carry(config: Config, ledger: Ledger, name: str, hands: api.Hands) -> Pass:
        return api.retry(config, ledger, name, orders, hands=hands)

    names = _names(config, telescopes, night=True)  # those with failed frames
    _carry_each(config, names, carry, orders, as_json=as_json)


def _carry_each(config: Config, names: Sequence[str], carry: Carry, orders: Orders, *, as_json: bool) -> None:
    """Carry several telescopes side by side; trouble with one keeps no other waiting."""
    calculate_alone()
    stop = threading.Event()
    prepare()
    workers = crew(config.pool.kind, config.pool.workers)  # one crew for all, so that they share the machine
    with ExitStack() as open_now:
        ledger = open_now.enter_context(api.open_ledger(config, reading=orders.dry_run))
        open_now.callback(workers.shutdown)
        shown = open_now.enter_context(ExitStack())
        watcher = shown.enter_context(onlooker(quiet=as_json))
        monitor = None
        if not orders.dry_run:
            monitor = open_now.enter_context(api.monitored(config, ledger, names, watcher.note, hasty=True))

        def one(name: str) -> Pass:
            told = watcher if monitor is None else monitor.progress(watcher, name)
            done = _carry_one(config, ledger, name, carry, api.Hands(told, stop, Lent(workers)))
            if monitor is not None:
                monitor.passed(name, done)
            return done

        results = side_by_side(names, one, config.pool.telescopes, stop, watcher.note)
        shown.close()
        for name in names:  # before the monitor ends, which may wait a little for a mail server
            _tell(name, results[name], as_json=as_json, dry_run=orders.dry_run)
    sys.exit(_worst([_code(done, orders) for done in results.values()]))


def _names(config: Config, chosen: Sequence[str], *, night: bool) -> list[str]:
    """Return the telescopes to carry from; raises `Misconfigured` when there are none.

    Where none is chosen, those are left out whose runs must name more than they do; ``night``: nights are named.
    """
    names = api.telescope_names(config, chosen)
    if not names:
        raise Misconfigured("the configuration names no telescope; add [telescope.NAME], or see: nightferry init")
    if chosen:
        return names
    for name in names:
        missing = config.resolved[name].missing(night=night)
        if missing:
            say_error(
                f"{name} is left out: its runs must name their {' and '.join(missing)} (telescope.{name}.require)"
            )
            names = [one for one in names if one != name]
    return names


def _carry_one(config: Config, ledger: Ledger, name: str, carry: Carry, hands: api.Hands) -> Pass:
    try:
        return carry(config, ledger, name, hands)
    except (TryAgain, Misconfigured) as err:
        hands.onlooker.note(f"{name}: {err}")
        return Pass(trouble=err)


def _code(done: Pass, orders: Orders) -> int:
    if done.trouble is not None and isinstance(done.trouble, Misconfigured):
        return code_of(done.trouble)
    whole = orders.until in {DELIVER, CLEAR}
    balances = DONE if orders.dry_run else code_of_balances(done.balances, whole=whole)
    return balances or (code_of(done.trouble) if done.trouble else DONE)


def _worst(codes: Sequence[int]) -> int:
    """Choose the exit code of several telescopes: misconfigured, then what needs a person, then the rest."""
    return next((code for code in (2, HELD, FAILED) if code in codes), DONE)


def _tell(name: str, done: Pass, *, as_json: bool, dry_run: bool) -> None:
    """Print the summary of a pass: what would be done, or what was, and the balances."""
    if as_json:
        for balance in done.balances:
            say_json(balance_json(balance, done.seconds))
        return
    if dry_run:
        rows = [[str(plan.night.date), plan.stage, size_text(plan.size), plan.path] for plan in done.plan]
        if rows:
            table(("night", "next step", "size", "frame"), rows, numbers=("size",))
        say(f"{name}: {len(rows):,} frames would be carried; nothing was changed")
        return
    if done.trouble is not None and not done.balances:
        return  # it could not even begin, and that was said
    if done.balances:
        show_balances(done.balances)
    say(summary(name, done), "" if done.trouble is None else "yellow")


def summary(name: str, done: Pass) -> str:
    """Say in one line what a pass found and did."""
    speed = f" at {size_text(done.moved / done.moving)}/s" if done.moved and done.moving else ""
    parts = [f"{done.listed:,} {'file' if done.listed == 1 else 'files'} listed", f"{done.news:,} new"]
    frames = "frame" if done.pulled == 1 else "frames"
    parts.append(
        f"{done.pulled:,} {frames} pulled ({size_text(done.moved)}{speed})" if done.pulled else "nothing pulled"
    )
    if done.cleared:
        parts.append(f"{done.cleared:,} deleted at the source")
    if done.odd:
        what = "oddity such as a link" if done.odd == 1 else "oddities such as links"
        parts.append(f"{done.odd:,} {what} left there (see: nightferry night)")
    if done.trouble is not None:
        parts.append(f"not all could be done: {done.trouble}")
    return f"{name}: {', '.join(parts)} in {span_text(done.seconds)}"


def watch_command(
    place: Path | None,
    telescopes: Sequence[str],
    *,
    take: str | None,
    program: str,
    every: str | None,
    empty: int | None,
    as_json: bool,
) -> None:
    """Watch telescopes, each in a thread of its own, until Ctrl-C or until all have stopped."""
    calculate_alone()
    kinds = read_take(take)
    config = for_run(api.load(place), program=program, take=kinds, every=read_every(every), empty=empty)
    names = _names(config, telescopes, night=False)
    stop = threading.Event()
    codes: dict[str, int] = {}
    prepare()
    workers = crew(config.pool.kind, config.pool.workers)
    with ExitStack() as open_now:
        ledger = open_now.enter_context(api.open_ledger(config))
        open_now.callback(workers.shutdown)
        watcher = open_now.enter_context(onlooker(quiet=as_json))
        monitor = open_now.enter_context(api.monitored(config, ledger, names, watcher.note, hasty=False))

        def follow(name: str) -> None:
            hands = api.Hands(monitor.progress(watcher, name), stop, Lent(workers))
            try:
                for seen in api.watch(config, ledger, name, hands=hands):
                    codes[name] = _code(seen.result, Orders())
                    monitor.watched(name, seen)
                    _tell_watched(config, name, seen, watcher, as_json=as_json)
            except (TryAgain, Misconfigured) as err:
                watcher.note(f"{name}: {err}")
                codes[name] = code_of(err)
                monitor.passed(name, err)
            else:
                monitor.done(name)

        side_by_side(names, follow, len(names), stop, watcher.note)
    sys.exit(_worst(list(codes.values())))


def _tell_watched(config: Config, name: str, seen: api.Watched, watcher: Onlooker, *, as_json: bool) -> None:
    if as_json:
        _tell(name, seen.result, as_json=True, dry_run=False)
    elif not seen.result.empty or seen.empty_in_a_row == 1:
        watcher.note(summary(name, seen.result))
    if seen.limit_reached:
        rules = config.resolved[name].watch
        what = f"{name}: {seen.empty_in_a_row} looks in a row brought nothing new"
        if rules.then == "stop":
            watcher.note(f"{what}; the watch ends")
        else:
            watcher.note(f"{what}; the watch goes on")


def read_every(text: str | None) -> float | None:
    """Read ``--every "60 s"`` as seconds; None leaves the pause to the configuration."""
    try:
        return None if text is None else seconds(text)
    except ValueError as err:
        raise Misconfigured(f"--every: {err}") from err


def read_take(words: str | None) -> list[str] | None:
    """Read ``--take fits,tiff``; None leaves the choice to configuration and preset."""
    if words is None:
        return None
    kinds = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise Misconfigured(f"--take {words!r}: expected kinds of files, with commas: {', '.join(KINDS)}")
    return kinds
