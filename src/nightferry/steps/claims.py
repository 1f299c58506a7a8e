"""Claims: which frame has which name of an archive, written down on the shelf.

A product leaves the shelf when it is delivered; its name stays taken, so that another frame of the same moment is
given the next one, in this pass or a later one, in this process or another.
"""

import os
from pathlib import Path

from nightferry.core.frame import FrameId
from nightferry.steps.shelf import translated


def claim(folder: Path, name: str, frame: FrameId) -> bool:
    """Claim a name for a frame; False when it is another frame's. Claiming again what is one's own is as good."""
    place = folder / name
    with translated(place, "the shelf"):
        if (owner := _owner(place)) is not None:
            return owner == frame
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{frame}.part"  # whole before it has its name: a claim without an owner would be nobody's
        draft.write_text(frame, encoding="ascii")
        try:
            _name(draft, place)
        except FileExistsError:
            return _owner(place) == frame
        finally:
            draft.unlink(missing_ok=True)
    return True


def _owner(place: Path) -> str | None:
    try:
        return place.read_text(encoding="ascii")
    except FileNotFoundError:
        return None


def _name(draft: Path, place: Path) -> None:
    """Give a file its name without replacing another; raise `FileExistsError` when it is taken."""
    try:
        os.link(draft, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with place.open("x", encoding="ascii") as file:
            file.write(draft.read_text(encoding="ascii"))
