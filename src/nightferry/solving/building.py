"""Building index files: for a fixed list of targets a few hundred kilobytes do, where the public series are gigabytes.

astrometry.net's own ``build-astrometry-index`` does the work (Debian: the package astrometry.net).
"""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nightferry.core.errors import Held, Misconfigured, TryAgain
from nightferry.core.store import BUFFER_SIZE
from nightferry.disk.errors import translated
from nightferry.disk.files import finish, name_anew, part_beside
from nightferry.formats.cards import close_header, format_card
from nightferry.formats.layout import whole_blocks
from nightferry.solving.arrays import Floats
from nightferry.solving.catalogues import read_catalogue
from nightferry.solving.indexes import Index, read_index

#: Shares of a field's side that the quads of its index files have; each file spans a factor of 1.41.
_SHARES = (1 / 6, 1 / 3)
#: Healpix cells of -N 1760 go with quads of 2 arcminutes and more (build-astrometry-index -P 0).
_NSIDE_ARCMIN = 3520.0
_LONGEST = 600.0  # seconds
_FEWEST = 8


@dataclass(frozen=True, slots=True)
class Order:
    """What to build: places (degrees), the radius around each, the side of the fields in arcminutes.

    ``epoch`` (years) moves stars by their proper motions; ``name`` opens the files' names.
    """

    around: tuple[tuple[float, float], ...]
    catalogue: Path
    radius: float = 1.0
    field: float = 12.0
    epoch: float | None = None
    name: str = "own"


def build(order: Order, folder: Path) -> list[Index]:
    """Build the index files of an order; files of the same names are replaced.

    Raises `Misconfigured` without the program or columns, `Held` for a catalogue with too few stars there.
    """
    program = shutil.which("build-astrometry-index")
    if program is None:
        raise Misconfigured(
            "building an index needs build-astrometry-index of astrometry.net "
            "(Debian, Ubuntu: apt-get install astrometry.net)"
        )
    ra, dec, mag = near(read_catalogue(order.catalogue, order.epoch), order.around, order.radius)
    if ra.size < _FEWEST:
        raise Held(
            f"{order.catalogue}: {ra.size} stars within {order.radius:g} degrees of the places asked for; "
            f"expected {_FEWEST} or more"
        )
    folder.mkdir(parents=True, exist_ok=True)
    built = []
    with tempfile.TemporaryDirectory(prefix="nightferry-index-") as name:
        stars = Path(name) / "stars.fits"
        stars.write_bytes(star_catalogue(ra, dec, mag))
        for number, share in enumerate(_SHARES):
            low = order.field * share
            made = Path(name) / f"index-{order.name}-{low:.1f}.fits"
            _run(program, stars, made, low, number)
            built.append(_landed(made, folder / made.name))
    return built


def near(
    catalogue: tuple[Floats, Floats, Floats], around: Sequence[tuple[float, float]], radius: float
) -> tuple[Floats, Floats, Floats]:
    """Keep the stars near any of the places, brightest first, each once."""
    ra, dec, mag = catalogue
    turn, height = np.radians(ra), np.radians(dec)
    vectors = np.stack([np.cos(height) * np.cos(turn), np.cos(height) * np.sin(turn), np.sin(height)], axis=1)
    wanted = np.zeros(ra.size, dtype=bool)
    for place_ra, place_dec in around:
        a, d = math.radians(place_ra), math.radians(place_dec)
        centre = np.array([math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)])
        wanted |= vectors @ centre >= math.cos(math.radians(radius))
    kept = np.flatnonzero(wanted)
    _, first = np.unique(np.stack([ra[kept], dec[kept]], axis=1), axis=0, return_index=True)
    kept = kept[first]
    order = kept[np.argsort(mag[kept], kind="stable")]
    return ra[order], dec[order], mag[order]


def star_catalogue(ra: Floats, dec: Floats, mag: Floats) -> bytes:
    """Write a FITS table with the columns RA, DEC (degrees) and MAG."""
    rows = np.empty(ra.size, dtype=[("ra", ">f8"), ("dec", ">f8"), ("mag", ">f4")])
    rows["ra"], rows["dec"], rows["mag"] = ra, dec, mag
    primary = [format_card("SIMPLE", value=True), format_card("BITPIX", 8), format_card("NAXIS", 0)]
    primary.append(format_card("EXTEND", value=True))
    table = [
        format_card("XTENSION", "BINTABLE"), format_card("BITPIX", 8), format_card("NAXIS", 2),
        format_card("NAXIS1", rows.dtype.itemsize), format_card("NAXIS2", ra.size), format_card("PCOUNT", 0),
        format_card("GCOUNT", 1), format_card("TFIELDS", 3),
    ]  # fmt: skip
    for number, (column, form) in enumerate((("RA", "1D"), ("DEC", "1D"), ("MAG", "1E")), 1):
        table += [format_card(f"TTYPE{number}", column), format_card(f"TFORM{number}", form)]
    data = rows.tobytes()
    return close_header(primary) + close_header(table) + data.ljust(whole_blocks(len(data)), b"\0")


def _run(program: str, stars: Path, made: Path, low: float, number: int) -> None:
    command = [
        program, "-i", str(stars), "-o", str(made), "-S", "MAG", "-N", str(max(1, round(_NSIDE_ARCMIN / low))),
        "-l", f"{low:.4f}", "-u", f"{low * math.sqrt(2):.4f}", "-n", "30", "-E", "-M", "-t", str(made.parent),
        "-j", "0.5", "-I", str(900_000 + number),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LONGEST, check=False, stdin=subprocess.DEVNULL)  # noqa: S603 - our own command line
    except subprocess.TimeoutExpired as err:
        raise TryAgain(f"build-astrometry-index did not end within {_LONGEST:.0f} s") from err
    if done.returncode or not made.exists():
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Held(f"build-astrometry-index failed: {'; '.join(said[-2:]) or 'it said nothing'}")


def _landed(made: Path, final: Path) -> Index:
    """Give a finished file its name, and read it back."""
    with translated(final, "the index file"), part_beside(final) as part:
        with made.open("rb") as file, part.open("xb") as out:
            shutil.copyfileobj(file, out, BUFFER_SIZE)
            finish(out)
        name_anew(part, final)
    index = read_index(final)
    if index is None:
        raise Held(f"{final}: what build-astrometry-index made is no index file")
    return index
