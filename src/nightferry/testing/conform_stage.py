"""What the store conformance suite asks of a stage, and the tools its tests share.

A stage is a store's far side under the test's control: it plants files behind the server's back, looks at what
really came to lie there, and makes the server misbehave on demand.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from nightferry.core.errors import Changed, NightferryError, TryAgain
from nightferry.core.store import BUFFER_SIZE, Arrival, Attested, Entry, Linked, Load, Oddity, Store, StorePath, Want

T = TypeVar("T")

#: When planted files were last changed, unless a test says otherwise: a whole second in November 2023.
PLANTED_US = 1_700_000_000_000_000
#: A file that needs several buffers and ends in the middle of one.
MIDDLE = 5 * BUFFER_SIZE + 12_345
#: Where a misbehaving server gives up on such a file: not at the edge of a buffer.
PART = 2 * BUFFER_SIZE + 777


class Fault(StrEnum):
    """A way in which the far side can misbehave; a stage declares which ones it can play."""

    DIES = "dies"  #: `StoreStage.dies`
    FREEZES = "freezes"  #: `StoreStage.freezes`
    CUTS_SHORT = "cuts_short"  #: `StoreStage.cuts_short`
    LIES_ABOUT_SIZE = "lies_about_size"  #: `StoreStage.lies_about_size`
    GROWS = "grows"  #: `StoreStage.grow`, on a file that is being fetched
    REFUSES_WRITE = "refuses_write"  #: `StoreStage.refuses_write`
    FULL = "full"  #: `StoreStage.full`
    STORES_SHORT = "stores_short"  #: `StoreStage.stores_short`


class Limit(StrEnum):
    """Something a store cannot do by its nature, so that the tests about it are not made for it."""

    LINKS = "links"  #: there are no symbolic links, or this machine lets us make none
    TIMES = "times"  #: it tells no times, or the time of a planted file cannot be chosen
    RESUME = "resume"  #: `Traits.resumes` is false
    SHARED_PUT = "shared_put"  #: `Traits.exclusive_put` is false


class StoreStage(Protocol):
    """The far side of one store: a root folder of its own, empty at first.

    Paths are bytes, ``/`` between folders, relative to the root. Sizes are bytes, times microseconds since 1970
    UTC. A store's time-outs are long (a minute), so that no busy machine reaches them; only those of `hasty` are short.
    Every fault lasts as long as its ``with`` block and takes effect at once, also on connections already open; a
    method for a fault that the stage does not declare is never called and may raise NotImplementedError.
    """

    @property
    def faults(self) -> frozenset[Fault]:
        """The misbehaviours it can play."""
        ...

    def store(self) -> Store:
        """Make a fresh store on the root; the suite closes it."""
        ...

    def astray(self) -> Store:
        """Make a store like `store`, but on a root that does not exist."""
        ...

    def hasty(self) -> Store:
        """Make a store like `store` that waits about a second for a silent server; for `Fault.FREEZES` alone."""
        ...

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        """Write a file behind the server's back, folders included; replaces one that is there."""
        ...

    def content(self, path: bytes) -> bytes | None:
        """Return what truly stands under the name, not asking the store; None when there is no file."""
        ...

    def everything(self) -> frozenset[bytes]:
        """Return the paths of all files that truly are there, temporary and hidden ones included."""
        ...

    def link(self, path: bytes, target: bytes) -> None:
        """Make a symbolic link, folders included; ``target`` stands in it as it is given."""
        ...

    def grow(self, path: bytes, more: bytes) -> None:
        """Append to a file, now, and with the time of now."""
        ...

    def dies(self, after: int) -> AbstractContextManager[None]:
        """Move ``after`` more bytes of file data, either way, then drop all connections and refuse new ones.

        With 0 the server is away from the first moment: listing and all else fail, too.
        """
        ...

    def freezes(self, after: int) -> AbstractContextManager[None]:
        """Move ``after`` more bytes of file data, either way, then say nothing more and keep connections open.

        With 0 the server is silent from the first moment, to listings and to new connections, too.
        """
        ...

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        """End the data of each fetched file after ``after`` bytes, and confirm success all the same."""
        ...

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        """Return every size ``by`` bytes larger (smaller if negative) than it is, wherever sizes are told."""
        ...

    def refuses_write(self) -> AbstractContextManager[None]:
        """Let nothing be written, as a read-only folder or account does."""
        ...

    def full(self, after: int) -> AbstractContextManager[None]:
        """Take ``after`` more bytes of file data, then have no space left and say so."""
        ...

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        """Keep only the first ``after`` bytes of each file put, and confirm success all the same."""
        ...


@lru_cache(maxsize=4)
def generated(size: int, seed: str = "") -> bytes:
    """Make ``size`` bytes that do not compress; equal size and seed give equal bytes, kept for the next who asks."""
    return hashlib.shake_128(f"{size} {seed}".encode()).digest(size)


def store_path(path: bytes) -> StorePath:
    """Turn a stage's path into the store's."""
    return StorePath(path.decode("utf-8", "surrogateescape"))


def write(file: Path, data: bytes) -> Path:
    """Write a local file for a load and give it back."""
    file.write_bytes(data)
    return file


def close_iterator(iterator: Iterator[object]) -> None:
    """End a store's generator now, so that it lets go of its connection whatever still refers to it."""
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def drain(arrival: Arrival) -> bytes:
    """Read an arrival to the end of its data, with the buffer that the pull step uses."""
    buffer = memoryview(bytearray(BUFFER_SIZE))
    chunks: list[bytes] = []
    while count := arrival.read_into(buffer):
        assert 0 < count <= len(buffer), f"read_into claims {count} bytes in a buffer of {len(buffer)}"
        chunks.append(bytes(buffer[:count]))
    return b"".join(chunks)


def confirmed(arrival: Arrival) -> bytes:
    """Read and finish one arrival, without counting what came."""
    data = drain(arrival)
    arrival.finish()
    return data


def accept(arrival: Arrival) -> bytes:
    """Read and finish one arrival as the pull step does: nothing counts that is not confirmed and whole."""
    data = confirmed(arrival)
    missing = arrival.want.size - arrival.want.offset - len(data)
    if missing:
        raise Changed(f"{arrival.want.path}: {missing} of {arrival.want.size} bytes did not come")
    return data


def carry_all(store: Store, wants: Sequence[Want]) -> list[bytes | NightferryError]:
    """Fetch files in one call, the way the pull step does; tell for each its bytes or the error."""
    answers: list[bytes | NightferryError] = []
    arrivals = store.fetch(wants)
    try:
        for want, arrival in zip(wants, arrivals, strict=True):
            assert arrival.want == want, f"asked for {want}, got an arrival for {arrival.want}"
            try:
                answers.append(accept(arrival))
            except NightferryError as err:
                answers.append(err)
    except NightferryError as err:  # the whole store failed: what is left shares the error
        answers.extend([err] * (len(wants) - len(answers)))
    finally:
        close_iterator(arrivals)
    return answers


def carry(store: Store, want: Want) -> bytes:
    """Fetch one file, the way the pull step does; raises what the store raises, and `Changed` if bytes lack."""
    [answer] = carry_all(store, [want])
    if isinstance(answer, NightferryError):
        raise answer
    return answer


def put_all(store: Store, loads: Sequence[Load]) -> list[NightferryError | None]:
    """Put files in one call; tell each answer, with an error that was raised shared by the loads left.

    Whether a file was linked or copied, and what its server says of it, makes no difference to the suite: all are None
    here.
    """
    answers: list[NightferryError | None] = []
    replies = store.put(loads)
    try:
        answers.extend(None if isinstance(reply, (Attested, Linked)) else reply for reply in replies)
        assert len(answers) == len(loads), f"{len(loads)} loads got {len(answers)} answers"
    except NightferryError as err:
        answers.extend([err] * (len(loads) - len(answers)))
    finally:
        close_iterator(replies)
    return answers


def entries_of(store: Store) -> dict[StorePath, Entry]:
    """List a store's files by path, seeing to it that each comes once; oddities are left out."""
    found: dict[StorePath, Entry] = {}
    for item in store.list():
        if isinstance(item, Entry):
            assert item.path not in found, f"{item.path!r} was listed twice"
            found[item.path] = item
    return found


def oddities_of(store: Store) -> list[Oddity]:
    """List what a store finds odd."""
    return [item for item in store.list() if isinstance(item, Oddity)]


def want_for(store: Store, path: bytes, offset: int = 0) -> Want:
    """Ask the store for a file as it stands there now; the file must be there."""
    [entry] = store.stat([store_path(path)])
    assert entry is not None, f"the store does not see the planted file {path!r}"
    return Want(entry.path, entry.size, entry.mtime_us, offset)


def within(seconds: float, call: Callable[[], T]) -> T:
    """Give back what ``call`` answers or raises, and fail if that takes longer than ``seconds``."""
    answer: Future[T] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except (NightferryError, AssertionError) as err:
            answer.set_exception(err)

    thread = threading.Thread(target=work, name="conformance", daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"the store hung: no answer within {seconds} s"
    assert answer.done(), "the store raised something that is no NightferryError: see the thread's traceback"
    return answer.result()


def again(seconds: float, call: Callable[[], T]) -> T:
    """Ask again as long as the world is at fault, as a busy machine is that keeps a hasty store waiting."""
    limit = time.monotonic() + seconds
    while True:
        try:
            answer = call()
        except TryAgain:
            if time.monotonic() > limit:
                raise
        else:
            parts = answer if isinstance(answer, list) else []
            if time.monotonic() > limit or not any(isinstance(part, TryAgain) for part in parts):
                return answer
        time.sleep(0.05)
