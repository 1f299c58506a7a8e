"""Assemble: turn a resolved configuration into stores, processing steps, routes and a ledger that work.

A step that is new to routes gets its name in `nightferry.config.model.ROUTE_STEPS` and a maker here.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from nightferry.config import (
    ArchiveConfig,
    Config,
    ResolvedArchive,
    ResolvedTelescope,
    TelescopeConfig,
    data_folder,
    ledger_url,
)
from nightferry.config.secrets import read_secret
from nightferry.config.store_keys import keys_of
from nightferry.core.context import Context
from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.core.frame import Frame
from nightferry.core.instant import read_date_obs
from nightferry.core.layout import Layout
from nightferry.core.ledger import Ledger
from nightferry.core.naming import frame_name
from nightferry.core.progress import Nobody, Onlooker
from nightferry.core.step import CUBE, SOLVE, STANDARDISE, VALIDATE, GroupStep, ProcessingStep
from nightferry.core.store import Store, StorePath
from nightferry.core.telescope import Telescope
from nightferry.ledger.sql import open_ledger as open_sql_ledger
from nightferry.ledger.sqlite import database_path
from nightferry.passes.route import Route
from nightferry.pools import crew
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.shelf import Shelf
from nightferry.steps.verify import Verify
from nightferry.stores.folder import local_path
from nightferry.stores.kinds import Keys, Place, StoreKind
from nightferry.stores.mounts import mounted
from nightferry.stores.wrappers import Throttle, Window, limited, retried, throttled

if TYPE_CHECKING:
    from nightferry.solving.model import Settings as SolveSettings
    from nightferry.steps.standardise_files import Settings

#: Connections to a store whose section does not say how many.
_CONNECTIONS = 4
#: Pauses in seconds before a store that cannot be reached is tried again: doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


class Hands(NamedTuple):
    """The context of a run: who sees its progress, the event that stops it, and its pool of workers.

    A pool that is given serves several routes, so that they share the machine; without one a route starts its own.
    """

    onlooker: Onlooker
    stop: threading.Event
    crew: Executor | None = None


def idle_hands() -> Hands:
    """Return the context of a run that nobody looks at and nobody stops."""
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


def shelf_of(config: Config) -> Shelf:
    """Return the folder of working files."""
    return Shelf((config.shelf.path or data_folder() / "shelf").expanduser(), config.shelf.floor)


def lock_path(config: Config, telescope: str) -> Path:
    """Return the file of a telescope's lock: beside the ledger, because who shares the ledger shares the work."""
    ledger = database_path(ledger_url(config))
    return ledger.with_name(f"{ledger.name}.{telescope}.lock")


def telescope_store(telescope: ResolvedTelescope) -> Store:
    """Make the store of a telescope, guarded by what must be mounted."""
    return _guarded(make_store(telescope.store, telescope.source), telescope.store, telescope.source)


def archive_store(archive: ArchiveConfig) -> Store:
    """Make the store of an archive, guarded by what must be mounted."""
    return _guarded(make_store(archive, archive.url), archive, archive.url)


def _guarded(store: Store, section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    point = mount_of(section, url)
    return store if point is None else mounted(store, point)


def mount_of(section: TelescopeConfig | ArchiveConfig, url: str) -> Path | None:
    """Return what must be mounted before a folder may be used; None when the configuration asks for nothing."""
    if section.mount is None or section.mount is False:
        return None
    return local_path(section.address(url).path) if section.mount is True else section.mount.expanduser()


def make_store(section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    """Make the bare store of a URL; its secret is read now, so that a missing one is told before anything starts."""
    kind, keys = _kind(section, url)
    address = section.address(url)
    name = section.user or unquote(address.username or "") or kind.nobody
    place = Place(
        address,
        user=name,
        secret=read_secret(section.secret, user=name) if section.secret else None,
        reference=section.secret or "",
        timeout=section.timeout,
        connections=section.connections or _CONNECTIONS,
        attest=isinstance(section, ArchiveConfig) and section.verify == "server",
    )
    return kind.make(place, keys)


def wrapped(store: Store, section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    """Put around a store what its section asks for: first the limit of its server, so that pauses keep no place."""
    kind, keys = _kind(section, url)
    if server := kind.server(section.address(url), keys):
        store = limited(store, store.traits.connections, server)
    if section.tries > 1:
        pauses = [min(_FIRST_PAUSE * 2**turn, _LONGEST_PAUSE) for turn in range(section.tries - 1)]
        store = retried(store, (Unreachable,), pauses)
    if section.limit is not None or section.windows:
        windows = [Window(window.start, window.end, window.limit) for window in section.windows]
        store = throttled(store, Throttle(section.limit, windows))
    return store


def _kind(section: TelescopeConfig | ArchiveConfig, url: str) -> tuple[StoreKind[Keys], Keys]:
    try:
        return keys_of(section, url)
    except ValueError as err:  # of a URL that stands in no configuration
        raise Misconfigured(str(err)) from err


def open_route(config: Config, name: str, *, working: bool = True, hands: Hands | None = None) -> Route:
    """Put one telescope's route together; without ``working`` its computing steps are left out."""
    telescope = config.resolved[name]
    hands = hands or idle_hands()
    shelf = shelf_of(config)
    works, gather = (processing_steps(telescope, shelf), group_step(telescope, shelf)) if working else ((), None)
    source = wrapped(telescope_store(telescope), telescope.store, telescope.source)
    return Route(
        telescope=_carried(telescope),
        source=source,
        shelf=shelf,
        pull=Pull(source, shelf, hands.onlooker, hands.stop),
        verify=Verify(doubt=night_doubt(telescope.layout)),
        deliveries={archive.name: _delivery(archive, telescope.layout) for archive in telescope.archives},
        may_be_empty=frozenset(archive.name for archive in telescope.archives if _may_be_empty(archive, telescope)),
        handover=frozenset(archive.name for archive in telescope.archives if archive.store.kind == "handover"),
        lock=lock_path(config, telescope.name),
        keep=config.shelf.keep,
        processing=works,
        group_step=gather,
        deadline=telescope.cube.deadline,
        pool=(hands.crew or crew(config.pool.kind, config.pool.workers)) if works or gather else None,
    )


def _may_be_empty(archive: ResolvedArchive, telescope: ResolvedTelescope) -> bool:
    """Whether an archive may hold nothing of what it was given: its owner says so, or nobody can tell at once.

    Folders from which frames go to ESO are emptied by whoever collects them, and their sections of before say nothing
    of it. A server is not asked before each pass: one that froze would keep the telescope waiting.
    """
    if urlsplit(archive.store.url).scheme != "file":
        return True
    unsaid = archive.store.kind is None and (telescope.header.profile or "").startswith("eso")
    return archive.store.mount is False or archive.store.kind == "handover" or unsaid


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
    store = wrapped(archive_store(section), section, section.url)
    return Deliver(store, archive.name, naming(archive.template, layout), section.verify)


def naming(template: str, layout: Layout) -> Callable[[Frame], StorePath]:
    """Return the function that names frames in an archive."""

    def name(frame: Frame) -> StorePath:
        return frame_name(template, layout, frame.name, frame.night, frame.role)

    return name


def night_doubt(layout: Layout) -> Callable[[Frame], str]:
    """Return the function that says when a frame's header speaks of another night than the frame is counted to."""

    def doubt(frame: Frame) -> str:
        start = read_date_obs(frame.facts.get("DATE-OBS"))
        return "" if start is None else layout.doubt_header(frame.night.date, start)

    return doubt


def processing_steps(telescope: ResolvedTelescope, shelf: Shelf) -> tuple[ProcessingStep, ...]:
    """Make the processing steps of single frames, in the order of the route."""
    return tuple(PROCESSING[step](telescope, shelf) for step in telescope.route if step in PROCESSING)


def group_step(telescope: ResolvedTelescope, shelf: Shelf) -> GroupStep | None:
    """Make the step that groups a night's frames into products; None where the route has none."""
    return next((GROUPING[step](telescope, shelf) for step in telescope.route if step in GROUPING), None)


def _solve(telescope: ResolvedTelescope, shelf: Shelf) -> ProcessingStep:
    from nightferry.solving.engines import load_engine  # noqa: PLC0415 - only the steps in use are loaded
    from nightferry.solving.frame import shelved  # noqa: PLC0415
    from nightferry.steps.solve import Solve  # noqa: PLC0415

    settings = solve_settings(telescope)
    load_engine(settings.engine)
    shelved(settings.indexes, usual=settings.usual)
    return Solve(shelf, settings, telescope.solve.failure or "mark")


def solve_settings(telescope: ResolvedTelescope) -> "SolveSettings":
    """Return how a telescope's frames are solved."""
    from nightferry.solving.model import PATIENCE, RADIUS  # noqa: PLC0415 - brings numpy
    from nightferry.solving.model import Settings as Solving  # noqa: PLC0415

    said = telescope.solve
    return Solving(
        engine=said.engine or "",
        indexes=tuple(path.expanduser() for path in said.index or ()),
        scales=(said.scales[0], said.scales[1]) if said.scales else None,
        radius=RADIUS if said.radius is None else said.radius,
        seconds=PATIENCE if said.timeout is None else said.timeout,
        dialect=telescope.header.dialect or "",
        dialects=telescope.folder / "dialects",
        site=telescope.site,
    )


def _standardise(telescope: ResolvedTelescope, shelf: Shelf) -> ProcessingStep:
    from nightferry.steps.standardise import Standardise  # noqa: PLC0415 - only the steps in use are loaded

    settings = header_settings(telescope)
    _require_facts(settings)
    return Standardise(shelf, settings)


def _validate(telescope: ResolvedTelescope, _shelf: Shelf) -> ProcessingStep:
    from nightferry.steps.validate import Validate  # noqa: PLC0415

    settings = header_settings(telescope)
    gate = telescope.header.fitsverify
    return Validate(settings.loaded(), settings.context, gate=gate, profiles=settings.profiles)


def _cube(telescope: ResolvedTelescope, shelf: Shelf) -> GroupStep:
    from nightferry.cubes import Wishes  # noqa: PLC0415
    from nightferry.steps.cube import Cube  # noqa: PLC0415
    from nightferry.steps.cube_files import CubeSettings  # noqa: PLC0415

    asked = telescope.cube
    wishes = Wishes(max_frames=asked.max_frames or 0, max_bytes=asked.max_size or 0, odd=asked.odd)
    header = header_settings(telescope)
    settings = CubeSettings(header.context, header.profile, wishes=wishes, profiles=header.profiles)
    settings.check()
    return Cube(shelf, settings)


PROCESSING: dict[str, Callable[[ResolvedTelescope, Shelf], ProcessingStep]] = {
    SOLVE: _solve,
    STANDARDISE: _standardise,
    VALIDATE: _validate,
}
GROUPING: dict[str, Callable[[ResolvedTelescope, Shelf], GroupStep]] = {CUBE: _cube}


def _require_facts(settings: "Settings") -> None:
    """Refuse to begin where every frame would be held for what only the configuration can say."""
    for rule in settings.loaded().cards:
        facts = [name.removeprefix("context.") for name in rule.source]
        ours = bool(facts) and all(name.startswith("context.") for name in rule.source)
        if rule.required and ours and not any(getattr(settings.context, fact) for fact in facts):
            where = "program" if facts[0] == "program" else f"header.{facts[0]}"
            also = " (or give --program with the run)" if facts[0] == "program" else ""
            raise Misconfigured(
                f"profile {settings.profile} asks for {rule.key}, which the configuration of telescope "
                f"{settings.context.telescope} must say: set telescope.{settings.context.telescope}.{where}{also}"
            )


def header_settings(telescope: ResolvedTelescope) -> "Settings":
    """Return how a telescope's frames are standardised."""
    from nightferry.steps.standardise_files import Settings  # noqa: PLC0415 - only routes and commands with headers need it

    said = telescope.header
    context = Context(
        telescope=telescope.name,
        telescop=said.telescop or "",
        instrume=said.instrume or "",
        origin=said.origin or "",
        observer=said.observer or "",
        pi=said.pi or "",
        program=telescope.program,
        software=f"nightferry {version('nightferry')}",
        site=telescope.site,
    )
    return Settings(
        context,
        profile=said.profile or "",
        dialect=said.dialect or "",
        dialects=telescope.folder / "dialects",
        profiles=telescope.folder / "profiles",
    )
