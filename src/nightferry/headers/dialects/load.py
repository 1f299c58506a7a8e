"""Reading dialect files: the shipped ones, and the user's own in front of them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

from nightferry.headers.dialects.model import Dialect
from nightferry.tomlfiles import Kind, Table, find, names

#: What a dialect says of itself alone, and none that extends it takes over.
_ITS_OWN = frozenset({"detect", "order", "title", "source"})


def dialect_names(own: Path | None = None) -> list[str]:
    """Return the names of the dialects: shipped, and in the user's folder."""
    return names(_DIALECTS, () if own is None else (own,))


@cache
def load_dialects(own: Path | None = None) -> tuple[Dialect, ...]:
    """Read all dialects, in the order of their detection."""
    found = [load_dialect(name, own) for name in dialect_names(own)]
    return tuple(sorted(found, key=lambda dialect: (dialect.order, dialect.id)))


@cache
def load_dialect(name: str, own: Path | None = None) -> Dialect:
    """Read one dialect with all that it extends; raise `Misconfigured` saying what is wrong where.

    A user's file stands in for the shipped one of its name; one that extends its own name builds upon it.
    """
    return find(_DIALECTS, name, () if own is None else (own,)).checked(Dialect, id=name)


def _joined(below: Table, above: Table) -> Table:
    """Lay a file over the one that it extends: fields and image types one by one, names of files as a whole."""
    joined = {key: value for key, value in below.items() if key not in _ITS_OWN} | above
    for key in ("fields", "image_types"):
        joined[key] = {**_mapping(below.get(key)), **_mapping(above.get(key))}
    return joined


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


_DIALECTS = Kind("dialect", "nightferry.headers.dialects", _joined)
