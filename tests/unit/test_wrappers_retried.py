from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nightferry.core.errors import Occupied, TryAgain, Unreachable
from nightferry.core.store import Entry, Load, PutAnswer, Store, StorePath, Want
from nightferry.stores.memory import GoodWire, MemoryDisk, MemoryStore
from nightferry.stores.wrappers import limited, retried
from nightferry.testing.conform_memory import MemoryStage
from nightferry.testing.conform_stage import Fault, carry, carry_all, entries_of, generated, put_all, want_for, write
from nightferry.testing.conformance import StoreConformance

PAUSES = (0.01, 0.02)


class RetriedStage(MemoryStage):
    """The memory stage seen through the wrapper, which may take one place only."""

    def store(self) -> Store:
        inner = limited(super().store(), 1, host=f"retried {id(self)}")
        return retried(inner, (TryAgain,), PAUSES)


class TestRetriedStore(StoreConformance):
    faults = frozenset(RetriedStage.FAULTS) - {Fault.GROWS}

    @pytest.fixture
    def stage(self) -> RetriedStage:
        stage = RetriedStage()
        stage.__class__ = type("Stage", (RetriedStage,), {"faults": self.faults})
        return stage


@dataclass
class LapsingWire(GoodWire):
    """Lets so many requests pass between two faults; a fetch asks once for each buffer."""

    passes: int = 3
    fault: type[TryAgain] = Unreachable
    lapses: int = 0
    left: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.left = self.passes

    def ask(self) -> None:
        if self.left == 0:
            self.left = self.passes
            self.lapses += 1
            raise self.fault("the server is away for a moment")
        self.left -= 1


def lapsing(disk: MemoryDisk, wire: LapsingWire, pauses: Sequence[float] = PAUSES) -> tuple[Store, list[float]]:
    slept: list[float] = []
    return retried(MemoryStore(disk, wire=wire), (Unreachable,), pauses, slept.append), slept


@pytest.fixture
def stage() -> MemoryStage:
    stage = MemoryStage()
    for number in range(10):
        stage.plant(b"%d.fits" % number, generated(2_000_000, str(number)))
    return stage


def test_a_fetch_goes_on_at_the_byte_where_it_stood(stage: MemoryStage) -> None:
    wire = LapsingWire()
    store, slept = lapsing(stage.disk, wire)
    wants = [want_for(stage.store(), b"%d.fits" % number) for number in range(10)]
    assert carry_all(store, wants) == [generated(2_000_000, str(number)) for number in range(10)]
    assert wire.lapses > 5
    assert len(slept) == wire.lapses


def test_a_listing_that_began_is_not_begun_again(stage: MemoryStage) -> None:
    class Breaking(MemoryStore):
        begun = 0

        def list(self, enter: object = None) -> Iterator[Entry]:
            self.begun += 1
            yield Entry(StorePath("0.fits"), 1, None)
            raise Unreachable("away")

    breaking = Breaking()
    with pytest.raises(Unreachable):
        list(retried(breaking, (Unreachable,), PAUSES).list())
    assert breaking.begun == 1


def test_calls_are_repeated_until_they_come_through(stage: MemoryStage, tmp_path: Path) -> None:
    wire = LapsingWire(passes=1)
    store, slept = lapsing(stage.disk, wire)
    assert len(entries_of(store)) == 10
    paths = [StorePath(f"{number}.fits") for number in range(10)]
    assert [entry and entry.path for entry in store.stat(paths)] == paths
    loads = [Load(write(tmp_path / f"{n}", b"x"), StorePath(f"new/{n}.fits")) for n in range(5)]
    assert put_all(store, loads) == [None] * 5
    store.remove(StorePath("new/0.fits"))
    assert wire.lapses > 8
    assert len(slept) > 8


def test_pauses_end_and_the_fault_is_told(stage: MemoryStage, tmp_path: Path) -> None:
    store, slept = lapsing(stage.disk, LapsingWire(passes=0))
    with pytest.raises(Unreachable):
        list(store.list())
    with pytest.raises(Unreachable):
        carry(store, Want(StorePath("0.fits"), 2_000_000))
    assert slept == [*PAUSES, *PAUSES]
    [answer] = put_all(store, [Load(write(tmp_path / "a", b"x"), StorePath("a.fits"))])
    assert isinstance(answer, Unreachable)
    with pytest.raises(Unreachable):
        store.remove(StorePath("0.fits"))
    assert len(slept) == 8


def test_only_named_faults_are_worth_another_try(stage: MemoryStage) -> None:
    store, slept = lapsing(stage.disk, LapsingWire(passes=0, fault=TryAgain))
    with pytest.raises(TryAgain):
        list(store.list())
    assert slept == []
    with pytest.raises(ValueError, match="name the faults"):
        retried(MemoryStore(), (), PAUSES)


def test_only_the_loads_that_failed_are_put_again(tmp_path: Path) -> None:
    class Moody(MemoryStore):
        asked: list[list[str]]

        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            self.asked = [*getattr(self, "asked", []), [str(load.target) for load in loads]]
            for load in loads:
                if load.target == "b.fits" and len(self.asked) == 1:
                    yield Unreachable("away")
                else:
                    yield from super().put([load])

    moody = Moody()
    loads = [Load(write(tmp_path / name, b"x"), StorePath(name)) for name in ("a.fits", "b.fits", "c.fits", "a.fits")]
    answers = put_all(retried(moody, (Unreachable,), PAUSES), loads)
    assert [type(answer) for answer in answers] == [type(None), type(None), type(None), Occupied]
    assert moody.asked == [["a.fits", "b.fits", "c.fits", "a.fits"], ["b.fits"]]
