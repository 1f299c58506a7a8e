"""Receipts: the immutable answer of one step on one input, and what follows from all of a frame's receipts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nightferry.core.frame import Digest, Fact, Frame, FrameId, Sighting
from nightferry.core.night import Night


class Outcome(StrEnum):
    """How a step ended, named by who must act."""

    DONE = "done"  #: nobody
    HELD = "held"  #: a person: the data are at fault
    FAILED = "failed"  #: nobody yet: the world was at fault, it is tried again
    BROKEN = "broken"  #: the developers: a bug


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one step did on one input.

    ``target`` tells the archive of a delivery; ``proof`` holds what was checked and found; times are
    microseconds since 1970 UTC and seconds.
    """

    frame: FrameId
    night: Night
    step: str
    version: str
    outcome: Outcome
    reason: str = ""
    target: str = ""
    digest: Digest | None = None
    proof: Mapping[str, Fact] = field(default_factory=dict)
    started_us: int = 0
    seconds: float = 0.0
    host: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A step's answer on one input, before the conductor makes a receipt of it."""

    source: Sighting | Frame
    outcome: Outcome
    reason: str = ""
    proof: Mapping[str, Fact] = field(default_factory=dict)
    product: Frame | None = None
    seconds: float = 0.0
