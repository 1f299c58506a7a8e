"""Text from outside, made harmless to show: on a terminal, in a log, in a message."""

import re

# Control characters could drive a terminal, bidirectional marks could show one name as another, and halves of
# surrogate pairs stand for bytes that are no UTF-8.
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/*(?=[^/]|$)")
_ESCAPED_BYTES = range(0xDC80, 0xDD00)


def display(text: str) -> str:
    r"""Show control characters, invisible marks and undecodable bytes as escapes such as ``\x1b``."""
    return _HARMFUL.sub(_escape, text)


def display_url(text: str) -> str:
    """Return what may be shown of a URL that was not understood: nothing of what stands before a host.

    A mistyped URL may hold a password anywhere before its last ``@``, so only the scheme and what follows is kept.
    """
    before, at, rest = text.rpartition("@")
    if not at:
        return text
    scheme = _SCHEME.match(before)
    return f"{scheme[0] if scheme else ''}...@{rest}"


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code in _ESCAPED_BYTES:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - two digits or four


def counted(number: int, word: str) -> str:
    """Write a number and what is counted."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def size_text(size: float) -> str:
    """Write a size as people read it, in powers of ten."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - powers of ten
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.2f} TB"
