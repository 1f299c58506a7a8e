"""Carrying: what happens to frames when stores fail, and that one failure never costs another frame its way."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, Unreachable
from nightferry.core.frame import Frame, FrameId, Sighting
from nightferry.core.receipt import Outcome, Result
from nightferry.core.store import Arrival, Load, PutAnswer, StorePath, Want
from nightferry.passes.item import Waiting
from nightferry.passes.run import Orders
from nightferry.steps.deliver import Deliver
from nightferry.steps.pull import Pull
from nightferry.steps.verify import Verify
from nightferry.stores.local import LocalStore
from nightferry.stores.memory import MemoryFile, MemoryStore
from tests.unit.conftest import THEN_US, Bench, Far, frame_bytes, light, name_of


def plant(bench: Bench, *numbers: int) -> None:
    for number in numbers:
        bench.telescope.plant(light(number), frame_bytes(number))


class Flaky(MemoryStore):
    """A telescope or archive that fails the first calls, with what each list says."""

    def __init__(self, far: Far, fetch: Sequence[NightferryError] = (), put: Sequence[NightferryError] = ()) -> None:
        super().__init__(far.disk, far.label, far.wire)
        self.fetch_errors, self.put_errors = list(fetch), list(put)
        self.fetches = self.puts = 0

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        self.fetches += 1
        if self.fetch_errors:
            raise self.fetch_errors.pop(0)
        return super().fetch(wants)

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        self.puts += 1
        if self.put_errors:
            raise self.put_errors.pop(0)
        return super().put(loads)


def test_frames_go_all_the_way(bench: Bench) -> None:
    plant(bench, 1, 2, 3)
    done = bench.carry()
    assert (done.pulled, done.moved, done.trouble) == (3, 3 * len(frame_bytes(1)), None)
    assert bench.library.content() == {name_of(number): frame_bytes(number) for number in (1, 2, 3)}
    assert bench.told(light(1)) == [("pull", "done"), ("verify", "done"), ("deliver", "done")]


def test_a_telescope_that_comes_back_within_the_pass_is_no_trouble_in_the_end(bench: Bench) -> None:
    plant(bench, 1, 2)
    done = bench.carry(route=bench.route(Flaky(bench.telescope, fetch=[Unreachable("the Wi-Fi dropped")])))
    assert done.trouble is None
    assert set(bench.bins().values()) == {"delivered"}
    assert bench.told(light(1))[:2] == [("pull", "failed"), ("pull", "done")]
    assert bench.witness.notes == ["the Wi-Fi dropped"]


def test_a_telescope_that_stays_away_is_asked_a_few_times_and_ends_the_pass(bench: Bench) -> None:
    plant(bench, *range(1, 201))
    store = Flaky(bench.telescope, fetch=[Unreachable("gone")] * 100)
    done = bench.carry(route=bench.route(store))
    assert str(done.trouble) == "gone"
    assert 3 <= store.fetches <= 20, "each try costs a time-out, so there must be few"
    balance = done.balances[0]
    assert (balance.seen, balance.failed + balance.pending) == (200, 200)
    assert bench.carry().balances[0].delivered == 200


def test_a_telescope_that_dies_mid_batch_keeps_what_came_and_goes_on_with_the_rest(bench: Bench) -> None:
    plant(bench, *range(1, 11))
    size = len(frame_bytes(1))

    class Reviving(Flaky):
        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            if self.fetches:
                bench.telescope.wire.lives = None
            return super().fetch(wants)

    store = Reviving(bench.telescope)

    bench.telescope.wire.lives = 3 * size + 100
    done = bench.carry(route=bench.route(store))
    assert done.trouble is None
    assert set(bench.bins().values()) == {"delivered"}
    assert bench.told(light(1)) == [("pull", "done"), ("verify", "done"), ("deliver", "done")]


def test_no_space_ends_the_pulling_and_keeps_the_delivering(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry(Orders(until="pull"))
    plant(bench, 2, 3)
    bench.floor = 1 << 60
    done = bench.carry()
    assert isinstance(done.trouble, NoSpace)
    assert bench.bins() == {light(1): "delivered", light(2): "failed", light(3): "failed"}
    bench.floor = 0
    assert bench.carry().trouble is None
    assert set(bench.bins().values()) == {"delivered"}


def test_a_shelf_that_cannot_be_written_is_told_and_stops_the_pulling(bench: Bench) -> None:
    plant(bench, 1)
    (bench.home / "shelf").write_text("a file")
    done = bench.carry()
    assert isinstance(done.trouble, Misconfigured)
    assert bench.bins() == {light(1): "failed"}


def test_a_broken_step_leaves_a_receipt_with_its_traceback_and_the_night_goes_on(bench: Bench) -> None:
    plant(bench, 1, 2, 3)

    class Buggy(Verify):
        def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
            for frame in batch:
                if frame.name == light(2):
                    raise KeyError("a bug of ours")
                yield from super().__call__([frame])

    done = bench.carry(route=replace(bench.route(), verify=Buggy()))
    bins = bench.bins()
    assert bins[light(1)] == "delivered"
    assert bins[light(2)] == "held"
    receipt = bench.account(light(2)).receipts[-1]
    assert (receipt.step, receipt.outcome) == ("verify", Outcome.BROKEN)
    assert "a bug in nightferry: KeyError" in receipt.reason
    assert "raise KeyError" in str(receipt.proof["traceback"])
    assert done.balances[0].balanced
    bench.carry()
    assert bench.bins()[light(2)] == "held", "what is broken is not tried again by itself"


def test_a_bug_in_the_pull_is_told_for_each_frame_of_its_batch(bench: Bench) -> None:
    plant(bench, 1, 2)

    class Buggy(Pull):
        def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
            raise ZeroDivisionError

    route = bench.route()
    bench.carry(route=replace(route, pull=Buggy(route.source, route.shelf)))
    assert bench.told(light(1)) == bench.told(light(2)) == [("pull", "broken")]


def test_a_step_that_forgets_a_frame_fails_it(bench: Bench) -> None:
    plant(bench, 1, 2)

    class Forgetful(Verify):
        def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
            yield from super().__call__(batch[:1])

    bench.carry(route=replace(bench.route(), verify=Forgetful()))
    assert sorted(bench.bins().values()) == ["delivered", "failed"]


def test_a_truncated_frame_is_held_and_one_that_is_released_goes_on_as_it_is(bench: Bench) -> None:
    data = frame_bytes(1)[:-2000]
    bench.telescope.plant(light(1), data)
    bench.carry()
    assert bench.bins() == {light(1): "held"}
    seen = bench.account(light(1)).sighting
    release = replace(bench.account(light(1)).receipts[-1], step="release", outcome=Outcome.DONE, proof={})
    bench.ledger.record([release])
    bench.carry()
    assert bench.library.content() == {name_of(1): data}
    assert [step for step, _ in bench.told(seen.path)] == ["pull", "verify", "release", "deliver"]


def test_an_archive_out_of_reach_keeps_no_other_waiting(bench: Bench) -> None:
    plant(bench, 1, 2, 3)
    vault = Far("memory:vault")
    vault.wire.lives = 0
    archives = {"library": bench.library.store, "vault": vault.store}
    done = bench.carry(route=bench.route(archives=archives))
    assert bench.library.content().keys() == {name_of(number) for number in (1, 2, 3)}
    assert isinstance(done.trouble, Unreachable)
    assert set(bench.bins().values()) == {"failed"}
    vault.wire.lives = None
    done = bench.carry(route=bench.route(archives=archives))
    assert done.trouble is None
    assert done.pulled == 0
    assert vault.content() == bench.library.content()


def test_an_archive_that_stays_away_is_asked_a_few_times_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_FRAMES", 1)
    plant(bench, *range(1, 61))

    class Away(Flaky):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            threading.Event().wait(0.02)  # a time-out, small as it is
            return super().put(loads)

    vault = Away(Far("memory:vault"), put=[Unreachable("the vault is away")] * 1000)
    done = bench.carry(route=bench.route(archives={"vault": vault}))
    assert done.pulled == 60, "the telescope may be gone tomorrow"
    assert 3 <= vault.puts <= 30, "each try costs a time-out"
    assert str(done.trouble) == "the vault is away"
    assert done.balances[0].balanced


def test_an_archive_that_may_not_be_written_is_the_operators_and_asked_once(bench: Bench) -> None:
    plant(bench, *range(1, 4))
    shut = Flaky(Far("memory:vault"), put=[Misconfigured("read-only")] * 100)
    done = bench.carry(route=bench.route(archives={"vault": shut, "library": bench.library.store}))
    assert isinstance(done.trouble, Misconfigured)
    assert shut.puts == 1
    assert len(bench.library.content()) == 3
    assert done.balances[0].failed == 3


def test_the_same_frame_is_never_pulled_twice_at_once(bench: Bench) -> None:
    plant(bench, 1)
    archives = {}
    for name in ("one", "two"):
        (bench.home / name).mkdir()
        archives[name] = LocalStore(bench.home / name)
    route = bench.route(archives={"one": archives["one"]})
    bench.carry(route=route)
    with (bench.home / "one" / name_of(1)).open("r+b") as file:
        file.write(b"X")  # changes the working file as well
    store = Flaky(bench.telescope)
    bench.carry(route=bench.route(store, archives={"two": archives["two"], "three": bench.library.store}))
    assert store.fetches == 1
    assert bench.library.content() == {name_of(1): frame_bytes(1)}
    assert (bench.home / "two" / name_of(1)).read_bytes() == frame_bytes(1)


def test_a_frame_that_the_shelf_lost_is_pulled_and_judged_again(bench: Bench) -> None:
    plant(bench, 1, 2)
    bench.carry(Orders(until="verify"))
    for path in bench.shelf.root.rglob("*"):
        if path.is_file():
            path.unlink()
    bench.telescope.plant(light(1), frame_bytes(1)[:2880] + bytes(2880))  # same size and time, other bytes
    assert len(frame_bytes(1)) == 5760
    bad = b"no FITS at all".ljust(5760)
    bench.telescope.disk.files[light(2)] = MemoryFile(bad, THEN_US)
    bench.carry()
    assert bench.bins() == {light(1): "delivered", light(2): "held"}
    assert bench.told(light(2))[-2:] == [("pull", "done"), ("verify", "held")]
    assert name_of(2) not in bench.library.content()


def test_stopping_leaves_no_receipt_of_the_frame_in_hand(bench: Bench) -> None:
    plant(bench, 1)

    class Stopping(MemoryStore):
        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            bench.stop.set()
            return super().fetch(wants)

    bench.carry(route=bench.route(Stopping(bench.telescope.disk)))
    assert bench.bins() == {light(1): "pending"}
    assert bench.told(light(1)) == []
    bench.stop.clear()
    bench.carry()
    assert bench.bins() == {light(1): "delivered"}


def test_after_a_stop_nothing_more_is_begun(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_FRAMES", 1)
    plant(bench, *range(1, 31))

    class Stopping(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            bench.stop.set()
            return super().put(loads)

    done = bench.carry(route=bench.route(archives={"library": Stopping(bench.library.disk)}))
    assert 0 < len(bench.library.content()) <= 8
    assert done.balances[0].balanced
    assert done.balances[0].pending > 0


def test_receipts_are_written_even_when_the_ledger_fails_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(bench, 1)
    record = type(bench.ledger).record
    errors = [NoSpace("no room for the ledger")]

    def failing(self: object, receipts: Sequence[object]) -> None:
        if receipts and errors:
            raise errors.pop()
        record(bench.ledger, receipts)  # type: ignore[arg-type]

    monkeypatch.setattr(type(bench.ledger), "record", failing)
    with pytest.raises(NoSpace):
        bench.carry()
    assert not bench.stop.is_set(), "other telescopes of the same watch go on"
    bench.carry()
    assert bench.bins() == {light(1): "delivered"}
    assert bench.library.content() == {name_of(1): frame_bytes(1)}


def test_frames_on_the_shelf_are_delivered_while_the_telescope_is_off(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry(Orders(until="verify"))
    bench.telescope.wire.lives = 0
    done = bench.carry()
    assert isinstance(done.trouble, Unreachable)
    assert bench.bins() == {light(1): "delivered"}


def test_big_frames_do_not_share_a_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_BYTES", 10_000)
    plant(bench, 1, 2, 3)
    sizes: list[int] = []

    class Counting(MemoryStore):
        def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
            sizes.append(len(wants))
            return super().fetch(wants)

    bench.carry(route=bench.route(Counting(bench.telescope.disk)))
    assert sizes == [1, 1, 1]


def test_a_slow_archive_does_not_keep_the_telescope_waiting(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_FRAMES", 1)
    plant(bench, *range(1, 21))
    all_here = threading.Event()

    class Slow(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            assert all_here.wait(300), "the pulls wait for the deliveries"
            return super().put(loads)

    class Watching(Pull):
        def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
            yield from super().__call__(batch)
            if sum(path.is_file() for path in bench.shelf.root.rglob("*")) == 20:
                all_here.set()

    route = bench.route(archives={"slow": Slow(bench.library.disk)})
    done = bench.carry(route=replace(route, pull=Watching(route.source, route.shelf)))
    assert done.balances[0].delivered == 20


def test_frames_that_find_no_room_before_a_slow_archive_wait_outside_and_come_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.passes.item.BATCH_FRAMES", 1)
    monkeypatch.setattr("nightferry.passes.carry.BATCH_FRAMES", 0)
    monkeypatch.setattr("nightferry.passes.carry.WINDOW", 2)
    plant(bench, *range(1, 21))
    outside: list[str] = []
    leave = Waiting.leave

    def watched(self: Waiting, place: str, frames: Sequence[FrameId]) -> None:
        outside.extend(frames)
        leave(self, place, frames)

    class Slow(MemoryStore):
        def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
            assert all_here.wait(300), "the pulls wait for the deliveries"
            return super().put(loads)

    class Watching(Pull):
        def __call__(self, batch: Sequence[Sighting]) -> Iterator[Result]:
            yield from super().__call__(batch)
            if sum(path.is_file() for path in bench.shelf.root.rglob("*")) == 20:
                all_here.set()

    all_here = threading.Event()
    monkeypatch.setattr(Waiting, "leave", watched)
    route = bench.route(archives={"slow": Slow(bench.library.disk), "fast": MemoryStore()})
    done = bench.carry(route=replace(route, pull=Watching(route.source, route.shelf)))
    assert done.balances[0].delivered == 20
    assert len(outside) >= 10
    for number in range(1, 21):
        told = bench.told(light(number))
        assert sorted(told) == [("deliver", "done"), ("deliver", "done"), ("pull", "done"), ("verify", "done")]


def test_two_deliveries_of_one_frame_are_two_receipts(bench: Bench) -> None:
    plant(bench, 1)
    vault = Far("memory:vault")
    bench.carry(route=bench.route(archives={"library": bench.library.store, "vault": vault.store}))
    targets = {receipt.target for receipt in bench.account(light(1)).receipts if receipt.step == "deliver"}
    assert targets == {"library", "vault"}


def test_a_second_archive_gets_what_the_first_has(bench: Bench) -> None:
    plant(bench, 1)
    bench.carry()
    vault = Far("memory:vault")
    done = bench.carry(route=bench.route(archives={"library": bench.library.store, "vault": vault.store}))
    assert done.pulled == 0
    assert vault.content() == bench.library.content()


def test_a_delivery_under_a_taken_name_is_held_until_it_is_released(bench: Bench) -> None:
    plant(bench, 1)
    bench.library.plant(name_of(1), b"other bytes")
    bench.carry()
    assert bench.bins() == {light(1): "held"}
    del bench.library.disk.files[name_of(1)]
    bench.carry()
    assert bench.bins() == {light(1): "held"}, "a person looks at it first"
    last = bench.account(light(1)).receipts[-1]
    bench.ledger.record([replace(last, step="release", target="", outcome=Outcome.DONE, proof={})])
    bench.carry()
    assert bench.bins() == {light(1): "delivered"}


def test_the_deliver_step_is_asked_under_its_archives_name() -> None:
    assert Deliver(MemoryStore(), "vault", lambda frame: StorePath(frame.name)).target == "vault"
