"""Check: look at everything that a run needs, from the configuration's secrets to the archives."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from nightferry.alerts import known_url
from nightferry.api._service import find_services
from nightferry.assemble import (
    PROCESSING,
    archive_store,
    mount_of,
    open_ledger,
    open_route,
    shelf_of,
    telescope_names,
    telescope_store,
)
from nightferry.config import Config, ResolvedTelescope, config_path, ledger_url
from nightferry.config.secrets import read_secret
from nightferry.core.display import counted, size_text
from nightferry.core.errors import Changed, Gone, Misconfigured, NightferryError
from nightferry.core.step import SOLVE
from nightferry.core.store import Entry, Oddity, Store
from nightferry.disk.errors import unforeseen
from nightferry.folders import is_unused, local_folder, refuse_overlap
from nightferry.ledger.sqlite import database_path
from nightferry.steps.probe import try_archive
from nightferry.steps.readback import read_back

#: So many files are looked at: enough to see that a listing works.
_LOOK = 1000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found, and what is wrong with it (None: nothing)."""

    what: str
    found: str
    error: NightferryError | None = None

    @property
    def ok(self) -> bool:
        """Whether all is well."""
        return self.error is None


def check(
    config: Config, telescopes: Sequence[str] = (), *, place: Path | None = None, service: bool = False
) -> Iterator[Check]:
    """Look at what a run of these telescopes needs (all when none is named), and yield what was found.

    ``place`` is the configuration's file, None for the usual one. With ``service`` it is wrong, too, when nothing
    starts nightferry by itself.
    """
    services = _services(place or config_path(), demanded=service)
    yield from chain(_checks(config, telescope_names(config, telescopes)), _alerts(config), services)


def _wrong(what: str, found: str) -> Check:
    return Check(what, found, Misconfigured(found))


def _checks(config: Config, telescopes: Sequence[str]) -> Iterator[Check]:
    if not config.telescope:
        found = "the configuration names none; add [telescope.NAME], or see: nightferry init"
        yield _wrong("telescopes", found)
    yield _try("ledger", lambda: _ledger(config))
    yield _try("shelf", lambda: _shelf(config))
    archives = dict.fromkeys(archive for name in telescopes for archive in config.telescope[name].archives)
    for name in telescopes:
        one = config.resolved[name]
        yield _try(f"telescope {name}: {one.source}", lambda one=one: _telescope(config, one))  # type: ignore[misc] # mypy cannot type a bound default
    for name in telescopes:
        one = config.resolved[name]
        if set(one.route) & set(PROCESSING):
            yield _try(f"route of {name}", lambda name=name: _route(config, name))  # type: ignore[misc] # as above
        if SOLVE in one.route:
            yield _try(f"solver of {name}", lambda one=one: _solver(one))  # type: ignore[misc] # as above
    for name in archives:
        yield _try(f"archive {name}: {config.archive[name].url}", lambda name=name: _archive(config, name))  # type: ignore[misc] # as above


def _alerts(config: Config) -> Iterator[Check]:
    """Look whether those who are told can be: their secrets, Apprise, and what waits."""
    for reference in config.alerts.urls:
        yield _try(f"alerts to {reference}", lambda reference=reference: _channel(reference))  # type: ignore[misc] # as above
    if config.alerts.ping is not None:
        yield _try(f"alerts.ping {config.alerts.ping}", lambda: _set(config.alerts.ping or ""))
    archives = [
        name for name in config.books.copies if all(name not in one.archives for one in config.telescope.values())
    ]
    for name in archives:
        yield _try(f"books' copies {name}: {config.archive[name].url}", lambda name=name: _archive(config, name))  # type: ignore[misc] # as above


def _channel(reference: str) -> str:
    known_url(read_secret(reference))
    return "a URL that Apprise knows; to see one arrive: nightferry alerts test"


def _set(reference: str) -> str:
    return "set" if read_secret(reference) else "empty"


def _services(config: Path, *, demanded: bool) -> Iterator[Check]:
    """Look at what starts nightferry by itself; nothing is well, too, unless it is demanded."""
    found = find_services(config)
    for one in found:
        yield Check("service", one.found) if one.good else _wrong("service", one.found)
    if demanded and not found:
        nothing = "neither a systemd unit nor a cron line starts nightferry by itself; see: nightferry service"
        yield _wrong("service", nothing)


def _try(what: str, look: Callable[[], str]) -> Check:
    try:
        return Check(what, look())
    except NightferryError as err:
        return Check(what, str(err), err)
    except OSError as err:  # a dead mount, say: the others are looked at all the same
        trouble = unforeseen(err)
        return Check(what, str(trouble), trouble)


def _ledger(config: Config) -> str:
    there = database_path(ledger_url(config)).exists()  # whether one can be made is seen by making it
    with open_ledger(config, reading=there) as ledger:
        nights = sum(1 for _ in ledger.balances())
    return f"{ledger_url(config)}: {nights:,} nights"


def _shelf(config: Config) -> str:
    shelf = shelf_of(config)
    shelf.require_room(0)
    return f"{shelf.root}: {size_text(shutil.disk_usage(shelf.root).free)} free, floor {size_text(shelf.floor)}"


def _route(config: Config, name: str) -> str:
    """Make a route whose steps compute, which says what only the configuration can tell and does not."""
    route = open_route(config, name)
    route.close()
    return " -> ".join(route.steps)


def _solver(telescope: ResolvedTelescope) -> str:
    from nightferry.api._index import solver_text  # noqa: PLC0415 - brings numpy, which few checks need

    return solver_text(telescope)


def _telescope(config: Config, telescope: ResolvedTelescope) -> str:
    refuse_overlap(config, telescope.name)
    return _lists(telescope_store(telescope))


def _lists(store: Store) -> str:
    try:
        found = list(islice(store.list(), _LOOK))
        files = [item for item in found if isinstance(item, Entry)]
        closed = [item for item in found if isinstance(item, Oddity) and item.kind in {"closed", "unread"}]
        read = _fetches(store, files)
    finally:
        store.close()
    more = " or more" if len(found) == _LOOK else ""
    doubt = f"; {counted(len(closed), 'folder')} cannot be listed whole" if closed else ""
    return f"reached; {len(files):,}{more} files{read}{doubt}"


def _fetches(store: Store, files: Sequence[Entry]) -> str:
    """Fetch the smallest file that has any bytes, as a pull will; raises what keeps that from working."""
    sizes = [entry for entry in files if entry.size]
    if not sizes:
        return ""
    smallest = min(sizes, key=lambda entry: entry.size)
    (answer,) = read_back(store, [smallest.path])
    if isinstance(answer, Changed | Gone):  # it is being written, or was deleted: the telescope is at work
        return ""
    if isinstance(answer, NightferryError):
        raise answer
    return ", one of them fetched"


def _archive(config: Config, name: str) -> str:
    folder = local_folder(config.archive[name])
    if (
        mount_of(config.archive[name], config.archive[name].url) is None
        and folder is not None
        and not folder.exists()
        and folder.parent.is_dir()
    ):
        with open_ledger(config, reading=True) as ledger:
            if is_unused(ledger, name):
                return "not there yet; made before the first delivery"
    store = archive_store(config.archive[name])
    try:
        next(iter(store.list()), None)
        if config.archive[name].kind == "handover":  # others take away what is put there
            return "reached"
        try_archive(store, shelf_of(config).root / "check")
    finally:
        store.close()
    return "reached; a file was put there, read back and taken away"
