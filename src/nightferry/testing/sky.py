"""The sky as a small camera sees it: real stars, a made-up glow, noise and hot pixels.

Positions and brightnesses of the stars are real (``stars.csv``: Tycho-2, its header names the source), so a
plate solver finds the field. Their colours and the glow of nebulae and galaxies are drawn by eye and stand for
nothing. Pixel values are of the order that a 50 mm f/4 telescope gives in ten seconds, not calibrated ones.

Images are arrays of uint16 with shape (height, width), row 0 first in the file; where they are projected, the
lower left corner of the usual FITS display is pixel (0, 0), its centre at x = y = 0.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from nightferry.core.errors import Misconfigured

Pixels = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]

#: Vespera's sensor, 1920 x 1080 pixels of 2.9 micrometres behind 200 mm: 2.99 arcsec per pixel, 1.6 x 0.9 degrees.
FULL_SIZE = (1920, 1080)
FULL_SCALE = 2.99

#: Which of red, green and blue a pixel sees, by its row and column modulo 2: the RGGB mosaic.
MOSAIC = np.array([[0, 1], [1, 2]])

_OFFSET = 1000  # the camera's zero point, in ADU
_SKY_PER_SECOND = np.array([42.0, 70.0, 38.0])  # R, G, B, in ADU
_NOISE = 78.0  # of each of the two noise banks, in ADU
_GAIN = 12.0  # ADU per electron, for the shot noise of stars
_ZERO_MAG = 10.0  # a star of this magnitude ...
_ZERO_PEAK = 2000.0  # ... peaks at this many ADU per second in green
_SIGMA = 1.3  # of a star's image, in pixels: FWHM 3 pixels
_STAMP = 9  # half width of a star's stamp: 7 million ADU have fallen below 1 at 5.6 sigma


@dataclass(frozen=True, slots=True)
class Blob:
    """A round patch of glow: offset from the target and sigma in degrees, peak R, G, B in ADU per second."""

    east: float
    north: float
    sigma: float
    peak: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Target:
    """A show object: name, J2000 position in degrees (where the telescope points), and its glow."""

    name: str
    ra: float
    dec: float
    glow: tuple[Blob, ...] = ()


def _chain(angle: float, peak: tuple[float, float, float], *links: tuple[float, float, float]) -> tuple[Blob, ...]:
    """Line up blobs along a position angle (degrees, east of north); each link is distance, sigma, strength."""
    east, north = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    return tuple(
        Blob(distance * east, distance * north, sigma, (peak[0] * by, peak[1] * by, peak[2] * by))
        for distance, sigma, by in links
    )


_PINK, _BLUE, _PALE = (60.0, 26.0, 30.0), (14.0, 24.0, 40.0), (36.0, 40.0, 26.0)

#: The objects there are stars for. Centres are rounded to about an arcminute: pointings, not measurements.
TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target(
                "M31",
                10.685,
                41.269,
                _chain(35, _PALE, (0, 0.02, 6), (0, 0.06, 1.6), (0, 0.13, 0.6), (0.2, 0.11, 0.4), (-0.2, 0.11, 0.4))
                + _chain(35, _PALE, (0.42, 0.09, 0.2), (-0.42, 0.09, 0.2))
                + _chain(340, _PALE, (0.6, 0.05, 0.8))
                + _chain(178, _PALE, (0.4, 0.02, 1.6)),
            ),
            Target(
                "M42",
                83.822,
                -5.391,
                _chain(30, _PINK, (0, 0.03, 20), (0.02, 0.08, 7), (-0.12, 0.12, 2.2), (0.1, 0.2, 0.8))
                + _chain(0, _BLUE, (0.14, 0.03, 4), (0.5, 0.1, 1.4)),
            ),
            Target(
                "M45",
                56.601,
                24.114,
                _chain(250, _BLUE, (0.25, 0.11, 1.2), (0.0, 0.16, 0.6)) + _chain(300, _BLUE, (0.35, 0.1, 0.8)),
            ),
            Target(
                "M51",
                202.470,
                47.195,
                _chain(10, _PALE, (0, 0.012, 8), (0, 0.04, 1.6), (0.076, 0.013, 5)),
            ),
            Target("M13", 250.423, 36.461, _chain(0, _PALE, (0, 0.02, 5), (0, 0.05, 1.6))),
            Target(
                "M16",
                274.700,
                -13.807,
                _chain(150, _PINK, (0, 0.05, 2.5), (0.06, 0.1, 1.4), (0.1, 0.22, 0.6)),
            ),
            Target(
                "NGC7000",
                314.700,
                44.330,
                _chain(160, _PINK, (-0.35, 0.22, 0.7), (-0.1, 0.2, 0.8), (0.15, 0.14, 0.9), (0.35, 0.1, 1.0))
                + _chain(120, _PINK, (0.3, 0.18, 0.5))
                + _chain(265, _PINK, (0.85, 0.16, 0.6)),
            ),
            Target("NGC7023", 315.404, 68.163, _chain(0, _BLUE, (0, 0.03, 6), (0.02, 0.09, 2))),
        )
    }
)


@dataclass(frozen=True, slots=True)
class View:
    """Where a frame looks: J2000 centre in degrees, and the position angle of its +y axis (degrees, north to east)."""

    ra: float
    dec: float
    rotation: float = 0.0


@dataclass(frozen=True, slots=True)
class Sensor:
    """A camera made once per night: size in pixels, arcsec per pixel, its noise and its fixed pattern in ADU."""

    width: int
    height: int
    scale: float
    noise: tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]
    pattern: npt.NDArray[np.int32]


@lru_cache(maxsize=1)
def star_table() -> Mapping[str, Floats]:
    """Read the shipped stars: for each target an array (n, 3) of RA and Dec (degrees, J2000) and V magnitude."""
    text = files("nightferry.testing").joinpath("stars.csv").read_text(encoding="ascii")
    rows: dict[str, list[tuple[float, float, float]]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        rows.setdefault(row["target"], []).append((float(row["ra"]), float(row["dec"]), float(row["mag"])))
    return MappingProxyType({name: np.array(stars) for name, stars in rows.items()})


def make_sensor(size: tuple[int, int], *, seed: int) -> Sensor:
    """Make a camera of (width, height) pixels whose field is as wide as Vespera's, whatever its size.

    Raises `Misconfigured` for a size that is odd (the mosaic repeats every two pixels) or tiny.
    """
    width, height = size
    if width % 2 or height % 2 or min(width, height) < 16:
        raise Misconfigured(f"a frame of {width} x {height} pixels cannot be made: both must be even, and 16 or more")
    rng = np.random.default_rng([seed, 1])
    count = width * height
    # A frame's noise is a window into each of two banks, added: no two frames draw the same pair of windows,
    # and a frame costs two additions instead of two million random numbers.
    first, second = (
        np.rint(rng.standard_normal(count + count // 3, dtype=np.float32) * _NOISE).astype(np.int16) for _ in range(2)
    )
    pattern = np.full(count, _OFFSET, dtype=np.int32)
    hot = rng.integers(0, count, max(1, count // 8000))
    pattern[hot] += np.minimum(300 + rng.exponential(1500, hot.size), 60000).astype(np.int32)
    return Sensor(width, height, FULL_SCALE * FULL_SIZE[0] / width, (first, second), pattern.reshape(height, width))


def project(stars: Floats, view: View, sensor: Sensor) -> tuple[Floats, Floats]:
    """Project positions (n, 2 or more: RA, Dec in degrees) to pixels x, y by the gnomonic (TAN) projection.

    East is left when north is up, as in the sky. Positions more than 90 degrees away have no image and come
    out as NaN. Source: Greisen & Calabretta 2002, A&A 395, 1061 and 1077.
    """
    ra, dec = np.radians(stars[:, 0]), np.radians(stars[:, 1])
    ra0, dec0 = math.radians(view.ra), math.radians(view.dec)
    cosine = math.sin(dec0) * np.sin(dec) + math.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    cosine = np.where(cosine > 0, cosine, np.nan)
    east = np.degrees(np.cos(dec) * np.sin(ra - ra0) / cosine)
    north = np.degrees(
        (math.cos(dec0) * np.sin(dec) - math.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / cosine,
    )
    return _place(east, north, view, sensor)


def _place(east: Floats, north: Floats, view: View, sensor: Sensor) -> tuple[Floats, Floats]:
    """Turn tangent plane offsets in degrees into pixels."""
    turn = math.radians(view.rotation)
    per_degree = 3600 / sensor.scale
    x = (sensor.width - 1) / 2 + per_degree * (-east * math.cos(turn) + north * math.sin(turn))
    y = (sensor.height - 1) / 2 + per_degree * (east * math.sin(turn) + north * math.cos(turn))
    return x, y


def dark_frame(sensor: Sensor, rng: np.random.Generator) -> Pixels:
    """Draw a frame with the lid closed: zero point, hot pixels and noise."""
    return _settle(sensor.pattern + _draw_noise(sensor, rng))


def light_frame(
    sensor: Sensor, target: Target, view: View, rng: np.random.Generator, *, seconds: float, stacked: int = 1
) -> Pixels:
    """Draw a frame of a target in the RGGB mosaic.

    ``seconds`` is the exposure of one frame; with ``stacked`` frames averaged the noise is that much smaller.
    """
    image = sensor.pattern + _draw_noise(sensor, rng, 1 / math.sqrt(stacked))
    background = _SKY_PER_SECOND * seconds
    for row, column in np.ndindex(2, 2):
        image[row::2, column::2] += int(background[MOSAIC[row, column]])
    _add_glow(image, sensor, target.glow, view, seconds)
    _add_stars(image, sensor, star_table()[target.name], view, rng, seconds=seconds, stacked=stacked)
    return _settle(image)


def to_rgb(mosaic: Pixels) -> Pixels:
    """Make a colour picture (height, width, 3) of an RGGB frame, row 0 on top; each 2 x 2 block gets one colour."""
    green = (mosaic[0::2, 1::2].astype(np.uint32) + mosaic[1::2, 0::2] + 1) // 2
    small = np.stack([mosaic[0::2, 0::2], green.astype(np.uint16), mosaic[1::2, 1::2]], axis=-1)
    return small[::-1].repeat(2, axis=0).repeat(2, axis=1)


def to_preview(mosaic: Pixels, width: int = 320) -> npt.NDArray[np.uint8]:
    """Make a small colour picture for people, uint8 (height, width, 3), of an RGGB frame; dark sky, faint stars."""
    step = max(1, mosaic.shape[1] // 2 // width)
    colour = to_rgb(mosaic)[::2, ::2].astype(np.float32)
    rows, columns = colour.shape[0] // step, colour.shape[1] // step
    binned = colour[: rows * step, : columns * step].reshape(rows, step, columns, step, 3).mean(axis=(1, 3))
    sky = np.median(binned, axis=(0, 1))
    spread = max(1.0, float(np.median(np.abs(binned - sky))))
    stretched = np.arcsinh(np.maximum((binned - sky) / spread + 2, 0) / 6) / np.arcsinh(60)
    picture: npt.NDArray[np.uint8] = (np.clip(stretched, 0, 1) * 255).astype(np.uint8)
    return picture


def _draw_noise(sensor: Sensor, rng: np.random.Generator, by: float = 1.0) -> npt.NDArray[np.int32]:
    """Draw a frame's noise, int32 (height, width) in ADU."""
    count = sensor.width * sensor.height
    first, second = (bank[start : start + count] for bank, start in _windows(sensor, rng, count))
    noise = np.add(first, second, dtype=np.int32)
    if by != 1.0:
        noise = np.rint(noise * by).astype(np.int32)
    return noise.reshape(sensor.height, sensor.width)


def _windows(sensor: Sensor, rng: np.random.Generator, count: int) -> Sequence[tuple[npt.NDArray[np.int16], int]]:
    return [(bank, int(rng.integers(0, bank.size - count + 1))) for bank in sensor.noise]


def _add_glow(image: npt.NDArray[np.int32], sensor: Sensor, glow: Sequence[Blob], view: View, seconds: float) -> None:
    """Add round Gaussians: each is a column times a row, so all of them are one small matrix product per colour."""
    if not glow:
        return
    x, y = _place(np.array([blob.east for blob in glow]), np.array([blob.north for blob in glow]), view, sensor)
    sigma = np.array([blob.sigma for blob in glow]) * 3600 / sensor.scale
    peak = np.array([blob.peak for blob in glow]) * seconds
    across = np.exp(-0.5 * ((np.arange(sensor.width) - x[:, None]) / sigma[:, None]) ** 2).astype(np.float32)
    down = np.exp(-0.5 * ((np.arange(sensor.height) - y[:, None]) / sigma[:, None]) ** 2).astype(np.float32)
    for row, column in np.ndindex(2, 2):
        strength = peak[:, MOSAIC[row, column], None].astype(np.float32)
        image[row::2, column::2] += ((down[:, row::2] * strength).T @ across[:, column::2]).astype(np.int32)


def _add_stars(
    image: npt.NDArray[np.int32],
    sensor: Sensor,
    stars: Floats,
    view: View,
    rng: np.random.Generator,
    *,
    seconds: float,
    stacked: int,
) -> None:
    """Add a Gaussian stamp per star, in the colour that each of its pixels sees, with its shot noise."""
    x, y = project(stars, view, sensor)
    inside = (
        (x > -_STAMP) & (x < sensor.width + _STAMP) & (y > -_STAMP) & (y < sensor.height + _STAMP)
    )  # NaN is never inside
    x, y, stars = x[inside], y[inside], stars[inside]
    offsets = np.arange(-_STAMP, _STAMP + 1)
    columns = np.rint(x).astype(np.intp)[:, None] + offsets
    rows = np.rint(y).astype(np.intp)[:, None] + offsets
    across = np.exp(-0.5 * ((columns - x[:, None]) / _SIGMA) ** 2)
    down = np.exp(-0.5 * ((rows - y[:, None]) / _SIGMA) ** 2)
    # One band says nothing of a star's colour: a hue that depends on the place alone, so it stays the star's own.
    hue = 0.35 * np.sin(1e3 * stars[:, 0] + 2e3 * stars[:, 1])
    response = np.stack([0.8 * (1 + hue), np.ones_like(hue), 0.7 * (1 - hue)], axis=1)
    peak = _ZERO_PEAK * seconds * 10 ** (-0.4 * (stars[:, 2] - _ZERO_MAG))
    channel = MOSAIC[rows[:, :, None] % 2, columns[:, None, :] % 2]
    flux = (peak[:, None] * down)[:, :, None] * across[:, None, :]
    flux *= response[np.arange(peak.size)[:, None, None], channel]
    flux += np.sqrt(flux * (_GAIN / stacked)) * rng.standard_normal(flux.shape, dtype=np.float32)
    row, column = np.broadcast_arrays(rows[:, :, None], columns[:, None, :])
    seen = (row >= 0) & (row < sensor.height) & (column >= 0) & (column < sensor.width)
    np.add.at(image.reshape(-1), row[seen] * sensor.width + column[seen], np.rint(flux[seen]).astype(np.int32))


def _settle(image: npt.NDArray[np.int32]) -> Pixels:
    """Read the image out: what does not fit into 16 bits is saturated."""
    return np.clip(image, 0, 65535).astype(np.uint16)
