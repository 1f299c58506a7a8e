"""Frames and cubes as the commands that ask the ledger print them."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nightferry import api
from nightferry.cli.show import COLOURS, Cell, Json, say, table
from nightferry.core.balance import Bin
from nightferry.core.display import counted, size_text
from nightferry.core.instant import utc_text

if TYPE_CHECKING:
    from nightferry.core.ledger import Account


def frame_row(account: "Account") -> list[Cell]:
    """Return a frame as a row: its path, size, standing and reason."""
    sighting, standing = account.sighting, account.standing
    reason = (
        standing.reason
        if standing.bin is not Bin.DELIVERED
        else ", ".join(f"{archive}: {name}" for archive, name in api.delivered_names(account).items())
    )
    if standing.bin is Bin.FAILED:
        reason = f"{standing.stage}: {reason}; next try {utc_text(standing.next_try_us)}"
    return [sighting.path, size_text(sighting.size), (str(standing.bin), COLOURS[standing.bin]), reason]


def frame_json(account: "Account") -> dict[str, Json]:
    """Return a frame as JSON."""
    sighting, standing = account.sighting, account.standing
    return {
        "frame": sighting.id,
        "telescope": sighting.night.telescope,
        "night": sighting.night.date.isoformat(),
        "name": sighting.path,
        "size": sighting.size,
        "digest": api.raw_digest(account),
        "standing": str(standing.bin),
        "stage": standing.stage,
        "reason": standing.reason,
        "delivered": dict(api.delivered_names(account)),
        "stars": api.star_facts(account) or None,
    }


def cube_json(product: "Account") -> dict[str, Json]:
    """Return a cube as JSON."""
    standing = product.standing
    return {
        "cube": product.id,
        "telescope": product.night.telescope,
        "night": product.night.date.isoformat(),
        "name": product.name,
        "key": product.key,
        "version": product.edition,
        "frames": product.frames,
        "size": product.size,
        "digest": product.digest,
        "standing": str(standing.bin),
        "stage": standing.stage,
        "reason": standing.reason,
        "delivered": dict(product.delivered),
    }


def show_cubes(products: "Sequence[Account]") -> None:
    """Print a night's cubes, one a row."""
    table(
        (products[0].step, "version", "frames", "size", "standing", "reason"),
        [_cube_row(product) for product in products],
        numbers=("version", "frames", "size"),
    )


def _cube_row(product: "Account") -> list[Cell]:
    standing = product.standing
    reason = standing.reason
    if standing.bin is Bin.DELIVERED:
        reason = ", ".join(f"{archive}: {name}" for archive, name in product.delivered.items())
    elif standing.bin is Bin.FAILED:
        reason = f"{standing.stage}: {reason}; next try {utc_text(standing.next_try_us)}"
    numbers = f"{product.edition}", f"{product.frames:,}", size_text(product.size)
    return [product.name, *numbers, (str(standing.bin), COLOURS[standing.bin]), reason]


def show_totals(products: "Sequence[Account]") -> None:
    """Print one line about all cubes; nothing where there are none."""
    if products:
        counts = Counter(product.standing.bin for product in products)
        words = ", ".join(f"{counts[place]:,} {place}" for place in Bin if counts[place])
        say(f"{counted(len(products), products[0].step)}: {words}", "red" if counts[Bin.HELD] else "")


def show_cube(product: "Account") -> None:
    """Print the head of a cube's history."""
    standing = product.standing
    say(product.name, "bold")
    say(f"  telescope  {product.night.telescope}, night of {product.night.date}")
    say(f"  identity   {product.id}")
    say(f"  BLAKE3     {product.digest or 'not made yet'}")
    say(f"  {product.step:<9}  {product.key}, version {product.edition}, {counted(product.frames, 'frame')}")
    say(f"  size       {product.size:,} bytes")
    say(f"  standing   {standing.bin}{f': {standing.reason}' if standing.reason else ''}", COLOURS[standing.bin])
