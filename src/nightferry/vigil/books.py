"""The books: what was transferred and what was not, per night, and the running transfer log; plain files for scripts.

They are copies of what the ledger says, written anew where it says something else, and never read back but for the
nights of the transfer log that other runs have written. In the folder, for each telescope:

    TELESCOPE/transfer_log.txt              YYYYMMDD COUNT PROGRAM, a line a night
    TELESCOPE/YYYYMMDD/transferred          NAME <tab> ARCHIVE <tab> RAW PATH <tab> BLAKE3
    TELESCOPE/YYYYMMDD/non_transferred      RAW PATH <tab> STANDING <tab> STEP <tab> REASON

The first line of the lists begins with ``#`` and holds the night's balance.
"""

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

from nightferry.core.balance import Balance, Bin
from nightferry.core.display import display
from nightferry.core.errors import Gone, Misconfigured, NightferryError, NoSpace, Occupied
from nightferry.core.ledger import Account, Ledger
from nightferry.core.receipt import Outcome
from nightferry.core.store import Load, Store, StorePath

_LINE = re.compile(r"(\d{8}) (\d+) (\S+)")
_NO_PROGRAM = "-"
#: How long the end of a process waits for the last copies, and after how long a failed one is tried again, in seconds.
_PATIENCE, _AGAIN = 10.0, 300.0


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
            if receipt.step == "deliver" and receipt.outcome is Outcome.DONE
        }
        for archive, receipt in latest.items():
            digest = receipt.digest or next((one.digest for one in account.receipts if one.step == "pull"), None)
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
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and path.read_bytes() == text:
            return []
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(text)
        part.replace(path)
    except OSError as err:
        what = f"the books' {path} cannot be written: {err}"
        if err.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}:
            raise NoSpace(f"{what}; free some space") from err
        raise Misconfigured(f"{what}; give this user the right to write there, or set books.path") from err
    return [path]


class Copier:
    """Brings changed books to another store, in a thread of its own: a copy is never worth waiting for.

    What could not be copied is tried again with the next change, and after a while. The thread is a daemon, so that a
    store which does not answer keeps no process from its end.
    """

    def __init__(self, folder: Path, name: str, store: Store, note: Callable[[str], None]) -> None:
        self._folder, self._name, self._store, self._note = folder, name, store, note
        self._due: set[Path] = set()
        self._lock, self._bell, self._closed = Lock(), Event(), Event()
        self._thread = Thread(target=self._serve, daemon=True, name="nightferry-books")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._bell.set()
        self._thread.join(_PATIENCE)

    def add(self, changed: Sequence[Path]) -> None:
        """Have these files copied soon."""
        with self._lock:
            self._due |= set(changed)
        if changed:
            self._bell.set()

    def _serve(self) -> None:
        last = False
        while not last:
            last = self._closed.is_set()
            self._bell.clear()
            self._copy()
            if not last:
                self._bell.wait(_AGAIN)
        self._store.close()

    def _copy(self) -> None:
        with self._lock:
            due, self._due = sorted(self._due), set()
        for place, path in enumerate(due):
            try:
                _replace(self._store, Load(path, StorePath(path.relative_to(self._folder).as_posix())))
            except NightferryError as err:
                with self._lock:
                    self._due |= set(due[place:])
                self._note(f"the books could not be copied to {self._name}, and are tried again: {err}")
                return


def _replace(store: Store, load: Load) -> None:
    """Put a file under its name, in the place of the one that is there."""
    (answer,) = store.put([load])
    if isinstance(answer, Occupied):
        with suppress(Gone):  # somebody else may have taken it away
            store.remove(load.target)
        (answer,) = store.put([load])
    if isinstance(answer, NightferryError):
        raise answer
