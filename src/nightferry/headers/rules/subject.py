"""The subject of a judgement: one file, read once from its first byte to its last."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from nightferry.core.context import Context
from nightferry.core.errors import Held
from nightferry.core.instant import Instant, parse_instant
from nightferry.core.store import BUFFER_SIZE
from nightferry.formats.datasum import ALL_ONES, Datasum, datasum_of
from nightferry.formats.rewrite import Unit, read_unit
from nightferry.headers.canonical import Finding, ImageType, Severity, Wcs
from nightferry.headers.dialects.header import Header
from nightferry.headers.dialects.solution import read_wcs
from nightferry.headers.profiles.model import Profile
from nightferry.headers.rules.pixels import Pixels

_TYPES: Mapping[str, ImageType] = {
    "OBJECT": ImageType.SCIENCE, "STD": ImageType.SCIENCE, "BIAS": ImageType.BIAS, "DARK": ImageType.DARK,
    "FLAT": ImageType.FLAT, "FOCUS": ImageType.FOCUS,
}  # fmt: skip


@dataclass(frozen=True)
class Hdu:
    """One HDU as it stands: its header, the sum of its data, and whether all of its data came."""

    unit: Unit
    datasum: int
    missing: int = 0
    unfilled: int = 0
    table: bytes = b""  #: the data of a table that is small enough to keep

    @cached_property
    def header(self) -> Header:
        """The cards."""
        return Header(self.unit.cards)

    @property
    def name(self) -> str:
        """How messages name it."""
        return f"HDU {self.unit.number}"

    @property
    def whole_sum(self) -> int:
        """The sum of header and data: all ones where CHECKSUM is right."""
        return datasum_of(self.unit.raw + self.datasum.to_bytes(4, "big"))

    @property
    def checksum_right(self) -> bool:
        """Whether CHECKSUM agrees with the bytes."""
        return self.whole_sum == ALL_ONES


@dataclass(frozen=True)
class Subject:
    """A file and all that it is judged by. ``sources`` are the data sums of the frame that it was made of."""

    name: str
    hdus: tuple[Hdu, ...]
    profile: Profile
    context: Context
    now: Instant
    problem: str = ""
    rest: int = 0
    pixels: Pixels = field(default_factory=Pixels)
    sources: tuple[int, ...] = ()
    siblings: tuple[str, ...] = ()  #: names of other files of the same delivery

    @cached_property
    def header(self) -> Header:
        """The primary header; an empty one where none can be read."""
        return self.hdus[0].header if self.hdus else Header([])

    @cached_property
    def image_type(self) -> ImageType | None:
        """What the frame says that it is: by ESO's triple, else by IMAGETYP."""
        told = self.header.value("HIERARCH ESO DPR TYPE")
        if isinstance(told, str):
            return _TYPES.get(told.split(",")[0].strip().upper(), ImageType.UNKNOWN)
        told = self.header.value("IMAGETYP") or self.header.value("FRAME")
        plain = "".join(letter for letter in str(told or "").lower() if letter.isalpha()).removesuffix("frame")
        if not plain:
            return None
        return ImageType.SCIENCE if plain == "light" else ImageType(plain) if plain in set(ImageType) else None

    @cached_property
    def solution(self) -> tuple[Wcs | None, list[Finding]]:
        """The celestial solution, and what is wrong with it."""
        return read_wcs(self.header)

    @cached_property
    def start(self) -> Instant | None:
        """The start by DATE-OBS."""
        return self.instant("DATE-OBS")

    def instant(self, keyword: str) -> Instant | None:
        """Read a time; None where there is none or it cannot be read."""
        value = self.header.value(keyword)
        try:
            return parse_instant(value)[0] if isinstance(value, str) else None
        except ValueError:
            return None

    @property
    def is_cube(self) -> bool:
        """Whether the primary data are planes of one shape."""
        return self.header.value("NAXIS") == 3 and self.header.value("NFRAMES") is not None  # noqa: PLR2004 - planes


def found(rule: str, severity: Severity, keyword: str, got: object, expected: str) -> Finding:
    """Make a finding; text is shown as it stands, nothing as nothing."""
    return Finding(rule, severity, keyword, "" if got is None else str(got), expected)


LONGEST_TABLE = 16 << 20


def read_subject(
    path: Path,
    profile: Profile,
    context: Context,
    now: Instant,
    *,
    name: str = "",
    sources: tuple[int, ...] = (),
    siblings: tuple[str, ...] = (),
) -> Subject:
    """Read a file once. What keeps it from being read to its end becomes its ``problem``."""
    pixels = Pixels()
    with path.open("rb", buffering=0) as file:
        hdus, problem = _read_hdus(file, pixels)
        rest = 0 if problem else len(file.read(1 << 20))
    return Subject(name or path.name, tuple(hdus), profile, context, now, problem, rest, pixels, sources, siblings)


def _read_hdus(file: BinaryIO, pixels: Pixels) -> tuple[list[Hdu], str]:
    hdus: list[Hdu] = []
    buffer = memoryview(bytearray(BUFFER_SIZE))
    try:
        while (unit := read_unit(file, len(hdus))) is not None:
            hdu = _read_data(file, unit, buffer, pixels)
            hdus.append(hdu)
            if hdu.missing:
                break
    except Held as err:
        return hdus, str(err)
    return hdus, ""


def _read_data(file: BinaryIO, unit: Unit, buffer: memoryview, pixels: Pixels) -> Hdu:
    summed, came, kept = Datasum(), 0, bytearray()
    layout = unit.layout
    table = layout.card("XTENSION") == "BINTABLE" and layout.length <= LONGEST_TABLE
    for view in _pieces(file, layout.padded, buffer):
        summed.add(view)
        if unit.number == 0:
            pixels.look(view[: max(0, layout.length - came)], layout)
        if table:
            kept += view
        came += len(view)
    missing = max(0, layout.length - came)
    return Hdu(unit, summed.value, missing, layout.padded - came - missing, bytes(kept[: layout.length]))


def _pieces(file: BinaryIO, count: int, buffer: memoryview) -> Iterator[memoryview]:
    while count:
        got = file.readinto(buffer[: min(len(buffer), count)])  # type: ignore[attr-defined]
        if not got:
            return
        yield buffer[:got]
        count -= got
