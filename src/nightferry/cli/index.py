"""``index status``, ``index build``, ``index download``: the files that solving needs."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, HELD
from nightferry.cli.options import DryRunOption, JsonOption, quantity, read_place
from nightferry.cli.show import Cell, Json, say, say_json, table
from nightferry.core.display import size_text
from nightferry.core.errors import Misconfigured

if TYPE_CHECKING:
    from nightferry.solving.download import Offer

#: Where index files come from; nothing of it is ever fetched unasked.
_SERIES = (
    ("fields of 0.7 degrees and more", "apt-get install astrometry-data-tycho2-07-littleendian", "Debian: 88 MB"),
    ("any other field", "nightferry index download --field SIDE", "tells first how much: 0.1 to 10 GB"),
    ("a few fields of any size", "nightferry index build --around RA,DEC --catalog FILE", "under 1 MB each"),
)

app = typer.Typer(no_args_is_help=True, help="The index files that solving needs.", rich_markup_mode=None)


@app.command("status")
def index_status(
    context: typer.Context,
    index: Annotated[list[Path] | None, typer.Option(help="A folder to look in, too; may be repeated.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which fields can be solved: engines, index files, telescopes."""
    found = api.index_status(context.obj, index or ())
    if as_json:
        say_json({"engines": list(found.engines), "folders": [str(folder) for folder in found.folders]})
        for one in found.indexes:
            say_json({**_index_json(one), "where": api.index_extent(one)})
        for text in found.damaged:
            say_json({"damaged": text})
        for field in found.fields:
            say_json({"telescope": field.telescope, "field_arcmin": field.side, "covered": bool(field.indexes)})
    else:
        _show_status(found)
    raise typer.Exit(DONE if found.complete else HELD)


def _show_status(found: "api.IndexStatus") -> None:
    say(f"engines: {', '.join(found.engines) or 'none; pip install nightferry[solve]'}")
    if found.indexes:
        columns = ("index file", "for fields of", "stars", "where")
        table(columns, [_row(index) for index in found.indexes], numbers=("stars",))
    else:
        say("no index files in:", "red")
        for folder in api.index_folders():
            say(f"    {folder}")
    for text in found.damaged:
        say(f"damaged: {text}", "red")
    for field in found.fields:
        serving = ", ".join(index.path.name for index in field.indexes) or "no index file covers it"
        say(f"{field.telescope}: fields of {field.side:g} arcmin: {serving}", "" if field.indexes else "red")
    if not found.indexes or any(not field.indexes for field in found.fields):
        say("where index files come from:")
        for what, how, size in _SERIES:
            say(f"    {what}: {how} ({size})")


def _index_json(index: "api.Index") -> dict[str, Json]:
    return {
        "file": str(index.path),
        "fields_arcmin": [round(side, 1) for side in index.fields],
        "stars": index.stars,
    }


def _row(index: "api.Index") -> list[Cell]:
    low, high = index.fields
    return [str(index.path), f"{low:.0f} to {high:.0f} arcmin", f"{index.stars:,}", api.index_extent(index)]


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
    from nightferry.config.units import arcminutes, degrees

    places = tuple(read_place(text, "--around") for text in around)
    order = api.Order(places, catalog, quantity(degrees, radius), quantity(arcminutes, field), epoch, name)
    if dry_run:
        folder = api.index_folder(into)
        say(f"would build index files for fields of {order.field:g} arcmin around {len(places)} places in {folder}")
        return
    for index in api.index_build(order, into):
        if as_json:
            say_json({**_index_json(index), "quads": index.quads, "bytes": index.path.stat().st_size})
        else:
            low, high = index.fields
            say(f"{index.path}: {index.stars:,} stars, for fields of {low:.0f} to {high:.0f} arcmin")


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
    wanted = _scales(context.obj, telescopes or (), field or (), scales or "")
    urls = api.index_sources(wanted, series or "", source or "")
    if not as_json:
        places = " and ".join(dict.fromkeys(url.rpartition("/")[0] for url in urls))
        say(f"asking {places} for {len(urls)} files")
    found = api.index_offers(wanted, series or "", source or "", into)
    _show_offers(found, dry_run=dry_run, as_json=as_json)
    if dry_run or not found.coming:
        return
    if not yes:
        _ask(as_json=as_json)
    with _progress(sum(offer.left for offer in found.coming), quiet=as_json) as moved:
        paths = api.index_download(found, moved)
    for path in paths if as_json else ():
        say_json({"file": str(path), "outcome": "fetched", "bytes": path.stat().st_size})
    if not as_json:
        say(f"{len(paths)} index files fetched into {found.folder}; see: nightferry index status", "green")


def _scales(place: Path | None, telescopes: Sequence[str], fields: Sequence[str], scales: str) -> list[int]:
    """Return the scales that are asked for: by number, by fields, or by the fields of the configured telescopes."""
    from nightferry.config.units import arcminutes

    if not scales:
        return api.index_scales(place, telescopes, [quantity(arcminutes, text, "--field") for text in fields])
    if fields or telescopes:
        raise Misconfigured("--scales says what to fetch: leave out telescopes and --field")
    try:
        return [int(text) for text in scales.split(",")]
    except ValueError as err:
        raise Misconfigured(f"--scales {scales!r}: expected numbers such as 3,4") from err


def _show_offers(found: "api.Download", *, dry_run: bool, as_json: bool) -> None:
    offers, coming, folder = found.offers, found.coming, found.folder
    if as_json:
        for offer in offers:
            say_json(_offer_json(offer, folder))
        return
    for offer in offers:
        size = "size not told" if offer.size is None else size_text(offer.size)
        begun = f", {size_text(offer.begun)} of it here" if offer.begun else ""
        say(f"    {offer.wish.name}: {'here already' if offer.there else f'{size}{begun}'}")
    if not coming:
        say("nothing to fetch: all of them are here", "green")
        return
    unknown = sum(offer.size is None for offer in coming)
    more = f", and {unknown} files whose size the source does not tell" if unknown else ""
    said = f"{len(coming)} files, {sum(offer.left for offer in coming):,} bytes{more}, into {folder}"
    say(f"would fetch {said}" if dry_run else f"to fetch: {said}")


def _offer_json(offer: "Offer", folder: Path) -> dict[str, Json]:
    return {
        "file": str(folder / offer.wish.name),
        "outcome": "here" if offer.there else "planned",
        "url": offer.wish.url,
        "bytes": offer.size,
        "left": None if offer.size is None else offer.left,
    }


def _ask(*, as_json: bool) -> None:
    """Go on for a plain yes only; where nobody can be asked, nobody agreed."""
    if as_json or not sys.stdin.isatty():
        raise Misconfigured("nothing was fetched, for nobody agreed: say --yes")
    sys.stdout.write("Fetch them? yes or no [no]: ")
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Misconfigured("nothing was fetched")


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[str, int], object]]:
    """Draw a bar on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda _name, _more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total or None)

        def told(name: str, more: int) -> None:
            bar.update(task, description=name, advance=more)

        yield told
