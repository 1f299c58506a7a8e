"""Reading profile files: the shipped ones, and the user's own in front of them."""

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from nightferry.core.errors import Misconfigured
from nightferry.headers.profiles.model import Profile

Table = dict[str, object]


def profile_names(own: Path | None = None) -> list[str]:
    """List the profiles: shipped, and in the user's folder."""
    shipped = {item.name.removesuffix(".toml") for item in _shipped().iterdir() if item.name.endswith(".toml")}
    theirs = {item.stem for item in own.glob("*.toml")} if own is not None and own.is_dir() else set()
    return sorted(shipped | theirs)


@cache
def load_profile(name: str, own: Path | None = None) -> Profile:
    """Read one profile with what it extends; raise `Misconfigured` saying what is wrong where.

    A file that extends another takes over what it does not say itself; its cards replace those of the same keyword
    where they stand, and new ones follow.
    """
    try:
        return Profile.model_validate({**_merged(name, own, ()), "id": name})
    except ValidationError as err:
        wrong = err.errors(include_url=False)[0]
        place = ".".join(str(part) for part in wrong["loc"])
        raise Misconfigured(f"profile {name}: {place}: {wrong['msg'].removeprefix('Value error, ')}") from err


def _merged(name: str, own: Path | None, seen: tuple[str, ...]) -> Table:
    theirs = own / f"{name}.toml" if own is not None else None
    source = theirs if theirs is not None and theirs.is_file() and name not in seen else _shipped() / f"{name}.toml"
    if not source.is_file():
        raise Misconfigured(f"unknown profile {name!r}: we know {', '.join(profile_names(own))}")
    try:
        table: Table = tomllib.loads(source.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"profile {name} ({source}): not TOML: {err}") from err
    base = table.get("extends")
    if base is None:
        return table
    if not isinstance(base, str) or seen.count(base) > 1 or (base in seen and base != name):
        raise Misconfigured(f"profile {name} ({source}): extends = {base!r} leads in a circle, or names no profile")
    below = _merged(base, own, (*seen, name))
    return {**below, **table, "cards": _joined(below.get("cards"), table.get("cards"))}


def _joined(below: object, above: object) -> list[object]:
    """Lay one list of cards over another, by keyword."""
    cards = {str(card.get("key")): card for card in below if isinstance(card, dict)} if isinstance(below, list) else {}
    for card in above if isinstance(above, list) else []:
        key, after = str(card.get("key")), str(card.get("after", ""))
        fresh = key not in cards
        cards[key] = card
        if fresh and after in cards:
            order = [name for name in cards if name != key]
            order.insert(order.index(after) + 1, key)
            cards = {name: cards[name] for name in order}
    return list(cards.values())


def _shipped() -> resources.abc.Traversable:
    return resources.files("nightferry.headers.profiles")
