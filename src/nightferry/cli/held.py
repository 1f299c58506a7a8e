"""``held``, ``release``: what waits for a person, and the answer."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, HELD
from nightferry.cli.options import DryRunOption, FrameArgument, JsonOption
from nightferry.cli.show import Cell, say, say_json, table

if TYPE_CHECKING:
    from nightferry.core.ledger import Account


def held(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the frames that wait for a person, and why."""
    from nightferry.cli.frames import cube_json, frame_json

    config = api.load(context.obj)
    api.telescope_names(config, [telescope] if telescope else [])
    with api.open_ledger(config, reading=True) as ledger:
        found = api.held(ledger, telescope)
    if as_json:
        for account in found.frames:
            say_json(frame_json(account))
        for product in found.cubes:
            say_json(cube_json(product))
    elif found.frames or found.cubes:
        columns = ("frame id", "night", "path", "step", "reason")
        table(columns, [_frame_row(one) for one in found.frames] + [_cube_row(one) for one in found.cubes])
        say("let one go on with: nightferry release FRAME --why TEXT (or leave it out with --drop)", "dim")
    else:
        say("nothing is held", "green")
    sys.exit(HELD if found.frames or found.cubes else DONE)


def _frame_row(account: "Account") -> list[Cell]:
    sighting, standing = account.sighting, account.standing
    return [sighting.id[:12], str(sighting.night), sighting.path, standing.stage, standing.reason]


def _cube_row(product: "Account") -> list[Cell]:
    standing = product.standing
    return [product.id[:12], str(product.night), product.name, standing.stage, standing.reason]


def release(
    context: typer.Context,
    frame: FrameArgument,
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the ledger.")],
    drop: Annotated[bool, typer.Option("--drop", help="Leave the frame out from now on.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a held frame go on, or drop it, for a reason."""
    from nightferry.cli.frames import cube_json, frame_json

    with api.open_ledger(api.load(context.obj), reading=dry_run) as ledger:
        meant = api.find_any(ledger, frame) if dry_run else api.release(ledger, frame, why, drop=drop)
    if as_json:
        say_json(cube_json(meant) if meant.made else frame_json(meant))
        return
    path = meant.name
    if dry_run:
        say(f"{path} would be {'dropped' if drop else 'released'}; nothing was changed")
    elif drop:
        say(f"{path} is left out from now on")
    else:
        say(f"{path} is released; it goes on with the next run")
