"""The glance: it tells what the ledger tells, and whatever it cannot open is opened as for work."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from nightferry.core.balance import Balance, Bin, Expectation
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.night import Night
from nightferry.core.overview import Contact, Overview, Products, Reason
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.glance import Glance, glance
from nightferry.ledger.revision import HEAD
from nightferry.ledger.sql import SqlLedger, open_ledger

THEN_US = 1_789_000_000_000_000


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Iterator[SqlLedger]:
    """A ledger of two telescopes: frames in every bin, cubes, and texts that no column holds as they are."""
    opened = open_ledger(url)
    opened.expect("io", Expectation(("pull",), ("eso",), {}))
    for day in range(1, 7):
        night = Night("io", date(2026, 9, day))
        frames = [
            Sighting(night, StorePath(f"{day}/\udcff{number}.fits"), 100 * day, THEN_US, THEN_US, ignored=rule)
            for number, rule in enumerate(("", "", "", "a thumbnail", ""))
        ]
        opened.sight(frames)
        pulled = [Receipt(one.id, night, "pull", "1", Outcome.DONE, started_us=THEN_US) for one in frames[:1]]
        delivered = [Receipt(frames[0].id, night, "deliver", "1", Outcome.DONE, target="eso", started_us=THEN_US + day)]
        held = [Receipt(frames[1].id, night, "pull", "1", Outcome.HELD, "cut \udcff\\ off", started_us=THEN_US)]
        failed = [Receipt(frames[2].id, night, "pull", "1", Outcome.FAILED, "no answer", started_us=THEN_US)]
        opened.record([*pulled, *delivered, *held, *failed])
        cube, facts = FrameId(f"{day}".ljust(64, "0")), {"key": f"M31 \udcff {day % 2}"}
        opened.record([Receipt(cube, night, "cube", "1", Outcome.DONE, proof=facts, started_us=THEN_US)])
        opened.record([Receipt(cube, night, "validate", "1", Outcome.HELD, "no \udcff RA", started_us=THEN_US)])
    opened.sight([Sighting(Night("europa", date(2026, 9, 1)), StorePath("a.fits"), 1, None, THEN_US)])
    opened.greet(Contact("io", looked_us=THEN_US, trouble="no \udcff route"))
    yield opened
    opened.close()


def looked(url: str, telescope: str, nights: int = 3) -> Overview:
    with glance(url) as seen:
        assert isinstance(seen, Glance)
        return seen.overview(telescope, nights)


@pytest.mark.parametrize("telescope", ["io", "europa", "nobody"])
@pytest.mark.parametrize("nights", [1, 3, 9])
def test_a_glance_tells_what_the_ledger_tells(ledger: SqlLedger, url: str, telescope: str, nights: int) -> None:
    assert looked(url, telescope, nights) == ledger.overview(telescope, nights)


def test_a_glance_reads_every_bin_and_every_text(ledger: SqlLedger, url: str) -> None:
    overview = looked(url, "io", 2)
    newest = overview.nights[0]
    night = Night("io", date(2026, 9, 6))
    counted = Balance(night, seen=5, delivered=1, held=1, failed=1, ignored=1, pending=1, bytes=600)
    assert newest.balance == counted
    assert [(one.bin, one.stage, one.reason) for one in newest.reasons] == [
        (Bin.HELD, "pull", "cut \udcff\\ off"),
        (Bin.FAILED, "pull", "no answer"),
    ]
    assert newest.products == Products({Bin.HELD: 1}, [Reason(Bin.HELD, "validate", "no \udcff RA", 1)])
    assert overview.older_products == {Bin.HELD: 4}
    assert overview.older == {Bin.HELD: 4, Bin.FAILED: 4, Bin.PENDING: 4}
    assert overview.oldest_open == date(2026, 9, 1)
    assert overview.contact == Contact("io", THEN_US, 0, 0, THEN_US + 6, "no \udcff route")


def test_a_glance_changes_nothing(ledger: SqlLedger, url: str) -> None:
    with glance(url) as seen:
        assert isinstance(seen, Glance)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            seen.connection.execute("DELETE FROM contacts")


def test_a_glance_sees_what_is_written_meanwhile_and_keeps_no_writer_waiting(ledger: SqlLedger, url: str) -> None:
    with glance(url) as seen:
        before = seen.overview("europa", 1).nights[0].balance.seen
        ledger.sight([Sighting(Night("europa", date(2026, 9, 1)), StorePath("b.fits"), 1, None, THEN_US)])
        assert seen.overview("europa", 1).nights[0].balance.seen == before + 1


@pytest.mark.parametrize("begun", [False, True], ids=["no file", "an empty file"])
def test_a_ledger_that_is_not_there_yet_tells_nothing_and_is_not_made(url: str, tmp_path: Path, *, begun: bool) -> None:
    if begun:
        (tmp_path / "ledger.db").touch()
    with glance(url) as seen:
        assert seen.overview("io", 3) == Overview(Contact("io"), [])
    assert [(path.name, path.stat().st_size) for path in tmp_path.iterdir()] == ([("ledger.db", 0)] if begun else [])


def test_a_ledger_of_another_version_is_left_to_whoever_opens_it_for_work(ledger: SqlLedger, url: str) -> None:
    ledger.close()
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
        raw.commit()
    with pytest.raises(Misconfigured, match=f"schema 0999.*knows {HEAD}"), glance(url):
        pass


def test_a_file_that_is_no_ledger_is_left_to_whoever_opens_it_for_work(url: str, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"SIMPLE  =                    T" * 200)
    with pytest.raises(Misconfigured, match="not an SQLite database"), glance(url):
        pass


def test_a_damaged_ledger_says_how_to_save_it(ledger: SqlLedger, url: str) -> None:
    ledger.close()
    torn = bytearray(ledger.database.path.read_bytes())
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        (version,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        pages = raw.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 1").fetchall()
    for (page,) in pages:
        if page != version:
            torn[(page - 1) * size : page * size] = b"\xa5" * size
    ledger.database.path.write_bytes(torn)
    with glance(url) as seen, pytest.raises(Misconfigured, match=r"is damaged.*\.recover"):
        seen.overview("io", 3)
