import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path

import pytest

from nightferry.core.store import Load, PutAnswer, Store, StorePath
from nightferry.stores.local import LocalStore
from nightferry.stores.memory import MemoryStore
from nightferry.stores.wrappers import Throttle, Window, throttled
from nightferry.testing.conform_memory import MemoryStage
from nightferry.testing.conform_stage import carry, generated, put_all, want_for, write
from nightferry.testing.conformance import StoreConformance

MB = 1_000_000


@dataclass
class Clock:
    """A clock that moves when somebody sleeps; the day began at noon."""

    seconds: float = 0.0
    naps: list[float] = field(default_factory=list)
    noon: float = 12 * 3600.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.naps.append(seconds)
            self.seconds += seconds

    def now(self) -> time:
        minutes = int((self.noon + self.seconds) // 60) % 1440
        return time(minutes // 60, minutes % 60)

    def throttle(self, rate: float | None, *windows: Window) -> Throttle:
        return Throttle(rate, windows, clock=lambda: self.seconds, now=self.now, sleep=self.sleep)


class ThrottledStage(MemoryStage):
    """The memory stage seen through a throttle that makes small pieces of everything."""

    def store(self) -> Store:
        return throttled(super().store(), Clock().throttle(0.5 * MB))


class TestThrottledStore(StoreConformance):
    faults = ThrottledStage.FAULTS

    @pytest.fixture
    def stage(self) -> ThrottledStage:
        return ThrottledStage()


def test_fetched_bytes_keep_to_the_rate_and_flow() -> None:
    stage, clock = MemoryStage(), Clock()
    stage.plant(b"a.fits", generated(10 * MB))
    assert carry(throttled(stage.store(), clock.throttle(2 * MB)), want_for(stage.store(), b"a.fits"))
    assert clock.seconds == pytest.approx(5, rel=0.1)
    assert max(clock.naps) < 0.6


class Silent(MemoryStore):
    """A store that does not know of `Load.pace`."""

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        yield from super().put([Load(load.source, load.target) for load in loads])


def loads_of(tmp_path: Path) -> list[Load]:
    return [Load(write(tmp_path / f"{n}", generated(MB)), StorePath(f"{n}.fits")) for n in range(4)]


def test_put_bytes_keep_to_the_rate_in_a_store_that_tells_nothing(tmp_path: Path) -> None:
    clock = Clock()
    assert put_all(throttled(Silent(), clock.throttle(0.5 * MB)), loads_of(tmp_path)) == [None] * 4
    assert clock.seconds == pytest.approx(8, rel=0.1)


def test_a_link_moves_no_bytes(tmp_path: Path) -> None:
    clock, archive = Clock(), tmp_path / "archive"
    archive.mkdir()
    assert put_all(throttled(LocalStore(archive), clock.throttle(1.0)), loads_of(tmp_path)) == [None] * 4
    assert clock.seconds < 1


def test_a_store_that_tells_what_it_sends_flows(tmp_path: Path) -> None:
    clock = Clock()
    load = Load(write(tmp_path / "a", generated(10 * MB)), StorePath("a.fits"))
    assert put_all(throttled(MemoryStore(), clock.throttle(5 * MB)), [load]) == [None]
    assert clock.seconds == pytest.approx(2, rel=0.1)


def test_those_who_share_a_throttle_share_its_rate() -> None:
    clock = Clock()
    throttle = clock.throttle(1 * MB)
    for _ in range(2):
        stage = MemoryStage()
        stage.plant(b"a.fits", generated(MB))
        carry(throttled(stage.store(), throttle), want_for(stage.store(), b"a.fits"))
    assert clock.seconds == pytest.approx(2, rel=0.1)


def test_in_its_hours_a_window_counts_instead() -> None:
    night = Window(time(20), time(6), 5.0 * MB)
    freely = Window(time(1), time(3), None)
    clock = Clock()
    throttle = clock.throttle(1.0 * MB, freely, night)
    found = {}
    for hour in (12, 19, 20, 23, 0, 1, 2, 3, 5, 6):
        clock.noon = hour * 3600.0
        found[hour] = throttle.rate
    slow, fast = 1.0 * MB, 5.0 * MB
    wanted = {12: slow, 19: slow, 20: fast, 23: fast, 0: fast, 1: None, 2: None, 3: fast, 5: fast, 6: slow}
    assert found == wanted


def test_a_window_that_begins_while_bytes_wait_lets_them_go() -> None:
    clock = Clock(noon=20 * 3600.0 - 10)
    throttle = clock.throttle(1000.0, Window(time(20), time(21), None))
    throttle.spend(3_600_000)  # an hour's worth
    assert clock.seconds == pytest.approx(10, abs=1)


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        Throttle(0)
    with pytest.raises(ValueError, match="positive"):
        Throttle(1, [Window(time(1), time(2), -1)])
