"""Pixels: one frame's picture, read once, in the form that stars are looked for in.

Raw mosaics and big frames are binned 2 x 2: each pixel then sees all colours, hot pixels fade, and a quarter of the
work is left. Compressed pictures are unpacked by astropy, which comes with the extra ``solve``.
"""

import gzip
import io
import math
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt

from nightferry.core.errors import Held, Misconfigured, TryAgain
from nightferry.formats.rewrite import Unit, read_unit
from nightferry.headers.dialects.header import Header

_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_TOPS = {"u1": 255.0, "i2": 32767.0}
#: Frames of this many pixels are binned even when no mosaic is told of.
BIG = 1 << 20
SMALLEST, MOST = 32, 1 << 28  # pixels: of a side, of a frame
_PLANES = 3


@dataclass(frozen=True)
class Picture:
    """A frame's picture: ``pixels`` is float32 (rows, columns), binned by ``bin``, without NaN; ``bad`` marks those.

    Values are means of the pixels that were binned. ``width`` and ``height`` are those of the frame itself,
    ``full`` is the value at which a pixel is full (0 when unknown).
    """

    unit: Unit
    pixels: npt.NDArray[np.float32]
    bad: npt.NDArray[np.bool_] | None
    bin: int
    width: int
    height: int
    full: float

    @cached_property
    def header(self) -> Header:
        """The header of the picture."""
        return Header(self.unit.cards)


def read_picture(path: Path) -> Picture:
    """Read a frame's picture. Raises `Held` for what is no picture, `TryAgain` when it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            if file.read(2) == b"\x1f\x8b":
                return _read_packed(path)
            file.seek(0)
            return _read(path, cast("BinaryIO", file))
    except FileNotFoundError as err:
        raise Held(f"{path}: there is no such file") from err
    except OSError as err:
        raise TryAgain(f"{path} cannot be read: {err}") from err


def _read_packed(path: Path) -> Picture:
    try:
        data = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError) as err:
        raise Held(f"{path.name}: not a whole gzip file: {err}") from err
    return _read(path, io.BytesIO(data))


def _read(path: Path, file: BinaryIO) -> Picture:
    """Find the first HDU that holds a picture."""
    number = 0
    while (unit := read_unit(file, number)) is not None:
        layout = unit.layout
        if layout.card("ZIMAGE") is True:
            return _unpacked(path, file, unit)
        table = layout.card("XTENSION") in {"BINTABLE", "TABLE", "A3DTABLE"}
        if layout.axes and not table and layout.length:
            return _picture(unit, _planes(unit, file))
        file.seek(layout.padded, os.SEEK_CUR)
        number += 1
    raise Held(f"{path.name}: no HDU holds a picture")


def _check_shape(axes: tuple[int, ...]) -> None:
    told = " x ".join(map(str, axes))
    while len(axes) > 2 and axes[-1] == 1:  # noqa: PLR2004 - a picture has two
        axes = axes[:-1]
    if len(axes) not in {2, 3} or (len(axes) == _PLANES and axes[2] != _PLANES):
        raise Held(f"{told} pixels: expected one plane, or three of colours")
    if min(axes[:2]) < SMALLEST:
        raise Held(f"{told} pixels: too small to hold enough stars; expected {SMALLEST} or more on each side")
    if math.prod(axes) > MOST:
        raise Held(f"{told} pixels: more than the {MOST:,} that are read at once")


def _planes(unit: Unit, file: BinaryIO) -> npt.NDArray[np.generic]:
    """Read the pixels as they are stored, in this machine's order of bytes; colours are added up."""
    axes = unit.layout.axes
    _check_shape(axes)
    count = math.prod(axes)
    kind = np.dtype(_TYPES[unit.layout.bitpix])
    raw = np.empty(count, kind)
    view = raw.view(np.uint8).data
    came = 0
    while came < len(view):
        got = file.readinto(view[came:])  # type: ignore[attr-defined]
        if not got:
            raise Held(f"the pixels end after {came:,} of {len(view):,} bytes: the file is truncated")
        came += got
    native: npt.NDArray[np.generic] = raw
    if sys.byteorder == "little" and kind.itemsize > 1:
        native = raw.byteswap(inplace=True).view(kind.newbyteorder("<"))
    shape = (axes[1], axes[0])
    if count == axes[0] * axes[1]:
        return native.reshape(shape)
    numbers = cast("npt.NDArray[np.float32]", native)  # whichever numbers they are: their mean is asked for as these
    total: npt.NDArray[np.generic] = numbers.reshape(_PLANES, *shape).mean(axis=0, dtype=np.float32)
    return total


def _unpacked(path: Path, file: BinaryIO, unit: Unit) -> Picture:
    """Have astropy unpack a compressed picture."""
    try:
        from astropy.io import fits  # noqa: PLC0415 - only who meets such a file needs it
    except ModuleNotFoundError as err:
        raise Misconfigured(f"{path.name} is compressed: pip install 'nightferry[solve]' unpacks it") from err
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd in its header was told when the frame arrived
        try:
            with fits.open(file) as hdus:
                data = np.asarray(hdus[unit.number].data)
        except (OSError, ValueError, TypeError, KeyError, IndexError, RuntimeError) as err:
            raise Held(f"{path.name}: its compressed picture cannot be unpacked: {err}") from err
    _check_shape(tuple(reversed(data.shape)))
    if data.ndim > 2:  # noqa: PLR2004 - planes of colours, or of one
        data = data.reshape(-1, *data.shape[-2:]).mean(axis=0, dtype=np.float32)
    return _picture(unit, data.astype(np.float32, copy=False), scaled=True)


def _picture(unit: Unit, stored: npt.NDArray[np.generic], *, scaled: bool = False) -> Picture:
    header = Header(unit.cards)
    height, width = stored.shape
    scale, zero = (1.0, 0.0) if scaled else (header.number("BSCALE") or 1.0, header.number("BZERO") or 0.0)
    full = 0.0
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:  # noqa: PLR2004 - 8 and 16 bits do fill up
        full = _TOPS[stored.dtype.str[1:]] * scale + zero
    step = 2 if min(height, width) >= 2 * SMALLEST and (header.value("BAYERPAT") or stored.size >= BIG) else 1
    pixels = _binned(stored, step)
    if scale != 1.0:
        pixels *= np.float32(scale)
    if zero:
        pixels += np.float32(zero)
    bad = None
    if stored.dtype.kind == "f":
        known = np.isfinite(pixels)
        if not known.all():
            bad = ~known
            if not known.any():
                raise Held("no pixel has a value: all are NaN")
            pixels[bad] = np.median(pixels[known])
    return Picture(unit, pixels, bad, step, width, height, full)


def _binned(stored: npt.NDArray[np.generic], step: int) -> npt.NDArray[np.float32]:
    """Average ``step`` x ``step`` pixels; a last odd row or column is left out."""
    if step == 1:
        return np.ascontiguousarray(stored, dtype=np.float32)
    height, width = (side // 2 * 2 for side in stored.shape)
    even = stored[:height, :width]
    wide = np.int32 if even.dtype.kind in "iu" and even.dtype.itemsize <= 2 else np.float32  # noqa: PLR2004 - 16 bits
    rows = np.add(even[0::2], even[1::2], dtype=wide, casting="unsafe")
    total: npt.NDArray[np.float32] = np.add(rows[:, 0::2], rows[:, 1::2], dtype=np.float32, casting="unsafe")
    total *= np.float32(0.25)
    return total
