"""Claims: which frame has which name of an archive, written down on the shelf.

A product leaves the shelf when it is delivered; its name stays taken, so that another frame of the same moment is
given the next one, in this pass or a later one, in this process or another.
"""

from pathlib import Path

from nightferry.core.frame import FrameId
from nightferry.disk.errors import translated
from nightferry.disk.files import make_folders, write_new
from nightferry.disk.parts import sweep_once


def claim(folder: Path, name: str, frame: FrameId) -> bool:
    """Claim a name for a frame; False when it is another frame's. Claiming again what is one's own is as good."""
    place = folder / name
    with translated(place, "the shelf"):
        sweep_once(folder)  # of those, too, that were killed when they had named their claim
        if (owner := _owner(place)) is not None:
            return owner == frame
        make_folders(folder)
        try:
            write_new(place, frame.encode("ascii"))  # whole before it has its name: a claim without owner is nobody's
        except FileExistsError:
            return _owner(place) == frame
    return True


def _owner(place: Path) -> str | None:
    try:
        return place.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
