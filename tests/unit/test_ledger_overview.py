"""The overview: last nights, why frames stand where they stand, contacts and proofs."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from nightferry.core.balance import Bin, Expectation
from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.core.frame import Fact, FrameId, Sighting
from nightferry.core.night import Night
from nightferry.core.overview import Contact, Products, Reason
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger import database
from nightferry.ledger.rows import receipt_row
from nightferry.ledger.schema import receipts
from nightferry.ledger.sql import SqlLedger, open_ledger
from tests.unit.conftest import THEN_US, Bench, frame_bytes, light

ROUTE = Expectation(("pull", "verify"), ("eso",), {})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.expect("io", ROUTE)
    yield opened
    opened.close()


def seen(day: int, number: int, telescope: str = "io") -> Sighting:
    night = Night(telescope, date(2026, 9, day))
    return Sighting(night, StorePath(f"{day}/{number}.fits"), 100, THEN_US, THEN_US)


def told(
    frame: Sighting, step: str, outcome: Outcome = Outcome.DONE, reason: str = "", at_us: int = THEN_US
) -> Receipt:
    target = "eso" if step in {"deliver", "audit"} else ""
    return Receipt(frame.id, frame.night, step, "1", outcome, reason, target, started_us=at_us)


def test_last_nights_come_newest_first_and_the_older_ones_are_counted(ledger: SqlLedger) -> None:
    ledger.sight([seen(day, number) for day in range(1, 8) for number in range(3)])
    overview = ledger.overview("io", 3)
    assert [line.balance.night.date.day for line in overview.nights] == [7, 6, 5]
    assert overview.older == {Bin.PENDING: 12}
    assert overview.oldest_open == date(2026, 9, 1)


def test_a_glance_reads_no_table_whole_and_seeks_no_frame_that_was_sighted_once(ledger: SqlLedger) -> None:
    ledger.sight([seen(day, number) for day in range(1, 8) for number in range(3)])
    asked: list[tuple[str, tuple[str, ...]]] = []

    def note(_c: object, _cursor: object, statement: str, values: tuple[str, ...], *_: object) -> None:
        asked.append((statement, values))

    sa.event.listen(ledger.database.engine, "before_cursor_execute", note)
    ledger.overview("io", 3)
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        plans = {
            row[3]: statement
            for statement, values in asked
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values)
        }
    assert len(plans) >= 6
    assert not [plan for plan in plans if plan.startswith("SCAN")]
    (counted,) = {statement for plan, statement in plans.items() if "ix_sightings_frame" in plan}
    # SQLite asks in this order and stops at the first that is true: paths lie side by side, frames are scattered
    assert counted.index("later.path =") < counted.index("newer.frame =")


def test_frames_that_were_sighted_again_are_counted_once(ledger: SqlLedger) -> None:
    first, again, moved = seen(1, 0), seen(1, 1), seen(2, 0)
    grown = Sighting(again.night, again.path, 200, THEN_US, THEN_US)
    ledger.sight([first, again, moved])
    ledger.record([told(again, "pull")])
    ledger.sight([grown])  # the pulled state is answered for, too
    ledger.sight([Sighting(Night("io", date(2026, 9, 3)), first.path, first.size, THEN_US, THEN_US + 1)])
    told_of = {line.balance.night.date.day: line.balance for line in ledger.overview("io", 9).nights}
    assert {day: balance.seen for day, balance in told_of.items()} == {1: 2, 2: 1, 3: 1}
    assert all(balance.balanced for balance in told_of.values())


def test_reasons_are_counted_by_stage_and_told_by_the_most_frequent(ledger: SqlLedger) -> None:
    frames = [seen(1, number) for number in range(6)]
    ledger.sight(frames)
    for number, frame in enumerate(frames[:5]):
        reason = "truncated" if number else "empty"
        ledger.record([told(frame, "pull"), told(frame, "verify", Outcome.HELD, reason)])
    ledger.record([told(frames[5], "pull", Outcome.FAILED, "cut off")])
    (line,) = ledger.overview("io", 3).nights
    assert line.reasons == [Reason(Bin.HELD, "verify", "truncated", 5), Reason(Bin.FAILED, "pull", "cut off", 1)]


def made(
    edition: int,
    step: str = "cube",
    outcome: Outcome = Outcome.DONE,
    reason: str = "",
    *,
    key: str = "M31 r",
    day: int = 1,
) -> Receipt:
    """Tell of a cube, whose identity is another one for each edition."""
    night = Night("io", date(2026, 9, day))
    proof: dict[str, Fact] = (
        {"key": key, "edition": edition, "frames": 9, "name": "cube.fits"} if step == "cube" else {}
    )
    target = "eso" if step in {"deliver", "audit"} else ""
    identity = FrameId(f"{edition}{key}{day}".ljust(64, "0"))
    return Receipt(identity, night, step, "1", outcome, reason, target, proof=proof, started_us=THEN_US)


def cubes(ledger: SqlLedger, day: int = 1) -> Products:
    """Look at a night's cubes, which must be the same when they are made anew."""
    (found,) = (line.products for line in ledger.overview("io", 9).nights if line.balance.night.date.day == day)
    ledger.rebuild()
    (again,) = (line.products for line in ledger.overview("io", 9).nights if line.balance.night.date.day == day)
    assert again == found
    return found


def test_cubes_are_counted_by_where_they_stand_and_say_why(ledger: SqlLedger) -> None:
    ledger.sight([seen(1, 1)])
    ledger.record([made(1), made(1, "validate"), made(1, "deliver")])
    ledger.record([made(1, key="M33 r"), made(1, "validate", Outcome.HELD, "no RA", key="M33 r")])
    ledger.record([made(1, "cube", Outcome.FAILED, "no room", key="M81 r")])
    assert cubes(ledger) == Products(
        {Bin.DELIVERED: 1, Bin.HELD: 1, Bin.FAILED: 1},
        [Reason(Bin.HELD, "validate", "no RA", 1), Reason(Bin.FAILED, "cube", "no room", 1)],
    )
    ledger.record([replace(made(1, "release", key="M33 r"), proof={"drop": True})])
    assert cubes(ledger).counts == {Bin.DELIVERED: 1, Bin.IGNORED: 1, Bin.FAILED: 1}


def test_a_cube_that_a_later_version_replaced_waits_for_nobody_unless_an_archive_has_it(ledger: SqlLedger) -> None:
    ledger.sight([seen(1, 1)])
    ledger.record([made(1), made(1, "validate", Outcome.HELD, "no RA")])
    ledger.record([made(2), made(2, "validate"), made(2, "deliver")])
    assert cubes(ledger).counts == {Bin.DELIVERED: 1}
    ledger.record([made(3), made(3, "validate"), made(3, "deliver")])
    ledger.record([made(2, "audit", Outcome.HELD, "eso no longer has cube.fits")])
    assert cubes(ledger).counts == {Bin.DELIVERED: 1, Bin.HELD: 1}


def test_open_cubes_of_older_nights_are_counted_too(ledger: SqlLedger) -> None:
    ledger.sight([seen(day, 1) for day in range(1, 8)])
    for day in range(1, 8):
        ledger.record([made(1, day=day), made(1, "validate", Outcome.HELD, "no RA", day=day)])
    overview = ledger.overview("io", 3)
    assert [line.products.counts for line in overview.nights] == [{Bin.HELD: 1}] * 3
    assert overview.older_products == {Bin.HELD: 4}
    for seq in range(1, 8):
        ledger.record([told(seen(seq, 1), "pull"), told(seen(seq, 1), "verify"), told(seen(seq, 1), "deliver")])
    assert ledger.overview("io", 3).oldest_open == date(2026, 9, 1)


def test_a_rebuild_learns_where_cubes_stand(ledger: SqlLedger) -> None:
    ledger.sight([seen(1, 1)])
    ledger.record([made(1), made(1, "validate", Outcome.HELD, "no RA")])
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        raw.execute("DELETE FROM standings")
        raw.commit()
    assert ledger.products("io") == []
    ledger.rebuild()
    assert cubes(ledger).counts == {Bin.HELD: 1}
    assert [product.key for product in ledger.products("io")] == ["M31 r"]


def test_a_cube_is_an_account_like_any_other_and_no_frame_of_the_telescope(ledger: SqlLedger) -> None:
    ledger.sight([seen(1, 1)])
    ledger.record([made(1), made(1, "validate", Outcome.HELD, "no RA")])
    (cube,) = ledger.products("io")
    assert (ledger.account(cube.id), cube.made, cube.standing.bin) == (cube, True, Bin.HELD)
    assert [account.id for account in ledger.accounts_of([cube.id, seen(1, 1).id])] == [cube.id, seen(1, 1).id]
    assert [account.made for account in ledger.accounts("io")] == [False]
    (balance,) = ledger.balances("io")
    assert (balance.seen, balance.held, balance.balanced) == (1, 0, True)
    assert list(ledger.known("io")) == [seen(1, 1).path]
    assert ledger.outstanding("io") == (1, seen(1, 1).size)


def test_a_telescope_that_nobody_saw_has_an_empty_overview(ledger: SqlLedger) -> None:
    overview = ledger.overview("europa", 3)
    assert (overview.contact, list(overview.nights), dict(overview.older)) == (Contact("europa"), [], {})


def test_a_contact_keeps_what_a_later_one_does_not_tell(ledger: SqlLedger) -> None:
    ledger.greet(Contact("io", looked_us=10, reached_us=10, news_us=10))
    ledger.greet(Contact("io", looked_us=20, reached_us=20))
    ledger.greet(Contact("io", looked_us=30, trouble="no route to host"))
    assert ledger.contact("io") == Contact("io", 30, 20, 10, 0, "no route to host")
    ledger.greet(Contact("io", looked_us=40, reached_us=40))
    assert ledger.contact("io") == Contact("io", 40, 40, 10, 0, "")


def test_the_last_proof_is_that_of_the_newest_good_delivery_or_audit(ledger: SqlLedger) -> None:
    frame = seen(1, 1)
    ledger.sight([frame])
    ledger.record([told(frame, "pull", at_us=1), told(frame, "verify", at_us=2)])
    assert ledger.contact("io").proven_us == 0
    ledger.record([told(frame, "deliver", at_us=50), told(frame, "audit", at_us=40)])
    assert ledger.contact("io").proven_us == 50
    ledger.record([told(frame, "audit", Outcome.FAILED, at_us=60), told(frame, "audit", at_us=70)])
    ledger.record([told(frame, "audit", at_us=65)])
    ledger.greet(Contact("io", looked_us=99, reached_us=99))
    assert ledger.contact("io").proven_us == 70


def test_a_pass_tells_how_the_telescope_answered(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.carry()
    first = bench.ledger.contact("vespera")
    assert first.reached_us == first.looked_us == first.news_us > 0
    assert first.proven_us > 0
    bench.telescope.wire.lives = 0
    assert isinstance(bench.carry().trouble, Unreachable)
    assert bench.ledger.contact("vespera").trouble == "memory: is away"
    bench.telescope.wire.lives = None
    bench.telescope.disk.present = False
    with pytest.raises(Misconfigured):
        bench.carry()
    after = bench.ledger.contact("vespera")
    assert after.reached_us == first.reached_us
    assert after.looked_us > first.looked_us
    assert after.trouble


def test_an_older_ledger_learns_the_time_of_its_last_proof(tmp_path: Path) -> None:
    path = tmp_path / "older.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations").replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        frame = seen(1, 1)
        for seq, step in enumerate(("pull", "deliver", "deliver"), start=1):
            row = receipt_row(seq, told(frame, step, at_us=seq * 10))
            connection.execute(sa.insert(receipts), row)
    engine.dispose()
    ledger = open_ledger(f"sqlite:///{path}")
    assert ledger.contact("io") == Contact("io", proven_us=30)
    ledger.close()
