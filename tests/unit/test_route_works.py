"""Routes whose steps make products: one task for all works, one account for each raw frame, whatever goes wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import ParamSpec, TypeVar, cast

import pytest

from nightferry import api
from nightferry.api import held
from nightferry.assemble import open_route
from nightferry.config import for_run, loads
from nightferry.core.audit import Verdict
from nightferry.core.balance import Bin
from nightferry.core.errors import Held, Misconfigured, NoSpace, TryAgain
from nightferry.core.frame import Digest, Frame, FrameId, Role, fingerprint
from nightferry.core.ledger import Account
from nightferry.core.night import Nights
from nightferry.core.progress import Nobody
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import Group, ProcessingStep
from nightferry.core.store import Load, PutAnswer, Store, StorePath
from nightferry.ledger.sql import SqlLedger, open_ledger
from nightferry.passes.audit import audit, strangers
from nightferry.passes.item import Waiting
from nightferry.passes.making import make_and_judge
from nightferry.passes.processing import POOL
from nightferry.passes.route import Route
from nightferry.passes.run import Orders, Pass, run_pass
from nightferry.steps.products import raw_of
from nightferry.steps.rebuild import digest_of
from nightferry.steps.shelf import Shelf
from nightferry.steps.standardise import Standardise
from nightferry.steps.validate import Validate
from tests.astra import astra_frame
from tests.astra_night import Planted, build_astra_night

PROGRAM = "60.A-9009(D)"
FIRST = "20260222/camera_I+z_Sp2306-0502_0000_light.fits"


P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Dome:
    """An observatory in a folder: raw frames, archives, shelf and ledger."""

    home: Path
    ledger: SqlLedger
    sections: str = ""
    program: str = PROGRAM

    def plant(self, *faults: str, kinds: Sequence[str] = ("light",) * 4) -> list[Planted]:
        return build_astra_night(self.home / "raw", faults=faults, kinds=kinds)

    def route(self) -> Route:
        text = f"""
            [shelf]
            path = '{(self.home / "shelf").as_posix()}'
            floor = "1 MB"
            [crew]
            kind = "threads"
            [telescope.callisto]
            preset = "speculoos-callisto"
            route = ["verify", "standardise", "validate"]
            source = "file://{(self.home / "raw").as_posix()}"
            settle = "0 s"
            archives = ["eso", "second"]
            [archive.eso]
            url = "file://{(self.home / "eso").as_posix()}"
            [archive.second]
            url = "file://{(self.home / "second").as_posix()}"
            [ledger]
            url = "sqlite:///{(self.home / "ledger.db").as_posix()}"
            {self.sections}
        """
        for archive in ("eso", "second"):
            (self.home / archive).mkdir(exist_ok=True)
        route = open_route(for_run(loads(text), program=self.program), "callisto")
        return replace(route, processing=tuple(_ungated(work) for work in route.processing))

    def carry(
        self,
        orders: Orders | None = None,
        change: Callable[[Route], Route] = lambda route: route,
        stop: threading.Event | None = None,
    ) -> Pass:
        route = self.route()
        with ThreadPoolExecutor(2) as crew:
            done = run_pass(
                change(replace(route, pool=crew)), self.ledger, Nights(every=True), orders or Orders(),
                onlooker=Nobody(), stop=stop or api.idle_hands().stop,
            )  # fmt: skip
        route.close()
        return done

    def account(self, path: str) -> Account:
        (found,) = self.ledger.find(path)
        return found

    def told(self, path: str) -> list[tuple[str, str]]:
        return [(receipt.step, str(receipt.outcome)) for receipt in self.account(path).receipts]

    def files(self, archive: str = "eso") -> dict[str, bytes]:
        found = (path for path in (self.home / archive).rglob("*") if path.is_file())
        return {path.name: path.read_bytes() for path in found}

    def products(self) -> list[Path]:
        return sorted((self.home / "shelf").rglob("standard/*"))


def _ungated(work: ProcessingStep) -> ProcessingStep:
    return replace(work, gate=False) if isinstance(work, Validate) else work


@pytest.fixture
def dome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr("nightferry.passes.carry.RETRY_PAUSES", (0.0, 0.0))
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield Dome(tmp_path, ledger)
    ledger.close()


STEPS = [("pull", "done"), ("verify", "done"), ("standardise", "done"), ("validate", "done")]


def test_a_product_is_delivered_for_its_raw_frame_which_is_counted_once(dome: Dome) -> None:
    dome.plant()
    (balance,) = dome.carry().balances
    assert (balance.seen, balance.delivered, balance.balanced) == (4, 4, True)
    assert dome.told(FIRST) == [*STEPS, ("deliver", "done"), ("deliver", "done")]
    assert dome.files("eso") == dome.files("second")
    assert "SPECULOOS4.2026-02-23T01_02_03.456.fits" in dome.files()


@dataclass(frozen=True)
class Asking:
    """A store that asks another connection of the ledger, before it takes products, which steps have receipts."""

    store: Store
    url: str
    asked: list[tuple[str, ...]]

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        ledger = open_ledger(self.url)
        try:
            for account in ledger.accounts_of([raw_of(load.source) for load in loads]):
                self.asked.append(tuple(receipt.step for receipt in account.receipts))
        finally:
            ledger.close()
        return iter(self.store.put(loads))

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)


def test_receipts_of_a_product_are_durable_before_an_archive_is_given_its_name(dome: Dome) -> None:
    dome.plant()
    asked: list[tuple[str, ...]] = []

    def asking(route: Route) -> Route:
        url = f"sqlite:///{dome.home / 'ledger.db'}"
        steps = {
            name: replace(step, store=cast("Store", Asking(step.store, url, asked)))
            for name, step in route.deliveries.items()
        }
        return replace(route, deliveries=steps)

    (balance,) = dome.carry(change=asking).balances
    assert balance.delivered == 4
    assert len(asked) == 8
    assert all({"standardise", "validate"} <= set(steps) for steps in asked), asked


def test_frames_that_find_no_room_before_the_crew_wait_outside_and_are_made_once(
    dome: Dome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_FRAMES", 1)
    monkeypatch.setattr("nightferry.passes.carry.BATCH_FRAMES", 0)
    monkeypatch.setattr("nightferry.passes.carry.WINDOW", 1)
    outside: list[str] = []
    leave = Waiting.leave

    def watched(self: Waiting, place: str, frames: Sequence[FrameId]) -> None:
        outside.append(place)
        leave(self, place, frames)

    monkeypatch.setattr(Waiting, "leave", watched)
    planted = dome.plant("truncated", kinds=("light",) * 12)
    (balance,) = dome.carry().balances
    assert (balance.seen, balance.delivered, balance.held) == (12, 11, 1)
    assert POOL in outside
    for item in planted[1:]:
        assert dome.told(item.path) == [*STEPS, ("deliver", "done"), ("deliver", "done")]


def test_products_leave_the_shelf_when_they_are_delivered_and_raw_frames_stay(dome: Dome) -> None:
    planted = dome.plant()
    dome.carry()
    assert dome.products() == []
    assert {path.stat().st_size for path in (dome.home / "shelf").glob("*/*/*") if path.is_file()} == {
        len(item.raw) for item in planted
    }


def test_a_shelf_at_its_floor_pulls_nothing_and_still_delivers_what_is_on_it(dome: Dome) -> None:
    planted = dome.plant()
    late = planted[-1]
    data = (dome.home / "raw" / late.path).read_bytes()
    (dome.home / "raw" / late.path).unlink()
    dome.carry(Orders(until="verify"))
    (dome.home / "raw" / late.path).write_bytes(data)

    def filled(route: Route) -> Route:
        shelf = Shelf(route.shelf.root, floor=1 << 60)
        works = tuple(
            replace(work, shelf=shelf) if isinstance(work, Standardise) else work for work in route.processing
        )
        return replace(route, shelf=shelf, pull=replace(route.pull, shelf=shelf), processing=works)

    done = dome.carry(change=filled)
    assert isinstance(done.trouble, NoSpace)
    (balance,) = done.balances
    assert (balance.delivered, balance.failed) == (3, 1)
    assert dome.carry().balances[0].delivered == 4


def test_a_frame_that_standardise_holds_costs_no_other_and_says_why(dome: Dome) -> None:
    dome.plant("no-imagetyp")
    (balance,) = dome.carry().balances
    assert (balance.delivered, balance.held) == (3, 1)
    standing = dome.account(FIRST).standing
    assert (standing.stage, "V03 IMAGETYP" in standing.reason) == ("standardise", True)


def test_a_frame_that_validate_holds_waits_for_a_release_and_then_goes_as_it_is(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.carry(change=_stricter)
    standing = dome.account(FIRST).standing
    assert (standing.stage, "V17" in standing.reason, dome.files()) == ("validate", True, {})
    before = [path.read_bytes() for path in dome.products()]
    api.release(dome.ledger, FIRST, "the archive takes it all the same")
    dome.carry(change=_stricter)
    assert list(dome.files().values()) == before
    assert dome.told(FIRST).count(("standardise", "done")) == 1


def _stricter(route: Route) -> Route:
    standardise, validate = route.processing
    assert isinstance(validate, Validate)
    context = replace(validate.context, telescop="SPECULOOS-IO")
    return replace(route, processing=(standardise, replace(validate, context=context)))


def test_a_frame_held_by_validate_is_made_anew_when_the_settings_change(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.program = "60A-9009"
    dome.carry()
    assert dome.account(FIRST).standing.stage == "validate"
    dome.program = PROGRAM
    dome.carry()
    assert dome.told(FIRST) == [
        *STEPS[:3], ("validate", "held"), *STEPS[2:], ("deliver", "done"), ("deliver", "done"),
    ]  # fmt: skip


def test_a_held_frame_can_be_dropped_and_its_product_leaves_the_shelf(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.carry(change=_stricter)
    assert len(dome.products()) == 1
    api.release(dome.ledger, FIRST, "a test exposure", drop=True)
    (balance,) = dome.carry().balances
    assert (balance.ignored, dome.products()) == (1, [])


def test_an_archive_that_comes_later_gets_the_same_bytes_though_the_product_was_lost(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    away = dome.home / "away"

    def without_second(route: Route) -> Route:
        deliveries = {"eso": route.deliveries["eso"]}
        return replace(route, deliveries=deliveries)

    dome.carry(change=without_second)
    for path in dome.products():
        path.rename(away)
    assert dome.files("second") == {}
    dome.carry()
    assert dome.files("second") == dome.files("eso")
    assert len(dome.files("eso")) == 1


def test_a_product_and_a_raw_frame_that_are_both_lost_come_again(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.carry(Orders(until="standardise"))
    for path in (dome.home / "shelf").rglob("*"):
        if path.is_file():
            path.unlink()
    (balance,) = dome.carry().balances
    assert balance.delivered == 1
    assert dome.told(FIRST).count(("pull", "done")) == 2


def test_a_raw_frame_that_rotted_on_the_shelf_is_not_made_a_product(dome: Dome) -> None:
    (planted,) = dome.plant(kinds=["light"])
    dome.carry(Orders(until="verify"))
    (shelved,) = (path for path in (dome.home / "shelf").glob("*/*/*") if path.is_file())
    shelved.write_bytes(planted.raw[:-3000] + bytes([planted.raw[-3000] ^ 1]) + planted.raw[-2999:])
    (balance,) = dome.carry().balances
    assert balance.delivered == 1
    assert ("standardise", "failed") in dome.told(FIRST)
    assert dome.told(FIRST).count(("pull", "done")) == 2


def test_until_ends_a_pass_at_a_work(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.carry(Orders(until="standardise"))
    assert dome.told(FIRST) == STEPS[:3]
    assert dome.files() == {}
    dome.carry()
    assert dome.told(FIRST) == [*STEPS, ("deliver", "done"), ("deliver", "done")]


def test_frames_of_one_millisecond_get_names_of_their_own_in_any_pass(dome: Dome) -> None:
    dome.plant(kinds=["light"])
    dome.carry()
    late = dome.home / "raw/20260222/late.fits"
    late.write_bytes(astra_frame(number=9, changed={"DATE-OBS": "2026-02-23T01:02:03.456900"}))
    os.utime(late, (1_771_900_000, 1_771_900_000))
    dome.carry()
    assert sorted(dome.files()) == [f"SPECULOOS4.2026-02-23T01_02_03.{ms}.fits" for ms in ("456", "457")]


def test_a_route_without_the_facts_that_only_the_operator_knows_does_not_begin(dome: Dome) -> None:
    dome.program = ""
    with pytest.raises(Misconfigured, match=r"OBS PROG ID.*set telescope.callisto.program \(or give --program"):
        dome.route()


# gathering ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bundle:
    """A toy of a gathering step: it puts the members' bytes one behind the other, lights only."""

    folder: Path
    trouble: tuple[Exception, ...] = ()
    name: str = "cube"
    version: str = "1"
    target: str = ""
    odd: str = ""
    former: str = ""
    most: int = 0

    def groups(self, frames: Sequence[Frame]) -> tuple[Sequence[Group], Sequence[tuple[Frame, str]]]:
        ordered = sorted(frames, key=lambda frame: frame.name)
        members = tuple(frame for frame in ordered if self.odd not in {frame.id, *frame.parents})
        left = [(frame, "it is odd") for frame in ordered if frame not in members]
        if self.most:
            parts = range(0, len(members), self.most)
            return [Group(f"Sp2306-0502 part {at}", members[at : at + self.most]) for at in parts], left
        return [Group("Sp2306-0502", members)] if members else [], left

    def __call__(self, group: Group, identity: FrameId) -> Result:
        for error in self.trouble:
            raise error
        self.folder.mkdir(exist_ok=True)
        file = self.folder / identity
        file.write_bytes(b"".join(member.file.read_bytes() for member in group.members))
        name = f"20260222/cube_{group.edition}.fits"
        parents = tuple(member.id for member in group.members)
        frame = Frame(
            identity, digest_of(file), file.stat().st_size, group.members[0].night, StorePath(name), Role.CUBE, file,
            {}, parents,
        )  # fmt: skip
        return Result(group.members[0], Outcome.DONE, "", {"name": name, "size": frame.size}, frame)

    def recall(self, group: Group, receipt: Receipt) -> Frame | None:
        file = self.folder / receipt.frame
        name, size = str(receipt.proof["name"]), int(str(receipt.proof["size"]))
        digest = Digest(str(receipt.digest))
        return Frame(receipt.frame, digest, size, group.members[0].night, StorePath(name), Role.CUBE, file)


def gathering(dome: Dome, *trouble: Exception, odd: str = "", judged: bool = False) -> Callable[[Route], Route]:
    bundle = Bundle(dome.home / "bundles", trouble, odd=odd)
    return lambda route: replace(
        route, processing=route.processing if judged else route.processing[:1], group_step=bundle
    )


def test_a_night_is_gathered_when_it_is_whole_and_delivered_beside_its_frames(dome: Dome) -> None:
    dome.plant()
    done = dome.carry(change=gathering(dome))
    assert done.trouble is None
    (balance,) = done.balances
    assert (balance.seen, balance.delivered) == (4, 4)
    files = dome.files()
    frames = b"".join(files[name] for name in sorted(files) if name.startswith("SPECU"))
    assert (files["cube_1.fits"], dome.files("second")["cube_1.fits"]) == (frames, frames)
    assert ("cube", "done") in dome.told(FIRST)
    assert (dome.products(), list((dome.home / "bundles").iterdir())) == ([], [])


def test_what_is_gathered_is_not_gathered_again(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome))
    told = dome.told(FIRST)
    dome.carry(change=gathering(dome, RuntimeError("nobody calls me")))
    assert dome.told(FIRST) == told


def test_a_late_frame_makes_another_edition_of_frames_that_are_fetched_back(dome: Dome) -> None:
    dome.plant(kinds=["light"] * 2)
    dome.carry(change=gathering(dome))
    dome.plant(kinds=["light"] * 3)
    dome.carry(change=gathering(dome))
    files = dome.files()
    frames = [files[name] for name in sorted(files) if name.startswith("SPECU")]
    assert files["cube_1.fits"] == b"".join(frames[:2])
    assert files["cube_2.fits"] == b"".join(frames)


def test_a_night_with_a_frame_to_come_is_not_gathered(dome: Dome) -> None:
    dome.plant()

    def without_second(route: Route) -> Route:
        (dome.home / "second").rmdir()  # its disk is not mounted
        return gathering(dome, RuntimeError("too early"))(route)

    done = dome.carry(change=without_second)
    assert done.balances[0].delivered == 0
    assert not (dome.home / "bundles").exists()


@dataclass(frozen=True)
class Reluctant:
    """A work that fails at one frame."""

    work: ProcessingStep
    path: str

    def __getattr__(self, name: str) -> object:
        return getattr(object.__getattribute__(self, "work"), name)

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        for frame in batch:
            if frame.name == self.path:
                yield Result(frame, Outcome.FAILED, "not today")
            else:
                yield from self.work([frame])


@pytest.mark.parametrize(("deadline", "cubes"), [(None, 0), (1e12, 0), (0.0, 1)])
def test_a_gate_opens_for_an_incomplete_night_when_its_deadline_has_passed(
    dome: Dome, deadline: float | None, cubes: int
) -> None:
    dome.plant(kinds=["light"] * 3)

    def late(route: Route) -> Route:
        route = gathering(dome)(route)
        works = (cast("ProcessingStep", Reluctant(route.processing[0], FIRST)),)
        return replace(route, processing=works, deadline=deadline)

    done = dome.carry(change=late)
    assert (done.balances[0].delivered, done.balances[0].failed) == (2, 1)
    assert len([name for name in dome.files() if name.startswith("cube_")]) == cubes
    dome.carry(change=gathering(dome))
    assert len([name for name in dome.files() if name.startswith("cube_")]) == cubes + 1


@pytest.mark.parametrize(("error", "kind"), [(Held("no two alike"), Held), (TryAgain("no memory"), TryAgain)])
def test_a_gathering_that_fails_is_told_on_every_pass_until_it_is_done(
    dome: Dome, error: Exception, kind: type[Exception]
) -> None:
    dome.plant()
    for _ in range(2):
        done = dome.carry(change=gathering(dome, error))
        assert isinstance(done.trouble, kind)
        assert str(error) in str(done.trouble)
        assert done.balances[0].delivered == 4
    if kind is TryAgain:
        assert dome.carry(change=gathering(dome)).trouble is None
        assert "cube_1.fits" in dome.files()


def test_a_watch_leaves_the_present_night_alone(dome: Dome, monkeypatch: pytest.MonkeyPatch) -> None:
    dome.plant()
    monkeypatch.setattr("nightferry.passes.grouping._goes_on", lambda _, evening: evening == date(2026, 2, 22))
    dome.carry(Orders(patient=True), change=gathering(dome))
    assert "cube_1.fits" not in dome.files()
    dome.carry(change=gathering(dome))
    assert "cube_1.fits" in dome.files()


def audited(dome: Dome) -> list[tuple[str, str, Verdict]]:
    route = gathering(dome)(dome.route())
    found = list(audit(route, dome.ledger, stop=threading.Event()))
    route.close()
    return [(finding.archive, finding.proof.path, finding.verdict) for finding in found if finding.proof.product]


def flip(file: Path, at: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.unlink()  # the other archive has the same file under another name
    file.write_bytes(data)


@pytest.mark.parametrize(("spoil", "verdict"), [(flip, Verdict.DAMAGED), (Path.unlink, Verdict.MISSING)])
def test_an_audit_reads_products_back_and_a_release_makes_them_again(
    dome: Dome, spoil: Callable[[Path], None], verdict: Verdict
) -> None:
    dome.plant()
    dome.carry(change=gathering(dome))
    good = [("eso", "20260222/cube_1.fits", Verdict.GOOD), ("second", "20260222/cube_1.fits", Verdict.GOOD)]
    assert audited(dome) == good
    (cube,), sound = (dome.home / "eso").rglob("cube_1.fits"), dome.files()["cube_1.fits"]
    spoil(cube)
    assert audited(dome) == [("eso", "20260222/cube_1.fits", verdict), good[1]]
    done = dome.carry(change=gathering(dome))
    assert isinstance(done.trouble, Held)
    (product,) = dome.ledger.products()
    assert (product.standing.bin, product.standing.stage) == (Bin.HELD, "deliver to eso")
    cube.unlink(missing_ok=True)
    api.release(dome.ledger, "cube_1.fits", "another disk")
    assert dome.carry(change=gathering(dome)).trouble is None
    assert dome.files()["cube_1.fits"] == sound
    assert audited(dome) == good
    assert dome.ledger.products()[0].standing.bin is Bin.DELIVERED


def test_an_earlier_edition_that_is_damaged_is_told_and_not_made_again(dome: Dome) -> None:
    dome.plant(kinds=["light"] * 2)
    dome.carry(change=gathering(dome))
    dome.plant(kinds=["light"] * 3)
    dome.carry(change=gathering(dome))
    flip(next((dome.home / "eso").rglob("cube_1.fits")))
    audited(dome)
    assert [product.name for product in held(dome.ledger, None).cubes] == ["20260222/cube_1.fits"]
    with pytest.raises(Misconfigured, match="a later version took its place"):
        api.release(dome.ledger, "cube_1.fits", "another disk")
    api.release(dome.ledger, "cube_1.fits", "the second has all of it", drop=True)
    assert held(dome.ledger, None).cubes == []
    assert dome.carry(change=gathering(dome)).trouble is None


def test_a_member_that_an_audit_finds_damaged_makes_no_new_edition(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome))
    flip(next((dome.home / "eso").rglob("SPECU*")))
    audited(dome)
    done = dome.carry(change=gathering(dome))
    assert done.balances[0].held == 1
    assert [name for name in dome.files() if name.startswith("cube_")] == ["cube_1.fits"]


def test_products_are_foreign_to_no_archive(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome))
    (dome.home / "eso" / "stray.fits").write_bytes(b"-")
    route = dome.route()
    found = list(strangers("eso", route.deliveries["eso"].store, dome.ledger, lambda name: name.startswith(".")))
    route.close()
    assert [stranger.name for stranger in found] == ["stray.fits"]


def test_a_frame_that_the_settings_leave_out_is_told_so_once(dome: Dome) -> None:
    dome.plant()
    dome.carry(Orders(until="verify"))
    odd = dome.account(FIRST).sighting.id
    for _ in range(3):
        assert dome.carry(change=gathering(dome, odd=odd)).trouble is None
    (told,) = [receipt for receipt in dome.account(FIRST).receipts if receipt.step == "cube"]
    assert (told.outcome, told.reason) == (Outcome.DONE, "left out: it is odd")
    (product,) = dome.ledger.products()
    assert (product.frames, product.edition) == (3, 1)
    assert dome.carry(change=gathering(dome)).trouble is None  # the settings take it in
    assert [(one.frames, one.edition) for one in dome.ledger.products()] == [(3, 1), (4, 2)]


def test_a_product_that_is_held_can_be_left_out_or_tried_again(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome, Held("no two alike")))
    assert dome.told(FIRST)[-1] == ("cube", "held")
    (product,) = dome.ledger.products()
    assert (product.name, product.standing.reason) == ("Sp2306-0502", "no two alike")
    with pytest.raises(Misconfigured, match="a release needs a reason"):
        api.release(dome.ledger, product.id, " ")
    api.release(dome.ledger, product.id, "nobody wants it", drop=True)
    assert dome.carry(change=gathering(dome)).trouble is None
    assert "cube_1.fits" not in dome.files()
    with pytest.raises(Misconfigured, match="it is ignored"):
        api.release(dome.ledger, product.id, "but I do")


def test_a_held_product_that_is_released_is_made_as_the_first_edition(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome, Held("no two alike")))
    api.release(dome.ledger, dome.ledger.products()[0].id, "they are now")
    assert dome.carry(change=gathering(dome)).trouble is None
    (product,) = dome.ledger.products()
    assert (product.edition, product.delivered) == (1, dict.fromkeys(("eso", "second"), "2026-02-22/cube_1.fits"))


def changed(
    dome: Dome, *trouble: Exception, version: str = "2", former: str = "", most: int = 0
) -> Callable[[Route], Route]:
    """Return a route that gathers with other settings."""
    bundle = Bundle(dome.home / "bundles", trouble, version=version, former=former, most=most)
    return lambda route: replace(route, processing=route.processing[:1], group_step=bundle)


def test_other_settings_make_no_delivered_product_again(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome))
    files, told = dome.files(), dome.told(FIRST)
    for most in (0, 2, 3):
        done = dome.carry(change=changed(dome, RuntimeError("nobody calls me"), most=most))
        assert done.trouble is None
    assert (dome.files(), dome.told(FIRST)) == (files, told)
    (product,) = dome.ledger.products()
    assert (product.edition, product.standing.bin) == (1, Bin.DELIVERED)


def test_a_late_frame_is_gathered_with_the_settings_of_today(dome: Dome) -> None:
    dome.plant(kinds=["light"] * 3)
    dome.carry(change=gathering(dome))
    dome.plant(kinds=["light"] * 4)
    dome.carry(change=changed(dome, most=2))
    made = [(product.key, product.frames) for product in dome.ledger.products()]
    assert made == [("Sp2306-0502", 3), ("Sp2306-0502 part 2", 2)], "the first two are in a product already"


def test_a_held_product_is_made_with_other_settings_as_the_same_one(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome, Held("no two alike")))
    (held,) = dome.ledger.products()
    assert dome.carry(change=changed(dome)).trouble is None
    (product,) = dome.ledger.products()
    assert (product.id, product.edition, product.standing.bin) == (held.id, 1, Bin.DELIVERED)


def test_an_archive_that_comes_later_gets_the_bytes_that_others_have_whatever_the_settings(dome: Dome) -> None:
    dome.plant()

    def first_alone(route: Route) -> Route:
        return replace(gathering(dome)(route), deliveries={"eso": route.deliveries["eso"]})

    dome.carry(change=first_alone)
    assert dome.carry(change=changed(dome, RuntimeError("nobody calls me"))).trouble is None
    assert dome.files("second") == dome.files("eso")
    assert "cube_1.fits" in dome.files("eso")


@pytest.mark.parametrize("trouble", [(), (Held("no two alike"),), (TryAgain("no memory"),)])
def test_what_an_old_release_made_or_tried_keeps_its_identity(
    dome: Dome, monkeypatch: pytest.MonkeyPatch, trouble: tuple[Exception, ...]
) -> None:
    def of_old_release(name: str, *parts: str) -> str:
        return fingerprint(name, "1-old", *parts)

    dome.plant()
    with monkeypatch.context() as old:
        old.setattr("nightferry.passes.grouping.fingerprint", of_old_release)
        dome.carry(change=changed(dome, *trouble, version="1-old"))
    (before,) = dome.ledger.products()
    files = dome.files()
    held = bool(trouble) and isinstance(trouble[0], Held)
    done = dome.carry(change=changed(dome, *([RuntimeError("nobody calls me")] if held else []), former="1-old"))
    assert isinstance(done.trouble, Held) if held else done.trouble is None
    (after,) = dome.ledger.products()
    assert (after.id, after.edition) == (before.id, 1)
    assert after.standing.bin is (Bin.HELD if held else Bin.DELIVERED)
    assert held or "cube_1.fits" in dome.files()
    if not trouble:
        assert dome.files() == files


def test_a_product_that_a_judge_held_goes_on_when_a_person_says_so(dome: Dome) -> None:
    dome.plant()
    dome.carry(change=gathering(dome, judged=True))  # frames one behind the other are no FITS that any archive takes
    (product,) = dome.ledger.products()
    assert (product.standing.bin, product.standing.stage) == (Bin.HELD, "validate")
    assert "cube_1.fits" not in dome.files()
    api.release(dome.ledger, product.id, "the archive takes it all the same")
    assert dome.carry(change=gathering(dome, judged=True)).trouble is None
    assert "cube_1.fits" in dome.files()


@dataclass(frozen=True)
class Hesitant(Bundle):
    """A grouping step that fails as often as it has excuses, and then does its work."""

    excuses: list[Exception] = field(default_factory=list)

    def __call__(self, group: Group, identity: FrameId) -> Result:
        if self.excuses:
            raise self.excuses.pop()
        return super().__call__(group, identity)


def test_what_cannot_be_made_of_many_is_tried_again_in_the_same_pass(dome: Dome) -> None:
    dome.plant()
    bundle = Hesitant(dome.home / "bundles", excuses=[TryAgain("no memory")])
    done = dome.carry(change=lambda route: replace(route, processing=route.processing[:1], group_step=bundle))
    assert done.trouble is None
    (product,) = dome.ledger.products()
    told = [(receipt.step, receipt.target, str(receipt.outcome)) for receipt in product.receipts]
    assert told[:2] == [("cube", "", "failed"), ("cube", "", "done")]
    assert sorted(told[2:]) == [("deliver", "eso", "done"), ("deliver", "second", "done")]
    assert [step for step, _ in dome.told(FIRST)].count("cube") == 1, "members hear of what came of it"


def test_what_fails_in_one_archive_goes_to_the_others_and_follows_later(dome: Dome) -> None:
    dome.plant()
    second = dome.home / "second"

    def full(route: Route) -> Route:
        bundle = Taking(dome.home / "bundles", taken=second)
        return replace(route, processing=route.processing[:1], group_step=bundle)

    assert dome.carry(change=full).trouble is not None
    assert "cube_1.fits" in dome.files()
    (product,) = dome.ledger.products()
    assert list(product.delivered) == ["eso"]
    second.with_name("away").rename(second)
    assert dome.carry(change=gathering(dome, RuntimeError("nobody calls me"))).trouble is None
    assert dome.files("second")["cube_1.fits"] == dome.files()["cube_1.fits"]


@dataclass(frozen=True)
class Taking(Bundle):
    """A grouping step during which somebody takes an archive's disk away."""

    taken: Path = Path()

    def __call__(self, group: Group, identity: FrameId) -> Result:
        self.taken.rename(self.taken.with_name("away"))
        return super().__call__(group, identity)


class Unhurried(Executor):
    """A pool that never ends what is made of many; somebody asks to stop as soon as it was asked for that."""

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future = Future[T]()
        if fn is make_and_judge:
            self.stop.set()
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def test_nobody_waits_for_a_frame_of_many_who_asked_to_stop(dome: Dome) -> None:
    dome.plant()
    stop = threading.Event()
    dome.carry(change=lambda route: replace(gathering(dome)(route), pool=Unhurried(stop)), stop=stop)
    assert dome.told(FIRST)[-1] == ("deliver", "done")
    assert dome.ledger.products() == []
