"""``ledger backup``, ``ledger check``: a copy of the ledger, and whether it is sound."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, HELD
from nightferry.cli.options import JsonOption
from nightferry.cli.show import say, say_json

app = typer.Typer(no_args_is_help=True, help="The ledger itself: copy it, check it.", rich_markup_mode=None)


@app.command("backup")
def ledger_backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The new file; one that is there is never overwritten.")],
    as_json: JsonOption = False,
) -> None:
    """Copy the ledger into a new file, also while nightferry runs."""
    api.ledger_backup(api.load(context.obj), file)
    if as_json:
        say_json({"file": str(file)})
    else:
        say(f"{file}: a whole copy of the ledger", "green")


@app.command("check")
def ledger_check(context: typer.Context, as_json: JsonOption = False) -> None:
    """Find out whether the ledger is sound."""
    found = api.ledger_check(api.load(context.obj))
    if as_json:
        say_json({"sound": not found, "findings": found})
    else:
        for line in found:
            say(line, "red")
        if not found:
            say("the ledger is sound", "green")
    raise typer.Exit(HELD if found else DONE)
