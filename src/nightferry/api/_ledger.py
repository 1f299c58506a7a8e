"""The ledger itself: a copy of it, and whether it is sound."""

from pathlib import Path

from nightferry.config import Config, ledger_url
from nightferry.ledger.backup import backup, faults


def ledger_backup(config: Config, file: Path) -> None:
    """Copy the ledger into a new file, also while it is written; nothing is ever overwritten.

    Raises `Misconfigured` when there is no ledger or the file's name is taken, `NoSpace` when the disk is full.
    """
    backup(ledger_url(config), file)


def ledger_check(config: Config) -> list[str]:
    """Return what is wrong with the ledger; empty when it is sound. Raises `Misconfigured` when there is none."""
    return faults(ledger_url(config))
