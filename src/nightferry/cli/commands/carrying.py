"""What carries frames: run, retry, watch."""

from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, JsonOption, NightOption, ProgramOption, TakeOption, Telescopes

app = typer.Typer()


@app.command()
def run(
    context: typer.Context,
    telescopes: Telescopes = None,
    night: NightOption = None,
    until: Annotated[
        str, typer.Option(help="The last step: pull, verify, another of the route, deliver or clear.")
    ] = "clear",
    take: TakeOption = None,
    program: ProgramOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make one pass: carry the nights' frames as far as they can be carried now."""
    from nightferry.cli.carrying import run_command

    run_command(
        context.obj,
        telescopes or [],
        night,
        until=until,
        take=take,
        program=program or "",
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def retry(
    context: typer.Context,
    telescopes: Telescopes = None,
    program: ProgramOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try again now what failed, without waiting for the next try."""
    from nightferry.cli.carrying import retry_command

    retry_command(context.obj, telescopes or [], program=program or "", dry_run=dry_run, as_json=as_json)


@app.command()
def watch(
    context: typer.Context,
    telescopes: Telescopes = None,
    take: TakeOption = None,
    program: ProgramOption = None,
    every: Annotated[str | None, typer.Option(help="Pause between two looks, e.g. '5 min'.")] = None,
    empty: Annotated[int | None, typer.Option(min=1, help="Stop (or alert) after so many empty looks.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Carry frames as they come, until stopped."""
    from nightferry.cli.carrying import run_command, watch_command

    if dry_run:  # what the first look would do
        run_command(
            context.obj,
            telescopes or [],
            ["all"],
            until="clear",
            take=take,
            program=program or "",
            dry_run=True,
            as_json=as_json,
        )

    watch_command(
        context.obj, telescopes or [], take=take, program=program or "", every=every, empty=empty, as_json=as_json
    )
