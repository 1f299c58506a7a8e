"""The books: what was transferred and what was not, per night, and the running transfer log; plain files for scripts.

They are copies of what the ledger says, written anew where it says something else, and never read back but for the
nights of the transfer log that other runs have written. In the folder, for each telescope:

    TELESCOPE/transfer_log.txt              YYYYMMDD COUNT PROGRAM, a line a night
    TELESCOPE/YYYYMMDD/transferred          NAME <tab> ARCHIVE <tab> RAW PATH <tab> BLAKE3
    TELESCOPE/YYYYMMDD/non_transferred      RAW PATH <tab> STANDING <tab> STEP <tab> REASON

The first line of the lists begins with ``#`` and holds the night's balance.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from nightferry.core.balance import Balance, Bin
from nightferry.core.display import display
from nightferry.core.errors import Misconfigured, NoSpace
from nightferry.core.ledger import Account, Ledger
from nightferry.core.receipt import Outcome
from nightferry.core.step import DELIVER, PULL
from nightferry.disk.errors import FULL
from nightferry.disk.files import make_folders, write_anew

_LINE = re.compile(r"(\d{8}) (\d+) (\S+)")
_NO_PROGRAM = "-"


def write_books(folder: Path, ledger: Ledger, balances: Sequence[Balance], program: str) -> list[Path]:
    """Write what changed of these nights, and tell which files that were.

    Raises `NoSpace` or `Misconfigured` when the folder cannot be written.
    """
    changed: list[Path] = []
    for balance in balances:
        place = folder / balance.night.telescope / f"{balance.night.date:%Y%m%d}"
        head = _head(balance)
        lists = (place / "transferred", place / "non_transferred")
        if all(_first_line(path) == head for path in lists):
            continue
        accounts = ledger.accounts(balance.night.telescope, [balance.night.date])
        for path, lines in zip(lists, (_transferred(accounts), _left(accounts)), strict=True):
            changed += _write(path, [head, *lines])
    by_telescope: dict[str, list[Balance]] = {}
    for balance in balances:
        by_telescope.setdefault(balance.night.telescope, []).append(balance)
    for telescope, nights in by_telescope.items():
        changed += _write_log(folder / telescope / "transfer_log.txt", nights, program)
    return changed


def _head(balance: Balance) -> str:
    counts = [f"{balance.seen} seen"] + [f"{getattr(balance, place.value)} {place.value}" for place in Bin]
    return f"# {balance.night}: {', '.join(counts)}"


def _transferred(accounts: Sequence[Account]) -> Iterator[str]:
    for account in accounts:
        latest = {
            receipt.target: receipt
            for receipt in account.receipts
            if receipt.step == DELIVER and receipt.outcome is Outcome.DONE
        }
        for archive, receipt in latest.items():
            digest = receipt.digest or next((one.digest for one in account.receipts if one.step == PULL), None)
            yield _line(str(receipt.proof.get("name", "")), archive, account.sighting.path, digest or "")


def _left(accounts: Sequence[Account]) -> Iterator[str]:
    for account in accounts:
        standing = account.standing
        if standing.bin is not Bin.DELIVERED:
            yield _line(account.sighting.path, str(standing.bin), standing.stage, standing.reason)


def _line(*cells: str) -> str:
    """Write cells with tabs between; whatever could be taken for a tab or a new line is shown as an escape."""
    return "\t".join(display(cell) for cell in cells)


def _write_log(path: Path, balances: Sequence[Balance], program: str) -> list[Path]:
    """Bring the nights' lines up to date and leave those of other nights as they are.

    A night keeps its program until a run names another one.
    """
    known = {found[1]: (found[2], found[3]) for line in _lines(path) if (found := _LINE.fullmatch(line))}
    for balance in balances:
        night = f"{balance.night.date:%Y%m%d}"
        before = known.get(night, ("0", _NO_PROGRAM))
        if balance.seen or night in known:
            known[night] = (str(balance.delivered), program.replace(" ", "_") or before[1])
    return _write(path, [f"{night} {count} {named}" for night, (count, named) in sorted(known.items())])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"the books' {path} cannot be read: {err}; move it away, and it is written anew") from err


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline().rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return ""


def _write(path: Path, lines: Sequence[str]) -> list[Path]:
    """Replace a file as a whole, so that a reader finds the old text or the new one; nothing where both are equal."""
    text = "".join(f"{line}\n" for line in lines).encode()
    try:
        if path.exists() and path.read_bytes() == text:
            return []
        make_folders(path.parent)
        write_anew(path, text)
    except OSError as err:
        what = f"the books' {path} cannot be written: {err}"
        if err.errno in FULL:
            raise NoSpace(f"{what}; free some space") from err
        raise Misconfigured(f"{what}; give this user the right to write there, or set books.path") from err
    return [path]
