"""What is made of times that a listing tells by a clock face, without zone and often without year."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.stores.ftp.listing import Clock, fact_time, read_time

HOUR_US = 3_600_000_000
NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


def us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def face(moment: datetime, zone: str = "UTC") -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%b %e %H:%M")


@pytest.mark.parametrize(
    ("text", "moment", "fraction"),
    [
        ("20261120221503", datetime(2026, 11, 20, 22, 15, 3, tzinfo=UTC), 0),
        ("20261120221503.5", datetime(2026, 11, 20, 22, 15, 3, tzinfo=UTC), 500_000),
        ("20261120221503.000001", datetime(2026, 11, 20, 22, 15, 3, tzinfo=UTC), 1),
        ("20261120221503.123456789123", datetime(2026, 11, 20, 22, 15, 3, tzinfo=UTC), 123_456),
        ("19700101000000", datetime(1970, 1, 1, tzinfo=UTC), 0),
        ("20240229235959", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), 0),
    ],
)
def test_machine_times_are_read_with_their_fractions(text: str, moment: datetime, fraction: int) -> None:
    assert fact_time(text) == us(moment) + fraction


@pytest.mark.parametrize(
    "text",
    ["", "2026", "20261120", "20260229120000", "20261120241503", "20261120221561", "00000101000000", "-2026112022150"],
)
def test_machine_times_that_no_calendar_has_are_none(text: str) -> None:
    assert fact_time(text) is None


def test_year_left_out_is_the_last_one_in_which_the_time_is_past() -> None:
    clock = Clock(us(NOW))
    assert clock.tell("Nov 21 03:59") == (us(datetime(2026, 11, 21, 3, 59, tzinfo=UTC)), 60_000_000)
    assert clock.tell("Nov 22 03:00")[0] == us(datetime(2026, 11, 22, 3, 0, tzinfo=UTC))  # its zone may be ahead
    assert clock.tell("Dec 24 03:59")[0] == us(datetime(2025, 12, 24, 3, 59, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "hours"), [("UTC", 0), ("Europe/Zurich", 1), ("America/Santiago", -3), ("Pacific/Honolulu", -10)]
)
def test_zone_is_worked_out_from_one_exact_time(zone: str, hours: int) -> None:
    exact = datetime(2026, 11, 20, 22, 15, 31, tzinfo=UTC)
    clock = Clock(us(NOW))
    told = face(exact, zone)
    assert clock.wants([told]) == [told]
    clock.measure(told, us(exact))
    assert clock.tell(told) == (us(exact) - 31_000_000, 60_000_000)
    assert clock.tell("Nov 20 12:00")[0] == us(datetime(2026, 11, 20, 12, tzinfo=UTC)) - hours * HOUR_US


def test_zones_of_three_quarters_of_an_hour_are_known() -> None:
    exact = datetime(2026, 11, 20, 22, 15, 59, tzinfo=UTC)
    clock = Clock(us(NOW))
    clock.measure(face(exact, "Asia/Kathmandu"), us(exact))
    assert clock.tell("Nov 21 05:45")[0] == us(datetime(2026, 11, 21, tzinfo=UTC))


def test_summer_time_and_winter_time_are_measured_apart() -> None:
    summer, winter = datetime(2026, 8, 20, 22, 15, tzinfo=UTC), datetime(2026, 11, 20, 22, 15, tzinfo=UTC)
    clock = Clock(us(NOW))
    faces = {face(moment, "Europe/Zurich"): moment for moment in (summer, winter)}
    for told in clock.wants(faces):
        clock.measure(told, us(faces[told]))
    assert {told: clock.tell(told)[0] for told in faces} == {told: us(moment) for told, moment in faces.items()}


def test_each_stretch_of_days_is_asked_about_once() -> None:
    clock = Clock(us(NOW))
    assert clock.wants(["Nov 20 22:15", "Nov 20 22:16", "Nov 21 01:00"]) == ["Nov 20 22:15"]
    assert clock.wants(["Nov 20 23:00"]) == []
    assert clock.wants(["Nov 20  2025", "garbage"]) == []


@pytest.mark.parametrize("year", [1970, 2000, 2019, 2031])
def test_clock_that_is_years_off_is_followed_where_the_server_tells_exact_times(year: int) -> None:
    exact = datetime(year, 1, 1, 0, 5, 30, tzinfo=UTC)
    clock = Clock(us(NOW))
    clock.measure("Jan  1 00:05", us(exact))
    assert clock.tell("Jan  1 00:05")[0] == us(exact) - 30_000_000
    assert clock.tell("Dec 31 23:50")[0] == us(datetime(year - 1, 12, 31, 23, 50, tzinfo=UTC))


def test_exact_time_that_has_nothing_to_do_with_the_listed_one_is_no_measure() -> None:
    clock = Clock(us(NOW))
    clock.measure("11-20-26  10:15PM", us(datetime(2026, 3, 1, tzinfo=UTC)))
    assert clock.measures == {}


def test_listed_offset_needs_no_measure() -> None:
    clock = Clock(us(NOW))
    told = "2026-11-20 22:15:00 -0300"
    assert clock.wants([told]) == []
    assert clock.tell(told)[0] == us(datetime(2026, 11, 21, 1, 15, tzinfo=UTC))


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - given UTC
    age=st.integers(0, 180 * 24 * 60),
    quarters=st.integers(-48, 56),
)
def test_any_server_in_any_zone_at_any_time_is_read_right(moment: datetime, age: int, quarters: int) -> None:
    zone = timedelta(minutes=15 * quarters)
    changed = moment - timedelta(minutes=age)
    told = (changed + zone).strftime("%b %e %H:%M")
    clock = Clock(us(NOW))
    clock.measure(told, us(changed))
    got, resolution = clock.tell(told)
    assert got is not None
    assert 0 <= us(changed) - got < resolution


@given(st.text(max_size=40))
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    read_time(text)
    fact_time(text)
    Clock(us(NOW)).tell(text)
