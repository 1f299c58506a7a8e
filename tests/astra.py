"""Frames as Astra, the control software of SPECULOOS, writes them: made up, small, and wrong on request."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np

from nightferry.testing.encode import Card, fits_data, fits_header

START = datetime(2026, 2, 23, 1, 2, 3, 456789, tzinfo=UTC)
_TYPES = {"light": "Light Frame", "bias": "Bias Frame", "dark": "Dark Frame", "flat": "Flat Frame"}


def astra_cards(
    kind: str = "light", *, number: int = 0, start: datetime = START, exptime: float = 10.0, solved: bool = True,
    size: tuple[int, int] = (64, 48),
) -> dict[str, Card]:  # fmt: skip
    """Make the cards of a frame (without SIMPLE to NAXIS2), by keyword; frames follow each other every 13 s."""
    begin = start + timedelta(seconds=13 * number)
    light = kind == "light"
    cards: list[Card] = [
        ("EXTEND", True, ""),
        ("BZERO", 32768, "offset data range to that of unsigned short"),
        ("BSCALE", 1, "default scaling factor"),
        ("BUNIT", "ADU", "Physical unit of array values"),
        ("TELESCOP", "SPECULOOS-CALLISTO" if light else "", "Telescope"),
        ("INSTRUME", "Andor iKon-L", "Instrument used"),
        ("OBSERVER", "Astra", "Name of the observer"),
        ("OBJECT", "Sp2306-0502" if light else kind.capitalize(), "Target as given by the user"),
        ("RADECSYS", "FK5", "Reference system"),
        ("EQUINOX", 2000.0, "Catalog equinox of the object coords"),
        ("EPOCH", 2000.0, ""),
        ("DATE-OBS", begin.strftime("%Y-%m-%dT%H:%M:%S.%f"), "[ISO 8601] UTC at start of exposure"),
        ("DATE", (begin + timedelta(seconds=exptime + 2)).strftime("%Y-%m-%dT%H:%M:%S.%f"), "when written"),
        ("EXPTIME", exptime if kind != "bias" else 0.0, "[s] Exposure time"),
        ("LST", 1234.5, "[s] Local Sidereal Time at start"),
        ("ST", 1.2, "Sidereal time"),
        ("XBINNING", 1, ""),
        ("YBINNING", 1, ""),
        ("CCD-TEMP", -60.01, "[Celsius] CCD temperature at start"),
        ("FILTER", "I+z", "Filter name"),
        ("FOCUSPOS", 15230.25, "[mm] Focuser position"),
        ("LAT-OBS", -24.61596, "[deg +N WGS84] Geodetic latitude"),
        ("LONG-OBS", -70.3903, "[deg +E WGS84] Geodetic longitude"),
        ("ALT-OBS", 2482.0, "[m] Altitude above mean sea level"),
        ("IMAGETYP", _TYPES.get(kind, kind), "Type of image"),
        ("SWOWNER", "Observatory", "Licensed owner of software"),
        ("ASTRA", "0.9.1", "Version of the control software"),
    ]
    if light:
        cards += [("RA", 346.6223641, "[deg]"), ("DEC", -5.0413927, "[deg]"), ("AIRMASS", 1.14, "")]
    if light and solved:
        cards += _solution(size)
    return {card[0]: card for card in cards}


def _solution(size: tuple[int, int]) -> list[Card]:
    scale = 0.35 / 3600
    return [
        ("CTYPE1", "RA---TAN", ""), ("CTYPE2", "DEC--TAN", ""), ("CUNIT1", "deg", ""), ("CUNIT2", "deg", ""),
        ("CRPIX1", (size[0] + 1) / 2, ""), ("CRPIX2", (size[1] + 1) / 2, ""),
        ("CRVAL1", 346.6223641, ""), ("CRVAL2", -5.0413927, ""), ("CDELT1", -scale, ""), ("CDELT2", scale, ""),
        ("PC1_1", 1.0, ""), ("PC1_2", 0.0, ""), ("PC2_1", 0.0, ""), ("PC2_2", 1.0, ""), ("WCSAXES", 2, ""),
        ("PLTSOLVD", True, "Plate has been solved"),
    ]  # fmt: skip


def astra_frame(
    kind: str = "light",
    *,
    number: int = 0,
    changed: Mapping[str, bool | float | str | None] | None = None,
    size: tuple[int, int] = (64, 48),
    start: datetime = START,
    exptime: float = 10.0,
    solved: bool = True,
) -> bytes:
    """Make a whole file; ``changed`` sets cards to other values, or takes them out (None). Pixels follow ``number``."""
    cards = astra_cards(kind, number=number, start=start, exptime=exptime, solved=solved, size=size)
    for key, value in (changed or {}).items():
        if value is None:
            cards.pop(key, None)
        else:
            cards[key] = (key, value, cards[key][2] if key in cards else "")
    structure: list[Card] = [
        ("SIMPLE", True, ""), ("BITPIX", 16, ""), ("NAXIS", 2, ""), ("NAXIS1", size[0], ""), ("NAXIS2", size[1], ""),
    ]  # fmt: skip
    rng = np.random.default_rng(number)
    pixels = rng.integers(900, 1100, size=(size[1], size[0]), dtype=np.uint16)
    return fits_header([*structure, *cards.values()]) + fits_data(pixels)
