"""Star fields with a known truth, and the index files to look them up in: what tests of plate solving work on.

Real stars are those of `nightferry.testing.sky`; fields of other scales get made-up ones. Index files are built anew by
astrometry.net's own program (scripts/solver.sh gets it where it is missing), which takes a second or two.
"""

import csv
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nightferry.headers.canonical import Wcs
from nightferry.solving.arrays import Floats
from nightferry.solving.building import Order, build
from nightferry.solving.sphere import pixels_of
from nightferry.testing.encode import Card, fits_image
from nightferry.testing.sky import FULL_SCALE, FULL_SIZE, TARGETS, View, light_frame, make_sensor

Pixels = npt.NDArray[np.uint16]
#: The smaller side of Vespera's field, in arcminutes.
FIELD_ARCMIN = 54.0
_MICROMETRES = 2.9


def build_sky_index(folder: Path) -> Path:
    """Build the index files of the fields that there are real stars for, and give their folder."""
    around = tuple((target.ra, target.dec) for target in TARGETS.values())
    with as_file(files("nightferry.testing").joinpath("stars.csv")) as catalogue:
        build(Order(around, catalogue, 1.3, FIELD_ARCMIN, name="sky"), folder)
    return folder


def made_up_stars(ra: float, dec: float, *, radius: float = 0.5, count: int = 1500, seed: int = 1) -> Floats:
    """Make up stars around a place: right ascension, declination (degrees) and magnitude, (count, 3)."""
    rng = np.random.default_rng(seed)
    away, turn = radius * np.sqrt(rng.uniform(0, 1, count)), rng.uniform(0, 2 * np.pi, count)
    north = dec + away * np.cos(turn)
    east = ra + away * np.sin(turn) / np.cos(np.radians(north))
    magnitude = 18.0 + 2.2 * np.log10(rng.uniform(1e-3, 1, count))
    return np.stack([east % 360.0, north, magnitude], axis=1)


def write_catalogue(path: Path, stars: Floats) -> Path:
    """Write stars as CSV, under the names that Gaia's archive gives to columns."""
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ra", "dec", "phot_g_mean_mag"])
        writer.writerows([f"{ra:.6f}", f"{dec:.6f}", f"{mag:.3f}"] for ra, dec, mag in stars)
    return path


def plain_wcs(ra: float, dec: float, size: tuple[int, int], scale: float, turn: float = 0.0) -> Wcs:
    """Make a solution: the middle at a place, ``scale`` in arcseconds, ``turn`` the position angle of +y."""
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    step = scale / 3600
    middle = ((size[0] + 1) / 2, (size[1] + 1) / 2)
    cd = (float(-step * cosine), float(step * sine), float(step * sine), float(step * cosine))
    return Wcs(("RA---TAN", "DEC--TAN"), middle, (ra, dec), cd)


def draw_field(
    wcs: Wcs,
    stars: Floats,
    size: tuple[int, int],
    *,
    seed: int = 1,
    fwhm: float = 3.0,
    noise: float = 20.0,
    brightest: float = 11.0,
    trail: float = 0.0,
) -> Pixels:
    """Draw stars through a solution: (height, width) of uint16; one of magnitude ``brightest`` just saturates.

    ``trail`` is by how many pixels the telescope moved along x during the exposure.
    """
    rng = np.random.default_rng(seed)
    image = rng.normal(1000.0, noise, (size[1], size[0]))
    x, y = pixels_of(wcs, stars[:, 0], stars[:, 1])
    peak = 60_000 * 10 ** (-0.4 * (stars[:, 2] - brightest))
    sigma = fwhm / 2.3548
    reach = int(np.ceil(5 * sigma + trail / 2))
    for at_x, at_y, height in zip(x - 1, y - 1, peak, strict=True):
        if not (-reach < at_x < size[0] + reach and -reach < at_y < size[1] + reach):
            continue
        left, low = max(0, int(at_x) - reach), max(0, int(at_y) - reach)
        columns = np.arange(left, min(size[0], int(at_x) + reach + 1))
        rows = np.arange(low, min(size[1], int(at_y) + reach + 1))
        steps = at_x + np.linspace(-trail / 2, trail / 2, max(1, int(trail)))
        across = np.exp(-0.5 * ((columns[:, None] - steps) / sigma) ** 2).mean(axis=1)
        down = np.exp(-0.5 * ((rows - at_y) / sigma) ** 2)
        image[low : low + rows.size, left : left + columns.size] += height * down[:, None] * across
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def vespera_frame(
    target: str, view: View, *, size: tuple[int, int] = (960, 540), seed: int = 1, cards: Sequence[Card] = ()
) -> bytes:
    """Draw a frame of real stars as Vespera would take it, its optics told in the header; ``cards`` follow."""
    sensor = make_sensor(size, seed=seed)
    pixels = light_frame(sensor, TARGETS[target], view, np.random.default_rng(seed), seconds=10.0)
    return fits_image([*optics(size), ("OBJECT", target, "target"), *cards], pixels)


def optics(size: tuple[int, int]) -> list[Card]:
    """Return a scale as headers do: the size of a pixel and the focal length."""
    focal = _MICROMETRES / FULL_SCALE * 206.26480624709636
    return [("XPIXSZ", _MICROMETRES * FULL_SIZE[0] / size[0], "[um]"), ("FOCALLEN", round(focal, 3), "[mm]")]
