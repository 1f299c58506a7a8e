"""Copies of the books in other stores.

A store never overwrites, because frames must not be. So a new text is put beside the old one before that is deleted:
whatever dies in between, one of the two is there as a whole, and the next try comes to an end. What was copied is noted
in the folder of the books, so that a process which was killed leaves nothing uncopied for ever.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

from nightferry.core.errors import Gone, Misconfigured, NightferryError, Occupied
from nightferry.core.store import Load, Store, StorePath
from nightferry.disk.files import write_anew

#: How long the end of a process waits for the last copies, and after how long a failed one is tried again, in seconds.
_PATIENCE, _AGAIN = 10.0, 300.0
#: Notes of more lines than this, most of them outdated, are written anew.
_LONG = 1000
#: What stands beside a copy while it is replaced has this at the end of its name.
BESIDE = ".new"


class Copier:
    """Brings changed books to another store, in a thread of its own: a copy is never worth waiting for.

    It begins with those that no process before brought there. What could not be copied is tried again with the next
    change, and after a while. The thread is a daemon: a store which does not answer keeps no process from its end.
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
        self._tried(self._find)
        last = False
        while not last:
            last = self._closed.is_set()
            self._bell.clear()
            self._tried(self._copy)
            if not last:
                self._bell.wait(_AGAIN)
        self._store.close()

    def _tried(self, work: Callable[[], None]) -> None:
        try:
            work()
        except NightferryError as err:
            self._note(f"the books could not be copied to {self._name}, and are tried again: {err}")

    def _find(self) -> None:
        """Find the books that are not noted as copied in their present state."""
        noted = _noted(self._notes)
        try:
            books = [path for path in self._folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
            found = {path for path in books if noted.get(_key(path, self._folder)) != _state(path)}
        except OSError as err:
            raise Misconfigured(f"the books' folder cannot be read: {err}; see books.path") from err
        with self._lock:
            self._due |= found

    def _copy(self) -> None:
        with self._lock:
            due, self._due = sorted(self._due), set()
        for place, path in enumerate(due):
            try:
                self._bring(path)
            except NightferryError:
                with self._lock:
                    self._due |= set(due[place:])
                raise

    def _bring(self, path: Path) -> None:
        key = _key(path, self._folder)
        try:
            state = _state(path)  # from before it is read: a change meanwhile makes it due again
        except FileNotFoundError:  # somebody put it away, and the copy may stay
            return
        except OSError as err:
            raise Misconfigured(f"{path} cannot be read: {err}; see books.path") from err
        replace_copy(self._store, Load(path, StorePath(key)))
        try:
            with self._notes.open("a", encoding="utf-8") as notes:
                notes.write(f"{key}\t{state}\n")
        except OSError as err:
            raise Misconfigured(f"{self._notes} cannot be written: {err}; see books.path") from err

    @property
    def _notes(self) -> Path:
        """Where is noted what was copied: a line for each copy, of which the last one counts."""
        return self._folder / f".copied-to-{self._name}"


def replace_copy(store: Store, load: Load) -> None:
    """Put a file under its name, in the place of the one that is there; raises what keeps it from being done.

    At every moment a whole file stands under its name, or under that name with `BESIDE`.
    """
    beside = replace(load, target=StorePath(f"{load.target}{BESIDE}"))
    if _put(store, load):
        (left,) = store.stat([beside.target])
        if left is not None:  # by one who died after he had deleted the old one
            _remove(store, beside.target)
        return
    if not _put(store, beside):  # by one who died, and it may be an older text
        _remove(store, beside.target)
        _insist(store, beside)
    _remove(store, load.target)
    _insist(store, load)
    _remove(store, beside.target)


def _put(store: Store, load: Load) -> bool:
    """Put a file unless its name is taken; whether it was put."""
    (answer,) = store.put([load])
    if isinstance(answer, Occupied):
        return False
    if isinstance(answer, NightferryError):
        raise answer
    return True


def _insist(store: Store, load: Load) -> None:
    (answer,) = store.put([load])
    if isinstance(answer, NightferryError):
        raise answer


def _remove(store: Store, path: StorePath) -> None:
    with suppress(Gone):  # somebody else may have taken it away
        store.remove(path)


def _key(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _state(path: Path) -> str:
    """Return a file's state: books are replaced as a whole, so another text has another time."""
    status = path.stat()
    return f"{status.st_size}\t{status.st_mtime_ns}"


def _noted(notes: Path) -> dict[str, str]:
    """Read what was copied; a line that a kill tore names a state in which no file is."""
    try:
        lines = notes.read_text(encoding="utf-8").splitlines()
        found = {key: state for key, _, state in (line.partition("\t") for line in lines)}
        if len(lines) > _LONG + 2 * len(found):
            write_anew(notes, "".join(f"{key}\t{state}\n" for key, state in found.items()).encode())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{notes} cannot be read: {err}; delete it, and all books are copied anew") from err
    return found
