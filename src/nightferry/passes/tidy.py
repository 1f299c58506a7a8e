"""Tidying: working files leave the shelf when they are delivered, proven, and old enough."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from nightferry.core.balance import Bin
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Account, Ledger
from nightferry.core.receipt import Outcome
from nightferry.core.step import PULL, RELEASE
from nightferry.disk.errors import translated
from nightferry.disk.parts import sweep_folder
from nightferry.passes.route import Route
from nightferry.steps.products import NAMES, PRODUCTS, raw_of


def tidy(route: Route, ledger: Ledger) -> int:
    """Take away the working files that nobody needs any more, and tell how many.

    A whole frame goes when it is delivered (or a person dropped it) and older than the shelf's ``keep``; a part goes
    when its frame is no longer open: the file changed at the telescope, or came whole by now. A product, which can be
    fetched back or made again, goes as soon as it is delivered and, where the route gathers, gathered.
    """
    taken = _tidy_products(route, ledger)
    for path in _old_files(route.shelf.root / route.telescope.name, time.time() - route.keep):
        account = ledger.account(FrameId(path.name.removesuffix(".part")))
        if account is None:
            needed = path.suffix != ".part"  # whole frames that no ledger knows are not ours to judge
        elif path.suffix == ".part":
            needed = account.standing.stage == PULL
        else:
            needed = not _is_done_with(account)
        if not needed:
            with translated(path, "the shelf"):
                path.unlink(missing_ok=True)
            taken += 1
    return taken


def _is_done_with(account: Account) -> bool:
    """Whether every archive has a frame, proven, or a person dropped it.

    One that a rule ignores by now may have nobody else who has it: the telescope is not asked here.
    """
    standing = account.standing
    return standing.bin is Bin.DELIVERED or (standing.bin is Bin.IGNORED and standing.stage == RELEASE)


def _tidy_products(route: Route, ledger: Ledger) -> int:
    """Take away the products of frames that are delivered or dropped, what a kill left of others, and old claims."""
    taken = 0
    with translated(route.shelf.root, "the shelf"):
        for night in _inside(route.shelf.root / route.telescope.name):
            if not night.is_dir(follow_symlinks=False):
                continue
            for folder in (PRODUCTS, NAMES):
                sweep_folder(Path(night.path) / folder)
            for entry in _inside(Path(night.path) / PRODUCTS):
                account = ledger.account(raw_of(Path(entry.path)))
                if account is not None and not _is_needed(route, account, entry):
                    Path(entry.path).unlink(missing_ok=True)
                    taken += 1
            for entry in _inside(Path(night.path) / NAMES):
                # an archive still has a file of this name, and says so if another frame comes so late
                if entry.stat(follow_symlinks=False).st_mtime < time.time() - route.keep:
                    Path(entry.path).unlink(missing_ok=True)
    return taken


def _is_needed(route: Route, account: Account, entry: os.DirEntry[str]) -> bool:
    if account.standing.bin not in {Bin.DELIVERED, Bin.IGNORED}:
        return not entry.name.endswith(".part")
    if route.group_step is None or account.standing.bin is Bin.IGNORED:
        return False
    gathered = any(
        receipt.step == route.group_step.name and receipt.outcome is Outcome.DONE for receipt in account.receipts
    )
    return not gathered and entry.stat(follow_symlinks=False).st_mtime > time.time() - route.keep


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
