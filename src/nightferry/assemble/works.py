"""Works: a telescope's computing steps, made of its route, with the facts that headers need of the configuration.

A step that is new to routes gets its name in `nightferry.config.model.ROUTE_STEPS` and a maker here.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from nightferry.config import ResolvedTelescope
from nightferry.core.context import Context
from nightferry.core.errors import Misconfigured
from nightferry.core.step import CUBE, SOLVE, STANDARDISE, VALIDATE, Gather, Work
from nightferry.steps.shelf import Shelf

if TYPE_CHECKING:
    from nightferry.solving.model import Settings as SolveSettings
    from nightferry.steps.standardise import Settings


def works_of(telescope: ResolvedTelescope, shelf: Shelf) -> tuple[Work, ...]:
    """Make the computing steps that look at one frame, in the order of the route."""
    return tuple(WORKS[step](telescope, shelf) for step in telescope.route if step in WORKS)


def gather_of(telescope: ResolvedTelescope, shelf: Shelf) -> Gather | None:
    """Make the step that makes products of whole nights, where the route has one."""
    return next((GATHERS[step](telescope, shelf) for step in telescope.route if step in GATHERS), None)


def _solve(telescope: ResolvedTelescope, shelf: Shelf) -> Work:
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


def _standardise(telescope: ResolvedTelescope, shelf: Shelf) -> Work:
    from nightferry.steps.standard_frames import Standardise  # noqa: PLC0415 - only the steps in use are loaded

    settings = header_settings(telescope)
    _require_facts(settings)
    return Standardise(shelf, settings)


def _validate(telescope: ResolvedTelescope, _shelf: Shelf) -> Work:
    from nightferry.steps.validate import Validate  # noqa: PLC0415

    settings = header_settings(telescope)
    gate = telescope.header.fitsverify
    return Validate(settings.loaded(), settings.context, gate=gate, profiles=settings.profiles)


def _cube(telescope: ResolvedTelescope, shelf: Shelf) -> Gather:
    from nightferry.cubes import Wishes  # noqa: PLC0415
    from nightferry.steps.cube import CubeSettings  # noqa: PLC0415
    from nightferry.steps.night_cubes import Cube  # noqa: PLC0415

    asked = telescope.cube
    wishes = Wishes(max_frames=asked.max_frames or 0, max_bytes=asked.max_size or 0, odd=asked.odd)
    header = header_settings(telescope)
    settings = CubeSettings(header.context, header.profile, wishes=wishes, profiles=header.profiles)
    settings.check()
    return Cube(shelf, settings)


WORKS: dict[str, Callable[[ResolvedTelescope, Shelf], Work]] = {
    SOLVE: _solve,
    STANDARDISE: _standardise,
    VALIDATE: _validate,
}
GATHERS: dict[str, Callable[[ResolvedTelescope, Shelf], Gather]] = {CUBE: _cube}


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
    from nightferry.steps.standardise import Settings  # noqa: PLC0415 - only routes and commands with headers need it

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
