"""Units that a dialect may declare for a header's values, and how each becomes the canonical one.

Nothing is guessed from the looks of a value: ``[deg]`` takes numbers, ``[hms]`` and ``[dms]`` take sexagesimal text,
and a value of the other kind is refused.
"""

import re
from collections.abc import Callable, Mapping

from nightferry.formats.cards import Value
from nightferry.headers.dialects.header import as_number

_SEXAGESIMAL = re.compile(
    r"(?P<sign>[+-])?\s*(?P<whole>\d{1,3})[\s:hd°]+(?P<minutes>\d{1,2}(?:\.\d*)?)"
    r"(?:[\s:m']+(?P<seconds>\d{1,2}(?:\.\d*)?)?)?\s*[s\"]?"
)
_SIXTY = 60


def sexagesimal(value: Value) -> float:
    """Read ``-31 16 24``, ``18:20:48.12`` or ``05 14``; raise `ValueError` for all else, plain numbers included."""
    found = _SEXAGESIMAL.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("sexagesimal text such as '-31 16 24'")
    minutes, seconds = float(found["minutes"]), float(found["seconds"] or 0)
    if minutes >= _SIXTY or seconds >= _SIXTY:
        raise ValueError("minutes and seconds below 60")
    size = int(found["whole"]) + minutes / 60 + seconds / 3600
    return -size if found["sign"] == "-" else size  # the sign counts even before a whole 00


def _plain(factor: float) -> Callable[[Value], float]:
    def read(value: Value) -> float:
        number = as_number(value)
        if number is None:
            raise ValueError("a number")
        return number * factor if factor != 1 else number

    return read


#: What each unit does to a value; the canonical unit of a field is the first in its row of `UNITS_OF`.
READERS: Mapping[str, Callable[[Value], float]] = {
    "": _plain(1),
    "deg": _plain(1),
    "h": _plain(15),
    "hms": lambda value: sexagesimal(value) * 15,
    "dms": sexagesimal,
    "s": _plain(1),
    "ms": lambda value: _plain(1)(value) / 1000,
    "us": lambda value: _plain(1)(value) / 1_000_000,
    "min": _plain(60),
    "C": _plain(1),
    "um": _plain(1),
    "m": _plain(1),
    "%": _plain(1),
    "hPa": _plain(1),
    "m/s": _plain(1),
    "km/h": lambda value: _plain(1)(value) / 3.6,
    "yr": _plain(1),
}

_ANGLE, _RIGHT_ASCENSION = ("deg", "dms"), ("deg", "h", "hms")
#: The units that make sense for a field; a field that is not here has none.
UNITS_OF: Mapping[str, tuple[str, ...]] = {
    "exptime": ("s", "ms", "us", "min"),
    "ra": _RIGHT_ASCENSION,
    "dec": _ANGLE,
    "alt": _ANGLE,
    "az": _ANGLE,
    "site_lat": _ANGLE,
    "site_lon": _ANGLE,
    "site_elev": ("m",),
    "ccd_temp": ("C",),
    "set_temp": ("C",),
    "ambient_temp": ("C",),
    "dew_point": ("C",),
    "humidity": ("%",),
    "pressure": ("hPa",),
    "wind_speed": ("m/s", "km/h"),
    "pix_um": ("um",),
    "equinox": ("yr",),
}
