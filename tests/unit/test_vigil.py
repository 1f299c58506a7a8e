"""The vigil: two nights with a clock of their own, what is told in them, and that nothing is lost or told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime

import pytest
from tests.unit.conftest import Bench, frame_bytes

from nightferry.conduct import Pass, Watched, watch
from nightferry.config import Config, loads
from nightferry.core.alert import Alert, Kind
from nightferry.core.context import Site
from nightferry.core.night import Night
from nightferry.core.overview import Contact
from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.stores.memory import MemoryStore
from nightferry.vigil import Vigil, over_evening

SITE = Site(48.1, 11.6)
#: What patches are put on: every module that asks for the time.
CLOCKS = (
    "nightferry.conduct.watching.now_us",
    "nightferry.conduct.passes.now_us",
    "nightferry.conduct.scan.now_us",
    "nightferry.conduct.carry.now_us",
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
    monkeypatch.setattr("nightferry.conduct.watching.time", clock)
    monkeypatch.setattr("nightferry.vigil.time", clock)
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
        vigil = Vigil(config, bench.ledger, hasty=False, note=bench.witness.note)
        seen: Iterator[Watched] = watch(
            bench.route(store), bench.ledger, every=600.0, live=120.0, empty=None, then="stop",
            onlooker=bench.witness, stop=bench.stop,
        )  # fmt: skip
        for look in seen:
            vigil.watched("vespera", look)
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
    vigil = Vigil(configured(bench), bench.ledger, hasty=True, note=bench.witness.note)
    store = Observing(bench, clock, (0, 0))
    clock.at_us = at("2026-09-11 20:00:00")
    store.observe()
    bench.library.wire.lives = 0
    vigil.passed("vespera", bench.carry())
    vigil.passed("vespera", bench.carry())
    bench.library.wire.lives = None
    vigil.passed("vespera", bench.carry())
    assert [one for one in told(bench) if "digest" not in one] == [
        ("raised", "archive/library"),
        ("resolved", "archive/library"),
    ]


def test_without_a_site_silence_is_no_alert_and_noon_ends_the_night(bench: Bench, clock: Clock) -> None:
    config = configured(bench, site=False)
    bench.ledger.outbox.post(EARLIER)
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us, reached_us=clock.at_us))
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us + 1, trouble="no route to host"))
    vigil = Vigil(config, bench.ledger, hasty=True, note=bench.witness.note)
    for hours in range(48):
        vigil.judge(clock.at_us + hours * 3_600_000_000)
    assert {kind for kind, _ in told(bench)} == {"digest"}
    swept = round(datetime(2026, 9, 12, 13).astimezone().timestamp() * 1e6)  # by the machine's zone, whichever it is
    assert over_evening(None, swept - 1_000_000) == date(2026, 9, 10)
    assert over_evening(None, swept) == date(2026, 9, 11)


def test_the_first_look_is_judged_even_where_the_monotonic_clock_has_just_begun(
    bench: Bench, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    monkeypatch.setattr(Vigil, "judge", lambda _, now_us: judged.append(now_us))
    clock.at_us = 1_000_000
    vigil = Vigil(configured(bench), bench.ledger, hasty=False, note=bench.witness.note)
    vigil.passed("vespera", Pass(), quiet=True)
    vigil.passed("vespera", Pass(), quiet=True)
    assert judged == [1_000_000], "the first, and then once a minute"


def test_a_digest_waits_for_every_telescope_but_not_for_ever(bench: Bench, clock: Clock) -> None:
    more = '[telescope.other]\npreset = "vespera"\nsource = "file:///other"\nsite = "here"\narchives = ["library"]\n'
    vigil = Vigil(configured(bench, more=more), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.outbox.post(EARLIER)
    morning = at("2026-09-12 06:30:00")
    bench.ledger.greet(Contact("vespera", looked_us=morning, reached_us=morning))
    vigil.judge(morning)
    assert told(bench) == [], "the other one was not looked at since the night ended"
    vigil.judge(at("2026-09-12 09:30:00"))
    assert told(bench) == [("digest", "digest/2026-09-11")]
    letter = bench.ledger.outbox.letters(9)[0]
    assert "other: was never reached" in letter.alert.body
    assert "vespera: nothing was observed" in letter.alert.body


def test_a_digest_only_for_trouble_is_quiet_after_a_good_night(bench: Bench, clock: Clock) -> None:
    rules = '[alerts]\nurls = ["env:MAIL"]\ndigest = "trouble"\n'
    vigil = Vigil(configured(bench, more=rules), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.outbox.post(EARLIER)
    bench.ledger.greet(Contact("vespera", looked_us=at("2026-09-12 06:30:00"), reached_us=at("2026-09-12 06:30:00")))
    vigil.judge(at("2026-09-12 06:31:00"))
    assert told(bench) == []
    bench.ledger.greet(Contact("vespera", looked_us=at("2026-09-13 06:30:00"), trouble="no route to host"))
    vigil.judge(at("2026-09-13 06:31:00"))
    assert ("digest", "digest/2026-09-12") in told(bench)


def test_a_night_before_nightferry_came_has_no_digest(bench: Bench, clock: Clock) -> None:
    vigil = Vigil(configured(bench), bench.ledger, hasty=True, note=bench.witness.note)
    bench.ledger.greet(Contact("vespera", looked_us=clock.at_us, reached_us=clock.at_us))
    vigil.judge(clock.at_us)
    assert told(bench) == []


def test_the_pulse_stops_when_one_of_several_telescopes_does(bench: Bench, clock: Clock) -> None:
    vigil = Vigil(configured(bench), bench.ledger, hasty=False, note=bench.witness.note)
    vigil.expect(["vespera"])
    assert vigil.alive()
    clock.wait(1800 + 300 + 1)
    assert not vigil.alive()
    vigil.beat("vespera")
    assert vigil.alive()
    clock.wait(9999)
    vigil.done("vespera")
    assert vigil.alive(), "it ended as it should"


def test_the_night_of_a_digest_is_the_one_that_just_ended() -> None:
    assert over_evening(SITE, at("2026-09-12 04:30:00")) == date(2026, 9, 10)
    assert over_evening(SITE, at("2026-09-12 06:00:00")) == date(2026, 9, 11)
    assert over_evening(SITE, at("2026-09-12 23:00:00")) == date(2026, 9, 11)
    assert Night("vespera", over_evening(Site(78.2, 15.6), at("2026-06-12 15:00:00"))).date == date(2026, 6, 11)
