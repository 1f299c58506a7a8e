"""Cubes of files: put a night's frames of one kind into one file, and take such a file apart again.

A cube is written beside its final name, read by nobody until it is whole, made durable, and given its name without
replacing anything. The same frames make no second cube; other frames of the same group make its next version.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import NamedTuple

from nightferry.core.context import Context
from nightferry.core.errors import Held, Misconfigured, NightferryError, Occupied
from nightferry.core.instant import instant_of
from nightferry.core.store import BUFFER_SIZE
from nightferry.cubes import Group, LeftOut, Plan, Source, Wishes, plan, read_source, split_cube, write_cube
from nightferry.cubes import Settings as Reading
from nightferry.cubes.head import Head, former_identity_of, identity_of, make_head
from nightferry.cubes.names import cube_name, is_cube_name
from nightferry.cubes.source import opened
from nightferry.cubes.split import Piece
from nightferry.cubes.write import Damaged
from nightferry.disk.errors import translated
from nightferry.disk.files import WholeFile, finish, name_new, part_beside
from nightferry.disk.parts import sweep_folder
from nightferry.disk.sync import sync_folder
from nightferry.formats.datasum import Datasum
from nightferry.formats.rewrite import read_unit, sealed
from nightferry.headers.canonical import Finding, ImageType
from nightferry.headers.dialects import load_dialect
from nightferry.headers.dialects.header import Header
from nightferry.headers.profiles import Profile, load_profile

Moved = Callable[[int], object]


def _nobody(_count: int) -> None:
    """Look on without a word."""


class Input(NamedTuple):
    """A file that may become a plane; ``name`` is its name where the file has another, ``digest`` its BLAKE3."""

    file: Path
    name: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class CubeSettings:
    """How cubes are made. An empty ``profile`` is that of the frames: ESO's where they have its cards."""

    context: Context = field(default_factory=Context)
    profile: str = ""
    reading: Reading = field(default_factory=Reading)
    wishes: Wishes = field(default_factory=Wishes)
    profiles: Path | None = None
    durable: bool = True

    def check(self) -> None:
        """Read profile and dialect; raise `Misconfigured` for a name that there is not, before anything is written."""
        if self.profile:
            self.loaded(self.profile)
        if self.reading.dialect:
            load_dialect(self.reading.dialect, self.reading.dialects)

    def profile_of(self, group: Group) -> Profile:
        """Give the profile of a group's cube."""
        return self.loaded(self.profile or ("eso" if group.sources[0].standard else "library"))

    def loaded(self, name: str) -> Profile:
        """Give the profile of cubes whose frames have the profile of that name."""
        found = load_profile(name, self.profiles)
        return load_profile(found.cube, self.profiles) if found.cube else found


@dataclass(frozen=True, slots=True)
class Cubed:
    """What became of a group: its cube, or the error that kept it from being made.

    ``planes`` are the sums of its planes; ``left`` the frames whose damage showed when they were read.
    """

    group: Group
    file: Path | None = None
    version: int = 1
    size: int = 0
    datasums: tuple[int, ...] = ()
    planes: tuple[int, ...] = ()
    findings: tuple[Finding, ...] = ()
    left: tuple[LeftOut, ...] = ()
    was_there: bool = False
    error: NightferryError | None = None


def plan_cubes(inputs: Sequence[Input], settings: CubeSettings) -> Plan:
    """Read all headers and sort the frames into cubes; every frame is in one of them, or left out with a reason."""
    sources: list[Source] = []
    left: list[LeftOut] = []
    for each in inputs:
        try:
            with translated(each.file, "the frame"):
                sources.append(read_source(each.file, settings.reading, name=each.name, digest=each.digest))
        except NightferryError as err:
            left.append(LeftOut(each.file, str(err)))
    made = plan(sources, settings.wishes)
    return Plan(made.groups, (*left, *made.left))


def make_cubes(made: Plan, folder: Path, settings: CubeSettings, moved: Moved = _nobody) -> Iterator[Cubed]:
    """Make all cubes of a plan in a folder, one after the other; one that cannot be made costs no other."""
    with translated(folder, "the folder for cubes"):
        sweep_folder(folder)
        shelf = _Library.of(folder)
    for group in made.groups:
        try:
            yield _make(group, shelf, settings, moved)
        except NightferryError as err:
            yield Cubed(group, error=err)


@dataclass(slots=True)
class _Library:
    """The cubes that a folder holds: by identity, the versions of each group, the names that are taken."""

    folder: Path
    cubes: dict[str, tuple[Path, int]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, folder: Path) -> "_Library":
        """Look at the names in a folder, and into the headers of those that cubes have."""
        library = cls(folder)
        for path in sorted(folder.iterdir()):
            library.names.add(path.name.lower())
            if is_cube_name(path.name):
                library.note(path)
        return library

    def note(self, path: Path) -> None:
        """Remember a cube by its header; what is none is a name that is taken, and no more."""
        try:
            with path.open("rb", buffering=0) as file:
                unit = read_unit(file, 0)
        except (OSError, Held):
            return
        header = Header([] if unit is None else unit.cards)
        identity, group, version = (header.value(key) for key in ("CUBEID", "CUBESET", "CUBEVER"))
        if isinstance(identity, str) and isinstance(group, str) and isinstance(version, int):
            self.names.add(path.name.lower())
            self.cubes[identity] = path, version
            self.versions[group] = max(version, self.versions.get(group, 0))


def _make(group: Group, library: _Library, settings: CubeSettings, moved: Moved) -> Cubed:
    """Make one cube; frames that turn out to be damaged are left out of it, and it is begun anew."""
    profile = settings.profile_of(group)
    context = settings.context
    written = replace(context, written=context.written or instant_of(datetime.now(UTC)))
    before = library.versions.get(group.set, 0)
    left: list[LeftOut] = []
    while True:
        there = library.cubes.get(identity_of(group, profile, context))
        there = there or library.cubes.get(former_identity_of(group, profile, context))
        if there is not None and _holds(there[0], group):
            return Cubed(group, there[0], there[1], there[0].stat().st_size, left=tuple(left), was_there=True)
        version = before + 1
        label = "S" if group.kind is ImageType.SCIENCE else "C"
        first = group.sources[0]
        name = cube_name(
            context.instrume or first.instrument, first.start, label, group.key,
            version=version, short=profile.name.short, taken=library.names, whole=group.set,
        )  # fmt: skip
        try:
            head = make_head(group, profile, written, version=version)
            done = _write(group, library.folder / name, head, moved, durable=settings.durable)
        except Damaged as err:
            left.append(LeftOut(err.source.file, err.reason))
            rest = tuple(source for source in group.sources if source is not err.source)
            if not rest:
                raise
            group = replace(group, sources=rest)
            continue
        library.names.add(name.lower())
        return replace(done, version=version, left=tuple(left))


def _holds(cube: Path, group: Group) -> bool:
    """Whether a cube of the same identity holds the same pixels; where no sum is known, frames are read for it."""
    unknown = [row for row, source in enumerate(group.sources) if not source.digest and source.datasum is None]
    with translated(cube, "the cube"), cube.open("rb", buffering=0) as file:
        pieces = list(split_cube(file))
    if len(pieces) != len(group.sources):
        return False
    return all(pieces[row].datasum == _sum_of(group.sources[row]) for row in unknown)


def _sum_of(source: Source) -> int:
    summed, left, buffer = Datasum(), source.length, memoryview(bytearray(BUFFER_SIZE))
    with translated(source.file, "the frame"), opened(source) as stream:
        while left and (count := stream.readinto(buffer[: min(len(buffer), left)])):  # type: ignore[attr-defined]
            summed.add(buffer[:count])
            left -= count
    return summed.value


def _write(group: Group, target: Path, head: Head, moved: Moved, *, durable: bool) -> Cubed:
    """Write a cube and give it its name; nothing stands under it before, and nothing is left behind on failure."""
    with translated(target, "the cube"), part_beside(target) as part:
        with WholeFile(part, "x") as out:
            done = write_cube(out, group.sources, head, moved)
            finish(out, durable=durable)
        try:
            name_new(part, target, durable=durable)
        except FileExistsError as err:
            raise Occupied(f"{target}: another file stands under this name; nothing was overwritten") from err
    return Cubed(group, target, 1, done.size, done.datasums, done.planes, head.findings)


class SplitFrame(NamedTuple):
    """A frame that was taken out of a cube; ``lost`` are keywords that no header can hold."""

    file: Path
    size: int
    datasum: int
    lost: tuple[str, ...]
    was_there: bool


def split_file(cube: Path, folder: Path, *, durable: bool = True, dry_run: bool = False) -> Iterator[SplitFrame]:
    """Take a cube apart into a folder, plane by plane; raises `Held` for what is no cube, or not whole.

    A frame that is there already is left; another file under its name raises `Occupied`. With ``dry_run`` frames are
    told of, and nothing is written.
    """
    if not cube.is_file():
        raise Misconfigured(f"{cube}: there is no such file")
    with translated(cube, "the cube"), cube.open("rb", buffering=0) as file:
        pieces = list(split_cube(file))
        buffer = memoryview(bytearray(BUFFER_SIZE))
        if not dry_run:
            with translated(folder, "the folder"):
                sweep_folder(folder)
        for row, piece in enumerate(pieces, 1):
            if dry_run:
                yield SplitFrame(folder / piece.name, 0, piece.datasum or 0, piece.lost, (folder / piece.name).exists())
                continue
            with translated(folder / piece.name, "the frame"):
                yield _write_frame(file, piece, folder / piece.name, row, buffer, durable=durable)
    if durable and not dry_run:
        with translated(folder, "the folder"):
            sync_folder(folder)


def _write_frame(
    cube: FileIO, piece: Piece, target: Path, row: int, buffer: memoryview, *, durable: bool
) -> SplitFrame:
    start = len(sealed(piece.cards, 0))
    summed, left = Datasum(), piece.length
    was_there = False
    with part_beside(target) as part:
        with part.open("xb") as out:
            cube.seek(piece.at)
            out.seek(start)
            while left and (count := cube.readinto(buffer[: min(len(buffer), left)])):
                summed.add(buffer[:count])
                out.write(buffer[:count])
                left -= count
            if left:
                raise Held(f"the cube ends {left:,} bytes before plane {row} does: it is truncated")
            if piece.datasum is not None and summed.value != piece.datasum:
                raise Held(f"plane {row} is not what its row tells: DATASUM {piece.datasum} told, {summed.value} found")
            out.write(bytes(-piece.length % 2880))
            size = out.tell()
            out.seek(0)
            out.write(sealed(piece.cards, summed.value))
            finish(out, durable=durable)
        try:
            name_new(part, target, durable=False)  # the names are synced all together
        except FileExistsError as err:
            was_there = True
            if part.read_bytes() != target.read_bytes():
                raise Occupied(f"{target}: another file stands under this name; nothing was overwritten") from err
    return SplitFrame(target, size, summed.value, piece.lost, was_there)
