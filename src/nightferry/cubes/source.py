"""The source of a plane: one frame on the disk, read as far as its header, and known again when its data are read."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from nightferry.core.errors import Changed, Held
from nightferry.core.instant import Instant
from nightferry.cubes.traits import Traits
from nightferry.formats.cards import BLOCK
from nightferry.formats.layout import Layout
from nightferry.formats.rewrite import Unit, read_unit
from nightferry.headers.canonical import Canonical, ImageType
from nightferry.headers.dialects import detect, load_dialect, load_dialects, translate
from nightferry.headers.dialects.header import Header
from nightferry.headers.profiles.values import end_of

#: Written by whoever makes frames ready for ESO: units and spellings are those of the standard from then on.
_STANDARD = "HIERARCH ESO DPR TYPE"
_DPR: Mapping[str, ImageType] = {
    "OBJECT": ImageType.SCIENCE, "STD": ImageType.SCIENCE, "BIAS": ImageType.BIAS, "DARK": ImageType.DARK,
    "FLAT": ImageType.FLAT, "FOCUS": ImageType.FOCUS,
}  # fmt: skip
#: The fewest axes, and the most, of what can be a plane.
_AXES = 2


@dataclass(frozen=True, slots=True)
class Settings:
    """How the headers of raw frames are read.

    An empty ``dialect`` is found by evidence, ``dialects`` is the folder of user files. Frames that were made ready
    for ESO are known by their cards, and need none.
    """

    dialect: str = ""
    dialects: Path | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One frame that may become a plane. What is kept of it is small: a night has thousands.

    ``name`` is its name at the telescope, ``archive_name`` the one it has now; ``behind`` the byte where its data
    begin, ``length`` their bytes without fill. ``numbers`` are BITPIX, BZERO, BSCALE and BLANK. ``digest`` is known
    for frames of the ledger; ``header`` and ``mark`` (size, time, place on its disk) tell whether it is the same file.
    """

    file: Path
    name: str
    archive_name: str
    behind: int
    length: int
    axes: tuple[int, int]
    numbers: tuple[int, float | int, float | int, int | None]
    kind: ImageType
    start: Instant
    end: Instant | None
    canonical: Canonical = field(repr=False)
    written: str = ""  #: DATE-OBS as its card says it
    instrument: str = ""
    program: str = ""
    dialect: str = ""
    standard: bool = False  #: made ready for ESO
    datasum: int | None = None
    digest: str = ""
    header: bytes = b""
    mark: tuple[int, ...] = ()

    @property
    def traits(self) -> Traits:
        """What decides which cube it goes into."""
        told = self.canonical
        cold = None if told.set_temp is None else round(told.set_temp)
        setting = (
            self.instrument, told.xbin or 1, told.ybin or 1, told.gain, told.egain, told.readout, cold, self.program,
        )  # fmt: skip
        return Traits(
            self.kind, told.object or "", told.filter or "", told.exptime, self.start, self.name, self.axes,
            self.numbers, tuple(map(str, setting)), told.site_lon,
        )  # fmt: skip

    @property
    def identity(self) -> str:
        """Distinguishes these very bytes from others, as far as is known without reading them."""
        return self.digest or f"{self.header.hex()} {self.mark[0]} {self.datasum}"


def read_source(file: Path, settings: Settings, *, name: str = "", digest: str = "") -> Source:
    """Read a frame's header; ``name`` is its name where the file has another.

    Raises `Held` for what cannot be a plane: not FITS, cut short, compressed, not two axes, extensions behind it, no
    start, no type, no exposure. The message says what was expected.
    """
    shown = name or file.name
    if shown.lower().endswith((".fz", ".gz")):
        raise Held(f"{shown} is compressed: unpack it first (funpack, gunzip); its pixels are not touched here")
    try:
        with file.open("rb", buffering=0) as stream:
            mark = _mark(stream)
            unit = read_unit(stream, 0)
            if unit is None:
                raise Held("not FITS")
            _require_plane(unit, mark[0], stream)
    except FileNotFoundError as err:
        raise Held(f"{file}: there is no such file") from err
    except IsADirectoryError as err:
        raise Held(f"{file} is a folder: name the frames themselves") from err
    header = Header(unit.cards)
    dialect, canonical = _understood(header, shown, settings)
    kind = _kind_of(header, canonical)
    start = _require(canonical, kind)
    raw_name = header.value("RAWFILE")
    datasum = header.value("DATASUM")
    return Source(
        file=file,
        name=raw_name if isinstance(raw_name, str) else shown,
        archive_name=shown,
        behind=len(unit.raw),
        length=unit.layout.length,
        axes=(unit.layout.axes[0], unit.layout.axes[1]),
        numbers=_numbers(header, unit.layout),
        kind=kind,
        start=start,
        end=end_of(canonical),
        canonical=canonical,
        written=str(header.value("DATE-OBS") or ""),
        instrument=str(header.value("INSTRUME") or ""),
        program=str(header.value("HIERARCH ESO OBS PROG ID") or ""),
        dialect=dialect,
        standard=header.value(_STANDARD) is not None,
        datasum=int(str(datasum)) if str(datasum or "").strip().isdigit() else None,
        digest=digest,
        header=_digest_of(unit.raw),
        mark=mark,
    )


def _mark(stream: BinaryIO) -> tuple[int, ...]:
    told = os.fstat(stream.fileno())
    return told.st_size, told.st_mtime_ns, told.st_dev, told.st_ino


def _digest_of(raw: bytes) -> bytes:
    return hashlib.blake2b(raw, digest_size=16).digest()


def _require_plane(unit: Unit, size: int, stream: BinaryIO) -> None:
    layout = unit.layout
    if len(layout.axes) != _AXES or not layout.length:
        shape = "x".join(map(str, layout.axes)) or "no picture"
        raise Held(f"it has {len(layout.axes)} axes ({shape}): a plane has two; a cube is never part of another")
    if size < len(unit.raw) + layout.length:
        raise Held(f"truncated by {len(unit.raw) + layout.length - size:,} bytes of {len(unit.raw) + layout.length:,}")
    stream.seek(len(unit.raw) + layout.padded)
    if stream.read(BLOCK).strip(b"\0 "):
        raise Held("something follows its picture (an extension, or bytes of no kind), and a plane cannot hold that")


def _understood(header: Header, name: str, settings: Settings) -> tuple[str, Canonical]:
    if header.value(_STANDARD) is not None:
        dialect = load_dialect("generic", settings.dialects)
    elif settings.dialect:
        dialect = load_dialect(settings.dialect, settings.dialects)
    else:
        dialect = detect(header, load_dialects(settings.dialects))
    return dialect.id, translate(header, dialect, name).canonical


def _kind_of(header: Header, canonical: Canonical) -> ImageType:
    told = header.value(_STANDARD)
    kind = canonical.image_type
    if kind is None and isinstance(told, str):
        kind = _DPR.get(told.split(",")[0].strip().upper())
    if kind is None:
        raise Held("IMAGETYP: nothing; expected the type of the image, for it decides which cube the frame goes into")
    if kind in {ImageType.UNKNOWN, ImageType.ACQUISITION, ImageType.FOCUS}:
        raise Held(f"IMAGETYP: {header.value('IMAGETYP') or told}; expected science, flat, dark or bias")
    return kind


def _require(canonical: Canonical, kind: ImageType) -> Instant:
    """Give the start; raise `Held` where it, the object or the exposure is not told."""
    if canonical.start is None:
        raise Held("DATE-OBS: nothing that can be read; expected the start of the exposure, for planes stand by time")
    if canonical.exptime is None and kind is not ImageType.BIAS:
        raise Held("EXPTIME: nothing; expected the exposure in seconds, for it decides which cube the frame goes into")
    if canonical.object is None and kind is ImageType.SCIENCE:
        raise Held("OBJECT: nothing; expected the target of a science frame")
    return canonical.start


def _numbers(header: Header, layout: Layout) -> tuple[int, float | int, float | int, int | None]:
    zero, scale, blank = header.number("BZERO"), header.number("BSCALE"), header.value("BLANK")
    whole = blank if isinstance(blank, int) and layout.bitpix > 0 else None
    return layout.bitpix, 0 if zero is None else zero, 1 if scale is None else scale, whole


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a source at its data, sure that it is the file that was planned with, before and after.

    Raises `Changed` when it is gone or another now.
    """
    try:
        stream = source.file.open("rb", buffering=0)
    except FileNotFoundError as err:
        raise Changed(f"{source.file} vanished while its cube was made; nothing of that cube was kept") from err
    with stream:
        raw = stream.read(source.behind)
        if _mark(stream) != source.mark or _digest_of(raw) != source.header:
            raise _changed(source)
        yield stream
        if _mark(stream) != source.mark:
            raise _changed(source)


def _changed(source: Source) -> Changed:
    return Changed(f"{source.file} changed while its cube was made; nothing of that cube was kept")


def header_of(source: Source) -> bytes:
    """Read a source's header again, all of its blocks; raises `Changed` as `opened` does."""
    with opened(source) as stream:
        stream.seek(0)
        return stream.read(source.behind)
