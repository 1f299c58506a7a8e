"""The command line: what all commands share, and the order they stand in."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry import __version__
from nightferry.cli.alerts import alerts
from nightferry.cli.audit import audit
from nightferry.cli.check import check
from nightferry.cli.clear import clear
from nightferry.cli.cube import cube
from nightferry.cli.demo import demo
from nightferry.cli.exits import guarded
from nightferry.cli.held import held, release
from nightferry.cli.index import app as index
from nightferry.cli.init import init
from nightferry.cli.ledger import app as ledger
from nightferry.cli.nights import night, nights, why
from nightferry.cli.presets import discover, presets
from nightferry.cli.restore import restore
from nightferry.cli.run import retry, run, watch
from nightferry.cli.service import service
from nightferry.cli.solve import solve
from nightferry.cli.standardise import standardise, validate
from nightferry.cli.status import status

app = typer.Typer(
    name="nightferry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Carries each night's frames from a telescope to its archives, and proves that nothing was lost on the way.",
)
# in the order of --help
for command in (
    init, presets, discover, check, service,
    run, retry, watch,
    status, nights, night, why, held, release,
    clear, audit, restore,
    alerts,
    standardise, solve, validate, cube, demo,
):  # fmt: skip
    app.command()(command)
app.add_typer(ledger, name="ledger")
app.add_typer(index, name="index")


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
