"""A look at a telescope is whole, or it says where not: then nothing is gone, and no night is closed."""

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Literal

import pytest

from nightferry import api
from nightferry.cli.exits import code_of_balances
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.passes.run import Orders, Pass
from nightferry.stores.memory import MemoryStore
from tests.unit.conftest import SESSION, Bench, Far, frame_bytes, light

OTHER = "2026-09-12_21-00-00_observation_NGC7000"
DOUBTS: list[Literal["closed", "line", "unread", "unknown"]] = ["closed", "line", "unread", "unknown"]


class Shortsighted(MemoryStore):
    """A store of which some places are not shown whole, and files that are hidden behind them."""

    def __init__(self, far: Far, odd: Sequence[Oddity], hidden: set[StorePath]) -> None:
        super().__init__(far.disk, far.label, far.wire)
        self.odd, self.hidden = odd, hidden

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree as far as it is shown."""
        for item in super().list(enter):
            if not (isinstance(item, Entry) and item.path in self.hidden):
                yield item
        yield from self.odd


def look(bench: Bench, *odd: Oddity, hidden: StorePath | None = None) -> Pass:
    """Make one pass over a telescope that is not shown whole."""
    store = Shortsighted(bench.telescope, odd, {hidden} if hidden else set())
    return bench.carry(route=bench.route(store))


def odd(kind: Literal["closed", "line", "unread", "unknown"], folder: str = SESSION) -> Oddity:
    """Return an oddity of a folder."""
    return Oddity(kind, StorePath(folder), "226 Output truncated" if kind == "unread" else "something")


def closed(done: Pass) -> dict[date, bool]:
    """Return which nights are closed."""
    return {balance.night.date: balance.closed for balance in done.balances}


@pytest.mark.parametrize("kind", DOUBTS)
def test_a_look_that_was_not_whole_closes_no_night_that_it_may_hide(
    bench: Bench, kind: Literal["closed", "line", "unread", "unknown"]
) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    done = look(bench, odd(kind))
    assert not done.complete
    (balance,) = done.balances
    assert (balance.delivered, balance.held, balance.complete, balance.closed) == (1, 1, False, False)
    assert code_of_balances(done.balances) == 1


@pytest.mark.parametrize("kind", DOUBTS)
def test_a_later_look_that_was_whole_closes_the_night(
    bench: Bench, kind: Literal["closed", "line", "unread", "unknown"]
) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    look(bench, odd(kind))
    done = look(bench)
    assert done.complete
    (balance,) = done.balances
    assert (balance.delivered, balance.held, balance.ignored, balance.closed) == (1, 0, 1, True)
    assert not look(bench, odd(kind)).balances[0].closed


def test_a_doubt_of_one_night_keeps_no_other_open(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.plant(StorePath(f"{OTHER}/01-images-initial/img-0001.fits"), frame_bytes(2))
    done = look(bench, odd("unread", OTHER))
    assert closed(done) == {date(2026, 9, 11): True, date(2026, 9, 12): False}


@pytest.mark.parametrize("kind", DOUBTS)
def test_a_doubt_that_no_folder_dates_keeps_every_night_open(
    bench: Bench, kind: Literal["closed", "line", "unread", "unknown"]
) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.plant(StorePath(f"{OTHER}/01-images-initial/img-0001.fits"), frame_bytes(2))
    done = look(bench, odd(kind, ROOT))
    assert not any(closed(done).values())
    assert all(closed(look(bench)).values())


@pytest.mark.parametrize("doubt", [odd("unread"), odd("unread", f"{SESSION}/01-images-initial"), odd("unread", ROOT)])
def test_a_file_that_such_a_look_does_not_show_is_not_gone(bench: Bench, doubt: Oddity) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.wire.cut = 100
    bench.carry(Orders(until="pull"))
    assert bench.account(light(1)).standing.bin == "failed"
    look(bench, doubt, hidden=light(1))
    assert bench.account(light(1)).standing.bin == "failed"


def test_a_file_that_a_whole_look_does_not_show_is_held_as_gone(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    bench.telescope.wire.cut = 100
    bench.carry(Orders(until="pull"))
    look(bench, odd("unread", OTHER), hidden=light(1))
    assert "no longer at the telescope" in bench.account(light(1)).standing.reason


def test_a_person_may_settle_a_doubt_and_the_night_is_closed(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    look(bench, odd("closed"))
    api.release(bench.ledger, f"{SESSION}/something", "the maker's own folder; no frames are in it")
    done = look(bench, odd("closed"))
    assert done.complete
    (balance,) = done.balances
    assert (balance.held, balance.ignored, balance.closed) == (0, 1, True)


def test_oddities_that_hide_nothing_leave_the_look_whole(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    links = [Oddity("link", StorePath(SESSION), "img.fits"), Oddity("special", StorePath(SESSION), "a.fits")]
    done = look(bench, *links, Oddity("closed", ROOT, "lost+found"))
    assert done.complete
    assert all(closed(done).values())


def test_the_overview_says_that_a_night_was_not_seen_whole(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1))
    look(bench, odd("unread"))
    (line,) = bench.ledger.overview("vespera", 3).nights
    assert not line.balance.complete
    assert not line.balance.closed
    (older,) = bench.ledger.open_nights("vespera", date(2026, 10, 1))
    assert not older.balance.complete
