from pathlib import Path

import pytest

from nightferry.core.errors import TryAgain
from nightferry.core.store import Load, StorePath, Want
from nightferry.stores.memory import MemoryDisk, MemoryStore
from nightferry.testing.conform_memory import MemoryStage
from nightferry.testing.conform_stage import generated, put_all, write
from nightferry.testing.conformance import StoreConformance


class TestMemoryStore(StoreConformance):
    faults = MemoryStage.FAULTS

    @pytest.fixture
    def stage(self) -> MemoryStage:
        return MemoryStage()


def test_no_test_is_left_out_for_a_stage_that_offers_everything() -> None:
    assert TestMemoryStore.left_out == frozenset()


def test_stores_on_one_disk_see_the_same_files(tmp_path: Path) -> None:
    disk = MemoryDisk()
    assert put_all(MemoryStore(disk), [Load(write(tmp_path / "a", b"x"), StorePath("a.fits"))]) == [None]
    assert [entry and entry.size for entry in MemoryStore(disk).stat([StorePath("a.fits")])] == [1]


def test_arrival_that_was_not_read_to_its_end_cannot_be_finished() -> None:
    stage = MemoryStage()
    stage.plant(b"a.fits", generated(5000))
    [arrival] = stage.store().fetch([Want(StorePath("a.fits"), 5000)])
    assert arrival.read_into(memoryview(bytearray(5000))) == 5000
    with pytest.raises(TryAgain, match="not read to its end"):
        arrival.finish()
