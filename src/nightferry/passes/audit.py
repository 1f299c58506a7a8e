"""Audit: read again what was delivered, compare it with the ledger, and tell what nobody delivered."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import islice

from nightferry.core.audit import Finding, Stranger, Verdict
from nightferry.core.errors import Gone, NightferryError, Unreachable
from nightferry.core.frame import Digest
from nightferry.core.ledger import Ledger, Proof
from nightferry.core.names import is_probe
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import AUDIT
from nightferry.core.store import Entry, Store, StorePath
from nightferry.passes.receipts import noted
from nightferry.passes.route import Route
from nightferry.steps.readback import read_back

_BATCH = 32


def strangers(archive: str, store: Store, ledger: Ledger, ours: Callable[[StorePath], bool]) -> Iterator[Stranger]:
    """List an archive and yield what nobody ever delivered there, in order of names.

    ``ours`` says which files and folders belong to nightferry itself. Raises `Unreachable` when the archive is.
    """
    known = ledger.delivered_names(archive)
    found = [
        Stranger(archive, item.path, item.size)
        for item in store.list(lambda folder: not ours(folder))
        if isinstance(item, Entry)
        and item.path not in known
        and not (ours(item.path) or is_probe(item.path.rpartition("/")[2]))
    ]
    yield from sorted(found, key=lambda stranger: stranger.name)


def audit(
    route: Route,
    ledger: Ledger,
    evenings: Sequence[date] | None = None,
    *,
    sample: float = 1.0,
    salt: str = "",
    stop: threading.Event,
) -> Iterator[Finding]:
    """Read frames and products of many back from every archive; yield a finding and leave a receipt for each.

    ``sample`` is the share of frames, from 0 to 1, chosen by a digest of identity and ``salt``: another salt
    (the date, say) chooses others, so that small samples reach all frames in time. Frames may be carried
    meanwhile. Raises `Unreachable` when an archive is, once all others were audited.
    """
    away: Unreachable | None = None
    for archive, delivery in route.deliveries.items():
        chosen = (proof for proof in _proofs(route, ledger, archive, evenings) if _chosen(proof, sample, salt))
        while (batch := list(islice(chosen, _BATCH))) and not stop.is_set():
            names = [StorePath(proof.name) for proof in batch]
            try:
                answers = list(read_back(delivery.store, names))
            except Unreachable as err:
                away = away or err
                break
            found = [_judge(archive, proof, answer) for proof, answer in zip(batch, answers, strict=True)]
            if archive in route.handover:  # whoever it was handed over to took it away
                found = [one for one in found if one.verdict is not Verdict.MISSING]
            found = _still_so(route, ledger, archive, found)
            ledger.record([_receipt(finding) for finding in found])
            yield from found
    if away is not None:
        raise away


def _still_so(route: Route, ledger: Ledger, archive: str, found: Sequence[Finding]) -> list[Finding]:
    """Leave out what is bad of a frame that was delivered anew meanwhile: the archive has another file now."""
    evenings = sorted({one.proof.night.date for one in found if one.verdict is not Verdict.GOOD})
    if not evenings:
        return list(found)
    now = {proof.frame: proof for proof in _proofs(route, ledger, archive, evenings)}
    return [one for one in found if one.verdict is Verdict.GOOD or _same(one.proof, now.get(one.proof.frame))]


def _same(then: Proof, now: Proof | None) -> bool:
    return now is not None and (then.name, then.digest, then.delivered_us) == (now.name, now.digest, now.delivered_us)


def _proofs(route: Route, ledger: Ledger, archive: str, evenings: Sequence[date] | None) -> Iterator[Proof]:
    """Yield the proofs of all frames that an archive should have, then those of what was made of many frames."""
    return ledger.proofs(route.telescope.name, archive, evenings, made=True)


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
    return noted(
        finding.proof.frame,
        finding.proof.night,
        AUDIT,
        outcome,
        finding.reason,
        target=finding.archive,
        digest=finding.proof.digest if outcome is Outcome.DONE else None,
        proof={"name": finding.proof.name, "verdict": str(finding.verdict)},
    )
