"""What the asking commands tell of products of many frames: cubes."""

from collections import Counter
from collections.abc import Sequence

from nightferry.cli.show import COLOURS, Cell, Json, say, size_text, table
from nightferry.core.balance import Bin
from nightferry.core.display import counted
from nightferry.core.instant import utc_text
from nightferry.core.ledger import Account, Ledger, latest_editions


def held_products(ledger: Ledger, telescope: str | None) -> list[Account]:
    """List the products that wait for a person.

    An edition that was never delivered waits for nobody once a later one took its place.
    """
    products = ledger.products(telescope)
    latest = latest_editions(products)
    return [
        product for product in products if product.standing.bin is Bin.HELD and (product in latest or product.delivered)
    ]


def product_json(product: Account) -> dict[str, Json]:
    """Tell a product in the contract's words."""
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


def show_products(products: Sequence[Account]) -> None:
    """Print a night's products, one a row."""
    table(
        (products[0].step, "version", "frames", "size", "standing", "reason"),
        [_row(product) for product in products],
        numbers=("version", "frames", "size"),
    )


def _row(product: Account) -> list[Cell]:
    standing = product.standing
    reason = standing.reason
    if standing.bin is Bin.DELIVERED:
        reason = ", ".join(f"{archive}: {name}" for archive, name in product.delivered.items())
    elif standing.bin is Bin.FAILED:
        reason = f"{standing.stage}: {reason}; next try {utc_text(standing.next_try_us)}"
    numbers = f"{product.edition}", f"{product.frames:,}", size_text(product.size)
    return [product.name, *numbers, (str(standing.bin), COLOURS[standing.bin]), reason]


def show_totals(products: Sequence[Account]) -> None:
    """Print one line about all products; nothing where there are none."""
    if products:
        counts = Counter(product.standing.bin for product in products)
        words = ", ".join(f"{counts[place]:,} {place}" for place in Bin if counts[place])
        say(f"{counted(len(products), products[0].step)}: {words}", "red" if counts[Bin.HELD] else "")


def show_product(product: Account) -> None:
    """Print the head of a product's history."""
    standing = product.standing
    say(product.name, "bold")
    say(f"  telescope  {product.night.telescope}, night of {product.night.date}")
    say(f"  identity   {product.id}")
    say(f"  BLAKE3     {product.digest or 'not made yet'}")
    say(f"  {product.step:<9}  {product.key}, version {product.edition}, {counted(product.frames, 'frame')}")
    say(f"  size       {product.size:,} bytes")
    say(f"  standing   {standing.bin}{f': {standing.reason}' if standing.reason else ''}", COLOURS[standing.bin])


def members_of(ledger: Ledger, product: Account) -> list[tuple[str, str]]:
    """Tell the frames that a product is made of, by their paths at the telescope and their identities."""
    return [
        (account.sighting.path, account.sighting.id)
        for account in ledger.accounts(product.night.telescope, [product.night.date])
        if any(receipt.step == product.step and receipt.proof.get("in") == product.id for receipt in account.receipts)
    ]
