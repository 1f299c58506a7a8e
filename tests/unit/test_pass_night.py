"""The night that a frame is counted to, from its sighting on: what speaks against it, and what can change it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from nightferry.assemble import night_doubt
from nightferry.core.context import Site
from nightferry.core.errors import Unreachable
from nightferry.core.night import NightRule
from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.passes.route import Route
from nightferry.passes.run import Orders
from nightferry.steps.verify import Verify
from nightferry.stores.memory import MemoryStore
from nightferry.testing.encode import fits_image
from tests.unit.conftest import SESSION, THEN_US, Bench, light

DAY_US = 86_400_000_000


def frame(start: str = "", seed: int = 1) -> bytes:
    """Make a small frame that tells when it began."""
    cards = [("OBJECT", "M31", ""), *([("DATE-OBS", start, "")] if start else [])]
    return fits_image(cards, np.random.default_rng(seed).integers(0, 60_000, (6, 8), np.uint16))


def ruled(bench: Bench, rule: NightRule) -> Route:
    """Put together a route on which that rule decides the night."""
    route = bench.route()
    layout = replace(route.telescope.layout, night=rule, longitude=11.6)
    telescope = replace(route.telescope, layout=layout)
    return replace(route, telescope=telescope, verify=Verify(doubt=night_doubt(layout)))


def doubts(bench: Bench, path: StorePath) -> list[str]:
    """Tell what stands in a frame's receipts against its night or the telescope's clock."""
    receipts = bench.account(path).receipts
    told = [receipt.reason or str(receipt.proof.get("warnings", "")) for receipt in receipts]
    return [text for text in told if "counted to the night" in text or "clock is" in text]


def test_a_frame_whose_time_of_change_tells_another_night_says_so_and_is_delivered(bench: Bench) -> None:
    bench.site = Site(48.1, 11.6)  # without one this machine's zone would tell the night
    bench.telescope.plant(light(1), frame(), THEN_US + 3 * DAY_US)
    bench.telescope.plant(light(2), frame(seed=2))
    bench.carry()
    (told,) = doubts(bench, light(1))
    assert told == "counted to the night of 2026-09-11, but the time of change says 2026-09-14"
    assert bench.told(light(1))[0] == ("sight", "done")
    assert bench.bins() == {light(1): "delivered", light(2): "delivered"}
    assert doubts(bench, light(2)) == []
    assert any("in doubt" in note and told in note for note in bench.witness.notes)


def test_a_header_that_tells_another_night_is_a_warning_of_the_frame(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame("2026-09-09T22:00:00"))
    bench.telescope.plant(light(2), frame("2026-09-11T22:00:00Z"))
    bench.telescope.plant(light(3), frame("no time at all"))
    bench.carry(route=ruled(bench, NightRule.FOLDER))
    (told,) = doubts(bench, light(1))
    assert "counted to the night of 2026-09-11, but the header says 2026-09-09" in told
    assert doubts(bench, light(2)) == doubts(bench, light(3)) == []
    assert set(bench.bins().values()) == {"delivered"}


def test_a_clock_ahead_of_ours_is_told(bench: Bench) -> None:
    bench.telescope.plant(StorePath("loose/a.fits"), frame(), time.time_ns() // 1000 + 3 * 3600 * 1_000_000)
    bench.carry()
    (told,) = doubts(bench, StorePath("loose/a.fits"))
    assert "the telescope's clock is 2 h 59 min or more ahead of ours" in told


@pytest.mark.parametrize("settle", [0.0, 0.2])
def test_a_clock_behind_ours_is_told_of_a_file_that_grows(bench: Bench, settle: float) -> None:
    bench.settle = settle
    now_us = time.time_ns() // 1000
    path = StorePath("loose/a.fits")
    bench.telescope.plant(path, frame()[:2880], now_us - 2 * 3600 * 1_000_000)
    bench.carry(Orders(settle=False))
    bench.telescope.plant(path, frame(), now_us - 2 * 3600 * 1_000_000 + 60_000_000)
    bench.carry()
    (told,) = doubts(bench, path)
    assert "or more behind ours" in told


def test_a_header_decides_the_night_where_the_rule_says_so(bench: Bench) -> None:
    path = StorePath("loose/a.fits")
    bench.telescope.plant(path, frame("2026-09-01T22:00:00"))
    bench.telescope.plant(StorePath("loose/b.fits"), frame())
    bench.telescope.plant(StorePath("loose/c.fits"), b"")
    bench.carry(route=ruled(bench, NightRule.HEADER))
    nights = {account.sighting.path: account.sighting.night.date for account in bench.ledger.accounts("vespera")}
    assert nights == {
        path: date(2026, 9, 1),
        "loose/b.fits": date(2026, 9, 11),
        "loose/c.fits": date(2026, 9, 11),
    }


def test_a_header_that_comes_while_the_frame_settles_still_decides(bench: Bench) -> None:
    bench.settle = 0.3
    path = StorePath("loose/a.fits")
    bench.telescope.plant(path, b"")
    route = ruled(bench, NightRule.HEADER)
    listed = route.source.list

    class Writing(MemoryStore):
        """A telescope whose file is written right after it was listed."""

        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            yield from listed(enter)
            bench.telescope.plant(path, frame("2026-09-01T22:00:00"))

    store = Writing(bench.telescope.disk, "memory:telescope", bench.telescope.wire)
    bench.carry(route=replace(route, source=store))
    account = bench.account(path)
    assert (account.sighting.night.date, str(account.standing.bin)) == (date(2026, 9, 1), "delivered")


def test_a_frame_keeps_its_night_when_the_rule_changes(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame())
    bench.telescope.plant(StorePath(f"{SESSION}/img-0001.jpg"), b"\xff\xd8", THEN_US)
    bench.telescope.plant(StorePath("loose/a.fits"), frame("2026-09-01T22:00:00"))
    bench.carry(Orders(until="pull"))
    before = {account.sighting.path: account.sighting.night for account in bench.ledger.accounts("vespera")}
    route = ruled(bench, NightRule.HEADER)
    layout = replace(route.telescope.layout, take=frozenset({"fits", "previews"}))
    bench.carry(route=replace(route, telescope=replace(route.telescope, layout=layout)))
    after = {account.sighting.path: account.sighting.night for account in bench.ledger.accounts("vespera")}
    assert after == before
    assert bench.bins()[f"{SESSION}/img-0001.jpg"] != "ignored", "it is wanted now, and still of the same night"


def test_folders_are_left_unlisted_only_where_folders_decide(bench: Bench) -> None:
    layout = bench.route().telescope.layout
    assert layout.evening_of_folder(StorePath(SESSION)) == date(2026, 9, 11)
    assert replace(layout, night=NightRule.HEADER).evening_of_folder(StorePath(SESSION)) is None


def guarded(bench: Bench) -> Route:
    """Put together a route from a place that is never empty without a reason."""
    route = bench.route()
    return replace(route, telescope=replace(route.telescope, never_bare=True))


def test_a_place_with_nothing_at_all_where_files_were_is_out_of_reach_and_nothing_is_gone(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame())
    bench.carry(Orders(until="pull"), guarded(bench))
    bench.telescope.plant(light(2), frame(seed=2))
    bench.carry(Orders(until="pull", settle=False), guarded(bench))
    kept = dict(bench.telescope.disk.files)
    bench.telescope.disk.files.clear()
    done = bench.carry(route=guarded(bench))
    assert isinstance(done.trouble, Unreachable)
    assert "where 2 files were before" in str(done.trouble)
    assert "mount = false" in str(done.trouble)
    assert set(bench.bins().values()) == {"delivered"}, "what is on the shelf is delivered all the same"
    bench.telescope.disk.files.update(kept)
    assert bench.carry(route=guarded(bench)).trouble is None


def test_a_place_that_was_always_empty_or_that_we_cleared_ourselves_may_be_empty(bench: Bench) -> None:
    assert bench.carry(route=guarded(bench)).trouble is None
    bench.clear_after = 0.0
    bench.telescope.plant(light(1), frame())
    assert bench.carry(route=guarded(bench)).cleared == 1
    bench.telescope.disk.files.clear()
    assert bench.carry(route=guarded(bench)).trouble is None


def test_without_the_guard_an_empty_place_is_believed(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame())
    bench.carry(Orders(until="pull"))
    bench.telescope.disk.files.clear()
    assert bench.carry().trouble is None


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00", "9999-12-31T23:59:59", "1E999", "2026-02-30T00:00:00"])
@pytest.mark.parametrize("rule", [NightRule.HEADER, NightRule.FOLDER])
def test_a_date_at_the_end_of_the_calendar_ends_no_look(bench: Bench, start: str, rule: NightRule) -> None:
    odd, good = StorePath("loose/a.fits"), StorePath("loose/b.fits")
    bench.telescope.plant(odd, frame(start))
    bench.telescope.plant(good, frame("2026-09-01T22:00:00", seed=2))
    done = bench.carry(route=ruled(bench, rule))
    assert done.trouble is None
    nights = {account.sighting.path: account.sighting.night.date for account in bench.ledger.accounts("vespera")}
    assert nights[odd] == date(2026, 9, 11), "the file's own time tells it"
    assert bench.bins() == {odd: "delivered", good: "delivered"}


@pytest.mark.parametrize("stamp", ["0001-01-01_00-00-00", "9999-12-31_23-59-59"])
def test_a_folder_dated_at_the_end_of_the_calendar_ends_no_look(bench: Bench, stamp: str) -> None:
    bench.telescope.plant(StorePath(f"{stamp}_observation_M31/01-images-initial/img-0001.fits"), frame())
    bench.telescope.plant(light(1), frame(seed=2))
    assert bench.carry().trouble is None
    assert bench.bins()[light(1)] == "delivered"
