"""``run``, ``retry``, ``watch``: carry frames."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD, MISCONFIGURED, code_of, code_of_balances, say_error
from nightferry.cli.options import (
    DryRunOption,
    JsonOption,
    NightOption,
    ProgramOption,
    TakeOption,
    Telescopes,
    quantity,
)
from nightferry.cli.show import balance_json, say, say_json, show_balances, span_text, table
from nightferry.core.display import size_text
from nightferry.core.errors import Misconfigured, NightferryError

if TYPE_CHECKING:  # `--help`, too, comes by here
    from datetime import date

    from nightferry.core.progress import Onlooker


def run(
    context: typer.Context,
    telescopes: Telescopes = None,
    night: NightOption = None,
    until: Annotated[
        str, typer.Option(help="The last step: pull, verify, another of the route, deliver or clear.")
    ] = "clear",
    take: TakeOption = None,
    program: ProgramOption = None,
    since: Annotated[
        str | None, typer.Option(help="The first night that open and all go back to; older ones are left there.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make one pass: carry the nights' frames as far as they can be carried now."""
    config = api.for_run(api.load(context.obj), program=program or "", take=read_take(take))
    names = _names(config, telescopes or (), night=bool(night))
    _carry(config, names, night, until, since=_since(since, night), dry_run=dry_run, as_json=as_json)


def retry(
    context: typer.Context,
    telescopes: Telescopes = None,
    program: ProgramOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try again now what failed, without waiting for the next try."""
    config = api.for_run(api.load(context.obj), program=program or "")
    names = _names(config, telescopes or (), night=True)  # those with failed frames
    _carry(config, names, None, "clear", again=True, dry_run=dry_run, as_json=as_json)


def watch(
    context: typer.Context,
    telescopes: Telescopes = None,
    take: TakeOption = None,
    program: ProgramOption = None,
    every: Annotated[str | None, typer.Option(help="Pause between two looks, e.g. '5 min'.")] = None,
    empty: Annotated[int | None, typer.Option(min=1, help="Stop (or alert) after this many empty looks.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Carry frames as they come, until stopped."""
    from nightferry.cli.progress import progress
    from nightferry.config.units import seconds

    if dry_run:  # what the first look would do
        run(context, telescopes, ["all"], "clear", take, program, dry_run=True, as_json=as_json)
    pause = None if every is None else quantity(seconds, every, "--every")
    config = api.for_run(api.load(context.obj), program=program or "", take=read_take(take), every=pause, empty=empty)
    names = _names(config, telescopes or (), night=False)
    codes: dict[str, int] = {}
    with api.open_ledger(config) as ledger, progress(quiet=as_json) as shown:

        def seen(name: str, look: "api.Watched | NightferryError") -> None:
            if isinstance(look, NightferryError):
                codes[name] = code_of(look)
                return
            codes[name] = _code(look.result, "clear", dry_run=False)
            _show_look(config, name, look, shown, as_json=as_json)

        api.watch_each(config, ledger, names, progress=shown, seen=seen)
    sys.exit(_worst(list(codes.values())))


def _carry(
    config: "api.Config",
    names: Sequence[str],
    nights: Sequence[str] | None,
    until: str,
    *,
    since: "date | None" = None,
    again: bool = False,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make one pass over each telescope and exit with what it means."""
    from nightferry.cli.progress import progress

    orders = api.Orders(until=until, dry_run=dry_run)
    with api.open_ledger(config, reading=dry_run) as ledger, ExitStack() as showing:
        shown = showing.enter_context(progress(quiet=as_json))

        def done(passes: "Mapping[str, api.Pass]") -> None:
            showing.close()
            for name in names:
                _show_pass(name, passes[name], as_json=as_json, dry_run=dry_run)

        passes = api.run_each(
            config, ledger, names, nights, orders, since=since, again=again, progress=shown, done=done
        )
    sys.exit(_worst([_code(one, until, dry_run=dry_run) for one in passes.values()]))


def _since(word: str | None, nights: Sequence[str] | None) -> "date | None":
    """Parse ``--since DATE``, which bounds ``open`` and ``all``."""
    from nightferry.core.night import parse_evening

    if word is None:
        return None
    if nights and nights not in (["open"], ["all"]):
        raise Misconfigured(f"--since {word} goes with --night open or --night all, not with {' '.join(nights)}")
    return parse_evening(word)


def _names(config: "api.Config", chosen: Sequence[str], *, night: bool) -> list[str]:
    """Return the telescopes to carry from, and say which are left out and why."""
    names, missing = api.runnable(config, chosen, night=night)
    for name, words in missing.items():
        say_error(f"{name} is left out: its runs must name their {' and '.join(words)} (telescope.{name}.require)")
    return names


def _code(done: "api.Pass", until: str, *, dry_run: bool) -> int:
    from nightferry.core.step import CLEAR, DELIVER

    if done.trouble is not None and isinstance(done.trouble, Misconfigured):
        return code_of(done.trouble)
    whole = until in {DELIVER, CLEAR}
    balances = DONE if dry_run else code_of_balances(done.balances, whole=whole)
    return balances or (code_of(done.trouble) if done.trouble else DONE)


def _worst(codes: Sequence[int]) -> int:
    """Choose the exit code of several telescopes: what needs a person comes before what is tried again.

    Misconfigured means that nothing was started; where others were carried, one that could not be has failed.
    """
    if any(code != MISCONFIGURED for code in codes):
        codes = [FAILED if code == MISCONFIGURED else code for code in codes]
    return next((code for code in (MISCONFIGURED, HELD, FAILED) if code in codes), DONE)


def _show_pass(name: str, done: "api.Pass", *, as_json: bool, dry_run: bool) -> None:
    """Print the summary of a pass: what would be done, or what was, and the balances."""
    if as_json:
        for balance in done.balances:
            said = balance_json(balance, done.seconds)
            say_json(said | {"complete": balance.complete and done.looked})
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


def summary(name: str, done: "api.Pass") -> str:
    """Return in one line what a pass found and did."""
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


def _show_look(config: "api.Config", name: str, seen: "api.Watched", shown: "Onlooker", *, as_json: bool) -> None:
    if as_json:
        _show_pass(name, seen.result, as_json=True, dry_run=False)
    elif not seen.result.empty or seen.empty_in_a_row == 1:
        shown.note(summary(name, seen.result))
    if seen.limit_reached:
        rules = config.resolved[name].watch
        what = f"{name}: {seen.empty_in_a_row} looks in a row brought nothing new"
        if rules.then == "stop":
            shown.note(f"{what}; the watch ends")
        else:
            shown.note(f"{what}; the watch goes on")


def read_take(words: str | None) -> list[str] | None:
    """Parse ``--take fits,tiff``; None leaves the choice to configuration and preset."""
    from nightferry.core.layout import KINDS

    if words is None:
        return None
    kinds = [word.strip() for word in words.split(",") if word.strip()]
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise Misconfigured(f"--take {words!r}: expected kinds of files, with commas: {', '.join(KINDS)}")
    return kinds
