"""The shelf: working files on one disk, kept until delivered and proven."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.night import Night
from nightferry.disk.errors import translated
from nightferry.disk.files import make_folders, part_of


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder for working files. ``floor`` is how many bytes of the disk stay free of what is pulled."""

    root: Path
    floor: int = 0
    _folders: dict[Night, Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    def folder(self, night: Night) -> Path:
        """Return the folder of a night's raw frames."""
        known = self._folders.get(night)
        if known is None:
            known = self._folders[night] = self.root / night.telescope / night.date.isoformat()
        return known

    def file(self, sighting: Sighting) -> Path:
        """Return where a frame stands once it is whole. Names from outside never become a path here."""
        return self.folder(sighting.night) / sighting.id

    def part(self, sighting: Sighting) -> Path:
        """Return where a frame stands while it arrives. The name is that of one state of the file only."""
        return Path(part_of(self.file(sighting)))

    def require_room(self, size: int, *, onward: bool = False) -> None:
        """Raise `NoSpace` when that many more bytes would fill the disk past its floor.

        What takes a frame on the shelf ``onward`` to its archives may use the room below the floor, for only what is
        delivered makes room again. Makes the shelf's own folder if need be, but never the one above it.
        """
        if not self.root.parent.is_dir():
            # making it would hide a disk that is not mounted, and fill the wrong one
            raise Misconfigured(f"the shelf {self.root}: there is no folder {self.root.parent}. Is its disk mounted?")
        with translated(self.root, "the shelf"):
            make_folders(self.root)
            free = shutil.disk_usage(self.root).free
        if free - size < (0 if onward else self.floor):
            raise NoSpace(
                f"the disk of the shelf {self.root} has {free:,} bytes free; {size:,} more would fill it past its "
                f"floor of {self.floor:,}: free some space, or lower shelf.floor"
            )

    def has(self, frame: FrameId, night: Night, size: int) -> bool:
        """Whether the whole frame is here."""
        try:
            return os.stat(f"{self.folder(night)}/{frame}").st_size == size  # noqa: PTH116 - once or more a frame
        except OSError:
            return False

    def drop(self, frame: FrameId, night: Night) -> None:
        """Take a working file away; gone already is as good."""
        with translated(self.root, "the shelf"):
            (self.folder(night) / frame).unlink(missing_ok=True)
