r"""Texts that no database column can hold, written so that it can, and read back exactly.

A path carries bytes that are not UTF-8 as surrogates, which SQLite and PostgreSQL refuse; PostgreSQL refuses NUL
as well. They are written as ``\xff`` (a byte) and ``\ud800`` (any other surrogate), and a backslash as two, so
that ordinary names stand in the database as people know them, and each text has exactly one written form:
looking a path up means writing it first.
"""

import re

_UNWRITABLE = re.compile("[\0\\\\\ud800-\udfff]")
_LOST_BYTES = range(0xDC80, 0xDD00)  # how Python's "surrogateescape" keeps the bytes 80 to ff
_WRITTEN = re.compile(r"\\(?:\\|x([0-9a-f]{2})|u([0-9a-f]{4}))")


def write_text(text: str) -> str:
    """Write a text so that every database can hold it."""
    return _UNWRITABLE.sub(_escape, text) if _UNWRITABLE.search(text) else text


def read_text(written: str) -> str:
    """Give back the text that was written."""
    return _WRITTEN.sub(_unescape, written) if "\\" in written else written


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if found[0] == "\\":
        return "\\\\"
    if code == 0 or code in _LOST_BYTES:
        return f"\\x{code & 0xFF:02x}"
    return f"\\u{code:04x}"


def _unescape(found: re.Match[str]) -> str:
    byte, unit = found[1], found[2]
    if byte is not None:
        code = int(byte, 16)
        return chr(0xDC00 + code) if code else "\0"
    return "\\" if unit is None else chr(int(unit, 16))
