"""What follows from a frame's receipts."""

from datetime import date

import pytest

from nightferry.core.balance import (
    Balance,
    Bin,
    Expectation,
    Standing,
    backoff_us,
    open_stages,
    standing_of,
)
from nightferry.core.frame import Digest, Fact, FrameId, Sighting
from nightferry.core.ledger import Account, Proof, proof_of
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath

NIGHT = Night("callisto", date(2026, 9, 12))
WANTED = Sighting(NIGHT, StorePath("20260912/a.fits"), 2880, 1_000_000, 2_000_000)
IGNORED = Sighting(NIGHT, StorePath("20260912/a.jpg"), 99, 1_000_000, 2_000_000, ignored="previews are not wanted")
REFUSED = Sighting(NIGHT, StorePath("20260912/b.fits"), 99, 1_000_000, 2_000_000, refused="no night in its name")
ROUTE = Expectation(("pull", "verify"), ("eso", "backup"), {"pull": "1", "verify": "1", "deliver": "1"})
SECOND = 1_000_000


def told(
    step: str,
    outcome: Outcome = Outcome.DONE,
    target: str = "",
    *,
    version: str = "1",
    reason: str = "because",
    started_us: int = 0,
    seconds: float = 0.0,
    proof: dict[str, Fact] | None = None,
    digest: str | None = None,
) -> Receipt:
    return Receipt(
        FrameId("f"),
        NIGHT,
        step,
        version,
        outcome,
        reason,
        target,
        None if digest is None else Digest(digest),
        proof or {},
        started_us,
        seconds,
    )


CARRIED = [told("pull"), told("verify")]
DELIVERED = [*CARRIED, told("deliver", target="eso"), told("deliver", target="backup")]


def test_frame_without_receipts_is_pending_at_the_first_step() -> None:
    assert standing_of(WANTED, [], ROUTE) == Standing(Bin.PENDING, "", "pull")


def test_frame_is_pending_at_the_first_step_that_is_not_done() -> None:
    assert standing_of(WANTED, [told("pull")], ROUTE) == Standing(Bin.PENDING, "", "verify")


def test_frame_that_every_archive_has_is_delivered() -> None:
    assert standing_of(WANTED, DELIVERED, ROUTE) == Standing(Bin.DELIVERED)


def test_frame_that_one_archive_lacks_is_pending_there() -> None:
    assert standing_of(WANTED, DELIVERED[:3], ROUTE) == Standing(Bin.PENDING, "", "deliver to backup")


def test_ignored_and_refused_frames_say_which_rule_it_was() -> None:
    assert standing_of(IGNORED, [], ROUTE) == Standing(Bin.IGNORED, "previews are not wanted", "list")
    assert standing_of(REFUSED, [], ROUTE) == Standing(Bin.HELD, "no night in its name", "list")


@pytest.mark.parametrize("seen", [IGNORED, REFUSED])
def test_delivered_frame_stays_delivered_when_a_rule_turns_against_it(seen: Sighting) -> None:
    assert standing_of(seen, DELIVERED, ROUTE) == Standing(Bin.DELIVERED)


def test_telescope_without_a_route_delivers_nothing() -> None:
    assert standing_of(WANTED, CARRIED, Expectation((), ())).bin is Bin.PENDING


def test_route_without_archives_ends_with_its_last_step() -> None:
    route = Expectation(("pull", "verify"), ())
    assert standing_of(WANTED, [told("pull")], route).bin is Bin.PENDING
    assert standing_of(WANTED, CARRIED, route).bin is Bin.DELIVERED


def test_clear_and_deliver_among_the_steps_are_no_stages_of_their_own() -> None:
    route = Expectation(("pull", "verify", "deliver", "clear"), ("eso", "backup"))
    assert standing_of(WANTED, DELIVERED, route).bin is Bin.DELIVERED


def test_new_archive_opens_a_delivered_frame_and_a_new_step_does_not() -> None:
    more = Expectation(ROUTE.steps, (*ROUTE.archives, "library"))
    assert standing_of(WANTED, DELIVERED, more) == Standing(Bin.PENDING, "", "deliver to library")
    solving = Expectation((*ROUTE.steps, "solve"), ROUTE.archives)
    assert standing_of(WANTED, DELIVERED, solving) == Standing(Bin.DELIVERED)


def test_failed_frame_is_tried_again_after_a_back_off_from_the_end_of_the_attempt() -> None:
    failed = told("pull", Outcome.FAILED, reason="connection lost", started_us=100 * SECOND, seconds=5.0)
    assert standing_of(WANTED, [failed], ROUTE) == Standing(Bin.FAILED, "connection lost", "pull", 135 * SECOND)


def test_back_off_doubles_with_each_failure_in_a_row_up_to_an_hour() -> None:
    assert [backoff_us(count) // SECOND for count in (1, 2, 3, 7, 8, 9, 10_000)] == [
        30,
        60,
        120,
        1920,
        3600,
        3600,
        3600,
    ]
    failed = told("pull", Outcome.FAILED)
    assert standing_of(WANTED, [failed, failed, failed], ROUTE).next_try_us == 120 * SECOND


def test_success_ends_the_row_of_failures() -> None:
    failed = told("pull", Outcome.FAILED)
    assert standing_of(WANTED, [failed, failed, told("pull"), failed], ROUTE).next_try_us == 30 * SECOND


@pytest.mark.parametrize("outcome", [Outcome.HELD, Outcome.BROKEN])
def test_held_and_broken_frames_wait_for_a_person(outcome: Outcome) -> None:
    assert standing_of(WANTED, [told("pull", outcome)], ROUTE) == Standing(Bin.HELD, "because", "pull")


@pytest.mark.parametrize("versions", [{"deliver": "2"}, {"deliver": "1", "deliver to eso": "2"}])
def test_newer_version_of_a_step_opens_what_the_older_one_held(versions: dict[str, str]) -> None:
    route = Expectation(ROUTE.steps, ("eso",), versions)
    standing = standing_of(WANTED, [*CARRIED, told("deliver", Outcome.HELD, "eso")], route)
    assert (standing.bin, standing.stage) == (Bin.PENDING, "deliver to eso")


def test_version_of_another_archive_opens_nothing() -> None:
    route = Expectation(ROUTE.steps, ("eso",), {"deliver to eso": "1", "deliver to backup": "2"})
    assert standing_of(WANTED, [*CARRIED, told("deliver", Outcome.HELD, "eso")], route).bin is Bin.HELD


def test_refusal_by_one_archive_does_not_keep_a_frame_from_another() -> None:
    held = [*CARRIED, told("deliver", Outcome.HELD, "eso", reason="occupied")]
    assert standing_of(WANTED, held, ROUTE) == Standing(Bin.PENDING, "", "deliver to backup")
    failed = [*held, told("deliver", Outcome.FAILED, "backup", reason="out of reach")]
    assert standing_of(WANTED, failed, ROUTE).bin is Bin.FAILED
    done = [*failed, told("deliver", target="backup")]
    assert standing_of(WANTED, done, ROUTE) == Standing(Bin.HELD, "occupied", "deliver to eso")


def test_of_two_failed_deliveries_the_one_due_first_decides_when_to_try_again() -> None:
    failed = [
        *CARRIED,
        told("deliver", Outcome.FAILED, "eso", started_us=500 * SECOND),
        told("deliver", Outcome.FAILED, "backup", started_us=100 * SECOND),
    ]
    assert standing_of(WANTED, failed, ROUTE).next_try_us == 130 * SECOND


def test_open_stages_are_all_deliveries_or_the_one_step_before_them() -> None:
    assert [stage[:2] for stage in open_stages([told("pull")], ROUTE)] == [("verify", "")]
    assert [stage[:2] for stage in open_stages(CARRIED, ROUTE)] == [("deliver", "eso"), ("deliver", "backup")]
    assert open_stages(DELIVERED, ROUTE) == []


def test_later_failure_cannot_undo_a_proven_delivery() -> None:
    assert standing_of(WANTED, [*DELIVERED, told("deliver", Outcome.FAILED, "eso")], ROUTE).bin is Bin.DELIVERED


def test_pull_that_fails_again_before_the_delivery_is_not_hidden_by_the_first() -> None:
    again = [*CARRIED, told("pull", Outcome.HELD, reason="gone")]
    assert standing_of(WANTED, again, ROUTE) == Standing(Bin.HELD, "gone", "pull")


def test_release_opens_what_is_held() -> None:
    released = [told("pull", Outcome.HELD), told("release")]
    assert standing_of(WANTED, released, ROUTE) == Standing(Bin.PENDING, "", "pull")


def test_release_overrules_the_verdict_of_verify() -> None:
    released = [told("pull"), told("verify", Outcome.HELD), told("release")]
    assert standing_of(WANTED, released, ROUTE) == Standing(Bin.PENDING, "", "deliver to eso")


def test_release_says_nothing_about_what_is_held_later() -> None:
    later = [told("pull", Outcome.HELD), told("release"), told("pull", Outcome.HELD, reason="again")]
    assert standing_of(WANTED, later, ROUTE) == Standing(Bin.HELD, "again", "pull")


def test_dropped_frame_is_ignored_until_it_is_released() -> None:
    drop = told("release", reason="test exposure", proof={"drop": True})
    dropped = [told("pull", Outcome.HELD), drop]
    assert standing_of(WANTED, dropped, ROUTE) == Standing(Bin.IGNORED, "dropped: test exposure", "release")
    assert standing_of(REFUSED, [drop], ROUTE).bin is Bin.IGNORED
    assert standing_of(WANTED, [*dropped, told("release")], ROUTE) == Standing(Bin.PENDING, "", "pull")


def test_drop_cannot_undo_a_delivery() -> None:
    assert standing_of(WANTED, [*DELIVERED, told("release", proof={"drop": True})], ROUTE).bin is Bin.DELIVERED


def test_only_pending_and_overdue_frames_are_due() -> None:
    assert Standing(Bin.PENDING).due(0)
    assert Standing(Bin.FAILED, next_try_us=10).due(10)
    assert not Standing(Bin.FAILED, next_try_us=10).due(9)
    assert Standing(Bin.FAILED, next_try_us=10).due(9, retry=True)
    assert not any(Standing(settled).due(9, retry=True) for settled in (Bin.HELD, Bin.IGNORED, Bin.DELIVERED))


def test_balance_is_balanced_only_when_each_frame_is_in_one_bin() -> None:
    assert Balance(NIGHT, seen=5, delivered=1, held=1, failed=1, ignored=1, pending=1).balanced
    assert not Balance(NIGHT, seen=5, delivered=4).balanced


def test_balance_is_closed_when_the_machine_has_nothing_left_to_do() -> None:
    assert Balance(NIGHT, seen=3, delivered=1, held=1, ignored=1).closed
    assert not Balance(NIGHT, seen=1, failed=1).closed
    assert not Balance(NIGHT, seen=1, pending=1).closed
    assert not Balance(NIGHT, seen=2, delivered=1).closed


def account(*receipts: Receipt) -> Account:
    return Account(WANTED, Standing(Bin.DELIVERED), receipts)


def proof(*receipts: Receipt) -> Proof:
    made = proof_of(account(*receipts), "eso")
    assert made is not None
    return made


def test_frame_that_was_never_delivered_to_an_archive_has_no_proof() -> None:
    held = told("deliver", Outcome.HELD, "eso")
    assert proof_of(account(told("pull", digest="aa"), held, told("deliver", target="backup")), "eso") is None


def test_proof_tells_source_and_copy() -> None:
    delivery = told("deliver", target="eso", digest="bb", proof={"name": "2026/x.fits"}, started_us=7)
    assert proof(told("pull", digest="aa"), delivery) == Proof(
        WANTED.id,
        NIGHT,
        WANTED.path,
        2880,
        1_000_000,
        Digest("bb"),
        "2026/x.fits",
        2_000_000,  # it cannot have been delivered before it was seen
        7,
        doubt="",
        cleared=False,
        raw=Digest("aa"),
        seen_us=2_000_000,
    )


def test_delivery_without_a_digest_of_its_own_is_proven_by_that_of_the_pull() -> None:
    made = proof(told("pull", digest="aa"), told("deliver", target="eso"))
    assert (made.digest, made.name) == ("aa", "")


def test_audit_renews_a_proof_or_casts_doubt_on_it() -> None:
    delivery = told("deliver", target="eso", started_us=1)
    good = told("audit", target="eso", started_us=2)
    bad = told("audit", Outcome.HELD, "eso", reason="digest differs", started_us=3)
    assert proof(delivery, good)[8:10] == (2, "")
    assert proof(delivery, good, bad)[8:10] == (2, "digest differs")
    assert proof(delivery, bad, good)[8:10] == (2, "")


def test_audit_that_saw_nothing_or_looked_elsewhere_changes_no_proof() -> None:
    delivery = told("deliver", target="eso", started_us=1)
    unreachable = told("audit", Outcome.FAILED, "eso", started_us=4)
    elsewhere = told("audit", Outcome.HELD, "backup", started_us=5)
    assert proof(delivery, unreachable, elsewhere)[8:10] == (1, "")


def test_proof_says_when_the_source_is_cleared() -> None:
    delivery = told("deliver", target="eso")
    assert not proof(delivery, told("clear", Outcome.HELD)).cleared
    assert proof(delivery, told("clear")).cleared


def test_an_audit_that_finds_other_bytes_takes_a_delivery_back() -> None:
    doubtful = [*DELIVERED, told("audit", Outcome.HELD, "eso", reason="other bytes")]
    assert standing_of(WANTED, doubtful, ROUTE) == Standing(Bin.HELD, "other bytes", "deliver to eso")
    released = [*doubtful, told("release")]
    assert standing_of(WANTED, released, ROUTE) == Standing(Bin.PENDING, "", "deliver to eso")


def test_an_audit_that_finds_the_right_bytes_again_restores_the_delivery() -> None:
    receipts = [*DELIVERED, told("audit", Outcome.HELD, "eso"), told("audit", target="eso")]
    assert standing_of(WANTED, receipts, ROUTE).bin is Bin.DELIVERED


def test_an_audit_that_could_not_read_changes_nothing() -> None:
    assert standing_of(WANTED, [*DELIVERED, told("audit", Outcome.FAILED, "eso")], ROUTE).bin is Bin.DELIVERED
