"""Grouping: which frames make which cube, and which are left out, and why."""

import filecmp
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from nightferry.core.canonical import ImageType
from nightferry.core.frame import fingerprint
from nightferry.core.instant import Instant
from nightferry.core.night import evening_at
from nightferry.cubes.names import exposure_text
from nightferry.cubes.source import Source

#: Exposures that differ by less than this share are the same.
_SAME_EXPOSURE = 1e-6


@dataclass(frozen=True, slots=True)
class Wishes:
    """What cubes a user wants: at most so many frames, or bytes of pixels, in one; 0 for no limit.

    ``odd`` says what becomes of frames whose shape or number format is not that of most others of their object,
    filter and exposure: they make a group ``apart``, or are left ``out``. ``longitude`` (degrees, east positive)
    tells nights apart, before what the headers say; ``night`` is theirs where it is known.
    """

    max_frames: int = 0
    max_bytes: int = 0
    odd: Literal["apart", "out"] = "apart"
    longitude: float | None = None
    night: date | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that make one cube, in order of time. ``key`` is for people, ``set`` parts the group from all others."""

    kind: ImageType
    key: str
    set: str
    sources: tuple[Source, ...]
    part: int = 1
    parts: int = 1

    @property
    def size(self) -> int:
        """Bytes of all planes."""
        return sum(source.length for source in self.sources)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame that goes into no cube, and why."""

    file: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All groups, in order of time, and all that is left out."""

    groups: tuple[Group, ...]
    left: tuple[LeftOut, ...] = field(default=())


def plan(sources: Iterable[Source], wishes: Wishes) -> Plan:
    """Sort frames into groups: every one is in exactly one of them, or left out with a reason."""
    kept, left = _without_doubles(sorted(sources, key=_by_time))
    families: dict[tuple[str, ...], list[Source]] = {}
    for source, exposure in _with_exposures(kept):
        families.setdefault(_family(source, exposure, wishes), []).append(source)
    groups: list[Group] = []
    for family, members in families.items():
        forms = Counter(_form(source) for source in members)
        usual = forms.most_common(1)[0][0]
        for form in forms:
            same = [source for source in members if _form(source) == form]
            if form != usual and wishes.odd == "out":
                left += [LeftOut(source.file, _odd(form, usual)) for source in same]
            else:
                groups += _by_setting(family, form, same, wishes)
    return Plan(
        tuple(sorted(groups, key=lambda group: (_by_time(group.sources[0]), group.set, group.part))), tuple(left)
    )


def _by_time(source: Source) -> tuple[int, int, str, str]:
    return source.start.day, source.start.micro, source.name, str(source.file)


def _without_doubles(sources: Sequence[Source]) -> tuple[list[Source], list[LeftOut]]:
    """Leave out what was named twice, and copies: bytes that are there already, whatever their name."""
    places: set[tuple[int, ...]] = set()
    kept: list[Source] = []
    left: list[LeftOut] = []
    alike: dict[str, list[Source]] = {}
    for source in sources:
        if source.mark in places:
            left.append(LeftOut(source.file, "it was named twice"))
            continue
        places.add(source.mark)
        others = alike.setdefault(source.identity, [])
        double = next((other for other in others if source.digest or _same_bytes(source, other)), None)
        if double is not None:
            left.append(LeftOut(source.file, f"it is a copy of {double.file}, byte for byte"))
            continue
        others.append(source)
        kept.append(source)
    return kept, left


def _same_bytes(source: Source, other: Source) -> bool:
    """Compare two files whose headers are the same; one that is gone by now is met again when it is to be read."""
    try:
        return filecmp.cmp(source.file, other.file, shallow=False)
    except OSError:
        return False


def _with_exposures(sources: Sequence[Source]) -> Iterator[tuple[Source, str]]:
    """Give each frame the text of its exposure: nearly equal ones have one text."""
    names: dict[float, str] = {}
    last = -1.0
    for exposure in sorted({source.canonical.exptime for source in sources if source.canonical.exptime is not None}):
        if not names or exposure - last > _SAME_EXPOSURE * max(exposure, _SAME_EXPOSURE):
            last = exposure
        names[exposure] = exposure_text(last)
    for source in sources:
        yield source, "" if source.canonical.exptime is None else names[source.canonical.exptime]


def _family(source: Source, exposure: str, wishes: Wishes) -> tuple[str, ...]:
    """Tell what frames of one cube share for an astronomer: night, kind, object, filter, exposure."""
    told = source.canonical
    longitude = told.site_lon if wishes.longitude is None else wishes.longitude
    night = (wishes.night or evening_of_instant(source.start, longitude)).isoformat()
    parts: Mapping[ImageType, tuple[str, ...]] = {
        ImageType.SCIENCE: (told.object or "", told.filter or "", exposure),
        ImageType.FLAT: (told.filter or "", exposure),
        ImageType.DARK: (exposure,),
        ImageType.DARKFLAT: (told.filter or "", exposure),
    }
    return (night, source.kind.value, *parts.get(source.kind, ()))


def evening_of_instant(start: Instant, longitude: float | None) -> date:
    """Tell the night of a start."""
    midnight = datetime.combine(start.date, datetime.min.time(), UTC)
    return evening_at(midnight + timedelta(microseconds=start.micro), longitude)


def _form(source: Source) -> tuple[str, ...]:
    return (*map(str, source.axes), *map(repr, source.numbers))


def _odd(form: tuple[str, ...], usual: tuple[str, ...]) -> str:
    def told(form: tuple[str, ...]) -> str:
        width, height, bitpix, zero, scale, blank = form
        extra = f", BLANK {blank}" if blank != "None" else ""
        return f"{width}x{height} pixels of BITPIX {bitpix} (BZERO {zero}, BSCALE {scale}{extra})"

    return f"it has {told(form)}; most frames of its kind have {told(usual)}"


def _setting(source: Source) -> tuple[str, ...]:
    """Tell the camera's settings; what a header does not tell is a setting of its own."""
    told = source.canonical
    cold = None if told.set_temp is None else round(told.set_temp)
    return tuple(
        str(part)
        for part in (
            source.instrument, told.xbin or 1, told.ybin or 1, told.gain, told.egain, told.readout, cold,
            source.program,
        )
    )  # fmt: skip


def _by_setting(
    family: tuple[str, ...], form: tuple[str, ...], sources: Sequence[Source], wishes: Wishes
) -> Iterator[Group]:
    settings: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        settings.setdefault(_setting(source), []).append(source)
    for setting, members in settings.items():
        digits = fingerprint(*family, *form, *setting)
        kind = members[0].kind
        words = family[2:] if kind is ImageType.SCIENCE else (kind.value, *family[2:])
        whole = Group(kind, "_".join(word for word in words if word), digits, tuple(members))
        yield from _split(whole, wishes)


def _split(group: Group, wishes: Wishes) -> Iterator[Group]:
    """Split a group into parts that keep the limits: nearly equal ones, so that none is a lonely rest."""
    frames = len(group.sources)
    most = frames if not wishes.max_frames else min(frames, wishes.max_frames)
    if wishes.max_bytes:
        most = min(most, max(1, wishes.max_bytes // group.sources[0].length))
    parts = -(-frames // most)
    for part in range(parts):
        first, behind = frames * part // parts, frames * (part + 1) // parts
        yield replace(group, sources=group.sources[first:behind], part=part + 1, parts=parts)
