"""Rebuilding raw files of products, whole and under a name that was free."""

from pathlib import Path

from blake3 import blake3

from nightferry.core.errors import Held, Occupied
from nightferry.core.frame import Digest
from nightferry.core.store import BUFFER_SIZE
from nightferry.disk.errors import translated
from nightferry.disk.files import finish, name_new, part_beside


def restore_raw(product: Path, recipe: str, target: Path, *, digest: str = "") -> int:
    """Rebuild the raw file of a product byte for byte, and tell its size.

    ``digest`` is the BLAKE3 of the raw frame: `Held` is raised, and nothing left, when the bytes are not those.
    """
    from nightferry.formats.rewrite import restore  # noqa: PLC0415 - few passes rebuild anything

    with translated(target, "the restored frame"), part_beside(target) as part:
        with product.open("rb", buffering=0) as file, part.open("xb") as out:
            size = restore(file, out, recipe)
            finish(out)
        if digest and (found := digest_of(part)) != digest:
            raise Held(f"{product.name}: what was rebuilt is not the raw frame: digest {found}, expected {digest}")
        place_as(part, target)
    return size


def place_as(file: Path, target: Path) -> None:
    """Give a whole file on the same disk its name; raise `Occupied` where another has that."""
    try:
        name_new(file, target)
    except FileExistsError as err:
        raise Occupied(f"{target} exists; nothing was overwritten") from err


def digest_of(path: Path) -> Digest:
    """Read a file through BLAKE3."""
    hasher, buffer = blake3(), memoryview(bytearray(BUFFER_SIZE))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
    return Digest(hasher.hexdigest())
