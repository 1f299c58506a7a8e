"""Header cards are read and written as FITS 4.0 says, whatever a telescope put into them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.errors import Held
from nightferry.formats.cards import BLOCK, CARD, END, Value, close_header, format_card, parse_card, parse_cards

PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126)
RESERVED = {"COMMENT", "HISTORY", "CONTINUE", "END", "HIERARCH"}
KEYWORDS = st.from_regex(r"\A[A-Z0-9_-]{1,8}\Z").filter(lambda keyword: keyword not in RESERVED) | st.from_regex(
    r"\AHIERARCH( [A-Z0-9_-]{1,8}){1,4}\Z"
)
NUMBERS = st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | st.none()


def card(text: str) -> bytes:
    return text.ljust(CARD).encode("latin-1")


@pytest.mark.parametrize(
    ("text", "value", "comment"),
    [
        ("SIMPLE  =                    T / conforms to FITS", True, "conforms to FITS"),
        ("EXTEND  =                    F", False, ""),
        ("BITPIX  =                  -32 / bits", -32, "bits"),
        ("NAXIS1  = 2048", 2048, ""),
        ("COUNT   =                 +007", 7, ""),
        ("EXPTIME =                  10. / [s]", 10.0, "[s]"),
        ("RA      =            1.5E+02/no blanks", 150.0, "no blanks"),
        ("MJD-OBS =    6.0123456789012D4", 60123.456789012, ""),
        ("SMALL   =                -.5d-3", -0.0005, ""),
        ("OBJECT  = 'M 94    '           / target", "M 94", "target"),
        ("OBJECT  = 'Barnard''s / star' / a '/' in it", "Barnard's / star", "a '/' in it"),
        ("OBJECT  = '  leading blanks count  '", "  leading blanks count", ""),
        ("OBJECT  = ''                   / nothing", "", "nothing"),
        ("OBJECT  = '''' / one quote", "'", "one quote"),
        ("OBJECT  ='no blank before the quote'", "='no blank before the quote'", ""),
        ("AIRMASS =                      / undefined", None, "undefined"),
        ("GAIN    = (1.0, -2) / complex", complex(1, -2), "complex"),
        ("HIERARCH ESO DPR CATG = 'CALIB' / category", "CALIB", "category"),
        ("HIERARCH ESO  DET   WIN1 NX=2048/pixels", 2048, "pixels"),
        ("COMMENT = 'this is text, too'", "= 'this is text, too'", ""),
        ("HISTORY   flat-fielded / twice", "  flat-fielded / twice", ""),
        ("        blank keyword", "blank keyword", ""),
        ("HIERARCH says nothing", " says nothing", ""),
        ("NOVALUE just some words", "just some words", ""),
    ],
)
def test_a_card_is_read_as_the_standard_says(text: str, value: Value, comment: str) -> None:
    read = parse_card(card(text))
    assert (read.value, type(read.value), read.comment) == (value, type(value), comment)
    assert read.raw == card(text)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("exptime = 10.0", "its keyword 'exptime' holds more than A-Z, 0-9, '-' and '_'"),
        ("HIERARCH eso x = 10.0", "its keyword 'HIERARCH eso x' holds more than A-Z, 0-9, '-' and '_'"),
        ("EXPTIME = NaN", "its value 'NaN' is no text, number or logical"),
        ("EXPTIME = 1.0E999", "its number 1.0E999 is beyond the range of a double"),
        ("GAIN    = (1.0, 1E999)", "its number 1E999 is beyond the range of a double"),
        ("OBJECT  = 'no end / comment", 'its text "\'no end / comment" has no closing quote, or something after it'),
        ("OBJECT  = 'M 31' (Andromeda)", "its text \"'M 31' (Andromeda)\" has no closing quote, or something after it"),
        ("OBJECT  = M31", "its value 'M31' is no text, number or logical"),
        ("OBJECT  = 'caf\xe9'", "it holds characters that are not printable ASCII"),
        ("OBJECT  ='M31'", "column 10 after '=' is not blank, so it has no value"),
        ("CONTINUE  'nobody''s text'", "it continues no text"),
        ("CONTINUE  nothing", "its value 'nothing' is no text, number or logical"),
    ],
)
def test_what_the_standard_forbids_is_told_as_a_flaw(text: str, flaw: str) -> None:
    assert parse_card(card(text)).flaw == flaw


@pytest.mark.parametrize(
    "text", ["OBJECT  = 'M31'", "EXPTIME = 10.", "COMMENT = x", "", "HIERARCH ESO A = T", "X       = 1"]
)
def test_a_good_card_has_no_flaw(text: str) -> None:
    assert parse_card(card(text)).flaw == ""


@pytest.mark.parametrize(
    ("text", "keyword", "commentary"),
    [
        ("NAXIS1  = 5", "NAXIS1", False),
        ("DATE-OBS= '2025'", "DATE-OBS", False),
        ("NOVALUE just words", "NOVALUE", True),
        ("COMMENTED too long", "COMMENTE", True),
        ("COMMENT = 5", "COMMENT", True),
        ("", "", True),
        ("HIERARCH  ESO  DET   WIN1 NX=2048", "HIERARCH ESO DET WIN1 NX", False),
        ("HIERARCH says nothing", "HIERARCH", True),
    ],
)
def test_keywords_are_told_as_they_are_written(text: str, keyword: str, *, commentary: bool) -> None:
    read = parse_card(card(text))
    assert (read.keyword, read.commentary) == (keyword, commentary)


def test_bytes_beyond_ascii_are_kept() -> None:
    assert parse_card(card("OBJECT  = 'caf\xe9\x85'")).value == "caf\xe9\x85"


def test_text_goes_on_in_continue_cards() -> None:
    cards = [
        "LONGTEXT= 'first &' / one",
        "CONTINUE  'it''s second &'",
        "CONTINUE  'third&'",
        "CONTINUE  '' / four",
        "NEXT    = 1",
    ]
    first, second = parse_cards(b"".join(map(card, cards)))
    assert (first.keyword, first.value, first.comment) == ("LONGTEXT", "first it's second third", "one four")
    assert first.raw == b"".join(map(card, cards[:4]))
    assert (first.flaw, second.value) == ("", 1)


def test_continue_after_text_that_does_not_go_on_stands_alone() -> None:
    first, second, third = parse_cards(card("OBJECT  = 'M31'") + card("CONTINUE  'x&'") + card("COUNT   = 5"))
    assert (first.value, second.value, third.value) == ("M31", "x&", 5)


def test_an_ampersand_without_continue_is_text() -> None:
    (only,) = parse_cards(card("OBJECT  = 'M31&'"))
    assert only.value == "M31&"


def test_a_flaw_in_a_continue_card_is_told() -> None:
    (only,) = parse_cards(card("OBJECT  = 'M31&'") + card("CONTINUE  'caf\xe9'"))
    assert only.flaw == "it holds characters that are not printable ASCII"


def test_commentary_never_continues() -> None:
    assert len(parse_cards(card("COMMENT text&") + card("CONTINUE  'x'"))) == 2


def test_reading_stops_at_end() -> None:
    header = card("SIMPLE  = T") + card("ENDING  = 1") + END + card("AFTER   = 1")
    assert [read.keyword for read in parse_cards(header)] == ["SIMPLE", "ENDING"]


def test_a_text_of_ten_thousand_continue_cards_is_read() -> None:
    (only,) = parse_cards(format_card("STORY", "word " * 130_000, long=True))
    assert only.value == ("word " * 130_000).rstrip()


@given(st.binary(max_size=CARD * 40))
def test_no_bytes_break_the_reader_and_none_are_lost(header: bytes) -> None:
    read = parse_cards(header)
    raw = b"".join(one.raw for one in read)
    assert header.startswith(raw)
    rest = header[len(raw) :]
    assert len(rest) < CARD or rest.startswith(b"END     ")
    assert all(isinstance(one.flaw, str) for one in read)


@given(st.text(st.sampled_from("' /&=TF019.+-ED(,)"), max_size=70))
def test_any_value_field_is_read_or_told_as_a_flaw(field: str) -> None:
    read = parse_card(card(f"KEYWORD = {field}"))
    assert read.value is not None or read.flaw or not field.partition("/")[0].strip()


@given(KEYWORDS, NUMBERS, st.text(PRINTABLE, max_size=60))
def test_numbers_read_back_as_they_were_written(keyword: str, value: Value, comment: str) -> None:
    written = format_card(keyword, value, comment)
    (read,) = parse_cards(written)
    assert (read.keyword, read.value, type(read.value), read.flaw) == (keyword, value, type(value), "")
    assert len(written) == CARD
    assert comment.strip(" ").startswith(read.comment)


@given(KEYWORDS, st.text(PRINTABLE, max_size=300))
def test_text_of_any_length_reads_back_as_it_was_written(keyword: str, value: str) -> None:
    written = format_card(keyword, value, "why", long=True)
    (read,) = parse_cards(written)
    assert (read.keyword, read.value, read.flaw, read.raw) == (keyword, value.rstrip(" "), "", written)


@pytest.mark.parametrize(
    ("keyword", "value", "comment", "text"),
    [
        ("SIMPLE", True, "conforms", "SIMPLE  =                    T / conforms"),
        ("NAXIS1", 2048, "", "NAXIS1  =                 2048"),
        ("EXPTIME", 120.0, "[s] exposure", "EXPTIME =                120.0 / [s] exposure"),
        ("TINY", 1e-7, "", "TINY    =              1.0E-07"),
        ("HUGE", 1e22, "", "HUGE    =              1.0E+22"),
        ("MJD-OBS", -2.2250738585072014e-308, "d", "MJD-OBS = -2.2250738585072014E-308 / d"),
        ("FILTER", "r'", "band", "FILTER  = 'r''     '           / band"),
        ("DATE-OBS", "2025-03-27T01:20:32.955", "UTC", "DATE-OBS= '2025-03-27T01:20:32.955' / UTC"),
        ("AIRMASS", None, "unknown", "AIRMASS =                      / unknown"),
        ("GAIN", complex(1, 2), "", "GAIN    =           (1.0, 2.0)"),
        ("HIERARCH ESO DPR CATG", "CALIB", "kind", "HIERARCH ESO DPR CATG = 'CALIB' / kind"),
        ("HIERARCH ESO X", 5, "n", "HIERARCH ESO X = 5             / n"),
        ("HISTORY", "made by hand", "", "HISTORY made by hand"),
        ("", "", "", ""),
    ],
)
def test_a_card_is_written_in_fixed_format(keyword: str, value: Value, comment: str, text: str) -> None:
    assert format_card(keyword, value, comment).decode() == text.ljust(CARD)


def test_commentary_takes_as_many_cards_as_it_needs() -> None:
    written = format_card("HISTORY", "x" * 100)
    assert written == card("HISTORY " + "x" * 72) + card("HISTORY " + "x" * 28)


def test_a_comment_is_cut_where_the_card_ends() -> None:
    assert format_card("COUNT", 1, "c" * 80) == card("COUNT   =                    1 / " + "c" * 47)


@pytest.mark.parametrize(
    ("keyword", "value", "comment", "told"),
    [
        ("OBJECT", "x" * 69, "", "needs 69 columns of 68"),
        ("OBJECT", "'" * 35, "", "needs 70 columns of 68"),
        ("OBJECT", "caf\xe9", "", "only printable ASCII"),
        ("OBJECT", "two\nlines", "", "only printable ASCII"),
        ("OBJECT", "M31", "\xb0C", "only printable ASCII"),
        ("HISTORY", "\t", "", "only printable ASCII"),
        ("HISTORY", 5, "", "such a card carries text"),
        ("EXPTIME", float("nan"), "", "must be finite"),
        ("EXPTIME", float("-inf"), "", "must be finite"),
        ("GAIN", complex(1, float("inf")), "", "must be finite"),
        ("COUNT", 10**80, "", "needs 91 of 80 columns"),
        ("exptime", 1, "", "a keyword is up to 8"),
        ("LONGKEYWORD", 1, "", "a keyword is up to 8"),
        ("END", 1, "", "a keyword is up to 8"),
        ("CONTINUE", "x", "", "a keyword is up to 8"),
        ("HIERARCH ESO ", 1, "", "a keyword is up to 8"),
        ("HIERARCH " + "A" * 80, "x", "", "needs 1 columns of 0"),
    ],
)
def test_what_no_header_can_hold_is_held(keyword: str, value: Value, comment: str, told: str) -> None:
    with pytest.raises(Held, match=told):
        format_card(keyword, value, comment)


def test_long_text_under_a_keyword_that_leaves_no_room_is_held() -> None:
    with pytest.raises(Held, match="shorten it"):
        format_card("HIERARCH " + "A" * 64, "x" * 80, long=True)


def test_a_closed_header_fills_whole_blocks() -> None:
    header = close_header([format_card("SIMPLE", True)] * 35)
    assert len(header) == BLOCK
    assert len(close_header([header[:BLOCK]])) == 2 * BLOCK
    assert header[35 * CARD :] == END
