"""What listings of all stores have in common: which folders are entered, and which names are let through."""

from collections.abc import Callable

from nightferry.core.names import LONGEST_PATH, is_part, name_refusal
from nightferry.core.store import Oddity, StorePath

#: The most characters of a refused name that are reported.
_SHOWN = 300


def entering(enter: Callable[[StorePath], bool] | None) -> Callable[[StorePath], bool]:
    """Return a function that says of a file's path whether all folders above it are entered.

    For stores that know files by their whole path; ``enter`` (see `Store.list`) is asked once for each folder, and
    not for what lies in one that it declined.
    """
    entered = {"": True}

    def goes(folder: str) -> bool:
        if folder not in entered:
            entered[folder] = goes(folder.rpartition("/")[0]) and (enter is None or enter(StorePath(folder)))
        return entered[folder]

    return lambda path: goes(path.rpartition("/")[0])


def above_all(path: StorePath) -> list[StorePath]:
    """Return the folders above a path, the nearest last."""
    parts = path.split("/")[:-1]
    return [StorePath("/".join(parts[: count + 1])) for count in range(len(parts))]


class Names:
    """The names in one folder of a store, made paths or refused."""

    __slots__ = ("_folder", "_prefix", "_room")

    def __init__(self, folder: StorePath) -> None:
        self._folder = folder
        self._prefix = f"{folder}/" if folder else ""
        self._room = LONGEST_PATH - len(self._prefix.encode("utf-8", "surrogateescape"))

    def path(self, name: str, size: int) -> StorePath | Oddity | None:
        """Return the path of a name of ``size`` bytes, or the oddity it is; None for an unfinished file of ours."""
        if is_part(name):
            return None
        if size > self._room or name_refusal(name):
            return Oddity("name", self._folder, name[:_SHOWN])
        return StorePath(self._prefix + name)
