"""The public series of index files that astrometry.net's people give away: what they are, and which a field needs.

The files of one scale hold quads of one size, and the next scale begins where it ends. Series 5200-LITE is made of
Tycho-2 and Gaia DR2 (scales 0 to 6, 48 files each), 4100 of Tycho-2 (7 to 19, a file each), 4200 of 2MASS (0 to 19).
Source: https://astrometry.net/doc/readme.html and https://data.astrometry.net.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nightferry.core.errors import Misconfigured
from nightferry.solving.indexes import LARGEST_SHARE

#: Arcminutes: where the quads of each scale begin, and those of the last one end.
_STEPS = (
    2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0, 22.0, 30.0, 42.0, 60.0, 85.0, 120.0, 170.0, 240.0, 340.0, 480.0, 680.0, 1000.0,
    1400.0, 2000.0,
)  # fmt: skip
_LAST = len(_STEPS) - 2
#: Gaia's index files end at scale 6, where Tycho-2's begin.
_FIRST_WIDE = 7


@dataclass(frozen=True, slots=True)
class Series:
    """A series: the folder that it is in, and into how many files each of its scales is cut."""

    name: str
    url: str
    number: int
    pieces: Mapping[int, int]

    def files(self, scale: int) -> list[str]:
        """List the files of a scale."""
        count = self.pieces[scale]
        stem = f"index-{self.number + scale}"
        return [f"{stem}.fits"] if count == 1 else [f"{stem}-{piece:02d}.fits" for piece in range(count)]


_LITE = "https://portal.nersc.gov/project/cosmo/temp/dstn/index-5200/LITE"
_DATA = "https://data.astrometry.net"
SERIES = {
    found.name: found
    for found in (
        Series("4100", f"{_DATA}/4100", 4100, dict.fromkeys(range(7, 20), 1)),
        Series(
            "4200",
            f"{_DATA}/4200",
            4200,
            {scale: 48 if scale < 5 else 12 if scale < 8 else 1 for scale in range(20)},  # noqa: PLR2004 - as they are
        ),
        Series("5200-LITE", _LITE, 5200, dict.fromkeys(range(7), 48)),
    )
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A file to fetch: its name, its address, and the smallest and largest quads (arcminutes) that it must hold."""

    name: str
    url: str
    low: float
    high: float


def quads_of(scale: int) -> tuple[float, float]:
    """Return the sizes of a scale's quads, in arcminutes."""
    return _STEPS[scale], _STEPS[scale + 1]


def scales_for(side: float) -> list[int]:
    """Choose the scales for fields of a smaller side in arcminutes: the coarsest that serves, and the next.

    Finer ones serve as well, and each is twice as large. Raises `Misconfigured` for fields too small for any.
    """
    serving = [scale for scale in range(_LAST + 1) if quads_of(scale)[0] / LARGEST_SHARE <= side]
    if not serving:
        raise Misconfigured(
            f"no public index file serves fields of {side:g} arcmin; from a catalogue one can be built: "
            "nightferry index build"
        )
    return [scale for scale in (serving[-1], serving[-1] + 1) if scale <= _LAST]


def wishes_for(scales: Sequence[int], series: str = "", source: str = "") -> list[Wish]:
    """List the files of scales; of the best series for each where none is named. ``source`` is another place of them.

    Raises `Misconfigured` for a series that does not exist or lacks a scale.
    """
    if series and series not in SERIES:
        raise Misconfigured(f"there is no series {series!r}: expected one of {', '.join(SERIES)}")
    wishes = []
    for scale in sorted(set(scales)):
        chosen = SERIES[series or ("5200-LITE" if scale < _FIRST_WIDE else "4100")]
        if scale not in chosen.pieces:
            first, last = min(chosen.pieces), max(chosen.pieces)
            raise Misconfigured(f"series {chosen.name} has scales {first} to {last}, and no {scale}")
        base = (source or chosen.url).rstrip("/")
        wishes += [Wish(name, f"{base}/{name}", *quads_of(scale)) for name in chosen.files(scale)]
    return wishes
