"""What a group's headers have in common, and what differs: the cards of the cube's header, the columns of its table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightferry.cubes.source import Source, cards_of
from nightferry.dialects.header import Header
from nightferry.fits.cards import Card, Value

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
    """One keyword over all frames: its first card, and its value in each, None where a frame has none.

    ``lasting`` says that all frames have one and the same value.
    """

    card: Card
    values: list[Value] = field(default_factory=list)
    lasting: bool = True


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
    keywords: dict[str, Keyword] = {}
    notes: list[tuple[Card, ...]] = []
    structure: tuple[Card, ...] = ()
    for number, source in enumerate(sources):
        header = cards_of(source)
        if not number:
            structure = tuple(card for key, card in header.first.items() if STRUCTURE.fullmatch(key))
        notes.append(tuple(card for card in header.cards if card.commentary and card.keyword in _NOTES))
        for key, card in header.first.items():
            if STRUCTURE.fullmatch(key):
                continue
            known = keywords.get(key)
            if known is None:
                known = keywords[key] = Keyword(card, [None] * number, lasting=not number)
            same = _same(known.card.value, card.value)
            known.values.append(known.card.value if same else card.value)
            known.lasting = known.lasting and same
        for known in keywords.values():
            if len(known.values) == number:  # this frame has no such card
                known.values.append(None)
                known.lasting = False
    lasting, others = _parted(notes)
    return Common(structure, keywords, lasting, others)


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
