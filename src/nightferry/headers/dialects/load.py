"""Reading dialect files: the shipped ones, and the user's own in front of them."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from nightferry.core.errors import Misconfigured
from nightferry.headers.dialects.model import Dialect

Table = dict[str, object]


def dialect_names(own: Path | None = None) -> list[str]:
    """List the dialects: shipped, and in the user's folder."""
    shipped = {item.name.removesuffix(".toml") for item in _shipped().iterdir() if item.name.endswith(".toml")}
    theirs = {item.stem for item in own.glob("*.toml")} if own is not None and own.is_dir() else set()
    return sorted(shipped | theirs)


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
    table = _merged(name, own, ())
    try:
        return Dialect.model_validate({**table, "id": name})
    except ValidationError as err:
        wrong = err.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise Misconfigured(f"dialect {name}: {place}: {wrong['msg'].removeprefix('Value error, ')}") from err


def _merged(name: str, own: Path | None, seen: tuple[str, ...]) -> Table:
    """Lay a file over the one that it extends: fields and image types one by one, names and evidence as a whole."""
    text, place = _text_of(name, own, shipped_only=name in seen)
    try:
        table: Table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"dialect {name} ({place}): not TOML: {err}") from err
    base = table.get("extends")
    if base is None:
        return table
    if not isinstance(base, str) or seen.count(base) > 1 or (base in seen and base != name):
        raise Misconfigured(f"dialect {name} ({place}): extends = {base!r} leads in a circle, or names no dialect")
    below = _merged(base, own, (*seen, name))
    merged = {key: value for key, value in below.items() if key not in {"detect", "order", "title", "source"}} | table
    for key in ("fields", "image_types"):
        merged[key] = {**_mapping(below.get(key)), **_mapping(table.get(key))}
    return merged


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _text_of(name: str, own: Path | None, *, shipped_only: bool) -> tuple[str, str]:
    theirs = own / f"{name}.toml" if own is not None else None
    shipped = _shipped() / f"{name}.toml"
    if theirs is not None and theirs.is_file() and not shipped_only:
        return theirs.read_text(encoding="utf-8"), str(theirs)
    if name not in dialect_names():
        raise Misconfigured(f"unknown dialect {name!r}: we know {', '.join(dialect_names(own))}")
    return shipped.read_text(encoding="utf-8"), str(shipped)


def _shipped() -> resources.abc.Traversable:
    return resources.files("nightferry.headers.dialects")
