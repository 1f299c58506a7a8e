"""Clear: delete frames at the source, only with proof, and with a receipt for each.

A frame is deleted when all of this holds: every archive of its telescope has it, read back byte for byte now; no
archive is the source by another road; no audit doubts it; the grace period is over; the file at the source is still the
one that was pulled. Where its time there cannot prove that, its bytes do. Where the archives have a product instead,
the raw file is first rebuilt from an archive's copy, here and now, and compared with what came. After the first
deletion the archives' copies are looked at again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightferry.core.errors import Gone, Held, Misconfigured, NightferryError, TryAgain, Unreachable
from nightferry.core.frame import Digest, Fact, FrameId
from nightferry.core.ledger import Proof
from nightferry.core.receipt import Outcome
from nightferry.core.step import CLEAR
from nightferry.core.store import Entry, Store, StorePath
from nightferry.disk.errors import translated
from nightferry.steps.fetchback import fetch_back
from nightferry.steps.readback import read_back
from nightferry.steps.rebuild import restore_raw

#: A file's time is believed where we saw it within so long after, or a little before it by our own clock.
_FRESH_US, _AHEAD_US = 36 * 3600 * 1_000_000, 15 * 60 * 1_000_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that may be deleted at the source, with the proof of each archive.

    ``raw`` is the digest of what was pulled; ``recipe`` leads back to it from what the archives have, where that is a
    product. ``seen_us`` is when the telescope first showed it.
    """

    frame: FrameId
    path: StorePath
    size: int
    mtime_us: int | None
    proofs: Mapping[str, Proof]
    raw: Digest | None = None
    recipe: str = ""
    seen_us: int = 0

    @property
    def dated(self) -> bool:
        """Whether its time at the telescope tells it from any other file of its name and size.

        It does where it was fresh when we first saw it. A clock that begins anew with each start, or that nobody set,
        gives the same time to many files.
        """
        return self.mtime_us is not None and -_AHEAD_US <= self.seen_us - self.mtime_us <= _FRESH_US

    @property
    def rebuilt(self) -> bool:
        """Whether the archives have a product, which must lead back to the raw file."""
        return any(proof.digest != self.raw for proof in self.proofs.values())


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


def _doubtful(
    candidate: Candidate, answers: Mapping[str, Digest | NightferryError], seconds: float
) -> Clearance | None:
    """Report the archive that does not have what it was given; None when all do."""
    for name, answer in answers.items():
        if isinstance(answer, NightferryError):
            outcome = Outcome.HELD if isinstance(answer, Gone) else Outcome.FAILED
            return Clearance(candidate, outcome, f"{name} could not be read back: {answer}", {}, seconds, name)
        if answer != candidate.proofs[name].digest:
            reason = f"{name} holds other bytes now (BLAKE3 {answer[:16]}): the source may be the last good copy"
            return Clearance(candidate, Outcome.HELD, reason, {"found": answer}, seconds, name)
    return None


@dataclass(frozen=True, slots=True)
class Clear:
    """The step that deletes at the source.

    ``archives`` are all that must hold a frame; ``scratch`` is a folder of ours, where raw files are rebuilt.
    """

    source: Store
    archives: Mapping[str, Store]
    scratch: Path | None = None
    name: str = CLEAR
    version: str = "1"

    def __call__(self, batch: Sequence[Candidate], *, dry_run: bool = False) -> Iterator[Clearance]:
        """Prove each candidate anew and delete it; ``dry_run`` does all but delete.

        Raises `Unreachable` and `Misconfigured` for the rest of the batch.
        """
        started = time.perf_counter()
        found = {name: list(self._read(store, name, batch)) for name, store in self.archives.items()}
        entries = list(self.source.stat([candidate.path for candidate in batch]))
        share = (time.perf_counter() - started) / max(1, len(batch))
        unproven = not dry_run
        for place, (candidate, entry) in enumerate(zip(batch, entries, strict=True)):
            answers = {name: answers[place] for name, answers in found.items()}
            answer = self._one(candidate, entry, answers, share, dry_run=dry_run)
            yield answer
            if unproven and answer.outcome is Outcome.DONE:
                unproven = False
                self._look_again(candidate)

    def _look_again(self, candidate: Candidate) -> None:
        """See to it that the copies of a frame that was just deleted are still there; raises `Misconfigured`."""
        for name, store in self.archives.items():
            proof = candidate.proofs[name]
            (answer,) = read_back(store, [StorePath(proof.name)])
            if answer != proof.digest:
                raise Misconfigured(
                    f"{name} no longer has {proof.name} since {candidate.path} was deleted at the source: the two are "
                    "one place, so nothing more is deleted. The frame is still on the shelf; have the archive stand "
                    f"elsewhere, then get it back with: nightferry restore {candidate.frame[:12]} --into DIR"
                )

    def _why_lost(self, candidate: Candidate) -> str:
        """Say why the raw file could not be had again once it is deleted; empty when it was rebuilt just now."""
        name, store = next(iter(self.archives.items()))
        proof = candidate.proofs[name]
        if not candidate.recipe or candidate.raw is None or proof.digest is None or self.scratch is None:
            return "the ledger keeps no recipe that leads back to the raw file, so it stays"
        product, raw = self.scratch / "product", self.scratch / "raw"
        with translated(self.scratch, "the shelf"):
            for left in (product, raw):  # by a kill
                left.unlink(missing_ok=True)
            try:
                fetch_back(store, StorePath(proof.name), proof.digest, product)
                restore_raw(product, candidate.recipe, raw, digest=candidate.raw)
            except Held as err:
                return f"the raw file could not be rebuilt from {name}, so it stays: {err}"
            finally:
                product.unlink(missing_ok=True)
                raw.unlink(missing_ok=True)
        return ""

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
        if (doubtful := _doubtful(candidate, answers, seconds)) is not None:
            return doubtful
        if entry is None:
            return Clearance(candidate, None, "it is no longer at the source, and it was not we who deleted it")
        if candidate.rebuilt and (lost := self._why_lost(candidate)):
            return Clearance(candidate, None, lost)
        if not entry.agrees_with(candidate.size, candidate.mtime_us):
            return Clearance(candidate, None, "the file at the source is another one now")
        exact = entry.mtime_us is not None and not entry.resolution_us and candidate.dated
        if not exact and (reason := self._compare_source(candidate)):
            return Clearance(candidate, None, reason)
        if dry_run:
            return Clearance(candidate, None, "")
        if (trouble := self._remove(candidate.path)) is not None:
            return Clearance(candidate, Outcome.FAILED, f"deleting failed: {trouble}", {}, seconds)
        proof: dict[str, Fact] = {"size": candidate.size, "mtime_us": candidate.mtime_us}
        if candidate.rebuilt:
            proof["rebuilt"] = candidate.raw
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
        """Say why the file at the source is not known to be the one that was pulled; empty when its bytes are those."""
        answer = next(read_back(self.source, [candidate.path]))
        if isinstance(answer, NightferryError):
            return f"its time proves nothing, and its bytes at the source could not be compared: {answer}"
        return "" if answer == candidate.raw else "the file at the source is another one now"
