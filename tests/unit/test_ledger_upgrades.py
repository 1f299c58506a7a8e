"""Ledgers that older versions of nightferry wrote: they answer as they did, and an upgrade is done whole or not at all.

The ledgers are those of real nights, made by the code of their time (tests/data/ledgers).
"""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import sqlalchemy as sa

from nightferry.core.balance import Bin
from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.core.ledger import Account
from nightferry.ledger import database as under_test
from nightferry.ledger.derive import restate_made
from nightferry.ledger.glance import glance
from nightferry.ledger.revision import HEAD
from nightferry.ledger.sql import SqlLedger, open_ledger
from nightferry.ledger.sqlite import SETTINGS

DATA = Path(__file__).parents[1] / "data/ledgers"
VERSIONS = sorted(folder.name for folder in DATA.iterdir() if (folder / "ledger.sql").is_file())
OLDER = [version for version in VERSIONS if version != HEAD]


class Old(NamedTuple):
    """A ledger as an older nightferry left it, and what that one said of it, by the words that were typed."""

    path: Path
    version: str
    answers: dict[str, list[dict[str, object]]]

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path.as_posix()}"

    def told(self, command: str) -> list[dict[str, object]]:
        """Give the lines of every answer to a command."""
        return [line for words, lines in self.answers.items() if words.split()[0] == command for line in lines]


def restored(version: str, folder: Path) -> Old:
    path = folder / "ledger.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript((DATA / version / "ledger.sql").read_text(encoding="utf-8"))
        raw.execute("PRAGMA journal_mode = WAL")
    return Old(path, version, json.loads((DATA / version / "answers.json").read_text(encoding="utf-8")))


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    return restored(request.param, tmp_path)


@pytest.fixture(params=OLDER)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Old:
    return restored(request.param, tmp_path)


def contents(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as raw:
        return list(raw.iterdump())


def version_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as raw:
        (found,) = raw.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found)


@contextmanager
def opened(old: Old, *, reading: bool) -> Iterator[SqlLedger]:
    with closing(open_ledger(old.url, reading=reading)) as ledger:
        yield ledger


def accounts_and_products(ledger: SqlLedger) -> tuple[list[Account], list[Account]]:
    return ledger.accounts(), ledger.products()


def test_there_is_a_ledger_of_every_older_schema() -> None:
    assert set(under_test.OLDER) <= set(VERSIONS) <= {*under_test.OLDER, HEAD}
    for version in VERSIONS:
        assert f"INSERT INTO \"alembic_version\" VALUES('{version}')" in (DATA / version / "ledger.sql").read_text()


def test_ledgers_in_the_tree_say_nothing_of_the_machine_that_made_them() -> None:
    for version in VERSIONS:
        text = (DATA / version / "ledger.sql").read_text() + (DATA / version / "answers.json").read_text()
        for word in ("/root", "/home", "/work", "/var", "/Users"):
            assert word not in text
        hosts = {str(receipt["host"]) for receipt in told_receipts(version)}
        assert hosts == {"control-pc"}


def told_receipts(version: str) -> list[dict[str, object]]:
    answers = json.loads((DATA / version / "answers.json").read_text())
    return [
        receipt for words, (line, *_) in answers.items() if words.startswith("why ") for receipt in line["receipts"]
    ]


@pytest.mark.parametrize("reading", [True, False], ids=["only read", "migrated"])
def test_balances_are_those_that_the_older_version_told(old: Old, *, reading: bool) -> None:
    with opened(old, reading=reading) as ledger:
        balances = {(one.night.telescope, one.night.date.isoformat()): one for one in ledger.balances()}
    told = old.told("nights")
    assert len(told) == len(balances) == 6
    for line in told:
        balance = balances[str(line["telescope"]), str(line["night"])]
        for key in ("seen", "delivered", "held", "failed", "ignored", "pending", "bytes", "balanced"):
            assert getattr(balance, key) == line[key]


@pytest.mark.parametrize("reading", [True, False], ids=["only read", "migrated"])
def test_every_frame_and_cube_stands_where_the_older_version_said(old: Old, *, reading: bool) -> None:
    with opened(old, reading=reading) as ledger:
        accounts, products = accounts_and_products(ledger)
    standings = {str(one.sighting.id): one.standing for one in accounts}
    standings |= {str(one.id): one.standing for one in products}
    told = old.told("night")
    assert {str(line["standing"]) for line in told} == {str(one) for one in Bin}
    for line in told:
        standing = standings[str(line.get("frame") or line["cube"])]
        assert (str(standing.bin), standing.stage, standing.reason) == (line["standing"], line["stage"], line["reason"])


@pytest.mark.parametrize("reading", [True, False], ids=["only read", "migrated"])
def test_every_receipt_that_the_older_version_told_is_still_told(old: Old, *, reading: bool) -> None:
    with opened(old, reading=reading) as ledger:
        accounts, products = accounts_and_products(ledger)
    receipts = {str(one.sighting.id): one.receipts for one in accounts}
    receipts |= {str(one.id): one.receipts for one in products}
    for words in old.answers:
        command, _, identity = words.partition(" ")
        if command == "why":
            (line,) = old.answers[words]
            told = line["receipts"]
            assert isinstance(told, list)
            assert [(one["step"], one["outcome"], one["reason"]) for one in told] == [
                (one.step, str(one.outcome), one.reason) for one in receipts[identity]
            ]


def test_an_upgrade_changes_no_sighting_and_no_receipt(old: Old) -> None:
    with closing(sqlite3.connect(old.path)) as raw:
        asked = [f"SELECT {', '.join(columns_of(raw, table))} FROM {table}" for table in ("sightings", "receipts")]  # noqa: S608 - the ledger's own names
    before = rows_of(old.path, asked)
    with opened(old, reading=False):
        pass
    assert version_of(old.path) == HEAD
    assert rows_of(old.path, asked) == before
    assert len(before) > 300


def columns_of(raw: sqlite3.Connection, table: str) -> list[str]:
    return [f'"{name}"' for (name,) in raw.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def rows_of(path: Path, asked: Sequence[str]) -> list[object]:
    with closing(sqlite3.connect(path)) as raw:
        return [row for question in asked for row in raw.execute(f"{question} ORDER BY seq")]


def test_what_is_derived_is_the_same_when_it_is_made_anew(old: Old) -> None:
    with opened(old, reading=False) as ledger:
        before = accounts_and_products(ledger)
        ledger.rebuild()
        assert accounts_and_products(ledger) == before


def test_an_older_ledger_that_is_read_tells_what_it_tells_once_it_is_migrated(older: Old) -> None:
    with opened(older, reading=True) as ledger:
        asked = accounts_and_products(ledger), [ledger.overview(name, 3) for name in ("callisto", "vespera", "far")]
    with opened(older, reading=False) as ledger:
        migrated = accounts_and_products(ledger), [ledger.overview(name, 3) for name in ("callisto", "vespera", "far")]
    assert asked == migrated


def test_reading_an_older_ledger_leaves_every_byte_as_it_was(older: Old) -> None:
    before = older.path.read_bytes()
    with opened(older, reading=True) as ledger:
        assert ledger.accounts()
    with glance(older.url) as seen:
        assert seen.overview("callisto", 3).nights
    assert older.path.read_bytes() == before
    assert list(older.path.parent.iterdir()) == [older.path]


def test_reading_an_older_ledger_sees_what_the_older_version_writes_meanwhile(older: Old) -> None:
    with closing(sqlite3.connect(older.path)) as writer:  # it stays open, so what it writes stands in the log beside
        writer.execute("INSERT INTO expectations VALUES ('new', '[]', '[]', '{}')")
        writer.commit()
        with opened(older, reading=True) as ledger, ledger.database.reading() as connection:
            asked = connection.exec_driver_sql("SELECT count(*) FROM expectations WHERE telescope = 'new'")
            assert asked.scalar() == 1
    assert version_of(older.path) == older.version


def test_a_ledger_that_is_opened_for_reading_takes_nothing(old: Old) -> None:
    before = contents(old.path)
    with opened(old, reading=True) as ledger:
        receipts = [receipt for account in ledger.accounts() for receipt in account.receipts]
        with pytest.raises(Misconfigured, match="for writing"):
            ledger.record(receipts[:1])
    assert contents(old.path) == before


def test_a_ledger_that_is_not_there_is_read_as_empty_and_not_made(tmp_path: Path) -> None:
    with closing(open_ledger(f"sqlite:///{tmp_path}/none/ledger.db", reading=True)) as ledger:
        assert ledger.balances() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a b.db", "50%25 #1.db", "größe.db"])
def test_a_ledger_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    found = restored(VERSIONS[-1], tmp_path)
    odd = found._replace(path=found.path.rename(tmp_path / name))
    with opened(odd, reading=True) as ledger:
        assert len(ledger.balances()) == 6


def test_a_folder_that_may_not_be_looked_into_is_no_empty_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(Misconfigured, match=r"cannot open the ledger .*Permission denied; give this user the right"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db", reading=True)


def test_questions_about_an_older_ledger_may_come_from_several_threads(older: Old) -> None:
    with opened(older, reading=True) as ledger, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: len(ledger.accounts()), range(12)))
    assert len(set(answers)) == 1
    assert answers[0] > 50


def test_a_newer_ledger_is_not_read(old: Old) -> None:
    with closing(sqlite3.connect(old.path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
        raw.commit()
    with pytest.raises(Misconfigured, match=f"schema 0999.*knows {HEAD}.*install the newer nightferry"):
        open_ledger(old.url, reading=True)


@contextmanager
def failing_at(number: int) -> Iterator[list[str]]:
    """Break off the numbered statement of SQLAlchemy's (1 is the first); gives the statements that were begun."""
    begun: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        begun.append(statement)
        if len(begun) == number:
            raise KeyboardInterrupt

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        yield begun
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def statements_of_an_upgrade(version: str, folder: Path) -> list[str]:
    folder.mkdir()
    with failing_at(0) as begun, opened(restored(version, folder), reading=False):
        return list(begun)


def test_an_upgrade_that_is_broken_off_at_any_statement_leaves_the_older_ledger(older: Old, tmp_path: Path) -> None:
    before = contents(older.path)
    count = len(statements_of_an_upgrade(older.version, tmp_path / "counted"))
    assert count > 20
    for number in range(1, count + 1):
        with failing_at(number), pytest.raises(KeyboardInterrupt):
            open_ledger(older.url)
        assert contents(older.path) == before, number
    with opened(older, reading=False):
        assert version_of(older.path) == HEAD


def test_an_upgrade_that_sqlite_breaks_off_says_that_nothing_is_lost_and_what_to_do(
    older: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(older.path)
    monkeypatch.setattr(under_test, "restate_made", interrupted(restate_made))
    with pytest.raises(Misconfigured, match=f"cannot be brought to schema {HEAD}: interrupted; it is as it was: go on"):
        open_ledger(older.url)
    assert contents(older.path) == before


def interrupted(step: Callable[[sa.Connection], None]) -> Callable[[sa.Connection], None]:
    """Have SQLite end a step's statements after a while, as nothing that `explain` knows of."""

    def wrapped(connection: sa.Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_progress_handler(lambda: 1, 100)
        try:
            step(connection)
        finally:
            raw.set_progress_handler(None, 0)

    return wrapped


def test_an_upgrade_on_a_full_disk_leaves_the_older_ledger_and_asks_for_room(
    older: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(older.path)
    with closing(sqlite3.connect(older.path)) as raw:
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
    told: list[NoSpace] = []
    while version_of(older.path) != HEAD:  # with room for one more page each time, until there is enough
        limited = (*SETTINGS, f"PRAGMA max_page_count = {pages + len(told)}")
        monkeypatch.setattr(under_test, "SETTINGS", limited)
        try:
            open_ledger(older.url).close()
        except NoSpace as err:
            told.append(err)
        assert version_of(older.path) == HEAD or contents(older.path) == before
    assert len(told) > 1
    for trouble in told:
        assert f"make room on its disk (it was to be brought to schema {HEAD}, and is as it was)" in str(trouble)


def test_an_older_ledger_that_finds_no_room_to_be_read_says_where_room_is_needed(
    older: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "SETTINGS", (*SETTINGS, "PRAGMA max_page_count = 1"))
    with pytest.raises(NoSpace, match=r"no room for a copy of the ledger .* or bring the ledger up to date with"):
        open_ledger(older.url, reading=True)
    assert version_of(older.path) == older.version


#: Opens the ledger of a URL (the first word) and ends as a killed process does, at a statement (its number the second).
KILLED = """
import os, sys
import sqlalchemy as sa
from nightferry.ledger.sql import open_ledger
begun = 0
def count(*_):
    global begun
    begun += 1
    if begun == int(sys.argv[2]):
        os._exit(9)  # nothing is rolled back, nothing is closed
sa.event.listen(sa.Engine, "after_cursor_execute", count)
open_ledger(sys.argv[1]).close()
"""


def test_an_upgrade_that_is_killed_leaves_the_older_ledger(
    older: Old, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    before = contents(older.path)
    count = len(statements_of_an_upgrade(older.version, tmp_path / "counted"))
    step = max(1, count // rounds(5, count))
    for number in range(count, 0, -step):
        killed = subprocess.run([sys.executable, "-c", KILLED, older.url, f"{number}"], check=False)
        assert killed.returncode == 9
        assert contents(older.path) == before, number
    with opened(older, reading=False):
        assert version_of(older.path) == HEAD
