"""Watching: look after look, until enough of them were empty or somebody says stop."""

import errno
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Literal

import pytest

from nightferry.core.context import Site
from nightferry.core.errors import Misconfigured, NoSpace, Unreachable
from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.passes.watch import Watched, watch
from nightferry.stores.memory import MemoryStore
from tests.unit.conftest import Bench, frame_bytes, light, name_of


class Scripted(MemoryStore):
    """Does something before each listing."""

    def __init__(self, bench: Bench, *script: Callable[[], object]) -> None:
        super().__init__(bench.telescope.disk, bench.telescope.label, bench.telescope.wire)
        self.script = list(script)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        if self.script:
            self.script.pop(0)()
        return super().list(enter)


class Clock:
    """A clock that stands still until it is set, and a wait that sets it."""

    def __init__(self, start: str) -> None:
        self.at_us = self.of(start)
        self.waits: list[float] = []

    @staticmethod
    def of(text: str) -> int:
        return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)

    def now_us(self) -> int:
        return self.at_us

    def monotonic(self) -> float:
        return self.at_us / 1e6

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.at_us += round(max(seconds, 0.001) * 1e6)
        return False


def looks(
    bench: Bench,
    store: Scripted,
    empty: int | None = 2,
    then: Literal["stop", "alert"] = "stop",
    every: float = 0.0,
) -> Iterator[Watched]:
    route = bench.route(store)
    return watch(route, bench.ledger, every=every, empty=empty, then=then, onlooker=bench.witness, stop=bench.stop)


def nothing() -> None:
    """Let the telescope be as it is."""


def test_frames_are_carried_as_they_come_and_empty_looks_end_the_watch(bench: Bench) -> None:
    store = Scripted(
        bench,
        lambda: bench.telescope.plant(light(1), frame_bytes(1)),
        nothing,
        lambda: bench.telescope.plant(light(2), frame_bytes(2)),
    )
    seen = list(looks(bench, store))
    assert [look.result.pulled for look in seen] == [1, 0, 1, 0, 0]
    assert [look.empty_in_a_row for look in seen] == [0, 1, 0, 1, 2]
    assert [look.limit_reached for look in seen] == [False, False, False, False, True]
    assert bench.library.content().keys() == {name_of(1), name_of(2)}


def test_an_alert_comes_once_in_a_row_and_the_watch_goes_on(bench: Bench) -> None:
    store = Scripted(
        bench,
        *[nothing] * 4,
        lambda: bench.telescope.plant(light(1), frame_bytes(1)),
        *[nothing] * 3,
        bench.stop.set,
    )
    reached = [look.limit_reached for look in looks(bench, store, then="alert")]
    assert reached == [False, True, False, False, False, False, True, False, False]


def test_a_telescope_that_does_not_answer_is_an_empty_look(bench: Bench) -> None:
    def away() -> None:
        raise Unreachable("switched off")

    seen = list(looks(bench, Scripted(bench, away, away)))
    assert [look.empty_in_a_row for look in seen] == [1, 2]
    assert str(seen[-1].result.trouble) == "switched off"


def test_a_mount_that_died_under_a_look_is_a_trouble_of_this_look_only(bench: Bench) -> None:
    def died() -> None:
        raise OSError(errno.ENOTCONN, "the mount is dead", "/srv/shelf")

    seen = list(looks(bench, Scripted(bench, died, nothing)))
    assert str(seen[0].result.trouble).startswith("/srv/shelf: the mount is dead (ENOTCONN)")
    assert seen[1].result.trouble is None


def test_without_a_limit_it_goes_on_until_it_is_stopped(bench: Bench) -> None:
    store = Scripted(bench, *[nothing] * 20, bench.stop.set)
    assert len(list(looks(bench, store, empty=None))) == 21


def test_stopping_does_not_wait_for_the_next_look(bench: Bench) -> None:
    seen = looks(bench, Scripted(bench), empty=None, every=3600.0)
    next(seen)
    timer = threading.Timer(0.05, bench.stop.set)
    timer.start()
    assert list(seen) == []
    timer.join()


def test_a_file_in_the_making_is_looked_at_again_soon(bench: Bench) -> None:
    bench.settle = 1.0
    bench.telescope.plant(light(1), frame_bytes(1))
    seen = looks(bench, Scripted(bench), empty=None, every=3600.0)
    assert next(seen).result.news == 1
    assert next(seen).result.pulled == 1, "within about the settle time, not the hour"
    bench.stop.set()


def test_another_nightferry_at_work_is_waited_for(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    with bench.route().locked():
        timer = threading.Timer(0.05, bench.stop.set)
        timer.start()
        assert list(looks(bench, Scripted(bench), every=0.01)) == []
        timer.join()
    assert "another nightferry" in bench.witness.notes[0]
    bench.stop.clear()
    assert next(looks(bench, Scripted(bench))).result.pulled == 1


def test_a_ledger_without_room_is_a_trouble_of_this_look_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))

    def full(*_: object) -> None:
        raise NoSpace("no room for the ledger")

    seen = looks(bench, Scripted(bench))
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.ledger), "sight", full)
        first = next(seen)
    assert isinstance(first.result.trouble, NoSpace)
    assert next(seen).result.pulled == 1


def test_what_the_operator_must_mend_ends_the_watch(bench: Bench) -> None:
    bench.telescope.disk.present = False
    with pytest.raises(Misconfigured):
        list(looks(bench, Scripted(bench)))


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let time be this test's own."""
    clock = Clock("2026-09-11 20:00:00")
    monkeypatch.setattr("nightferry.passes.watch.now_us", clock.now_us)
    monkeypatch.setattr("nightferry.passes.watch.time", clock)
    monkeypatch.setattr(bench.stop, "wait", clock.wait)
    return clock


def test_in_the_dark_the_present_night_is_looked_at_in_between(bench: Bench, clock: Clock) -> None:
    bench.site = Site(48.1, 11.6)
    store = Scripted(bench)
    seen = watch(
        bench.route(store), bench.ledger, every=300.0, empty=None, then="stop", onlooker=bench.witness, stop=bench.stop
    )
    next(seen)
    store.script = [nothing, nothing, lambda: bench.telescope.plant(light(9), frame_bytes(9))]
    assert next(seen).result.pulled == 1, "between two sweeps"
    assert set(clock.waits) == {15.0}


def test_by_day_only_sweeps_look(bench: Bench, clock: Clock) -> None:
    bench.site = Site(48.1, 11.6)
    clock.at_us = clock.of("2026-09-11 12:00:00")
    seen = looks(bench, Scripted(bench), empty=None, every=300.0)
    for _ in range(3):
        next(seen)
    assert set(clock.waits) == {300.0}


def test_after_sunrise_a_sweep_takes_late_frames_and_ends_the_night(bench: Bench, clock: Clock) -> None:
    bench.site = Site(48.1, 11.6)
    clock.at_us = clock.of("2026-09-12 04:30:00")  # the sun rises at 04:43
    bench.telescope.plant(light(1), frame_bytes(1))
    store = Scripted(bench)
    ended: list[date | None] = []
    for look in looks(bench, store, empty=None, every=7200.0):
        if clock.at_us > clock.of("2026-09-12 04:40:00") and not store.script and len(ended) == 1:
            bench.telescope.plant(light(2), frame_bytes(2))
        ended.append(look.ended)
        if look.ended or len(ended) > 400:
            break
    assert ended[-1] == date(2026, 9, 11)
    assert clock.of("2026-09-12 04:43:00") < clock.at_us < clock.of("2026-09-12 04:48:00")
    assert any("the night of 2026-09-11 is over; 1 delivered: closed" in note for note in bench.witness.notes)


def test_a_night_without_frames_is_told_from_one_that_nobody_saw(bench: Bench, clock: Clock) -> None:
    bench.site = Site(48.1, 11.6)
    for hour, lives, words in ((3, None, "nothing was observed"), (3, 0, "nobody knows: memory: is away")):
        clock.at_us = clock.of(f"2026-09-{12 + (lives is not None)} 0{hour}:30:00")
        bench.telescope.wire.lives = lives
        for look in looks(bench, Scripted(bench), empty=None, every=1800.0):
            if look.ended:
                break
        assert any(words in note for note in bench.witness.notes), bench.witness.notes


def test_a_watch_that_begins_after_sunrise_ends_no_night_but_catches_up(bench: Bench, clock: Clock) -> None:
    bench.site = Site(48.1, 11.6)
    clock.at_us = clock.of("2026-09-12 09:00:00")
    bench.telescope.plant(light(1), frame_bytes(1))
    seen = looks(bench, Scripted(bench), empty=None, every=300.0)
    first = next(seen)
    assert (first.result.pulled, first.ended) == (1, None)
    assert next(seen).ended is None


def test_what_the_operator_must_mend_does_not_end_a_watch_that_worked_before(bench: Bench) -> None:
    seen = looks(bench, Scripted(bench), empty=None)
    next(seen)
    bench.telescope.disk.present = False
    assert isinstance(next(seen).result.trouble, Misconfigured)
    bench.telescope.disk.present = True
    bench.telescope.plant(light(1), frame_bytes(1))
    assert next(seen).result.pulled == 1
