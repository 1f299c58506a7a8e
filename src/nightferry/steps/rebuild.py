"""Rebuilding raw files of products, whole and under a name that was free."""

import os
from pathlib import Path

from blake3 import blake3

from nightferry.core.errors import Held, Occupied
from nightferry.core.frame import Digest
from nightferry.core.store import BUFFER_SIZE
from nightferry.steps.shelf import part_of, sync_folder, translated


def restore_raw(product: Path, recipe: str, target: Path, *, digest: str = "") -> int:
    """Rebuild the raw file of a product byte for byte, and tell its size.

    ``digest`` is the BLAKE3 of the raw frame: `Held` is raised, and nothing left, when the bytes are not those.
    """
    from nightferry.formats.rewrite import restore  # noqa: PLC0415 - few passes rebuild anything

    part = Path(part_of(target))
    with translated(target, "the restored frame"):
        try:
            with product.open("rb", buffering=0) as file, part.open("xb") as out:
                size = restore(file, out, recipe)
                out.flush()
                os.fsync(out.fileno())
            if digest and (found := digest_of(part)) != digest:
                raise Held(f"{product.name}: what was rebuilt is not the raw frame: digest {found}, expected {digest}")
            place_as(part, target)
        finally:
            part.unlink(missing_ok=True)
    return size


def place_as(file: Path, target: Path) -> None:
    """Give a whole file its name on the same disk; raise `Occupied` where another has that."""
    if not named_as(file, target):
        raise Occupied(f"{target} exists; nothing was overwritten")
    sync_folder(target.parent)


def named_as(file: Path, target: Path) -> bool:
    """Give a file its final name without replacing another; False when the name is taken."""
    try:
        os.link(file, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: an empty file claims the name first
        try:
            target.open("xb").close()
        except FileExistsError:
            return False
        file.replace(target)
    return True


def digest_of(path: Path) -> Digest:
    """Read a file through BLAKE3."""
    hasher, buffer = blake3(), memoryview(bytearray(BUFFER_SIZE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return Digest(hasher.hexdigest())
