"""``clear``: delete at the source what is proven delivered."""

import sys
import threading
from collections.abc import Sequence

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.options import DryRunOption, JsonOption, NightOption, Telescope
from nightferry.cli.show import Cell, say, say_json, table
from nightferry.core.display import size_text

_MOST_ROWS = 40


def clear(
    context: typer.Context,
    telescope: Telescope,
    night: NightOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete at the source what is proven delivered, and say why not for the rest."""
    from nightferry.cli.progress import progress
    from nightferry.core.receipt import Outcome

    config = api.load(context.obj)
    with api.open_ledger(config, reading=dry_run) as ledger, progress(quiet=True) as shown:
        hands = api.Hands(shown, threading.Event())
        answers = api.clear(config, ledger, telescope, night or ["all"], dry_run=dry_run, hands=hands)
    for answer in answers if as_json else ():
        state = _state(answer, dry_run=dry_run)
        say_json({"telescope": telescope, "name": answer.candidate.path, "state": state, "reason": answer.reason})
    if not as_json:
        _show(answers, dry_run=dry_run)
    outcomes = {answer.outcome for answer in answers}
    sys.exit(HELD if Outcome.HELD in outcomes else FAILED if Outcome.FAILED in outcomes else DONE)


def _state(answer: "api.Clearance", *, dry_run: bool) -> str:
    from nightferry.core.receipt import Outcome

    if answer.outcome is Outcome.DONE:
        return "cleared"
    return "would be cleared" if dry_run and answer.outcome is None and not answer.reason else "kept"


def _show(answers: "Sequence[api.Clearance]", *, dry_run: bool) -> None:
    kept = [answer for answer in answers if _state(answer, dry_run=dry_run) == "kept"]
    gone = [answer for answer in answers if answer not in kept]
    if dry_run and gone:
        _table("would be deleted", [[answer.candidate.path, size_text(answer.candidate.size)] for answer in gone])
    if kept:
        _table("stays, because", [[answer.candidate.path, answer.reason] for answer in kept])
    size = size_text(sum(answer.candidate.size for answer in gone))
    verb = "would be deleted" if dry_run else "deleted at the source, each with proof"
    say(f"{len(gone):,} frames ({size}) {verb}; {len(kept):,} stay")


def _table(title: str, rows: Sequence[Sequence[Cell]]) -> None:
    table(("frame", title), rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        say(f"... and {len(rows) - _MOST_ROWS:,} more (see --json)", "dim")
