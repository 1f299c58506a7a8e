"""The step that gathers a night's standard frames into cubes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest
from astropy.io import fits

from nightferry.config import loads
from nightferry.core.context import Context, Site
from nightferry.core.errors import Changed, Misconfigured, NoSpace
from nightferry.core.frame import Fact, Frame, FrameId, Role
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.store import StorePath
from nightferry.cubes import Settings as Reading
from nightferry.cubes import Wishes, no_traits, read_source
from nightferry.headers.profiles import load_profile
from nightferry.steps.cube import Cube
from nightferry.steps.cube_files import CubeSettings
from nightferry.steps.products import TRAITS
from nightferry.steps.rebuild import digest_of
from nightferry.steps.shelf import Shelf
from nightferry.steps.standardise_files import Settings, standardise_file
from nightferry.steps.validate import Validate
from tests.astra import astra_frame

CONTEXT = Context(
    "callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "ESO-PARANAL", "Astra", "SPECULOOS", "60.A-9009(D)",
    Site(-24.61596, -70.3903, 2482.0),
)  # fmt: skip
NIGHT = Night("callisto", date(2026, 2, 22))
ONE, TWO = FrameId("1" * 32), FrameId("2" * 32)


@dataclass(frozen=True)
class Place:
    home: Path

    def frames(self, kinds: Sequence[str], size: tuple[int, int] = (16, 12), first: int = 0) -> list[Frame]:
        return [self.frame(kind, number, size) for number, kind in enumerate(kinds, first)]

    def frame(self, kind: str, number: int, size: tuple[int, int] = (16, 12)) -> Frame:
        """Make a standard frame as the step before leaves it on the shelf."""
        raw = self.home / f"{number}.fits"
        raw.write_bytes(astra_frame(kind, number=number, size=size))
        (self.home / "std").mkdir(exist_ok=True)
        made = standardise_file(raw, self.home / "std", Settings(CONTEXT, durable=False))
        facts: dict[str, Fact] = {TRAITS: read_source(made.file, Reading()).traits.text()}
        return Frame(
            FrameId(f"{number:032d}"), digest_of(made.file), made.size, NIGHT, StorePath(f"20260222/{made.name}"),
            Role.STANDARD, made.file, facts,
        )  # fmt: skip

    def step(self, wishes: Wishes | None = None, floor: int = 0) -> Cube:
        settings = CubeSettings(CONTEXT, "eso", wishes=wishes or Wishes())
        return Cube(Shelf(self.home / "shelf", floor), settings)

    def left(self) -> list[str]:
        found = (self.home / "shelf").rglob("cubes/*")
        return sorted(path.name for path in found if path.is_file())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def receipt_of(result: Result, identity: FrameId) -> Receipt:
    assert result.product is not None
    return Receipt(identity, NIGHT, "cube", "1", result.outcome, digest=result.product.digest, proof=result.proof)


def product_of(result: Result) -> Frame:
    assert result.outcome is Outcome.DONE
    assert result.product is not None
    return result.product


def test_frames_are_grouped_by_their_facts_when_their_files_are_gone(place: Place) -> None:
    frames = place.frames(["light", "light", "bias", "bias", "dark"])
    for frame in frames:
        frame.file.unlink()
    groups, _ = place.step().groups(frames[::-1])
    assert [(group.key.rpartition(" ")[0], [frame.id for frame in group.members]) for group in groups] == [
        ("Sp2306-0502_I+z_10s", [frames[0].id, frames[1].id]),
        ("bias", [frames[2].id, frames[3].id]),
        ("dark_10s", [frames[4].id]),
    ]


def test_a_frame_without_traits_belongs_to_no_group(place: Place) -> None:
    frames = place.frames(["light", "light"])
    bare = [replace(frames[0], facts={}), replace(frames[1], facts={TRAITS: no_traits("it is a focus frame")})]
    assert place.step().groups(bare) == ([], [(bare[1], "it is a focus frame")])
    assert len(place.step().groups([*bare, *place.frames(["light"], first=5)])[0]) == 1


def test_a_cube_is_a_frame_whose_parents_are_its_members(place: Place) -> None:
    frames = place.frames(["light"] * 3)
    ((group,), _) = place.step().groups(frames)
    cube = product_of(place.step()(group, ONE))
    assert (cube.id, cube.role, cube.parents) == (ONE, Role.CUBE, tuple(frame.id for frame in frames))
    assert cube.name == "20260222/SPECU4.20260223T010203_S_Sp2306-0502_I+z_10s.fits"
    assert (cube.digest, cube.size) == (digest_of(cube.file), cube.file.stat().st_size)
    assert fits.getdata(cube.file, "METADATA")["DIGEST"].tolist() == [frame.digest for frame in frames]
    (judged,) = Validate(load_profile("eso"), CONTEXT)([cube])
    assert (judged.outcome, judged.proof["warnings"]) == (Outcome.DONE, "")


def test_a_cube_that_the_shelf_lost_is_made_alike_again(place: Place) -> None:
    step, frames = place.step(), place.frames(["light"] * 3)
    ((group,), _) = step.groups(frames)
    first = step(group, ONE)
    product = product_of(first)
    before = product.file.read_bytes()
    assert step.recall(group, receipt_of(first, ONE)) == product
    product.file.unlink()
    assert step.recall(group, receipt_of(first, ONE)) == product, "an archive may have it"
    again = product_of(step(replace(group, memory=first.proof), ONE))
    assert again == product
    assert again.file.read_bytes() == before


def test_a_cube_of_an_old_release_that_the_shelf_lost_is_made_alike_again(place: Place) -> None:
    step, frames = place.step(), place.frames(["light"] * 3)
    ((group,), _) = step.groups(frames)
    proof = dict(step(group, ONE).proof)
    known_as = proof.pop("cube_id")  # old releases told it in the header alone
    again = product_of(step(replace(group, memory=proof), ONE))
    old = fits.getval(str(again.file), "CUBEID")
    assert old != known_as
    assert product_of(step(replace(group, memory=proof), ONE)).digest == again.digest


def test_another_edition_has_another_name(place: Place) -> None:
    step, frames = place.step(), place.frames(["light"] * 3)
    names = []
    for edition, members in ((1, frames[:2]), (2, frames)):
        ((group,), _) = step.groups(members)
        names.append(product_of(step(replace(group, edition=edition), FrameId(f"{edition:032d}"))).name)
    assert names[1] == names[0].replace(".fits", "_v2.fits")


def test_cubes_of_one_name_are_told_apart(place: Place) -> None:
    step, frames = place.step(), place.frames(["light"] * 2)
    ((group,), _) = step.groups(frames)
    names = {product_of(step(group, identity)).name for identity in (ONE, TWO)}
    assert len(names) == 2


def test_groups_keep_their_keys_when_they_are_split(place: Place) -> None:
    step = place.step(Wishes(max_frames=2))
    groups, _ = step.groups(place.frames(["light"] * 5))
    assert [group.key.partition(" part ")[2] for group in groups] == ["", "2", "3"]
    cubes = [product_of(step(group, FrameId(f"{at:032d}"))) for at, group in enumerate(groups)]
    assert [fits.getval(cube.file, "CUBEPART") for cube in cubes] == [1, 2, 3]


@pytest.mark.parametrize("spoil", [b"", b"not FITS", None])
def test_a_damaged_member_is_taken_away_so_that_it_is_fetched_anew(place: Place, spoil: bytes | None) -> None:
    frames = place.frames(["light"] * 3)
    ((group,), _) = place.step().groups(frames)
    raw = bytearray(frames[1].file.read_bytes())
    raw[-2880] ^= 1
    frames[1].file.write_bytes(bytes(raw) if spoil is None else spoil)
    with pytest.raises(Changed, match="fetched anew"):
        place.step()(group, ONE)
    assert [frame.file.exists() for frame in frames] == [True, False, True]
    assert place.left() == []


def test_what_a_kill_left_is_taken_away(place: Place) -> None:
    step, frames = place.step(), place.frames(["light"] * 2)
    ((group,), _) = step.groups(frames)
    cube = product_of(step(group, ONE))
    (cube.file.parent / "0123.part").write_bytes(b"half")
    step(group, TWO)
    assert place.left() == [ONE, TWO]


def test_a_disk_that_is_nearly_full_is_left_alone(place: Place) -> None:
    ((group,), _) = place.step().groups(place.frames(["light"] * 2))
    with pytest.raises(NoSpace):
        place.step(floor=1 << 60)(group, ONE)
    assert place.left() == []


def test_frames_that_the_settings_leave_out_are_told_with_the_reason(place: Place) -> None:
    frames = [*place.frames(["light"] * 2), *place.frames(["light"], size=(16, 6), first=7)]
    ((group,), ((frame, reason),)) = place.step(Wishes(odd="out")).groups(frames)
    assert (len(group.members), frame) == (2, frames[2])
    assert "it has 16x6 pixels" in reason
    groups, left = place.step().groups(frames)
    assert ([len(group.members) for group in groups], left) == ([2, 1], [])


def test_the_version_changes_with_what_would_change_a_cube(place: Place) -> None:
    step = place.step()
    assert step.version == place.step().version
    others = [
        place.step(Wishes(max_frames=3)),
        replace(step, settings=replace(step.settings, context=replace(CONTEXT, pi="another"))),
        replace(step, settings=replace(step.settings, profile="library")),
    ]
    assert len({step.version, *(other.version for other in others)}) == 4
    again = replace(step.settings, context=replace(CONTEXT, software="nightferry 99"))
    assert replace(step, settings=again).version == step.version


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ('route = ["verify", "cube"]', "cubes are made of standard frames"),
        ("cube = { max_frames = 0 }", "max_frames"),
        ('cube = { odd = "aside" }', "odd"),
        ('cube = { deadline = "soon" }', "deadline"),
        ("cube = { most = 5 }", "most"),
    ],
)
def test_a_wrong_setting_is_told(line: str, wrong: str) -> None:
    text = f"""
        [telescope.callisto]
        preset = "speculoos-callisto"
        source = "file:///raw"
        archives = ["eso"]
        {line}
        [archive.eso]
        url = "file:///eso"
    """
    with pytest.raises(Misconfigured, match=wrong):
        loads(text)
