"""Rewriting: a FITS file with a new primary header and the same pixels, and the way back to the raw bytes.

Data go from file to file as they are, through a buffer that never grows; their DATASUM is made on the way, and every
HDU gets DATASUM and CHECKSUM. What a product lacks to become the raw file again (its headers, its fill, what
followed its end) goes into a recipe: a text that is kept in the receipt.
"""

import base64
import binascii
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from nightferry.core.errors import Held
from nightferry.core.store import BUFFER_SIZE
from nightferry.formats.cards import BLOCK, CARD, Card, close_header, format_card, parse_cards
from nightferry.formats.datasum import Datasum, datasum_of, encode_checksum
from nightferry.formats.findings import Unsound, escaped
from nightferry.formats.layout import Layout, read_layout, whole_blocks

SUMS = frozenset({"CHECKSUM", "DATASUM"})
#: Headers longer than this are not headers, in blocks (100,000 cards).
MOST_BLOCKS = -(-100_000 * CARD // BLOCK)
#: More bytes than this behind the last HDU are no fill that anybody would want back.
LONGEST_REST = 1 << 20


@dataclass(frozen=True, slots=True)
class Unit:
    """One header of a file: ``raw`` is all of its blocks, ``cards`` what stands before END."""

    number: int
    raw: bytes
    layout: Layout

    @property
    def cards(self) -> list[Card]:
        """The header's cards, read anew at every call."""
        return parse_cards(self.raw)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a rewriting made: the data sums of all HDUs, and the recipe that leads back to the raw bytes."""

    datasums: tuple[int, ...]
    size: int
    recipe: str


def read_unit(file: BinaryIO, number: int) -> Unit | None:
    """Read the header that begins here; None where no HDU does. Raises `Held` for a header that is none."""
    block = file.read(BLOCK)
    opening = b"SIMPLE  =" if number == 0 else b"XTENSION="
    if not block.startswith(opening):
        if number:
            file.seek(-len(block), os.SEEK_CUR)
            return None
        raise Held(f"not FITS: it starts with {escaped(block) if block else 'nothing'} where 'SIMPLE  =' is expected")
    blocks = [block]
    while (end := _find_end(block)) < 0:
        block = file.read(BLOCK)
        if not block or len(blocks) == MOST_BLOCKS:
            raise Held(f"the header of HDU {number} has no END card: the file is truncated or damaged")
        blocks.append(block)
    raw = b"".join(blocks)
    try:
        layout = read_layout(raw[: len(raw) - len(block) + end], number)
    except Unsound as err:
        raise Held(str(err)) from err
    return Unit(number, raw, layout)


def _find_end(block: bytes) -> int:
    for start in range(0, len(block), CARD):
        if block[start : start + 8] == b"END     ":
            return start
    return -1


def sealed(cards: Sequence[bytes], datasum: int) -> bytes:
    """Close a header with DATASUM and CHECKSUM, last of all (FITS 4.0, section 4.4.2.7)."""
    told = format_card("DATASUM", str(datasum), "data unit checksum")
    blank = close_header([*cards, format_card("CHECKSUM", "0" * 16, "HDU checksum"), told])
    code = encode_checksum(datasum_of(blank + datasum.to_bytes(4, "big")))
    return close_header([*cards, format_card("CHECKSUM", code, "HDU checksum"), told])


class Target(Protocol):
    """What a rewriting writes to: a file, or `Nowhere`."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take bytes."""
        ...

    def tell(self) -> int:
        """Return the place."""
        ...

    def seek(self, place: int, /) -> object:
        """Go to a place."""
        ...


class Nowhere:
    """Takes bytes and forgets them: a rewriting for the sums alone."""

    def __init__(self) -> None:
        self._at = 0

    def write(self, data: bytes | memoryview, /) -> int:
        """Count the bytes."""
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def seek(self, place: int, /) -> int:
        """Go to a place."""
        self._at = place
        return place


def rewrite(source: BinaryIO, target: Target, primary: Unit, cards: Sequence[bytes]) -> Rewritten:
    """Write a file with these cards as its primary header, sums added, and everything else from the source.

    ``source`` stands behind the primary header. Raises `Held` when the data are cut short. Nothing is synced.
    """
    buffer = memoryview(bytearray(BUFFER_SIZE))
    sums: list[int] = []
    steps: list[dict[str, str | int]] = []
    unit: Unit | None = primary
    while unit is not None:
        kept = cards if unit.number == 0 else [card.raw for card in unit.cards if card.keyword not in SUMS]
        start = target.tell()
        target.seek(start + len(sealed(kept, 0)))
        came, summed = _copy_data(source, target, unit, buffer)
        here = target.tell()
        target.seek(start)
        target.write(sealed(kept, summed))
        target.seek(here)
        sums.append(summed)
        steps.append({"header": _packed(unit.raw), "data": came})
        unit = read_unit(source, unit.number + 1)
    rest = source.read(LONGEST_REST + 1)
    if len(rest) > LONGEST_REST or rest.strip(b"\0 "):
        raise Held(f"what follows the last HDU is no extension and no fill: it starts with {escaped(rest)}")
    recipe = json.dumps({"form": 1, "units": steps, "rest": _packed(rest)}, separators=(",", ":"))
    return Rewritten(tuple(sums), target.tell(), recipe)


def _copy_data(source: BinaryIO, target: Target, unit: Unit, buffer: memoryview) -> tuple[int, int]:
    """Copy one data unit; tell how many bytes came and their sum, missing fill counted as zeros and written."""
    length, padded = unit.layout.length, unit.layout.padded
    summed, came = Datasum(), 0
    while came < padded:
        count = source.readinto(buffer[: min(len(buffer), padded - came)])  # type: ignore[attr-defined]
        if not count:
            break
        summed.add(buffer[:count])
        target.write(buffer[:count])
        came += count
    if came < length:
        raise Held(
            f"the data of HDU {unit.number} end after {came:,} of {length:,} bytes: "
            f"truncated by {length - came:,} bytes"
        )
    if came < padded:
        fill = (b" " if unit.layout.card("XTENSION") == "TABLE" else b"\0") * (padded - came)
        summed.add(memoryview(fill))
        target.write(fill)
    return came, summed.value


def restore(product: BinaryIO, target: BinaryIO, recipe: str) -> int:
    """Write the raw file that a product was made of, by its recipe; tell its size. Raises `Held` when it cannot."""
    buffer = memoryview(bytearray(BUFFER_SIZE))
    try:
        plan = json.loads(recipe)
        if plan["form"] != 1:
            raise Held(f"the recipe is of form {plan['form']}, which this version does not know")
        for number, step in enumerate(plan["units"]):
            unit = read_unit(product, number)
            if unit is None:
                raise Held(f"the product has {number} HDUs, its recipe tells of {len(plan['units'])}")
            target.write(_unpacked(step["header"]))
            _copy_exactly(product, target, int(step["data"]), unit, buffer)
        target.write(_unpacked(plan["rest"]))
    except (ValueError, KeyError, TypeError, zlib.error, binascii.Error) as err:
        raise Held(f"the recipe that leads back to the raw file is damaged: {err}") from err
    return target.tell()


def _copy_exactly(source: BinaryIO, target: BinaryIO, count: int, unit: Unit, buffer: memoryview) -> None:
    start, left = source.tell(), count
    while left:
        got = source.readinto(buffer[: min(len(buffer), left)])  # type: ignore[attr-defined]
        if not got:
            raise Held(f"the data of HDU {unit.number} of the product end {left:,} bytes too early")
        target.write(buffer[:got])
        left -= got
    source.seek(start + whole_blocks(unit.layout.length))


def _packed(raw: bytes) -> str:
    return base64.b85encode(zlib.compress(raw, 6)).decode("ascii")


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b85decode(text))
