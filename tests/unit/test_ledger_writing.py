"""What the ledger makes of sightings, receipts and expectations."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightferry.core.balance import Balance, Bin, Expectation, Standing
from nightferry.core.frame import Digest, Fact, Role, Sighting
from nightferry.core.ledger import Known, Ledger
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.sql import SqlLedger, open_ledger

FIRST, SECOND = date(2026, 9, 12), date(2026, 9, 13)
ROUTE = Expectation(("pull",), ("eso",), {"pull": "1", "deliver": "1"})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", wait=0.1)
    for telescope in ("callisto", "vespera"):
        opened.expect(telescope, ROUTE)
    yield opened
    opened.close()


def seen(path: str = "a.fits", *, size: int = 2880, mtime_us: int | None = 1, evening: date = FIRST,
         telescope: str = "callisto", ignored: str = "", refused: str = "") -> Sighting:  # fmt: skip
    night = Night(telescope, evening)
    return Sighting(night, StorePath(path), size, mtime_us, 5, Role.RAW, ignored, refused)


def told(sighting: Sighting, step: str = "pull", outcome: Outcome = Outcome.DONE, *, reason: str = "",
         started_us: int = 0, digest: str | None = None, name: str = "", version: str = "1") -> Receipt:  # fmt: skip
    proof: dict[str, Fact] = {"name": name} if name else {}
    target = "eso" if step in {"deliver", "audit"} else ""
    made = None if digest is None else Digest(digest)
    return Receipt(sighting.id, sighting.night, step, version, outcome, reason, target, made, proof, started_us)


def deliver(ledger: SqlLedger, *sightings: Sighting) -> None:
    ledger.record([told(one, step) for one in sightings for step in ("pull", "deliver")])


def frames(ledger: SqlLedger) -> dict[Sighting, Bin]:
    return {account.sighting: account.standing.bin for account in ledger.accounts()}


def count(ledger: SqlLedger, table: str) -> int:
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        (number,) = raw.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a table of ours
        return int(number)


def test_sql_ledger_is_a_ledger(ledger: SqlLedger) -> None:
    role: Ledger = ledger
    assert role.known("callisto") == {}


# --- sightings


def test_sighting_and_what_is_known_of_its_path_are_the_same(ledger: SqlLedger) -> None:
    one = seen("n/caf\udce9 \\xe9.fits", mtime_us=None, refused="bytes \udcff in its name")
    ledger.sight([one])
    assert ledger.known("callisto") == {
        one.path: Known(one.id, FIRST, 2880, None, 5, Bin.HELD, 0, "bytes \udcff in its name")
    }
    assert ledger.accounts()[0].sighting == one


def test_telescope_that_showed_nothing_is_known_as_empty(ledger: SqlLedger) -> None:
    ledger.sight([seen()])
    assert ledger.known("vespera") == {}
    assert ledger.nights("vespera") == []
    assert ledger.balances("vespera") == []


def test_file_that_changed_before_it_was_pulled_is_one_frame(ledger: SqlLedger) -> None:
    growing, grown = seen(size=10), seen(size=20)
    ledger.sight([growing])
    ledger.sight([grown])
    assert frames(ledger) == {grown: Bin.PENDING}
    assert ledger.known("callisto")[grown.path].id == grown.id
    assert ledger.account(growing.id) is None
    assert count(ledger, "sightings") == 2


def test_file_that_changed_after_it_was_pulled_is_two_frames(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first])
    deliver(ledger, first)
    ledger.sight([second])
    assert frames(ledger) == {first: Bin.DELIVERED, second: Bin.PENDING}
    assert ledger.known("callisto")[second.path].id == second.id


def test_state_that_replaces_another_is_known_even_when_its_night_is_an_earlier_one(ledger: SqlLedger) -> None:
    first, second = seen(size=10, evening=SECOND), seen(size=20, evening=FIRST)
    ledger.sight([first])
    deliver(ledger, first)
    ledger.sight([second])
    assert ledger.known("callisto")[second.path].id == second.id
    ledger.rebuild()
    assert ledger.known("callisto")[second.path].id == second.id


def test_pull_that_ends_after_its_file_changed_counts(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first])
    ledger.sight([second])
    ledger.record([told(first)])
    assert frames(ledger) == {first: Bin.PENDING, second: Bin.PENDING}
    assert ledger.known("callisto")[second.path].id == second.id


def test_pull_that_failed_does_not_make_a_replaced_state_count(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first])
    ledger.record([told(first, outcome=Outcome.FAILED)])
    ledger.sight([second])
    assert frames(ledger) == {second: Bin.PENDING}


def test_file_that_changed_and_changed_back_is_the_frame_it_was(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first])
    deliver(ledger, first)
    ledger.sight([second])
    ledger.sight([replace(first, seen_us=9)])
    assert frames(ledger) == {replace(first, seen_us=9): Bin.DELIVERED}
    assert ledger.known("callisto")[first.path][:5] == (first.id, FIRST, 10, 1, 9)
    assert [balance.balanced for balance in ledger.balances()] == [True]


def test_state_that_comes_back_brings_what_failed_before(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first])
    ledger.record([told(first, outcome=Outcome.HELD)])
    ledger.sight([second])
    ledger.sight([first])
    assert frames(ledger) == {first: Bin.HELD}


def test_states_of_one_file_in_one_batch_are_taken_in_their_order(ledger: SqlLedger) -> None:
    first, second = seen(size=10), seen(size=20)
    ledger.sight([first, second, first, seen("b.fits")])
    assert frames(ledger) == {first: Bin.PENDING, seen("b.fits"): Bin.PENDING}
    assert count(ledger, "sightings") == 4


def test_sighting_that_says_nothing_new_is_not_written_again(ledger: SqlLedger) -> None:
    ledger.sight([seen()])
    ledger.sight([replace(seen(), seen_us=99)])
    assert count(ledger, "sightings") == 1
    assert ledger.known("callisto")[StorePath("a.fits")].seen_us == 5


def test_rule_that_changes_its_mind_is_written_down(ledger: SqlLedger) -> None:
    wanted, ignored = seen(), seen(ignored="previews")
    ledger.sight([ignored])
    assert ledger.known("callisto")[wanted.path][5:] == (Bin.IGNORED, 0, "previews")
    ledger.sight([wanted])
    assert ledger.known("callisto")[wanted.path][5:] == (Bin.PENDING, 0, "")
    ledger.sight([ignored])
    assert frames(ledger) == {ignored: Bin.IGNORED}
    assert count(ledger, "sightings") == 3


def test_one_batch_may_tell_of_several_telescopes(ledger: SqlLedger) -> None:
    there = seen(telescope="vespera")
    ledger.sight([seen(), there, seen("b.fits")])
    assert list(ledger.known("vespera")) == ["a.fits"]
    assert list(ledger.known("callisto")) == ["a.fits", "b.fits"]
    ledger.sight([seen(), there, seen("b.fits")])
    assert count(ledger, "sightings") == 3


def test_more_sightings_than_one_statement_carries_are_all_taken(ledger: SqlLedger) -> None:
    many = [seen(f"{number:04d}.fits") for number in range(1201)]
    ledger.sight(many)
    ledger.record([told(one) for one in many])
    assert [account.sighting for account in ledger.accounts()] == many
    assert [account.receipts for account in ledger.accounts()] == [(told(one),) for one in many]
    assert list(ledger.open_work("callisto", now_us=0)) == list(ledger.accounts())
    ledger.sight([replace(one, ignored="all of them") for one in many])
    assert ledger.balances() == [Balance(Night("callisto", FIRST), seen=1201, ignored=1201)]
    ledger.expect("callisto", Expectation(("pull",), ()))
    ledger.rebuild()
    delivered = sum(one.size for one in many)
    assert ledger.balances() == [Balance(Night("callisto", FIRST), seen=1201, delivered=1201, bytes=delivered)]


def test_frame_moves_with_its_file_to_another_night(ledger: SqlLedger) -> None:
    ledger.sight([seen()])
    ledger.sight([seen(evening=SECOND)])
    assert ledger.nights("callisto") == [Night("callisto", SECOND)]
    assert ledger.balances() == [Balance(Night("callisto", SECOND), seen=1, pending=1)]


def test_empty_batches_write_nothing(ledger: SqlLedger) -> None:
    ledger.sight([])
    ledger.record([])
    assert count(ledger, "sightings") == count(ledger, "receipts") == 0


# --- receipts


def test_receipt_comes_back_as_it_was_recorded(ledger: SqlLedger) -> None:
    one = seen()
    receipt = Receipt(
        frame=one.id,
        night=one.night,
        step="deliver",
        version="3/abc",
        outcome=Outcome.HELD,
        reason="other bytes under caf\udce9.fits\nand \0 \\x",
        target="eso",
        digest=Digest("ab" * 32),
        proof={"name": "x/\udcff.fits", "n": 2**70, "f": 0.1, "yes": True, "none": None, "é": "ü"},
        started_us=2**50,
        seconds=0.123456789012345,
        host="kosmos",
    )
    ledger.sight([one])
    ledger.record([receipt])
    assert ledger.accounts()[0].receipts == (receipt,)
    assert ledger.accounts()[0].receipts[0].proof["yes"] is True


def test_receipts_are_told_in_the_order_of_their_recording(ledger: SqlLedger) -> None:
    one, other = seen(), seen("b.fits")
    ledger.sight([one, other])
    late, early = told(one, outcome=Outcome.FAILED, started_us=9), told(one, started_us=1)
    ledger.record([late, told(other), early])
    assert ledger.accounts()[0].receipts == (late, early)


def test_receipt_of_something_never_sighted_is_kept_and_makes_no_frame(ledger: SqlLedger) -> None:
    ledger.record([told(seen())])
    assert count(ledger, "receipts") == 1
    assert ledger.accounts() == []
    assert ledger.balances() == []


def test_receipts_change_where_a_frame_stands(ledger: SqlLedger) -> None:
    one = seen()
    ledger.sight([one])
    ledger.record([told(one, outcome=Outcome.FAILED, reason="lost")])
    found = ledger.account(one.id)
    assert found is not None
    assert found.standing == Standing(Bin.FAILED, "lost", "pull", 30_000_000)
    assert ledger.known("callisto")[one.path].next_try_us == 30_000_000
    deliver(ledger, one)
    assert frames(ledger) == {one: Bin.DELIVERED}


def test_several_threads_may_record_at_once(ledger: SqlLedger) -> None:
    patient = open_ledger(f"sqlite:///{ledger.database.path}")
    many = [seen(f"{number:02d}.fits") for number in range(24)]
    patient.sight(many)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda one: deliver(patient, one), many))
    assert patient.balances()[0].delivered == 24
    patient.close()


# --- expectations


def test_new_archive_opens_what_was_delivered_of_that_telescope(ledger: SqlLedger) -> None:
    here, there = seen(), seen(telescope="vespera")
    ledger.sight([here, there])
    deliver(ledger, here, there)
    ledger.expect("callisto", Expectation(("pull",), ("eso", "backup")))
    assert frames(ledger) == {here: Bin.PENDING, there: Bin.DELIVERED}
    ledger.expect("callisto", ROUTE)
    assert frames(ledger) == {here: Bin.DELIVERED, there: Bin.DELIVERED}


def test_newer_step_opens_what_the_older_one_held(ledger: SqlLedger) -> None:
    one, other = seen(), seen("b.fits")
    ledger.sight([one, other])
    ledger.record([told(one, outcome=Outcome.HELD)])
    deliver(ledger, other)
    ledger.expect("callisto", replace(ROUTE, versions={"pull": "2"}))
    assert frames(ledger) == {one: Bin.PENDING, other: Bin.DELIVERED}
    ledger.expect("callisto", ROUTE)
    assert frames(ledger) == {one: Bin.HELD, other: Bin.DELIVERED}


def test_frames_wait_until_their_telescope_has_a_route(tmp_path: Path) -> None:
    fresh = open_ledger(f"sqlite:///{tmp_path / 'fresh.db'}")
    fresh.sight([seen()])
    fresh.record([told(seen())])
    assert frames(fresh) == {seen(): Bin.PENDING}
    fresh.expect("callisto", Expectation(("pull",), ()))
    assert frames(fresh) == {seen(): Bin.DELIVERED}
    fresh.close()


def test_expectation_that_is_known_already_asks_for_no_lock(ledger: SqlLedger) -> None:
    with closing(sqlite3.connect(ledger.database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger.expect("callisto", replace(ROUTE, versions={"deliver": "1", "pull": "1"}))
