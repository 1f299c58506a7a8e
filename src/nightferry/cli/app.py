"""The command line: what all commands share, and the order they stand in."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry import __version__
from nightferry.cli.commands import carrying, indexing, looking, making, proving, setting_up, telling
from nightferry.cli.exits import guarded

app = typer.Typer(
    name="nightferry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Carries each night's frames from a telescope to its archives, and proves that nothing was lost on the way.",
)
# in the order of --help
for part in (setting_up, carrying, looking, proving, telling, making):
    app.add_typer(part.app)
app.add_typer(indexing.app, name="index")


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"nightferry {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="The configuration file.", envvar="NIGHTFERRY_CONFIG")
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Remember what all commands share."""
    context.obj = config


def main() -> None:
    """Run the command line."""
    guarded(app)
