"""Reading a celestial solution in any of the forms that programs write, into one CD matrix.

Source: FITS 4.0, section 8; Greisen & Calabretta 2002, A&A 395, 1061; Calabretta & Greisen 2002, A&A 395, 1077 for
CROTA (its section 6.1). Where CDi_j stand, CDELT and CROTA beside them are ignored, as the standard allows.
"""

import math
import re

from nightferry.headers.canonical import Finding, Severity, Wcs
from nightferry.headers.dialects.header import Header

_CELESTIAL = re.compile(r"(RA-|DEC).*-(TAN|SIN|ZEA|ARC|STG|TPV|TAN-SIP|ZPN|CAR|AIT|GNO)")
#: What belongs to a solution beside its matrix and is carried as it is.
FURTHER = re.compile(r"(A|B|AP|BP)_(ORDER|\d+_\d+)|[AB]_DMAX|PV\d_\d+|LONPOLE|LATPOLE")


def read_wcs(header: Header) -> tuple[Wcs | None, list[Finding]]:
    """Read the solution of a header; None where there is none, with findings where one is broken."""
    kinds = header.value("CTYPE1"), header.value("CTYPE2")
    if not all(isinstance(kind, str) and _CELESTIAL.match(kind) for kind in kinds):
        return None, []
    places = [header.number(key) for key in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")]
    if None in places:
        return None, [_broken("CRVAL1", "a solution without CRPIX or CRVAL", "both, as numbers")]
    for axis in "12":
        unit = header.value(f"CUNIT{axis}")
        if unit is not None and str(unit).strip().lower() not in {"deg", "degree", "degrees"}:
            return None, [_broken(f"CUNIT{axis}", str(unit), "deg")]
    matrix, findings = _matrix(header)
    if matrix is None:
        return None, findings
    x, y, ra, dec = (place or 0.0 for place in places)
    further = {
        key: number for key in header.first if FURTHER.fullmatch(key) and (number := header.number(key)) is not None
    }
    ctype = str(kinds[0]).strip(), str(kinds[1]).strip()
    return Wcs(ctype, (x, y), (ra, dec), matrix, further), findings


def _matrix(header: Header) -> tuple[tuple[float, float, float, float] | None, list[Finding]]:
    """Make the CD matrix of whatever stands there: CDi_j, PCi_j with CDELTi, CDELTi with CROTAi."""
    cd = [header.number(f"CD{i}_{j}") for i in "12" for j in "12"]
    pc = [header.number(f"PC{i}_{j}") for i in "12" for j in "12"]
    cdelt = [header.number("CDELT1"), header.number("CDELT2")]
    both = [Finding("V10", Severity.WARNING, "PC1_1", "PCi_j beside CDi_j", "one of them; CDi_j is taken")]
    if any(number is not None for number in cd):
        a, b, c, d = (number or 0.0 for number in cd)
        return (a, b, c, d), both if any(number is not None for number in pc) else []
    one, two = (1.0 if number is None else number for number in cdelt)
    if any(number is not None for number in pc):
        a, b, c, d = (
            default if number is None else number for number, default in zip(pc, (1.0, 0.0, 0.0, 1.0), strict=True)
        )
        return (one * a, one * b, two * c, two * d), []
    if None in cdelt:
        return None, [_broken("CDELT1", "a solution without CDi_j, PCi_j or CDELTi", "a pixel scale")]
    turn = math.radians(header.number("CROTA2") or header.number("CROTA1") or 0.0)
    return (
        one * math.cos(turn),
        -two * math.sin(turn),
        one * math.sin(turn),
        two * math.cos(turn),
    ), []


def _broken(keyword: str, got: str, expected: str) -> Finding:
    return Finding("V12", Severity.WARNING, keyword, got, expected)
