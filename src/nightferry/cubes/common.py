"""What a group's headers have in common, and what differs: the cards of the cube's header, the columns of its table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightferry.cubes.source import Source, header_of
from nightferry.formats.cards import CARD, Card, Value, parse_card, parse_cards
from nightferry.headers.dialects.header import Header

#: Cards that tell how the data lie or sum them up; each file has its own.
STRUCTURE = re.compile(r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|BLANK|CHECKSUM|DATASUM|END|NEXTEND|PCOUNT|GCOUNT")
#: Cards of coordinates: each plane has a sky of its own, so a cube's header has none of these.
SKY = re.compile(
    r"WCSAXES|WCSNAME|LONPOLE|LATPOLE|MJDREF|DATEREF|(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|CRDER|CSYER)\d+"
    r"|(PC|CD|PV|PS)\d+_\d+|(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)"
)


_NOTES = ("COMMENT", "HISTORY")


@dataclass(slots=True)
class Keyword:
    """One keyword over all frames: its first card, and what other frames have instead of that card's value.

    ``since`` is the first frame that has it; a frame without it has None.
    """

    card: Card
    since: int
    others: dict[int, Value] = field(default_factory=dict)

    @property
    def lasting(self) -> bool:
        """Whether all frames have one and the same value."""
        return not self.since and not self.others

    def values(self, frames: int) -> list[Value]:
        """Return the value in each frame."""
        return [None if row < self.since else self.others.get(row, self.card.value) for row in range(frames)]


@dataclass(frozen=True, slots=True)
class Common:
    """The headers of a group, laid over each other.

    ``structure`` are the first frame's cards of the data's layout, ``commentary`` the lines that all frames have;
    ``notes`` are the others, by keyword, one tuple of texts for each frame.
    """

    structure: tuple[Card, ...]
    keywords: Mapping[str, Keyword]
    commentary: tuple[Card, ...]
    notes: Mapping[str, Sequence[tuple[str, ...]]]

    @property
    def header(self) -> Header:
        """What is equal in all frames, in the first frame's order, without coordinates."""
        lasting = [known.card for key, known in self.keywords.items() if known.lasting and not SKY.fullmatch(key)]
        return Header([*self.structure, *lasting, *self.commentary])


def lay_over(sources: Sequence[Source]) -> Common:
    """Read the headers of a group once more, and find what lasts; raises `Changed` for a file that is another now."""
    layers = _Layers()
    for source in sources:
        layers.add(header_of(source))
    structure = tuple(card for key, card in layers.first.items() if STRUCTURE.fullmatch(key))
    lasting, others = _parted(layers.notes)
    return Common(structure, layers.keywords, lasting, others)


class _Layers:
    """Lays one header over the other. Frames of a group differ in a few cards, and only those are read of each."""

    def __init__(self) -> None:
        self.keywords: dict[str, Keyword] = {}
        self.notes: list[tuple[Card, ...]] = []
        self.first: Mapping[str, Card] = {}
        self._raw: list[bytes] = []
        self._plain = False

    def add(self, raw: bytes) -> None:
        """Lay the next frame's header over the others."""
        cards = [raw[at : at + CARD] for at in range(0, len(raw), CARD)]
        row = len(self.notes)
        if row and self._plain and len(cards) == len(self._raw) and self._add_plain(row, cards):
            return
        header = Header(parse_cards(raw))
        if not row:
            self.first, self._raw = header.first, cards
            self._plain = not header.repeated and all(len(card.raw) == CARD for card in header.cards)
        self.notes.append(tuple(card for card in header.cards if card.commentary and card.keyword in _NOTES))
        for key, card in header.first.items():
            self._note(row, key, card)
        for key, known in self.keywords.items():
            if key not in header.first:
                known.others[row] = None

    def _add_plain(self, row: int, cards: Sequence[bytes]) -> bool:
        """Lay over a header that has the first one's cards, some with other values; False for any other."""
        differing = [(mine, first) for mine, first in zip(cards, self._raw, strict=True) if mine != first]
        if any(mine[:10] != first[:10] or mine[8:10] != b"= " for mine, first in differing):
            return False
        self.notes.append(self.notes[0])
        for mine, _ in differing:
            card = parse_card(mine)
            self._note(row, card.keyword.upper(), card)
        for key, known in self.keywords.items():
            if key not in self.first:
                known.others[row] = None
        return True

    def _note(self, row: int, key: str, card: Card) -> None:
        if STRUCTURE.fullmatch(key):
            return
        known = self.keywords.get(key)
        if known is None:
            self.keywords[key] = Keyword(card, row)
        elif not _same(known.card.value, card.value):
            known.others[row] = card.value


def _same(one: Value, other: Value) -> bool:
    """Whether two values say the same: 1 and 1.0 do, 1 and T do not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _parted(notes: Sequence[tuple[Card, ...]]) -> tuple[tuple[Card, ...], dict[str, list[tuple[str, ...]]]]:
    """Part the lines of commentary that all frames have from those that some have."""
    everywhere = set.intersection(*({card.raw for card in cards} for cards in notes))
    lasting = tuple(card for card in notes[0] if card.raw in everywhere)
    others = {
        key: [
            tuple(str(card.value) for card in cards if card.keyword == key and card.raw not in everywhere)
            for cards in notes
        ]
        for key in _NOTES
    }
    return lasting, {key: texts for key, texts in others.items() if any(texts)}
