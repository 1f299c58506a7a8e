"""Watching: look after look, until enough of them were empty or somebody says stop."""

import threading
from collections.abc import Callable, Iterator
from typing import Literal

import pytest
from tests.unit.conftest import Bench, frame_bytes, light, name_of

from nightferry.conduct import Watched, watch
from nightferry.core.errors import Misconfigured, NoSpace, Unreachable
from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.stores.memory import MemoryStore


class Scripted(MemoryStore):
    """Does something before each listing."""

    def __init__(self, bench: Bench, *script: Callable[[], object]) -> None:
        super().__init__(bench.telescope.disk, bench.telescope.label, bench.telescope.wire)
        self.script = list(script)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        if self.script:
            self.script.pop(0)()
        return super().list(enter)


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
