"""Header cards: 80 bytes to keyword, value and comment, and back, as FITS 4.0 (section 4) writes them.

Parsing never fails: telescopes write all sorts of cards, and each must be kept as it came. What the standard
forbids in a card is told by its ``flaw``; judging that is the business of whoever reads it. Writing is strict.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from nightferry.core.errors import Held

CARD = 80
BLOCK = 2880
END = b"END".ljust(CARD)
#: Most characters of a text value on a card with a keyword of up to 8 letters, quotes doubled already.
TEXT_ROOM = 68
#: Keywords whose cards carry text from column 9 on instead of a value.
COMMENTARY = frozenset({"COMMENT", "HISTORY", ""})

Value = bool | int | float | complex | str | None

_WORDS: dict[str, bool | None] = {"T": True, "F": False, "": None}
_TEXT = re.compile(r"'((?:[^']|'')*)' *(?:/(.*))?", re.DOTALL)
_INTEGER = re.compile(r"[+-]?[0-9]+")
_REAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[EDed][+-]?[0-9]+)?"
_FLOAT = re.compile(_REAL)
_COMPLEX = re.compile(rf"\( *({_REAL}) *, *({_REAL}) *\)")
_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
_HIERARCH = re.compile(r"HIERARCH(?: [A-Z0-9_-]+)+")
_PRINTABLE = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Card:
    """One card of a header; a text that goes on in CONTINUE cards is one card with all their bytes in ``raw``.

    ``keyword`` is as written, without trailing blanks; ``HIERARCH ESO DPR CATG`` in full, single blanks between.
    ``value`` is None when the card gives none, or none that can be read; for commentary it is the text.
    Bytes beyond ASCII come as Latin-1, so nothing is lost.
    """

    keyword: str
    value: Value
    comment: str
    raw: bytes

    @property
    def commentary(self) -> bool:
        """Whether the card carries text from column 9 on instead of a value."""
        if self.raw[8:10] == b"= ":  # by far the most; a header asks this of each card
            return self.keyword in COMMENTARY
        return _field_of(self.raw[:CARD].decode("latin-1")) is None

    @property
    def token(self) -> str:
        """The characters of the value as they stand on the card, without the comment; empty for commentary."""
        split = _field_of(self.raw[:CARD].decode("latin-1"))
        return "" if split is None else split[1].partition("/")[0].strip(" ")

    @property
    def flaw(self) -> str:
        """What FITS 4.0 forbids in the card, as a clause; empty if nothing."""
        lines = [self.raw[start : start + CARD].decode("latin-1") for start in range(0, len(self.raw), CARD)]
        if lines[0].startswith("CONTINUE"):
            return _flaw_of(lines[0]) or "it continues no text"
        return next((flaw for line in lines if (flaw := _flaw_of(line))), "")


def parse_cards(header: bytes) -> list[Card]:
    """Read a header's cards up to END (or to its last whole card); END itself is not among them.

    The joined ``raw`` of the cards are the header's bytes before END, always.
    """
    cards: list[Card] = []
    pieces: list[Card] = []  # CONTINUE cards of the last card in `cards`
    for start in range(0, len(header) - CARD + 1, CARD):
        raw = header[start : start + CARD]
        card = parse_card(raw)
        if card.keyword == "CONTINUE" and cards and _goes_on(pieces[-1] if pieces else cards[-1], card):
            pieces.append(card)
            continue
        if pieces:
            cards[-1], pieces = _joined([cards[-1], *pieces]), []
        if card.keyword == "END" and raw.startswith(b"END     "):
            break
        cards.append(card)
    if pieces:
        cards[-1] = _joined([cards[-1], *pieces])
    return cards


@lru_cache(maxsize=512)
def parse_card(raw: bytes) -> Card:
    """Read one card of 80 bytes; a night's frames share most of theirs."""
    text = raw.decode("latin-1")
    if (split := _field_of(text)) is None:
        return Card(text[:8].rstrip(" "), text[8:].rstrip(" "), "", raw)
    keyword, field = split
    value, comment, _ = _parse_field(field)
    return Card(keyword, value, comment, raw)


def _field_of(text: str) -> tuple[str, str] | None:
    """Split a card into keyword and value field; None for commentary."""
    keyword = text[:8].rstrip(" ")
    if text[8:10] == "= ":
        return None if keyword in COMMENTARY else (keyword, text[10:])
    if keyword == "CONTINUE":
        return keyword, text[8:]
    if keyword == "HIERARCH" and "=" in text:
        name, _, field = text.partition("=")
        return " ".join(word for word in name.split(" ") if word), field
    return None


def _parse_field(field: str) -> tuple[Value, str, str]:
    """Read a value field: value, comment and what is wrong with it."""
    field = field.strip(" ")
    if not field.startswith("'"):
        token, _, comment = field.partition("/")
        value, flaw = _typed(token.rstrip(" "))
        return value, comment.strip(" "), flaw
    if matched := _TEXT.fullmatch(field):
        text, comment = matched.groups()
        return text.replace("''", "'").rstrip(" "), (comment or "").strip(" "), ""
    return None, "", f"its text {field!r} has no closing quote, or something after it"


def _typed(token: str) -> tuple[Value, str]:
    """Turn the characters of a value that is no text into the value, and tell what is wrong with them."""
    if token in _WORDS:
        return _WORDS[token], ""
    if _INTEGER.fullmatch(token):
        return int(token), ""
    if _FLOAT.fullmatch(token):
        return _finite(token)
    if parts := _COMPLEX.fullmatch(token):
        (real, flaw), (imaginary, other_flaw) = (_finite(part) for part in parts.groups())
        if real is None or imaginary is None:
            return None, flaw or other_flaw
        return complex(real, imaginary), ""
    return None, f"its value {token!r} is no text, number or logical"


def _finite(token: str) -> tuple[float | None, str]:
    number = float(token.translate({68: "E", 100: "E"}))
    if number in {float("inf"), float("-inf")}:
        return None, f"its number {token} is beyond the range of a double"
    return number, ""


def _flaw_of(text: str) -> str:
    """Return what FITS forbids in the 80 characters of one card."""
    if not _PRINTABLE.fullmatch(text):
        return "it holds characters that are not printable ASCII"
    keyword, field = _field_of(text) or (text[:8].rstrip(" "), None)
    if keyword and not (_KEYWORD.fullmatch(keyword) or _HIERARCH.fullmatch(keyword)):
        return f"its keyword {keyword!r} holds more than A-Z, 0-9, '-' and '_'"
    if field is not None:
        return _parse_field(field)[2]
    if text[8] == "=" and keyword not in COMMENTARY:
        return "column 10 after '=' is not blank, so it has no value"
    return ""


def _goes_on(card: Card, more: Card) -> bool:
    """Whether a CONTINUE card continues the text of the card before it."""
    if not (isinstance(card.value, str) and isinstance(more.value, str)):
        return False
    return card.value.endswith("&") and not card.commentary


def _joined(cards: list[Card]) -> Card:
    """Make one card of a text and its CONTINUE cards."""
    texts = [card.value for card in cards if isinstance(card.value, str)]
    return Card(
        keyword=cards[0].keyword,
        value="".join(text[:-1] for text in texts[:-1]) + texts[-1],
        comment=" ".join(card.comment for card in cards if card.comment),
        raw=b"".join(card.raw for card in cards),
    )


def format_card(keyword: str, value: Value, comment: str = "", *, long: bool = False) -> bytes:
    """Write a card in fixed format (FITS 4.0, section 4.2): 80 bytes, or a multiple for long text and commentary.

    Numbers read back as the same number; a float that needs more than 20 columns goes beyond column 30. A comment
    is cut where the card ends. Text that does not fit goes on in CONTINUE cards if ``long``. Raises `Held` for
    what no header can hold: text that is too long or not printable ASCII, numbers that are not finite, keywords
    that are not FITS (up to 8 of A-Z 0-9 _ -, or ``HIERARCH`` and such words).
    """
    _refuse_unprintable(keyword, comment)
    if keyword in COMMENTARY:
        return _format_commentary(keyword, value)
    hierarch = keyword.startswith("HIERARCH ")
    if keyword in {"END", "CONTINUE", "HIERARCH"} or not (_HIERARCH if hierarch else _KEYWORD).fullmatch(keyword):
        raise Held(
            f"{keyword!r} cannot be written to a FITS header: a keyword is up to 8 of A-Z, 0-9, '-' and '_', "
            "or HIERARCH and such words"
        )
    name = f"{keyword} = " if hierarch else f"{keyword:<8}= "
    if isinstance(value, str):
        return _format_text(name, value, comment, padded=not hierarch, long=long)
    token = _format_token(keyword, value)
    card = name + (token if hierarch else token.rjust(20))
    if len(card) > CARD:
        raise Held(f"{keyword} = {token} cannot be written to a FITS header: it needs {len(card)} of 80 columns")
    return _with_comment(card, comment)


def _format_token(keyword: str, value: complex | None) -> str:
    """Write a number, a logical or nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _format_float(keyword, value)
    return f"({_format_float(keyword, value.real)}, {_format_float(keyword, value.imag)})"


def _format_float(keyword: str, value: float) -> str:
    """Write the shortest digits that read back as the same double, always with a decimal point."""
    digits = float.__repr__(value).upper()
    if "N" in digits:
        raise Held(f"{keyword} = {digits} cannot be written to a FITS header: a number must be finite")
    mantissa, mark, exponent = digits.partition("E")
    return (mantissa if "." in mantissa else f"{mantissa}.0") + mark + exponent


def _format_text(name: str, value: str, comment: str, *, padded: bool, long: bool) -> bytes:
    _refuse_unprintable(name, value)
    quoted = value.replace("'", "''")
    room = CARD - len(name) - 2
    if len(quoted) <= room:
        return _with_comment(f"{name}'{quoted:<8}'" if padded else f"{name}'{quoted}'", comment)
    if not long or room < 4:  # noqa: PLR2004 - a letter or a doubled quote, the '&' and a little
        raise Held(
            f"{name}{value!r} cannot be written to a FITS header: it needs {len(quoted)} columns of {max(room, 0)}; "
            "shorten it"
        )
    cards, rest = [], quoted
    while len(rest) > room:
        piece = _cut(rest, room - 1)
        cards.append(f"{name}'{piece}&'".ljust(CARD).encode("ascii"))
        name, room, rest = "CONTINUE  ", TEXT_ROOM, rest[len(piece) :]
    return b"".join(cards) + _with_comment(f"{name}'{rest}'", comment)


def _cut(quoted: str, most: int) -> str:
    """Cut text with doubled quotes to at most that many characters, never between the two of a pair."""
    piece = quoted[:most]
    quotes = len(piece) - len(piece.rstrip("'"))
    return piece[:-1] if quotes % 2 else piece


def _with_comment(card: str, comment: str) -> bytes:
    if comment:
        card = f"{card:<30} / {comment}"
    return card[:CARD].ljust(CARD).encode("ascii")


def _format_commentary(keyword: str, value: Value) -> bytes:
    """Write COMMENT, HISTORY or blank cards, as many as the text needs."""
    if not isinstance(value, str):
        raise Held(f"{keyword or 'blank'} = {value!r} cannot be written to a FITS header: such a card carries text")
    _refuse_unprintable(keyword, value)
    width = CARD - 8
    pieces = [value[start : start + width] for start in range(0, len(value), width)] or [""]
    return b"".join(f"{keyword:<8}{piece:<{width}}".encode("ascii") for piece in pieces)


def _refuse_unprintable(keyword: str, text: str) -> None:
    if not _PRINTABLE.fullmatch(text):
        raise Held(f"{keyword.strip()}: {text!r} cannot be written to a FITS header: only printable ASCII can")


def close_header(cards: Iterable[bytes]) -> bytes:
    """Join written cards into a header: END at the end, filled with blanks to whole blocks of 2880 bytes."""
    body = b"".join(cards) + END
    return body.ljust(-(-len(body) // BLOCK) * BLOCK)
