"""Text for header cards, which hold printable ASCII alone and few columns of it."""

import contextlib
import hashlib
import re
import unicodedata

#: Letters that do not come apart into an ASCII letter and a mark.
_LETTERS = str.maketrans({
    "ß": "ss", "Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "Œ": "OE", "œ": "oe", "Ð": "D", "ð": "d", "Þ": "Th", "þ": "th",
    "Đ": "D", "đ": "d", "Ł": "L", "ł": "l", "°": " deg",
})  # fmt: skip
_NAMED = re.compile(r"(?:GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?|LATIN SMALL LETTER DOTLESS )(?P<letter>[A-Z]+)")
_DIGITS = 8
#: Columns of a text on one card (FITS 4.0, section 4.2.1).
_TEXT_ROOM = 68


def to_ascii(text: str) -> str:
    """Return a text in printable ASCII: letters without their marks, Greek ones by name, ``?`` for what has no like.

    Text that is UTF-8 read byte by byte, as header cards are, is taken for what it was.
    """
    if text.isascii() and text.isprintable():
        return text
    with contextlib.suppress(UnicodeEncodeError, UnicodeDecodeError):
        text = text.encode("latin-1").decode("utf-8")
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS))
    return "".join(_ascii_of(letter) for letter in plain if not unicodedata.combining(letter))


def _ascii_of(letter: str) -> str:
    if " " <= letter <= "~":
        return letter
    if found := _NAMED.fullmatch(unicodedata.name(letter, "")):
        return found["letter"].lower()
    return {"Pd": "-", "Pi": "'", "Pf": "'", "Zs": " "}.get(unicodedata.category(letter), "?")


def shortened(text: str, most: int) -> str:
    """Return a text of at most ``most`` columns of a card, its quotes doubled there.

    A longer one keeps its beginning and end, with digits between that tell it from all others that do.
    """
    if _columns(text) <= most:
        return text
    tag = f"~{hashlib.blake2b(text.encode('utf-8', 'surrogateescape'), digest_size=_DIGITS // 2).hexdigest()}~"
    room = most - len(tag)
    head, tail = text[: room - room // 2], text[len(text) - room // 2 :]
    while _columns(head) + _columns(tail) > room:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return head + tag + tail


def raw_file_text(name: str, *, long: bool) -> str:
    """Return what RAWFILE says of a raw file's name; ``long`` where a text may go on in CONTINUE cards."""
    plain = to_ascii(name)
    return plain if long else shortened(plain, _TEXT_ROOM)


def _columns(text: str) -> int:
    return len(text) + text.count("'")
