"""Rules about the sky: V08 to V13, V42, V44, V45, V46."""

import math
import re
from collections.abc import Iterator

from nightferry.headers.canonical import Finding, ImageType, Severity
from nightferry.headers.rules.subject import Subject, found

ERROR, WARNING = Severity.ERROR, Severity.WARNING
_WCS = re.compile(
    r"(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA)(\d+)|(PC|CD)(\d+)_(\d+)|(PV|PS)(\d+)_\d+|LONPOLE|LATPOLE|RADESYS|EQUINOX|WCSNAME|(A|B|AP|BP)_.*"
)
_OLD_FORM = re.compile(r"CDELT\d+|CROTA\d+|PC\d+_\d+")
_INITIALS = frozenset("ABCELPRW")
_LONGITUDE = 0.01


def v08_pointing(subject: Subject) -> Iterator[Finding]:
    """Ask for a pointing on the sphere; science frames have one."""
    ra, dec = subject.header.number("RA"), subject.header.number("DEC")
    if ra is not None and not 0 <= ra < 360:  # noqa: PLR2004 - a circle
        yield found("V08", ERROR, "RA", ra, "0 to 360 deg")
    if dec is not None and abs(dec) > 90:  # noqa: PLR2004 - a pole
        yield found("V08", ERROR, "DEC", dec, "-90 to 90 deg")
    if subject.image_type is ImageType.SCIENCE and subject.profile.layout == "table" and (ra is None or dec is None):
        yield found("V08", ERROR, "RA", None, "the pointing of a science frame")


def v09_frame(subject: Subject) -> Iterator[Finding]:
    """Ask for ICRS, or FK5 of 2000."""
    frame, equinox = subject.header.value("RADESYS"), subject.header.number("EQUINOX")
    if frame is None:
        return
    if frame not in {"ICRS", "FK5"}:
        yield found("V09", ERROR, "RADESYS", frame, "ICRS or FK5")
    elif frame == "FK5" and equinox != 2000.0:  # noqa: PLR2004 - J2000
        yield found("V09", ERROR, "EQUINOX", equinox, "2000.0 with FK5")


def v10_one_matrix(subject: Subject) -> Iterator[Finding]:
    """Ask for PCi_j or CDi_j, never both in one header (FITS 4.0, section 8.2)."""
    for hdu in subject.hdus:
        keys = hdu.header.first
        if any(re.fullmatch(r"PC\d_\d", key) for key in keys) and any(re.fullmatch(r"CD\d_\d", key) for key in keys):
            yield found("V10", ERROR, "PC1_1", "PCi_j beside CDi_j", f"one of them in {hdu.name}")


def v11_axes(subject: Subject) -> Iterator[Finding]:
    """Ask for WCSAXES before every other card of coordinates, and as many as these need."""
    for hdu in subject.hdus:
        axes, seen = hdu.header.value("WCSAXES"), ""
        most = 0
        for card in hdu.header.cards:
            if card.keyword[:1] not in _INITIALS:
                continue
            if card.keyword == "WCSAXES" and seen:
                yield found("V11", ERROR, "WCSAXES", f"after {seen}", "before every other card of coordinates")
            if matched := _WCS.fullmatch(card.keyword):
                seen = seen or card.keyword
                numbers = [int(text) for text in (matched[2], matched[4], matched[5]) if text]
                most = max([most, *numbers])
        if isinstance(axes, int) and most > axes:
            yield found("V11", ERROR, "WCSAXES", axes, f"{most} axes, as many as the cards speak of")


def v12_scale(subject: Subject) -> Iterator[Finding]:
    """Ask for a pixel scale that the telescope can have, from a matrix that can be inverted."""
    wcs, findings = subject.solution
    for finding in findings:
        if finding.rule == "V12":
            yield found("V12", ERROR, finding.keyword, finding.got, finding.expected)
    if wcs is None:
        return
    smallest, largest = subject.context.scales
    if wcs.scale == 0:
        yield found("V12", ERROR, "CD1_1", "a matrix without an inverse", "a pixel scale")
    elif not smallest <= wcs.scale <= largest:
        yield found("V12", ERROR, "CD1_1", f"{wcs.scale:.4g} arcsec/pixel", f"{smallest:g} to {largest:g}")


def v13_one_form(subject: Subject) -> Iterator[Finding]:
    """Ask for the matrix as CDi_j alone."""
    for key in subject.header.first:
        if _OLD_FORM.fullmatch(key) and (subject.profile.layout == "table" or subject.solution[0] is not None):
            yield found("V13", ERROR, key, subject.header.value(key), "CDi_j alone")


def v42_separation(subject: Subject) -> Iterator[Finding]:
    """Ask for the solution where the telescope pointed, to a field's diagonal."""
    wcs, _ = subject.solution
    ra, dec = subject.header.number("RA"), subject.header.number("DEC")
    sides = [side for axis in "12" if isinstance(side := subject.header.value(f"NAXIS{axis}"), int)]
    if wcs is None or ra is None or dec is None or len(sides) != 2 or wcs.scale == 0:  # noqa: PLR2004 - a picture
        return
    apart, field = _separation(ra, dec, *wcs.crval), math.hypot(*sides) * wcs.scale / 3600
    if apart > field:
        yield found("V42", WARNING, "CRVAL1", f"{apart:.3f} deg from RA, DEC", f"within the field of {field:.3f} deg")


def _separation(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    """Return the angle between two directions; all in degrees (haversine formula)."""
    a, b, c, d = (math.radians(angle) for angle in (ra, dec, other_ra, other_dec))
    half = math.sin((d - b) / 2) ** 2 + math.cos(b) * math.cos(d) * math.sin((c - a) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


def v44_longitude(subject: Subject) -> Iterator[Finding]:
    """Ask for the header's longitude is the site's."""
    if subject.context.site is None:
        return
    for key in ("LONG-OBS", "SITELONG"):
        told = subject.header.number(key)
        if told is not None and abs((told - subject.context.site.longitude + 180) % 360 - 180) > _LONGITUDE:
            yield found("V44", WARNING, key, told, f"{subject.context.site.longitude} deg, the configured site's")


def v45_solved(subject: Subject) -> Iterator[Finding]:
    """Ask for a science frame has a solution."""
    if subject.image_type is ImageType.SCIENCE and subject.solution[0] is None:
        yield found("V45", WARNING, "CTYPE1", subject.header.value("CTYPE1"), "RA---TAN: the frame is not solved")


def v46_deprecated(subject: Subject) -> Iterator[Finding]:
    """Ask for no keyword that the standard has given up."""
    for key, better in (("RADECSYS", "RADESYS"), ("EPOCH", "EQUINOX")):
        if key in subject.header.first:
            yield found("V46", WARNING, key, subject.header.value(key), better)
    if "EXPOSURE" in subject.header.first and "EXPTIME" not in subject.header.first:
        yield found("V46", WARNING, "EXPOSURE", subject.header.value("EXPOSURE"), "EXPTIME")
