"""A header for looking things up: the first card of each keyword, and values without the words for nothing."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nightferry.formats.cards import CARD, Card, Value

_NULLS = frozenset({"", "N/A", "NA", "UNKNOWN", "UNSPECIFIED", "NONE", "NULL", "NAN", "INF", "-INF"})
#: Programs that fail to set a double leave this pattern of bytes; Siril writes it for an EQUINOX it does not know.
_UNSET = 9.87654e107
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?")


@dataclass(frozen=True)
class Header:
    """The cards of one header, in order. Keywords count in upper case; where one stands twice, the first counts."""

    cards: Sequence[Card]
    _memory: dict[str, Card] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def first(self) -> Mapping[str, Card]:
        """The first value card of each keyword."""
        found: dict[str, Card] = {}
        for card in self.cards:
            if not card.commentary:
                found.setdefault(card.keyword.upper(), card)
        return found

    @cached_property
    def repeated(self) -> frozenset[str]:
        """Keywords whose value cards stand more than once, with different values."""
        return frozenset(
            card.keyword.upper()
            for card in self.cards
            if not card.commentary and self.first[card.keyword.upper()].value != card.value
        )

    def value(self, keyword: str) -> Value:
        """Return a card's value; None where there is none, or where a word for nothing stands."""
        card = self.first.get(keyword)
        return None if card is None else meant(card.value)

    def number(self, keyword: str) -> float | None:
        """Return a card's value if it is a number, quoted or not."""
        return as_number(self.value(keyword))

    def unreadable(self, keyword: str) -> str:
        """Return the card of a keyword whose value cannot be read, as it stands there; empty for any other.

        A card that is there and cannot be read is not absent: `value` is None for both.
        """
        card = self.first.get(keyword)
        if card is None or card.value is not None or not card.flaw or is_null(card.token):
            return ""
        return card.raw[:CARD].decode("latin-1").strip()

    def commentary(self, keyword: str) -> Iterable[str]:
        """Return the texts of COMMENT or HISTORY cards."""
        return (str(card.value) for card in self.cards if card.keyword == keyword and card.commentary)


def meant(value: Value) -> Value:
    """Turn the many words for nothing into None: 'N/A', 'UNKNOWN', blanks, NaN, doubles that were never set."""
    if isinstance(value, str):
        return None if is_null(value) else value
    if isinstance(value, float) and (value != value or abs(value) > _UNSET):  # noqa: PLR0124 - NaN is the one that differs
        return None
    return value


def is_null(text: str) -> bool:
    """Whether a text is one of the words for nothing."""
    return text.strip().upper() in _NULLS


def as_number(value: Value) -> float | None:
    """Read a number, also one that a program wrote as text; logicals and everything else are none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _finite(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return _finite(value.strip().translate({68: "E", 100: "E"}))
    return None


def _finite(value: float | str) -> float | None:
    """Return a number as a double; None where a double cannot hold it."""
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if math.isfinite(number) else None
