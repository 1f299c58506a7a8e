"""Deliver: put frames under their names in one archive, and prove that they are there."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from nightferry.core.errors import Gone, Held, NightferryError, Occupied, Unreachable
from nightferry.core.frame import Digest, Fact, Frame
from nightferry.core.receipt import Outcome, Result
from nightferry.core.step import Grouping, Lane
from nightferry.core.store import Linked, Load, Store, StorePath
from nightferry.steps.readback import read_back


@dataclass(frozen=True, slots=True)
class Deliver:
    """The step that stores frames in one archive.

    ``naming`` tells a frame's name there. ``verify`` says how the proof is obtained: ``reread`` reads every
    byte back from the archive. Where the archive is on the shelf's own disk a frame is linked, not copied: the
    bytes are those that were digested in flight and synced, and reading them back at once would only ask the
    page cache. The receipt then says ``linked``, and `nightferry.steps.clear` reads them back before it deletes.
    """

    store: Store
    target: str
    naming: Callable[[Frame], StorePath]
    verify: Literal["reread", "server"] = "reread"
    name: str = "deliver"
    version: str = "1"
    lane: Lane = Lane.IO
    grouping: Grouping = Grouping.FRAME

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Store each frame and prove it; raises `Unreachable` for the rest of the batch."""
        started = time.perf_counter()
        names = [self.naming(frame) for frame in batch]
        answers = list(self.store.put([Load(frame.file, name) for frame, name in zip(batch, names, strict=True)]))
        # a taken name may hold these very bytes: a crash came between delivery and receipt
        doubtful = [
            name for name, answer in zip(names, answers, strict=True) if answer is None or isinstance(answer, Occupied)
        ]
        found = read_back(self.store, doubtful) if doubtful else iter(())
        share = (time.perf_counter() - started) / len(batch)
        for frame, name, answer in zip(batch, names, answers, strict=True):
            proof: dict[str, Fact] = {"name": name, "archive": self.store.traits.label}
            if isinstance(answer, Linked):
                yield Result(frame, Outcome.DONE, "", proof | {"how": "linked"}, frame, share)
            elif answer is None or isinstance(answer, Occupied):
                began = time.perf_counter()
                result = self._judge(frame, name, next(found), proof, taken=answer is not None)
                yield Result(frame, *result, frame, share + time.perf_counter() - began)
            else:
                yield _refused(frame, answer, proof, share)

    def _judge(
        self, frame: Frame, name: StorePath, found: Digest | NightferryError, proof: dict[str, Fact], *, taken: bool
    ) -> tuple[Outcome, str, dict[str, Fact]]:
        """Compare what was read back with what the frame is."""
        label = self.store.traits.label
        if isinstance(found, Unreachable):
            raise found
        if isinstance(found, NightferryError):
            return Outcome.FAILED, f"reading {name} back failed: {found}", proof
        if found == frame.digest:
            return Outcome.DONE, "", proof | {"how": "reread", "was_there": taken}
        if taken:
            reason = (
                f"{label} holds other bytes under {name} (BLAKE3 {found[:16]}, ours {frame.digest[:16]}); nothing was "
                "overwritten: move that file away or change archive.name, then release this frame"
            )
            return Outcome.HELD, reason, proof | {"found": found}
        reason = (
            f"{label}: {name} read back with BLAKE3 {found[:16]} instead of {frame.digest[:16]}: it was damaged on "
            "the way or on that disk; check the disk"
        )
        return Outcome.FAILED, reason, proof | {"found": found}


def _refused(frame: Frame, answer: NightferryError, proof: dict[str, Fact], seconds: float) -> Result:
    outcome = Outcome.HELD if isinstance(answer, Held) and not isinstance(answer, Gone) else Outcome.FAILED
    return Result(frame, outcome, str(answer), proof, None, seconds)
