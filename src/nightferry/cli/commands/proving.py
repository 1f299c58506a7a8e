"""What rests on proof: clear, audit, restore."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, JsonOption, NightOption, Telescope

app = typer.Typer()


@app.command()
def clear(
    context: typer.Context,
    telescope: Telescope,
    night: NightOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete at the source what is proven delivered, and say why not for the rest."""
    from nightferry.cli.proving import clear_command

    clear_command(context.obj, telescope, night or ["all"], dry_run=dry_run, as_json=as_json)


@app.command()
def audit(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    night: NightOption = None,
    sample: Annotated[str, typer.Option(help="The share of frames to read, e.g. 5%.")] = "100%",
    as_json: JsonOption = False,
) -> None:
    """Read back what was delivered and compare it with the ledger."""
    from nightferry.cli.proving import audit_command

    audit_command(context.obj, telescope, night or ["all"], sample=sample, as_json=as_json)


@app.command()
def restore(
    context: typer.Context,
    frame: Annotated[
        str, typer.Argument(help="As for why: path, name or digits of the digest; or a standard frame's file.")
    ],
    into: Annotated[Path, typer.Option(help="The folder for the raw file.")],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a frame's raw file, byte for byte."""
    from nightferry.cli.proving import restore_command

    restore_command(context.obj, frame, into, dry_run=dry_run, as_json=as_json)
