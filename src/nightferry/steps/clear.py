"""Clear: delete frames at the source, only with proof, and with a receipt for each.

A frame is deleted when all of this holds: every archive of its telescope has it, read back byte for byte now;
no audit doubts it; the grace period is over; the file at the source is still the one that was pulled.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nightferry.core.errors import Gone, NightferryError, TryAgain, Unreachable
from nightferry.core.frame import Digest, Fact, FrameId
from nightferry.core.ledger import Proof
from nightferry.core.receipt import Outcome
from nightferry.core.store import Entry, Store, StorePath
from nightferry.steps.readback import read_back


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may be deleted at the source, with the proof of each archive."""

    frame: FrameId
    path: StorePath
    size: int
    mtime_us: int | None
    proofs: Mapping[str, Proof]


@dataclass(frozen=True, slots=True)
class Clearance:
    """What became of a candidate: cleared, or why it stays."""

    candidate: Candidate
    outcome: Outcome | None  #: None: nothing was done, and nothing is wrong
    reason: str = ""
    proof: Mapping[str, Fact] | None = None
    seconds: float = 0.0
    archive: str = ""  #: the archive whose copy is in doubt


def why_kept(candidate: Candidate, archives: Sequence[str], after: float, now_us: int) -> str:
    """Say why a frame may not be deleted yet, from the ledger alone; empty when it may."""
    digests = set()
    for archive in archives:
        proof = candidate.proofs.get(archive)
        if proof is None or proof.digest is None:
            return f"not delivered to {archive}"
        if proof.doubt:
            return f"doubtful in {archive}: {proof.doubt}"
        digests.add(proof.digest)
    if len(digests) != 1:
        return "the archives were given different bytes"
    wait = after - (now_us - max(proof.delivered_us for proof in candidate.proofs.values())) / 1e6
    if wait > 0:
        return f"the grace period lasts {_span(wait)} more"
    return ""


def _span(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True, slots=True)
class Clear:
    """The step that deletes at the source. ``archives`` are all that must hold a frame."""

    source: Store
    archives: Mapping[str, Store]
    name: str = "clear"
    version: str = "1"

    def __call__(self, batch: Sequence[Candidate], *, dry_run: bool = False) -> Iterator[Clearance]:
        """Prove each candidate anew and delete it; ``dry_run`` does all but delete.

        Raises `Unreachable` and `Misconfigured` for the rest of the batch.
        """
        started = time.perf_counter()
        found = {name: list(self._read(store, name, batch)) for name, store in self.archives.items()}
        entries = list(self.source.stat([candidate.path for candidate in batch]))
        share = (time.perf_counter() - started) / max(1, len(batch))
        for place, (candidate, entry) in enumerate(zip(batch, entries, strict=True)):
            answers = {name: answers[place] for name, answers in found.items()}
            yield self._one(candidate, entry, answers, share, dry_run=dry_run)

    def _read(self, store: Store, name: str, batch: Sequence[Candidate]) -> Iterator[Digest | NightferryError]:
        return read_back(store, [StorePath(candidate.proofs[name].name) for candidate in batch])

    def _one(
        self,
        candidate: Candidate,
        entry: Entry | None,
        answers: Mapping[str, Digest | NightferryError],
        seconds: float,
        *,
        dry_run: bool,
    ) -> Clearance:
        for name, answer in answers.items():
            if isinstance(answer, NightferryError):
                outcome = Outcome.HELD if isinstance(answer, Gone) else Outcome.FAILED
                return Clearance(candidate, outcome, f"{name} could not be read back: {answer}", {}, seconds, name)
            if answer != candidate.proofs[name].digest:
                reason = f"{name} holds other bytes now (BLAKE3 {answer[:16]}): the source may be the last good copy"
                return Clearance(candidate, Outcome.HELD, reason, {"found": answer}, seconds, name)
        if entry is None:
            return Clearance(candidate, Outcome.DONE, "", {"was_gone": True}, seconds)
        if not entry.agrees_with(candidate.size, candidate.mtime_us):
            return Clearance(candidate, None, "the file at the source is another one now")
        if (entry.mtime_us is None or candidate.mtime_us is None) and (reason := self._compare_source(candidate)):
            return Clearance(candidate, None, reason)
        if dry_run:
            return Clearance(candidate, None, "")
        if (trouble := self._remove(candidate.path)) is not None:
            return Clearance(candidate, Outcome.FAILED, f"deleting failed: {trouble}", {}, seconds)
        proof: dict[str, Fact] = {"size": candidate.size, "mtime_us": candidate.mtime_us}
        proof |= {f"read back from {name}": str(answer) for name, answer in answers.items()}
        return Clearance(candidate, Outcome.DONE, "", proof, seconds)

    def _remove(self, path: StorePath) -> TryAgain | None:
        """Delete one file, and tell what kept us from it; raises what concerns the whole source."""
        try:
            self.source.remove(path)
        except Gone:
            return None  # somebody else was faster; the result is the same
        except Unreachable:
            raise
        except TryAgain as err:
            return err
        return None

    def _compare_source(self, candidate: Candidate) -> str:
        """Where the source tells no times, only its bytes can say that the file is still the same."""
        digest = next(iter(candidate.proofs.values())).digest
        answer = next(read_back(self.source, [candidate.path]))
        return "" if answer == digest else "the file at the source is another one now"
