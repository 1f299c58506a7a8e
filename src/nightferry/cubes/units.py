"""Units of columns: what the comment of a keyword says in brackets, where FITS knows it (FITS 4.0, section 4.3)."""

import re

_BRACKETS = re.compile(r"\[([^\]]{1,24})\]")
#: Units of FITS 4.0, tables 3 and 4, that take the prefixes of table 5, and those that take none.
_PREFIXED = "m|g|s|rad|sr|K|A|mol|cd|Hz|J|W|V|N|Pa|Ohm|S|Wb|H|lm|lx|a|yr|pc|eV|Jy|mag|R|bit|byte|G|T|barn"
_PLAIN = (
    "deg|arcmin|arcsec|mas|min|h|d|erg|Ry|solMass|u|solLum|solRad|Angstrom|AU|lyr|count|ct|photon|ph|pixel|pix|D|Sun"
    "|chan|bin|voxel|adu|beam"
)
_PREFIX = "da|[dcmunpfazyhkMGTPEZY]"
_UNIT = f"(?:{_PLAIN}|(?:{_PREFIX})?(?:{_PREFIXED}))"
_TERM = rf"{_UNIT}(?:(?:\*\*|\^)?[+-]?[1-9])?"
_FITS_UNIT = re.compile(rf"{_TERM}(?:[ .*/]{_TERM})*")
#: Words that programs use for units, as FITS writes them.
_WORDS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "minute": "min", "minutes": "min", "hour": "h",
    "hours": "h", "day": "d", "days": "d", "degree": "deg", "degrees": "deg", "arcseconds": "arcsec",
    "arcminutes": "arcmin", "ADU": "adu", "pixels": "pixel", "counts": "count", "meter": "m", "meters": "m",
    "metres": "m", "micron": "um", "microns": "um", "kelvin": "K", "Kelvin": "K", "volts": "V", "Volts": "V",
}  # fmt: skip


def unit_of(comment: str) -> str:
    """Return the unit that a comment begins with in brackets, as FITS writes it; empty for what is none of FITS.

    Degrees Celsius have no unit in FITS, and ``C`` there is coulomb, ``F`` farad, which no camera means: temperatures
    in these have none, and the comment tells.
    """
    found = _BRACKETS.match(comment)
    if found is None:
        return ""
    said = found[1].split(",")[0].strip()
    unit = _WORDS.get(said, said)
    return unit if _FITS_UNIT.fullmatch(unit) else ""
