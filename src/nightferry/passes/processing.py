"""Works: the computing steps of a route, fused into one task for the pool.

A task takes a batch of frames through all steps in a row; a frame that one of them holds goes no further and costs no
other. Receipts name the raw frame that the chain began with, so that the balance counts it once; a product's own
identity stands in their proof. A work's version in receipts covers the steps before it, too: who asks for other
cards has the frames judged again that were held for the old ones.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nightferry.core.balance import overruled
from nightferry.core.errors import NightferryError, TryAgain
from nightferry.core.frame import Digest, Frame, FrameId, fingerprint
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import DELIVER, JUDGES, ProcessingStep
from nightferry.core.version import Version
from nightferry.passes.attempt import attempt
from nightferry.steps.deliver import changed_here, taken_away

#: The pool of works, where archives and the telescope are named; no archive can have this name.
POOL = "(pool)"


@dataclass(frozen=True, slots=True)
class Passage:
    """A frame on its way: ``at`` is the place of the first work that it has still to pass.

    ``origin`` is the raw frame. ``passed`` are judges that need not be asked about the bytes of digest ``judged``:
    they said yes, or a person overruled them.
    """

    origin: FrameId
    frame: Frame
    at: int = 0
    passed: frozenset[str] = frozenset()
    judged: Digest | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the work at a place answered of a raw frame."""

    origin: FrameId
    place: int
    result: Result
    started_us: int


@dataclass(frozen=True, slots=True)
class Passed:
    """What a task did: its answers in order, the frames that came through, and what concerned more than one frame."""

    answers: Sequence[Answer]
    products: Mapping[FrameId, Frame]
    trouble: NightferryError | None = None


def versions_of(works: Sequence[ProcessingStep]) -> tuple[Version, ...]:
    """Return each work's version as receipts have it, which covers the steps before it."""
    present, former = _chained(work.version for work in works), _chained(work.former for work in works)
    return tuple(map(Version, present, former))


def _chained(versions: Iterable[str]) -> list[str]:
    """Add to each version, in short, the one before it."""
    chained: list[str] = []
    for version in versions:
        chained.append(f"{version}-{fingerprint(chained[-1])[:8]}" if chained else version)
    return chained


def passage_of(
    works: Sequence[ProcessingStep], versions: Sequence[Version], frame: Frame, receipts: Sequence[Receipt]
) -> Passage:
    """Return where a frame stands in the chain of works, from its receipts and what is on the shelf.

    What a work made counts while its version does. Where an archive has the product already, it counts whatever the
    version says now: all archives get the same bytes.
    """
    done = {receipt.step: receipt for receipt in receipts if receipt.outcome is Outcome.DONE}
    if not any(work.name in done for work in works):
        return Passage(frame.id, frame)
    released = overruled(receipts)
    latest = {receipt.step: receipt.outcome for receipt in receipts}
    kept = DELIVER in done
    now, at, passed, judged = frame, 0, set(released), None
    whole = True  # nothing before was missing
    for place, (work, version) in enumerate(zip(works, versions, strict=True)):
        receipt = done.get(work.name)
        good = receipt is not None and latest[work.name] is Outcome.DONE and (kept or version.counts(receipt.version))
        if work.name in JUDGES:
            if receipt is not None and good:
                passed.add(work.name)
            if whole and work.name in passed:
                at = place + 1
            else:
                whole = False
            continue
        if receipt is None or not good or not whole:
            break
        judged = receipt.digest
        recalled = work.recall(now, receipt)
        now, whole = recalled.frame, recalled.done
        at = place + 1 if whole else at
    return Passage(frame.id, now, at, frozenset(passed), judged)


def pass_through(works: Sequence[ProcessingStep], batch: Sequence[Passage]) -> Passed:
    """Take frames through the works; the pool's task. It raises nothing: what goes wrong stands in the answers."""
    answers: list[Answer] = []
    trouble: NightferryError | None = None
    first = _Recheck(works[0].name, works[0].version)
    frames = _sound(first, batch, answers)
    for place, work in enumerate(works):
        due = [p for p in batch if p.origin in frames and p.at <= place and not _spared(work, p, frames[p.origin])]
        if not due:
            continue
        started = time.time_ns() // 1000
        origins = {frames[passage.origin].id: passage.origin for passage in due}
        answer = attempt(work, [frames[passage.origin] for passage in due])
        trouble = trouble or answer.trouble
        for result in answer.results:
            origin = origins.pop(result.source.id)
            answers.append(Answer(origin, place, result, started))
            if result.outcome is Outcome.DONE:
                frames[origin] = result.product or frames[origin]
            else:
                del frames[origin]
        for origin in origins.values():  # somebody asked to stop: no answer, no receipt
            del frames[origin]
    return Passed(answers, frames, trouble)


def _spared(work: ProcessingStep, passage: Passage, frame: Frame) -> bool:
    return work.name in JUDGES and work.name in passage.passed and frame.digest == passage.judged


def _sound(first: "_Recheck", batch: Sequence[Passage], answers: list[Answer]) -> dict[FrameId, Frame]:
    """Leave out the frames whose working file is no longer what it was; they answer for it."""
    started = time.time_ns() // 1000
    passages = {passage.frame.id: passage for passage in batch}
    sound: dict[FrameId, Frame] = {}
    for result in attempt(first, [passage.frame for passage in batch]).results:
        passage = passages[result.source.id]
        if result.outcome is Outcome.DONE:
            sound[passage.origin] = passage.frame
        else:
            answers.append(Answer(passage.origin, 0, result, started))
    return sound


@dataclass(frozen=True, slots=True)
class _Recheck:
    """Reads working files again that lay here since an earlier pass; it answers in the first work's name."""

    name: str
    version: str
    target: str = ""

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Yield whether each frame's bytes are still its own."""
        for frame in batch:
            try:
                found = changed_here(frame)
            except TryAgain as err:
                yield Result(frame, Outcome.FAILED, str(err))
                continue
            if found is None:
                yield Result(frame, Outcome.DONE)
            else:
                yield Result(frame, Outcome.FAILED, taken_away(frame, found), {"found": found})
