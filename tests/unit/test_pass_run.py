"""A pass over a telescope's nights: what is sighted, what may settle, what is told at the end."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from nightferry.core.balance import Bin
from nightferry.core.errors import Busy, Misconfigured, Unreachable
from nightferry.core.night import Nights
from nightferry.core.receipt import Outcome
from nightferry.core.store import Arrival, Entry, Oddity, StorePath, Traits, Want
from nightferry.disk.errors import translated
from nightferry.passes.receipts import now_us
from nightferry.passes.route import locked
from nightferry.passes.run import Orders
from nightferry.stores.memory import MemoryFile, MemoryStore
from tests.unit.conftest import NIGHT, SESSION, THEN_US, Bench, Far, frame_bytes, light, name_of

OTHER_NIGHT = "2026-10-02_20-00-00_observation_M13/01-images-initial/img-0001.fits"


def plant(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        bench.telescope.plant(light(number), frame_bytes(number))


def test_a_second_pass_finds_nothing_new(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry()
    done = bench.carry()
    assert (done.listed, done.news, done.pulled, done.empty) == (1, 0, 0, True)
    assert done.balances[0].closed


def test_a_late_frame_opens_a_closed_night_again(bench: Bench) -> None:
    plant(bench, 1)
    assert bench.carry().balances[0].closed
    plant(bench, 2)
    bench.carry(Orders(until="pull"))
    (balance,) = bench.ledger.balances("vespera")
    assert (balance.seen, balance.pending, balance.closed) == (2, 1, False)
    assert bench.carry().balances[0].closed


def test_a_frame_that_still_changes_is_not_taken_until_it_rests(bench: Bench) -> None:
    bench.settle = 0.4
    whole = frame_bytes(1)
    sizes = iter([1000, 2000, len(whole)])

    class Growing(MemoryStore):
        """Writes on whenever somebody looks, until the file is whole."""

        def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
            if (size := next(sizes, None)) is not None:
                self.disk.files[light(1)] = MemoryFile(whole[:size], THEN_US + size)
            return super().stat(paths)

    bench.telescope.plant(light(1), whole[:500])
    store = Growing(bench.telescope.disk)
    done = bench.carry(route=bench.route(store))
    assert bench.witness.settled == [1, 1, 1], "what still changes after three pauses is left for the next pass"
    assert (done.pulled, done.balances[0].pending) == (0, 1)
    done = bench.carry(route=bench.route(store))
    assert done.balances[0].delivered == 1
    assert bench.library.content() == {name_of(1): whole}


def test_a_frame_that_rests_is_taken_after_one_pause(bench: Bench) -> None:
    bench.settle = 0.4
    plant(bench, 1)
    done = bench.carry()
    assert bench.witness.settled == [1]
    assert done.balances[0].delivered == 1


def test_without_patience_for_settling_fresh_frames_are_left_for_the_next_pass(bench: Bench) -> None:
    bench.settle = 3600.0
    plant(bench, 1)
    assert bench.carry(Orders(settle=False)).balances[0].pending == 1
    bench.settle = 0.001
    assert bench.carry(Orders(settle=False)).balances[0].delivered == 1


def test_a_frame_that_vanishes_while_it_settles_is_held(bench: Bench) -> None:
    bench.settle = 0.4
    plant(bench, 1, 2)

    class Losing(MemoryStore):
        def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
            self.disk.files.pop(light(1), None)
            return super().stat(paths)

    bench.carry(route=bench.route(Losing(bench.telescope.disk)))
    assert bench.bins() == {light(1): "held", light(2): "delivered"}
    assert "no longer at the telescope" in bench.account(light(1)).standing.reason


def test_a_telescope_that_goes_away_while_frames_settle_is_the_passes_trouble(bench: Bench) -> None:
    bench.settle = 0.4
    plant(bench, 1)

    class Leaving(MemoryStore):
        def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
            raise Unreachable("the Wi-Fi dropped")

    done = bench.carry(route=bench.route(Leaving(bench.telescope.disk)))
    assert str(done.trouble) == "the Wi-Fi dropped"
    assert done.balances[0].pending == 1


def test_a_frame_that_is_gone_before_it_was_pulled_is_held(bench: Bench) -> None:
    plant(bench, 1, 2)
    bench.carry(Orders(until="pull"), nights=Nights(named=frozenset({date(2000, 1, 1)})))
    bench.floor = 1 << 60
    bench.carry()
    bench.floor = 0
    del bench.telescope.disk.files[light(1)]
    bench.carry()
    assert bench.bins() == {light(1): "held", light(2): "delivered"}


def test_a_frame_that_was_gone_is_open_again_when_the_telescope_shows_it(bench: Bench) -> None:
    plant(bench, 1)
    bench.floor = 1 << 60
    bench.carry()
    bench.floor = 0
    kept = bench.telescope.disk.files.pop(light(1))
    bench.carry()
    assert bench.bins() == {light(1): "held"}
    bench.telescope.disk.files[light(1)] = kept
    bench.carry()
    assert bench.bins() == {light(1): "delivered"}
    (release,) = (receipt for receipt in bench.account(light(1)).receipts if receipt.step == "release")
    assert release.reason == "the telescope shows it again"


def test_a_frame_that_is_held_for_its_bytes_stays_held_while_it_is_shown(bench: Bench) -> None:
    bench.telescope.plant(light(1), b"not FITS")
    bench.carry()
    bench.carry()
    assert bench.told(light(1)) == [("pull", "done"), ("verify", "held")]


def test_a_frame_that_is_on_the_shelf_needs_its_telescope_no_more(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry(Orders(until="verify"))
    bench.telescope.disk.files.clear()
    bench.carry()
    assert bench.bins() == {light(1): "delivered"}


def test_nothing_is_called_gone_by_a_listing_that_failed(bench: Bench) -> None:
    plant(bench, 1, 2)
    bench.floor = 1 << 60
    bench.carry()

    class Stumbling(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            yield next(super().list(enter))
            raise Unreachable("the connection broke in the middle of the listing")

    done = bench.carry(route=bench.route(Stumbling(bench.telescope.disk)))
    assert isinstance(done.trouble, Unreachable)
    assert set(bench.bins().values()) == {"failed"}


def test_nights_that_nobody_asked_for_are_not_looked_into_nor_called_gone(bench: Bench) -> None:
    plant(bench, 1)
    bench.telescope.plant(StorePath(OTHER_NIGHT), frame_bytes(2))
    entered: list[str] = []

    class Watching(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            def asked(folder: StorePath) -> bool:
                answer = enter is None or enter(folder)
                entered.extend([folder] * answer)
                return answer

            return super().list(asked)

    bench.floor = 1 << 60
    bench.carry()  # both nights are open now
    bench.floor = 0
    route = bench.route(Watching(bench.telescope.disk))
    done = bench.carry(route=route, nights=Nights(named=frozenset({NIGHT.date})))
    assert not [folder for folder in entered if "M13" in folder]
    assert [str(balance.night) for balance in done.balances] == ["vespera 2026-09-11"]
    assert bench.bins() == {light(1): "delivered", OTHER_NIGHT: "failed"}


def test_latest_is_the_newest_night_with_something_for_us(bench: Bench) -> None:
    plant(bench, 1)
    bench.telescope.plant(StorePath(OTHER_NIGHT), frame_bytes(2))
    bench.telescope.plant(StorePath("2026-11-30_20-00-00_observation_M13/M13.jpg"), b"\xff\xd8 only a preview")
    done = bench.carry(nights=Nights(newest=True))
    assert [str(balance.night) for balance in done.balances] == ["vespera 2026-10-02"]
    assert bench.bins()[light(1)] == "pending", "seen, and not asked for"
    again = bench.carry(nights=Nights(newest=True))
    assert [str(balance.night) for balance in again.balances] == ["vespera 2026-10-02"]


def test_a_night_that_was_asked_for_and_has_nothing_is_told_as_empty(bench: Bench) -> None:
    done = bench.carry(nights=Nights(named=frozenset({NIGHT.date})))
    (balance,) = done.balances
    assert (balance.night, balance.seen, balance.closed) == (NIGHT, 0, True)


def test_links_are_told_and_lines_that_nobody_can_read_are_held(bench: Bench) -> None:
    class Odd(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            folder = StorePath(SESSION)
            yield Oddity("link", folder, "latest.fits")
            yield Oddity("special", folder, "pipe.fits")
            yield Oddity("line", folder, "?rw-r--r-- what is this.fits")
            yield Oddity("name", folder, "..\\evil.fits")
            yield Oddity("closed", folder, "lost+found")
            yield Oddity("closed", folder, "02-images-initial")

    route = bench.route(Odd())
    done = bench.carry(route=route)
    assert done.odd == 6
    (balance,) = done.balances
    assert (balance.seen, balance.ignored, balance.held) == (6, 3, 3)
    assert bench.carry(route=route).news == 0, "the same oddities are no news"


@pytest.mark.parametrize(
    ("size", "mtime_us"), [(1 << 63, None), (1 << 80, 0), (-1, 0), (2880, 1 << 63), (2880, -(1 << 70)), (2880, 1 << 59)]
)
def test_sizes_and_times_that_no_file_has_are_held_and_cost_no_other_frame(
    bench: Bench, size: int, mtime_us: int | None
) -> None:
    plant(bench, 1)

    class Raving(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            yield Entry(light(2), size, mtime_us)
            yield from super().list(enter)

    done = bench.carry(route=bench.route(Raving(bench.telescope.disk)))
    (balance,) = done.balances
    assert (balance.seen, balance.held, balance.delivered) == (2, 1, 1)


def test_what_cannot_be_carried_belongs_to_the_night_of_its_folder(bench: Bench) -> None:
    class Odd(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            for name in ("/escaped.fits", "../../escaped.fits", "..", "\0", "no name at all"):
                yield Oddity("name", StorePath(f"{SESSION}/01-images-initial"), name)

    bench.carry(route=bench.route(Odd()))
    assert [str(balance.night) for balance in bench.ledger.balances()] == ["vespera 2026-09-11"]


def test_what_a_rule_says_may_change_with_the_configuration(bench: Bench) -> None:
    plant(bench, 1)
    bench.telescope.plant(StorePath(f"{SESSION}/M31.jpg"), b"\xff\xd8")
    bench.carry()
    assert bench.bins()[f"{SESSION}/M31.jpg"] == "ignored"
    route = bench.route()
    taking = replace(route.telescope.layout, take=frozenset({"fits", "previews"}))
    bench.carry(route=replace(route, telescope=replace(route.telescope, layout=taking)))
    assert bench.bins()[f"{SESSION}/M31.jpg"] != "ignored"


def test_times_that_a_listing_tells_only_to_the_minute_are_asked_for_and_known_again(bench: Bench) -> None:
    minute = 60_000_000

    class Coarse(MemoryStore):
        asked = 0

        @property
        def traits(self) -> Traits:
            return replace(super().traits, exact_times=False)

        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            for item in super().list(enter):
                assert isinstance(item, Entry)
                assert item.mtime_us is not None
                yield Entry(item.path, item.size, item.mtime_us // minute * minute, minute)

        def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
            asked = list(paths)
            self.asked += len(asked)
            return super().stat(asked)

    bench.telescope.plant(light(1), frame_bytes(1), THEN_US + 31_000_007)
    store = Coarse(bench.telescope.disk)
    bench.carry(route=bench.route(store))
    assert bench.account(light(1)).sighting.mtime_us == THEN_US + 31_000_007
    before = store.asked
    assert bench.carry(route=bench.route(store)).news == 0
    assert store.asked == before, "what is known is not asked for again"


def test_a_dry_run_writes_nothing_anywhere(bench: Bench) -> None:
    plant(bench, 1, 2)
    done = bench.carry(Orders(dry_run=True))
    assert {planned.path for planned in done.plan} == {light(1), light(2)}
    assert bench.ledger.accounts() == []
    assert not (bench.home / "shelf").exists()
    assert bench.library.content() == {}


def test_a_dry_run_also_names_what_earlier_passes_left(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry(Orders(until="pull"))
    plant(bench, 2)
    plan = {planned.path: planned.stage for planned in bench.carry(Orders(dry_run=True)).plan}
    assert plan == {light(1): "verify", light(2): "pull"}


def test_two_passes_at_once_exclude_each_other(bench: Bench) -> None:
    with bench.route().locked(), pytest.raises(Busy, match="another nightferry"):
        bench.carry()
    bench.carry()


def test_one_that_waits_has_its_turn_when_the_other_nightferry_ends(bench: Bench) -> None:
    had_it = threading.Event()

    def wait_for_it() -> None:
        route = bench.route()
        with locked(route.lock, route.telescope.name, 60.0):
            had_it.set()

    waiting = threading.Thread(target=wait_for_it)
    with bench.route().locked():
        waiting.start()
        assert not had_it.wait(0.3)
    waiting.join(60.0)
    assert had_it.is_set()


def test_a_telescope_that_refuses_us_starts_nothing(bench: Bench) -> None:
    bench.telescope.disk.present = False
    with pytest.raises(Misconfigured):
        bench.carry()


def test_a_failed_frame_waits_for_its_next_try_when_the_pass_is_patient(bench: Bench) -> None:
    plant(bench, 1)
    bench.floor = 1 << 60
    bench.carry()
    bench.floor = 0
    assert bench.carry(Orders(patient=True)).balances[0].failed == 1
    assert bench.carry().balances[0].delivered == 1


def test_everything_that_is_to_do_is_told_before_it_begins(bench: Bench) -> None:
    plant(bench, 1, 2)
    bench.carry()
    assert bench.witness.plans == [(2, 2 * len(frame_bytes(1)))]


def test_working_files_leave_the_shelf_when_they_are_delivered_and_old(bench: Bench) -> None:
    plant(bench, 1, 2)
    bench.library.plant(name_of(2), b"other bytes")
    bench.carry()
    assert len(on_shelf(bench)) == 2
    bench.keep = 0.0
    bench.carry()
    assert [path.name for path in on_shelf(bench)] == [bench.account(light(2)).sighting.id], "held ones are needed"


def test_working_files_stay_until_every_archive_has_them_proven(bench: Bench) -> None:
    plant(bench, 1)
    second = Far("memory:second")
    second.wire.lives = 0
    stores = {"library": bench.library.store, "second": second.store}
    bench.keep = 0.0
    bench.carry(route=bench.route(archives=stores))
    assert bench.bins() == {light(1): "failed"}
    assert len(on_shelf(bench)) == 1, "one archive has it, the other does not"
    second.wire.lives = None
    bench.carry(route=bench.route(archives=stores))
    assert bench.bins() == {light(1): "delivered"}
    assert on_shelf(bench) == []


def test_a_working_file_that_a_rule_ignores_by_now_stays(bench: Bench) -> None:
    plant(bench, 1)
    bench.library.wire.lives = 0
    bench.keep = 0.0
    bench.carry()
    account = bench.account(light(1))
    bench.ledger.sight([replace(account.sighting, ignored="a new rule")])
    bench.carry(Orders(until="verify"), nights=Nights(named=frozenset({date(2000, 1, 1)})))
    assert bench.bins() == {light(1): "ignored"}
    assert len(on_shelf(bench)) == 1


def test_parts_leave_the_shelf_when_nobody_will_go_on_with_them(bench: Bench) -> None:
    plant(bench, 1)
    bench.floor = 1 << 60
    bench.carry()
    open_part = bench.shelf.part(bench.account(light(1)).sighting)
    stray = open_part.with_name(f"{'0' * 32}.part")
    open_part.parent.mkdir(parents=True, exist_ok=True)
    for part in (open_part, stray):
        part.write_bytes(b"some")
    bench.keep = 0.0
    bench.carry()
    assert on_shelf(bench) == [open_part]


def test_a_pass_whose_shelf_cannot_be_tidied_still_tells_its_balance(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(bench, 1)

    def refuse(*_: object) -> int:
        with translated(bench.home, "the shelf"):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nightferry.passes.run.tidy", refuse)
    done = bench.carry()
    assert isinstance(done.trouble, Misconfigured)
    assert done.balances[0].delivered == 1


def test_the_trouble_of_an_early_round_is_not_forgotten_by_a_later_one(bench: Bench) -> None:
    bench.settle = 0.4
    plant(bench, 1)
    bench.floor = 1 << 60
    bench.carry()
    plant(bench, 2)
    done = bench.carry()
    assert done.trouble is not None
    assert "floor" in str(done.trouble)


def test_a_file_that_changes_under_the_pull_is_taken_in_its_next_state(bench: Bench) -> None:
    plant(bench, 1)

    class Rewriting(MemoryStore):
        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            if self.disk.files[light(1)].mtime_us == THEN_US:
                self.disk.files[light(1)] = MemoryFile(frame_bytes(7), THEN_US + 5)
            return super().fetch(wants)

    route = bench.route(Rewriting(bench.telescope.disk))
    first = bench.carry(route=route)
    assert (first.balances[0].failed, bench.library.content()) == (1, {})
    second = bench.carry(route=route)
    assert (second.balances[0].seen, second.balances[0].delivered) == (1, 1)
    assert bench.library.content() == {name_of(1): frame_bytes(7)}


def test_every_receipt_tells_step_version_host_and_time(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry()
    for receipt in bench.account(light(1)).receipts:
        assert receipt.outcome is Outcome.DONE
        assert receipt.version
        assert receipt.host
        assert receipt.started_us > 1_700_000_000_000_000
    assert bench.account(light(1)).standing.bin is Bin.DELIVERED


def on_shelf(bench: Bench) -> list[Path]:
    return [path for path in bench.shelf.root.rglob("*") if path.is_file()]


def test_a_look_that_failed_is_none(bench: Bench) -> None:
    plant(bench, 1)
    assert bench.carry().looked

    class Away(MemoryStore):
        def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
            raise Unreachable("switched off")

    done = bench.carry(route=bench.route(Away(bench.telescope.disk)))
    assert (done.looked, done.complete, done.balances[0].delivered) == (False, False, 1)


def open_nights(since: date | None = None) -> Nights:
    return Nights(every=True, unclosed=True, since=since)


def test_a_run_over_open_nights_carries_what_days_off_left_behind(bench: Bench) -> None:
    plant(bench, 1)
    bench.telescope.plant(StorePath(OTHER_NIGHT), frame_bytes(9))
    bench.carry(nights=Nights(named=frozenset({date(2026, 10, 2)})))
    done = bench.carry(nights=open_nights())
    assert [(one.night, one.delivered) for one in done.balances] == [(NIGHT, 1)], "the closed night is not told again"
    assert bench.bins() == {light(1): "delivered", OTHER_NIGHT: "delivered"}


def test_a_late_frame_of_a_closed_night_is_carried_by_a_run_over_open_nights(bench: Bench) -> None:
    plant(bench, 1)
    assert bench.carry(nights=open_nights()).balances[0].closed
    plant(bench, 2)
    (balance,) = bench.carry(nights=open_nights()).balances
    assert (balance.delivered, balance.closed) == (2, True)


def test_a_night_with_held_frames_is_told_by_each_run_over_open_nights(bench: Bench) -> None:
    bench.telescope.plant(light(1), frame_bytes(1)[:3000])
    assert [one.held for one in bench.carry(nights=open_nights()).balances] == [1]
    assert [one.held for one in bench.carry(nights=open_nights()).balances] == [1]


def test_nights_before_since_are_left_at_the_telescope(bench: Bench) -> None:
    plant(bench, 1)
    bench.telescope.plant(StorePath(OTHER_NIGHT), frame_bytes(9))
    done = bench.carry(nights=open_nights(date(2026, 10, 1)))
    assert [str(one.night.date) for one in done.balances] == ["2026-10-02"]
    assert bench.bins() == {OTHER_NIGHT: "delivered"}, "folders of older nights are not even entered"


def test_frames_sighted_before_since_was_said_are_left(bench: Bench) -> None:
    plant(bench, 1)
    bench.settle = 3600.0
    bench.carry(Orders(settle=False))
    bench.settle = 0.0
    bench.carry(nights=open_nights(date(2026, 10, 1)))
    assert bench.bins() == {light(1): "pending"}


def test_the_oldest_night_that_was_pulled_bounds_open_nights(bench: Bench) -> None:
    assert bench.ledger.oldest_pulled("vespera") is None
    plant(bench, 1)
    bench.telescope.plant(StorePath(OTHER_NIGHT), frame_bytes(9))
    bench.carry(nights=Nights(named=frozenset({date(2026, 10, 2)})))
    assert bench.ledger.oldest_pulled("vespera") == date(2026, 10, 2)
    bench.carry()
    assert bench.ledger.oldest_pulled("vespera") == NIGHT.date


def test_a_run_never_waits_longer_than_the_settle_time_though_our_clock_was_ahead(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(bench, 1)
    bench.settle = 0.3
    with monkeypatch.context() as ahead:
        real = now_us
        ahead.setattr("nightferry.passes.scan.now_us", lambda: real() + 8 * 3600 * 1_000_000)
        bench.carry(Orders(settle=False))
    assert bench.bins() == {light(1): "pending"}
    waits: list[float] = []
    monkeypatch.setattr(bench.witness, "settling", lambda _files, seconds: waits.append(seconds))
    bench.carry()
    assert 0.0 < max(waits) <= bench.settle
    assert bench.bins() == {light(1): "delivered"}
