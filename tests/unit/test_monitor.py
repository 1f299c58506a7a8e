"""The monitor: two nights with a clock of their own, what people are told in them, and nothing lost or told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest

from nightferry.alerts import over_evening
from nightferry.config import Config, loads
from nightferry.core.alert import Alert, Kind
from nightferry.core.balance import Bin
from nightferry.core.context import Site
from nightferry.core.frame import Sighting
from nightferry.core.night import Night
from nightferry.core.overview import Contact
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.monitor import Monitor
from nightferry.passes.run import Pass
from nightferry.passes.watch import Watched, watch
from nightferry.stores.memory import MemoryStore
from tests.unit.conftest import Bench, frame_bytes

SITE = Site(48.1, 11.6)
#: What patches are put on: every module that asks for the time.
CLOCKS = (
    "nightferry.passes.watch.now_us",
    "nightferry.passes.run.now_us",
    "nightferry.passes.scan.now_us",
    "nightferry.passes.carry.now_us",
)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


class Clock:
    """A clock that goes on only while somebody waits."""

    def __init__(self, start: str) -> None:
        self.at_us = at(start)

    def now_us(self) -> int:
        return self.at_us

    def time_ns(self) -> int:
        return self.at_us * 1000

    def monotonic(self) -> float:
        return self.at_us / 1e6

    def wait(self, seconds: float) -> bool:
        self.at_us += round(max(seconds, 0.001) * 1e6)
        return False


@pytest.fixture
def clock(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock("2026-09-11 15:00:00")
    for name in CLOCKS:
        monkeypatch.setattr(name, clock.now_us)
    monkeypatch.setattr("nightferry.passes.watch.time", clock)
    monkeypatch.setattr("nightferry.monitor.time", clock)
    monkeypatch.setattr(bench.stop, "wait", clock.wait)
    bench.site = SITE
    return clock


def configured(bench: Bench, *, site: bool = True, more: str = "") -> Config:
    where = '[site.here]\nlatitude = "48.1 deg"\nlongitude = "11.6 deg"\n' if site else ""
    return loads(
        f"""
        [shelf]
        path = '{(bench.home / "shelf").as_posix()}'
        floor = "0 B"
        {where}
        [telescope.vespera]
        preset = "vespera"
        source = "file:///card"
        {'site = "here"' if site else ""}
        archives = ["library"]
        [archive.library]
        url = "file:///library"
        {more}
        """
    )


class Observing(MemoryStore):
    """A telescope that takes a frame every half hour of the dark, and is away for a while."""

    def __init__(self, bench: Bench, clock: Clock, away: tuple[int, int]) -> None:
        super().__init__(bench.telescope.disk, bench.telescope.label, bench.telescope.wire)
        self.bench, self.clock, self.away = bench, clock, away
        self.taken = 0

    def observe(self) -> None:
        for night in (11, 12):
            for number in range(16):
                shutter = at(f"2026-09-{night} 19:30:00") + number * 1_800_000_000
                path = StorePath(f"2026-09-{night}_19-30-00_observation_M31/01-images-initial/img-{number:04d}.fits")
                if shutter <= self.clock.at_us and path not in self.bench.telescope.disk.files:
                    self.bench.telescope.plant(path, frame_bytes(100 * night + number), shutter)
                    self.taken += 1

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        self.observe()
        self.bench.telescope.wire.lives = 0 if self.away[0] <= self.clock.at_us < self.away[1] else None
        yield from super().list(enter)


def told(bench: Bench) -> list[tuple[str, str]]:
    letters = [one.alert for one in reversed(bench.ledger.outbox.letters(99))]
    return [(str(alert.kind), alert.key) for alert in letters if alert.key != EARLIER.key]


#: That nightferry was here before: the digest of an earlier night.
EARLIER = Alert(0, "digest/2026-09-01", Kind.DIGEST, "earlier", "", 1)


def test_two_nights_with_an_outage_and_a_restart_lose_nothing_and_tell_each_thing_once(
    bench: Bench, clock: Clock
) -> None:
    bench.settle = 60.0
    store = Observing(bench, clock, (at("2026-09-11 23:00:00"), at("2026-09-11 23:40:00")))
    config = configured(bench)
    ended: list[date] = []

    def looks(until: str) -> None:
        monitor = Monitor(config, bench.ledger, hasty=False, note=bench.witness.note)
        seen: Iterator[Watched] = watch(
            bench.route(store), bench.ledger, every=600.0, live=120.0, empty=None, then="stop",
            onlooker=bench.witness, stop=bench.stop,
        )  # fmt: skip
        for look in seen:
            monitor.watched("vespera", look)
            ended.extend([look.ended] if look.ended else [])
            if clock.at_us > at(until):
                return

    looks("2026-09-12 01:00:00")
    clock.at_us = at("2026-09-12 02:40:00")  # the machine was off for more than an hour
    looks("2026-09-13 12:00:00")
    assert store.taken == 32
    assert set(bench.bins().values()) == {"delivered"}
    assert len(bench.library.content()) == 32
    assert ended == [date(2026, 9, 11), date(2026, 9, 12)]
    assert told(bench) == [
        ("raised", "unreachable/vespera"),
        ("resolved", "unreachable/vespera"),
        ("digest", "digest/2026-09-11"),
        ("digest", "digest/2026-09-12"),
    ]
    digests = [one.alert for one in bench.ledger.outbox.letters(9) if one.alert.kind is Kind.DIGEST]
    assert {alert.title for alert in digests} == {
        "2026-09-11: 16 of 16 frames delivered",
        "2026-09-12: 16 of 16 frames delivered",
    }


def test_a_frame_is_delivered_within_seconds_of_its_settling(bench: Bench, clock: Clock) -> None:
    bench.settle = 60.0
    store = Observing(bench, clock, (0, 0))
    clock.at_us = at("2026-09-11 19:00:00")
    latest = 0.0
    for _ in watch(
        bench.route(store), bench.ledger, every=600.0, live=15.0, empty=None, then="stop",
        onlooker=bench.witness, stop=bench.stop,
    ):  # fmt: skip
        if clock.at_us > at("2026-09-11 21:05:00"):
            break
    for account in bench.ledger.accounts("vespera"):
        (delivery,) = (receipt for receipt in account.receipts if receipt.step == "deliver")
        taken = account.sighting.mtime_us
        assert taken is not None
        latest = max(latest, (delivery.started_us - taken) / 1e6)
    assert latest <= 60 + 3 * 15, "the settle time, and a look on each side of it"


def test_an_archive_that_is_away_is_told_and_its_return_too(bench: Bench, clock: Clock) -> None:
    monitor = Monitor(configured(bench), bench.ledger, hasty=True, note=bench.witness.note)
    store = Observing(bench, clock, (0, 0))
    clock.at_us = at("2026-09-11 20:00:00")
    store.observe()
    bench.library.wire.lives = 0
    monitor.passed("vespera", bench.carry())
    monitor.passed("vespera", bench.carry())
    bench.library.wire.lives = None
    monitor.passed("vespera", bench.carry())
    assert [one for one in told(bench) if "digest" not in one] == [
        ("raised", "archive/library"),
        ("resolved", "archive/library"),
    ]


def test_without_a_site_silence_is_no_alert_and_noon_ends_the_night(bench: Bench, clock: Clock) -> None:
    config = configured(bench, site=False)
    bench.ledger.outbox.post(EARLIER)
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us, reached_us=clock.at_us))
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us + 1, trouble="no route to host"))
    monitor = Monitor(config, bench.ledger, hasty=True, note=bench.witness.note)
    for hours in range(48):
        monitor.judge(clock.at_us + hours * 3_600_000_000)
    assert {kind for kind, _ in told(bench)} == {"digest"}
    swept = round(datetime(2026, 9, 12, 13).astimezone().timestamp() * 1e6)  # by the machine's zone, whichever it is
    assert over_evening(None, swept - 1_000_000) == date(2026, 9, 10)
    assert over_evening(None, swept) == date(2026, 9, 11)


def test_the_first_look_is_judged_even_where_the_monotonic_clock_has_just_begun(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    monkeypatch.setattr(Monitor, "judge", lambda _, now_us: judged.append(now_us))
    clock.at_us = 1_000_000
    monitor = Monitor(configured(bench), bench.ledger, hasty=False, note=bench.witness.note)
    monitor.passed("vespera", Pass(), quiet=True)
    monitor.passed("vespera", Pass(), quiet=True)
    assert judged == [1_000_000], "the first, and then once a minute"


def test_a_digest_waits_for_every_telescope_but_not_for_ever(bench: Bench, clock: Clock) -> None:
    more = '[telescope.other]\npreset = "vespera"\nsource = "file:///other"\nsite = "here"\narchives = ["library"]\n'
    monitor = Monitor(configured(bench, more=more), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.outbox.post(EARLIER)
    morning = at("2026-09-12 06:30:00")
    bench.ledger.greet(Contact("vespera", looked_us=morning, reached_us=morning))
    monitor.judge(morning)
    assert told(bench) == [], "the other one was not looked at since the night ended"
    monitor.judge(at("2026-09-12 09:30:00"))
    assert told(bench) == [("digest", "digest/2026-09-11")]
    letter = bench.ledger.outbox.letters(9)[0]
    assert "other: was never reached" in letter.alert.body
    assert "vespera: nothing was observed" in letter.alert.body


def test_a_night_is_not_judged_while_another_telescope_s_end_finds_it_under_way(bench: Bench, clock: Clock) -> None:
    more = '[telescope.other]\npreset = "vespera"\nsource = "file:///other"\nsite = "here"\narchives = ["library"]\n'
    monitor = Monitor(configured(bench, more=more), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.outbox.post(EARLIER)
    monitor.begin(["vespera", "other"])
    clock.at_us = at("2026-09-12 15:00:00")
    for name in ("vespera", "other"):
        bench.ledger.expect(name, bench.route().expectation)
        bench.ledger.greet(Contact(name, looked_us=clock.at_us, reached_us=clock.at_us))
    bench.ledger.sight([Sighting(Night("other", date(2026, 9, 11)), StorePath("late.fits"), 100, 1, 1)])
    monitor.passed("vespera", Pass())
    assert told(bench) == [], "its frame may arrive yet"
    monitor.passed("other", Pass())
    assert sorted(told(bench)) == [("digest", "digest/2026-09-11"), ("raised", "silent/other/2026-09-11")]


def test_a_digest_only_for_trouble_is_quiet_after_a_good_night(bench: Bench, clock: Clock) -> None:
    rules = '[alerts]\nurls = ["env:MAIL"]\ndigest = "trouble"\n'
    monitor = Monitor(configured(bench, more=rules), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.outbox.post(EARLIER)
    bench.ledger.greet(Contact("vespera", looked_us=at("2026-09-12 06:30:00"), reached_us=at("2026-09-12 06:30:00")))
    monitor.judge(at("2026-09-12 06:31:00"))
    assert told(bench) == []
    bench.ledger.greet(Contact("vespera", looked_us=at("2026-09-13 06:30:00"), trouble="no route to host"))
    monitor.judge(at("2026-09-13 06:31:00"))
    assert ("digest", "digest/2026-09-12") in told(bench)


def test_a_night_before_nightferry_came_has_no_digest(bench: Bench, clock: Clock) -> None:
    monitor = Monitor(configured(bench), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us, reached_us=clock.at_us))
    monitor.judge(clock.at_us)
    assert told(bench) == []


def test_the_pulse_stops_when_one_of_several_telescopes_does(bench: Bench, clock: Clock) -> None:
    monitor = Monitor(configured(bench), bench.ledger, hasty=False, note=bench.witness.note)
    monitor.expect(["vespera"])
    assert monitor.alive()
    clock.wait(1800 + 300 + 1)
    assert not monitor.alive()
    monitor.beat("vespera")
    assert monitor.alive()
    clock.wait(9999)
    monitor.done("vespera")
    assert monitor.alive(), "it ended as it should"


def test_the_night_of_a_digest_is_the_one_that_just_ended() -> None:
    assert over_evening(SITE, at("2026-09-12 04:30:00")) == date(2026, 9, 10)
    assert over_evening(SITE, at("2026-09-12 06:00:00")) == date(2026, 9, 11)
    assert over_evening(SITE, at("2026-09-12 23:00:00")) == date(2026, 9, 11)
    assert Night("vespera", over_evening(Site(78.2, 15.6), at("2026-06-12 15:00:00"))).date == date(2026, 6, 11)


# nights of long ago ------------------------------------------------------------------------------------------------


def spoil(bench: Bench, day: date, frames: int = 4, outcome: Outcome = Outcome.HELD, reason: str = "torn") -> None:
    """Have frames of a night held or failed, and one more delivered."""
    night = Night("vespera", day)
    taken = [Sighting(night, StorePath(f"{day}/{number}.fits"), 100, 1, 1) for number in range(frames + 1)]
    bench.ledger.sight(taken)
    bench.ledger.record([Receipt(one.id, night, "pull", "1", Outcome.DONE) for one in taken])
    bench.ledger.record([Receipt(one.id, night, "verify", "1", outcome, reason) for one in taken[:frames]])
    last = taken[frames]
    bench.ledger.record([Receipt(last.id, night, "verify", "1", Outcome.DONE)])
    bench.ledger.record([Receipt(last.id, night, "deliver", "1", Outcome.DONE, target="library")])


def release(bench: Bench, day: date) -> None:
    held = bench.ledger.accounts("vespera", [day], [Bin.HELD])
    bench.ledger.record(
        [
            Receipt(one.sighting.id, one.sighting.night, "release", "1", Outcome.DONE, "a test", proof={"drop": True})
            for one in held
        ]
    )


@pytest.fixture
def monitor(bench: Bench, clock: Clock) -> Monitor:
    """A monitor that comes back after a week of good nights."""
    bench.ledger.expect("vespera", bench.route().expectation)
    for day in range(5, 12):
        spoil(bench, date(2026, 9, day), frames=0)
    return Monitor(configured(bench), bench.ledger, hasty=True, note=bench.witness.note)


def test_frames_held_in_a_night_of_long_ago_are_told_and_their_release_too(
    bench: Bench, clock: Clock, monitor: Monitor
) -> None:
    long_ago = date(2026, 3, 1)
    spoil(bench, long_ago)
    for _ in range(2):
        monitor.judge(clock.at_us)
    assert told(bench) == [("raised", "held/vespera/2026-03-01")]
    (letter,) = bench.ledger.outbox.letters(9)
    assert letter.alert.title == "vespera: 4 of 5 frames of 2026-03-01 are held"
    assert "4 at verify: torn" in letter.alert.body
    release(bench, long_ago)
    for _ in range(2):
        monitor.judge(clock.at_us)
    assert told(bench)[1:] == [("resolved", "held/vespera/2026-03-01")]


def test_a_bug_and_an_archive_in_the_way_of_an_old_night_are_told(bench: Bench, clock: Clock, monitor: Monitor) -> None:
    spoil(bench, date(2026, 3, 1), 1, reason="a bug in nightferry: KeyError: 'x'")
    stuck = Sighting(Night("vespera", date(2026, 3, 2)), StorePath("stuck.fits"), 100, 1, 1)
    bench.ledger.sight([stuck])
    for step, outcome in (("pull", Outcome.DONE), ("verify", Outcome.DONE), ("deliver", Outcome.FAILED)):
        target = "library" if step == "deliver" else ""
        bench.ledger.record([Receipt(stuck.id, stuck.night, step, "1", outcome, "no space is left", target)])
    monitor.judge(clock.at_us)
    assert told(bench) == [("raised", "bug/vespera/2026-03-01"), ("raised", "archive/library")]


def test_many_bad_nights_of_a_catching_up_are_told_in_one_message(bench: Bench, clock: Clock, monitor: Monitor) -> None:
    mailing = Monitor(configured(bench, more='[alerts]\nurls = ["env:MAIL"]\n'), bench.ledger, True, bench.witness.note)
    days = [date(2026, 2, day) for day in range(1, 15)]
    for day in days:
        spoil(bench, day)
    for _ in range(2):
        mailing.judge(clock.at_us)
    (letter,) = bench.ledger.outbox.due("env:MAIL", clock.at_us)
    assert letter.alert.title == "vespera: 4 of 5 frames of 2026-02-14 are held, and 13 more"
    assert all(f"4 of 5 frames of {day} are held" in letter.alert.body for day in days)
    assert len(bench.ledger.outbox.standing()) == len(days)
    spoil(bench, date(2026, 1, 1))
    mailing.judge(clock.at_us)
    assert [one.alert.key for one in bench.ledger.outbox.due("env:MAIL", clock.at_us)][1:] == [
        "held/vespera/2026-01-01"
    ]
    release(bench, days[0])
    mailing.judge(clock.at_us)
    last = bench.ledger.outbox.due("env:MAIL", clock.at_us)[-1].alert
    assert (last.kind, last.key) == (Kind.RESOLVED, "held/vespera/2026-02-01")


def test_the_digest_counts_what_waits_in_all_nights_before(bench: Bench, clock: Clock, monitor: Monitor) -> None:
    spoil(bench, date(2026, 3, 1), 2)
    spoil(bench, date(2026, 3, 2), 3, Outcome.FAILED, "no space is left")
    morning = at("2026-09-12 06:30:00")
    bench.ledger.greet(Contact("vespera", looked_us=morning, reached_us=morning))
    monitor.judge(morning)
    digest = bench.ledger.outbox.letters(9)[0].alert
    assert digest.key == "digest/2026-09-11"
    assert "Of the nights before: 2 frames held, 3 frames failed." in digest.body
