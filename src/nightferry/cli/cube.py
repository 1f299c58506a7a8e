"""``cube``: frames put together into cubes, and cubes taken apart."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.options import DryRunOption, JsonOption, quantity
from nightferry.cli.show import Json, say, say_json
from nightferry.core.display import size_text
from nightferry.core.errors import Held, Misconfigured

if TYPE_CHECKING:
    from nightferry.cubes import Group

_ODD = ("apart", "out")


def cube(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="FITS frames, in any order; with --split, cubes.")],
    into: Annotated[Path, typer.Option(help="The folder for the new files.")],
    split: Annotated[bool, typer.Option("--split", help="Take cubes apart into their frames.")] = False,
    telescope: Annotated[str | None, typer.Option(help="A telescope of the configuration, or a preset.")] = None,
    profile: Annotated[str | None, typer.Option(help="The archive's profile; else the frames' own.")] = None,
    dialect: Annotated[
        str | None, typer.Option(help="The program that wrote raw frames; else found by evidence.")
    ] = None,
    program: Annotated[str | None, typer.Option(help="The observing programme; comes before the telescope's.")] = None,
    max_frames: Annotated[int | None, typer.Option(min=1, help="The most frames in one cube.")] = None,
    max_size: Annotated[str | None, typer.Option(help="The most pixels in one cube, e.g. '4 GB'.")] = None,
    odd: Annotated[
        str | None, typer.Option(help="Frames of another shape or number format: apart (the default) or out.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put frames of one kind together into cubes, or take cubes apart."""
    if split:
        _split(files, into, dry_run=dry_run, as_json=as_json)
    settings = api.cube_settings(
        telescope or "",
        place=context.obj,
        profile=profile or "",
        dialect=dialect or "",
        program=program or "",
        max_frames=max_frames or 0,
        max_bytes=_size(max_size),
        odd=_odd(odd),
    )
    plan = api.plan_cube(files, settings)
    for left in plan.left:
        _show_left(left, as_json=as_json)
    if dry_run:
        for group in plan.groups:
            _show_planned(group, as_json=as_json)
        raise typer.Exit(HELD if plan.left else DONE)
    raise typer.Exit(_make(plan, into, settings, as_json=as_json))


def _size(text: str | None) -> int:
    from nightferry.config.units import size_bytes

    return 0 if text is None else quantity(size_bytes, text, "--max-size")


def _odd(word: str | None) -> Literal["apart", "out"]:
    if word not in {None, *_ODD}:
        raise Misconfigured(f"--odd {word}: expected one of {', '.join(_ODD)}")
    return cast("Literal['apart', 'out']", word or "apart")


def _make(plan: "api.Plan", into: Path, settings: "api.CubeSettings", *, as_json: bool) -> int:
    held, failed = bool(plan.left), False
    if not plan.groups:
        return HELD
    with _progress(sum(group.size for group in plan.groups), quiet=as_json) as moved:
        for cubed in api.cube(plan, into, settings, moved):
            for left in cubed.left:
                _show_left(left, as_json=as_json)
            _show_cubed(cubed, as_json=as_json)
            held = held or bool(cubed.left) or isinstance(cubed.error, Held)
            failed = failed or (cubed.error is not None and not isinstance(cubed.error, Held))
    return HELD if held else FAILED if failed else DONE


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[int], object]]:
    """Draw a bar on a terminal; elsewhere the lines of the answer are all there is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("cubes"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)


def _show_left(left: "api.LeftOut", *, as_json: bool) -> None:
    if as_json:
        say_json({"file": str(left.file), "outcome": "held", "reason": left.reason})
    else:
        say(f"{left.file}: left out: {left.reason}", "red")


def _show_planned(group: "Group", *, as_json: bool) -> None:
    if as_json:
        say_json({"cube": None, "outcome": "planned", **_group_json(group)})
        return
    frames = group.sources
    said = f"{_count(group)} of {frames[0].axes[0]}x{frames[0].axes[1]}, {size_text(group.size)}"
    say(f"{group.kind} {group.title}: {said}, from {frames[0].start.iso(0)} to {frames[-1].start.iso(0)}")


def _count(group: "Group") -> str:
    return f"{len(group.sources):,} frame{'s' if len(group.sources) > 1 else ''}"


def _group_json(group: "Group") -> dict[str, Json]:
    return {
        "type": str(group.kind),
        "key": group.key,
        "part": group.part,
        "frames": len(group.sources),
        "pixel_bytes": group.size,
        "files": [str(source.file) for source in group.sources],
    }


def _show_cubed(cubed: "api.Cubed", *, as_json: bool) -> None:
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


def _split(files: Sequence[Path], into: Path, *, dry_run: bool, as_json: bool) -> None:
    """Take cubes apart and exit with what came of it."""
    code = DONE
    for one in api.split(files, into, dry_run=dry_run):
        if one.frame is None:
            outcome = "held" if isinstance(one.error, Held) else "failed"
            code = HELD if outcome == "held" or code == HELD else FAILED
            if as_json:
                say_json({"cube": str(one.cube), "outcome": outcome, "file": None, "reason": str(one.error)})
            else:
                say(f"{one.cube}: {outcome}: {one.error}", "red")
            continue
        frame = one.frame
        if as_json:
            say_json(
                {
                    "cube": str(one.cube),
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
    raise typer.Exit(code)
