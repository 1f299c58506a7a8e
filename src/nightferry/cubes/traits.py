"""Traits: what decides which cube a frame goes into. Small enough to be kept of every frame, when the frame is gone."""

import json
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta

from nightferry.core.instant import Instant
from nightferry.core.night import evening_at
from nightferry.headers.canonical import ImageType

Number = int | float


@dataclass(frozen=True, slots=True)
class Traits:
    """What frames of one cube share, and what orders them.

    ``exposure`` is in seconds; ``numbers`` are BITPIX, BZERO, BSCALE and BLANK; ``setting`` is what the camera was set
    to (instrument, binning, gain, readout, temperature) and the program, as texts; ``longitude`` in degrees.
    """

    kind: ImageType
    object: str
    filter: str
    exposure: float | None
    start: Instant
    name: str
    axes: tuple[int, int]
    numbers: tuple[int, Number, Number, int | None]
    setting: tuple[str, ...]
    longitude: float | None = None

    @property
    def form(self) -> tuple[str, ...]:
        """Shape and number format, as texts."""
        return (*map(str, self.axes), *map(repr, self.numbers))

    @property
    def order(self) -> tuple[int, int, str]:
        """What planes are sorted by."""
        return self.start.day, self.start.micro, self.name

    def evening(self, longitude: float | None = None) -> date:
        """Return the frame's night; a site's longitude comes before what the header says."""
        midnight = datetime.combine(self.start.date, datetime.min.time(), UTC)
        place = self.longitude if longitude is None else longitude
        return evening_at(midnight + timedelta(microseconds=self.start.micro), place)

    def text(self) -> str:
        """Write the traits as one line of JSON."""
        return json.dumps(astuple(self), separators=(",", ":"))


def no_traits(reason: str) -> str:
    """Write, in the place of traits, why a frame can be no plane."""
    return json.dumps(reason)


def traits_from(text: str) -> Traits | str:
    """Read traits that were written by `Traits.text`, or the reason that stands in their place."""
    try:
        told = json.loads(text)
        if isinstance(told, str):
            return told
        kind, target, band, exposure, start, name, axes, numbers, setting, longitude = told
        return Traits(
            ImageType(kind), target, band, exposure, Instant(*start), name, (axes[0], axes[1]),
            (numbers[0], numbers[1], numbers[2], numbers[3]), tuple(setting), longitude,
        )  # fmt: skip
    except (ValueError, TypeError, IndexError):
        return "what the ledger tells of its kind cannot be read"
