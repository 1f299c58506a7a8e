"""Opening a ledger's database, and what its errors mean to people."""

import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from nightferry.core.errors import Busy, Misconfigured, NightferryError, NoSpace, TryAgain
from nightferry.core.frame import FrameId, Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger import database as under_test
from nightferry.ledger import schema
from nightferry.ledger.database import Database, open_database
from nightferry.ledger.revision import HEAD
from nightferry.ledger.sql import SqlLedger, open_ledger
from nightferry.ledger.sqlite import database_path, explain

NIGHT = Night("callisto", date(2026, 9, 12))
SEEN = Sighting(NIGHT, StorePath("20260912/a.fits"), 2880, 1, 2)
TOLD = Receipt(SEEN.id, NIGHT, "pull", "1", Outcome.DONE)
DEFINITIONS = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{path}", wait=0.2)
    opened.sight([SEEN])
    opened.record([TOLD])
    yield opened
    opened.close()


def opened_again(path: Path) -> None:
    open_ledger(f"sqlite:///{path}", wait=0.2).close()


def definitions(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    """Give all definitions, without the differences in blanks between Alembic's and SQLAlchemy's way to write."""
    rows = connection.execute(DEFINITIONS).fetchall()
    return sorted((kind, name, re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split()))) for kind, name, sql in rows)


def ask(database: Database, question: str) -> object:
    with database.reading() as connection:
        return connection.exec_driver_sql(question).scalar()


def test_migrations_make_the_same_database_as_a_new_ledger_has(path: Path, tmp_path: Path) -> None:
    opened_again(path)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.begin() as connection:
        under_test._migrate(connection)
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    engine.dispose()
    with closing(sqlite3.connect(path)) as made, closing(sqlite3.connect(tmp_path / "migrated.db")) as migrated:
        assert definitions(made) == definitions(migrated)
        version = "SELECT * FROM alembic_version"
        assert made.execute(version).fetchall() == migrated.execute(version).fetchall() == [(HEAD,)]


def test_known_schema_versions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(under_test.__file__).parent / "migrations").replace("%", "%%"))
    newest_first = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert newest_first == [HEAD, *reversed(under_test.OLDER)]


@pytest.mark.parametrize(
    ("setting", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 200), ("trusted_schema", 0)],
)
def test_database_is_set_to_be_durable(ledger: SqlLedger, setting: str, value: object) -> None:
    assert ask(ledger.database, f"PRAGMA {setting}") == value


def test_log_is_switched_on_again_for_a_copy_without_it(ledger: SqlLedger, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(ledger.database.path)) as raw:
        raw.execute("VACUUM INTO ?", (str(copy),))
    restored = open_ledger(f"sqlite:///{copy}")
    assert ask(restored.database, "PRAGMA journal_mode") == "wal"
    assert [account.receipts for account in restored.accounts()] == [(TOLD,)]
    restored.close()


def test_ledger_is_made_and_opened_without_alembic_and_without_the_orm(path: Path) -> None:
    program = (
        "import sys; from nightferry.ledger.sql import open_ledger; "
        f"ledger = open_ledger({f'sqlite:///{path}'!r}); print(len(ledger.known('callisto'))); ledger.close(); "
        "print(sorted({'alembic', 'sqlalchemy.orm', 'mako'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n") == ["0", "[]", ""]


def test_new_ledger_can_be_opened_by_several_processes_at_once(path: Path) -> None:
    program = f"from nightferry.ledger.sql import open_ledger; open_ledger({f'sqlite:///{path}'!r}).close()"
    started = [subprocess.Popen([sys.executable, "-W", "error", "-c", program]) for _ in range(4)]
    assert [process.wait(timeout=60) for process in started] == [0, 0, 0, 0]
    opened_again(path)


def test_ledger_that_another_process_made_meanwhile_is_not_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make_another(_: Database) -> None:
        monkeypatch.undo()
        opened_again(path)

    monkeypatch.setattr(under_test, "_write_ahead", make_another)
    opened_again(path)
    assert under_test._write_ahead is not make_another


def test_making_a_ledger_that_is_cut_short_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = under_test._make

    def cut_short(connection: sa.Connection) -> None:
        make(connection)
        raise KeyboardInterrupt

    monkeypatch.setattr(under_test, "_make", cut_short)
    with pytest.raises(KeyboardInterrupt):
        opened_again(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == []
    monkeypatch.undo()
    opened_again(path)


def test_migration_that_is_cut_short_leaves_the_older_schema(
    ledger: SqlLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
        raw.commit()
        before = definitions(raw)

    def cut_short(config: Config, revision: str) -> None:
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half (a)")
        raise KeyboardInterrupt(revision)

    monkeypatch.setattr(under_test, "OLDER", ("0000",))
    monkeypatch.setattr(command, "upgrade", cut_short)
    with pytest.raises(KeyboardInterrupt, match=HEAD):
        opened_again(path)
    with closing(sqlite3.connect(path)) as raw:
        assert definitions(raw) == before


@pytest.mark.parametrize("table", ["sightings", "receipts"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE {} SET evening = '2026-09-13'",
        "DELETE FROM {}",
        "INSERT OR REPLACE INTO {} SELECT * FROM {}",
        "INSERT OR REPLACE INTO {} SELECT * FROM {} WHERE seq = 1",
    ],
)
def test_database_itself_refuses_to_change_what_was_written(
    ledger: SqlLedger, path: Path, table: str, change: str
) -> None:
    with closing(sqlite3.connect(path)) as raw, pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        raw.execute(change.replace("{}", table))
    assert [account.receipts for account in ledger.accounts()] == [(TOLD,)]


def test_error_that_only_a_bug_can_cause_is_not_taken_for_another(ledger: SqlLedger) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), ledger.database.writing() as connection:
        connection.execute(sa.delete(schema.receipts))


def test_newer_schema_is_refused_and_left_alone(ledger: SqlLedger, path: Path) -> None:
    ledger.close()
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0999'")
        raw.commit()
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match=f"schema 0999.*knows {HEAD}.*install the newer nightferry"):
        opened_again(path)
    assert path.read_bytes() == before


def test_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    before = path.read_bytes()
    with pytest.raises(Misconfigured, match=r"not a ledger \(its tables: bookmarks\)"):
        opened_again(path)
    assert path.read_bytes() == before


def test_file_that_is_no_database_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"SIMPLE  =                    T" * 200)
    with pytest.raises(Misconfigured, match="not an SQLite database"):
        opened_again(path)
    assert path.read_bytes() == b"SIMPLE  =                    T" * 200


def test_damaged_ledger_says_how_to_save_it(ledger: SqlLedger, path: Path) -> None:
    ledger.close()
    torn = bytearray(path.read_bytes())
    torn[4096:] = b"\xa5" * (len(torn) - 4096)
    path.write_bytes(torn)
    with pytest.raises(Misconfigured, match=r"is damaged.*\.recover"):
        open_ledger(f"sqlite:///{path}").known("callisto")


def test_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(Misconfigured, match=r"cannot open the ledger .* for writing"):
        opened_again(path)


@pytest.mark.parametrize(
    "url",
    ["", "ledger.db", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=ro", "sqlite:////x.db?timeout=1",
     "sqlite://host/x.db", "postgresql://host/ledger", "nonsense://x"],
)  # fmt: skip
def test_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"expected sqlite:////path/to/ledger\.db"):
        database_path(url)


def test_url_names_an_absolute_relative_or_home_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert database_path(f"sqlite:///{tmp_path / 'a b.db'}") == tmp_path / "a b.db"
    assert database_path("sqlite:///x.db") == tmp_path / "x.db"
    assert database_path("sqlite:///~/x.db") == tmp_path / "x.db"


def test_writer_waits_for_another_process_and_then_says_so(ledger: SqlLedger, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match=r"locked by another process for 0\.2 s"):
            ledger.record([TOLD])
        other.execute("ROLLBACK")
    ledger.record([TOLD])
    assert ledger.accounts()[0].receipts == (TOLD, TOLD)


def test_writer_goes_on_as_soon_as_the_other_one_is_done(ledger: SqlLedger, path: Path) -> None:
    patient = open_ledger(f"sqlite:///{path}", wait=30)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["COMMIT"])
        release.start()
        patient.record([TOLD])
        release.join()
    patient.close()
    assert ledger.accounts()[0].receipts == (TOLD, TOLD)


def test_reader_does_not_wait_for_a_writer(ledger: SqlLedger, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM standings")
        assert [account.sighting for account in ledger.accounts()] == [SEEN]


def test_ledger_opens_while_another_process_writes(ledger: SqlLedger, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        opened_again(path)


def limit(ledger: SqlLedger, pragma: str) -> None:
    """Have every connection made from now on work under a limit of SQLite's."""
    ledger.close()

    def apply(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(pragma)

    sa.event.listen(ledger.database.engine, "connect", apply)


def test_full_disk_loses_nothing_and_is_told_as_such(ledger: SqlLedger) -> None:
    limit(ledger, "PRAGMA max_page_count = 20")
    many = [Sighting(NIGHT, StorePath(f"20260912/{number}.fits"), 1, 1, 1) for number in range(2000)]
    with pytest.raises(NoSpace, match="make room"):
        ledger.sight(many)
    assert [account.sighting for account in ledger.accounts()] == [SEEN]


def test_ledger_that_may_not_be_written_is_the_operators_to_mend(ledger: SqlLedger) -> None:
    limit(ledger, "PRAGMA query_only = ON")
    with pytest.raises(Misconfigured, match="give this user the right to write"):
        ledger.record([TOLD])


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, Busy),
        (sqlite3.SQLITE_IOERR_FSYNC, TryAgain),
        (sqlite3.SQLITE_CORRUPT_INDEX, Misconfigured),
        (sqlite3.SQLITE_READONLY_DIRECTORY, Misconfigured),
        (sqlite3.SQLITE_CONSTRAINT_TRIGGER, None),
        (sqlite3.SQLITE_ERROR, None),
    ],
)
def test_kind_of_an_error_is_told_from_its_extended_code(code: int, kind: type[NightferryError] | None) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    made = explain(error, Path("ledger.db"), 1)
    assert made is None if kind is None else type(made) is kind


def test_database_that_cannot_be_opened_leaves_no_connection_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Path] = []
    monkeypatch.setattr(Database, "close", lambda database: closed.append(database.path))
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(Misconfigured):
        open_database(f"sqlite:///{path}", wait=1)
    assert closed == [path]


def test_ledger_can_be_used_again_after_it_was_closed(ledger: SqlLedger) -> None:
    ledger.close()
    assert ledger.account(FrameId(SEEN.id)) is not None
