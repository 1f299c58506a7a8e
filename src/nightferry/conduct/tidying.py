"""Tidying: working files leave the shelf when they are delivered, proven, and old enough."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from nightferry.conduct.route import Route
from nightferry.core.balance import Bin
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Ledger
from nightferry.steps.shelf import translated


def tidy(route: Route, ledger: Ledger) -> int:
    """Take away the working files that nobody needs any more, and tell how many.

    A whole frame goes when it is delivered and older than the shelf's ``keep``; a part goes when its frame is
    no longer open: the file changed at the telescope, or came whole by now.
    """
    taken = 0
    for path in _old_files(route.shelf.root / route.telescope.name, time.time() - route.keep):
        account = ledger.account(FrameId(path.name.removesuffix(".part")))
        if account is None:
            needed = path.suffix != ".part"  # whole frames that no ledger knows are not ours to judge
        elif path.suffix == ".part":
            needed = account.standing.stage == "pull"
        else:
            needed = account.standing.bin not in {Bin.DELIVERED, Bin.IGNORED}
        if not needed:
            with translated(path, "the shelf"):
                path.unlink(missing_ok=True)
            taken += 1
    return taken


def _old_files(folder: Path, before: float) -> Iterator[Path]:
    """Find the old files in the nights' folders, with one question to the disk for each file."""
    with translated(folder, "the shelf"):
        for night in _inside(folder):
            for entry in _inside(night.path) if night.is_dir(follow_symlinks=False) else ():
                if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before:
                    yield Path(entry.path)


def _inside(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:  # nothing was ever pulled
        return []
