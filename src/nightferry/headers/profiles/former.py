"""How versions were written before they were digests of named settings: the texts of old releases, frozen.

The first schemas' ledgers have receipts and cubes that carry digests of these texts. They are read for ever, so nothing
here ever changes: names and order are those of the old code, whatever the present one calls its fields, and a setting
that came later has no place in them.
"""

from collections.abc import Iterable

from nightferry.core.context import Context
from nightferry.core.frame import fingerprint
from nightferry.core.instant import Instant
from nightferry.headers.dialects import Dialect
from nightferry.headers.profiles.model import Profile

#: All releases that wrote such texts called themselves so.
SOFTWARE = "nightferry 0.1.0"
#: Dialects that we ship since then; whoever adds one names it here.
SHIPPED_SINCE = frozenset({"dwarf3", "origin"})
#: What dialects of ours that changed since then were called, by their name and present title. Whoever uses one of them
#: has other settings now; to all others they are what they were.
TITLES_THEN = {("dwarf", "DWARFLAB Dwarf II"): "DWARFLAB Dwarf II, 3 and mini"}
_DIGITS = 12


def former_version(*texts: str, form: str = "1") -> str:
    """Return the version that old releases digested of these texts."""
    return f"{form}-{fingerprint(*texts)[:_DIGITS]}"


def text_of(name: str, /, **fields: object) -> str:
    """Write a value as Python writes a dataclass of that name."""
    return f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"


class Written(str):
    """A text that stands among others as it is, without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the text itself."""
        return str(self)


def context_text(context: Context, *, software: str = SOFTWARE) -> str:
    """Write a context that is not about one frame."""
    site = context.site
    place = None if site is None else site_text(site.latitude, site.longitude, site.elevation)
    written: Instant | None = None
    return text_of(
        "Context", telescope=context.telescope, telescop=context.telescop, instrume=context.instrume,
        origin=context.origin, observer=context.observer, pi=context.pi, program=context.program, site=place,
        scales=context.scales, written=written, hints={}, strip_history=context.strip_history, software=software,
    )  # fmt: skip


def site_text(latitude: float, longitude: float, elevation: float) -> Written:
    """Write a site."""
    return Written(text_of("Site", latitude=latitude, longitude=longitude, elevation=elevation))


def profile_text(profile: Profile) -> str:
    """Write a profile."""
    name = text_of(
        "NameSection", keep=profile.name.keep, separator=profile.name.separator, bump=profile.name.bump,
        short=profile.name.short,
    )  # fmt: skip
    cards = tuple(
        Written(text_of(
            "CardRule", key=card.key, source=card.source, func=card.func, const=card.const, kind=card.kind,
            types=card.types, required=card.required, missing_only=card.missing_only, most=card.most,
            longest=card.longest, digits=card.digits, comment=card.comment, after=card.after,
        ))
        for card in profile.cards
    )  # fmt: skip
    return text_of(
        "Profile", title=profile.title, extends=profile.extends, layout=profile.layout, naxis=profile.naxis,
        dpr=profile.dpr, types=profile.types, name=Written(name), drop=profile.drop,
        drop_with_wcs=profile.drop_with_wcs, skip=profile.skip, cards=cards, long_text=profile.long_text,
        cube=profile.cube, id=profile.id,
    )  # fmt: skip


def dialects_text(dialects: Iterable[Dialect], used: str) -> str:
    """Write all dialects that there were, in the order of their detection.

    ``used`` names the telescope's; where it is empty any may be found, and those that changed since count as changed.
    """
    unchanged = bool(used) and all(used != name for name, _ in TITLES_THEN)
    then = TITLES_THEN if unchanged else {}
    known = (dialect for dialect in dialects if dialect.id not in SHIPPED_SINCE)
    return repr(tuple(Written(_dialect_text(one, then.get((one.id, one.title), one.title))) for one in known))


def _dialect_text(dialect: Dialect, title: str) -> str:
    rules = {
        field: Written(text_of(
            "Rule",
            sources=tuple(
                Written(text_of("Source", keys=source.keys, unit=source.unit, hint=source.hint))
                for source in rule.sources
            ),
            default=rule.default, func=rule.func,
        ))
        for field, rule in dialect.fields.items()
    }  # fmt: skip
    return text_of(
        "Dialect", title=title, extends=dialect.extends, order=dialect.order, source=dialect.source,
        detect=dialect.detect, fields=rules, image_types=dialect.image_types, name=dialect.name, id=dialect.id,
    )  # fmt: skip
