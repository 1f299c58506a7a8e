"""Reading profile files: the shipped ones, and the user's own in front of them."""

from functools import cache
from pathlib import Path

from nightferry.headers.profiles.model import Profile
from nightferry.tomlfiles import Kind, Table, find, names


def profile_names(own: Path | None = None) -> list[str]:
    """Return the names of the profiles: shipped, and in the user's folder."""
    return names(_PROFILES, () if own is None else (own,))


@cache
def load_profile(name: str, own: Path | None = None) -> Profile:
    """Read one profile with what it extends; raise `Misconfigured` saying what is wrong where.

    A file that extends another takes over what it does not say itself; its cards replace those of the same keyword
    where they stand, and new ones follow.
    """
    return find(_PROFILES, name, () if own is None else (own,)).checked(Profile, id=name)


def _joined(below: Table, above: Table) -> Table:
    return {**below, **above, "cards": _joined_cards(below.get("cards"), above.get("cards"))}


def _joined_cards(below: object, above: object) -> list[object]:
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


_PROFILES = Kind("profile", "nightferry.headers.profiles", _joined)
