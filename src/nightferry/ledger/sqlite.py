"""What holds of a ledger in SQLite however it is opened: where its file is, its settings, and what its errors mean."""

import sqlite3
from pathlib import Path

from nightferry.core.errors import Busy, Misconfigured, NightferryError, NoSpace, TryAgain

#: How long a writer waits for another process' transaction, in seconds; the longest (100,000 sightings) takes a few.
PATIENCE = 30.0
#: 16 MB of cache keep the indexes of a few hundred thousand frames off the disk while they grow; they are given back at
#: the end, for a run has a connection for each telescope and more, and each would keep what it once filled.
WIDE, NARROW = "PRAGMA cache_size = -16000", "PRAGMA cache_size = -2000"
#: FULL: a commit that was answered survives the loss of power. F_FULLFSYNC is macOS' only true sync; other systems
#: ignore it.
SETTINGS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA checkpoint_fullfsync = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    NARROW,
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
)


def database_path(url: str) -> Path:
    """Return the file that a ledger URL names; raises `Misconfigured` when it names none."""
    scheme, marked, rest = url.partition("://")
    host, _, name = rest.partition("/")
    if not marked:
        raise Misconfigured(f"[ledger] url {url!r} is not a URL; expected sqlite:////path/to/ledger.db")
    if scheme not in {"sqlite", "sqlite+pysqlite"}:
        raise Misconfigured(
            f"[ledger] url names {scheme!r}; this version keeps its ledger in SQLite: "
            "expected sqlite:////path/to/ledger.db"
        )
    if not name or name == ":memory:" or name.startswith("file:"):
        raise Misconfigured(f"[ledger] url {url!r} names no file to keep; expected sqlite:////path/to/ledger.db")
    if host or "?" in name:
        raise Misconfigured(f"[ledger] url {url!r} has more than a path; expected sqlite:////path/to/ledger.db")
    return Path(name).expanduser().absolute()


def explain(origin: BaseException | None, path: Path, wait: float) -> NightferryError | None:
    """Make of SQLite's error one that says who must act; None for those that only a bug can cause."""
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind, the rest its circumstances
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return Busy(f"the ledger {path} was locked by another process for {wait:g} s; tried again later")
    if code == sqlite3.SQLITE_FULL:
        return NoSpace(f"no room for the ledger {path}: {origin}; make room on its disk")
    if code == sqlite3.SQLITE_IOERR:
        return TryAgain(f"the disk of the ledger {path} failed: {origin}; look at the disk if this comes again")
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return Misconfigured(
            f"cannot open the ledger {path} for writing: {origin}; give this user the right to write that file and "
            "its folder, or set [ledger] url to another file"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return Misconfigured(
            f"{path} is not a ledger, for it is not an SQLite database; set [ledger] url to another file, or move "
            "this one away"
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return Misconfigured(
            f"the ledger {path} is damaged: {origin}; stop nightferry, keep a copy of the file and of those beside "
            "it, then restore a backup, or save what can be read with: sqlite3 LEDGER .recover"
        )
    return None
