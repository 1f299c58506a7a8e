"""The ledger's SQLite database: opened safely, brought to this schema, and its errors sorted by who must act.

Python's `sqlite3` starts transactions by itself, too late and never ``IMMEDIATE``; so it is told to start none,
and every transaction here says its own ``BEGIN`` (https://docs.sqlalchemy.org/en/20/dialects/sqlite.html,
"Serializable isolation / Savepoints / Transactional DDL"). A writer takes the lock when it begins, so that what
it read stays true until it commits.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.ledger.derive import restate_made
from nightferry.ledger.place import prepare_file, refuse_network
from nightferry.ledger.revision import HEAD
from nightferry.ledger.schema import VERSION_TABLE, metadata
from nightferry.ledger.sqlite import NARROW, SETTINGS, WIDE, database_path, explain

#: Migrations that came before `HEAD`, oldest first.
OLDER: tuple[str, ...] = ("0001", "0002", "0003")

_MIGRATIONS = Path(__file__).parent / "migrations"
_BEGIN = "nightferry_begin"


@dataclass(frozen=True, slots=True)
class Database:
    """An open ledger database. ``wait`` is how many seconds a writer waits for another one."""

    engine: Engine
    path: Path
    wait: float

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection on which all reads see one state; raises what `explain` makes of SQLite's errors."""
        with self.explained(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the one connection that may write; all of it is durable at the end, or none of it happened.

        Raises `Busy` when another process writes for longer than ``wait``, and what `explain` makes of others.
        """
        writer = self.engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        with self.explained(), writer.connect() as connection:
            with connection.begin():
                connection.exec_driver_sql(WIDE)
                yield connection
            with suppress(sqlite3.DatabaseError):  # it is committed, whatever becomes of the cache
                _tell(connection.connection, NARROW)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise what `explain` makes of SQLite's errors."""
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as err:
            known = explain(err.orig if isinstance(err, DatabaseError) else err, self.path, self.wait)
            if known is None:
                raise
            raise known from err

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str, *, wait: float) -> Database:
    """Open the database of a ledger URL, make it if it is not there, and migrate it if it is older.

    Raises `Misconfigured` for a URL or file that can be no ledger, a network file system or a newer schema;
    `Busy` when another process keeps it locked for ``wait`` seconds.
    """
    path = database_path(url)
    prepare_file(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": wait},
        poolclass=QueuePool,
        pool_reset_on_return="rollback",
    )
    database = _database(engine, path, wait)
    try:
        _bring_up(database)
    except BaseException:
        database.close()
        raise
    return database


def open_to_read(url: str, *, wait: float) -> Database:
    """Open the database of a ledger URL to answer questions; it is neither made, migrated nor otherwise changed.

    A ledger of an older schema answers through a copy that is migrated in its place, and one that is not there yet
    through an empty one. SQLite keeps such a copy in a file without a name, so nothing is left of it at the end.
    Raises what `open_database` does.
    """
    path = database_path(url)
    refuse_network(path)
    if not _is_there(path):
        return open_copy(path, None, wait)

    def connect() -> sqlite3.Connection:
        found = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=wait, check_same_thread=False)
        found.execute("PRAGMA query_only = ON")
        return found

    database = _database(create_engine("sqlite://", creator=connect, poolclass=QueuePool), path, wait)
    try:
        with database.reading() as connection:
            if not _outdated(connection, path):
                return database
        with database.explained(), closing(connect()) as source:
            copy = open_copy(path, source, wait)
    except BaseException:
        database.close()
        raise
    database.close()
    return copy


def _is_there(path: Path) -> bool:
    """Whether there is anything at the path; a folder that nobody may look into is no answer."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as err:
        raise Misconfigured(
            f"cannot open the ledger {path}: {err.strerror or err}; give this user the right to read that file and its "
            "folder, or set [ledger] url to another file"
        ) from err
    return True


def open_copy(path: Path, source: sqlite3.Connection | None, wait: float) -> Database:
    """Copy a ledger, or make an empty one, in a temporary file of SQLite's own, and migrate that."""
    copied = sqlite3.connect("", check_same_thread=False)
    # the file has no name, so this connection is all there is of it, and who asks at once takes turns
    engine = create_engine("sqlite://", creator=lambda: copied, poolclass=QueuePool, pool_size=1, max_overflow=0)
    database = _database(engine, path, wait)
    try:
        if source is not None:
            source.backup(copied)
        _upgrade(database)
        copied.execute("PRAGMA query_only = ON")  # what is written here would be lost
    except NoSpace as err:
        copied.close()
        raise NoSpace(
            f"no room for a copy of the ledger {path}, which an older nightferry wrote: make room in the folder for "
            "temporary files (TMPDIR names it), or bring the ledger up to date with: nightferry run"
        ) from err
    except BaseException:
        copied.close()
        raise
    return database


def _database(engine: Engine, path: Path, wait: float) -> Database:
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return Database(engine, path, wait)


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Prepare each new connection (SQLAlchemy calls this)."""
    connection.isolation_level = None
    _tell(connection, *SETTINGS)


def _tell(connection: DBAPIConnection | PoolProxiedConnection, *settings: str) -> None:
    """Make settings outside of any transaction."""
    cursor = connection.cursor()
    try:
        for setting in settings:
            cursor.execute(setting)
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    """Start each transaction (SQLAlchemy calls this)."""
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _bring_up(database: Database) -> None:
    """Turn the write-ahead log on and bring the schema to `HEAD`."""
    with database.reading() as connection:
        outdated = _outdated(connection, database.path)
    _write_ahead(database)
    if outdated:
        _upgrade(database)


def _upgrade(database: Database) -> None:
    """Make the tables of a new ledger, or migrate those of an older one, in one transaction."""
    try:
        with database.writing() as connection:
            if not _outdated(connection, database.path):  # another process did it while we waited for the lock
                return
            if _tables(connection):
                _migrate(connection)
            else:
                _make(connection)
    except NoSpace as err:
        raise NoSpace(f"{err} (it was to be brought to schema {HEAD}, and is as it was)") from err.__cause__
    except DatabaseError as err:  # what `explain` knows nothing of
        raise Misconfigured(
            f"the ledger {database.path} cannot be brought to schema {HEAD}: {err.orig}; it is as it was: go on with "
            "the nightferry that wrote it, and report this message"
        ) from err


def _outdated(connection: Connection, path: Path) -> bool:
    """Whether the database needs migrations; raises `Misconfigured` when they could not help."""
    tables = _tables(connection)
    if not tables:
        return True
    if "alembic_version" not in tables:
        raise Misconfigured(
            f"{path} is a database, but not a ledger (its tables: {', '.join(sorted(tables)[:5])}); set [ledger] "
            "url to another file"
        )
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
    if version != HEAD and version not in OLDER:
        raise Misconfigured(
            f"the ledger {path} has schema {version}, and this nightferry knows {HEAD} at most: install the newer "
            "nightferry that wrote it, or set [ledger] url to another file"
        )
    return version != HEAD


def _tables(connection: Connection) -> set[str]:
    return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())


def _write_ahead(database: Database) -> None:
    """Turn the write-ahead log on, which the file then remembers; it cannot be done inside a transaction."""
    with database.explained():
        raw = database.engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            mode = cursor.fetchone()
        finally:
            raw.close()
    if mode is None or mode[0] != "wal":
        raise Misconfigured(
            f"the disk of the ledger {database.path} offers no write-ahead log (SQLite answers {mode}); set "
            "[ledger] url to a file on a local disk"
        )


def _make(connection: Connection) -> None:
    """Make a new ledger's tables as `HEAD` has them, without a walk through all migrations.

    That spares the first run the import of Alembic, 0.2 s. A test proves that both ways make the same database.
    """
    metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql(VERSION_TABLE)
    connection.exec_driver_sql("INSERT INTO alembic_version (version_num) VALUES (?)", (HEAD,))


def _migrate(connection: Connection) -> None:
    """Run the migrations inside the caller's transaction, so that a kill leaves the old schema or the new one."""
    from alembic import command  # noqa: PLC0415 - takes 0.2 s and is needed once for each new schema
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    restate_made(connection)  # an older ledger has none, or may have made them in another way
