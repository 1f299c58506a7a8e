"""Works: a telescope's computing steps, made of its route, with the facts that headers need of the configuration.

A step that is new to routes gets its name in `nightferry.config.model.ROUTE_STEPS` and a maker here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from nightferry.config import Config, TelescopeConfig, config_path
from nightferry.config.model import SiteConfig
from nightferry.config.preset import Preset
from nightferry.core.context import Context, Site
from nightferry.core.errors import Misconfigured
from nightferry.core.step import CUBE, SOLVE, STANDARDISE, VALIDATE, Gather, Work
from nightferry.steps.shelf import Shelf

if TYPE_CHECKING:
    from nightferry.solving.model import Settings as SolveSettings
    from nightferry.steps.standardise import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What a work is made of: the telescope's section and preset, the run's programme, and the shelf."""

    config: Config
    name: str
    preset: Preset
    shelf: Shelf
    program: str = ""

    @property
    def section(self) -> TelescopeConfig:
        """The telescope's section."""
        return self.config.telescope[self.name]

    @property
    def settings(self) -> "Settings":
        """How its headers are written."""
        site = self.config.site[self.section.site] if self.section.site else None
        return header_settings(self.section, site, self.preset, self.name, self.program, folder=self.config.folder)


def works_of(plan: Plan) -> tuple[Work, ...]:
    """Make the computing steps that look at one frame, in the order of the route."""
    return tuple(WORKS[step](plan) for step in route_of(plan.section, plan.preset) if step in WORKS)


def gather_of(plan: Plan) -> Gather | None:
    """Make the step that makes products of whole nights, where the route has one."""
    return next((GATHERS[step](plan) for step in route_of(plan.section, plan.preset) if step in GATHERS), None)


def route_of(section: TelescopeConfig, preset: Preset) -> list[str]:
    """Tell a telescope's steps: its own, else the preset's."""
    return preset.route if section.route is None else section.route


def _solve(plan: Plan) -> Work:
    from nightferry.solving.engines import load_engine  # noqa: PLC0415 - only the steps in use are loaded
    from nightferry.solving.frame import shelved  # noqa: PLC0415
    from nightferry.steps.solve import Solve  # noqa: PLC0415

    settings = solve_settings(plan.section, plan.preset, plan.settings)
    load_engine(settings.engine)
    shelved(settings.indexes, usual=settings.usual)
    return Solve(plan.shelf, settings, plan.section.solve.failure or plan.preset.solve.failure or "mark")


def solve_settings(section: TelescopeConfig, preset: Preset, header: "Settings") -> "SolveSettings":
    """Tell how a telescope's frames are solved; what the section leaves out the preset says."""
    from nightferry.solving.model import PATIENCE, RADIUS  # noqa: PLC0415 - brings numpy
    from nightferry.solving.model import Settings as Solving  # noqa: PLC0415

    told = preset.solve.model_dump(exclude_none=True) | section.solve.model_dump(exclude_none=True)
    scales = told.get("scales")
    return Solving(
        engine=told.get("engine", ""),
        indexes=tuple(path.expanduser() for path in told.get("index", ())),
        scales=(scales[0], scales[1]) if scales else None,
        radius=told.get("radius", RADIUS),
        seconds=told.get("timeout", PATIENCE),
        dialect=header.dialect,
        dialects=header.dialects,
        site=header.context.site,
    )


def _standardise(plan: Plan) -> Work:
    from nightferry.steps.standard_frames import Standardise  # noqa: PLC0415 - only the steps in use are loaded

    settings = plan.settings
    _require_facts(settings)
    return Standardise(plan.shelf, settings)


def _validate(plan: Plan) -> Work:
    from nightferry.steps.validate import Validate  # noqa: PLC0415

    gate = plan.section.header.fitsverify and plan.preset.header.fitsverify
    settings = plan.settings
    return Validate(settings.loaded(), settings.context, gate=gate, profiles=settings.profiles)


def _cube(plan: Plan) -> Gather:
    from nightferry.cubes import Wishes  # noqa: PLC0415
    from nightferry.steps.cube import CubeSettings  # noqa: PLC0415
    from nightferry.steps.night_cubes import Cube  # noqa: PLC0415

    asked = plan.section.cube
    wishes = Wishes(max_frames=asked.max_frames or 0, max_bytes=asked.max_size or 0, odd=asked.odd)
    header = plan.settings
    settings = CubeSettings(header.context, header.profile, wishes=wishes, profiles=header.profiles)
    settings.check()
    return Cube(plan.shelf, settings)


WORKS: dict[str, Callable[[Plan], Work]] = {SOLVE: _solve, STANDARDISE: _standardise, VALIDATE: _validate}
GATHERS: dict[str, Callable[[Plan], Gather]] = {CUBE: _cube}


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


def header_settings(
    section: TelescopeConfig,
    site: SiteConfig | None,
    preset: Preset,
    name: str,
    program: str = "",
    *,
    folder: Path | None = None,
) -> "Settings":
    """Tell how a telescope's frames are standardised; ``program``, given for the run, comes before all others.

    ``folder`` is the configuration's, beside which dialects and profiles of one's own are; else the usual one.
    """
    from nightferry.steps.standardise import Settings  # noqa: PLC0415 - only routes and commands with headers need it

    own, below = section.header, preset.header
    where = site or preset.site
    context = Context(
        telescope=name,
        telescop=own.telescop or below.telescop or "",
        instrume=own.instrume or below.instrume or "",
        origin=own.origin or below.origin or "",
        observer=own.observer or below.observer or "",
        pi=own.pi or below.pi or "",
        program=program or section.program or preset.program or "",
        software=f"nightferry {version('nightferry')}",
        site=Site(where.latitude, where.longitude, where.elevation) if where else None,
    )
    folder = folder or config_path().parent
    return Settings(
        context,
        profile=own.profile or below.profile or "library",
        dialect=own.dialect or below.dialect or "",
        dialects=folder / "dialects",
        profiles=folder / "profiles",
    )
