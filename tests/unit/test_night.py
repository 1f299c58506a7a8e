from datetime import UTC, date, datetime

import pytest

from nightferry.core.errors import Misconfigured
from nightferry.core.night import (
    Clock,
    Evidence,
    Night,
    NightRule,
    Nights,
    clock_ahead,
    clock_behind,
    contradictions,
    decide_night,
    evening_at,
    evening_of,
    evening_of_stamp,
    instant_at,
)

NOW = datetime(2026, 9, 13, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("local", "evening"),
    [
        ("2026-09-12T21:00:00", date(2026, 9, 12)),
        ("2026-09-13T01:40:00", date(2026, 9, 12)),
        ("2026-09-13T11:59:59", date(2026, 9, 12)),
        ("2026-09-13T12:00:00", date(2026, 9, 13)),
        ("2024-03-01T03:00:00", date(2024, 2, 29)),
        ("2027-01-01T00:00:00", date(2026, 12, 31)),
    ],
)
def test_a_night_lasts_from_local_noon_to_noon(local: str, evening: date) -> None:
    assert evening_of(datetime.fromisoformat(local)) == evening


def test_a_site_decides_the_night_by_its_longitude() -> None:
    # 03:30 UTC on the 13th is 22:49 solar time of the 12th at Paranal, and past noon of the 13th in Auckland
    instant = datetime(2026, 9, 13, 3, 30, tzinfo=UTC)
    assert evening_at(instant, -70.3903) == date(2026, 9, 12)
    assert evening_at(instant, 174.76) == date(2026, 9, 13)


def test_nights_are_read_in_both_spellings() -> None:
    nights = Nights.parse(["20260912", "2026-09-13"], now=NOW, longitude=0.0)
    assert nights.evenings == [date(2026, 9, 12), date(2026, 9, 13)]
    assert nights.wants(date(2026, 9, 12))
    assert not nights.wants(date(2026, 9, 11))


def test_last_is_yesterday_evening() -> None:
    assert Nights.parse(["last"], now=NOW, longitude=0.0).evenings == [date(2026, 9, 12)]
    # before noon the present evening is still yesterday's
    early = datetime(2026, 9, 13, 9, 0, tzinfo=UTC)
    assert Nights.parse(["last"], now=early, longitude=0.0).evenings == [date(2026, 9, 11)]


def test_all_wants_every_night() -> None:
    nights = Nights.parse(["all"], now=NOW, longitude=0.0)
    assert nights.evenings is None
    assert nights.wants(date(1999, 1, 1))


def test_latest_is_settled_by_what_was_seen() -> None:
    nights = Nights.parse(["latest"], now=NOW, longitude=0.0)
    seen = {date(2026, 9, 1), date(2026, 8, 30)}
    assert nights.settle_newest(seen).evenings == [date(2026, 9, 1)]
    assert nights.settle_newest(set()).evenings == []


def test_open_wants_every_night_back_to_a_day_and_reports_yesterday_evening() -> None:
    nights = Nights.parse(["open"], now=NOW, longitude=0.0, since=date(2026, 3, 1))
    assert (nights.unclosed, nights.named) == (True, frozenset({date(2026, 9, 12)}))
    assert nights.wants(date(2026, 3, 1))
    assert not nights.wants(date(2026, 2, 28))
    assert nights.among([date(2026, 2, 28), date(2026, 3, 2)]).evenings == [date(2026, 3, 2)]


def test_a_named_night_is_wanted_however_old() -> None:
    assert Nights.parse(["20260101"], now=NOW, longitude=0.0, since=date(2026, 3, 1)).wants(date(2026, 1, 1))


@pytest.mark.parametrize("word", ["yesterday", "2026-13-01", "20260931", "", "2026/09/12"])
def test_a_word_that_is_no_night_says_what_was_expected(word: str) -> None:
    with pytest.raises(Misconfigured, match="expected YYYYMMDD"):
        Nights.parse([word], now=NOW, longitude=0.0)


def test_all_and_latest_stand_alone() -> None:
    with pytest.raises(Misconfigured, match="stands alone"):
        Nights.parse(["all", "20260912"], now=NOW, longitude=0.0)


def test_a_night_is_written_with_its_telescope() -> None:
    assert str(Night("callisto", date(2026, 9, 12))) == "callisto 2026-09-12"


SEEN = datetime(2026, 10, 1, 12, tzinfo=UTC)
ALL = Evidence(
    seen=SEEN,
    folder=date(2026, 9, 1),
    name=date(2026, 9, 2),
    header=datetime(2026, 9, 4, 3, tzinfo=UTC),  # the night of the 3rd
    changed=datetime(2026, 9, 5, 13, tzinfo=UTC),  # the night of the 5th in UTC, of the 4th at Paranal
)
PARANAL = -70.4


@pytest.mark.parametrize(
    ("rule", "evening"),
    [
        (NightRule.FOLDER, 1),
        (NightRule.NAME, 2),
        (NightRule.HEADER, 3),
        (NightRule.LOCAL_NOON, 4),
        (NightRule.UTC_12H, 5),
    ],
)
def test_the_rule_decides_the_night(rule: NightRule, evening: int) -> None:
    assert decide_night(rule, ALL, PARANAL) == date(2026, 9, evening)


def test_local_12h_is_this_machines_own_time_whatever_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide_night(NightRule.LOCAL_12H, ALL, PARANAL) == evening_at(datetime(2026, 9, 5, 13, tzinfo=UTC), None)


@pytest.mark.parametrize("rule", NightRule)
def test_where_a_rule_finds_nothing_the_next_evidence_is_believed(rule: NightRule) -> None:
    assert decide_night(rule, Evidence(SEEN, name=date(2026, 9, 2)), PARANAL) == date(2026, 9, 2)
    changed = Evidence(SEEN, changed=datetime(2026, 9, 6, 3, tzinfo=UTC))
    here = None if rule is NightRule.LOCAL_12H else 0.0  # a machine's own zone may tell another night
    assert decide_night(rule, changed, 0.0) == evening_at(datetime(2026, 9, 6, 3, tzinfo=UTC), here)
    assert evening_at(datetime(2026, 9, 6, 3, tzinfo=UTC), 0.0) == date(2026, 9, 5)
    assert decide_night(rule, Evidence(SEEN), PARANAL) == date(2026, 9, 30) or rule in {
        NightRule.UTC_12H,
        NightRule.LOCAL_12H,
    }


def test_what_differs_by_more_than_a_night_is_told() -> None:
    told = contradictions(NightRule.FOLDER, ALL, PARANAL, date(2026, 9, 1))
    assert told == (
        "counted to the night of 2026-09-01, but the header says 2026-09-03 and the time of change says 2026-09-04"
    )
    assert contradictions(NightRule.NAME, ALL, PARANAL, date(2026, 9, 3)) == (
        "counted to the night of 2026-09-03, but the folder says 2026-09-01"
    )
    assert contradictions(NightRule.NAME, Evidence(SEEN, date(2026, 9, 1), date(2026, 9, 2)), None, SEEN.date()) != ""
    assert contradictions(NightRule.NAME, Evidence(SEEN, SEEN.date()), None, SEEN.date()) == ""


def test_a_clock_ahead_of_ours_is_told_from_a_file_of_the_future() -> None:
    assert clock_ahead(datetime(2026, 10, 1, 12, 5, tzinfo=UTC), SEEN) == ""
    assert "0 h 06 min or more ahead" in clock_ahead(datetime(2026, 10, 1, 12, 6, tzinfo=UTC), SEEN)
    assert "365 days or more ahead" in clock_ahead(datetime(2027, 10, 1, 13, 0, tzinfo=UTC), SEEN)
    assert clock_ahead(None, SEEN) == ""


def test_a_clock_behind_ours_is_told_from_a_file_that_changed_before_we_last_saw_it() -> None:
    assert clock_behind(datetime(2026, 10, 1, 11, 56, tzinfo=UTC), SEEN) == ""
    assert "1 h 30 min or more behind" in clock_behind(datetime(2026, 10, 1, 10, 30, tzinfo=UTC), SEEN)
    assert clock_behind(None, SEEN) == ""


@pytest.mark.parametrize(
    ("day", "time", "clock", "evening"),
    [
        ("2026-09-12", "21-10-37", Clock.LOCAL, date(2026, 9, 12)),
        ("20260913", "011037", Clock.LOCAL, date(2026, 9, 12)),
        ("2026-09-13", "", Clock.LOCAL, date(2026, 9, 13)),
        ("2026-09-13", "21-04_17", Clock.LOCAL, date(2026, 9, 13)),
        ("20260913", "141037", Clock.UTC, date(2026, 9, 12)),  # 09:29 at Paranal
        ("20260913", "221929504", Clock.LOCAL, date(2026, 9, 13)),
        ("20260931", "011037", Clock.LOCAL, None),
        ("2026091", "011037", Clock.LOCAL, None),
        ("20260913", "0110", Clock.LOCAL, None),
    ],
)
def test_stamps_are_read_whatever_stands_between_their_digits(
    day: str, time: str, clock: Clock, evening: date | None
) -> None:
    assert evening_of_stamp(day, time, clock, PARANAL) == evening


@pytest.mark.parametrize("instant_us", [2**63 - 1, -(2**63), 10**18])
def test_an_instant_that_no_calendar_has_is_none(instant_us: int) -> None:
    assert instant_at(instant_us) is None
