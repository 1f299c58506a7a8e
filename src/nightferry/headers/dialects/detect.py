"""Detection: which program wrote a header, by evidence; never by a guess."""

from collections.abc import Sequence

from nightferry.core.errors import Held
from nightferry.headers.dialects.header import Header
from nightferry.headers.dialects.model import Dialect, Pattern

#: What is shown of a header that nobody knows.
_EVIDENCE = ("SWCREATE", "CREATOR", "PROGRAM", "SOFTWARE", "ORIGIN", "TELESCOP", "INSTRUME", "OBSERVER")


def detect(header: Header, dialects: Sequence[Dialect]) -> Dialect:
    """Choose the first dialect, in their order, of whose evidence one piece is found in full.

    Raises `Held` with what the header says of its origin when there is none.
    """
    for dialect in dialects:
        if any(_found(piece, header) for piece in dialect.detect):
            return dialect
    shown = [f"{key} = {value!r}" for key in _EVIDENCE if (value := header.value(key)) is not None]
    raise Held(
        "no dialect that we know wrote this header: expected the marks of "
        f"{', '.join(dialect.id for dialect in dialects if dialect.detect)}; "
        f"found {', '.join(shown) or 'none of them'}. "
        'If you know what its values mean, name it: dialect = "generic" (or another) in the telescope\'s configuration'
    )


def _found(piece: dict[str, Pattern], header: Header) -> bool:
    return bool(piece) and all(_matches(keyword, pattern, header) for keyword, pattern in piece.items())


def _matches(keyword: str, pattern: Pattern, header: Header) -> bool:
    if keyword in {"COMMENT", "HISTORY"}:
        return any(pattern.search(text) for text in header.commentary(keyword))
    value = header.value(keyword)
    return value is not None and pattern.search(str(value)) is not None
