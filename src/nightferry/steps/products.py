"""Products on the shelf: where they lie, and what receipts say of them."""

from pathlib import Path

from nightferry.core.frame import Fact, Frame, FrameId, Role
from nightferry.core.receipt import Receipt
from nightferry.core.store import StorePath
from nightferry.steps.pull import SHELVED
from nightferry.steps.shelf import Shelf

#: The folders of a night on the shelf: its products, and the names that they have in archives.
PRODUCTS, NAMES = "standard", "names"
#: The fact that tells which cube a product goes into (`nightferry.cubes.Traits`); empty for one that goes into none.
TRAITS = "traits"


def product_of(shelf: Shelf, raw: Frame, receipt: Receipt) -> Frame | None:
    """Return the product that a receipt is about, whether it is on the shelf still or not; None when it names none."""
    told = receipt.proof
    product, size, name = told.get("product"), told.get("size"), told.get("name")
    if not isinstance(product, str) or not isinstance(size, int) or receipt.digest is None:
        return None
    facts: dict[str, Fact] = {key: told.get(key) for key in ("datasum", "dialect", "name", TRAITS)}
    return Frame(
        FrameId(product),
        receipt.digest,
        size,
        raw.night,
        named_beside(raw, str(name)),
        Role.STANDARD,
        place_of(shelf, raw, FrameId(product)),
        {**facts, SHELVED: True},
        (raw.id,),
    )


def place_of(shelf: Shelf, raw: Frame, product: FrameId) -> Path:
    """Return where a product lies on the shelf."""
    return shelf.folder(raw.night) / PRODUCTS / f"{raw.id}.{product[:12]}"


def raw_of(product: Path) -> FrameId:
    """Return the raw frame that a product on the shelf, or its part, was made of."""
    return FrameId(product.name.partition(".")[0])


def named_beside(frame: Frame, name: str) -> StorePath:
    """Put a product's name where its raw frame's was."""
    folder, slash, _ = frame.name.rpartition("/")
    return StorePath(folder + slash + name)
