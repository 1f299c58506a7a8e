"""A copy of the ledger is whole, overwrites nothing, and what is wrong with a ledger is found."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from nightferry.core.balance import Expectation
from nightferry.core.errors import Misconfigured
from nightferry.core.receipt import Outcome, Receipt
from nightferry.ledger.backup import backup, faults
from nightferry.ledger.sql import open_ledger
from tests.unit.conftest import NIGHT, frame_bytes, light, sighting_of


def filled(home: Path) -> str:
    """Make a ledger with two frames, one of them pulled; return its URL."""
    url = f"sqlite:///{home / 'ledger.db'}"
    with closing(open_ledger(url)) as ledger:
        ledger.expect("vespera", Expectation(("pull", "verify", "deliver"), ("library",)))
        frames = [sighting_of(light(number), frame_bytes(number)) for number in (1, 2)]
        ledger.sight(frames)
        ledger.record([Receipt(frames[0].id, NIGHT, "pull", "1", Outcome.DONE)])
    return url


def test_a_backup_answers_as_the_ledger_does_while_that_is_being_written(tmp_path: Path) -> None:
    url = filled(tmp_path)
    with closing(open_ledger(url)) as ledger, ledger.database.writing():
        backup(url, tmp_path / "copy.db")
        then = ledger.accounts()
    assert sorted(path.name for path in tmp_path.glob("*copy*")) == ["copy.db"]
    assert not list(tmp_path.glob(".nightferry*"))
    with closing(open_ledger(f"sqlite:///{tmp_path / 'copy.db'}")) as copy:
        assert copy.accounts() == then
    assert faults(f"sqlite:///{tmp_path / 'copy.db'}") == []


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    url = filled(tmp_path)
    (tmp_path / "copy.db").write_bytes(b"precious")
    with pytest.raises(Misconfigured, match="overwrites nothing"):
        backup(url, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_bytes() == b"precious"


def test_a_ledger_that_is_not_there_is_not_made_to_be_copied(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="there is no ledger"):
        backup(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_ledger_is_called_sound(tmp_path: Path) -> None:
    assert faults(filled(tmp_path)) == []


def test_a_standing_that_its_receipts_do_not_give_is_found_and_not_mended(tmp_path: Path) -> None:
    url = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as raw, raw:
        raw.execute("UPDATE standings SET bin = 'delivered'")
    for _ in range(2):
        assert ["does not stand where" in line for line in faults(url)] == [True, True]


def test_a_missing_standing_breaks_the_balance(tmp_path: Path) -> None:
    url = filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as raw, raw:
        raw.execute("DELETE FROM standings WHERE frame = (SELECT min(frame) FROM standings)")
    assert any("does not balance" in line for line in faults(url))


def test_a_torn_database_is_called_damaged(tmp_path: Path) -> None:
    url = filled(tmp_path)
    with (tmp_path / "ledger.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 8192)
    assert any("damaged" in line for line in faults(url))
