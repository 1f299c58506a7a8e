"""Index files of astrometry.net: where they are, which fields they cover, and the stars inside them.

An index keeps its stars as unit vectors: ``minimum + value / scale``, with minimum and scale in the table
``kdtree_range_stars`` and the values (whole numbers of 32 or 16 bits, or doubles) in ``kdtree_data_stars``; further
tables hold the order of brightness (``sweep``) and what the catalogue told (``MAG``). So the catalogue that a solution
is refined with comes with the index that it was found with, whatever the engine.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from platformdirs import user_data_path

from nightferry.core.errors import Held, Misconfigured
from nightferry.formats.cards import CARD, Value, parse_cards
from nightferry.formats.layout import whole_blocks
from nightferry.solving.arrays import Floats

Stored = npt.NDArray[np.unsignedinteger] | Floats
_ARCMIN = 3437.746770784939  # in a radian
_TYPES = {"u32": "u4", "u16": "u2", "double": "f8"}
_SMALL_ENDIAN = "04:03:02:01"
#: Quads between these shares of a field's smaller side are found in it as a rule; up to the last one, now and then.
SMALLEST_SHARE, LARGEST_SHARE, UTMOST_SHARE = 0.1, 0.5, 1.2
_SUFFIXES = (".fits", ".fit")


@dataclass(frozen=True, slots=True)
class Index:
    """An index file: ``low`` and ``high`` are the sizes of its quads in arcminutes, ``stars`` how many it holds."""

    path: Path
    low: float
    high: float
    stars: int
    quads: int

    @property
    def fields(self) -> tuple[float, float]:
        """The smaller sides of the fields that it serves, in arcminutes."""
        return self.low / LARGEST_SHARE, self.high / SMALLEST_SHARE

    def may_serve(self, low: float, high: float) -> bool:
        """Whether trying is worth it for fields whose smaller side, in arcminutes, lies between these."""
        return self.low / UTMOST_SHARE <= high and low <= self.high / SMALLEST_SHARE

    def serves(self, side: float) -> bool:
        """Whether fields with this smaller side, in arcminutes, can be solved with it."""
        low, high = self.fields
        return low <= side <= high


@dataclass(frozen=True, slots=True)
class Shelf:
    """What index files there are, and what is wrong with others that lie there."""

    indexes: tuple[Index, ...]
    damaged: tuple[str, ...]
    folders: tuple[Path, ...]


def usual_folders() -> list[Path]:
    """List the folders where index files usually are: one's own, Debian's, other installations'."""
    folders = [own_folder()]
    if told := os.environ.get("ASTROMETRY_NET_DATA_DIR"):
        folders.append(Path(told))
    folders += [
        Path("/usr/share/astrometry"),
        Path("/usr/local/share/astrometry"),
        Path("/usr/local/astrometry/data"),
        Path("/opt/homebrew/share/astrometry"),
        Path.home() / ".local" / "share" / "astrometry",
        Path.home() / "Library" / "Application Support" / "Astrometry",
    ]
    return folders


def own_folder() -> Path:
    """Return the folder where ``nightferry index build`` puts index files."""
    return user_data_path("nightferry", appauthor=False) / "indexes"


def find_indexes(places: Sequence[Path], *, usual: bool = True) -> Shelf:
    """Find index files in folders, or named one by one, and in the usual folders; a file is listed once.

    Raises `Misconfigured` for a named place that does not exist.
    """
    for place in places:
        if not place.exists():
            raise Misconfigured(f"there is no index folder or file {place}: correct 'index', or build one there")
    folders = (*places, *(usual_folders() if usual else ()))
    found: dict[str, Index] = {}
    damaged: list[str] = []
    for path in _files(folders):
        try:
            index = read_index(path)
        except Held as err:
            damaged.append(str(err))
        else:
            if index is not None:
                found.setdefault(str(path.resolve()), index)
    ordered = sorted(found.values(), key=lambda index: (index.low, index.path.name))
    return Shelf(tuple(ordered), tuple(damaged), tuple(folder for folder in folders if folder.is_dir()))


def _files(places: Iterable[Path]) -> Iterable[Path]:
    for place in places:
        if place.is_file():
            yield place
        elif place.is_dir():
            yield from sorted(path for path in place.iterdir() if path.suffix in _SUFFIXES and path.is_file())


def state_of(places: Sequence[Path], *, usual: bool = True) -> tuple[str, ...]:
    """Return the state of all files that `find_indexes` would look at: another state may hold other index files.

    Sizes and times count: a file that is being copied there is damaged until it is whole.
    """
    state = []
    for path in _files((*places, *(usual_folders() if usual else ()))):
        with suppress(OSError):  # it is gone since it was listed
            state.append(f"{path} {signature(path)}")
    return tuple(state)


def signature(path: Path) -> str:
    """Return a file's size, time and identity, which change when it becomes another. Raises OSError."""
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def read_index(path: Path) -> Index | None:
    """Read what an index file says of itself; None for FITS that is no index. Raises `Held` for a damaged one."""
    tables = _tables(path)
    cards = tables[""].cards
    if str(cards.get("AN_FILE", "")).strip() != "QUAD":
        return None
    low, high, stars, quads = (cards.get(key) for key in ("SCALE_L", "SCALE_U", "NSTARS", "NQUADS"))
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not 0 < low <= high < math.pi:
        raise Held(f"{path}: a damaged index file: its scales are {low} to {high}")
    if not isinstance(stars, int) or not isinstance(quads, int) or stars < 1 or quads < 1:
        raise Held(f"{path}: a damaged index file: it tells of {stars} stars and {quads} quads")
    for name, row in (("kdtree_data_stars", 0), ("kdtree_range_stars", 0), ("kdtree_data_codes", 0), ("quads", 16)):
        table = tables.get(name)
        if table is None or (row and table.size < quads * row):
            raise Held(f"{path}: a damaged index file: its table {name} is missing or short")
    return Index(path, low * _ARCMIN, high * _ARCMIN, stars, quads)


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a table's bytes are, and the cards of its header."""

    start: int
    size: int
    cards: Mapping[str, Value]


def _tables(path: Path) -> dict[str, _Table]:
    """Read the headers of an index file: the first under no name, tables under that of their only column."""
    tables: dict[str, _Table] = {}
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            at = 0
            while at < length:
                file.seek(at)
                cards, at = _read_header(file.read(64 * CARD * 36), at, path)
                axes = cards.get("NAXIS")
                sides = [cards.get(f"NAXIS{axis + 1}") for axis in range(axes if isinstance(axes, int) else 0)]
                size = math.prod(side for side in sides if isinstance(side, int)) if sides else 0
                if at + size > length:
                    raise Held(f"{path}: a damaged index file: it ends at byte {length:,} of {at + size:,}: truncated")
                name = str(cards.get("TTYPE1", "")).strip()
                tables.setdefault(name, _Table(at, size, cards))
                if name.startswith("kdtree_header_"):
                    tables[name] = _Table(at, size, cards)
                at += whole_blocks(size)
    except OSError as err:
        raise Held(f"{path}: the index file cannot be read: {err}") from err
    if "" not in tables:
        raise Held(f"{path}: an empty file")
    return tables


def _read_header(raw: bytes, at: int, path: Path) -> tuple[Mapping[str, Value], int]:
    end = next((start for start in range(0, len(raw), CARD) if raw[start : start + 8] == b"END     "), -1)
    if not raw.startswith((b"SIMPLE  =", b"XTENSION=")) or end < 0:
        raise Held(f"{path}: a damaged index file: no FITS header at byte {at:,}")
    cards: dict[str, Value] = {}
    for card in parse_cards(raw[:end]):
        cards.setdefault(card.keyword, card.value)
    return cards, at + whole_blocks(end + CARD)


@dataclass(frozen=True)
class StarTable:
    """The stars of an index, sorted by the third coordinate; ``rank`` is small for bright ones."""

    raw: Stored
    rank: npt.NDArray[np.float32]
    low: Floats
    scale: float

    def near(self, ra: float, dec: float, radius: float) -> tuple[Floats, Floats, Floats]:
        """List the stars within a radius: right ascension, declination, rank, brightest first; all in degrees."""
        centre = _vector(ra, dec)
        first, last = self._band(max(-90.0, dec - radius), min(90.0, dec + radius))
        vectors = self.low + self.raw[first:last] / self.scale
        inside = vectors @ centre > math.cos(math.radians(min(radius, 180.0)))
        vectors, rank = vectors[inside], self.rank[first:last][inside]
        order = np.argsort(rank, kind="stable")
        x, y, z = vectors[order].T
        return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arcsin(np.clip(z, -1, 1))), rank[order].astype(float)

    def _band(self, bottom: float, top: float) -> tuple[int, int]:
        """Return which rows lie between two declinations, in degrees; some more may be among them."""
        column = self.raw[:, 2]
        if column.dtype.kind != "u":
            return 0, len(column)
        lowest, highest = ((math.sin(math.radians(side)) - self.low[2]) * self.scale for side in (bottom, top))
        # the limits must be of the column's own type, or numpy would convert a million numbers to compare
        most = float(2 ** (8 * column.dtype.itemsize) - 1)
        limits = np.array([lowest - 1, highest + 1]).clip(0.0, most).astype(column.dtype)
        first, last = np.searchsorted(column, limits[0], "left"), np.searchsorted(column, limits[1], "right")
        return int(first), int(last)

    def extent(self) -> tuple[float, float, float]:
        """Return the middle of the stars and their largest distance from it, in degrees; 180 for the whole sky."""
        step = max(1, len(self.raw) // 20_000)
        vectors = self.low + self.raw[::step] / self.scale
        mean = vectors.mean(axis=0)
        size = float(np.linalg.norm(mean))
        if size < 0.3:  # noqa: PLR2004 - a cap of 130 degrees and more
            return 0.0, 0.0, 180.0
        x, y, z = mean / size
        radius = float(np.degrees(np.arccos(np.clip((vectors @ (mean / size)).min(), -1, 1))))
        return math.degrees(math.atan2(y, x)) % 360.0, math.degrees(math.asin(z)), radius


def _vector(ra: float, dec: float) -> Floats:
    turn, height = math.radians(ra), math.radians(dec)
    return np.array([math.cos(height) * math.cos(turn), math.cos(height) * math.sin(turn), math.sin(height)])


def star_table(path: Path) -> StarTable:
    """Read the stars of an index file; once for each file and process. Raises `Held` for a damaged one."""
    try:
        return _star_table(path, signature(path))
    except OSError as err:
        raise Held(f"{path}: the index file cannot be read: {err}") from err


@lru_cache(maxsize=64)
def _star_table(path: Path, _state: str) -> StarTable:
    tables = _tables(path)
    try:
        with path.open("rb") as file:
            return _read_stars(path, tables, file)
    except OSError as err:
        raise Held(f"{path}: the index file cannot be read: {err}") from err
    except (ValueError, KeyError, IndexError) as err:
        raise Held(f"{path}: a damaged index file: {err}") from err


def _bytes(file: BinaryIO, table: _Table) -> bytes:
    file.seek(table.start)
    return file.read(table.size)


def _read_stars(path: Path, tables: Mapping[str, _Table], file: BinaryIO) -> StarTable:
    cards = tables["kdtree_header_stars"].cards
    told = str(cards.get("KDT_DATA", "")).strip()
    if told not in _TYPES:
        raise Held(f"{path}: an index file whose stars are kept as {told!r}; expected {', '.join(_TYPES)}")
    order = "<" if str(cards.get("ENDIAN", _SMALL_ENDIAN)).strip() == _SMALL_ENDIAN else ">"
    kind = np.dtype(order + _TYPES[told])
    stored = np.frombuffer(_bytes(file, tables["kdtree_data_stars"]), kind)
    raw = stored.reshape(-1, 3).astype(kind.newbyteorder("="))
    limits = np.frombuffer(_bytes(file, tables["kdtree_range_stars"]), order + "f8").astype(float)
    low, scale = (limits[:3], float(limits[6])) if raw.dtype.kind == "u" else (np.zeros(3), 1.0)
    if not (np.isfinite(low).all() and math.isfinite(scale) and scale > 0):
        raise Held(f"{path}: a damaged index file: its stars have no scale")
    rank = _ranks(tables, file, len(raw))
    by_height = np.argsort(raw[:, 2], kind="stable")
    return StarTable(raw[by_height], rank[by_height], low, scale)


def _ranks(tables: Mapping[str, _Table], file: BinaryIO, count: int) -> npt.NDArray[np.float32]:
    """Return an order of brightness: the catalogue's magnitudes where the index has them, else its own sweeps."""
    for name, table in tables.items():
        if "MAG" in name.upper() and table.size == 4 * count:  # FITS numbers are big-endian
            return np.frombuffer(_bytes(file, table), ">f4").astype(np.float32)
    sweep = tables.get("sweep")
    if sweep is not None and sweep.size == count:
        return np.frombuffer(_bytes(file, sweep), "u1").astype(np.float32)
    return np.zeros(count, np.float32)
