"""What the ledger answers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import event

from nightferry.core.balance import Balance, Bin, Expectation, Standing
from nightferry.core.frame import Digest, Fact, FrameId, Role, Sighting
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


def test_accounts_are_ordered_by_night_and_path_and_chosen_by_each(ledger: SqlLedger) -> None:
    late, b, a = seen("0.fits", evening=SECOND), seen("b.fits"), seen("a.fits")
    other = seen("z.fits", telescope="vespera", ignored="rule")
    ledger.sight([late, b, other, a])
    asked = [ledger.accounts(), ledger.accounts("callisto"), ledger.accounts(evenings=[SECOND]),
             ledger.accounts(bins=[Bin.IGNORED, Bin.HELD]), ledger.accounts("callisto", [FIRST], [Bin.PENDING]),
             ledger.accounts(evenings=[]), ledger.accounts("nobody")]  # fmt: skip
    told_of = [[account.sighting for account in answer] for answer in asked]
    assert told_of == [[a, b, late, other], [a, b, late], [late], [other], [a, b], [], []]


def test_account_that_nobody_knows_is_none(ledger: SqlLedger) -> None:
    assert ledger.account(FrameId("00" * 16)) is None


def test_open_work_comes_by_night_then_time_then_path(ledger: SqlLedger) -> None:
    order = [seen("z", mtime_us=None), seen("y", mtime_us=1), seen("a", mtime_us=2), seen("b", mtime_us=2),
             seen("0", mtime_us=0, evening=SECOND)]  # fmt: skip
    ledger.sight(order[::-1])
    assert [account.sighting for account in ledger.open_work("callisto", now_us=0)] == order
    assert [account.sighting for account in ledger.open_work("callisto", [SECOND], now_us=0)] == order[4:]
    assert list(ledger.open_work("vespera", now_us=0)) == []


def test_open_work_is_what_the_machine_can_do_now(ledger: SqlLedger) -> None:
    pending, failed, held, ignored, done = (seen(name, ignored="rule" * (name == "d")) for name in "abcde")
    ledger.sight([pending, failed, held, ignored, done])
    ledger.record([told(failed, outcome=Outcome.FAILED), told(held, outcome=Outcome.HELD)])
    deliver(ledger, done)
    early, late, pressed = (
        [account.sighting for account in ledger.open_work("callisto", now_us=now_us, retry=retry)]
        for now_us, retry in ((29_999_999, False), (30_000_000, False), (0, True))
    )
    assert (early, late, pressed) == ([pending], [pending, failed], [pending, failed])


def test_open_work_tells_the_receipts_so_far(ledger: SqlLedger) -> None:
    one = seen()
    ledger.sight([one])
    ledger.record([told(one)])
    (account,) = ledger.open_work("callisto", now_us=0)
    assert account.receipts == (told(one),)
    assert account.standing == Standing(Bin.PENDING, "", "deliver to eso")


def test_open_work_passes_over_what_was_done_meanwhile(ledger: SqlLedger) -> None:
    many = [seen(f"{number:04d}") for number in range(1200)]
    ledger.sight(many)
    work = ledger.open_work("callisto", now_us=0)
    assert next(work).sighting == many[0]
    deliver(ledger, *many[600:])
    ledger.sight([replace(many[520], size=1)])
    rest = [account.sighting for account in work]
    assert rest == [*many[1:520], *many[521:600]]


def test_reader_that_takes_its_time_holds_no_transaction_open(ledger: SqlLedger) -> None:
    ledger.sight([seen("a"), seen("b")])
    work = ledger.open_work("callisto", now_us=0)
    next(work)
    deliver(ledger, seen("a"))
    with closing(sqlite3.connect(ledger.database.path, timeout=0)) as raw:
        assert raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
    assert next(work).sighting == seen("b")


def test_balance_counts_each_bin_and_the_bytes_delivered(ledger: SqlLedger) -> None:
    names = ["pending", "failed", "held", "broken", "delivered", "also delivered"]
    pending, failed, held, broken, one, two = (seen(name, size=1000 + len(name)) for name in names)
    ledger.sight([pending, failed, held, broken, one, two, seen("x", ignored="rule"), seen("y", refused="bad name")])
    ledger.record([told(failed, outcome=Outcome.FAILED), told(held, outcome=Outcome.HELD)])
    ledger.record([told(broken, outcome=Outcome.BROKEN)])
    deliver(ledger, one, two)
    night = Night("callisto", FIRST)
    (balance,) = ledger.balances()
    assert balance == Balance(night, seen=8, delivered=2, held=3, failed=1, ignored=1, pending=1, bytes=2023)
    assert balance.balanced


def test_balances_come_oldest_first_and_are_chosen_by_telescope_and_night(ledger: SqlLedger) -> None:
    ledger.sight([seen(evening=SECOND), seen(evening=FIRST, telescope="vespera"), seen("b", evening=FIRST)])
    here, there, later = Night("callisto", FIRST), Night("vespera", FIRST), Night("callisto", SECOND)
    assert [balance.night for balance in ledger.balances()] == [here, there, later]
    assert [balance.night for balance in ledger.balances("callisto")] == [here, later]
    assert [balance.night for balance in ledger.balances(evenings=[SECOND])] == [later]
    assert ledger.balances(evenings=[]) == []


def tamper(ledger: SqlLedger, statement: str) -> None:
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        raw.execute(statement)
        raw.commit()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM standings WHERE bin = 'delivered'", "DELETE FROM standings",
     "UPDATE standings SET evening = '2026-09-13' WHERE bin = 'pending'"],
)  # fmt: skip
def test_balance_finds_lost_standings_and_rebuild_makes_them_anew(ledger: SqlLedger, damage: str) -> None:
    one, other, there = seen(), seen("b.fits"), seen(telescope="vespera")
    ledger.sight([one, other, there])
    deliver(ledger, one)
    whole = ledger.accounts()
    tamper(ledger, damage)
    assert not all(balance.balanced for balance in ledger.balances())
    ledger.rebuild()
    assert ledger.accounts() == whole
    assert all(balance.balanced for balance in ledger.balances())


def test_rebuild_of_one_telescope_leaves_the_others_alone(ledger: SqlLedger) -> None:
    ledger.sight([seen(), seen(telescope="vespera")])
    tamper(ledger, "UPDATE standings SET bin = 'delivered'")
    ledger.rebuild("callisto")
    assert list(frames(ledger).values()) == [Bin.PENDING, Bin.DELIVERED]


def test_nights_come_oldest_first(ledger: SqlLedger) -> None:
    ledger.sight([seen("b", evening=SECOND), seen("c", evening=SECOND), seen("a"), seen("d", telescope="vespera")])
    assert ledger.nights("callisto") == [Night("callisto", FIRST), Night("callisto", SECOND)]


# --- looking frames up

CAFE = "caf\udce9\\x"


@pytest.fixture
def library(ledger: SqlLedger) -> SqlLedger:
    one, two, three = seen(f"{CAFE}/img-0001.fits"), seen("b/img-0001.fits"), seen("b/img_0002.fits")
    ledger.sight([one, two, three, seen("c/IMG-0001.FITS")])
    ledger.record([told(one, digest="aaaaaaaa" + "0" * 56), told(two, digest="aaaaaaaa" + "f" * 56)])
    ledger.record([told(one, "deliver", digest="bbbbbbbb" + "0" * 56, name="2026/M31_0001.fits")])
    ledger.record([told(three, "verify", digest="cccccccc" + "0" * 56, name="2026/verify.fits")])
    return ledger


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("img-0001.fits", ["b/img-0001.fits", f"{CAFE}/img-0001.fits"]),
        ("b/img-0001.fits", ["b/img-0001.fits"]),
        (f"{CAFE}/img-0001.fits", [f"{CAFE}/img-0001.fits"]),
        (f"/{CAFE}/img-0001.fits", [f"{CAFE}/img-0001.fits"]),
        ("2026/M31_0001.fits", [f"{CAFE}/img-0001.fits"]),
        ("M31_0001.fits", [f"{CAFE}/img-0001.fits"]),
        ("aaaaaaaa", ["b/img-0001.fits", f"{CAFE}/img-0001.fits"]),
        ("AAAAAAAAf", ["b/img-0001.fits"]),
        ("aaaaaaaa" + "0" * 56, [f"{CAFE}/img-0001.fits"]),
        ("bbbbbbbb", [f"{CAFE}/img-0001.fits"]),
        ("aaaaaaa", []),
        ("aaaaaaaa1", []),
        ("mg-0001.fits", []),
        ("img-0002.fits", []),
        ("%", []),
        ("", []),
        ("/", []),
    ],
)
def test_frames_are_found_by_what_a_person_has_in_hand(library: SqlLedger, text: str, paths: list[str]) -> None:
    assert [account.sighting.path for account in library.find(text)] == paths


def test_frame_is_found_by_its_identity(library: SqlLedger) -> None:
    wanted = seen("b/img_0002.fits")
    assert [account.sighting for account in library.find(wanted.id)] == [wanted]
    assert [account.sighting for account in library.find(wanted.id[:8].upper())] == [wanted]


def test_file_whose_name_is_all_digits_is_found_too(ledger: SqlLedger) -> None:
    ledger.sight([seen("night/20260912")])
    assert [account.sighting.path for account in ledger.find("20260912")] == ["night/20260912"]


def test_replaced_state_is_not_found(ledger: SqlLedger) -> None:
    ledger.sight([seen(size=1)])
    ledger.sight([seen(size=2)])
    assert [account.sighting for account in ledger.find("a.fits")] == [seen(size=2)]
    assert ledger.find(seen(size=1).id) == []


@pytest.mark.parametrize("text", ["aaaaaaaa", "M31_0001.fits", "2026/M31_0001.fits"])
def test_looking_a_frame_up_reads_no_whole_receipts(library: SqlLedger, text: str) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def note(_c: object, _cursor: object, statement: str, values: tuple[str, ...], *_: object) -> None:
        asked.append((statement, values))

    event.listen(library.database.engine, "before_cursor_execute", note)
    assert library.find(text)
    with closing(sqlite3.connect(library.database.path)) as raw:
        plans = [
            row[3] for statement, values in asked for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        ]
    assert any("ix_receipts" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN receipts") and "COVERING" not in plan]


# --- proofs


def test_proofs_are_of_the_frames_that_the_archive_has(ledger: SqlLedger) -> None:
    late, one, other, waiting = seen("0", evening=SECOND), seen("b"), seen("a"), seen("c")
    ledger.sight([late, one, other, waiting, seen("d", telescope="vespera")])
    deliver(ledger, late, one, other, seen("d", telescope="vespera"))
    ledger.record([told(waiting), told(waiting, "deliver", Outcome.HELD), told(one, "clear")])
    assert [(proof.path, proof.cleared) for proof in ledger.proofs("callisto", "eso")] == [
        ("a", False), ("b", True), ("0", False)
    ]  # fmt: skip
    assert [proof.path for proof in ledger.proofs("callisto", "eso", [SECOND])] == ["0"]
    assert list(ledger.proofs("callisto", "backup")) == []


def test_proof_of_a_state_that_was_replaced_stays(ledger: SqlLedger) -> None:
    ledger.sight([seen(size=1)])
    deliver(ledger, seen(size=1))
    ledger.sight([seen(size=2)])
    assert [proof.size for proof in ledger.proofs("callisto", "eso")] == [1]
