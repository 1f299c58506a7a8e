"""Index: which fields can be solved, small index files for a few of them, and the public ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nightferry.assemble import solve_settings
from nightferry.config import Config, ResolvedTelescope, config_path, load
from nightferry.core.errors import Held, Misconfigured
from nightferry.solving.building import Order, build
from nightferry.solving.download import Offer, fetch, look
from nightferry.solving.engines import engine_names, load_engine
from nightferry.solving.frame import shelved
from nightferry.solving.indexes import Index, find_indexes, own_folder, star_table, usual_folders
from nightferry.solving.series import scales_for, wishes_for

_WHOLE_SKY = 179.0


@dataclass(frozen=True, slots=True)
class TelescopeField:
    """The smaller side of a telescope's frames in arcminutes, and the index files that serve it."""

    telescope: str
    side: float
    indexes: tuple[Index, ...]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The engines that would work, the index files that are here, and the telescopes' fields that they cover."""

    engines: Sequence[str]
    folders: Sequence[Path]
    indexes: Sequence[Index]
    damaged: Sequence[str]
    fields: Sequence[TelescopeField]

    @property
    def complete(self) -> bool:
        """Whether there are index files, all of them are whole, and every telescope's field is covered."""
        return bool(self.indexes) and not self.damaged and all(field.indexes for field in self.fields)


def index_status(place: Path | None = None, folders: Sequence[Path] = ()) -> IndexStatus:
    """Return which fields can be solved; ``folders`` are looked in, too.

    ``place`` is the configuration's file, None for the usual one; there may be none yet.
    """
    where = place or config_path()
    loaded = load(where) if where.is_file() else None
    more = [path for section in (loaded.telescope.values() if loaded else ()) for path in section.solve.index or ()]
    shelf = find_indexes([*folders, *(path.expanduser() for path in more if path.expanduser().exists())])
    fields = fields_of(loaded).items() if loaded else ()
    return IndexStatus(
        engine_names(),
        shelf.folders,
        shelf.indexes,
        shelf.damaged,
        [
            TelescopeField(name, side, tuple(index for index in shelf.indexes if index.serves(side)))
            for name, side in fields
        ],
    )


def index_extent(index: Index) -> str:
    """Return in words which part of the sky an index file covers, or why that cannot be read."""
    try:
        ra, dec, radius = star_table(index.path).extent()
    except Held as err:
        return str(err)
    return "the whole sky" if radius > _WHOLE_SKY else f"within {radius:.1f} degrees of {ra:.2f} {dec:+.2f}"


def index_folder(into: Path | None = None) -> Path:
    """Return the folder that index files are put into: this one, else nightferry's own."""
    return into or own_folder()


def index_folders() -> Sequence[Path]:
    """Return the folders where index files are looked for."""
    return usual_folders()


def fields_of(config: Config) -> dict[str, float]:
    """Return the smaller side of each telescope's field in arcminutes, where configuration or preset says it."""
    sides = {name: telescope.solve.field for name, telescope in config.resolved.items()}
    return {name: side for name, side in sides.items() if side is not None}


def index_build(order: Order, into: Path | None = None) -> Iterator[Index]:
    """Build small index files for a few fields from a catalogue of stars, and yield each.

    They go into a folder of nightferry's own, where none is named.
    """
    if not order.name.replace("-", "").replace("_", "").isalnum():
        raise Misconfigured(f"--name {order.name!r}: expected letters, digits, '-' and '_'")
    yield from build(order, into or own_folder())


def index_scales(place: Path | None = None, telescopes: Sequence[str] = (), sides: Sequence[float] = ()) -> list[int]:
    """Return the scales of index files that fields ask for: of these sides in arcminutes, and of these telescopes.

    Without sides and names, of all telescopes of the configuration at ``place``. Raises `Misconfigured` for a telescope
    that is not there, or whose field nobody says.
    """
    wanted = list(sides)
    if telescopes or not wanted:
        wanted += _configured(place, telescopes)
    return sorted({scale for side in wanted for scale in scales_for(side)})


def _configured(config: Path | None, names: Sequence[str]) -> list[float]:
    place = config or config_path()
    if not place.is_file():
        raise Misconfigured(f"there is no configuration {place} that tells of fields: say --field, or --scales")
    loaded = load(place)
    known = fields_of(loaded)
    for name in names:
        if name not in loaded.telescope:
            raise Misconfigured(f"there is no telescope {name!r} in {place}; it has {', '.join(loaded.telescope)}")
    lacking = [name for name in names or loaded.telescope if name not in known]
    if lacking and (names or not known):
        raise Misconfigured(
            f"the field of {', '.join(lacking)} is not told: set telescope.{lacking[0]}.solve.field, or say --field"
        )
    return [side for name, side in known.items() if not names or name in names]


@dataclass(frozen=True, slots=True)
class Download:
    """Index files that a source offers, those of them that are not here yet, and the folder they are for."""

    folder: Path
    offers: Sequence[Offer]

    @property
    def coming(self) -> list[Offer]:
        """Those that are still to be fetched."""
        return [offer for offer in self.offers if not offer.there]


def index_sources(scales: Sequence[int], series: str = "", source: str = "") -> list[str]:
    """Return the addresses of the public index files for these scales; nothing is asked for yet."""
    return [wish.url for wish in wishes_for(list(scales), series, source)]


def index_offers(scales: Sequence[int], series: str = "", source: str = "", into: Path | None = None) -> Download:
    """Ask the source of a series for the files of these scales, and return what and how much it offers.

    ``series`` is 4100, 4200 or 5200-LITE, else the best for each scale.
    """
    folder = into or own_folder()
    return Download(folder, look(wishes_for(list(scales), series, source), folder))


def index_download(
    download: Download, moved: Callable[[str, int], object] = lambda _name, _count: None
) -> Sequence[Path]:
    """Fetch what is not here yet, and return the files; ``moved`` is called with a file's name and a count of bytes."""
    return fetch(download.coming, download.folder, moved)


def solver_text(telescope: ResolvedTelescope) -> str:
    """Return in words which engine will solve a telescope's frames, with which index files.

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
