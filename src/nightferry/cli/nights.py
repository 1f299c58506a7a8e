"""``nights``, ``night``, ``why``: what became of frames."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.options import FrameArgument, JsonOption, OneNight, Telescope
from nightferry.cli.show import (
    COLOURS,
    Cell,
    Json,
    balance_json,
    instant_json,
    say,
    say_json,
    show_balances,
    span_text,
    table,
)

if TYPE_CHECKING:
    from nightferry.core.frame import Fact
    from nightferry.core.ledger import Account
    from nightferry.core.receipt import Receipt

#: By the outcome's name.
_OUTCOMES = {"done": "green", "held": "red", "failed": "yellow", "broken": "bold red"}


def nights(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balance of every night."""
    from nightferry.cli.frames import show_totals

    config = api.load(context.obj)
    with api.open_ledger(config, reading=True) as ledger:
        balances = api.nights(config, ledger, telescope)
        cubes = [] if as_json else api.cubes(config, ledger, telescope)
    if as_json:
        for balance in balances:
            say_json(balance_json(balance))
    elif balances:
        show_balances(balances)
        show_totals(cubes)
    else:
        say("no nights yet; carry some with: nightferry run --night all")


def night(
    context: typer.Context,
    telescope: Telescope,
    night: OneNight,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each frame of one night."""
    from nightferry.cli.frames import cube_json, frame_json, frame_row, show_cubes
    from nightferry.cli.stars import night_lines

    config = api.load(context.obj)
    with api.open_ledger(config, reading=True) as ledger:
        sheet = api.night(config, ledger, telescope, night)
    if as_json:
        for account in sheet.frames:
            say_json(frame_json(account))
        for product in sheet.cubes:
            say_json(cube_json(product))
        return
    if sheet.frames:
        table(("frame", "size", "standing", "reason"), [frame_row(one) for one in sheet.frames], numbers=("size",))
    if sheet.cubes:
        show_cubes(sheet.cubes)
    for line in night_lines([api.star_facts(account) for account in sheet.frames]):
        say(line)
    show_balances([sheet.balance])


def why(context: typer.Context, frame: FrameArgument, as_json: JsonOption = False) -> None:
    """Show one frame's whole history."""
    with api.open_ledger(api.load(context.obj), reading=True) as ledger:
        found = api.why(ledger, frame)
    if found.of.made:
        _why_cube(found.of, found.members, as_json=as_json)
    else:
        _why_frame(found.of, as_json=as_json)


def _why_frame(account: "Account", *, as_json: bool) -> None:
    from nightferry.cli.stars import seen_lines
    from nightferry.core.instant import utc_text

    if as_json:
        say_json(_why_json(account))
        return
    sighting, standing = account.sighting, account.standing
    changed = "unknown" if sighting.mtime_us is None else utc_text(sighting.mtime_us)
    say(sighting.path, "bold")
    say(f"  telescope  {sighting.night.telescope}, night of {sighting.night.date}")
    say(f"  identity   {sighting.id}")
    say(f"  BLAKE3     {api.raw_digest(account) or 'not pulled yet'}")
    say(f"  at source  {sighting.size:,} bytes, changed {changed}, first seen {utc_text(sighting.seen_us)}")
    say(f"  standing   {standing.bin}{f': {standing.reason}' if standing.reason else ''}", COLOURS[standing.bin])
    _show_receipts(account.receipts)
    told = api.star_facts(account)
    if told:
        say("")
        say("what its stars tell", "bold")
        for line in seen_lines(told):
            say(f"  {line}")
    changes = api.header_changes(account)
    if changes:
        say("")
        say(f"what became of its header ({len(changes)} keywords; the recipe that leads back is in the ledger)", "bold")
        for change in changes:
            say(f"  {_change_text(change)}")


def _show_receipts(receipts: "Sequence[Receipt]") -> None:
    if receipts:
        say("")
        rows: list[Sequence[Cell]] = [_receipt_row(receipt) for receipt in receipts]
        table(("when", "step", "outcome", "took", "what was found"), rows, numbers=("took",))


def _why_cube(product: "Account", members: "Sequence[Account]", *, as_json: bool) -> None:
    """Print a cube's history, and the frames that it is made of."""
    from nightferry.cli.frames import cube_json, show_cube

    if as_json:
        more: dict[str, Json] = {
            "members": [{"name": one.sighting.path, "frame": one.sighting.id} for one in members],
            "receipts": _receipts_json(product.receipts),
        }
        say_json(cube_json(product) | more)
        return
    show_cube(product)
    _show_receipts(product.receipts)
    if members:
        say("")
        say("made of", "bold")
        for one in members:
            say(f"  {one.sighting.path}")


def _change_text(change: "api.HeaderChange") -> str:
    if change.before is None:
        return f"+ {change.keyword} = {change.after}"
    if change.after is None:
        return f"- {change.keyword} = {change.before}"
    return f"  {change.keyword} = {change.before} -> {change.after}"


def _receipt_row(receipt: "Receipt") -> list[Cell]:
    from nightferry.cli.stars import solve_text
    from nightferry.core.instant import utc_text
    from nightferry.core.step import SOLVE

    step = f"{receipt.step} to {receipt.target}" if receipt.target else receipt.step
    found = receipt.reason or ", ".join(
        f"{key} {value}" for key, value in receipt.proof.items() if _is_shown(key, value)
    )
    if receipt.step == SOLVE and not receipt.reason:
        found = solve_text(receipt.proof)  # the rest stands below the table
    outcome = (str(receipt.outcome), _OUTCOMES[str(receipt.outcome)])
    return [utc_text(receipt.started_us), step, outcome, span_text(receipt.seconds), found]


def _is_shown(key: str, value: "Fact") -> bool:
    return value not in {"", None} and key not in {"traceback", "changes", "recipe"}


def _why_json(account: "Account") -> dict[str, Json]:
    sighting = account.sighting
    return {
        "name": sighting.path,
        "night": sighting.night.date.isoformat(),
        "telescope": sighting.night.telescope,
        "frame": sighting.id,
        "standing": str(account.standing.bin),
        "reason": account.standing.reason,
        "changes": [
            {"keyword": one.keyword, "before": one.before, "after": one.after} for one in api.header_changes(account)
        ],
        "receipts": _receipts_json(account.receipts),
    }


def _receipts_json(receipts: "Sequence[Receipt]") -> list[Json]:
    return [
        {
            "step": receipt.step,
            "target": receipt.target,
            "outcome": str(receipt.outcome),
            "reason": receipt.reason,
            "proof": {key: value for key, value in receipt.proof.items() if key != "changes"},
            "started": instant_json(receipt.started_us),
            "seconds": round(receipt.seconds, 6),
            "host": receipt.host,
        }
        for receipt in receipts
    ]
