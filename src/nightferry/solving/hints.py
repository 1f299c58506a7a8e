"""Hints: what header, settings and an earlier frame say of a frame's place and scale."""

import math
from dataclasses import dataclass, replace

from nightferry.core.errors import Held
from nightferry.headers.canonical import Canonical
from nightferry.headers.dialects import detect, load_dialect, load_dialects, translate
from nightferry.headers.dialects.header import Header
from nightferry.solving.model import LOOSE, TIGHT, Hints, Settings

_ARCSEC = 206.26480624709636  # of a micrometre seen from a millimetre
#: Scales that a header tells as they are, in arcseconds per pixel; SECPIX is IRAF's, PIXSCALE and SCALE are usual.
_SCALES = ("SECPIX", "SECPIX1", "PIXSCALE", "PIXSCAL1", "SCALE")
_POLE = 90.0


@dataclass(frozen=True, slots=True)
class Told:
    """A header, understood as far as it can be: the canonical fields, what it says of place and scale."""

    canonical: Canonical
    hints: Hints
    instrument: str


def read_hints(header: Header, settings: Settings, name: str, size: tuple[int, int]) -> Told:
    """Read a header by its dialect, or by the cards that most programs share where nobody knows it."""
    try:
        dialect = (
            load_dialect(settings.dialect, settings.dialects)
            if settings.dialect
            else detect(header, load_dialects(settings.dialects))
        )
    except Held:
        dialect = load_dialect("generic", settings.dialects)
    canonical = translate(header, dialect, name).canonical
    hints = Hints(radius=settings.radius)
    place = settings.near or _place(canonical)
    if place is not None:
        hints = replace(hints, ra=place[0], dec=place[1])
    scale = header_scale(header, canonical)
    if scale is not None and (settings.scales is None or _within(scale, settings.scales)):
        hints = replace(hints, scale=scale, scales=(scale * (1 - LOOSE), scale * (1 + LOOSE)))
    elif settings.scales is not None:
        hints = replace(hints, scales=settings.scales)
    return Told(canonical, _with_earlier(hints, settings.earlier), _instrument(canonical, dialect.id, size))


def _within(scale: float, limits: tuple[float, float]) -> bool:
    return limits[0] * (1 - LOOSE) <= scale <= limits[1] * (1 + LOOSE)


def _with_earlier(hints: Hints, earlier: Hints | None) -> Hints:
    """Fill what the header does not tell with what an earlier frame taught; its scale is a measured one."""
    if earlier is None:
        return hints
    if hints.ra is None:
        hints = replace(hints, ra=earlier.ra, dec=earlier.dec)
    if hints.scale is None and earlier.scale is not None:
        scale = earlier.scale
        hints = replace(hints, scale=scale, scales=(scale * (1 - LOOSE), scale * (1 + LOOSE)), tolerance=TIGHT)
    return hints


def _place(canonical: Canonical) -> tuple[float, float] | None:
    """Return the pointing in degrees, or where an earlier solution looks; None for none, or one off the sphere."""
    for ra, dec in ((canonical.ra, canonical.dec), canonical.wcs.crval if canonical.wcs else (None, None)):
        if ra is not None and dec is not None and math.isfinite(ra + dec) and abs(dec) <= _POLE:
            return ra % 360.0, dec
    return None


def header_scale(header: Header, canonical: Canonical) -> float | None:
    """Return the pixel scale in arcseconds: told as it is, from pixel size and focal length, from a solution."""
    told = [header.number(key) for key in _SCALES]
    focal = header.number("FOCALLEN") or header.number("FOCAL")
    if canonical.pix_um and focal and focal > 0:
        told.append(canonical.pix_um / focal * _ARCSEC)
    if canonical.wcs is not None:
        told.append(canonical.wcs.scale)
    return next((scale for scale in told if scale and 0.001 < scale < 3600), None)  # noqa: PLR2004 - arcsec


def _instrument(canonical: Canonical, dialect: str, size: tuple[int, int]) -> str:
    """Name what distorts alike: the camera behind its telescope, at one size of picture."""
    parts = (dialect, canonical.telescope_raw, canonical.instrument_raw, f"{size[0]}x{size[1]}")
    return " ".join(part.strip() for part in parts if part)
