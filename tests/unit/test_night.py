from datetime import UTC, date, datetime

import pytest

from nightferry.core.errors import Misconfigured
from nightferry.core.night import Night, Nights, evening_at, evening_of

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


@pytest.mark.parametrize("word", ["yesterday", "2026-13-01", "20260931", "", "2026/09/12"])
def test_a_word_that_is_no_night_says_what_was_expected(word: str) -> None:
    with pytest.raises(Misconfigured, match="expected YYYYMMDD"):
        Nights.parse([word], now=NOW, longitude=0.0)


def test_all_and_latest_stand_alone() -> None:
    with pytest.raises(Misconfigured, match="stands alone"):
        Nights.parse(["all", "20260912"], now=NOW, longitude=0.0)


def test_a_night_is_written_with_its_telescope() -> None:
    assert str(Night("callisto", date(2026, 9, 12))) == "callisto 2026-09-12"
