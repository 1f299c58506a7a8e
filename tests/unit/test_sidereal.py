"""Sidereal time against astropy, which reads the same measurements another way."""

import warnings
from pathlib import Path

import astropy.units as u
import pytest
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.instant import Instant, tai_less_utc
from nightferry.headers.profiles import sidereal
from nightferry.headers.profiles.sidereal import lst_seconds, ut1_less_utc

#: From then on the measurements that were told at first, which we read, are those that astropy has as final ones.
AGREED = 47_600


@given(st.integers(45_000, 61_300), st.integers(0, 86_399_999_999), st.floats(-180, 180))
def test_sidereal_time_is_astropys_to_the_millisecond(day: int, micro: int, longitude: float) -> None:
    instant = Instant(day, micro)
    with warnings.catch_warnings(), iers.conf.set_temp("auto_download", False):
        warnings.simplefilter("ignore")
        theirs = Time(instant.iso(6), scale="utc").sidereal_time("apparent", longitude=longitude * u.deg).hour * 3600
    apart = (lst_seconds(instant, longitude) - float(theirs) + 43_200) % 86_400 - 43_200
    assert abs(apart) < (1e-3 if day >= AGREED else 3e-3)


def test_sidereal_time_never_reaches_a_whole_day() -> None:
    assert all(0 <= lst_seconds(Instant(61_000, step * 10**9), 0.0) < 86_400 for step in range(86))


def test_the_rotation_of_the_earth_is_known_from_1973_on_and_not_for_ever() -> None:
    assert ut1_less_utc(Instant(41_684, 0)) == pytest.approx(0.8084178)
    assert ut1_less_utc(Instant(41_683, 0)) is None
    assert ut1_less_utc(Instant(71_000, 0)) is None


def test_a_leap_second_is_no_jump_between_two_days() -> None:
    before, after = ut1_less_utc(Instant(57_753, 86_000_000_000)), ut1_less_utc(Instant(57_754, 0))
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(1.0, abs=0.01)
    assert (tai_less_utc(57_753), tai_less_utc(57_754)) == (36, 37)


def test_no_network_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    sidereal._of_day.cache_clear()
    lst_seconds(Instant(61_094, 0), -70.39)
    assert isinstance(sidereal._table()[0], Path)
