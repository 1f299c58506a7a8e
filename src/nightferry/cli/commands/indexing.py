"""The files that solving needs: index status, build, download."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry.cli.commands.options import DryRunOption, JsonOption

app = typer.Typer(no_args_is_help=True, help="The index files that solving needs.", rich_markup_mode=None)


@app.command("status")
def index_status(
    context: typer.Context,
    index: Annotated[list[Path] | None, typer.Option(help="A folder to look in, too; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which fields can be solved: engines, index files, telescopes."""
    from nightferry.cli.indexing import index_status_command

    index_status_command(context.obj, index or [], as_json=as_json)


@app.command("build")
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


@app.command("download")
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
