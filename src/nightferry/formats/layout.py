"""The layout of an HDU: what the mandatory cards of its header say about the data that follow.

Source: FITS 4.0, sections 4.4.1, 6.1 and 7. Only the few cards that matter here are read, so a header of 10,000
cards costs little more than one of 60; whatever else stands in a header is judged elsewhere.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nightferry.formats.cards import BLOCK, CARD, Card, Value, parse_card
from nightferry.formats.findings import Plain, Unsound, plain_text

BITPIX_LEGAL = (8, 16, 32, 64, -32, -64)
MOST_AXES = 999
#: No file system holds more, in bytes; a header that tells of more is wrong, and its numbers are too long to print.
LONGEST_DATA = 2**63
#: Cards that tell the layout of the data, their sums, the shape of a compressed picture, what a frame is about.
LAYOUT = ("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS", "NEXTEND", "BZERO")
SUMS = ("CHECKSUM", "DATASUM")
PACKED = ("ZIMAGE", "ZBITPIX", "ZNAXIS")
ABOUT = ("DATE-OBS", "EXPOSURE", "EXPTIME", "FILTER", "IMAGETYP", "INSTRUME", "OBJECT", "TELESCOP")
#: Axes whose cards are picked out at once; headers with more are rare and read twice.
USUAL_AXES = 9
_AXES = tuple(f"{prefix}NAXIS{axis}" for prefix in ("", "Z") for axis in range(1, USUAL_AXES + 1))


def _openings(keywords: Iterable[str]) -> frozenset[bytes]:
    """Give the first ten bytes of the value cards with these keywords."""
    return frozenset(f"{keyword:<8}= ".encode() for keyword in keywords)


_WANTED = _openings((*LAYOUT, *SUMS, *PACKED, *ABOUT, *_AXES))


@dataclass(frozen=True, slots=True)
class Layout:
    """How the data of one HDU lie: ``axes`` in pixels (first fastest), ``length`` of the data in bytes without fill."""

    name: str
    bitpix: int
    axes: tuple[int, ...]
    length: int
    cards: Mapping[str, Value]

    @property
    def padded(self) -> int:
        """Length of the data with the fill of the last block, in bytes."""
        return whole_blocks(self.length)

    def card(self, keyword: str) -> Value:
        """Return the value of a card that was picked out; None when there is none."""
        return self.cards.get(keyword)


def whole_blocks(count: int) -> int:
    """Round a number of bytes up to whole blocks of 2880."""
    return -(-count // BLOCK) * BLOCK


def read_layout(header: bytes, number: int) -> Layout:
    """Work out the layout from a header up to END; raise `Unsound` where the mandatory cards give none.

    ``number`` counts HDUs from 0, the primary one. Where a keyword stands twice, the first counts.
    """
    cards = pick_cards(header)
    name = f"HDU {number}"
    bitpix = _integer(cards, "BITPIX", name)
    if bitpix not in BITPIX_LEGAL:
        raise Unsound(f"BITPIX of {name} is {bitpix}, expected one of {', '.join(map(str, BITPIX_LEGAL))}")
    dimensions = _integer(cards, "NAXIS", name, most=MOST_AXES)
    if dimensions > USUAL_AXES:
        cards |= pick_cards(header, _openings(f"NAXIS{axis}" for axis in range(1, dimensions + 1)))
    axes = tuple(_integer(cards, f"NAXIS{axis}", name) for axis in range(1, dimensions + 1))
    groups = _integer(cards, "GCOUNT", name, default=1)
    parameters = _integer(cards, "PCOUNT", name, default=0)
    shape = axes[1:] if axes and not axes[0] and cards.get("GROUPS") is True else axes
    pixels = math.prod(shape) if axes else 0
    length = abs(bitpix) // 8 * groups * (parameters + pixels) if axes else 0
    if length >= LONGEST_DATA:
        raise Unsound(f"the header of {name} tells of data longer than any file: 2 to the {length.bit_length()} bytes")
    return Layout(name, bitpix, axes, length, cards)


def pick_cards(header: bytes, openings: frozenset[bytes] = _WANTED) -> dict[str, Value]:
    """Read the cards of a header that matter for the layout and for people; the first of equals counts.

    A value that breaks the rules of FITS comes as the characters that stand there.
    """
    picked: dict[str, Value] = {}
    for start in [at for at in range(0, len(header), CARD) if header[at : at + 10] in openings]:
        card = parse_card(header[start : start + CARD])
        picked.setdefault(card.keyword, _unread(card) if card.value is None else card.value)
    return picked


def _unread(card: Card) -> str | None:
    """Give the characters of a value that cannot be read, so that they can be told; None when there are none."""
    return card.raw[10:].decode("latin-1").partition("/")[0].strip(" ") or None


def _integer(cards: Mapping[str, Value], keyword: str, name: str, *, default: int = -1, most: int = -1) -> int:
    """Give a card's whole number; ``default`` where there is no card, unless negative; ``BITPIX`` may be below 0."""
    value = cards.get(keyword, default if default >= 0 else None)
    if value is None and keyword not in cards:
        raise Unsound(f"the header of {name} has no {keyword}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise Unsound(f"{keyword} of {name} is {_shown(value)}, expected a whole number")
    if value < 0 and keyword != "BITPIX":
        raise Unsound(f"{keyword} of {name} is {value}, expected 0 or more")
    if 0 <= most < value:
        raise Unsound(f"{keyword} of {name} is {value}, expected at most {most}")
    return value


def _shown(value: Value) -> str:
    return repr(plain_text(value)) if isinstance(value, str) else "left blank" if value is None else str(value)


def shape_facts(layout: Layout) -> dict[str, Plain]:
    """Return the shape of the picture in an HDU, seen through tile compression; nothing when there is none."""
    prefix = "Z" if layout.card("ZIMAGE") is True else ""
    if not prefix and (not layout.axes or layout.card("XTENSION") in {"BINTABLE", "TABLE", "A3DTABLE"}):
        return {}
    bitpix, dimensions = layout.card(f"{prefix}BITPIX"), layout.card(f"{prefix}NAXIS")
    if not isinstance(bitpix, int) or not isinstance(dimensions, int):
        return {}
    axes = [layout.card(f"{prefix}NAXIS{axis}") for axis in range(1, min(dimensions, USUAL_AXES) + 1)]
    return {"bitpix": bitpix, "naxis": "x".join(plain_text(str(axis)) for axis in axes)}


def about_facts(layout: Layout) -> dict[str, Plain]:
    """Return what the header says the frame is, in values that are safe to show and to store."""
    facts: dict[str, Plain] = {}
    for keyword in ABOUT:
        value = layout.cards.get(keyword)
        if isinstance(value, str) and (text := plain_text(value)):
            facts[keyword] = text
        elif isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
            facts[keyword] = value
    return facts
