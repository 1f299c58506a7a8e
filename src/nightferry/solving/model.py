"""The values of plate solving: stars, hints, an engine's guess, a solution, and the protocol of engines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from nightferry.core.context import Site
from nightferry.core.frame import Fact
from nightferry.headers.canonical import Wcs
from nightferry.solving.arrays import Floats

#: How far from its hint a frame is looked for, in degrees; a wider circle finds no fewer frames.
RADIUS = 5.0
#: How far a scale from a header may be off: focal lengths are nominal.
LOOSE, TIGHT = 0.10, 0.05
#: Seconds that a frame may take before its worker is ended.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Stars:
    """The stars of a frame, brightest first: ``x`` and ``y`` in pixels as FITS counts them (the first is 1)."""

    x: Floats
    y: Floats
    flux: Floats
    width: int
    height: int

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.x.size)


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known before solving: the place in degrees, and the limits of the scale in arcseconds per pixel.

    ``scale`` is the one that is expected, and ``tolerance`` how far a solution's may be from it, as a fraction.
    """

    ra: float | None = None
    dec: float | None = None
    radius: float = RADIUS
    scales: tuple[float, float] | None = None
    scale: float | None = None
    tolerance: float = LOOSE


@dataclass(frozen=True, slots=True)
class Guess:
    """What an engine found: a first solution that is good to a few pixels, and the index file that it came from."""

    wcs: Wcs
    index: str


class Engine(Protocol):
    """Finds out where a list of stars is in the sky. It needs to be neither exact nor always right: a gate follows.

    Third parties offer theirs as an entry point of the group ``nightferry.solvers``: a callable without arguments.
    """

    @property
    def name(self) -> str:
        """The name that the configuration calls it by."""
        ...

    def guess(self, stars: Stars, hints: Hints, indexes: Sequence[Path], seconds: float) -> Guess | None:
        """Return a first solution, found within ``seconds``; None where there is none.

        Raises `TryAgain` when it failed for reasons that are not the frame's, `Misconfigured` when it cannot work.
        """
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How a telescope's frames are solved.

    ``engine`` is empty for the best that is installed; ``indexes`` are folders or index files beside the usual ones;
    ``scales`` are limits of the pixel scale in arcseconds, and count more than a header that is beyond them; ``near``
    is a place in degrees that counts more than the header's. ``earlier`` is what an earlier frame of the night taught:
    place and scale. ``again`` has frames solved that carry a solution.
    """

    engine: str = ""
    indexes: tuple[Path, ...] = ()
    usual: bool = True
    scales: tuple[float, float] | None = None
    radius: float = RADIUS
    seconds: float = PATIENCE
    dialect: str = ""
    dialects: Path | None = None
    site: Site | None = None
    again: bool = False
    near: tuple[float, float] | None = None
    earlier: Hints | None = None


@dataclass(frozen=True, slots=True)
class Matches:
    """Stars found in frame and catalogue alike: pixels from 1, degrees."""

    x: Floats
    y: Floats
    ra: Floats
    dec: Floats

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.x.size)


@dataclass(frozen=True, slots=True)
class Fit:
    """A refined solution and how good it is.

    ``expected`` is the number of catalogue stars in the frame, ``reach`` the distance in pixels within which stars
    were matched, ``freedom`` the number of parameters that were fitted, ``rms`` the scatter in pixels (both axes).
    """

    wcs: Wcs
    matches: Matches
    expected: int
    reach: float
    freedom: int
    rms: float
    warp: str


@dataclass(frozen=True, slots=True)
class Solution:
    """An accepted solution. ``checked``: it stood in the frame's header already, and was proven."""

    fit: Fit
    index: str
    engine: str
    chance: float
    checked: bool = False

    @property
    def wcs(self) -> Wcs:
        """The solution itself."""
        return self.fit.wcs


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a frame: a solution, or the reason why there is none; and what its stars tell.

    ``world`` says that the reason is not in the frame (an engine that failed); ``sky`` is false for darks and the like,
    which nobody would solve.
    """

    solution: Solution | None
    reason: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    instrument: str = ""
    size: tuple[int, int] = (0, 0)
    hdu: int = 0
    world: bool = False
    sky: bool = True
    seconds: float = 0.0
