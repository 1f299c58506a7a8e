"""Quantities with units, as the configuration writes them; seconds, bytes and degrees inside."""

import re
from collections.abc import Mapping
from datetime import time
from typing import Annotated

from pydantic import BeforeValidator

_QUANTITY = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*([A-Za-z%/]*)\s*")
_HOUR = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")
_SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


def _read(value: object, units: Mapping[str, float], example: str) -> float:
    if isinstance(value, str) and (found := _QUANTITY.fullmatch(value)) and found[2] in units:
        return float(found[1]) * units[found[2]]
    raise ValueError(f"expected a quantity with its unit, such as {example!r} ({', '.join(units)}), found {value!r}")


def seconds(value: object) -> float:
    """Read a duration such as ``60 s`` or ``7 d``."""
    found = _read(value, _SECONDS, "60 s")
    if found < 0:
        raise ValueError(f"a duration cannot be negative, found {value!r}")
    return found


def size_bytes(value: object) -> int:
    """Read a size such as ``5 GB``."""
    found = int(_read(value, _BYTES, "5 GB"))
    if found < 0:
        raise ValueError(f"a size cannot be negative, found {value!r}")
    return found


def rate(value: object) -> float | None:
    """Read a speed such as ``20 MB/s``; bytes a second inside, and None for ``none``: any speed."""
    if value == "none":
        return None
    found = _read(value, {f"{unit}/s": factor for unit, factor in _BYTES.items()}, "20 MB/s")
    if found <= 0:
        raise ValueError(f"a speed must be positive, or 'none' for any, found {value!r}")
    return found


def hour(value: object) -> time:
    """Read a time of the day such as ``20:00``."""
    if isinstance(value, str) and _HOUR.fullmatch(value):
        return time.fromisoformat(value)
    raise ValueError(f"expected a time of the day such as '20:00', found {value!r}")


def _degrees(value: object, limit: float) -> float:
    found = _read(value, {"deg": 1}, "70.39 deg")
    if abs(found) > limit:
        raise ValueError(f"expected an angle between -{limit} deg and {limit} deg, found {value!r}")
    return found


def arcminutes(value: object) -> float:
    """Read an angle on the sky such as ``54 arcmin``; arcminutes inside."""
    return _positive(_read(value, {"deg": 60, "arcmin": 1, "arcsec": 1 / 60}, "54 arcmin"), value)


def arcseconds(value: object) -> float:
    """Read a pixel's angle on the sky such as ``0.35 arcsec``."""
    return _positive(_read(value, {"arcmin": 60, "arcsec": 1}, "0.35 arcsec"), value)


def degrees(value: object) -> float:
    """Read a radius on the sky such as ``5 deg``."""
    return _positive(_degrees(value, 180), value)


def _positive(found: float, value: object) -> float:
    if found <= 0:
        raise ValueError(f"expected more than 0, found {value!r}")
    return found


def metres(value: object) -> float:
    """Read a height such as ``2482 m``."""
    return _read(value, {"m": 1, "km": 1000}, "2482 m")


def percent(value: object) -> float:
    """Read a share such as ``5%``; a fraction inside."""
    found = _read(value, {"%": 0.01}, "5%")
    if not 0 < found <= 1:
        raise ValueError(f"expected more than 0% and at most 100%, found {value!r}")
    return found


Rate = Annotated[float | None, BeforeValidator(rate)]
Hour = Annotated[time, BeforeValidator(hour)]
Duration = Annotated[float, BeforeValidator(seconds)]
Share = Annotated[float, BeforeValidator(percent)]
Size = Annotated[int, BeforeValidator(size_bytes)]
Latitude = Annotated[float, BeforeValidator(lambda value: _degrees(value, 90))]
Longitude = Annotated[float, BeforeValidator(lambda value: _degrees(value, 360))]
Radius = Annotated[float, BeforeValidator(degrees)]
FieldSide = Annotated[float, BeforeValidator(arcminutes)]
PixelScale = Annotated[float, BeforeValidator(arcseconds)]
Height = Annotated[float, BeforeValidator(metres)]
