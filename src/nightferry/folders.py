"""The folders of archives on this machine: which of them nightferry may make, and what in them is its own."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote

from nightferry.assemble import mount_of, shelf_of
from nightferry.config import ArchiveConfig, Config, data_folder, ledger_url
from nightferry.core.errors import Misconfigured
from nightferry.core.ledger import Ledger
from nightferry.core.store import StorePath
from nightferry.disk.errors import translated
from nightferry.disk.mounts import is_mounted
from nightferry.ledger.sqlite import database_path
from nightferry.stores.folder import local_path


def make_new_folders(config: Config, ledger: Ledger, telescope: str) -> None:
    """Make the folders of archives that were never delivered to, and our own for data.

    An archive's folder that was there once and is not now is a disk that is not mounted: it is left missing, and
    its store says so.
    """
    if config.shelf.path is None:
        with translated(data_folder(), "the folder for nightferry's data,"):
            data_folder().mkdir(parents=True, exist_ok=True)
    for name in config.telescope[telescope].archives:
        folder = local_folder(config.archive[name])
        if folder is None or folder.is_dir() or not folder.parent.is_dir():
            continue
        point = mount_of(config.archive[name], config.archive[name].url)
        if point is not None and not is_mounted(point):
            continue
        if is_unused(ledger, name):
            with translated(folder, f"archive {name}:"):
                folder.mkdir(exist_ok=True)


def is_unused(ledger: Ledger, archive: str) -> bool:
    """Whether nothing was ever delivered to an archive, as far as the ledger knows."""
    return not ledger.delivered_sample(archive, 2)


def refuse_overlap(config: Config, telescope: str) -> None:
    """Raise `Misconfigured` where an archive's folder is the telescope's, lies in it, or contains it, by any road.

    Links are followed, and folders are compared by device and number, so a bind mount is seen, too. Of places elsewhere
    nothing can be said here.
    """
    resolved = config.resolved[telescope]
    source = _folder_of(resolved.store.address(resolved.source))
    if source is None:
        return
    for name in config.telescope[telescope].archives:
        folder = local_folder(config.archive[name])
        if folder is None:
            continue
        if _lies_in(folder, source) or _lies_in(source, folder):
            raise Misconfigured(
                f"archive {name} ({folder}) and telescope {telescope} ({source}) are one place, or one lies in the "
                "other: frames would be carried onto themselves, and clearing would delete the only copy. Give the "
                "archive a folder that is neither in the telescope's nor around it"
            )


def _lies_in(inner: Path, outer: Path) -> bool:
    """Whether a folder is another one or lies in it, as far as both are there; by name, and by device and number."""
    inner, outer = inner.expanduser().resolve(), outer.expanduser().resolve()
    if inner == outer or outer in inner.parents:
        return True
    there = _number(outer)
    return there is not None and any(_number(place) == there for place in (inner, *inner.parents))


def _number(place: Path) -> tuple[int, int] | None:
    try:
        found = place.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def _folder_of(address: SplitResult) -> Path | None:
    return local_path(address.path) if address.scheme == "file" else None


def local_folder(section: ArchiveConfig) -> Path | None:
    """Return the folder of an archive on this machine; None for one elsewhere."""
    return _folder_of(section.address(section.url))


def own_ground(config: Config, archive: str) -> Callable[[StorePath], bool]:
    """Return the function that says what in an archive is nightferry's own: the shelf, the ledger, another archive."""
    section = config.archive[archive]
    url = section.url.rstrip("/") + "/"
    own = {unquote(other.url.rstrip("/")[len(url) :]) for other in config.archive.values() if other.url.startswith(url)}
    beginnings: tuple[str, ...] = ()
    folder = local_folder(section)
    if folder is not None:
        ledger = database_path(ledger_url(config))
        own |= {below for path in (shelf_of(config).root,) if (below := _below(path, folder))}
        if beginning := _below(ledger, folder):  # with its locks, and what the database keeps beside it
            beginnings = (beginning,)
    return lambda path: path in own or path.startswith(beginnings)


def _below(path: Path, folder: Path) -> str:
    """Return where a path is below a folder; empty when it is not."""
    try:
        return path.expanduser().resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return ""
