"""Fetching back: a file of an archive, whole and proven, onto our own disk."""

from contextlib import closing
from pathlib import Path

from blake3 import blake3

from nightferry.core.errors import Gone, Held, TryAgain
from nightferry.core.frame import Digest
from nightferry.core.store import BUFFER_SIZE, Store, StorePath, Want
from nightferry.disk.errors import translated
from nightferry.disk.files import WholeFile, finish, make_folders, name_anew, part_beside


def fetch_back(store: Store, name: StorePath, digest: Digest, target: Path) -> None:
    """Fetch a file of an archive to a place of ours, where it stands whole or not at all.

    Raises `Gone` when the archive no longer has it, `Held` when its bytes are not those of the digest, and what the
    store raises.
    """
    entry = next(iter(store.stat([name])))
    if entry is None:
        raise Gone(f"{store.traits.label} no longer has {name}")
    buffer, hasher = memoryview(bytearray(BUFFER_SIZE)), blake3()
    with translated(target, "the shelf"):
        make_folders(target.parent)
        with part_beside(target) as part:
            with (
                WholeFile(part, "x") as file,
                closing(store.fetch([Want(entry.path, entry.size, entry.mtime_us)])) as arrivals,  # type: ignore[type-var] # generators have close
            ):
                arrival = next(arrivals)
                while count := arrival.read_into(buffer):
                    hasher.update(buffer[:count])
                    file.write(buffer[:count])
                arrival.finish()
                received = file.tell()
                finish(file)
            if received != entry.size:
                raise TryAgain(f"{store.traits.label}: {name} ended after {received:,} of {entry.size:,} bytes")
            if (found := hasher.hexdigest()) != digest:
                raise Held(f"{store.traits.label}: {name} has BLAKE3 {found[:16]} instead of {digest[:16]}")
            name_anew(part, target)
