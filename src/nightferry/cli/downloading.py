"""``index download``: the public series of index files, told by size and source first, fetched with consent only."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nightferry.cli.indexing import fields_of
from nightferry.cli.show import Json, say, say_json, size_text
from nightferry.config import config_path, load
from nightferry.config.units import arcminutes
from nightferry.core.errors import Misconfigured
from nightferry.solving.download import Offer, fetch, look
from nightferry.solving.indexes import own_folder
from nightferry.solving.series import Wish, scales_for, wishes_for


class Wanted(NamedTuple):
    """What the options of ``index download`` ask for."""

    telescopes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    scales: str = ""
    series: str = ""
    source: str = ""
    into: Path | None = None
    yes: bool = False
    dry_run: bool = False
    as_json: bool = False


def index_download_command(config: Path | None, wanted: Wanted) -> None:
    """Tell what would be fetched, from where and how much; then fetch it, where a person says yes."""
    wishes = wishes_for(_scales(config, wanted), wanted.series, wanted.source)
    folder = wanted.into or own_folder()
    if not wanted.as_json:
        say(f"asking {_places(wishes)} for {len(wishes)} files")
    offers = look(wishes, folder)
    coming = [offer for offer in offers if not offer.there]
    _tell(offers, coming, folder, wanted)
    if wanted.dry_run or not coming:
        return
    if not wanted.yes:
        _ask(wanted)
    with _progress(sum(offer.left for offer in coming), quiet=wanted.as_json) as told:
        paths = fetch(coming, folder, told)
    for path in paths:
        if wanted.as_json:
            say_json({"file": str(path), "outcome": "fetched", "bytes": path.stat().st_size})
    if not wanted.as_json:
        say(f"{len(paths)} index files fetched into {folder}; see: nightferry index status", "green")


def _scales(config: Path | None, wanted: Wanted) -> list[int]:
    """Tell the scales that are asked for: by number, by fields, or by the fields of the configured telescopes."""
    if wanted.scales:
        if wanted.fields or wanted.telescopes:
            raise Misconfigured("--scales says what to fetch: leave out telescopes and --field")
        try:
            return [int(text) for text in wanted.scales.split(",")]
        except ValueError as err:
            raise Misconfigured(f"--scales {wanted.scales!r}: expected numbers such as 3,4") from err
    try:
        sides = [arcminutes(text) for text in wanted.fields]
    except ValueError as err:
        raise Misconfigured(f"--field: {err}") from err
    if wanted.telescopes or not sides:
        sides += _configured(config, wanted.telescopes)
    return sorted({scale for side in sides for scale in scales_for(side)})


def _configured(config: Path | None, names: Sequence[str]) -> list[float]:
    place = config or config_path()
    if not place.is_file():
        raise Misconfigured(f"there is no configuration {place} that tells of fields: say --field, or --scales")
    loaded = load(place)
    known = dict(fields_of(loaded))
    for name in names:
        if name not in loaded.telescope:
            raise Misconfigured(f"there is no telescope {name!r} in {place}; it has {', '.join(loaded.telescope)}")
    lacking = [name for name in names or loaded.telescope if name not in known]
    if lacking and (names or not known):
        raise Misconfigured(
            f"the field of {', '.join(lacking)} is not told: set telescope.{lacking[0]}.solve.field, or say --field"
        )
    return [side for name, side in known.items() if not names or name in names]


def _places(wishes: Sequence[Wish]) -> str:
    return " and ".join(dict.fromkeys(wish.url.rpartition("/")[0] for wish in wishes))


def _tell(offers: Sequence[Offer], coming: Sequence[Offer], folder: Path, wanted: Wanted) -> None:
    if wanted.as_json:
        for offer in offers:
            say_json(_as_json(offer, folder))
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
    say(f"would fetch {said}" if wanted.dry_run else f"to fetch: {said}")


def _as_json(offer: Offer, folder: Path) -> dict[str, Json]:
    return {
        "file": str(folder / offer.wish.name),
        "outcome": "here" if offer.there else "planned",
        "url": offer.wish.url,
        "bytes": offer.size,
        "left": None if offer.size is None else offer.left,
    }


def _ask(wanted: Wanted) -> None:
    """Go on for a plain yes only; where nobody can be asked, nobody agreed."""
    if wanted.as_json or not sys.stdin.isatty():
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
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("", total=total or None)

        def told(name: str, more: int) -> None:
            bar.update(task, description=name, advance=more)

        yield told
