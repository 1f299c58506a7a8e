"""Where a ledger's database may stand: on a local disk, in a file of its owner's own.

SQLite's write-ahead log needs memory shared between processes, which network file systems do not give; a ledger
there may be torn by the second machine that opens it (https://www.sqlite.org/wal.html, "Overview").
"""

import contextlib
import os
from pathlib import Path

from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.disk.errors import FULL
from nightferry.disk.files import make_folders
from nightferry.disk.mounts import network_kind
from nightferry.disk.sync import sync_folder

_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700


def prepare_file(path: Path) -> None:
    """Make sure that the database's file exists, readable by its owner only, in a folder on a local disk.

    Raises `Misconfigured` when it can not stand there, `NoSpace` when the disk is full.
    """
    refuse_network(path)
    try:
        make_folders(path.parent, _PRIVATE_FOLDER)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE))
        if path.stat().st_size == 0:  # new, or made by one that died before its name was on the disk
            sync_folder(path.parent)
    except OSError as err:
        if err.errno in FULL:
            raise NoSpace(f"cannot create the ledger {path}: {err.strerror}; make room there") from err
        raise Misconfigured(
            f"cannot create the ledger {path}: {err.strerror or err}; make that folder writable, or set [ledger] url "
            "to a file in another one"
        ) from err


def refuse_network(path: Path) -> None:
    """Raise `Misconfigured` when the path is on a file system that other machines serve."""
    kind = network_kind(path)
    if kind:
        raise Misconfigured(
            f"the ledger {path} would stand on a network file system ({kind}), where SQLite can lose data; set "
            "[ledger] url to a file on a local disk"
        )
