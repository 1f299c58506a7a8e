"""What all stores do with names: refuse dangerous paths, and name unfinished files."""

from nightferry.core.errors import Held
from nightferry.core.names import LONGEST_PATH, is_part, name_refusal, path_refusal, windows_refusal
from nightferry.core.store import StorePath
from nightferry.disk.parts import part_name, part_writer

__all__ = [
    "LONGEST_PATH",
    "above",
    "checked",
    "inside",
    "is_part",
    "is_text",
    "name_refusal",
    "part_name",
    "part_writer",
    "path_refusal",
    "split",
    "windows_refusal",
]


def checked(path: StorePath) -> StorePath:
    """Return a path that is safe below a store's root; raises `Held` for any other."""
    if refusal := path_refusal(path):
        raise Held(f"{refusal}: nothing is read or written there; rename it at its origin, or mend the name template")
    return path


def split(path: StorePath) -> tuple[StorePath, str]:
    """Return the folder that a path lies in (the root is an empty path), and its name there."""
    folder, _, name = path.rpartition("/")
    return StorePath(folder), name


def above(path: StorePath) -> StorePath:
    """Return the folder that a path lies in."""
    return split(path)[0]


def inside(folder: StorePath, name: str) -> StorePath:
    """Make the path of a name in a folder."""
    return StorePath(f"{folder}/{name}" if folder else name)


def is_text(name: str) -> bool:
    """Whether a name is text: neither bytes that are not UTF-8 nor, as Windows allows, half of a character."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
