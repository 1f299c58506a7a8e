"""The command line: options in, calls to `nightferry.api`, answers and exit codes out.

Only what every start needs is imported at the top; the rest waits for its command, so that ``--help`` is quick.
"""

import gc
from pathlib import Path
from typing import Annotated

import typer

from nightferry import __version__

app = typer.Typer(
    name="nightferry",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Carries each night's frames from a telescope to its archives, and proves that nothing was lost on the way.",
)

index_app = typer.Typer(no_args_is_help=True, help="The index files that solving needs.", rich_markup_mode=None)
app.add_typer(index_app, name="index")

Telescopes = Annotated[list[str] | None, typer.Argument(help="Names from the configuration; all when none is given.")]
Telescope = Annotated[str, typer.Argument(help="A telescope's name from the configuration.")]
OneNight = Annotated[str, typer.Argument(help="YYYYMMDD or YYYY-MM-DD (the evening's date), last, or latest.")]
NightOption = Annotated[
    list[str] | None,
    typer.Option("--night", help="YYYYMMDD, YYYY-MM-DD, last (yesterday evening), latest (newest there), all."),
]
TakeOption = Annotated[
    str | None, typer.Option("--take", help="Kinds of files, with commas: fits, tiff, previews, sidecars.")
]
ProgramOption = Annotated[
    str | None,
    typer.Option("--program", help="The observing programme, e.g. 60.A-9009(D); comes before the telescope's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, and nothing else there.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
FrameArgument = Annotated[
    str, typer.Argument(help="Path at the telescope, file name, name in an archive, or digits of its digest.")
]


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"nightferry {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="The configuration file.", envvar="NIGHTFERRY_CONFIG")
    ] = None,
    version: Annotated[  # noqa: ARG001 - handled by its callback
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Remember what all commands share."""
    context.obj = config


@app.command()
def init(
    context: typer.Context,
    preset: Annotated[str | None, typer.Option(help="The make of telescope; see the presets' names.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the telescope.")] = None,
    source: Annotated[str | None, typer.Option(help="Where its files are, e.g. ftp://10.0.0.1/user.")] = None,
    library: Annotated[Path | None, typer.Option(help="The folder for the library.")] = None,
    user: Annotated[str | None, typer.Option(help="The user to log in as.")] = None,
    secret: Annotated[str | None, typer.Option(help="Where the password is: env:NAME, file:PATH.")] = None,
    credentials: Annotated[
        list[Path] | None, typer.Option("--from", help="Transfer scripts' .credentials.csh or .env, to move over from.")
    ] = None,
    host_key: Annotated[
        str | None, typer.Option(help="The fingerprint that an SFTP server's key must have: SHA256:...")
    ] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Take the telescope that is in reach.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Try the connection.")] = True,
    dry_run: DryRunOption = False,
) -> None:
    """Write a commented configuration: asks what it must, tests the connection."""
    from nightferry.cli.setup import Wishes, init_command

    given = tuple(credentials or ())
    wishes = Wishes(
        preset, name, source, library, user, secret, host_key=host_key, discover=discover, test=test, dry_run=dry_run,
        credentials=given,
    )  # fmt: skip
    init_command(context.obj, wishes)


@app.command()
def presets(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="The one to explain; all are listed when none is given.")] = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the preset's file, to start one's own from.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the telescopes we know, or explain one."""
    from nightferry.cli.finding import presets_command

    presets_command(context.obj, name, as_toml=as_toml, as_json=as_json)


@app.command()
def discover(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Presets to look for; all when none is given.")] = None,
    hosts: Annotated[str | None, typer.Option("--range", help="Try every host of it too, e.g. 192.168.1.0/24.")] = None,
    folder: Annotated[list[Path] | None, typer.Option(help="Look here too, as on a mounted disk.")] = None,
    timeout: Annotated[str, typer.Option(help="How long a host may take to answer.")] = "1.5 s",
    as_json: JsonOption = False,
) -> None:
    """Look for telescopes at the addresses and on the disks where presets know them to be."""
    from nightferry.cli.finding import discover_command

    discover_command(
        context.obj, names or [], hosts=hosts or "", folders=folder or [], timeout=timeout, as_json=as_json
    )


@app.command()
def check(
    context: typer.Context,
    telescopes: Telescopes = None,
    service: Annotated[
        bool, typer.Option("--service", help="Fail also when nothing starts nightferry by itself.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check configuration, secrets, stores, free space, ledger, alerts and what starts nightferry by itself."""
    from nightferry.cli.checking import check_command

    check_command(context.obj, telescopes or [], service=service, as_json=as_json)


@app.command()
def service(
    context: typer.Context,
    timer: Annotated[bool, typer.Option("--timer", help="Once a day instead of watching.")] = False,
    cron: Annotated[bool, typer.Option("--cron", help="Print a line for cron instead.")] = False,
    at: Annotated[str, typer.Option(help="The time of day, HH:MM, for --timer and --cron.")] = "13:45",
    into: Annotated[Path | None, typer.Option(help="The folder for systemd's units; else yours, or root's.")] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Have nightferry run by itself: write systemd's units, or print a line for cron."""
    from nightferry.cli.serving import service_command

    service_command(context.obj, timer=timer, cron=cron, at=at, into=into, dry_run=dry_run)


@app.command()
def run(
    context: typer.Context,
    telescopes: Telescopes = None,
    night: NightOption = None,
    until: Annotated[
        str, typer.Option(help="The last step: pull, verify, another of the route, deliver or clear.")
    ] = "clear",
    take: TakeOption = None,
    program: ProgramOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make one pass: carry the nights' frames as far as they can be carried now."""
    from nightferry.cli.carrying import run_command

    run_command(
        context.obj,
        telescopes or [],
        night,
        until=until,
        take=take,
        program=program or "",
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def retry(
    context: typer.Context,
    telescopes: Telescopes = None,
    program: ProgramOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Try again now what failed, without waiting for the next try."""
    from nightferry.cli.carrying import retry_command

    retry_command(context.obj, telescopes or [], program=program or "", dry_run=dry_run, as_json=as_json)


@app.command()
def watch(
    context: typer.Context,
    telescopes: Telescopes = None,
    take: TakeOption = None,
    program: ProgramOption = None,
    every: Annotated[str | None, typer.Option(help="Pause between two looks, e.g. '5 min'.")] = None,
    empty: Annotated[int | None, typer.Option(min=1, help="Stop (or alert) after so many empty looks.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Carry frames as they come, until stopped."""
    from nightferry.cli.carrying import run_command, watch_command

    if dry_run:  # what the first look would do
        run_command(
            context.obj,
            telescopes or [],
            ["all"],
            until="clear",
            take=take,
            program=program or "",
            dry_run=True,
            as_json=as_json,
        )

    watch_command(
        context.obj, telescopes or [], take=take, program=program or "", every=every, empty=empty, as_json=as_json
    )


@app.command()
def status(
    context: typer.Context,
    telescopes: Telescopes = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many nights of each telescope.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show every telescope's last nights on one screen."""
    from nightferry.cli.status import status_command

    status_command(context.obj, telescopes or [], last=last, as_json=as_json)


@app.command()
def nights(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the balance of every night."""
    from nightferry.cli.asking import nights_command

    nights_command(context.obj, telescope, as_json=as_json)


@app.command()
def night(
    context: typer.Context,
    telescope: Telescope,
    night: OneNight,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each frame of one night."""
    from nightferry.cli.asking import night_command

    night_command(context.obj, telescope, night, as_json=as_json)


@app.command()
def why(context: typer.Context, frame: FrameArgument, as_json: JsonOption = False) -> None:
    """Show one frame's whole history."""
    from nightferry.cli.asking import why_command

    why_command(context.obj, frame, as_json=as_json)


@app.command()
def held(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the frames that wait for a person, and why."""
    from nightferry.cli.asking import held_command

    held_command(context.obj, telescope, as_json=as_json)


@app.command()
def release(
    context: typer.Context,
    frame: FrameArgument,
    why: Annotated[str, typer.Option("--why", help="The reason, kept in the ledger.")],
    drop: Annotated[bool, typer.Option("--drop", help="Leave the frame out from now on.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Let a held frame go on, or drop it, for a reason."""
    from nightferry.cli.asking import release_command

    release_command(context.obj, frame, why, drop=drop, dry_run=dry_run, as_json=as_json)


@app.command()
def clear(
    context: typer.Context,
    telescope: Telescope,
    night: NightOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete at the source what is proven delivered, and say why not for the rest."""
    from nightferry.cli.proving import clear_command

    clear_command(context.obj, telescope, night or ["all"], dry_run=dry_run, as_json=as_json)


@app.command()
def audit(
    context: typer.Context,
    telescope: Annotated[str | None, typer.Argument(help="A telescope's name; all when none is given.")] = None,
    night: NightOption = None,
    sample: Annotated[str, typer.Option(help="The share of frames to read, e.g. 5%.")] = "100%",
    as_json: JsonOption = False,
) -> None:
    """Read back what was delivered and compare it with the ledger."""
    from nightferry.cli.proving import audit_command

    audit_command(context.obj, telescope, night or ["all"], sample=sample, as_json=as_json)


@app.command()
def restore(
    context: typer.Context,
    frame: Annotated[
        str, typer.Argument(help="As for why: path, name or digits of the digest; or a standard frame's file.")
    ],
    into: Annotated[Path, typer.Option(help="The folder for the raw file.")],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a frame's raw file, byte for byte."""
    from nightferry.cli.proving import restore_command

    restore_command(context.obj, frame, into, dry_run=dry_run, as_json=as_json)


@app.command()
def alerts(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(help="list (what people were told), send (what waits), test (send one).")
    ] = "list",
    last: Annotated[int, typer.Option("--last", min=1, help="How many to show.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show what people were told; send what waits, or a test."""
    from nightferry.cli.telling import alerts_command

    alerts_command(context.obj, what, last=last, as_json=as_json)


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


@index_app.command("status")
def index_status(
    context: typer.Context,
    index: Annotated[list[Path] | None, typer.Option(help="A folder to look in, too; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which fields can be solved: engines, index files, telescopes."""
    from nightferry.cli.indexing import index_status_command

    index_status_command(context.obj, index or [], as_json=as_json)


@index_app.command("build")
def index_build(
    around: Annotated[list[str], typer.Option(help="A field's centre in degrees: RA,DEC; may be repeated.")],
    catalog: Annotated[Path, typer.Option(help="A catalogue of stars: CSV, FITS or VOTable.")],
    radius: Annotated[str, typer.Option(help="How far around each centre.")] = "1 deg",
    field: Annotated[str, typer.Option(help="The smaller side of the frames.")] = "12 arcmin",
    epoch: Annotated[float | None, typer.Option(help="The year that proper motions move the stars to.")] = None,
    name: Annotated[str, typer.Option(help="A word in the files' names.")] = "own",
    into: Annotated[Path | None, typer.Option(help="The folder; else nightferry's own.")] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build small index files for a few fields from a catalogue."""
    from nightferry.cli.indexing import Build, index_build_command

    index_build_command(Build(tuple(around), catalog, radius, field, epoch, name, into, dry_run, as_json))


@index_app.command("download")
def index_download(
    context: typer.Context,
    telescopes: Annotated[list[str] | None, typer.Argument(help="For the fields of these; else of all.")] = None,
    field: Annotated[list[str] | None, typer.Option(help="Smaller side of other frames; may be repeated.")] = None,
    scales: Annotated[str | None, typer.Option(help="Scales of the series, such as 3,4, in place of fields.")] = None,
    series: Annotated[str | None, typer.Option(help="4100, 4200 or 5200-LITE; else the best for each scale.")] = None,
    source: Annotated[str | None, typer.Option(help="Another address that has the series' files.")] = None,
    into: Annotated[Path | None, typer.Option(help="The folder; else nightferry's own.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch without asking.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch public index files for fields of view, after telling what and how much, and asking."""
    from nightferry.cli.downloading import Wanted, index_download_command

    wanted = Wanted(
        tuple(telescopes or ()),
        tuple(field or ()),
        scales or "",
        series or "",
        source or "",
        into,
        yes,
        dry_run,
        as_json,
    )
    index_download_command(context.obj, wanted)


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


def main() -> None:
    """Run the command line; the entry point of the ``nightferry`` command."""
    from nightferry.cli.exits import guarded

    # Start-up makes some 100,000 lasting objects, and each full collection walks them all for nothing (a tenth of
    # the start-up time); what a pass leaves behind is freed by its reference counts.
    gc.set_threshold(100_000, 20, 50)
    guarded(app)


if __name__ == "__main__":
    main()
