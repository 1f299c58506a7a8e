"""``index``: which fields can be solved, and small index files for a few of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from nightferry.assemble import solve_settings
from nightferry.cli.exits import DONE, HELD
from nightferry.cli.show import Cell, Json, say, say_json, table
from nightferry.cli.solving import read_place
from nightferry.config import ResolvedTelescope, config_path, load
from nightferry.config.model import Config
from nightferry.config.units import arcminutes, degrees
from nightferry.core.errors import Held, Misconfigured
from nightferry.solving.building import Order, build
from nightferry.solving.engines import engine_names, load_engine
from nightferry.solving.frame import shelved
from nightferry.solving.indexes import Index, Shelf, find_indexes, own_folder, star_table, usual_folders

_WHOLE_SKY = 179.0
#: Where index files come from; nothing of it is ever fetched unasked.
_SERIES = (
    ("fields of 0.7 degrees and more", "apt-get install astrometry-data-tycho2-07-littleendian", "Debian: 88 MB"),
    ("any other field", "nightferry index download --field SIDE", "tells first how much: 0.1 to 10 GB"),
    ("a few fields of any size", "nightferry index build --around RA,DEC --catalog FILE", "under 1 MB each"),
)


def index_status_command(config: Path | None, places: Sequence[Path], *, as_json: bool) -> None:
    """Tell which engine would work, which index files there are, and which telescopes' fields they cover."""
    place = config or config_path()
    loaded = load(place) if place.is_file() else None
    more = [path for section in (loaded.telescope.values() if loaded else ()) for path in section.solve.index or ()]
    shelf = find_indexes([*places, *(path.expanduser() for path in more if path.expanduser().exists())])
    fields = dict(fields_of(loaded)) if loaded else {}
    if as_json:
        say_json({"engines": engine_names(), "folders": [str(folder) for folder in shelf.folders]})
        for index in shelf.indexes:
            say_json({**_as_json(index), "where": _where(index)})
        for text in shelf.damaged:
            say_json({"damaged": text})
        for name, side in fields.items():
            say_json({"telescope": name, "field_arcmin": side, "covered": bool(_serving(shelf, side))})
    else:
        _show_status(shelf, fields)
    lacking = shelf.damaged or not shelf.indexes or any(not _serving(shelf, side) for side in fields.values())
    raise typer.Exit(HELD if lacking else DONE)


def _show_status(shelf: Shelf, fields: dict[str, float]) -> None:
    say(f"engines: {', '.join(engine_names()) or 'none; pip install nightferry[solve]'}")
    if shelf.indexes:
        table(
            ("index file", "for fields of", "stars", "where"),
            [_row(index) for index in shelf.indexes],
            numbers=("stars",),
        )
    else:
        say("no index files in:", "red")
        for folder in usual_folders():
            say(f"    {folder}")
    for text in shelf.damaged:
        say(f"damaged: {text}", "red")
    for name, side in fields.items():
        serving = _serving(shelf, side)
        told = ", ".join(index.path.name for index in serving) or "no index file covers it"
        say(f"{name}: fields of {side:g} arcmin: {told}", "" if serving else "red")
    if not shelf.indexes or any(not _serving(shelf, side) for side in fields.values()):
        say("where index files come from:")
        for what, how, size in _SERIES:
            say(f"    {what}: {how} ({size})")


def _as_json(index: Index) -> dict[str, Json]:
    return {
        "file": str(index.path),
        "fields_arcmin": [round(side, 1) for side in index.fields],
        "stars": index.stars,
    }


def _row(index: Index) -> list[Cell]:
    low, high = index.fields
    return [str(index.path), f"{low:.0f} to {high:.0f} arcmin", f"{index.stars:,}", _where(index)]


def _where(index: Index) -> str:
    try:
        ra, dec, radius = star_table(index.path).extent()
    except Held as err:
        return str(err)
    return "the whole sky" if radius > _WHOLE_SKY else f"within {radius:.1f} degrees of {ra:.2f} {dec:+.2f}"


def fields_of(config: Config) -> Iterator[tuple[str, float]]:
    """Return the smaller side of each telescope's field in arcminutes, where configuration or preset says it."""
    for name, telescope in config.resolved.items():
        if telescope.solve.field is not None:
            yield name, telescope.solve.field


def _serving(shelf: Shelf, side: float) -> list[Index]:
    return [index for index in shelf.indexes if index.serves(side)]


def solver_told(telescope: ResolvedTelescope) -> str:
    """Say for ``check`` which engine will solve a telescope's frames, with which index files.

    Raises `Misconfigured` when there is no engine, no index file, or none for its field.
    """
    settings = solve_settings(telescope)
    engine = load_engine(settings.engine).name
    indexes = shelved(settings.indexes, usual=settings.usual)
    side = telescope.solve.field
    if side is None:
        return f"engine {engine}, {len(indexes)} index files; the field's size is not told (solve.field)"
    serving = [index.path.name for index in indexes if index.serves(side)]
    if not serving:
        raise Misconfigured(
            f"engine {engine}, but no index file covers fields of {side:g} arcmin: nightferry index status"
        )
    more = f" and {len(serving) - 3} more" if len(serving) > 3 else ""  # noqa: PLR2004 - a few names tell enough
    return f"engine {engine}; for fields of {side:g} arcmin: {', '.join(serving[:3])}{more}"


class Build(NamedTuple):
    """What the options of ``index build`` ask for."""

    around: tuple[str, ...]
    catalog: Path
    radius: str
    field: str
    epoch: float | None
    name: str
    into: Path | None
    dry_run: bool
    as_json: bool


def index_build_command(wanted: Build) -> None:
    """Build index files for a few fields from a catalogue of stars."""
    try:
        radius, field = degrees(wanted.radius), arcminutes(wanted.field)
    except ValueError as err:
        raise Misconfigured(str(err)) from err
    if not wanted.name.replace("-", "").replace("_", "").isalnum():
        raise Misconfigured(f"--name {wanted.name!r}: expected letters, digits, '-' and '_'")
    around = tuple(read_place(text, "--around") for text in wanted.around)
    order = Order(around, wanted.catalog, radius, field, wanted.epoch, wanted.name)
    folder = wanted.into or own_folder()
    if wanted.dry_run:
        say(f"would build index files for fields of {field:g} arcmin around {len(around)} places in {folder}")
        return
    for index in build(order, folder):
        if wanted.as_json:
            say_json({**_as_json(index), "quads": index.quads, "bytes": index.path.stat().st_size})
        else:
            low, high = index.fields
            say(f"{index.path}: {index.stars:,} stars, for fields of {low:.0f} to {high:.0f} arcmin")
