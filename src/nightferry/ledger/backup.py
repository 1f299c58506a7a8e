"""A consistent copy of the ledger, also while it is written, and whether a ledger is sound."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.disk.errors import translated
from nightferry.disk.files import name_new, part_beside
from nightferry.disk.sync import sync_file
from nightferry.ledger.database import open_copy
from nightferry.ledger.schema import standings
from nightferry.ledger.sql import SqlLedger
from nightferry.ledger.sqlite import PATIENCE, database_path, explain

#: So many findings of one kind are told.
_TOLD = 20


def backup(url: str, target: Path) -> None:
    """Copy the ledger of a URL into a new file: one state of it, whoever writes meanwhile; nothing is overwritten.

    Raises `Misconfigured` when there is no ledger or the file's name is taken, `TryAgain` when the copy is not sound.
    """
    path = _existing(url)
    target = target.expanduser().absolute()
    taken = f"{target} is there already, and a backup overwrites nothing: name another file, or move that one away"
    if os.path.lexists(target):
        raise Misconfigured(taken)
    if not target.parent.is_dir():
        raise Misconfigured(f"{target}: there is no folder {target.parent}; is its disk mounted?")
    with translated(target, "the ledger's copy"), part_beside(target) as part:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))  # as private as the ledger
        _copy_into(path, part, target)
        descriptor = os.open(part, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            sync_file(descriptor)
        finally:
            os.close(descriptor)
        try:
            name_new(part, target)
        except FileExistsError as err:
            raise Misconfigured(taken) from err


def faults(url: str) -> list[str]:
    """Find what is wrong with the ledger of a URL; it is read as one state, and never changed.

    Judged are the database's pages and references, every night's balance, and whether what is derived from sightings
    and receipts is what they say. Raises `Misconfigured` when there is no ledger.
    """
    path = _existing(url)
    try:
        with closing(_opened(path)) as source:
            found = _damage(source)
            if not found:
                with closing(open_copy(path, source, PATIENCE)) as copy:
                    found = _untrue(SqlLedger(copy))
    except sqlite3.DatabaseError as err:
        if _is_damage(err):
            return [f"the database is damaged: {err}"]
        raise explain(err, path, PATIENCE) or err from err
    return found


def _existing(url: str) -> Path:
    path = database_path(url)
    if not path.is_file():
        raise Misconfigured(f"there is no ledger {path}; set [ledger] url to the file that it is in")
    return path


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=PATIENCE, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _copy_into(path: Path, part: Path, target: Path) -> None:
    try:
        with closing(_opened(path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file; whoever opens it as a ledger has a log again
            if damage := _damage(copy):
                raise TryAgain(
                    f"{path}: its copy is not sound ({damage[0]}), so none was kept; see: nightferry ledger check"
                )
    except sqlite3.DatabaseError as err:
        full = getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        raise explain(err, target if full else path, PATIENCE) or err from err


def _damage(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with pages, indexes and references."""
    pages = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_TOLD})")]
    if pages != ["ok"]:
        return [f"the database is damaged: {line}" for line in pages]
    broken = connection.execute("PRAGMA foreign_key_check").fetchmany(_TOLD)
    return [f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there" for row in broken]


def _is_damage(err: sqlite3.DatabaseError) -> bool:
    return getattr(err, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _untrue(copy: SqlLedger) -> list[str]:
    """Return what a copy says that its sightings and receipts do not; the copy is made anew for that."""
    found = [
        f"the night {one.night.date} of {one.night.telescope} does not balance: {one.seen} seen"
        for one in copy.balances()
        if not one.balanced
    ]
    before = _stands(copy)
    with copy.database.reading() as connection:
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    copy.rebuild()
    after = _stands(copy)
    wrong = sorted(frame for frame in before.keys() | after.keys() if before.get(frame) != after.get(frame))
    found += [f"frame {frame} does not stand where its receipts say" for frame in wrong[:_TOLD]]
    return found


def _stands(ledger: SqlLedger) -> dict[str, tuple[object, ...]]:
    with ledger.database.reading() as connection:
        return {row.frame: tuple(row) for row in connection.execute(select(standings))}
