"""Distortion: by how much an instrument's picture departs from the plane, as SIP writes it.

In pixels from the middle of the frame, divided by half its diagonal, a warp adds a polynomial of second and third
order to each coordinate. A radial one is that of an ideal lens: both coordinates grow by ``k r^2``. Terms of first
order and none belong to the matrix and the place.
"""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nightferry.solving.arrays import Floats

#: Powers of x and y, in the order of a warp's coefficients.
POWERS = ((2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
_INVERSE_ORDER = 5
_GRID = 17  # points along each side on which the way back is fitted

Places = tuple[Floats, Floats, Floats, Floats]
Kind = Literal["none", "radial", "cubic", "learnt"]
#: Parameters of each kind, beside the six of matrix and place. What a night taught costs a frame nothing.
FREEDOM: dict[Kind, int] = {"none": 0, "radial": 1, "cubic": 14, "learnt": 0}


@dataclass(frozen=True, slots=True)
class Warp:
    """The coefficients for x and for y, and half the diagonal of the frame in pixels."""

    kind: Kind
    norm: float
    a: tuple[float, ...] = (0.0,) * len(POWERS)
    b: tuple[float, ...] = (0.0,) * len(POWERS)

    def apply(self, u: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Straighten: from a place in the frame to that in the plane, both in units of ``norm`` from the middle."""
        if self.kind == "none":
            return u, v
        terms = powers(u, v)
        return u + terms @ np.array(self.a), v + terms @ np.array(self.b)

    def cards(self) -> dict[str, float]:
        """Write as SIP (Shupe et al. 2005), without the way back."""
        if self.kind == "none":
            return {}
        found: dict[str, float] = {"A_ORDER": 3.0, "B_ORDER": 3.0}
        for name, values in (("A", self.a), ("B", self.b)):
            for (p, q), value in zip(POWERS, values, strict=True):
                found[f"{name}_{p}_{q}"] = value * self.norm ** (1 - p - q)
        return found

    def inverse(self) -> dict[str, float]:
        """Write the way back: polynomials fitted over the whole frame and a little more."""
        if self.kind == "none":
            return {}
        side = np.linspace(-1.02, 1.02, _GRID)
        u, v = (axis.ravel() for axis in np.meshgrid(side, side))
        x, y = self.apply(u, v)
        every = [(p, q) for p in range(_INVERSE_ORDER + 1) for q in range(_INVERSE_ORDER + 1 - p) if p + q]
        terms = np.stack([x**p * y**q for p, q in every], axis=1)
        back, *_ = np.linalg.lstsq(terms, np.stack([u - x, v - y], axis=1), rcond=None)
        found: dict[str, float] = {"AP_ORDER": float(_INVERSE_ORDER), "BP_ORDER": float(_INVERSE_ORDER)}
        for (p, q), (one, other) in zip(every, back.tolist(), strict=True):
            found[f"AP_{p}_{q}"] = one * self.norm ** (1 - p - q)
            found[f"BP_{p}_{q}"] = other * self.norm ** (1 - p - q)
        return found

    def text(self) -> str:
        """Write for keeping."""
        return json.dumps({"kind": self.kind, "norm": self.norm, "a": self.a, "b": self.b})


def read_warp(text: str) -> Warp | None:
    """Read what `Warp.text` wrote; None for anything else, for a warp can be learnt again."""
    try:
        told = json.loads(text)
        a, b = (tuple(float(value) for value in told[name]) for name in "ab")
        norm = float(told["norm"])
    except (ValueError, KeyError, TypeError):
        return None
    if len(a) != len(POWERS) or len(b) != len(POWERS) or not np.isfinite([*a, *b, norm]).all() or norm <= 0:
        return None
    return Warp("learnt", norm, a, b)


def powers(u: Floats, v: Floats) -> Floats:
    """Stack the terms of a warp: (n, 7)."""
    uu, uv, vv = u * u, u * v, v * v
    return np.stack([uu, uv, vv, uu * u, uu * v, u * vv, vv * v], axis=1)


def estimate(kind: Kind, places: Places, norm: float) -> Warp:
    """Fit a warp of a kind between places in the frame (u, v) and in the plane (x, y); all in units of ``norm``."""
    if kind == "none":
        return Warp("none", norm)
    u, v, x, y = places
    one = np.ones_like(u)
    if kind == "radial":
        zero, square = np.zeros_like(u), u * u + v * v
        across = np.stack([one, u, v, zero, zero, zero, square * u], axis=1)
        along = np.stack([zero, zero, zero, one, u, v, square * v], axis=1)
        found, *_ = np.linalg.lstsq(np.concatenate([across, along]), np.concatenate([x - u, y - v]), rcond=None)
        k = float(found[6])
        return Warp("radial", norm, (0, 0, 0, k, 0, k, 0), (0, 0, 0, 0, k, 0, k))
    terms = np.concatenate([np.stack([one, u, v], axis=1), powers(u, v)], axis=1)
    both, *_ = np.linalg.lstsq(terms, np.stack([x - u, y - v], axis=1), rcond=None)
    return Warp(kind, norm, tuple(both[3:, 0].tolist()), tuple(both[3:, 1].tolist()))
