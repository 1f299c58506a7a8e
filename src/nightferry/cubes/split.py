"""Splitting: a cube taken apart again into its frames, each with the header that it had.

Pixels and values come back as they were, and cards in the order of the cube's first frame: how the data lie, then the
keywords, then commentary. What the cube's profile added to its header is in no frame.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from nightferry.core.errors import Held
from nightferry.core.names import safe_component
from nightferry.cubes.common import SKY, STRUCTURE
from nightferry.cubes.head import SPANNING
from nightferry.cubes.table import NOTE, Column, read_columns, read_order
from nightferry.formats.cards import Card, format_card
from nightferry.formats.rewrite import Unit, read_unit
from nightferry.headers.dialects.header import Header

_OWN_HISTORY = re.compile(r".*: cube of \d+ frames, dialect ")
_AXES = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """One frame of a cube: its name, its cards without sums, where its data lie, their sum as the table tells it.

    ``lost`` are keywords that no header can hold.
    """

    name: str
    cards: tuple[bytes, ...]
    at: int
    length: int
    datasum: int | None
    lost: tuple[str, ...] = ()


def split_cube(cube: BinaryIO) -> Iterator[Piece]:
    """Yield for each plane what its frame was; the data are left to whoever copies them.

    Raises `Held` for a file that is no cube with a table METADATA of ours.
    """
    unit = read_unit(cube, 0)
    if unit is None or len(unit.layout.axes) != _AXES:
        raise Held("it is no cube: expected three axes, the third of frames")
    data_at = len(unit.raw)
    columns, order = _read_table(cube, unit)
    width, height, planes = unit.layout.axes
    length = abs(unit.layout.bitpix) // 8 * width * height
    if any(len(column.values) != planes for column in columns):
        raise Held(f"its table METADATA has not as many rows as the cube has planes, {planes:,}")
    names = _names(columns, planes)
    sums = next(
        (column.values for column in columns if column.name == "DATASUM" and not column.origin), [None] * planes
    )
    header = Header(unit.cards)
    for row in range(planes):
        cards, lost = _cards(header, columns, order, row)
        told = sums[row]
        yield Piece(
            names[row], tuple(cards), data_at + row * length, length, told if isinstance(told, int) else None, lost
        )


def _read_table(cube: BinaryIO, unit: Unit) -> tuple[Sequence[Column], Mapping[str, int]]:
    """Read the table's columns, and the place of each keyword in the first frame."""
    cube.seek(len(unit.raw) + unit.layout.padded)
    table = read_unit(cube, 1)
    cards = {} if table is None else Header(table.cards).first
    if table is None or "EXTNAME" not in cards or cards["EXTNAME"].value != "METADATA":
        raise Held("it has no table METADATA behind its planes: it is no cube of ours, or cut short")
    data = cube.read(table.layout.length)
    if len(data) < table.layout.length:
        raise Held(f"its table METADATA is truncated by {table.layout.length - len(data):,} bytes")
    return list(read_columns(cards, data)), {key: place for place, key in enumerate(read_order(cards))}


def _names(columns: Sequence[Column], planes: int) -> list[str]:
    """Name the frames as they were; what is not safe as a file's name, or stands twice, is changed."""
    there = {column.name: column.values for column in columns}
    told = there.get("ARCNAME") or there.get("FILENAME") or [None] * planes
    names: dict[str, str] = {}
    for row, name in enumerate(told):
        plain = safe_component(str(name or f"plane-{row + 1:05d}.fits"))
        if plain.lower() in names:  # on many disks names that differ in case alone are one
            plain = f"{row + 1:05d}-{plain}"
        names[plain.lower()] = plain
    return list(names.values())


def _cards(
    header: Header, columns: Sequence[Column], order: Mapping[str, int], row: int
) -> tuple[list[bytes], tuple[str, ...]]:
    told = [column for column in columns if column.origin and column.origin not in {"COMMENT", "HISTORY"}]
    made = {
        key: card.raw
        for key, card in header.first.items()
        if key in order and not (STRUCTURE.fullmatch(key) or SKY.fullmatch(key) or key in SPANNING)
    }
    lost: list[str] = []
    for column in told:
        made.pop(column.origin, None)
        _write(column, row, made, lost)
    ordered = sorted(made, key=lambda key: order.get(key, len(order)))
    return [*_structure(header), *(made[key] for key in ordered), *_commentary(header, columns, row)], tuple(lost)


def _write(column: Column, row: int, made: dict[str, bytes], lost: list[str]) -> None:
    """Write a column's value as a card again; nothing where the frame had none."""
    value = column.values[row]
    if value is None:
        return
    try:
        made[column.origin] = format_card(column.origin, value, column.comment, long=True)
    except Held:  # a keyword that FITS forbids, and some camera wrote
        lost.append(column.origin)


def _structure(header: Header) -> Iterator[bytes]:
    yield format_card("SIMPLE", True, "conforms to FITS standard")
    yield format_card("BITPIX", header.value("BITPIX"), "array data type")
    yield format_card("NAXIS", _AXES - 1, "number of array dimensions")
    for key in ("NAXIS1", "NAXIS2", "EXTEND", "BZERO", "BSCALE", "BLANK"):
        if (card := header.first.get(key)) is not None:
            yield card.raw


def _commentary(header: Header, columns: Sequence[Column], row: int) -> Iterator[bytes]:
    for card in header.cards:
        if _is_note(card) and not _OWN_HISTORY.match(str(card.value)):
            yield card.raw
    for column in columns:
        if column.origin in {"COMMENT", "HISTORY"}:
            text = str(column.values[row] or "")
            for start in range(0, len(text), NOTE):
                yield format_card(column.origin, text[start : start + NOTE].rstrip())


def _is_note(card: Card) -> bool:
    return card.commentary and card.keyword in {"COMMENT", "HISTORY"}
