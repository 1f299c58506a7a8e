"""Each step alone, on any FITS file: standardise, solve, validate, cube; and a night of made-up ones: demo."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, JsonOption, ProgramOption

app = typer.Typer()


@app.command()
def standardise(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Raw FITS files; they are not changed.")],
    telescope: Annotated[str, typer.Option(help="A telescope of the configuration, or a preset.")],
    into: Annotated[Path, typer.Option(help="The folder for the new files.")],
    profile: Annotated[str | None, typer.Option(help="The archive's profile; else the telescope's.")] = None,
    dialect: Annotated[
        str | None, typer.Option(help="The program that wrote the files; else found by evidence.")
    ] = None,
    program: ProgramOption = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what became of every keyword.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make of raw files the files that an archive accepts: new headers, the same pixels."""
    from nightferry.cli.headers import Wanted, standardise_command

    wanted = Wanted(telescope, into, profile, dialect, program or "", diff, dry_run, as_json)
    standardise_command(context.obj, files, wanted)


@app.command()
def solve(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="FITS files.")],
    telescope: Annotated[str | None, typer.Option(help="A telescope of the configuration, or a preset.")] = None,
    engine: Annotated[str | None, typer.Option(help="astrometry, solve-field, or another; else the best here.")] = None,
    index: Annotated[list[Path] | None, typer.Option(help="A folder of index files, or one; may be repeated.")] = None,
    near: Annotated[str | None, typer.Option(help="Where to look first, RA,DEC, in the header's stead.")] = None,
    radius: Annotated[str | None, typer.Option(help="How far from there, e.g. '5 deg'.")] = None,
    scale: Annotated[str | None, typer.Option(help="Pixel scale: '2.4 arcsec' or '2 arcsec..3 arcsec'.")] = None,
    timeout: Annotated[str | None, typer.Option(help="The longest search for one file, e.g. '30 s'.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Solve files, too, whose own solution holds.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the solution into the file's header.")] = False,
    into: Annotated[Path | None, typer.Option(help="Write solved copies into this folder instead.")] = None,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Worker processes; 0: up to two.")] = 0,
    facts: Annotated[bool, typer.Option("--facts", help="Tell what the stars tell, too.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find out where frames look, from their stars."""
    from nightferry.cli.solving import Wanted, solve_command

    wanted = Wanted(
        telescope or "", engine or "", tuple(index or ()), near or "", radius or "", scale or "", timeout or "",
        again, write, into, workers, facts, dry_run, as_json,
    )  # fmt: skip
    solve_command(context.obj, files, wanted)


@app.command()
def validate(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="FITS files.")],
    profile: Annotated[str, typer.Option(help="Whose rules: eso, library, or your own.")] = "eso",
    telescope: Annotated[str | None, typer.Option(help="Compare also with what is known of this telescope.")] = None,
    fitsverify: Annotated[
        bool, typer.Option("--fitsverify/--no-fitsverify", help="Ask fitsverify too, where it is installed.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Find in a file's header what an archive would refuse."""
    from nightferry.cli.headers import validate_command

    validate_command(context.obj, files, profile=profile, telescope=telescope or "", gate=fitsverify, as_json=as_json)


@app.command()
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
    from nightferry.cli.cubes import Wanted, cube_command, split_command

    if split:
        split_command(files, into, dry_run=dry_run, as_json=as_json)
    wanted = Wanted(telescope, profile, dialect, program or "", max_frames, max_size, odd)
    cube_command(context.obj, files, into, wanted, dry_run=dry_run, as_json=as_json)


@app.command()
def demo(
    into: Annotated[Path | None, typer.Option(help="A new folder for telescope, library and ledger.")] = None,
    quirks: Annotated[bool, typer.Option("--quirks/--no-quirks", help="With awkward and damaged files.")] = True,
    solve: Annotated[bool, typer.Option("--solve", help="Solve its frames, too.")] = False,
) -> None:
    """Carry a night from a simulated Vespera, on this machine alone."""
    from nightferry.cli.demo import demo_command

    demo_command(into, quirks=quirks, solve=solve)
