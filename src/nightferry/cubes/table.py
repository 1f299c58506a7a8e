"""The table METADATA: one row for each plane, as a binary table of FITS (FITS 4.0, section 7.3).

A column that stands for a keyword names it in TCOMMn, in full, and has the keyword's comment behind its TTYPEn; what
a frame does not say is NULL in its row: NaN, TNULLn, a text that begins with a zero byte, a logical of a zero byte.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nightferry.core.errors import Held
from nightferry.cubes.units import unit_of
from nightferry.formats.cards import BLOCK, Card, Value, format_card, parse_card
from nightferry.formats.datasum import datasum_of
from nightferry.formats.rewrite import sealed

#: A whole number that stands for none in columns of whole numbers.
NULL = -(2**63)
_MOST_COLUMNS = 999
_EXACT = 2**53
_UNFIT = re.compile(r"[^A-Z0-9_]")
_UNPRINTABLE = re.compile(r"[^ -~]")
#: Characters of a text on one card.
_LONGEST_TEXT = 66
#: Characters of a commentary card.
NOTE = 72


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``form`` as TFORMn says it, ``origin`` the keyword that it stands for, if any.

    ``raw`` says that its texts are values as they stand on cards, for values of several types.
    """

    name: str
    form: str
    values: Sequence[Value]
    unit: str = ""
    comment: str = ""
    origin: str = ""
    raw: bool = False
    null: bool = False

    @property
    def width(self) -> int:
        """Bytes of one value."""
        return int(self.form[:-1]) if self.form.endswith("A") else 1 if self.form == "L" else 8


def column_of(name: str, values: Sequence[Value], *, unit: str = "", comment: str = "", origin: str = "") -> Column:
    """Make a column of values of any type: the narrowest form that keeps all of them as they are."""
    there = [value for value in values if value is not None]
    missing = len(there) < len(values)
    found = Column(name, "", values, unit, comment, origin)
    if all(isinstance(value, bool) for value in there):
        return replace(found, form="L")
    if all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < -NULL for value in there):
        return replace(found, form="K", null=missing)
    if all(_is_real(value) for value in there):
        return replace(found, form="D", values=[_real(value) for value in values])
    if not all(isinstance(value, str) for value in there):
        found = replace(found, values=[None if value is None else _token(value) for value in values], raw=True)
    longest = max((len(str(value)) for value in found.values if value is not None), default=0)
    return replace(found, form=f"{max(1, longest)}A")


def _is_real(value: Value) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _EXACT)


def _real(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _token(value: Value) -> str:
    """Write a value as it stands on a card, without the card."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return format_card("X", value)[10:].decode("ascii").strip()


def keyword_column(card: Card, values: Sequence[Value]) -> Column:
    """Make the column of a keyword; its unit is what its comment begins with in brackets, where FITS knows it."""
    name, unit = column_name(card.keyword), unit_of(card.comment)
    return column_of(name, values, unit=unit, comment=card.comment, origin=card.keyword)


def note_column(keyword: str, texts: Sequence[tuple[str, ...]]) -> Column:
    """Make the column of commentary: the lines of a frame one behind the other, 72 characters each."""
    joined: list[Value] = ["".join(f"{text[:NOTE]:<{NOTE}}" for text in lines) or None for lines in texts]
    return column_of(keyword, joined, comment=f"lines of {NOTE} characters", origin=keyword)


def column_name(keyword: str) -> str:
    """Name a column after a keyword: A-Z, 0-9 and _ alone."""
    return _UNFIT.sub("_", keyword.removeprefix("HIERARCH ").upper())


def joined(computed: Sequence[Column], of_keywords: Sequence[Column]) -> list[Column]:
    """Put columns together under names of their own.

    A keyword whose values are those of a computed column is told by that one; one of the same name with other values
    gets ``_CARD`` behind its name.
    """
    columns = {column.name: column for column in computed}
    for column in of_keywords:
        there = columns.get(column.name)
        if there is not None and not there.origin and _equal(there, column):
            columns[column.name] = replace(there, origin=column.origin, comment=column.comment or there.comment)
            continue
        name, number = column.name, 1
        while name in columns:
            name = f"{column.name}_CARD" if number == 1 else f"{column.name}_{number}"
            number += 1
        columns[name] = replace(column, name=name)
    if len(columns) > _MOST_COLUMNS:
        raise Held(f"{len(columns)} keywords differ between the frames, and a FITS table has {_MOST_COLUMNS} columns")
    return list(columns.values())


def _equal(one: Column, other: Column) -> bool:
    return (
        one.form[-1] == other.form[-1]
        and not other.raw
        and all(
            a == b or (a != a and b != b)  # noqa: PLR0124 - NaN is the one that differs
            for a, b in zip(one.values, other.values, strict=True)
        )
    )


def table_cards(columns: Sequence[Column], rows: int, order: Sequence[str] = ()) -> list[bytes]:
    """Write the table's header, all but its sums; ``order`` are the keywords of the frames, as they stood there."""
    cards = [
        format_card("XTENSION", "BINTABLE", "binary table extension"),
        format_card("BITPIX", 8, "bytes"),
        format_card("NAXIS", 2),
        format_card("NAXIS1", sum(column.width for column in columns), "bytes in a row"),
        format_card("NAXIS2", rows, "rows, one for each plane"),
        format_card("PCOUNT", 0),
        format_card("GCOUNT", 1),
        format_card("TFIELDS", len(columns), "columns"),
        format_card("EXTNAME", "METADATA", "what is told of each plane"),
    ]
    for number, column in enumerate(columns, 1):
        at = len(cards)
        cards.append(format_card(f"TTYPE{number}", column.name, _UNPRINTABLE.sub("?", column.comment)))
        cards.append(format_card(f"TFORM{number}", column.form))
        if column.unit:
            cards.append(format_card(f"TUNIT{number}", _UNPRINTABLE.sub("?", column.unit)))
        if column.null:
            cards.append(format_card(f"TNULL{number}", NULL, "the frame says nothing"))
        if column.origin:
            cards.append(format_card(f"TCOMM{number}", _UNPRINTABLE.sub("?", column.origin), "keyword"))
        if column.raw:
            cards.append(format_card(f"TCARD{number}", True, "values as they stand on cards"))
        comment = _UNPRINTABLE.sub("?", column.comment)
        if parse_card(cards[at]).comment != comment:
            while len(comment) + comment.count("'") > _LONGEST_TEXT:
                comment = comment[:-1]
            cards.append(format_card(f"TNOTE{number}", comment))
    for number, text in enumerate(_lines(order), 1):
        cards.append(format_card(f"ORDER{number}", _UNPRINTABLE.sub("?", text)))
    return cards


def _lines(order: Sequence[str]) -> Iterator[str]:
    """Write keywords one behind the other, with commas, on lines that a card can hold."""
    line = ""
    for keyword in order:
        if line and len(line) + len(keyword) >= _LONGEST_TEXT:
            yield line
            line = ""
        line += f",{keyword}" if line else keyword
    if line:
        yield line


def read_order(cards: Mapping[str, Card]) -> list[str]:
    """Read again in which order the keywords of the frames stood."""
    found: list[str] = []
    number = 1
    while (card := cards.get(f"ORDER{number}")) is not None:
        found += str(card.value).split(",")
        number += 1
    return found


def table_bytes(columns: Sequence[Column], rows: int, order: Sequence[str] = ()) -> tuple[bytes, int]:
    """Write the whole extension: header with its sums, rows, fill; second comes the sum of its data."""
    coders = [_coder(column) for column in columns]
    data = b"".join([code(row) for row in range(rows) for code in coders])
    data += bytes(-len(data) % BLOCK)
    summed = datasum_of(data)
    return sealed(table_cards(columns, rows, order), summed) + data, summed


def _coder(column: Column) -> Callable[[int], bytes]:
    """Make the function that writes one value of a column."""
    values = column.values
    if column.form == "D":
        return lambda row: struct.pack(">d", values[row])
    if column.form == "K":
        return lambda row: struct.pack(">q", NULL if values[row] is None else values[row])
    if column.form == "L":
        return lambda row: {True: b"T", False: b"F"}.get(values[row], b"\0")  # type: ignore[arg-type]
    width = column.width

    def text(row: int) -> bytes:
        value = values[row]
        told = "" if value is None else _UNPRINTABLE.sub("?", str(value)) or " "  # a text of nothing is not no text
        return told.encode("ascii").ljust(width, b"\0")

    return text


def read_columns(cards: Mapping[str, Card], data: bytes) -> Iterator[Column]:
    """Read a table again; raises `Held` for forms that our cubes do not have."""
    rows, width = _whole(cards, "NAXIS2"), _whole(cards, "NAXIS1")
    at = 0
    for number in range(1, _whole(cards, "TFIELDS") + 1):
        form = str(cards[f"TFORM{number}"].value).strip()
        if not re.fullmatch(r"\d+A|[DKL]", form):
            raise Held(f"column {number} of METADATA has the form {form!r}, which our cubes do not have")
        head = cards[f"TTYPE{number}"]
        origin = cards.get(f"TCOMM{number}")
        note = cards.get(f"TNOTE{number}")
        comment = head.comment if note is None else str(note.value)
        shape = Column(str(head.value), form, (), "", comment, str(origin.value) if origin else "")
        raw = f"TCARD{number}" in cards
        pieces = [data[row * width + at : row * width + at + shape.width] for row in range(rows)]
        yield replace(shape, values=[_read(piece, form, raw=raw) for piece in pieces], raw=raw)
        at += shape.width


def _whole(cards: Mapping[str, Card], keyword: str) -> int:
    value = cards[keyword].value if keyword in cards else None
    if not isinstance(value, int):
        raise Held(f"METADATA has no {keyword}: it is no table of ours")
    return value


def _read(piece: bytes, form: str, *, raw: bool) -> Value:
    if form == "D":
        number: float = struct.unpack(">d", piece)[0]
        return None if math.isnan(number) else number
    if form == "K":
        whole: int = struct.unpack(">q", piece)[0]
        return None if whole == NULL else whole
    if form == "L":
        return {b"T": True, b"F": False}.get(piece)
    if piece[:1] == b"\0":
        return None
    text = piece.decode("latin-1").rstrip(" \0")
    if not raw:
        return text
    if text.startswith("'"):
        return text[1:-1].replace("''", "'")
    return parse_card(f"X       = {text}".ljust(80).encode("latin-1")).value
