"""``service``: have nightferry run by itself."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from nightferry import api
from nightferry.cli.options import DryRunOption
from nightferry.cli.show import say


def service(
    context: typer.Context,
    timer: Annotated[bool, typer.Option("--timer", help="Once a day instead of watching.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="Print a line for cron instead.")] = False,
    at: Annotated[str, typer.Option(help="The time of day, HH:MM, for --timer and --cron.")] = "13:45",
    into: Annotated[Path | None, typer.Option(help="The folder for systemd's units; else yours, or root's.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have nightferry run by itself: write systemd's units, or print a line for cron."""
    if cron:
        sys.stdout.write(api.cron_line(context.obj, at=at))
        return
    units = api.service(context.obj, timer=timer, at=at, into=into, dry_run=dry_run)
    for unit in units.files:
        if dry_run:
            sys.stdout.write(f"# {unit.path}\n{unit.text}\n")
        elif unit.is_there:
            say(f"{unit.path} is as it should be")
        else:
            say(f"wrote {unit.path}", "green")
    if not dry_run:
        control = "systemctl" if units.system else "systemctl --user"
        say(f"next: {control} daemon-reload && {control} enable --now {units.files[-1].path.name}")
        if not units.system:
            say("and, so that it runs while you are not logged in: loginctl enable-linger")
