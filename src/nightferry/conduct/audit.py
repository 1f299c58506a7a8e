"""Audit: read again what was delivered, and compare it with the ledger."""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice

from nightferry.conduct.attempt import host_name
from nightferry.conduct.route import Route, now_us
from nightferry.core.errors import Gone, NightferryError
from nightferry.core.frame import Digest
from nightferry.core.ledger import Ledger, Proof
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.steps.readback import read_back

_BATCH = 32


class Verdict(StrEnum):
    """What an audit says of one frame in one archive."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Finding:
    """One frame that was read again."""

    archive: str
    proof: Proof
    verdict: Verdict
    reason: str = ""


def audit(
    route: Route,
    ledger: Ledger,
    evenings: Sequence[date] | None = None,
    *,
    sample: float = 1.0,
    salt: str = "",
    stop: threading.Event,
) -> Iterator[Finding]:
    """Read frames back from every archive and yield a finding for each; each also leaves a receipt.

    ``sample`` is the share of frames, from 0 to 1, chosen by a digest of identity and ``salt``: another salt
    (the date, say) chooses others, so that small samples reach all frames in time. Raises `Unreachable` when an
    archive is.
    """
    for archive, delivery in route.deliveries.items():
        chosen = (
            proof for proof in ledger.proofs(route.telescope.name, archive, evenings) if _chosen(proof, sample, salt)
        )
        while (batch := list(islice(chosen, _BATCH))) and not stop.is_set():
            names = [StorePath(proof.name) for proof in batch]
            found = [
                _judge(archive, proof, answer)
                for proof, answer in zip(batch, read_back(delivery.store, names), strict=True)
            ]
            ledger.record([_receipt(finding) for finding in found])
            yield from found


def _chosen(proof: Proof, sample: float, salt: str) -> bool:
    number = hashlib.blake2b(f"{salt}{proof.frame}".encode(), digest_size=4).digest()
    return int.from_bytes(number, "big") < sample * 2**32


def _judge(archive: str, proof: Proof, answer: Digest | NightferryError) -> Finding:
    if isinstance(answer, Gone):
        return Finding(archive, proof, Verdict.MISSING, f"{archive} no longer has {proof.name}")
    if isinstance(answer, NightferryError):
        return Finding(archive, proof, Verdict.UNREADABLE, str(answer))
    if answer != proof.digest:
        reason = f"{archive}: {proof.name} has BLAKE3 {answer[:16]} instead of {(proof.digest or '')[:16]}"
        return Finding(archive, proof, Verdict.DAMAGED, reason)
    return Finding(archive, proof, Verdict.GOOD)


def _receipt(finding: Finding) -> Receipt:
    outcome = {Verdict.GOOD: Outcome.DONE, Verdict.UNREADABLE: Outcome.FAILED}.get(finding.verdict, Outcome.HELD)
    return Receipt(
        frame=finding.proof.frame,
        night=finding.proof.night,
        step="audit",
        version="1",
        outcome=outcome,
        reason=finding.reason,
        target=finding.archive,
        digest=finding.proof.digest if outcome is Outcome.DONE else None,
        proof={"name": finding.proof.name, "verdict": str(finding.verdict)},
        started_us=now_us(),
        host=host_name(),
    )
