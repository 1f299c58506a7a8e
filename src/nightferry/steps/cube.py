"""Cube: put a night's standard frames into cubes, on the shelf.

Frames are sorted by the traits that standardise left in their facts, so a group is known long after its frames left
the shelf. A cube lies under its identity; its name in archives is claimed for it, and tells its edition. What was made
once is made alike again, with the same DATE and name, when the shelf lost it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nightferry.core.context import context_settings
from nightferry.core.errors import Changed, Held
from nightferry.core.frame import Fact, Frame, FrameId, Role
from nightferry.core.instant import Instant, instant_of, parse_instant
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import CUBE, Group
from nightferry.core.version import Settings, version_of
from nightferry.cubes import Group as Planes
from nightferry.cubes import Source, Traits, Wishes, read_source, sort_out, traits_from, write_cube
from nightferry.cubes.head import Head, former_identity_of, identity_of, make_head
from nightferry.cubes.names import MOST_DIGITS, cube_name
from nightferry.cubes.write import Damaged, Written
from nightferry.disk.errors import translated
from nightferry.disk.files import WholeFile, finish, make_folders, name_anew, part_beside
from nightferry.headers.canonical import ImageType, Severity
from nightferry.headers.profiles import Profile, profile_settings
from nightferry.headers.profiles.former import context_text, former_version, profile_text, text_of
from nightferry.steps.claims import claim
from nightferry.steps.cube_files import CubeSettings
from nightferry.steps.products import NAMES, TRAITS, named_beside
from nightferry.steps.rebuild import digest_of
from nightferry.steps.shelf import Shelf

#: The folder of a night on the shelf where its cubes are.
CUBES = "cubes"


@dataclass(frozen=True, slots=True)
class Cube:
    """The step. Its input are a night's standard frames, its products cubes beside them."""

    shelf: Shelf
    settings: CubeSettings
    name: str = CUBE
    target: str = ""
    form: str = field(default="1", repr=False)

    @property
    def version(self) -> str:
        """Changes with the step, its settings and the file of the profile."""
        wishes = self.settings.wishes
        settings: Settings = {
            "context": context_settings(self.settings.context),
            "profile": profile_settings(self._profile),
            "max_frames": wishes.max_frames or None,
            "max_size": wishes.max_bytes or None,
            "odd": wishes.odd,
        }
        return version_of(self.form, settings)

    @property
    def former(self) -> str:
        """What the version of these settings was called before it was a digest of named settings."""
        wishes = self.settings.wishes
        told = text_of(
            "Wishes", max_frames=wishes.max_frames, max_bytes=wishes.max_bytes, odd=wishes.odd, longitude=None,
            night=None,
        )  # fmt: skip
        return former_version(context_text(self.settings.context, software=""), profile_text(self._profile), told)

    @property
    def _profile(self) -> Profile:
        return self.settings.loaded(self.settings.profile)

    def groups(self, frames: Sequence[Frame]) -> tuple[Sequence[Group], Sequence[tuple[Frame, str]]]:
        """Sort a night's standard frames into groups; what has no picture, such as sidecars, belongs to none.

        Second come frames that can be no plane (focus frames) and those that ``odd`` leaves out, each with the reason.
        """
        told = [(_traits_of(frame), frame) for frame in frames]
        known = [(traits, frame) for traits, frame in told if isinstance(traits, Traits)]
        unfit = [(frame, traits) for traits, frame in told if isinstance(traits, str)]
        if not known:
            return [], unfit
        bunches, odd = sort_out(known, _of_night(self.settings.wishes, known[0][1]))
        made = [
            Group(_key(bunch.key, bunch.set, bunch.part), tuple(frame for _, frame in bunch.members))
            for bunch in bunches
        ]
        return made, [*unfit, *odd]

    def __call__(self, group: Group, identity: FrameId) -> Result:
        """Make one cube of members that all lie on the shelf.

        Raises `Held` with every error of its header, `Changed` for a member that is damaged (it is fetched anew).
        """
        planes = self._planes(group)
        folder = self.shelf.folder(group.members[0].night)
        self.shelf.require_room(planes.size)
        stamp = _stamp(group)
        context = replace(self.settings.context, written=stamp)
        known_as = self._known_as(planes, group)
        head = make_head(planes, self._profile, context, version=group.edition, identity=known_as)
        name = self._name(planes, group, identity, folder)
        place = folder / CUBES / identity
        done = _written(place, planes.sources, head)
        digest = digest_of(place)
        product = Frame(
            identity, digest, done.size, group.members[0].night, named_beside(group.members[0], name), Role.CUBE, place,
            {"datasum": _sums(done), "name": name}, tuple(frame.id for frame in group.members),
        )  # fmt: skip
        warnings = [str(finding) for finding in head.findings if finding.severity is Severity.WARNING]
        proof: dict[str, Fact] = {
            "name": name, "product": identity, "size": done.size, "digest": digest, "datasum": _sums(done),
            "frames": len(group.members), "key": group.key, "edition": group.edition, "written": stamp.iso(6),
            "cube_id": known_as, "warnings": "; ".join(warnings),
        }  # fmt: skip
        return Result(group.members[0], Outcome.DONE, "", proof, product)

    def recall(self, group: Group, receipt: Receipt) -> Frame | None:
        """Return the cube that an earlier call made, on the shelf still or not; None when the receipt names none."""
        first, told = group.members[0], receipt.proof
        identity, size, name = told.get("product"), told.get("size"), told.get("name")
        if receipt.digest is None or not (
            isinstance(identity, str) and isinstance(size, int) and isinstance(name, str)
        ):
            return None
        place = self.shelf.folder(first.night) / CUBES / identity
        facts: dict[str, Fact] = {"datasum": told.get("datasum"), "name": name}
        return Frame(
            FrameId(identity), receipt.digest, size, first.night, named_beside(first, name), Role.CUBE, place, facts,
            tuple(frame.id for frame in group.members),
        )  # fmt: skip

    def _planes(self, group: Group) -> Planes:
        """Read the members' headers; the group is what `groups` made of them."""
        sources = []
        for frame in group.members:
            try:
                with translated(frame.file, "the frame"):
                    sources.append(
                        read_source(frame.file, self.settings.reading, name=_base(frame), digest=str(frame.digest))
                    )
            except Held as err:
                raise _spoilt(frame, str(err)) from err
        key, digits, part = _parts(group.key)
        return Planes(sources[0].kind, key, digits, tuple(sources), part)

    def _known_as(self, planes: Planes, group: Group) -> str:
        """Return the identity that stands in the header: as it stood before, where a cube is made alike again."""
        if not group.memory:
            return identity_of(planes, self._profile, self.settings.context)
        told = group.memory.get("cube_id")
        return told if isinstance(told, str) else former_identity_of(planes, self._profile, self.settings.context)

    def _name(self, planes: Planes, group: Group, identity: FrameId, folder: Path) -> str:
        """Name the cube: as it was named before, else by the first name that is not another's."""
        before = group.memory.get("name")
        if isinstance(before, str):
            return before
        first = planes.sources[0]
        label = "S" if planes.kind is ImageType.SCIENCE else "C"
        taken: set[str] = set()
        while len(taken) <= MOST_DIGITS:
            name = cube_name(
                self.settings.context.instrume or first.instrument, first.start, label, planes.key,
                version=group.edition, short=self._profile.name.short, taken=taken, whole=group.key,
            )  # fmt: skip
            if claim(folder / NAMES, name, identity):
                return name
            taken.add(name.lower())
        raise Held(f"V19 {group.key}: every name that it could have is another cube's")


def _written(place: Path, sources: Sequence[Source], head: Head) -> Written:
    """Write a cube under its identity, whole and durable or not at all; what a kill left of others is taken away."""
    with translated(place, "the shelf"):
        make_folders(place.parent)
        for left in place.parent.glob("*.part"):  # one route makes one cube at a time, under its lock
            left.unlink(missing_ok=True)
        with part_beside(place) as part:
            try:
                with WholeFile(part, "x") as out:
                    done = write_cube(out, sources, head)
                    finish(out)
            except Damaged as err:
                err.source.file.unlink(missing_ok=True)
                raise Changed(f"{err.source.archive_name}: {err.reason}; it is fetched anew") from err
            name_anew(part, place)
    return done


def _spoilt(frame: Frame, reason: str) -> Changed:
    """Take away a working file that is not what was delivered, so that it is fetched anew."""
    frame.file.unlink(missing_ok=True)
    return Changed(f"{frame.name}: its working file is not what was delivered: {reason}; it is fetched anew")


def _traits_of(frame: Frame) -> Traits | str | None:
    text = frame.facts.get(TRAITS)
    return traits_from(text) if isinstance(text, str) else None


def _of_night(wishes: Wishes, frame: Frame) -> Wishes:
    return replace(wishes, night=frame.night.date)


def _key(key: str, digits: str, part: int) -> str:
    """Write a group's key: what it is, what parts it from others, which part it is."""
    return f"{key} {digits}" + (f" part {part}" if part > 1 else "")


def _parts(text: str) -> tuple[str, str, int]:
    """Read what `_key` wrote."""
    whole, _, part = text.rpartition(" part ")
    if not whole:
        whole, part = text, "1"
    key, _, digits = whole.rpartition(" ")
    return key, digits, int(part)


def _stamp(group: Group) -> Instant:
    """Return the time of writing: now, or when the cube was made that is made again."""
    told = group.memory.get("written")
    return parse_instant(told)[0] if isinstance(told, str) else instant_of(datetime.now(UTC))


def _base(frame: Frame) -> str:
    return frame.name.rpartition("/")[2]


def _sums(done: Written) -> str:
    return " ".join(map(str, done.datasums))
