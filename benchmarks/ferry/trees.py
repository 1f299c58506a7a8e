"""What the servers show: big frames, small ones, and very many, laid out as a Vespera lays them out."""

import os
from dataclasses import dataclass
from pathlib import Path

from nightferry.formats.cards import Value, close_header, format_card

SESSION = "2026-09-12_21-40-22_observation_NGC7023/01-images-initial"
#: When the session's first frame was written, in seconds since 1970: a frame whose time contradicts its night is told
#: so in a receipt of its own, which no telescope with a clock asks for.
_BEGAN, _EVERY = 1_789_249_222, 10
_NOISE = 1 << 20


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder of frames. ``size`` is of one frame in bytes, ``text`` says it all in words."""

    name: str
    files: int
    size: int
    text: str = ""

    @property
    def bytes(self) -> int:
        """How many bytes all frames have."""
        return self.files * self.size


def header(width: int = 0, height: int = 0) -> bytes:
    """Make the header of a 16-bit frame, without DATASUM or CHECKSUM, as Vesperas write theirs."""
    shape: dict[str, Value] = {"SIMPLE": True, "BITPIX": 16, "NAXIS": 2 if width else 0}
    if width:
        shape |= {"NAXIS1": width, "NAXIS2": height, "BZERO": 32768, "BSCALE": 1}
    about: dict[str, Value] = {"OBJECT": "NGC 7023", "EXPTIME": 10.0, "DATE-OBS": "2026-09-12T21:40:22.955", "GAIN": 0}
    return close_header([format_card(name, value, "") for name, value in (shape | about).items()])


def frames(folder: Path, count: int, width: int, height: int) -> int:
    """Write so many different frames of noise and tell the size of one."""
    folder.mkdir(parents=True)
    head, length = header(width, height), 2 * width * height
    noise = os.urandom(length + _NOISE)
    fill = bytes(-length % 2880)
    for number in range(count):
        start = number * 2880 % _NOISE  # whoever keeps what it read last has read another frame
        place = folder / f"img-{number + 1:04d}.fits"
        with place.open("wb") as file:
            file.write(head)
            file.write(memoryview(noise)[start : start + length])
            file.write(fill)
        os.utime(place, (_BEGAN + _EVERY * number,) * 2)
    return len(head) + length + len(fill)


def big(root: Path, count: int) -> Tree:
    """Make frames of 16.6 MB, as a Vespera Pro writes them."""
    size = frames(root / "big" / SESSION, count, 3840, 2160)
    return Tree("big", count, size, f"{count:,} frames of {size / 1e6:.1f} MB")


def small(root: Path, count: int) -> Tree:
    """Make frames of 64 KiB and a little more."""
    size = frames(root / "small" / SESSION, count, 180, 176)
    return Tree("small", count, size, f"{count:,} frames of {size / 1024:.0f} KiB")


def many(root: Path, folders: int, each: int) -> Tree:
    """Make very many frames that are headers alone, in so many folders."""
    head = header()
    for number in range(folders):
        month, day = divmod(number, 28)
        folder = root / "many" / f"{2020 + month // 12}-{month % 12 + 1:02d}-{day + 1:02d}_21-00-00_observation_M31"
        folder.mkdir(parents=True)
        for frame in range(each):
            (folder / f"img-{frame + 1:04d}.fits").write_bytes(head)
    return Tree("many", folders * each, len(head), f"{folders * each:,} frames in {folders} folders")
