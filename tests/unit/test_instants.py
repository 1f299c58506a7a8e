"""Instants: what headers write as times, and what they must not."""

from datetime import UTC, datetime

import pytest
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.instant import Instant, instant_of, parse_instant


@pytest.mark.parametrize(
    ("text", "written", "resolution"),
    [
        ("2026-02-22T01:02:03.456789", "2026-02-22T01:02:03.456789", 1e-6),
        ("2020-05-30T00:22:49.0968820", "2020-05-30T00:22:49.096882", 1e-7),
        ("2018-10-13T21:12:41.560Z", "2018-10-13T21:12:41.560000", 1e-3),
        ("2018-07-04T14:03:03", "2018-07-04T14:03:03.000000", 1.0),
        ("2018-07-04 14:03:03", "2018-07-04T14:03:03.000000", 1.0),
        ("2016-12-31T23:59:60.25", "2016-12-31T23:59:60.250000", 1e-2),
    ],
)
def test_a_time_is_read_to_the_microsecond(text: str, written: str, resolution: float) -> None:
    instant, told = parse_instant(text)
    assert instant.iso(6) == written
    assert told == pytest.approx(resolution)


@pytest.mark.parametrize(
    "text",
    [
        "04/07/18", "2018-07-04", "", "2018-07-04T14:03", "2018-07-04T24:00:00", "2018-07-04T23:59:60",
        "2018-02-30T00:00:00", "2018-07-04T14:03:03+02:00", "2016-12-31T12:00:60", "yesterday",
    ],
)  # fmt: skip
def test_what_is_no_time_of_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


def test_digits_are_cut_and_never_rounded_up() -> None:
    assert parse_instant("2026-02-22T23:59:59.999999")[0].iso(3) == "2026-02-22T23:59:59.999"


@given(st.integers(42_413, 60_675), st.integers(0, 86_399_999_999))
def test_days_agree_with_astropy(day: int, micro: int) -> None:
    instant = Instant(day, micro)
    assert parse_instant(instant.iso(6))[0] == instant
    assert instant.mjd == pytest.approx(float(Time(instant.iso(6), scale="utc").mjd), abs=2e-11)


def test_a_datetime_is_the_same_instant() -> None:
    assert instant_of(datetime(2026, 2, 22, 1, 2, 3, 456789, UTC)).iso(6) == "2026-02-22T01:02:03.456789"


def test_a_leap_second_counts_as_astropy_counts_it() -> None:
    instant, _ = parse_instant("2016-12-31T23:59:60.500")
    assert instant.seconds == 86400.5
    assert instant.mjd == pytest.approx(float(Time("2016-12-31T23:59:60.500", scale="utc").mjd), abs=1e-11)
    assert instant.plus(0.5).iso(3) == "2017-01-01T00:00:00.000"
    assert instant.plus(-1.5).iso(3) == "2016-12-31T23:59:59.000"


@given(st.integers(41_683, 70_000), st.integers(0, 86_399_999_999), st.integers(-(10**12), 10**12))
def test_going_there_and_back_ends_where_it_began(day: int, micro: int, step: int) -> None:
    start = Instant(day, micro)
    assert start.plus(step / 1e6).plus(-step / 1e6) == start
