"""``check``: configuration, secrets, stores, free space, ledger."""

import sys
from typing import Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, MISCONFIGURED
from nightferry.cli.options import JsonOption, Telescopes
from nightferry.cli.show import Cell, say, say_json, table
from nightferry.core.errors import Misconfigured


def check(
    context: typer.Context,
    telescopes: Telescopes = None,
    service: Annotated[
        bool, typer.Option("--service", help="Fail also when nothing starts nightferry by itself.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check configuration, secrets, stores, free space, ledger, alerts and what starts nightferry by itself."""
    config = api.load(context.obj)
    checks = []
    for one in api.check(config, telescopes or (), place=context.obj, service=service):
        checks.append(one)
        if as_json:
            say_json({"check": one.what, "ok": one.ok, "found": one.found})
    if not as_json:
        table(("", "check", "found"), [_row(one) for one in checks])
        bad = sum(not one.ok for one in checks)
        say(
            f"{bad} of {len(checks)} checks failed" if bad else f"all {len(checks)} checks passed",
            "red" if bad else "green",
        )
    if any(isinstance(one.error, Misconfigured) for one in checks):
        sys.exit(MISCONFIGURED)
    sys.exit(DONE if all(one.ok for one in checks) else FAILED)


def _row(one: "api.Check") -> list[Cell]:
    mark = ("ok", "green") if one.ok else ("FAIL", "bold red")
    return [mark, one.what, one.found]
