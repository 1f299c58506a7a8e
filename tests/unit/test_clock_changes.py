"""Clocks that change, leap or are wrong: nights stay where they are, nothing is lost, and what is in doubt is told."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from nightferry.core.context import Site
from nightferry.core.instant import parse_instant
from nightferry.core.night import (
    Clock,
    Evidence,
    NightRule,
    Nights,
    clock_ahead,
    clock_behind,
    decide_night,
    evening_at,
    evening_of_stamp,
)
from nightferry.core.sun import night_hours

PARANAL = Site(-24.61596, -70.3903)
#: When Chile's clocks change in 2026: back in the night of 4 April, forward in that of 5 September.
CHANGES = (date(2026, 4, 4), date(2026, 9, 5))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_to_or_from_summer_time_moves_no_frame_to_another_night(change: date) -> None:
    dark = night_hours(change, PARANAL)
    for at_us in range(dark.begin_us, dark.end_us, 600_000_000):
        instant = datetime.fromtimestamp(at_us / 1e6, UTC)
        assert evening_at(instant, PARANAL.longitude) == change
        stamp = evening_of_stamp(f"{instant:%Y%m%d}", f"{instant:%H%M%S}", Clock.UTC, PARANAL.longitude)
        assert stamp == change


@pytest.mark.parametrize("change", CHANGES)
def test_nights_around_a_change_follow_each_other_without_gap(change: date) -> None:
    evenings = [change + timedelta(days=days) for days in range(-2, 3)]
    ends = [night_hours(evening, PARANAL).end_us for evening in evenings]
    assert all(abs((after - before) / 1e6 - 86_400) < 120 for before, after in pairwise(ends))


@pytest.mark.parametrize("change", CHANGES)
def test_last_is_yesterday_on_the_day_of_a_change(change: date) -> None:
    for hour in range(18, 36):  # from early afternoon at Paranal until the next morning, in UTC
        now = datetime(change.year, change.month, change.day, tzinfo=UTC) + timedelta(hours=hour)
        assert Nights.parse(["last"], now=now, longitude=PARANAL.longitude).evenings == [change - timedelta(days=1)]


if sys.platform != "win32":  # which has no tzset

    @pytest.fixture
    def santiago() -> Iterator[None]:
        before = os.environ.get("TZ")
        os.environ["TZ"] = "<-04>4<-03>,M9.1.6/24,M4.1.6/24"  # America/Santiago, whether or not its file is here
        time.tzset()
        yield
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()

    @pytest.mark.usefixtures("santiago")
    @pytest.mark.parametrize(("change", "hours"), [(CHANGES[0], 25), (CHANGES[1], 23)])
    def test_without_a_site_a_night_lasts_from_noon_to_noon_whatever_its_length(change: date, hours: int) -> None:
        night_hours.cache_clear()
        night = night_hours(change, None)
        night_hours.cache_clear()
        assert (night.end_us - night.begin_us) / 3.6e9 == hours
        assert night.dark is None, "nobody knows whether the sun went down"
        for at_us in (night.begin_us, night.end_us - 1_000_000):
            assert evening_at(datetime.fromtimestamp(at_us / 1e6, UTC), None) == change


def test_a_leap_second_is_a_moment_of_its_own_in_the_right_night() -> None:
    text = ("2016-12-31T23:59:59.900", "2016-12-31T23:59:60.250", "2017-01-01T00:00:00.100")
    before, leap, after = (parse_instant(one)[0] for one in text)
    assert before < leap < after
    assert leap.day == before.day, "the leap second is the last of its day"
    assert (leap.micro - before.micro, after.micro) == (350_000, 100_000)


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_telescope_an_hour_off_keeps_its_nights_and_is_told(wrong: int) -> None:
    seen = datetime(2026, 2, 23, 4, 0, tzinfo=UTC)
    told = seen + timedelta(hours=wrong)
    evidence = Evidence(seen, date(2026, 2, 22), changed=told)
    for rule in NightRule:
        by_machine = rule is NightRule.LOCAL_12H  # whose zone may be any, and tells another night in some
        night = evening_at(told, None) if by_machine else date(2026, 2, 22)
        assert decide_night(rule, evidence, PARANAL.longitude) == night, rule
    doubt = clock_ahead(told, seen) if wrong > 0 else clock_behind(told, seen)
    assert "1 h 00 min or more" in doubt
    assert "set its clock" in doubt
