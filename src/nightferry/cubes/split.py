"""Splitting: a cube taken apart again into its frames, each with the header that it had.

Pixels and values come back as they were. Cards stand in an order that archives accept: how the data lie, coordinates,
the other cards, HIERARCH cards, commentary.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from nightferry.core.errors import Held
from nightferry.core.names import safe_component
from nightferry.cubes.common import SKY, STRUCTURE
from nightferry.cubes.head import SPANNING
from nightferry.cubes.table import NOTE, Column, read_columns
from nightferry.dialects.header import Header
from nightferry.fits.cards import Card, format_card
from nightferry.fits.rewrite import Unit, read_unit

#: Cards that only cubes have.
_OWN = re.compile(r"TEXPTIME|NFRAMES|CUBE(TYPE|KEY|SET|ID|VER|PART)")
_OWN_HISTORY = re.compile(r".*: cube of \d+ frames, dialect ")
_GROUPS = ("DPR", "OBS", "TPL", "GEN", "TEL", "ADA", "INS", "DET")
_AXES = 3
_ESO = 3


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
    """Tell of each plane what its frame was; the data are left to whoever copies them.

    Raises `Held` for a file that is no cube with a table METADATA of ours.
    """
    unit = read_unit(cube, 0)
    if unit is None or len(unit.layout.axes) != _AXES:
        raise Held("it is no cube: expected three axes, the third of frames")
    data_at = len(unit.raw)
    columns = _read_table(cube, unit)
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
        cards, lost = _cards(header, columns, row)
        told = sums[row]
        yield Piece(
            names[row], tuple(cards), data_at + row * length, length, told if isinstance(told, int) else None, lost
        )


def _read_table(cube: BinaryIO, unit: Unit) -> Sequence[Column]:
    cube.seek(len(unit.raw) + unit.layout.padded)
    table = read_unit(cube, 1)
    cards = {} if table is None else Header(table.cards).first
    if table is None or "EXTNAME" not in cards or cards["EXTNAME"].value != "METADATA":
        raise Held("it has no table METADATA behind its planes: it is no cube of ours, or cut short")
    data = cube.read(table.layout.length)
    if len(data) < table.layout.length:
        raise Held(f"its table METADATA is truncated by {table.layout.length - len(data):,} bytes")
    return list(read_columns(cards, data))


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


def _cards(header: Header, columns: Sequence[Column], row: int) -> tuple[list[bytes], tuple[str, ...]]:
    told = {
        column.origin: column for column in columns if column.origin and column.origin not in {"COMMENT", "HISTORY"}
    }
    made: dict[str, bytes] = {}
    lost: list[str] = []
    for card in header.first.values():
        key = card.keyword
        if key in told:
            _write(told[key], row, made, lost)
        elif not (STRUCTURE.fullmatch(key) or SKY.fullmatch(key) or _OWN.fullmatch(key) or key in SPANNING):
            made[key] = card.raw
    for key, column in told.items():
        if key not in made and key not in lost:
            _write(column, row, made, lost)
    return [*_structure(header), *sorted_cards(made), *_commentary(header, columns, row)], tuple(lost)


def _write(column: Column, row: int, made: dict[str, bytes], lost: list[str]) -> None:
    """Write a column's value as a card again; nothing where the frame had none."""
    value = column.values[row]
    if value is None:
        return
    try:
        made[column.origin] = format_card(column.origin, value, column.comment, long=True)
    except Held:  # a keyword that FITS forbids, and some camera wrote
        lost.append(column.origin)


def sorted_cards(cards: Mapping[str, bytes]) -> list[bytes]:
    """Bring cards into the order of archives: coordinates, others, HIERARCH by ESO's categories."""

    def place(key: str) -> tuple[int, int]:
        if SKY.fullmatch(key):
            return 0, key != "WCSAXES"
        words = key.split()
        if words[0] != "HIERARCH":
            return 1, 0
        known = len(words) >= _ESO and words[1] == "ESO" and words[2] in _GROUPS
        return 2, _GROUPS.index(words[2]) if known else len(_GROUPS)

    return [cards[key] for key in sorted(cards, key=place)]


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
