"""Fetching back: a file of an archive, whole and proven, onto our own disk."""

import os
from contextlib import closing
from pathlib import Path

from blake3 import blake3

from nightferry.core.errors import Gone, Held, TryAgain
from nightferry.core.frame import Digest
from nightferry.core.store import BUFFER_SIZE, Store, StorePath, Want
from nightferry.steps.shelf import part_of, translated


def fetch_back(store: Store, name: StorePath, digest: Digest, target: Path) -> None:
    """Fetch a file of an archive to a place of ours, where it stands whole or not at all.

    Raises `Gone` when the archive no longer has it, `Held` when its bytes are not those of the digest, and what the
    store raises.
    """
    entry = next(iter(store.stat([name])))
    if entry is None:
        raise Gone(f"{store.traits.label} no longer has {name}")
    part = Path(part_of(target))
    buffer, hasher = memoryview(bytearray(BUFFER_SIZE)), blake3()
    with translated(target, "the shelf"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                part.open("wb", buffering=0) as file,
                closing(store.fetch([Want(entry.path, entry.size, entry.mtime_us)])) as arrivals,  # type: ignore[type-var] # generators have close
            ):
                arrival = next(arrivals)
                while count := arrival.read_into(buffer):
                    hasher.update(buffer[:count])
                    file.write(buffer[:count])
                arrival.finish()
                received = file.tell()
                os.fsync(file.fileno())
            if received != entry.size:
                raise TryAgain(f"{store.traits.label}: {name} ended after {received:,} of {entry.size:,} bytes")
            if (found := hasher.hexdigest()) != digest:
                raise Held(f"{store.traits.label}: {name} has BLAKE3 {found[:16]} instead of {digest[:16]}")
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
