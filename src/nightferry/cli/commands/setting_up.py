"""What one does before the first night: init, presets, discover, check, service."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, JsonOption, Telescopes

app = typer.Typer()


@app.command()
def init(
    context: typer.Context,
    preset: Annotated[str | None, typer.Option(help="The make of telescope; see the presets' names.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the telescope.")] = None,
    source: Annotated[str | None, typer.Option(help="Where its files are, e.g. ftp://10.0.0.1/user.")] = None,
    library: Annotated[Path | None, typer.Option(help="The folder for the library.")] = None,
    user: Annotated[str | None, typer.Option(help="The user to log in as.")] = None,
    secret: Annotated[str | None, typer.Option(help="Where the password is: env:NAME, file:PATH.")] = None,
    credentials: Annotated[
        list[Path] | None, typer.Option("--from", help="Transfer scripts' .credentials.csh or .env, to move over from.")
    ] = None,
    host_key: Annotated[
        str | None, typer.Option(help="The fingerprint that an SFTP server's key must have: SHA256:...")
    ] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Take the telescope that is in reach.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Try the connection.")] = True,
    dry_run: DryRunOption = False,
) -> None:
    """Write a commented configuration: asks what it must, tests the connection."""
    from nightferry.cli.setup import Wishes, init_command

    given = tuple(credentials or ())
    wishes = Wishes(
        preset, name, source, library, user, secret, host_key=host_key, discover=discover, test=test, dry_run=dry_run,
        credentials=given,
    )  # fmt: skip
    init_command(context.obj, wishes)


@app.command()
def presets(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The one to explain; all are listed when none is given.")] = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the preset's file, to start one's own from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the telescopes we know, or explain one."""
    from nightferry.cli.finding import presets_command

    presets_command(context.obj, name, as_toml=as_toml, as_json=as_json)


@app.command()
def discover(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Presets to look for; all when none is given.")] = None,
    hosts: Annotated[str | None, typer.Option("--range", help="Try every host of it too, e.g. 192.168.1.0/24.")] = None,
    folder: Annotated[list[Path] | None, typer.Option(help="Look here too, as on a mounted disk.")] = None,
    timeout: Annotated[str, typer.Option(help="How long a host may take to answer.")] = "1.5 s",
    as_json: JsonOption = False,
) -> None:
    """Look for telescopes at the addresses and on the disks where presets know them to be."""
    from nightferry.cli.finding import discover_command

    discover_command(
        context.obj, names or [], hosts=hosts or "", folders=folder or [], timeout=timeout, as_json=as_json
    )


@app.command()
def check(
    context: typer.Context,
    telescopes: Telescopes = None,
    service: Annotated[
        bool, typer.Option("--service", help="Fail also when nothing starts nightferry by itself.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check configuration, secrets, stores, free space, ledger, alerts and what starts nightferry by itself."""
    from nightferry.cli.checking import check_command

    check_command(context.obj, telescopes or [], service=service, as_json=as_json)


@app.command()
def service(
    context: typer.Context,
    timer: Annotated[bool, typer.Option("--timer", help="Once a day instead of watching.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="Print a line for cron instead.")] = False,
    at: Annotated[str, typer.Option(help="The time of day, HH:MM, for --timer and --cron.")] = "13:45",
    into: Annotated[Path | None, typer.Option(help="The folder for systemd's units; else yours, or root's.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have nightferry run by itself: write systemd's units, or print a line for cron."""
    from nightferry.cli.serving import service_command

    service_command(context.obj, timer=timer, cron=cron, at=at, into=into, dry_run=dry_run)
