"""A cheap look at pixels while they pass: enough to tell a picture that is none."""

import sys
from dataclasses import dataclass, field

from nightferry.formats.datasum import Datasum
from nightferry.formats.layout import Layout

#: One pixel in this many is looked at.
STRIDE = 509
#: The largest signed 16-bit number of FITS, as this machine reads its two bytes.
_TOP = int.from_bytes(b"\x7f\xff", sys.byteorder)


@dataclass(slots=True)
class Pixels:
    """What was seen of the primary data: sampled pixels of 16-bit pictures, and whether planes are constant.

    ``constant`` says that no two pixels differ; ``saturated`` is the share of sampled pixels at the top of the range;
    ``sums`` are those of a cube's planes, from 0.
    """

    sampled: int = 0
    at_top: int = 0
    first: bytes = b""
    differing: bool = False
    planes: dict[int, tuple[bytes, bool]] = field(default_factory=dict)
    sums: dict[int, Datasum] = field(default_factory=dict)
    _passed: int = 0

    @property
    def constant(self) -> bool:
        """Whether every pixel is the same."""
        return bool(self.first) and not self.differing

    @property
    def saturated(self) -> float:
        """The share of pixels at the top of the range, 0 to 1."""
        return self.at_top / self.sampled if self.sampled else 0.0

    @property
    def constant_planes(self) -> list[int]:
        """Planes of a cube, from 1, in which no two pixels differ."""
        return [number + 1 for number, (_, differing) in sorted(self.planes.items()) if not differing]

    def look(self, view: memoryview, layout: Layout) -> None:
        """Look at the next bytes of the primary data."""
        width = abs(layout.bitpix) // 8
        if len(layout.axes) == 3:  # noqa: PLR2004 - a cube is planes
            self._look_at_planes(view, layout.axes[0] * layout.axes[1] * width, width)
        if not self.differing and view:
            self.first = self.first or bytes(view[:width])
            self.differing = bytes(view) != (self.first * (len(view) // width + 1))[: len(view)]
        if layout.bitpix == 16:  # noqa: PLR2004 - unsigned pixels as all cameras write them
            sample = view[: len(view) & ~1].cast("H")[::STRIDE].tolist()
            self.sampled += len(sample)
            self.at_top += sample.count(_TOP)
        self._passed += len(view)

    def _look_at_planes(self, view: memoryview, plane: int, width: int) -> None:
        at = 0
        while plane and at < len(view):
            number, inside = divmod(self._passed + at, plane)
            piece = view[at : at + plane - inside]
            self.sums.setdefault(number, Datasum()).add(piece)
            first, differing = self.planes.get(number, (bytes(piece[:width]), False))
            if not differing:
                differing = bytes(piece) != (first * (len(piece) // width + 1))[: len(piece)]
            self.planes[number] = first, differing
            at += len(piece)
