"""What follows from a frame's receipts: its standing, and the balance of a night.

Pure functions over receipts; a ledger may keep their results in a table to answer fast, but only as a copy
that these functions can make again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from nightferry.core.frame import Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt

#: Seconds until a failed frame is tried again: doubled with every failure in a row, never more than an hour.
FIRST_BACKOFF, LONGEST_BACKOFF = 30, 3600


class Bin(StrEnum):
    """Where a frame stands in the balance; each frame is in exactly one."""

    DELIVERED = "delivered"  #: every archive that its telescope names has it
    HELD = "held"  #: waits for a person (held by a step, or broken by a bug)
    FAILED = "failed"  #: the world was at fault; it will be tried again
    IGNORED = "ignored"  #: left at the telescope by a rule, or dropped by a person
    PENDING = "pending"  #: not yet carried


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a telescope's route asks of each frame: its steps in order, and the archives to deliver to.

    ``versions`` maps each step's name to its present version: a frame held by an older version is open again.
    """

    steps: tuple[str, ...]
    archives: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one frame stands, and why. ``stage`` is the step (and archive) that is next, or in the way."""

    bin: Bin
    reason: str = ""
    stage: str = ""
    next_try_us: int = 0


def stage_name(step: str, target: str = "") -> str:
    """Name a step for people: ``pull``, or ``deliver to library``."""
    return f"{step} to {target}" if target else step


def backoff_us(failures: int) -> int:
    """How long to wait after so many failures in a row, in microseconds."""
    return min(FIRST_BACKOFF << min(max(failures - 1, 0), 20), LONGEST_BACKOFF) * 1_000_000


def standing_of(sighting: Sighting, receipts: Iterable[Receipt], expected: Expectation) -> Standing:
    """Tell where a frame stands from its sighting and its receipts, oldest receipt first."""
    if sighting.refused:
        return Standing(Bin.HELD, sighting.refused, "list")
    if sighting.ignored:
        return Standing(Bin.IGNORED, sighting.ignored, "list")
    latest: dict[tuple[str, str], Receipt] = {}
    failures: dict[tuple[str, str], int] = {}
    for receipt in receipts:
        place = (receipt.step, receipt.target)
        if receipt.step == "release":
            if receipt.proof.get("drop"):
                return Standing(Bin.IGNORED, f"dropped: {receipt.reason}", "release")
            _lift(latest, failures, receipt)
            continue
        latest[place] = receipt
        failures[place] = failures.get(place, 0) + 1 if receipt.outcome is Outcome.FAILED else 0
    open_stages: list[Standing] = []
    for place in _stages(expected):
        last = latest.get(place)
        if last is not None and last.outcome is Outcome.DONE:
            continue
        open_stages.append(_open_standing(place, last, failures.get(place, 0), expected))
        if place[0] != "deliver":  # deliveries do not wait for each other; everything else stands in line
            break
    if not open_stages:
        return Standing(Bin.DELIVERED)
    worst = (Bin.HELD, Bin.FAILED, Bin.PENDING)
    return min(open_stages, key=lambda standing: worst.index(standing.bin))


def _stages(expected: Expectation) -> list[tuple[str, str]]:
    """List the stages a frame must pass: (step, archive or '')."""
    plain = [(step, "") for step in expected.steps if step not in {"deliver", "clear"}]
    return plain + [("deliver", archive) for archive in expected.archives]


def _lift(latest: dict[tuple[str, str], Receipt], failures: dict[tuple[str, str], int], release: Receipt) -> None:
    """Apply a person's release: the verdict of `verify` is overruled, every other held stage is open again."""
    for place, last in list(latest.items()):
        if last.outcome not in {Outcome.HELD, Outcome.BROKEN}:
            continue
        failures[place] = 0
        if place[0] == "verify":
            latest[place] = release
        else:
            del latest[place]


def _open_standing(place: tuple[str, str], last: Receipt | None, failures: int, expected: Expectation) -> Standing:
    stage = stage_name(*place)
    if last is None:
        return Standing(Bin.PENDING, "", stage)
    if last.outcome is Outcome.FAILED:
        return Standing(Bin.FAILED, last.reason, stage, last.started_us + backoff_us(failures))
    if last.version != expected.versions.get(place[0], last.version):
        return Standing(Bin.PENDING, "the step is a newer version than the one that held it", stage)
    return Standing(Bin.HELD, last.reason, stage)


@dataclass(frozen=True, slots=True)
class Balance:
    """A night's balance sheet. ``seen`` is counted from the sightings alone, the bins from the standings."""

    night: Night
    seen: int = 0
    delivered: int = 0
    held: int = 0
    failed: int = 0
    ignored: int = 0
    pending: int = 0
    bytes: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every frame that was seen is in exactly one bin."""
        return self.seen == self.delivered + self.held + self.failed + self.ignored + self.pending

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do for the machine."""
        return self.balanced and not self.pending and not self.failed
