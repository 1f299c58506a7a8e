"""What follows from a frame's receipts: its standing, and the balance of a night.

Pure functions over receipts; a ledger may keep their results in a table to answer fast, but only as a copy
that these functions can make again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from nightferry.core.frame import DOUBTS, Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import AUDIT, CLEAR, DELIVER, JUDGES, LIST, RELEASE

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
    ``former`` is what old releases called the versions of the very same settings, which count as the present ones.
    A delivery may be named by its stage (``deliver to library``), because archives have settings of their own.
    """

    steps: tuple[str, ...]
    archives: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    former: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one frame stands, and why. ``stage`` is the step (and archive) that is next, or in the way."""

    bin: Bin
    reason: str = ""
    stage: str = ""
    next_try_us: int = 0

    def due(self, now_us: int, *, retry: bool = False) -> bool:
        """Whether the machine has work here now; ``retry`` does not wait for the back-off to end."""
        if self.bin is Bin.FAILED:
            return retry or self.next_try_us <= now_us
        return self.bin is Bin.PENDING


class OpenStage(NamedTuple):
    """A stage that a frame has not passed: the step, the archive of a delivery, and where it stands there."""

    step: str
    target: str
    standing: Standing


def stage_name(step: str, target: str = "") -> str:
    """Name a step for people: ``pull``, or ``deliver to library``."""
    return f"{step} to {target}" if target else step


def backoff_us(failures: int) -> int:
    """How long to wait after this many failures in a row, in microseconds."""
    return min(FIRST_BACKOFF << min(max(failures - 1, 0), 20), LONGEST_BACKOFF) * 1_000_000


def standing_of(sighting: Sighting, receipts: Iterable[Receipt], expected: Expectation) -> Standing:
    """Return where a frame stands from its sighting and its receipts, oldest receipt first.

    What every archive has is delivered, whatever a rule, a person or a new step says later: nothing is left
    to do for it. It is no longer when an audit finds the bytes gone or changed. Where a frame has several open
    deliveries, those that the machine can still work at come before those that wait for a person, so that
    one archive's refusal never keeps a frame from another.
    """
    history = _read(receipts)
    stages = _stages(expected)
    open_here = _open(history, stages, expected)
    if stages and not open_here:
        return Standing(Bin.DELIVERED)
    if history.dropped is not None:
        return Standing(Bin.IGNORED, f"dropped: {history.dropped}", RELEASE)
    if sighting.refused and history.settled is not None and sighting.role in DOUBTS:
        return Standing(Bin.IGNORED, f"settled: {history.settled}", RELEASE)
    if sighting.refused:
        return Standing(Bin.HELD, sighting.refused, LIST)
    if sighting.ignored:
        return Standing(Bin.IGNORED, sighting.ignored, LIST)
    if not stages:
        return Standing(Bin.PENDING, "the telescope has no route yet")
    return min((stage.standing for stage in open_here), key=_urgency)


def open_stages(receipts: Iterable[Receipt], expected: Expectation) -> list[OpenStage]:
    """List what a wanted frame has still to pass: its first open step, or all of its open deliveries."""
    return _open(_read(receipts), _stages(expected), expected)


def overruled(receipts: Iterable[Receipt]) -> frozenset[str]:
    """Return the judges whose last verdict a person overruled."""
    history = _read(receipts)
    return frozenset(step for step, target in history.passed if step in JUDGES and (step, target) not in history.latest)


def dropped(receipts: Iterable[Receipt]) -> str | None:
    """Return why a person left it out of all further work; None when nobody did."""
    return _read(receipts).dropped


def expectation_of_made(receipts: Sequence[Receipt]) -> Expectation:
    """Return what a frame of many has to pass: the steps and archives that its receipts name, oldest first.

    An edition whose place a later one took is thus asked for nothing more.
    """
    steps = dict.fromkeys(receipt.step for receipt in receipts if not receipt.target and receipt.step != RELEASE)
    archives = dict.fromkeys(receipt.target for receipt in receipts if receipt.target)
    return Expectation(tuple(steps), tuple(archives) or ("",))  # one that has reached none is to reach some


def _urgency(standing: Standing) -> tuple[int, int]:
    """Order open stages by who can act on them first: the machine now, the machine later, a person."""
    return (Bin.PENDING, Bin.FAILED, Bin.HELD).index(standing.bin), standing.next_try_us


_Key = tuple[str, str]  # (step, archive or "")


@dataclass(slots=True)
class _History:
    """The last word on each stage, with people's releases and drops applied."""

    latest: dict[_Key, Receipt] = field(default_factory=dict)
    failures: dict[_Key, int] = field(default_factory=dict)
    passed: set[_Key] = field(default_factory=set)
    dropped: str | None = None
    settled: str | None = None  #: a person's last release that was no drop


def _read(receipts: Iterable[Receipt]) -> _History:
    history = _History()
    for receipt in receipts:
        if receipt.step == RELEASE:
            _apply_release(history, receipt)
            continue
        if receipt.step == AUDIT:
            _apply_audit(history, receipt)
            continue
        key = (receipt.step, receipt.target)
        # A proven delivery stays one until an audit says otherwise: a later attempt that fails cannot take the
        # bytes out of the archive.
        # Any other step may be done again and fail (the shelf was lost, the telescope no longer has the file).
        if receipt.step == DELIVER and key in history.passed:
            continue
        history.latest[key] = receipt
        if receipt.outcome is Outcome.DONE:
            history.passed.add(key)
        else:
            history.passed.discard(key)
        history.failures[key] = history.failures.get(key, 0) + 1 if receipt.outcome is Outcome.FAILED else 0
    return history


def _apply_audit(history: _History, audit: Receipt) -> None:
    """Apply what was read back: an archive that lost or changed a frame has it no more, until it is found right."""
    key = (DELIVER, audit.target)
    if audit.outcome is Outcome.HELD:
        history.passed.discard(key)
        history.latest[key] = audit
        history.failures[key] = 0
    elif audit.outcome is Outcome.DONE:
        history.passed.add(key)


def _apply_release(history: _History, release: Receipt) -> None:
    """Apply a person's word: the verdict of a judge is overruled, every other held stage is open again."""
    if release.proof.get("drop"):
        history.dropped = release.reason
        return
    history.dropped, history.settled = None, release.reason
    for key, last in list(history.latest.items()):
        if last.outcome not in {Outcome.HELD, Outcome.BROKEN}:
            continue
        del history.latest[key]
        if key[0] in JUDGES:
            history.passed.add(key)


def _stages(expected: Expectation) -> list[_Key]:
    """List the stages a frame must pass: (step, archive or '')."""
    plain = [(step, "") for step in expected.steps if step not in {DELIVER, CLEAR}]
    return plain + [(DELIVER, archive) for archive in expected.archives]


def _open(history: _History, stages: list[_Key], expected: Expectation) -> list[OpenStage]:
    if expected.archives and all((DELIVER, archive) in history.passed for archive in expected.archives):
        return []
    found: list[OpenStage] = []
    for key in stages:
        if key in history.passed:
            continue
        found.append(OpenStage(*key, _open_standing(key, history, expected)))
        if key[0] != DELIVER:  # deliveries do not wait for each other; everything else stands in line
            break
    return found


def _open_standing(key: _Key, history: _History, expected: Expectation) -> Standing:
    last = history.latest.get(key)
    stage = stage_name(*key)
    if last is None:
        return Standing(Bin.PENDING, "", stage)
    if last.outcome is Outcome.FAILED:
        ended_us = last.started_us + round(last.seconds * 1_000_000)
        return Standing(Bin.FAILED, last.reason, stage, ended_us + backoff_us(history.failures[key]))
    present = expected.versions.get(stage) or expected.versions.get(key[0]) or last.version
    if last.version not in {present, expected.former.get(key[0])}:
        return Standing(Bin.PENDING, "the step is a newer version than the one that held it", stage)
    return Standing(Bin.HELD, last.reason, stage)


@dataclass(frozen=True, slots=True)
class Balance:
    """A night's balance sheet. ``seen`` is counted from the sightings alone, the bins from the standings.

    ``complete`` says that the last look at the telescope was whole, as far as this night is concerned.
    """

    night: Night
    seen: int = 0
    delivered: int = 0
    held: int = 0
    failed: int = 0
    ignored: int = 0
    pending: int = 0
    bytes: int = 0
    complete: bool = True

    @property
    def balanced(self) -> bool:
        """Whether every frame that was seen is in exactly one bin."""
        return self.seen == self.delivered + self.held + self.failed + self.ignored + self.pending

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do for the machine, and nothing can be that it was not shown."""
        return self.balanced and self.complete and not self.pending and not self.failed
