"""From pixels to the sky and back: the gnomonic projection with SIP, for solutions of TAN and TAN-SIP.

Sources: Calabretta & Greisen 2002, A&A 395, 1077 (TAN); Shupe et al. 2005, ASP Conf. 347, 491 (SIP).
"""

import math
from collections.abc import Mapping

import numpy as np

from nightferry.headers.canonical import Wcs
from nightferry.solving.arrays import Floats

_ROUNDS = 20  # of the search for the pixel behind a distortion; each gains two digits


def to_plane(ra: Floats, dec: Floats, crval: tuple[float, float]) -> tuple[Floats, Floats]:
    """Project positions on the plane that touches the sky at ``crval``; all in degrees. Behind it: NaN."""
    turn, height = np.radians(ra - crval[0]), np.radians(dec)
    sine, cosine = math.sin(math.radians(crval[1])), math.cos(math.radians(crval[1]))
    depth = sine * np.sin(height) + cosine * np.cos(height) * np.cos(turn)
    depth = np.where(depth > 0, depth, np.nan)
    east = np.cos(height) * np.sin(turn) / depth
    north = (cosine * np.sin(height) - sine * np.cos(height) * np.cos(turn)) / depth
    return np.degrees(east), np.degrees(north)


def from_plane(east: Floats, north: Floats, crval: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return the positions of points on the plane that touches the sky at ``crval``; all in degrees."""
    x, y = np.radians(east), np.radians(north)
    sine, cosine = math.sin(math.radians(crval[1])), math.cos(math.radians(crval[1]))
    below = cosine - y * sine
    ra = crval[0] + np.degrees(np.arctan2(x, below))
    dec = np.degrees(np.arctan2(sine + y * cosine, np.hypot(x, below)))
    return ra % 360.0, dec


def understood(wcs: Wcs) -> bool:
    """Whether a solution is one that is computed here: TAN or TAN-SIP, right ascension first, the usual pole."""
    plain = all(kind.endswith(("-TAN", "-TAN-SIP")) for kind in wcs.ctype) and wcs.ctype[0].startswith("RA")
    return plain and wcs.further.get("LONPOLE", 180.0) == 180.0 and wcs.scale > 0  # noqa: PLR2004 - the default of TAN


def sky_of(wcs: Wcs, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return where pixels (from 1) look, in degrees."""
    u, v = x - wcs.crpix[0], y - wcs.crpix[1]
    if (terms := _terms(wcs)) is not None:
        u, v = u + _polynomial(terms[0], u, v), v + _polynomial(terms[1], u, v)
    a, b, c, d = wcs.cd
    return from_plane(a * u + b * v, c * u + d * v, wcs.crval)


def pixels_of(wcs: Wcs, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
    """Return the pixels (from 1) of positions in degrees; NaN for those on the other half of the sky."""
    a, b, c, d = wcs.cd
    determinant = a * d - b * c
    east, north = to_plane(ra, dec, wcs.crval)
    straight_u = (d * east - b * north) / determinant
    straight_v = (a * north - c * east) / determinant
    u, v = straight_u, straight_v
    if (terms := _terms(wcs)) is not None:
        # far outside the frame a polynomial runs away; there the straight place is as good as any
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(_ROUNDS):
                du, dv = _polynomial(terms[0], u, v), _polynomial(terms[1], u, v)
                last, (u, v) = (u, v), (straight_u - du, straight_v - dv)
                moved = np.hypot(u - last[0], v - last[1])
                if not np.any(moved > 1e-7):  # noqa: PLR2004 - pixels, less than any star's place is known to
                    break
            lost = ~(np.hypot(u - straight_u, v - straight_v) < 0.2 * np.hypot(straight_u, straight_v) + 50)
        u, v = np.where(lost, straight_u, u), np.where(lost, straight_v, v)
    return u + wcs.crpix[0], v + wcs.crpix[1]


def centre_of(wcs: Wcs, width: int, height: int) -> tuple[float, float]:
    """Return where the middle of a frame looks, in degrees."""
    ra, dec = sky_of(wcs, np.array([(width + 1) / 2]), np.array([(height + 1) / 2]))
    return float(ra[0]), float(dec[0])


def rotation_of(wcs: Wcs) -> float:
    """Return the position angle of the +y axis in degrees, from north over east, -180 to 180."""
    return math.degrees(math.atan2(wcs.cd[1], wcs.cd[3]))


def mirrored(wcs: Wcs) -> bool:
    """Whether the frame shows the sky as in a mirror: east to the right when north is up."""
    return wcs.cd[0] * wcs.cd[3] - wcs.cd[1] * wcs.cd[2] > 0


def separation(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the angle between two positions; all in degrees."""
    (ra1, dec1), (ra2, dec2) = ((math.radians(ra), math.radians(dec)) for ra, dec in (one, other))
    across = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(across))))


_Polynomial = list[tuple[int, int, float]]


def _terms(wcs: Wcs) -> tuple[_Polynomial, _Polynomial] | None:
    """Read the SIP polynomials; None where there are none, or their order is not told."""
    if not wcs.ctype[0].endswith("-SIP"):
        return None
    return _read_polynomial(wcs.further, "A"), _read_polynomial(wcs.further, "B")


def _read_polynomial(further: Mapping[str, float], name: str) -> _Polynomial:
    order = int(further.get(f"{name}_ORDER", 0))
    powers = [(p, q) for p in range(order + 1) for q in range(order + 1 - p)]
    return [(p, q, value) for p, q in powers if (value := further.get(f"{name}_{p}_{q}", 0.0))]


def _polynomial(terms: _Polynomial, u: Floats, v: Floats) -> Floats:
    total = np.zeros_like(u)
    for p, q, value in terms:
        total += value * u**p * v**q
    return total
