"""What became of frames, and what a person decides: status, nights, night, why, held, release."""

from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, FrameArgument, JsonOption, OneNight, Telescope, Telescopes

app = typer.Typer()


@app.command()
def status(
    context: typer.Context,
    telescopes: Telescopes = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many nights of each telescope.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show every telescope's last nights on one screen."""
    from nightferry.cli.status import status_command

    status_command(context.obj, telescopes or [], last=last, as_json=as_json)


@app.command()
def nights(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balance of every night."""
    from nightferry.cli.asking import nights_command

    nights_command(context.obj, telescope, as_json=as_json)


@app.command()
def night(
    context: typer.Context,
    telescope: Telescope,
    night: OneNight,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each frame of one night."""
    from nightferry.cli.asking import night_command

    night_command(context.obj, telescope, night, as_json=as_json)


@app.command()
def why(context: typer.Context, frame: FrameArgument, as_json: JsonOption = False) -> None:
    """Show one frame's whole history."""
    from nightferry.cli.asking import why_command

    why_command(context.obj, frame, as_json=as_json)


@app.command()
def held(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the frames that wait for a person, and why."""
    from nightferry.cli.asking import held_command

    held_command(context.obj, telescope, as_json=as_json)


@app.command()
def release(
    context: typer.Context,
    frame: FrameArgument,
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the ledger.")],
    drop: Annotated[bool, typer.Option("--drop", help="Leave the frame out from now on.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a held frame go on, or drop it, for a reason."""
    from nightferry.cli.asking import release_command

    release_command(context.obj, frame, why, drop=drop, dry_run=dry_run, as_json=as_json)
