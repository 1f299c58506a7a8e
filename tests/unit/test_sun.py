"""The sun: sunsets and sunrises as almanacs have them, where it never sets, and without a site."""

from datetime import UTC, date, datetime
from itertools import pairwise

import erfa
import numpy as np
import pytest

from nightferry.core.context import Site
from nightferry.core.instant import instant_of, tai_less_utc
from nightferry.core.sun import altitude, night_hours

PARANAL = Site(-24.61596, -70.3903)


def instant(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


def precise_altitude(at: datetime, site: Site) -> float:
    """Tell the sun's altitude in degrees as the IAU's standards have it (precession and nutation of 2006/2000A)."""
    mjd = 2_440_587.5, at.timestamp() / 86_400
    tt = mjd[1] + (tai_less_utc(instant_of(at).day) + 32.184) / 86_400
    earth, _ = erfa.epv00(mjd[0], tt)
    angle, declination = erfa.c2s(erfa.c2i06a(mjd[0], tt) @ -np.asarray(earth["p"]))
    hour = erfa.era00(*mjd) + np.deg2rad(site.longitude) - angle
    latitude = np.deg2rad(site.latitude)
    sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour)
    return float(np.rad2deg(np.arcsin(sine)))


@pytest.mark.parametrize("year", range(1990, 2051, 5))
@pytest.mark.parametrize("site", [Site(51.4779, 0.0), PARANAL, Site(78.2, 15.6)])
def test_the_sun_stands_where_precise_formulas_have_it(site: Site, year: int) -> None:
    for month in range(1, 13):
        for hour in range(0, 24, 3):
            at = datetime(year, month, 1 + hour, hour, 17, tzinfo=UTC)
            off = altitude(round(at.timestamp() * 1e6), site) - precise_altitude(at, site)
            assert abs(off) < 0.015, at  # a second of time is 0.004 degrees; refraction makes 0.3


# Greenwich as almanacs print it, to the minute; at the equator on the equinox the day is 12 h and about 7 min long
# (refraction and the sun's radius), around a noon that the equation of time puts at 12:07.
@pytest.mark.parametrize(
    ("site", "evening", "sets", "rises"),
    [
        (Site(51.4779, 0.0), date(2026, 6, 21), "2026-06-21 20:21", "2026-06-22 03:43"),
        (Site(51.4779, 0.0), date(2026, 12, 21), "2026-12-21 15:53", "2026-12-22 08:04"),
        (Site(0.0, 0.0), date(2026, 3, 20), "2026-03-20 18:11", "2026-03-21 06:04"),
    ],
)
def test_the_sun_sets_and_rises_when_almanacs_say(site: Site, evening: date, sets: str, rises: str) -> None:
    hours = night_hours(evening, site)
    assert hours.dark
    for found, wanted in ((hours.begin_us, sets), (hours.end_us, rises)):
        off = instant(found) - datetime.fromisoformat(wanted).replace(tzinfo=UTC)
        assert abs(off.total_seconds()) < 90, f"{instant(found)} is not {wanted}"


def test_a_night_in_chile_lies_across_midnight_of_utc() -> None:
    hours = night_hours(date(2026, 11, 20), PARANAL)
    assert instant(hours.begin_us).date() == date(2026, 11, 20)
    assert instant(hours.end_us).date() == date(2026, 11, 21)
    assert abs(altitude(hours.begin_us, PARANAL) + 0.833) < 0.01
    assert abs(altitude(hours.end_us, PARANAL) + 0.833) < 0.01
    middle = (hours.begin_us + hours.end_us) // 2
    assert altitude(middle, PARANAL) < -40
    assert hours.holds(middle)
    assert not hours.holds(hours.end_us)


def test_nights_follow_each_other_without_gap_or_overlap_of_days() -> None:
    ends = [night_hours(date(2026, 4, day), PARANAL).end_us for day in range(1, 30)]
    assert all(86_000 < (after - before) / 1e6 < 86_800 for before, after in pairwise(ends))


def test_where_the_sun_never_sets_no_night_is_dark() -> None:
    summer = night_hours(date(2026, 6, 21), Site(78.2, 15.6))
    assert summer.dark is False
    assert summer.begin_us == summer.end_us
    winter = night_hours(date(2026, 12, 21), Site(78.2, 15.6))
    assert winter.dark
    assert winter.end_us - winter.begin_us == 86_400 * 1_000_000


def test_without_a_site_noon_ends_the_night_and_nobody_knows_whether_it_was_dark() -> None:
    hours = night_hours(date(2026, 11, 20), None)
    assert hours.dark is None
    assert instant(hours.end_us).astimezone().hour == 12
