"""The cube's head: its header by the archive's profile, and the columns of its table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from nightferry.core.context import Context, context_settings
from nightferry.core.errors import Held
from nightferry.core.frame import fingerprint
from nightferry.core.instant import Instant, parse_instant
from nightferry.core.version import digest_of
from nightferry.cubes.common import SKY, Common, lay_over
from nightferry.cubes.group import Group
from nightferry.cubes.source import Source
from nightferry.cubes.table import Column, column_of, joined, keyword_column, note_column
from nightferry.cubes.times import Seen, times_of
from nightferry.formats.cards import Card, Value
from nightferry.formats.findings import plain_text
from nightferry.headers.canonical import Canonical, Finding, ImageType
from nightferry.headers.profiles import Profile, make_header, profile_settings
from nightferry.headers.profiles.former import context_text, profile_text
from nightferry.headers.profiles.values import Span

#: What a cube's header tells of all frames together; each frame's own is in the table, even where all are equal.
SPANNING = frozenset({"DATE", "DATE-OBS", "DATE-END", "MJD-OBS", "MJD-END", "UTC", "LST", "RA", "DEC"})


@dataclass(frozen=True, slots=True)
class Head:
    """All of a cube but its pixels: cards without the sums, columns without the planes' sums, findings.

    ``order`` are all keywords of the frames, as they stood in the first one.
    """

    cards: tuple[Card, ...]
    columns: tuple[Column, ...]
    findings: tuple[Finding, ...]
    order: tuple[str, ...] = ()


def identity_of(group: Group, profile: Profile, context: Context) -> str:
    """Return what parts this very cube from all others: its frames, and what decides how they are joined."""
    settings = digest_of({"context": context_settings(context), "profile": profile_settings(profile)})
    return fingerprint("cube 2", settings, group.set, *(each.identity for each in group.sources))


def former_identity_of(group: Group, profile: Profile, context: Context) -> str:
    """Return the identity that old releases gave this very cube."""
    texts = profile_text(profile), context_text(context, software="")
    return fingerprint("cube 1", *texts, group.set, *(each.identity for each in group.sources))


def make_head(
    group: Group, profile: Profile, context: Context, *, version: int = 1, identity: str | None = None
) -> Head:
    """Make a cube's header and columns; reads the frames' headers once more.

    ``identity`` is the one that a cube had which is made alike again, where that is not its present one.
    Raises `Held` with every error of the header, and `Changed` for a frame that is another now.
    """
    common = lay_over(group.sources)
    told = [source.canonical for source in group.sources]
    ends = [source.end for source in group.sources if source.end is not None]
    exposures = [each.exptime for each in told if each.exptime is not None]
    span = Span(
        frames=len(told),
        exposure=math.fsum(exposures) if len(exposures) == len(told) else None,
        end=max(ends) if len(ends) == len(told) else None,
        key=plain_text(group.key),
        set=group.set,
        id=identity or identity_of(group, profile, context),
        version=version,
        part=group.part,
    )
    dialect = group.sources[0].dialect
    made = make_header(common.header, _spanning(group.sources), context, profile, dialect=dialect, span=span)
    if made.errors:
        raise Held("; ".join(map(str, made.errors)))
    columns = joined(_computed(group.sources, context), list(_differing(common, made.cards, len(told))))
    return Head(made.cards, tuple(columns), made.findings, tuple(common.keywords))


def _spanning(sources: Sequence[Source]) -> Canonical:
    """Return what a cube is as a whole: what all frames say alike, the first start, the mean pointing."""
    told = [source.canonical for source in sources]
    same = {
        item.name: getattr(told[0], item.name)
        for item in fields(Canonical)
        if all(getattr(each, item.name) == getattr(told[0], item.name) for each in told)
    }
    ra, dec = mean_direction(told)
    fixed: dict[str, object] = {
        "image_type": sources[0].kind, "start": sources[0].start, "exptime": told[0].exptime, "ra": ra, "dec": dec,
        "end": None, "wcs": None, "raw_name": None, "start_resolution": told[0].start_resolution,
    }  # fmt: skip
    return Canonical(**{**same, **fixed})


def mean_direction(told: Sequence[Canonical]) -> tuple[float | None, float | None]:
    """Return the mean of pointings in degrees, as directions: 359.9 and 0.1 are around 0; None where one is missing."""
    x = y = z = 0.0
    for each in told:
        if each.ra is None or each.dec is None:
            return None, None
        ra, dec = math.radians(each.ra), math.radians(each.dec)
        x, y, z = x + math.cos(dec) * math.cos(ra), y + math.cos(dec) * math.sin(ra), z + math.sin(dec)
    if len({(each.ra, each.dec) for each in told}) == 1:
        return told[0].ra, told[0].dec
    return round(math.degrees(math.atan2(y, x)) % 360, 7), round(math.degrees(math.atan2(z, math.hypot(x, y))), 7)


def _computed(sources: Sequence[Source], context: Context) -> list[Column]:
    """Make the columns that every cube has, all but the planes' sums."""
    times = times_of([_seen(source, context) for source in sources])
    digests = [source.digest or None for source in sources]
    columns = [
        column_of("FILENAME", [source.name for source in sources], comment="name at the telescope"),
        column_of("ARCNAME", [source.archive_name for source in sources], comment="name of the single frame"),
        Column("DATASUM", "K", (), comment="sum of the plane, as DATASUM of its frame"),
    ]
    if any(digests):
        columns.append(column_of("DIGEST", digests, comment="BLAKE3 of the frame's file"))
    columns += [
        column_of("DATE_OBS", [_date(source) for source in sources], comment="UTC start"),
        _real("EXPTIME", [source.canonical.exptime for source in sources], "s", "integration time"),
        _real("JD_OBS", [each.jd for each in times], "d", "start, Julian Date, UTC"),
        _real("MJD_OBS", [each.mjd for each in times], "d", "start, Modified Julian Date, UTC"),
        _real("HJD_OBS", [each.hjd for each in times], "d", "start, seen from the Sun, UTC"),
        _real("BJD_OBS", [each.bjd for each in times], "d", "start, seen from the barycentre, TDB"),
        _real("AIRMASS", [source.canonical.airmass for source in sources], "", "airmass, NaN where not told"),
    ]
    return columns


def _real(name: str, values: Sequence[float | None], unit: str, comment: str) -> Column:
    return Column(name, "D", [math.nan if value is None else float(value) for value in values], unit, comment)


def _date(source: Source) -> str:
    """Write a start as the frame's own card does, if it says all of it."""
    return source.written if _instant(source.written) == source.start else source.start.iso(6)


def _instant(text: str) -> Instant | None:
    try:
        return parse_instant(text)[0]
    except ValueError:
        return None


def _seen(source: Source, context: Context) -> Seen:
    told = source.canonical
    if source.kind is not ImageType.SCIENCE:
        return Seen(source.start)
    site = context.site
    place = None if site is None else (site.latitude, site.longitude, site.elevation)
    if place is None and told.site_lat is not None and told.site_lon is not None:
        place = told.site_lat, told.site_lon, told.site_elev or 0.0
    return Seen(source.start, told.ra, told.dec, place)


def _differing(common: Common, cards: Sequence[Card], frames: int) -> list[Column]:
    """Make the columns of all keywords that the cube's header does not tell as the frames did."""
    here: dict[str, Value] = {card.keyword: card.value for card in cards if not card.commentary}
    columns = []
    for key, known in common.keywords.items():
        told = known.lasting and key in here and here[key] == known.card.value
        if told and key not in SPANNING and not SKY.fullmatch(key):
            continue
        values = known.values(frames)
        if any(value is not None for value in values):
            columns.append(keyword_column(known.card, values))
    return columns + [note_column(key, texts) for key, texts in common.notes.items()]
