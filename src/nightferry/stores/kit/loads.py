"""Local files on their way into a store over a network: opened, read, compared, and what failures leave behind."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from nightferry.core.errors import Gone, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import Load, StorePath
from nightferry.stores.kit.sessions import Cut, Garbled, Lease, Session, Silence

S = TypeVar("S", bound=Session)
H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Content:
    """A load's open local file, and how many bytes it had when it was opened; closed as a context manager."""

    load: Load
    source: io.FileIO
    size: int

    def __enter__(self) -> Self:
        """Use it within a block, and close it at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the local file."""
        self.source.close()

    @property
    def target(self) -> StorePath:
        """The name that it is to have in the store."""
        return self.load.target

    def read(self, count: int) -> bytes:
        """Read the next ``count`` bytes, fewer only at the end; raises `TryAgain` when the disk does not give them."""
        try:
            data = self.source.read(count) or b""
            while 0 < len(data) < count and (more := self.source.read(count - len(data))):
                data += more
        except OSError as err:
            raise TryAgain(
                f"reading the local file for {self.target!a} failed ({err.strerror}); check that disk"
            ) from err
        return data

    def went(self, count: int) -> None:
        """Report to the load's ``pace`` how many bytes went out, which may keep us waiting."""
        if self.load.pace is not None:
            self.load.pace(count)

    def need_all(self, sent: int) -> None:
        """Raise `TryAgain` unless as many bytes were sent as the file had when it was opened."""
        if sent != self.size:
            raise TryAgain(f"the local file for {self.target!a} changed while it was stored; tried again later")

    def kept(self, label: str, found: object) -> TryAgain:
        """Return the error of a server that holds something else than all bytes: ``found`` says how many, or what."""
        return TryAgain(f"{label}: of {self.size} bytes for {self.target!a} the server kept {found}; tried again later")


def opened(load: Load) -> Content:
    """Open a load's local file; raises `Gone` when it is not there and `TryAgain` when it cannot be read."""
    try:
        source = io.FileIO(load.source)
    except FileNotFoundError as err:
        raise Gone(f"the local file {load.source} is no longer there; nothing was stored") from err
    except OSError as err:
        raise TryAgain(
            f"the local file {load.source} cannot be read ({err.strerror}); check it and its rights"
        ) from err
    return Content(load, source, os.fstat(source.fileno()).st_size)


def stored(
    lease: Lease[S, H],
    load: Load,
    fits: Callable[[StorePath], StorePath],
    store: Callable[[S, Content], None],
) -> NightferryError | None:
    """Store one file over a lease; return what is wrong with it, and raise only what concerns the whole store.

    ``fits`` raises `Held` for a name that the store cannot have. A session that breaks while ``store`` uses it is
    ended, and that is this file's trouble: whether the server is away, the next one tells.
    """
    try:
        fits(load.target)
        content = opened(load)
    except NightferryError as err:
        return err
    with content:
        session = lease.session
        try:
            store(session, content)
        except (Cut, Silence, Garbled) as err:
            lease.drop()
            return TryAgain(f"{err}: storing {load.target!a} was not confirmed")
        except Misconfigured:
            raise
        except NightferryError as err:
            return err
    return None


def size_of(load: Load) -> int:
    """Return how many bytes a load's local file has; 0 for one that cannot be seen, of which the put will say so."""
    try:
        return os.stat(load.source).st_size  # noqa: PTH116 - once a frame
    except OSError:
        return 0


def occupied(label: str, target: StorePath) -> Occupied:
    """Return the error of a name that is taken in the store named ``label``."""
    return Occupied(f"{label}: the name {target!a} is taken; nothing was changed there")


@contextmanager
def unfinished(leftovers: set[StorePath], part: StorePath) -> Iterator[None]:
    """Write an unfinished file within this block; one that fails is remembered among ``leftovers``.

    Not before it fails: the store's other calls sweep up what stands there, and must not find a file under way.
    """
    try:
        yield
    except BaseException:
        leftovers.add(part)
        raise


def sweep(leftovers: set[StorePath], delete: Callable[[StorePath], bool]) -> None:
    """Delete the unfinished files that troubles left behind; ``delete`` tells of each whether it is done with."""
    for part in tuple(leftovers):
        if delete(part):
            leftovers.discard(part)
