"""Resolve a configuration: telescope, preset, site and archives become one frozen value for each telescope.

This is done once, when the configuration is loaded; everything that follows reads the value and asks no preset again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from nightferry.config.model import (
    ArchiveConfig,
    Config,
    CubeConfig,
    HeaderConfig,
    SiteConfig,
    SolveConfig,
    TelescopeConfig,
    WatchConfig,
)
from nightferry.config.places import config_path
from nightferry.config.preset import Preset, load_preset
from nightferry.config.store_keys import check_url, keys_of
from nightferry.core.context import Site
from nightferry.core.errors import Misconfigured
from nightferry.core.layout import Layout

#: The profile of headers where neither configuration nor preset names one.
PROFILE = "library"


@dataclass(frozen=True, slots=True)
class ResolvedArchive:
    """An archive as one telescope delivers to it: its store's section, and the template of names there."""

    name: str
    store: ArchiveConfig
    template: str


@dataclass(frozen=True, slots=True)
class ResolvedTelescope:
    """One telescope, with all that its preset, its site and its archives say where its own section does not.

    ``store`` is the section with URL, user and number of connections filled in; secrets are references still.
    ``settle`` and ``clear_after`` are in seconds (None: never cleared). ``require`` lists what a run must name yet.
    ``since`` is the first night that is carried unless a run says otherwise; None where nobody says.
    ``folder`` is the configuration's, beside which dialects and profiles of the user's own are.
    """

    name: str
    store: TelescopeConfig
    source: str
    archives: tuple[ResolvedArchive, ...]
    layout: Layout
    site: Site | None
    settle: float
    route: tuple[str, ...]
    program: str
    require: tuple[Literal["night", "program"], ...]
    header: HeaderConfig
    solve: SolveConfig
    cube: CubeConfig
    clear_after: float | None
    watch: WatchConfig
    since: date | None
    folder: Path

    def missing(self, *, night: bool) -> list[str]:
        """Return what a run must name and does not; ``night``: it names nights."""
        return [word for word in self.require if word != "night" or not night]

    @property
    def longitude(self) -> float | None:
        """Where it stands, in degrees, east positive; None when nobody says."""
        return self.site.longitude if self.site else None


def resolve(config: Config, folder: Path | None, place: str) -> dict[str, ResolvedTelescope]:
    """Resolve all telescopes of a configuration that was read from ``folder``; ``place`` names it in messages.

    Raises `Misconfigured` for a preset or a source that is no good.
    """
    presets = {
        name: load_preset(name, folder)
        for name in dict.fromkeys(section.preset for section in config.telescope.values())
    }
    found = {}
    for name, section in config.telescope.items():
        preset = presets[section.preset]
        site = config.site[section.site] if section.site else None
        archives = {archive: config.archive[archive] for archive in section.archives}
        source = _source(f"{place}: telescope.{name}", section, preset)
        found[name] = _resolved(name, section, preset, source=source, site=site, archives=archives, folder=folder)
    return found


def resolve_preset(name: str, folder: Path) -> ResolvedTelescope:
    """Resolve a telescope of which nothing is known but its preset; it delivers nowhere."""
    preset = load_preset(name, folder)
    bare = TelescopeConfig(preset=name, archives=["none"])
    return _resolved(name, bare, preset, source=preset.source or "", site=None, archives={}, folder=folder)


def for_run(
    config: Config,
    *,
    program: str = "",
    take: Sequence[str] | None = None,
    every: float | None = None,
    empty: int | None = None,
) -> Config:
    """Return the configuration for one run, with what its options say in place of what is configured.

    ``program`` is the observing programme, ``take`` the kinds of files, ``every`` the pause of a watch in seconds,
    and ``empty`` the number of looks without new frames after which it ends.
    """
    changes = {key: value for key, value in (("every", every), ("empty", empty)) if value is not None}
    return config.model_copy().keep_resolved(
        {
            name: replace(
                telescope,
                program=program or telescope.program,
                require=tuple(word for word in telescope.require if word != "program" or not program),
                layout=replace(telescope.layout, take=frozenset(take)) if take else telescope.layout,
                watch=telescope.watch.model_copy(update=changes),
            )
            for name, telescope in config.resolved.items()
        }
    )


def _resolved(
    name: str,
    section: TelescopeConfig,
    preset: Preset,
    *,
    source: str,
    site: SiteConfig | None,
    archives: Mapping[str, ArchiveConfig],
    folder: Path | None,
) -> ResolvedTelescope:
    where = _site(site or preset.site)
    user = section.user or unquote(urlsplit(source).username or "") or preset.user
    connections = section.connections or preset.connections
    return ResolvedTelescope(
        name=name,
        store=section.model_copy(update={"source": source, "user": user, "connections": connections}),
        source=source,
        archives=tuple(ResolvedArchive(key, one, one.name or preset.name) for key, one in archives.items()),
        layout=preset.as_layout(section.take, where.longitude if where else None, section.night),
        site=where,
        settle=preset.settle if section.settle is None else section.settle,
        route=tuple(preset.route if section.route is None else section.route),
        program=section.program or preset.program or "",
        require=tuple(section.require),
        header=_header(section.header, preset.header),
        solve=preset.solve.model_copy(update=section.solve.model_dump(exclude_none=True)),
        cube=section.cube,
        clear_after=section.clear.after if section.clear else None,
        watch=section.watch,
        since=section.since,
        folder=folder or config_path().parent,
    )


def _source(place: str, section: TelescopeConfig, preset: Preset) -> str:
    """Return the telescope's URL: its own, or its preset's."""
    if section.source is not None:
        return section.source
    if preset.source is None:
        raise Misconfigured(f"{place} needs 'source', for preset {section.preset!r} has none")
    try:
        keys_of(section, check_url(preset.source))
    except ValueError as err:
        raise Misconfigured(f"{place}: the source of preset {section.preset!r}: {err}") from err
    return preset.source


def _site(where: SiteConfig | None) -> Site | None:
    return Site(where.latitude, where.longitude, where.elevation) if where else None


def _header(own: HeaderConfig, below: HeaderConfig) -> HeaderConfig:
    """Lay a telescope's header section over its preset's; what is left out or empty the preset says."""
    said = {key: value for key, value in own.model_dump().items() if value}
    return below.model_copy(
        update={
            **said,
            "profile": own.profile or below.profile or PROFILE,
            "fitsverify": own.fitsverify and below.fitsverify,
        }
    )
