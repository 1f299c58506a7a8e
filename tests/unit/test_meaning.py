"""Cards that change what others mean are used, or they hold the frame."""

import pytest

from nightferry.core.instant import Instant
from nightferry.formats.cards import parse_cards
from nightferry.headers.canonical import Canonical, Finding
from nightferry.headers.dialects import Dialect, load_dialect, translate
from nightferry.headers.dialects.header import Header
from nightferry.headers.dialects.meaning import load_meaning

START = "DATE-OBS= '2026-09-12T21:30:00.500'"


def read(*lines: str, dialect: str | Dialect = "generic", name: str = "") -> tuple[Canonical, tuple[Finding, ...]]:
    """Return what a header of some lines says by a dialect."""
    header = Header(parse_cards(b"".join(line.encode("ascii").ljust(80) for line in lines)))
    reading = translate(header, load_dialect(dialect) if isinstance(dialect, str) else dialect, name)
    return reading.canonical, reading.findings


def start_of(*lines: str, dialect: str | Dialect = "generic") -> str:
    """Return the start that a header tells; empty where it is held."""
    canonical, findings = read(*lines, dialect=dialect)
    assert (canonical.start is None) == any(finding.severity == "error" for finding in findings)
    return "" if canonical.start is None else canonical.start.iso(3)


#: For every row of the list, cards that speak of it.
SPEAKING = {
    "system": ["TIMESYS = 'TDB'", "TIMESYS = 'LOCAL'", "TIMESYS = 'UT1'", "TIMESYS = TAI"],
    "zone": [
        "TIMEZONE= -8", "TIMEZONE= 'America/Santiago'", "TIMEZONE= '-08:00'", "UTC-OFF = 5.5", "UTCOFFS = '+2'",
        "TZ      = 'CEST'", "GMTOFF  = -14400", "DST     = T", "ZONE    = 1,0",
    ],
    "same": ["DATE-UTC= '2026-09-12T19:30:00.500'", "UTC-DATE= '2026-09-13T05:30:00.5'"],
    "local": ["DATE-LOC= '2026-09-12T23:37:00.500'", "DATE-LOC= '2026-09-14T23:30:00.500'"],
}  # fmt: skip
COMMENTS = {
    "zone": ["local time", "Local date and time of observation"],
    "end": ["Time end of exposure", "shutter closed", "exposure finished"],
    "middle": ["mid-exposure", "Midpoint of exposure", "centre of the exposure"],
}


def test_every_row_of_the_list_has_cards_that_try_it() -> None:
    rows = {(row.part, row.use) for row in load_meaning().card}
    assert rows == {*(("value", use) for use in SPEAKING), *(("comment", use) for use in COMMENTS)}


@pytest.mark.parametrize("card", [card for cards in SPEAKING.values() for card in cards])
def test_a_card_that_changes_the_start_holds_the_frame_and_is_quoted(card: str) -> None:
    canonical, findings = read(START, card)
    assert canonical.start is None
    assert [finding.severity for finding in findings] == ["error"]
    assert card.split("=")[1].strip() in findings[0].got


@pytest.mark.parametrize("comment", [comment for comments in COMMENTS.values() for comment in comments])
def test_a_comment_that_changes_the_start_holds_the_frame_and_is_quoted(comment: str) -> None:
    canonical, findings = read(f"{START} / {comment}", "EXPTIME = 60.0")
    assert canonical.start is None
    assert [finding.severity for finding in findings] == ["error"]
    assert comment in findings[0].got


@pytest.mark.parametrize(
    "lines",
    [
        ["TIMESYS = 'UTC'"], ["TIMESYS = 'UT'"], ["TIMESYS = ''"], ["TIMEZONE= 0"], ["TIMEZONE= 0.0"],
        ["TZ      = 'UTC'"], ["TIMEZONE= '+00:00'"], ["DST     = F"], ["DATE-UTC= '2026-09-12T21:30:00.9'"],
        ["DATE-LOC= '2026-09-12T23:30:00.500'"], ["DATE-LOC= '2026-09-13T03:00:00.5'"], ["DATE-LOC= '12/09/2026'"],
    ],
)  # fmt: skip
def test_cards_that_change_nothing_hold_nothing(lines: list[str]) -> None:
    assert start_of(START, *lines) == "2026-09-12T21:30:00.500"


@pytest.mark.parametrize(
    "comment", ["UTC", "Time start to exposure", "[ISO 8601] UTC date/time of exposure start", "Image created time"]
)
def test_comments_that_change_nothing_hold_nothing(comment: str) -> None:
    assert start_of(f"{START} / {comment}") == "2026-09-12T21:30:00.500"


@pytest.mark.parametrize(
    ("system", "utc"),
    [
        ("TAI", "2026-09-12T21:29:23.500"), ("TT", "2026-09-12T21:28:51.316"), ("GPS", "2026-09-12T21:29:42.500"),
        ("TAI(NIST)", "2026-09-12T21:29:23.500"),
    ],
)  # fmt: skip
def test_other_time_scales_are_converted(system: str, utc: str) -> None:
    assert start_of(START, f"TIMESYS = '{system}'") == utc


@pytest.mark.parametrize(
    ("tai", "utc"),
    [
        ("2017-01-01T00:00:35.000", "2016-12-31T23:59:59.000"), ("2017-01-01T00:00:36.500", "2016-12-31T23:59:60.500"),
        ("2017-01-01T00:00:37.000", "2017-01-01T00:00:00.000"), ("2017-01-01T00:00:20.000", "2016-12-31T23:59:44.000"),
    ],
)  # fmt: skip
def test_atomic_time_is_right_around_a_leap_second(tai: str, utc: str) -> None:
    assert start_of(f"DATE-OBS= '{tai}'", "TIMESYS = 'TAI'") == utc


@pytest.mark.parametrize(
    ("zone", "utc"),
    [("-8", "2026-09-13T05:30:00.500"), ("'-08:00'", "2026-09-13T05:30:00.500"), ("5.75", "2026-09-12T15:45:00.500")],
)
def test_local_time_of_a_celestron_origin_becomes_utc(zone: str, utc: str) -> None:
    assert start_of(START, f"TIMEZONE= {zone}", "TELESCOP= 'Celestron Origin'", dialect="origin") == utc


@pytest.mark.parametrize("zone", ["-28800", "15", "0.3", "'PST'"])
def test_a_zone_that_cannot_be_one_holds_the_frame(zone: str) -> None:
    assert start_of(START, f"TIMEZONE= {zone}", dialect="origin") == ""


def test_a_start_that_names_its_own_zone_is_not_moved() -> None:
    assert start_of("DATE-OBS= '2026-09-12T21:30:00.500Z'", "TIMEZONE= -8") == "2026-09-12T21:30:00.500"


def test_a_local_time_by_its_comment_needs_a_zone() -> None:
    assert start_of(f"{START} / local time", dialect="origin") == ""
    assert start_of(f"{START} / local time", "TIMEZONE= 2", dialect="origin") == "2026-09-12T19:30:00.500"


def test_a_dwarf_3_is_read_as_the_comments_of_its_cards_say() -> None:
    canonical, findings = read(
        "DATE-OBS= '2025-10-20T21:35:12.345' / Time end of exposure",
        "EXPTIME = 60.0",
        "RA      = 10.6847 / [deg] Observe object RA coordinate (J2000)",
        "DEC     = 41.2687",
        "TELESCOP= 'DWARFIII'",
        dialect="dwarf3",
        name="M 31_60s60_Duo_20251020-213512345_12C.fits",
    )
    assert findings == ()
    assert (canonical.ra, canonical.dec) == (10.6847, 41.2687)
    assert canonical.start is not None
    assert canonical.start.iso(3) == "2025-10-20T21:34:12.345"
    assert canonical.end == Instant(canonical.start.day, canonical.start.micro + 60_000_000)
    assert (canonical.filter, canonical.gain, canonical.image_type) == ("Duo", 60, "science")


@pytest.mark.parametrize(
    ("card", "field", "value"),
    [
        ("RA      = 10.0 / [h] right ascension", "ra", 150), ("RA      = 10.0 / in degrees", "ra", 10),
        ("EXPTIME = 90000 / exposure time in ms", "exptime", 90), ("EXPTIME = 2 / [min]", "exptime", 120),
        ("EXPTIME = 500000 / [us]", "exptime", 0.5), ("EXPTIME = 30 / Total Exposure Time (s)", "exptime", 30),
    ],
)  # fmt: skip
def test_a_unit_in_a_comment_counts_where_the_dialect_trusts_it(card: str, field: str, value: float) -> None:
    trusting = load_dialect("generic").model_copy(update={"comments": True})
    canonical, findings = read(card, dialect=trusting)
    assert (getattr(canonical, field), findings) == (value, ())


@pytest.mark.parametrize(
    "card",
    [
        "RA      = 10.0 / [h] right ascension", "EXPTIME = 90000 / exposure time in ms", "DEC     = 0.5 / [rad]",
        "RA      = 1.2 / radians",
    ],
)  # fmt: skip
def test_a_unit_in_a_comment_holds_the_frame_where_nobody_vouches_for_it(card: str) -> None:
    _, findings = read(card)
    assert [finding.severity for finding in findings] == ["error"]
