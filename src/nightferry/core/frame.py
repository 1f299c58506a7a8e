"""Sightings and frames: what a telescope showed us, and what we answer for."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import NewType

from nightferry.core.night import Night
from nightferry.core.store import StorePath

#: 64 lower-case hexadecimal digits of BLAKE3-256 over a file's bytes.
Digest = NewType("Digest", str)
#: 32 lower-case hexadecimal digits that name one state of one file at one telescope.
FrameId = NewType("FrameId", str)

Fact = str | int | float | bool | None


def fingerprint(*parts: str) -> str:
    """Digest a few texts into 32 hexadecimal digits, unambiguous about where one ends and the next begins."""
    raws = [part.encode("utf-8", "surrogateescape") for part in parts]
    marked = b"".join([b"%d:%b" % (len(raw), raw) for raw in raws])
    return hashlib.blake2b(marked, digest_size=16).hexdigest()


class Role(StrEnum):
    """What a file is to us."""

    RAW = "raw"
    PREVIEW = "preview"
    SIDECAR = "sidecar"
    STANDARD = "standard"
    CUBE = "cube"
    DOUBT = "doubt"  #: no file: a place that was not listed whole, and may hide frames of its night
    DOUBT_ALL = "doubt of all nights"  #: the same, where nothing tells which nights it may hide frames of


#: Roles of sightings that say of a look that it was not whole.
DOUBTS = frozenset({Role.DOUBT, Role.DOUBT_ALL})


@dataclass(frozen=True, slots=True)
class Place:
    """What a file's path says about it, read by the telescope's layout.

    ``fields`` fill the archives' name templates. ``ignored`` names the rule by which the file is left where it
    is; ``refused`` says why it can never be carried; both are empty for a file we want. ``doubt`` says what speaks
    against its night, or against the telescope's clock.
    """

    evening: date
    role: Role = Role.RAW
    fields: Mapping[str, str] = field(default_factory=dict)
    ignored: str = ""
    refused: str = ""
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One state of one file, as the telescope first showed it to us; or a frame that we made, see `made_here`."""

    night: Night
    path: StorePath
    size: int
    mtime_us: int | None
    seen_us: int
    role: Role = Role.RAW
    ignored: str = ""
    refused: str = ""
    _id: FrameId = field(default=FrameId(""), init=False, repr=False, compare=False)

    @property
    def id(self) -> FrameId:
        """The frame's identity: telescope, path, size and time. The same file changed is another frame."""
        if not self._id:  # asked for a dozen times on a frame's way, so it is worked out once
            stamp = "" if self.mtime_us is None else str(self.mtime_us)
            identity = FrameId(fingerprint(self.night.telescope, self.path, str(self.size), stamp))
            object.__setattr__(self, "_id", identity)
        return self._id


def made_here(identity: FrameId, night: Night, name: StorePath, size: int, made_us: int) -> Sighting:
    """Return what stands for a frame with many parents where others have the telescope's sighting.

    No telescope ever showed it, so it is in no night's count of what was seen.
    """
    made = Sighting(night, name, size, None, made_us, Role.CUBE)
    object.__setattr__(made, "_id", identity)
    return made


@dataclass(frozen=True, slots=True)
class Frame:
    """One file we answer for, whole on the shelf: immutable, for a step makes frames and never alters one."""

    id: FrameId
    digest: Digest
    size: int
    night: Night
    name: StorePath
    role: Role
    file: Path
    facts: Mapping[str, Fact] = field(default_factory=dict)
    parents: tuple[FrameId, ...] = ()
