"""Assemble: turn the configuration into stores, steps, routes and a ledger that work."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from nightferry.assemble.stores import make_store, tamed
from nightferry.assemble.works import gather_of, works_of
from nightferry.config import (
    ArchiveConfig,
    Config,
    ResolvedArchive,
    ResolvedTelescope,
    TelescopeConfig,
    data_folder,
    ledger_url,
)
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Frame
from nightferry.core.instant import read_date_obs
from nightferry.core.layout import Layout
from nightferry.core.ledger import Ledger
from nightferry.core.naming import frame_name
from nightferry.core.progress import Nobody, Onlooker
from nightferry.core.store import Store, StorePath
from nightferry.core.telescope import Telescope
from nightferry.disk.errors import translated
from nightferry.disk.mounts import is_mounted
from nightferry.ledger.sql import open_ledger as open_sql_ledger
from nightferry.ledger.sqlite import database_path
from nightferry.passes.route import Route
from nightferry.pools import crew
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.shelf import Shelf
from nightferry.steps.verify import Verify
from nightferry.stores.folder import local_path
from nightferry.stores.mounts import mounted


class Hands(NamedTuple):
    """What a route shares with whoever started it: somebody who looks on, a way to stop, and a crew.

    A crew that is given is one for several routes, so that they share the machine; without one a route hires its own.
    """

    onlooker: Onlooker
    stop: threading.Event
    crew: Executor | None = None


def idle_hands() -> Hands:
    """Make hands for a route that nobody looks at and nobody stops."""
    return Hands(Nobody(), threading.Event())


@contextmanager
def open_ledger(config: Config, *, reading: bool = False) -> Iterator[Ledger]:
    """Open the configured ledger, and make it if it is not there yet.

    One that is opened for ``reading`` is neither made nor changed, whichever version of nightferry wrote it.
    """
    ledger = open_sql_ledger(ledger_url(config), reading=reading)
    try:
        yield ledger
    finally:
        ledger.close()


def telescope_names(config: Config, chosen: Sequence[str] = ()) -> list[str]:
    """Check telescopes' names against the configuration; all of them when none is chosen."""
    for name in chosen:
        if name not in config.telescope:
            raise Misconfigured(
                f"there is no telescope {name!r} in the configuration; it has {', '.join(config.telescope) or 'none'}"
            )
    return list(dict.fromkeys(chosen)) or list(config.telescope)


def telescope_store(telescope: ResolvedTelescope) -> Store:
    """Make the store of a telescope."""
    return _guarded(make_store(telescope.store, telescope.source), telescope.store, telescope.source)


def archive_store(archive: ArchiveConfig) -> Store:
    """Make the store of an archive."""
    return _guarded(make_store(archive, archive.url), archive, archive.url)


def _guarded(store: Store, section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    point = mount_of(section, url)
    return store if point is None else mounted(store, point)


def mount_of(section: TelescopeConfig | ArchiveConfig, url: str) -> Path | None:
    """Tell what must be mounted before a folder may be used; None when the configuration asks for nothing."""
    if section.mount is None or section.mount is False:
        return None
    return local_path(section.address(url).path) if section.mount is True else section.mount.expanduser()


def shelf_of(config: Config) -> Shelf:
    """Tell where working files are."""
    return Shelf((config.shelf.path or data_folder() / "shelf").expanduser(), config.shelf.floor)


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
    """Tell the folder of an archive on this machine; None for one elsewhere."""
    address = section.address(section.url)
    return local_path(address.path) if address.scheme == "file" else None


def own_ground(config: Config, archive: str) -> Callable[[StorePath], bool]:
    """Make the function that tells what in an archive is nightferry's own: the shelf, the ledger, another archive."""
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
    """Tell where a path is below a folder; empty when it is not."""
    try:
        return path.expanduser().resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return ""


def open_route(config: Config, name: str, *, working: bool = True, hands: Hands | None = None) -> Route:
    """Put one telescope's route together; without ``working`` its computing steps are left out."""
    telescope = config.resolved[name]
    hands = hands or idle_hands()
    shelf = shelf_of(config)
    works, gather = (works_of(telescope, shelf), gather_of(telescope, shelf)) if working else ((), None)
    source = tamed(telescope_store(telescope), telescope.store, telescope.source)
    return Route(
        telescope=_carried(telescope),
        source=source,
        shelf=shelf,
        pull=Pull(source, shelf, hands.onlooker, hands.stop),
        verify=Verify(doubt=night_doubt(telescope.layout)),
        deliveries={archive.name: _delivery(archive, telescope.layout) for archive in telescope.archives},
        lock=lock_path(config, telescope.name),
        keep=config.shelf.keep,
        works=works,
        gather=gather,
        deadline=telescope.cube.deadline,
        crew=(hands.crew or crew(config.pool.kind, config.pool.workers)) if works or gather else None,
    )


def _carried(telescope: ResolvedTelescope) -> Telescope:
    local = urlsplit(telescope.source).scheme == "file"
    return Telescope(
        name=telescope.name,
        layout=telescope.layout,
        archives=tuple(archive.name for archive in telescope.archives),
        settle=telescope.settle,
        site=telescope.site,
        clear_after=telescope.clear_after,
        never_bare=local and telescope.store.mount is None,
    )


def _delivery(archive: ResolvedArchive, layout: Layout) -> Deliver:
    section = archive.store
    store = tamed(archive_store(section), section, section.url)
    return Deliver(store, archive.name, naming(archive.template, layout), section.verify)


def naming(template: str, layout: Layout) -> Callable[[Frame], StorePath]:
    """Make the function that names frames in an archive."""

    def name(frame: Frame) -> StorePath:
        return frame_name(template, layout, frame.name, frame.night, frame.role)

    return name


def night_doubt(layout: Layout) -> Callable[[Frame], str]:
    """Make the function that says when a frame's header speaks of another night than the frame is counted to."""

    def doubt(frame: Frame) -> str:
        start = read_date_obs(frame.facts.get("DATE-OBS"))
        return "" if start is None else layout.doubt_header(frame.night.date, start)

    return doubt


def lock_path(config: Config, telescope: str) -> Path:
    """Tell the lock of a telescope: beside the ledger, because who shares the ledger shares the work."""
    ledger = database_path(ledger_url(config))
    return ledger.with_name(f"{ledger.name}.{telescope}.lock")
