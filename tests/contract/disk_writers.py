"""All of nightferry that writes files which have to last, each as one function that writes into a folder.

What they write is the same at each call, so that a reference run tells what has to stand there in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast
from unittest import mock

from nightferry.books import copies, nights
from nightferry.core.context import Context, Site
from nightferry.core.errors import NightferryError, Occupied, TryAgain
from nightferry.core.frame import Fact, Frame, FrameId, Role, Sighting
from nightferry.core.instant import parse_instant
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Result
from nightferry.core.store import Load, StorePath
from nightferry.cubes import Settings as Reading
from nightferry.cubes import read_source
from nightferry.headers.canonical import Wcs
from nightferry.ledger.place import prepare_file
from nightferry.passes import restore
from nightferry.solving import building, download
from nightferry.solving.cards import write_solution
from nightferry.solving.series import Wish
from nightferry.steps.claims import claim
from nightferry.steps.cube import CubeSettings, Input, make_cubes, plan_cubes, split_file
from nightferry.steps.fetchback import fetch_back
from nightferry.steps.night_cubes import Cube
from nightferry.steps.products import TRAITS
from nightferry.steps.pull import Pull
from nightferry.steps.rebuild import digest_of, restore_raw
from nightferry.steps.shelf import Shelf
from nightferry.steps.standard_frames import Standardise
from nightferry.steps.standardise import Settings, standardise_file
from nightferry.stores.local import LocalStore
from nightferry.stores.memory import MemoryDisk, MemoryFile, MemoryStore
from tests.astra import astra_frame

if TYPE_CHECKING:
    from nightferry.solving.model import Solution

NIGHT = Night("callisto", date(2026, 2, 22))
WRITTEN = "2026-03-01T12:00:00.000000"
CONTEXT = Context(
    "callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "ESO-PARANAL", "Astra", "SPECULOOS", "60.A-9009(D)",
    Site(-24.61596, -70.3903, 2482.0), written=parse_instant(WRITTEN)[0],
)  # fmt: skip
FRAME = astra_frame("light", number=0, size=(16, 12))
TIME_US = 1_789_161_037_000_000
INDEX = b"an index file " * 5000
HISTORY = b"nightferry solve"
NOTES = "".join(f"book-{n % 3}\t{n}\t{n}\n" for n in range(1100)).encode()


@dataclass(frozen=True)
class Writer:
    """One that writes. ``before`` stands in its folder already; what it names itself it ``replaces``, or never does.

    ``parts`` are names, beside those of `nightferry.disk.parts`, of unfinished files that a rerun goes on from or
    takes away; ``stays`` those that may stand there for ever.
    """

    name: str
    write: Callable[[Path, Path], object]
    replaces: bool = False
    before: dict[str, bytes] = field(default_factory=dict)
    parts: str = r"(?!)"
    stays: str = r"(?!)"

    def is_part(self, path: str) -> bool:
        """Whether this writer may leave such a file when it is killed."""
        return re.fullmatch(self.parts, path) is not None or self.may_stay(path)

    def may_stay(self, path: str) -> bool:
        """Whether such a file may be there in the end, beside what was written."""
        return re.fullmatch(self.stays, path) is not None


def prepare(given: Path) -> None:
    """Make what the writers read."""
    (given / "raw").mkdir(parents=True)
    (given / "std").mkdir()
    (given / "cubes").mkdir()
    settings = Settings(CONTEXT, durable=False)
    for number in range(5):
        raw = given / "raw" / f"{number}.fits"
        raw.write_bytes(astra_frame("light", number=number, size=(16, 12)))
        standardise_file(raw, given / "std", settings)
    plan = plan_cubes([Input(file) for file in sorted((given / "std").iterdir())], CubeSettings(CONTEXT, durable=False))
    (made,) = make_cubes(plan, given / "cubes", CubeSettings(CONTEXT, durable=False))
    assert made.file is not None
    made.file.rename(given / "cube.fits")
    (given / "index").write_bytes(INDEX)
    done = standardise_file(_raws(given)[0], given / "cubes", settings)
    (given / "recipe").write_text(done.recipe)
    done.file.rename(given / "product.fits")


def _done(results: Iterable[Result]) -> None:
    for result in results:
        if result.outcome is not Outcome.DONE:
            raise TryAgain(f"{result.outcome}: {result.reason}")


def _raws(given: Path, count: int = 5) -> list[Path]:
    return sorted((given / "raw").iterdir())[:count]


def _pull(count: int) -> Callable[[Path, Path], None]:
    def write(out: Path, given: Path) -> None:
        disk = MemoryDisk()
        seen = []
        for raw in _raws(given, count):
            path = StorePath(f"20260222/{raw.name}")
            disk.files[path] = MemoryFile(raw.read_bytes(), TIME_US)
            seen.append(Sighting(NIGHT, path, raw.stat().st_size, TIME_US, TIME_US))
        shelf = Shelf(out / "shelf")
        shelf.require_room(1)
        _done(Pull(MemoryStore(disk, "memory:telescope"), shelf)(seen))

    return write


def _put(*, link: bool) -> Callable[[Path, Path], None]:
    def write(out: Path, given: Path) -> None:
        loads = [Load(raw, StorePath(f"night/{raw.stem}/a.fits")) for raw in _raws(given, 3)]
        for load, answer in zip(loads, LocalStore(out, link=link).put(loads), strict=True):
            whole = (out / load.target).is_file() and (out / load.target).read_bytes() == load.source.read_bytes()
            if isinstance(answer, NightferryError) and not whole:
                raise answer

    return write


@contextmanager
def _as_before(target: Path, data: bytes = b"") -> Iterator[None]:
    """Take "the name is taken" for done where an earlier call wrote that very file."""
    try:
        yield
    except Occupied:
        there = target.read_bytes()
        if there != data if data else HISTORY not in there:
            raise


def _raw_frame(raw: Path) -> Frame:
    identity = FrameId(raw.stem.ljust(32, "0"))
    facts: dict[str, Fact] = {"standardise.written": WRITTEN, "standardise.bump": 0}
    return Frame(
        identity, digest_of(raw), raw.stat().st_size, NIGHT, StorePath(f"20260222/{raw.name}"), Role.RAW, raw, facts
    )


def _standardise(out: Path, given: Path) -> None:
    _done(Standardise(Shelf(out), Settings(CONTEXT))([_raw_frame(raw) for raw in _raws(given, 2)]))


def _standardise_file(out: Path, given: Path) -> None:
    standardise_file(_raws(given)[0], out, Settings(CONTEXT))


def _restore(out: Path, given: Path) -> None:
    raw = _raws(given)[0]
    product, recipe = _product(given)
    with _as_before(out / "again.fits", raw.read_bytes()):
        restore_raw(product, recipe, out / "again.fits", digest=digest_of(raw))


def _product(given: Path) -> tuple[Path, str]:
    """Give a standard frame and the way back from it."""
    return given / "product.fits", (given / "recipe").read_text()


def _restore_from_archive(out: Path, given: Path) -> None:
    raw = _raw_frame(_raws(given)[0])
    product, recipe = _product(given)
    disk = MemoryDisk({StorePath("a.fits"): MemoryFile(product.read_bytes(), TIME_US)})
    store = MemoryStore(disk, "memory:library")
    copy = restore._Copy("library", None, store, StorePath("a.fits"), digest_of(product), recipe)
    with _as_before(out / "raw.fits", raw.file.read_bytes()):
        restore._restore_from(copy, out / "raw.fits", raw)


def _restore_from_shelf(out: Path, given: Path) -> None:
    raw = _raw_frame(_raws(given)[0])
    copy = restore._Copy("shelf", raw.file, None, StorePath(""), raw.digest, "")
    with _as_before(out / "raw.fits", raw.file.read_bytes()):
        restore._restore_from(copy, out / "raw.fits", raw)


def _fetch_back(out: Path, given: Path) -> None:
    raw = _raws(given)[0]
    disk = MemoryDisk({StorePath("a.fits"): MemoryFile(raw.read_bytes(), TIME_US)})
    fetch_back(MemoryStore(disk, "memory:library"), StorePath("a.fits"), digest_of(raw), out / "standard" / "raw")


def _make_cubes(out: Path, given: Path) -> None:
    settings = CubeSettings(CONTEXT)
    for made in make_cubes(
        plan_cubes([Input(file) for file in sorted((given / "std").iterdir())], settings), out, settings
    ):
        if made.error is not None:
            raise made.error


def _split(out: Path, given: Path) -> None:
    list(split_file(given / "cube.fits", out))


def _night_cube(out: Path, given: Path) -> None:
    frames = [
        Frame(
            FrameId(f"{number:032d}"),
            digest_of(file),
            file.stat().st_size,
            NIGHT,
            StorePath(f"20260222/{file.name}"),
            Role.STANDARD,
            file,
            {TRAITS: read_source(file, Reading()).traits.text()},
        )
        for number, file in enumerate(sorted((given / "std").iterdir()))
    ]
    step = Cube(Shelf(out), CubeSettings(CONTEXT, "eso"))
    ((group,), _) = step.groups(frames)
    _done([step(replace(group, memory={"written": WRITTEN}), FrameId("1" * 32))])


def _solution() -> Solution:
    wcs = Wcs(("RA---TAN", "DEC--TAN"), (8.0, 6.0), (56.5, 24.1), (1e-4, 0.0, 0.0, 1e-4))
    fit = SimpleNamespace(matches=SimpleNamespace(count=40), expected=50, rms=0.3)
    return cast("Solution", SimpleNamespace(wcs=wcs, fit=fit, chance=1e-9, engine="e", index="i"))


def _solve_into(out: Path, given: Path) -> None:
    with _as_before(out / "solved.fits"):
        write_solution(_raws(given)[0], _solution(), target=out / "solved.fits")


def _solve_write(out: Path, given: Path) -> None:
    write_solution(out / "raw.fits", _solution())


def _download(out: Path, given: Path) -> None:
    wish = Wish("index-4107.fits", "http://127.0.0.1:1/index-4107.fits", 1.0, 2.0)
    whole = (given / "index").read_bytes()

    def piece(_offer: object, start: int, _cut: object, write: Callable[[bytes], object], _told: object) -> bool:
        for at in range(start, len(whole), 20_000):
            write(whole[at : at + 20_000])
        return True

    with (
        mock.patch.object(download, "_piece", piece),
        mock.patch.object(download, "_is_whole", lambda path, _wish: path.is_file() and path.read_bytes() == whole),
    ):
        _fetch(wish, len(whole), out)


def _fetch(wish: Wish, size: int, out: Path) -> None:
    there = (out / "index" / wish.name).is_file()
    download.fetch([download.Offer(wish, size, "e", "", None, there)], out / "index")


def _build(out: Path, given: Path) -> None:
    with mock.patch.object(building, "read_index", lambda path: path if path.read_bytes() == INDEX else None):
        building._landed(given / "index", out / "index-1.fits")


def _book(out: Path, given: Path) -> None:
    nights._write(out / "callisto" / "20260222" / "transferred", ["# head", "a.fits\tlibrary\tb.fits\t00"])


def _notes(out: Path, given: Path) -> None:
    copies._noted(out / ".copied-to-vault")


def _claim(out: Path, given: Path) -> None:
    claim(out / "names", "a.fits", FrameId("1" * 32))


def _ledger(out: Path, given: Path) -> None:
    prepare_file(out / "data" / "ledger.db")


_SHELF_PART = r"shelf/.*/[0-9a-f]{32}\.part"
WRITERS = (
    Writer("pull of a few", _pull(2), replaces=True, parts=_SHELF_PART),
    Writer("pull of many", _pull(5), replaces=True, parts=_SHELF_PART),
    Writer("put by link", _put(link=True)),
    Writer("put by copy", _put(link=False)),
    Writer("standardise on the shelf", _standardise, replaces=True, parts=r".*/standard/[0-9a-z]{32}\.[0-9a-f]+\.part"),
    Writer("standardise a file", _standardise_file),
    Writer("restore", _restore),
    Writer("restore from an archive", _restore_from_archive),
    Writer("restore from the shelf", _restore_from_shelf),
    Writer("fetch back", _fetch_back, replaces=True),
    Writer("cubes", _make_cubes),
    Writer("split", _split),
    Writer("cube on the shelf", _night_cube, replaces=True),
    Writer("solve into", _solve_into),
    Writer("solve write", _solve_write, replaces=True, before={"raw.fits": FRAME}),
    Writer(
        "index download", _download, replaces=True, parts=r"index/index-4107\.fits\.[0-9a-f]{12}\.part",
        stays=r"index/\.download\.lock",
    ),
    Writer("index building", _build, replaces=True),
    Writer("books", _book, replaces=True, before={"callisto/20260222/transferred": b"# old\n"}),
    Writer("notes of the books' copies", _notes, replaces=True, before={".copied-to-vault": NOTES}),
    Writer("claims", _claim),
    Writer("ledger", _ledger),
)  # fmt: skip
