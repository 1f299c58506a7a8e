"""Cube: put any frames together into cubes, and take cubes apart, without a ledger."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nightferry import __version__
from nightferry.api._telescopes import folder_for, header_settings_for
from nightferry.config import config_path
from nightferry.core.context import Context
from nightferry.core.errors import Misconfigured, NightferryError
from nightferry.cubes import Plan, Wishes
from nightferry.cubes import Settings as Reading
from nightferry.steps.cube_files import Cubed, CubeSettings, Input, SplitFrame, make_cubes, plan_cubes, split_file
from nightferry.steps.standardise_files import Settings


@dataclass(frozen=True, slots=True)
class SplitCube:
    """One frame that was taken out of a cube, or the error that kept the others in it."""

    cube: Path
    frame: SplitFrame | None
    error: NightferryError | None = None


def cube_settings(
    telescope: str = "",
    *,
    place: Path | None = None,
    profile: str = "",
    dialect: str = "",
    program: str = "",
    max_frames: int = 0,
    max_bytes: int = 0,
    odd: Literal["apart", "out"] = "apart",
) -> CubeSettings:
    """Return how cubes are made: by a telescope's settings where one is named, and by these wishes, which come first.

    ``max_frames`` and ``max_bytes`` (of pixels) limit one cube, 0: not at all; frames of another shape go ``odd``.
    """
    folder = (place or config_path()).absolute().parent
    known = header_settings_for(telescope, place=place, program=program) if telescope else None
    header = known or Settings(Context(program=program), "", "", folder / "dialects", folder / "profiles")
    site = header.context.site
    settings = CubeSettings(
        context=replace(header.context, software=f"nightferry {__version__}"),
        profile=profile or header.profile,
        reading=Reading(dialect or header.dialect, header.dialects),
        wishes=Wishes(max_frames=max_frames, max_bytes=max_bytes, odd=odd, longitude=site.longitude if site else None),
        profiles=header.profiles,
    )
    settings.check()
    return settings


def plan_cube(files: Sequence[Path], settings: CubeSettings) -> Plan:
    """Return which frames go into which cube, and which are left out, each with its reason."""
    return plan_cubes([Input(file) for file in files], settings)


def cube(
    plan: Plan, into: Path, settings: CubeSettings, moved: Callable[[int], object] = lambda _count: None
) -> Iterator[Cubed]:
    """Make the cubes of a plan; ``moved`` is called with the bytes of pixels that were read."""
    if plan.groups:
        folder_for(into)
        yield from make_cubes(plan, into, settings, moved)


def split(files: Sequence[Path], into: Path, *, dry_run: bool = False) -> Iterator[SplitCube]:
    """Take cubes apart into their frames; one that is none, or damaged, costs no other."""
    if not dry_run:
        folder_for(into)
    for file in files:
        try:
            for frame in split_file(file, into, dry_run=dry_run):
                yield SplitCube(file, frame)
        except Misconfigured:
            raise
        except NightferryError as err:
            yield SplitCube(file, None, err)
