"""Deliver: put frames under their names in one archive, and prove that they are there."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from blake3 import blake3

from nightferry.core.errors import Gone, Held, Misconfigured, NightferryError, NoSpace, Occupied, Unreachable
from nightferry.core.frame import Digest, Fact, Frame
from nightferry.core.receipt import Outcome, Result
from nightferry.core.step import DELIVER
from nightferry.core.store import BUFFER_SIZE, Attested, Linked, Load, PutAnswer, Store, StorePath
from nightferry.disk.errors import translated
from nightferry.steps.pull import SHELVED
from nightferry.steps.readback import read_back


@dataclass(frozen=True, slots=True)
class Deliver:
    """The step that stores frames in one archive.

    ``naming`` tells a frame's name there. ``verify`` says how the proof is obtained: ``reread`` reads every
    byte back from the archive; ``server`` takes the word of a server that tells by a digest of its own what it holds
    (`Attested`), and reads back where there is no such word. The receipt says which it was.

    Where the archive is on the shelf's own disk a frame is linked, not copied: the bytes are those that were digested
    in flight and synced, and reading them back at once would only ask the page cache. The receipt then says
    ``linked``, and `nightferry.steps.clear` reads them back before it deletes.
    """

    store: Store
    target: str
    naming: Callable[[Frame], StorePath]
    verify: Literal["reread", "server"] = "reread"
    name: str = DELIVER
    version: str = "1"

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Store each frame and prove it.

        What concerns the archive as a whole (`Unreachable`, `NoSpace`, `Misconfigured`) is raised as well, behind
        the answers that there are.
        """
        sound: list[Frame] = []
        for frame in batch:
            if (found := changed_here(frame)) is None:
                sound.append(frame)
            else:
                yield Result(frame, Outcome.FAILED, taken_away(frame, found), {"found": found})
        if sound:
            yield from self._deliver(sound)

    def _deliver(self, batch: Sequence[Frame]) -> Iterator[Result]:
        started = time.perf_counter()
        names = [self.naming(frame) for frame in batch]
        answers = list(self.store.put([Load(frame.file, name) for frame, name in zip(batch, names, strict=True)]))
        doubtful = [name for name, answer in zip(names, answers, strict=True) if self._to_reread(answer)]
        found = read_back(self.store, doubtful) if doubtful else iter(())
        share = (time.perf_counter() - started) / len(batch)
        for frame, name, answer in zip(batch, names, answers, strict=True):
            proof: dict[str, Fact] = {"name": name, "archive": self.store.traits.label}
            if isinstance(answer, Linked):
                yield Result(frame, Outcome.DONE, "", proof | {"how": "linked"}, frame, share)
            elif isinstance(answer, Attested) and not self._to_reread(answer):
                yield Result(frame, *self._believe(frame, name, answer, proof), frame, share)
            elif answer is None or isinstance(answer, Attested | Occupied):
                began = time.perf_counter()
                result = self._judge(frame, name, next(found), proof, answer if isinstance(answer, Occupied) else None)
                yield Result(frame, *result, frame, share + time.perf_counter() - began)
            else:
                yield _refused(frame, answer, proof, share)
        next(found, None)  # its end lets go of its connection, whatever is raised next
        for answer in answers:
            if isinstance(answer, (Unreachable, NoSpace, Misconfigured)):
                raise answer

    def _to_reread(self, answer: PutAnswer) -> bool:
        """Whether only reading back can prove this; a taken name may hold these very bytes after a crash."""
        return (
            answer is None or isinstance(answer, Occupied) or (isinstance(answer, Attested) and self.verify != "server")
        )

    def _believe(
        self, frame: Frame, name: StorePath, word: Attested, proof: dict[str, Fact]
    ) -> tuple[Outcome, str, dict[str, Fact]]:
        """Take a server's word, if the bytes that it speaks of were the frame's."""
        if word.digest == frame.digest:
            return Outcome.DONE, "", proof | {"how": "server", "attested": word.word, "was_there": False}
        return self._judge(frame, name, Digest(word.digest), proof, None)

    def _judge(
        self,
        frame: Frame,
        name: StorePath,
        found: Digest | NightferryError,
        proof: dict[str, Fact],
        taken: Occupied | None,
    ) -> tuple[Outcome, str, dict[str, Fact]]:
        """Compare what was read back with what the frame is; ``taken`` says that the store had the name already."""
        label = self.store.traits.label
        if isinstance(found, Unreachable):
            raise found
        if taken and isinstance(found, Gone):  # not the file's own name, but one of a folder that it needs
            return Outcome.HELD, f"{taken}; move that away, then release this frame", proof
        if isinstance(found, NightferryError):
            return Outcome.FAILED, f"reading {name} back failed: {found}", proof
        if found == frame.digest:
            return Outcome.DONE, "", proof | {"how": "reread", "was_there": taken is not None}
        if taken:
            reason = (
                f"{label} holds other bytes under {name} (BLAKE3 {found[:16]}, ours {frame.digest[:16]}); nothing was "
                "overwritten: move that file away or change archive.name, then release this frame"
            )
            return Outcome.HELD, reason, proof | {"found": found}
        if (changed := changed_here(frame, fresh=False)) is not None:
            return Outcome.FAILED, taken_away(frame, changed), proof | {"found": found}
        reason = (
            f"{label}: {name} read back with BLAKE3 {found[:16]} instead of {frame.digest[:16]}: it was damaged on "
            "the way or on that disk; check the disk"
        )
        return Outcome.FAILED, reason, proof | {"found": found}


def changed_here(frame: Frame, *, fresh: bool = True) -> Digest | None:
    """Read a working file again and tell its digest when it is no longer the frame's.

    Who changes a file in an archive changes the working file that is linked to it, too, and must not have that
    delivered. Reading is spared for those that are ``fresh``: landed in this pass, and linked to nothing yet.
    """
    with translated(frame.file, "the shelf"):
        try:
            if fresh and not frame.facts.get(SHELVED) and os.stat(frame.file).st_nlink == 1:  # noqa: PTH116 - as cheap as it gets, once a frame
                return None
            with frame.file.open("rb", buffering=0) as file:
                hasher = blake3()
                while chunk := file.read(BUFFER_SIZE):
                    hasher.update(chunk)
        except FileNotFoundError:
            return None  # the store says so itself
    found = Digest(hasher.hexdigest())
    return None if found == frame.digest else found


def taken_away(frame: Frame, found: Digest) -> str:
    """Take a working file away that is no longer what was pulled or made, and say so; it comes anew."""
    with translated(frame.file, "the shelf"):
        frame.file.unlink(missing_ok=True)
    again = "made" if frame.parents else "pulled"
    return (
        f"the working file has BLAKE3 {found[:16]} instead of {frame.digest[:16]}: it was changed on the shelf, or in "
        f"an archive that is linked to it; it is taken away and {again} anew"
    )


def _refused(frame: Frame, answer: NightferryError, proof: dict[str, Fact], seconds: float) -> Result:
    outcome = Outcome.HELD if isinstance(answer, Held) and not isinstance(answer, Gone) else Outcome.FAILED
    return Result(frame, outcome, str(answer), proof, None, seconds)
