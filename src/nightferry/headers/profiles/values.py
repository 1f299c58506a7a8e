"""The functions that a profile's cards may name: canonical fields and context in, a header's value out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nightferry.core.context import Context
from nightferry.core.instant import Instant
from nightferry.formats.cards import Value
from nightferry.headers.canonical import Canonical, ImageType
from nightferry.headers.profiles.sidereal import lst_seconds

#: Seconds by which an exposure may end later than start and length tell.
_SHUTTER = 0.5
#: The facts of a context that a card may be made of.
CONTEXT = ("telescop", "instrume", "origin", "observer", "pi", "program")
_CALIBRATION = {
    ImageType.BIAS: "BIAS", ImageType.DARK: "DARK", ImageType.DARKFLAT: "DARK", ImageType.FLAT: "FLAT",
    ImageType.FOCUS: "FOCUS", ImageType.ACQUISITION: "ACQUISITION",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """What the frames of a cube span.

    ``exposure`` is the sum of their exposures in seconds, ``end`` the end of the last; ``key`` names what they have in
    common, ``set`` the same as digits that no other group shares, ``id`` the very frames. ``part`` counts from 1.
    """

    frames: int
    exposure: float | None = None
    end: Instant | None = None
    key: str = ""
    set: str = ""
    id: str = ""
    version: int = 1
    part: int = 1


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a value may be made of; ``span`` for cubes."""

    canonical: Canonical
    context: Context
    dpr: tuple[str, str, str] | None
    span: Span | None = None


def longitude_of(canonical: Canonical, context: Context) -> float | None:
    """Return the longitude: the configured site's, else the header's."""
    return context.site.longitude if context.site is not None else canonical.site_lon


def _lst(facts: Facts) -> Value:
    longitude = longitude_of(facts.canonical, facts.context)
    if facts.canonical.start is None or longitude is None:
        return None
    return lst_seconds(facts.canonical.start, longitude)


def _object(facts: Facts) -> Value:
    kind = facts.canonical.image_type
    return _CALIBRATION.get(kind, facts.canonical.object) if kind is not None else facts.canonical.object


def _end(facts: Facts) -> Instant | None:
    return end_of(facts.canonical) if facts.span is None else facts.span.end


def end_of(canonical: Canonical) -> Instant | None:
    """Return the end of an exposure."""
    if canonical.start is None or canonical.exptime is None:
        return None
    end = canonical.start.plus(canonical.exptime)
    told = canonical.end
    # the source's own end counts if it is a little later: a shutter takes its time
    return told if told is not None and 0 <= told.minus(end) <= _SHUTTER else end


def _dpr(place: int) -> Callable[[Facts], Value]:
    return lambda facts: None if facts.dpr is None else facts.dpr[place]


def _start(make: Callable[[Instant], Value]) -> Callable[[Facts], Value]:
    return lambda facts: None if facts.canonical.start is None else make(facts.canonical.start)


def _ending(make: Callable[[Instant], Value]) -> Callable[[Facts], Value]:
    def value(facts: Facts) -> Value:
        end = _end(facts)
        return None if end is None else make(end)

    return value


def _written(facts: Facts) -> Value:
    return None if facts.context.written is None else facts.context.written.iso(3)


def _equinox(facts: Facts) -> Value:
    return 2000.0 if facts.canonical.frame == "FK5" else facts.canonical.equinox


def _of_span(name: str) -> Callable[[Facts], Value]:
    def value(facts: Facts) -> Value:
        found: Value = None if facts.span is None else getattr(facts.span, name)
        return found

    return value


def _cube_type(facts: Facts) -> Value:
    kind = facts.canonical.image_type
    return None if kind is None or facts.span is None else kind.value.upper()


#: Every function by the name that a profile file uses.
FUNCTIONS: Mapping[str, Callable[[Facts], Value]] = {
    "written": _written,
    "object": _object,
    "date_obs": _start(lambda start: start.iso(3)),
    "date_obs_full": _start(lambda start: start.iso(6)),
    "mjd_obs": _start(lambda start: round(start.mjd, 8)),
    "utc": _start(lambda start: round(start.seconds, 3)),
    "lst": _lst,
    "date_end": _ending(lambda end: end.iso(3)),
    "date_end_full": _ending(lambda end: end.iso(6)),
    "mjd_end": _ending(lambda end: round(end.mjd, 8)),
    "equinox": _equinox,
    "dpr_catg": _dpr(0),
    "dpr_type": _dpr(1),
    "dpr_tech": _dpr(2),
    "cube_type": _cube_type,
    "cube_key": _of_span("key"),
    "cube_set": _of_span("set"),
    "cube_id": _of_span("id"),
    "cube_version": _of_span("version"),
    "cube_part": _of_span("part"),
    "frames": _of_span("frames"),
    "exposure": _of_span("exposure"),
}
