"""The folders of archives on this machine: which of them nightferry may make, and what in them is its own."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from nightferry.assemble import mount_of, shelf_of
from nightferry.config import ArchiveConfig, Config, data_folder, ledger_url
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
        if is_unused(config, ledger, name):
            with translated(folder, f"archive {name}:"):
                folder.mkdir(exist_ok=True)


def is_unused(config: Config, ledger: Ledger, archive: str) -> bool:
    """Whether no telescope has ever delivered to an archive, as far as the ledger knows."""
    users = {name for name, telescope in config.telescope.items() if archive in telescope.archives}
    return not any(balance.delivered for balance in ledger.balances() if balance.night.telescope in users)


def local_folder(section: ArchiveConfig) -> Path | None:
    """Return the folder of an archive on this machine; None for one elsewhere."""
    address = section.address(section.url)
    return local_path(address.path) if address.scheme == "file" else None


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
