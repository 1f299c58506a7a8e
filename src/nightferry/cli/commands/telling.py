"""What people are told: alerts."""

from typing import Annotated

import typer

from nightferry.cli.commands.options import JsonOption

app = typer.Typer()


@app.command()
def alerts(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(help="list (what people were told), send (what waits), test (send one).")
    ] = "list",
    last: Annotated[int, typer.Option("--last", min=1, help="How many to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what people were told; send what waits, or a test."""
    from nightferry.cli.telling import alerts_command

    alerts_command(context.obj, what, last=last, as_json=as_json)
