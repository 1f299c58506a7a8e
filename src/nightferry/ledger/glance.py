"""A glance at the ledger, with Python's own `sqlite3`, for a command that must answer at once.

SQLAlchemy takes longer to import than a million receipts take to answer. What a glance cannot open as it is (a ledger
that is not there yet, of an older version, damaged) is opened as for any other question, which answers from a copy or
says what is wrong with it. No glance makes or changes a ledger.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nightferry.core.overview import Overview
from nightferry.ledger.answers import Row, Values, overview_of
from nightferry.ledger.place import refuse_network
from nightferry.ledger.revision import HEAD
from nightferry.ledger.sqlite import PATIENCE, SETTINGS, WIDE, database_path, explain


class Telling(Protocol):
    """What can tell the overview of telescopes: a glance, or a whole ledger."""

    def overview(self, telescope: str, nights: int) -> Overview:
        """Return a telescope's last nights, and what is open in those before; raises as the ledger does."""


@dataclass(frozen=True, slots=True)
class Glance:
    """A ledger of the present version, opened for reading."""

    connection: sqlite3.Connection
    path: Path

    def overview(self, telescope: str, nights: int) -> Overview:
        """Return a telescope's last nights, and what is open in those before; all reads see one state."""
        try:
            self.connection.execute("BEGIN")
            try:
                return overview_of(self._ask, telescope, nights)
            finally:
                if self.connection.in_transaction:  # some errors end it
                    self.connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as err:
            known = explain(err, self.path, PATIENCE)
            if known is None:
                raise
            raise known from err

    def _ask(self, sql: str, values: Values) -> Iterable[Row]:
        return self.connection.execute(sql, values)


@contextmanager
def glance(url: str) -> Iterator[Telling]:
    """Open the ledger of a URL for a look; raises what `nightferry.ledger.sql.open_ledger` does."""
    path = database_path(url)
    refuse_network(path)
    connection = _opened(path)
    if connection is not None:
        with closing(connection):
            yield Glance(connection, path)
        return
    from nightferry.ledger.sql import open_ledger  # noqa: PLC0415 - see above

    with closing(open_ledger(url, reading=True)) as ledger:
        yield ledger


def _opened(path: Path) -> sqlite3.Connection | None:
    """Open a ledger of the present version; None when there is none, or nothing that a glance could answer from."""
    try:
        if not path.is_file():
            return None
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    except (OSError, sqlite3.DatabaseError):
        return None
    try:
        for setting in (*SETTINGS, WIDE, "PRAGMA query_only = ON"):
            connection.execute(setting)
        if connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]:
            return connection
    except sqlite3.DatabaseError:
        pass  # opening it in the other way tells the reason
    connection.close()
    return None
