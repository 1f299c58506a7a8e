"""Astray: archives that hold nothing of what they were given, and so are most likely another place today.

Another disk, an empty mount point, a changed URL, a second configuration with a library of its own: all look alike from
here. Nothing is delivered there then, and nothing is cleared, until it is found again or its owner says that it may be
empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightferry.core.errors import NightferryError, NotMounted
from nightferry.core.ledger import Ledger
from nightferry.core.progress import Onlooker
from nightferry.passes.route import Route

#: Names that are looked up: the newest, and some of all. Fewer deliveries than the least prove nothing.
_SAMPLE, _LEAST = 16, 3


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at the archives found: those ``astray``, and the ``trouble`` with any that is not as it should be."""

    astray: Mapping[str, NightferryError] = field(default_factory=dict)
    trouble: NightferryError | None = None


def look_at_archives(route: Route, ledger: Ledger, onlooker: Onlooker) -> Looked:
    """Look whether archives still have what was delivered to them, by a sample of it.

    One that does not answer is trouble, and not astray: what is to be delivered there is tried all the same.
    """
    astray: dict[str, NightferryError] = {}
    troubles: list[NightferryError] = []
    for name, delivery in route.deliveries.items():
        names = () if name in route.may_be_empty else ledger.delivered_sample(name, _SAMPLE)
        if len(names) < _LEAST:
            continue
        try:
            if any(entry is not None for entry in delivery.store.stat(names)):
                continue
        except NightferryError as err:
            troubles.append(NotMounted(f"{name}, where frames were delivered before: {err}"))
            onlooker.note(str(troubles[-1]))
            continue
        astray[name] = NotMounted(
            f"{name}: none of {len(names)} frames that were delivered to {delivery.store.traits.label} is there now, "
            f"such as {names[0]}: is another disk or share there, or did its URL change? Nothing is delivered or "
            "cleared there until they are back. Where you took them away on purpose, say 'mount = false' in "
            f"[archive.{name}]"
        )
        onlooker.note(str(astray[name]))
    return Looked(astray, next(iter([*astray.values(), *troubles]), None))
