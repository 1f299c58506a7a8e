"""``cube``: frames put together into cubes, and cubes taken apart, on any files, without a ledger."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nightferry import __version__
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.headers import settings_of
from nightferry.cli.show import Json, say, say_json, size_text
from nightferry.config import config_path
from nightferry.config.units import size_bytes
from nightferry.core.context import Context
from nightferry.core.errors import Held, Misconfigured, NightferryError
from nightferry.cubes import Group, LeftOut, Plan, Wishes
from nightferry.cubes import Settings as Reading
from nightferry.steps.cube_files import Cubed, CubeSettings, Input, make_cubes, plan_cubes, split_file
from nightferry.steps.standardise_files import Settings

_ODD = ("apart", "out")


class Wanted(NamedTuple):
    """What the options of ``cube`` ask for; None where they do not."""

    telescope: str | None
    profile: str | None
    dialect: str | None
    program: str
    max_frames: int | None
    max_size: str | None
    odd: str | None


def cube_settings_of(config: Path | None, wanted: Wanted) -> CubeSettings:
    """Tell how cubes are made: by a telescope's settings where one is named, and by the options, which come first."""
    folder = (config or config_path()).absolute().parent
    known = settings_of(config, wanted.telescope, wanted.program) if wanted.telescope else None
    header = known or Settings(Context(program=wanted.program), "", "", folder / "dialects", folder / "profiles")
    site = header.context.site
    if wanted.odd not in {None, *_ODD}:
        raise Misconfigured(f"--odd {wanted.odd}: expected one of {', '.join(_ODD)}")
    try:
        most = 0 if wanted.max_size is None else size_bytes(wanted.max_size)
    except ValueError as err:
        raise Misconfigured(f"--max-size: {err}") from err
    settings = CubeSettings(
        context=replace(header.context, software=f"nightferry {__version__}"),
        profile=wanted.profile or header.profile,
        reading=Reading(wanted.dialect or header.dialect, header.dialects),
        wishes=Wishes(
            max_frames=wanted.max_frames or 0,
            max_bytes=most,
            odd=cast("Literal['apart', 'out']", wanted.odd or "apart"),
            longitude=site.longitude if site else None,
        ),
        profiles=header.profiles,
    )
    settings.check()
    return settings


def cube_command(
    config: Path | None, files: Sequence[Path], into: Path, wanted: Wanted, *, dry_run: bool, as_json: bool
) -> None:
    """Make cubes of files; every file ends in one of them, or is told with the reason why not."""
    settings = cube_settings_of(config, wanted)
    plan = plan_cubes([Input(file) for file in files], settings)
    for left in plan.left:
        _tell_left(left, as_json=as_json)
    if dry_run:
        for group in plan.groups:
            _tell_planned(group, as_json=as_json)
        raise typer.Exit(HELD if plan.left else DONE)
    if plan.groups:
        _make_folder(into)
    raise typer.Exit(_make(plan, into, settings, as_json=as_json))


def _make_folder(into: Path) -> None:
    if not into.parent.is_dir():
        raise Misconfigured(f"{into}: there is no folder {into.parent}; is its disk mounted?")
    try:
        into.mkdir(exist_ok=True)
    except OSError as err:
        raise Misconfigured(f"{into} cannot be made: {err.strerror}; expected a folder, or room for one") from err


def _make(plan: Plan, into: Path, settings: CubeSettings, *, as_json: bool) -> int:
    held, failed = bool(plan.left), False
    if not plan.groups:
        return HELD
    with _progress(sum(group.size for group in plan.groups), quiet=as_json) as moved:
        for cubed in make_cubes(plan, into, settings, moved):
            for left in cubed.left:
                _tell_left(left, as_json=as_json)
            _tell_cubed(cubed, as_json=as_json)
            held = held or bool(cubed.left) or isinstance(cubed.error, Held)
            failed = failed or (cubed.error is not None and not isinstance(cubed.error, Held))
    return HELD if held else FAILED if failed else DONE


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Draw a bar on a terminal; elsewhere the lines of the answer are all there is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _count: None
        return
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("cubes"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _tell_left(left: LeftOut, *, as_json: bool) -> None:
    if as_json:
        say_json({"file": str(left.file), "outcome": "held", "reason": left.reason})
    else:
        say(f"{left.file}: left out: {left.reason}", "red")


def _tell_planned(group: Group, *, as_json: bool) -> None:
    if as_json:
        say_json({"cube": None, "outcome": "planned", **_group_json(group)})
        return
    frames = group.sources
    said = f"{_count(group)} of {frames[0].axes[0]}x{frames[0].axes[1]}, {size_text(group.size)}"
    say(f"{group.kind} {group.title}: {said}, from {frames[0].start.iso(0)} to {frames[-1].start.iso(0)}")


def _count(group: Group) -> str:
    return f"{len(group.sources):,} frame{'s' if len(group.sources) > 1 else ''}"


def _group_json(group: Group) -> dict[str, Json]:
    return {
        "type": str(group.kind),
        "key": group.key,
        "part": group.part,
        "frames": len(group.sources),
        "pixel_bytes": group.size,
        "files": [str(source.file) for source in group.sources],
    }


def _tell_cubed(cubed: Cubed, *, as_json: bool) -> None:
    outcome = "done" if cubed.error is None else "held" if isinstance(cubed.error, Held) else "failed"
    if as_json:
        say_json(
            {
                "cube": None if cubed.file is None else str(cubed.file),
                "outcome": outcome,
                "was_there": cubed.was_there,
                "version": cubed.version,
                "bytes": cubed.size,
                "reason": "" if cubed.error is None else str(cubed.error),
                **_group_json(cubed.group),
            }
        )
    elif cubed.file is None:
        say(f"{cubed.group.kind} {cubed.group.title}: {outcome}: {cubed.error}", "red")
    else:
        there = " (was there)" if cubed.was_there else f", version {cubed.version}" if cubed.version > 1 else ""
        say(f"{cubed.file.name}: {_count(cubed.group)}, {size_text(cubed.size)}{there}")


def split_command(files: Sequence[Path], into: Path, *, dry_run: bool, as_json: bool) -> None:
    """Take cubes apart; one that is none, or damaged, costs no other."""
    if not dry_run:
        _make_folder(into)
    code = DONE
    for cube in files:
        try:
            for frame in split_file(cube, into, dry_run=dry_run):
                if as_json:
                    say_json(
                        {
                            "cube": str(cube),
                            "outcome": "planned" if dry_run else "done",
                            "file": str(frame.file),
                            "was_there": frame.was_there,
                            "datasum": frame.datasum,
                            "lost": list(frame.lost),
                        }
                    )
                else:
                    said = f" (keywords that FITS forbids are lost: {', '.join(frame.lost)})" if frame.lost else ""
                    say(f"{frame.file.name}{' (was there)' if frame.was_there else ''}{said}")
        except NightferryError as err:
            if isinstance(err, Misconfigured):
                raise
            outcome = "held" if isinstance(err, Held) else "failed"
            code = HELD if outcome == "held" or code == HELD else FAILED
            if as_json:
                say_json({"cube": str(cube), "outcome": outcome, "file": None, "reason": str(err)})
            else:
                say(f"{cube}: {outcome}: {err}", "red")
    raise typer.Exit(code)
