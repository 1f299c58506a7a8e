"""Grouping: which frames make which cube, and which are left out, and why."""

import filecmp
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Generic, Literal, TypeVar

from nightferry.core.frame import fingerprint
from nightferry.cubes.names import exposure_text
from nightferry.cubes.source import Source
from nightferry.cubes.traits import Traits
from nightferry.headers.canonical import ImageType

T = TypeVar("T")
#: Exposures that differ by less than this share are the same.
_SAME_EXPOSURE = 1e-6


@dataclass(frozen=True, slots=True)
class Wishes:
    """What cubes a user wants: the most frames, and the most bytes of pixels, in one; 0 for no limit.

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
class Bunch(Generic[T]):
    """What belongs into one cube, in order of time, each with its traits.

    ``key`` tells people what it is; ``set`` parts it from all others; ``part`` counts from 1.
    """

    key: str
    set: str
    members: tuple[tuple[Traits, T], ...]
    part: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that make one cube, in order of time; see `Bunch`."""

    kind: ImageType
    key: str
    set: str
    sources: tuple[Source, ...]
    part: int = 1

    @property
    def size(self) -> int:
        """Bytes of all planes."""
        return sum(source.length for source in self.sources)

    @property
    def title(self) -> str:
        """What people are told that it is."""
        return self.key if self.part == 1 else f"{self.key} part {self.part}"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A frame that goes into no cube, and why."""

    file: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All groups, in order of time, and all that is left out."""

    groups: tuple[Group, ...]
    left: tuple[LeftOut, ...] = ()


def plan(sources: Iterable[Source], wishes: Wishes) -> Plan:
    """Sort frames into groups: every one is in exactly one of them, or left out with a reason."""
    kept, left = _without_doubles(sorted(sources, key=lambda source: (source.traits.order, str(source.file))))
    bunches, odd = sort_out([(source.traits, source) for source in kept], wishes)
    groups = [
        Group(bunch.members[0][0].kind, bunch.key, bunch.set, tuple(source for _, source in bunch.members), bunch.part)
        for bunch in bunches
    ]
    return Plan(tuple(groups), (*left, *(LeftOut(source.file, reason) for source, reason in odd)))


def sort_out(items: Iterable[tuple[Traits, T]], wishes: Wishes) -> tuple[list[Bunch[T]], list[tuple[T, str]]]:
    """Sort anything into bunches by its traits alone; second come those that are left out, with the reason."""
    ordered = sorted(items, key=lambda item: item[0].order)
    families: dict[tuple[str, ...], list[tuple[Traits, T]]] = {}
    exposures = _exposures([traits for traits, _ in ordered])
    for traits, item in ordered:
        exposure = "" if traits.exposure is None else exposures[traits.exposure]
        families.setdefault(_family(traits, exposure, wishes), []).append((traits, item))
    bunches: list[Bunch[T]] = []
    left: list[tuple[T, str]] = []
    for family, members in families.items():
        forms = Counter(traits.form for traits, _ in members)
        usual = forms.most_common(1)[0][0]
        for form in forms:
            same = [member for member in members if member[0].form == form]
            if form != usual and wishes.odd == "out":
                left += [(item, _odd(form, usual)) for _, item in same]
            else:
                bunches += _by_setting(family, form, same, wishes)
    return sorted(bunches, key=lambda bunch: (bunch.members[0][0].order, bunch.set, bunch.part)), left


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


def _exposures(all_traits: Sequence[Traits]) -> Mapping[float, str]:
    """Give each exposure its text: nearly equal ones have one."""
    names: dict[float, str] = {}
    last = -1.0
    for exposure in sorted({traits.exposure for traits in all_traits if traits.exposure is not None}):
        if not names or exposure - last > _SAME_EXPOSURE * exposure:
            last = exposure
        names[exposure] = exposure_text(last)
    return names


def _family(traits: Traits, exposure: str, wishes: Wishes) -> tuple[str, ...]:
    """Return what frames of one cube share for an astronomer: night, kind, object, filter, exposure."""
    night = (wishes.night or traits.evening(wishes.longitude)).isoformat()
    parts: Mapping[ImageType, tuple[str, ...]] = {
        ImageType.SCIENCE: (traits.object, traits.filter, exposure),
        ImageType.FLAT: (traits.filter, exposure),
        ImageType.DARK: (exposure,),
        ImageType.DARKFLAT: (traits.filter, exposure),
    }
    return (night, traits.kind.value, *parts.get(traits.kind, ()))


def _odd(form: tuple[str, ...], usual: tuple[str, ...]) -> str:
    def told(form: tuple[str, ...]) -> str:
        width, height, bitpix, zero, scale, blank = form
        extra = f", BLANK {blank}" if blank != "None" else ""
        return f"{width}x{height} pixels of BITPIX {bitpix} (BZERO {zero}, BSCALE {scale}{extra})"

    return f"it has {told(form)}; most frames of its kind have {told(usual)}"


def _by_setting(
    family: tuple[str, ...], form: tuple[str, ...], members: Sequence[tuple[Traits, T]], wishes: Wishes
) -> Iterator[Bunch[T]]:
    settings: dict[tuple[str, ...], list[tuple[Traits, T]]] = {}
    for traits, item in members:
        settings.setdefault(traits.setting, []).append((traits, item))
    for setting, same in settings.items():
        kind = same[0][0].kind
        words = family[2:] if kind is ImageType.SCIENCE else (kind.value, *family[2:])
        digits = fingerprint(*family, *form, *setting)[:12]
        whole = Bunch("_".join(word for word in words if word), digits, tuple(same))
        yield from _split(whole, wishes)


def _split(bunch: Bunch[T], wishes: Wishes) -> Iterator[Bunch[T]]:
    """Split into parts that keep the limits, full ones first: a late frame at the end changes the last part alone."""
    traits = bunch.members[0][0]
    plane = abs(traits.numbers[0]) // 8 * traits.axes[0] * traits.axes[1]
    most = wishes.max_frames or len(bunch.members)
    if wishes.max_bytes:
        most = min(most, max(1, wishes.max_bytes // plane))
    for part, first in enumerate(range(0, len(bunch.members), most), 1):
        yield replace(bunch, members=bunch.members[first : first + most], part=part)
