"""Clearing: find what may be deleted at the source, have it deleted, and say why not for the rest."""

from collections.abc import Container, Sequence
from dataclasses import replace
from datetime import date

from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.core.frame import FrameId
from nightferry.core.instant import utc_text
from nightferry.core.ledger import Ledger, Proof, Stamps
from nightferry.core.night import Night
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.step import AUDIT
from nightferry.passes.receipts import noted, now_us
from nightferry.passes.restore import recipe_of
from nightferry.passes.route import Route
from nightferry.steps.clear import Candidate, Clear, Clearance, why_kept
from nightferry.steps.probe import shared_place

_BATCH = 32
#: A clock that is this much behind the ledger's newest stamp is wrong, or was, in microseconds.
_SLACK_US = 3600 * 1_000_000


def clear(
    route: Route,
    ledger: Ledger,
    evenings: Sequence[date] | None,
    *,
    onlooker: Onlooker,
    dry_run: bool = False,
) -> list[Clearance]:
    """Delete what is proven delivered; answer for every frame of the nights that is not cleared yet.

    The caller holds the route's lock and has checked that the configuration asks for clearing at all. Receipts
    are written batch by batch, so that a crash forgets no deletion but the last few, which the next clearing
    finds as gone. Frames that a store out of reach concerns are answered with that; raises `Misconfigured` for a
    store that refuses us.
    """
    after = route.telescope.clear_after
    if after is None:
        return []
    if route.handover >= route.deliveries.keys():
        raise Misconfigured(
            f"telescope.{route.telescope.name} hands its frames over to others and keeps them nowhere, so nothing is "
            'deleted at the source: name an archive of kind = "keep" in its archives'
        )
    candidates = _candidates(route, ledger, evenings)
    answers = _not_delivered(route, ledger, evenings, {candidate.frame for _, candidate in candidates})
    ready: list[tuple[Night, Candidate]] = []
    stamps = ledger.stamps(route.telescope.name) if candidates else Stamps()
    if now_us() < stamps.newest_us - _SLACK_US:
        reason = (
            f"this machine's clock says {utc_text(now_us())}, and the ledger's newest receipt is of "
            f"{utc_text(stamps.newest_us)}: one of them is wrong, so nothing is deleted; set the clock"
        )
        onlooker.note(reason)
        return [*answers, *(Clearance(candidate, None, reason) for _, candidate in candidates)]
    for night, candidate in ((night, _as_stamped(candidate, stamps)) for night, candidate in candidates):
        reason = why_kept(candidate, tuple(route.deliveries), after, now_us())
        if reason:
            answers.append(Clearance(candidate, None, reason))
        else:
            ready.append((night, candidate))
    step = route.clearing()
    if ready and not dry_run and (reason := _one_place(step, [candidate for _, candidate in ready])):
        onlooker.note(reason)
        return [*answers, *(Clearance(candidate, Outcome.FAILED, reason) for _, candidate in ready)]
    for start in range(0, len(ready), _BATCH):
        batch = ready[start : start + _BATCH]
        cleared: list[Clearance] = []
        try:
            cleared.extend(step([_with_recipe(ledger, candidate) for _, candidate in batch], dry_run=dry_run))
        except TryAgain as err:
            onlooker.note(str(err))
            left = ready[start + len(cleared) :]
            return [*answers, *cleared, *(Clearance(candidate, Outcome.FAILED, str(err)) for _, candidate in left)]
        finally:  # what was deleted has its receipt, whatever came after it
            if not dry_run:
                receipts = [
                    _receipt(step, night, clearance)
                    for (night, _), clearance in zip(batch, cleared, strict=False)
                    if clearance.outcome is not None
                ]
                ledger.record(receipts)
        answers.extend(cleared)
    return answers


def _candidates(route: Route, ledger: Ledger, evenings: Sequence[date] | None) -> list[tuple[Night, Candidate]]:
    """GroupStep the proofs of all archives for each frame that is still at the source, as far as we know."""
    proofs: dict[FrameId, dict[str, Proof]] = {}
    for archive in route.deliveries:
        for proof in ledger.proofs(route.telescope.name, archive, evenings):
            if not proof.cleared:
                proofs.setdefault(proof.frame, {})[archive] = proof
    found = []
    for frame, by_archive in proofs.items():
        one = next(iter(by_archive.values()))
        candidate = Candidate(frame, one.path, one.size, one.mtime_us, by_archive, one.raw, seen_us=one.seen_us)
        found.append((one.night, candidate))
    return found


def _as_stamped(candidate: Candidate, stamps: Stamps) -> Candidate:
    """Count the grace of a delivery that was stamped by a clock behind from the stamp that it was behind of."""
    floor = stamps.behind.get(candidate.frame, 0)
    proofs = {
        name: proof._replace(delivered_us=max(proof.delivered_us, floor)) for name, proof in candidate.proofs.items()
    }
    return replace(candidate, proofs=proofs)


def _with_recipe(ledger: Ledger, candidate: Candidate) -> Candidate:
    """Add what leads back from a product to the raw file; it is read for the batch in hand only, for it is long."""
    if not candidate.rebuilt:
        return candidate
    digest = next(iter(candidate.proofs.values())).digest
    return replace(candidate, recipe=recipe_of(ledger.history(candidate.frame), digest))


def _one_place(step: Clear, ready: Sequence[Candidate]) -> str:
    """Return why nothing may be deleted at the source, as far as probes in the archives tell."""
    names = {archive: [candidate.proofs[archive].name for candidate in ready] for archive in step.archives}
    assert step.scratch is not None  # noqa: S101 - a route's clearing has one
    return shared_place(step.source, step.archives, names, step.scratch)


def _not_delivered(
    route: Route, ledger: Ledger, evenings: Sequence[date] | None, proven: Container[FrameId]
) -> list[Clearance]:
    """Say why frames stay that have no proof at all."""
    bins = (Bin.PENDING, Bin.FAILED, Bin.HELD)
    return [
        Clearance(
            Candidate(account.sighting.id, account.sighting.path, account.sighting.size, account.sighting.mtime_us, {}),
            None,
            f"{account.standing.bin}: {account.standing.reason or 'not carried yet'}",
        )
        for account in ledger.accounts(route.telescope.name, evenings, bins)
        if account.sighting.id not in proven
    ]


def _receipt(step: Clear, night: Night, clearance: Clearance) -> Receipt:
    """Make the receipt of a deletion, or of the doubt that prevented it."""
    doubtful = clearance.outcome is Outcome.HELD and clearance.archive
    return noted(
        clearance.candidate.frame,
        night,
        AUDIT if doubtful else step.name,
        clearance.outcome or Outcome.FAILED,
        clearance.reason,
        version=step.version,
        target=clearance.archive if doubtful else "",
        proof=clearance.proof or {},
        seconds=clearance.seconds,
    )
