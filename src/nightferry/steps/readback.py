"""Read back: what an archive really holds under a name, as a digest of all its bytes."""

from collections.abc import Iterator, Sequence
from contextlib import closing

from blake3 import blake3

from nightferry.core.errors import Gone, Held, NightferryError, TryAgain, Unreachable
from nightferry.core.frame import Digest
from nightferry.core.store import BUFFER_SIZE, Store, StorePath, Want


def read_back(store: Store, names: Sequence[StorePath]) -> Iterator[Digest | NightferryError]:
    """Read each named file whole, over one connection, and tell its digest, in order.

    A file that is not there answers `Gone`, one that cannot be read `TryAgain` or `Held`; raises `Unreachable`
    when the store is.
    """
    entries = list(store.stat(names))
    there = [entry for entry in entries if entry is not None]
    wants = [Want(entry.path, entry.size, entry.mtime_us) for entry in there]
    buffer = memoryview(bytearray(BUFFER_SIZE))
    with closing(store.fetch(wants)) as arrivals:  # type: ignore[type-var] # generators have close
        for name, entry in zip(names, entries, strict=True):
            if entry is None:
                yield Gone(f"{store.traits.label}: there is no {name}")
                continue
            hasher, received = blake3(), 0
            try:
                arrival = next(arrivals)
                while count := arrival.read_into(buffer):
                    hasher.update(buffer[:count])
                    received += count
                arrival.finish()
            except Unreachable:
                raise
            except (TryAgain, Held) as err:
                yield err
                continue
            if received == entry.size:
                yield Digest(hasher.hexdigest())
            else:
                yield TryAgain(f"{store.traits.label}: {name} ended after {received:,} of {entry.size:,} bytes")
