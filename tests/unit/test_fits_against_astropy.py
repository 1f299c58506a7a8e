"""Our reading and writing of FITS agrees with astropy's, over cards and whole files of every kind of HDU."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nightferry.formats.cards import CARD, Value, format_card, parse_card, parse_cards
from nightferry.formats.datasum import datasum_of
from nightferry.formats.inspect import inspector_for

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)
RESERVED = {"COMMENT", "HISTORY", "CONTINUE", "END", "HIERARCH", "SIMPLE", "XTENSION", "BITPIX", "NAXIS"}
KEYWORDS = st.from_regex(r"\A[A-Z][A-Z0-9_-]{0,7}\Z").filter(lambda keyword: keyword not in RESERVED)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(allow_nan=False, allow_infinity=False),
    st.complex_numbers(allow_nan=False, allow_infinity=False),
    st.none(),
    PRINTABLE,
)


def misread(value: Value, comment: str) -> bool:
    """Whether astropy 8.0.2 may misread it: of ``'''/'`` it takes the text to end before the slash."""
    return isinstance(value, str) and "'" in value and "/" in f"{value}{comment}"


def same(theirs: object, ours: Value) -> bool:
    """Whether astropy's value and ours are one: text without trailing blanks, numbers of the same type."""
    if isinstance(theirs, fits.card.Undefined):
        return ours is None
    if isinstance(theirs, str):
        return theirs.rstrip(" ") == ours
    return type(theirs) is type(ours) and theirs == ours


@given(KEYWORDS, VALUES, PRINTABLE)
@settings(max_examples=150)
def test_astropy_reads_what_we_write(keyword: str, value: Value, comment: str) -> None:
    assume(not misread(value, comment))
    written = format_card(keyword, value, comment, long=True)
    theirs = fits.Card.fromstring(written)
    (ours,) = parse_cards(written)
    assert same(theirs.value, ours.value)
    if len(written) == CARD:
        assert theirs.comment.strip(" ") == ours.comment


@given(KEYWORDS, VALUES, PRINTABLE.map(lambda text: text[:20]))
@settings(max_examples=150)
def test_we_read_what_astropy_writes(keyword: str, value: Value, comment: str) -> None:
    assume(not misread(value, comment))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)  # it says when it cuts a comment
        written = str(fits.Card(keyword, value, comment).image).encode("ascii")
    (ours,) = parse_cards(written)
    assert same(fits.Card.fromstring(written).value, ours.value)
    assert ours.raw == written


FREE = st.one_of(
    st.from_regex(r"\A {0,3}[+-]?[0-9]{0,6}\.?[0-9]{0,6}([EeDd][+-]?[0-9]{1,2})? {0,3}\Z"),
    st.from_regex(r"\A {0,3}\( ?[+-]?[0-9]{1,4}\.? ?, ?[+-]?\.?[0-9]{1,4} ?\)\Z"),
    st.from_regex(r"\A {0,3}'([ -&(-.0-~]|''){0,30}' {0,3}\Z"),
    st.sampled_from(["T", "  F ", "", " T/F", "TF"]),
)


@given(FREE, st.sampled_from(["", "/", " / why", "/ what / twice"]))
@settings(max_examples=500)
def test_where_we_see_no_flaw_astropy_reads_the_same(field: str, comment: str) -> None:
    card = f"KEYWORD = {field + comment:<70}".encode()
    ours = parse_card(card)
    if not ours.flaw and not misread(ours.value, comment):
        theirs = fits.Card.fromstring(card)
        assert (same(theirs.value, ours.value), theirs.comment.strip(" ")) == (True, ours.comment)


def table() -> fits.BinTableHDU:
    """Make a table whose heap holds rows of different lengths."""
    rows = np.empty(3, dtype=object)
    rows[:] = [np.arange(3.0), np.arange(50.0), np.arange(1.0)]
    columns = [fits.Column("n", "J", array=np.arange(3)), fits.Column("v", "PE()", array=rows)]
    return fits.BinTableHDU.from_columns(columns)


def words() -> fits.TableHDU:
    """Make a table of text."""
    columns = [fits.Column("n", "I5", array=np.arange(3)), fits.Column("s", "A10", array=np.array(["x", "yy", "zzz"]))]
    return fits.TableHDU.from_columns(columns)


def pixels(kind: str, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.random.default_rng(5).integers(0, 100, shape).astype(kind)


def groups() -> fits.GroupsHDU:
    """Make random groups."""
    data = np.arange(24, dtype="f4").reshape(4, 1, 2, 3)
    return fits.GroupsHDU(fits.GroupData(data, bitpix=-32, parnames=["u"], pardata=[np.arange(4.0)]))


def header(cards: int) -> fits.Header:
    made = fits.Header()
    for number in range(cards):
        made[f"HIERARCH ESO KEY{number}"] = number
    return made


FILES = {
    **{kind: [fits.PrimaryHDU(pixels(kind, 11, 7))] for kind in ("u1", "i2", "u2", "i4", "f4", "f8")},
    "cube": [fits.PrimaryHDU(pixels("i2", 3, 11, 7))],
    "ten thousand cards": [fits.PrimaryHDU(pixels("i2", 11, 7), header(10_000))],
    "several": [fits.PrimaryHDU(), fits.ImageHDU(pixels("u2", 37, 53)), table(), words(), fits.ImageHDU()],
    "compressed": [fits.PrimaryHDU(), fits.CompImageHDU(pixels("i2", 37, 53), compression_type="RICE_1")],
    "groups": [groups()],
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_astropy_writes_are_whole_and_their_sums_agree(name: str, tmp_path: Path) -> None:
    file = tmp_path / "frame.fits"
    fits.HDUList(FILES[name]).writeto(file, checksum=True, output_verify="silentfix")
    data = file.read_bytes()
    inspector = inspector_for("frame.fits", len(data))
    inspector.feed(memoryview(data))
    findings = inspector.finish()
    with fits.open(file, disable_image_compression=True, checksum=True) as opened:
        sums = " ".join(hdu._datasum for hdu in opened)
        assert (findings.facts["hdus"], findings.facts["datasum"]) == (len(opened), sums)
    assert (findings.problem, findings.warnings, findings.checksums) == ("", (), "ok")


@given(st.binary(min_size=4, max_size=5000))
def test_the_sum_is_that_of_astropy(data: bytes) -> None:
    data = data[: len(data) // 4 * 4]
    theirs = fits.PrimaryHDU()._compute_checksum(np.frombuffer(data, np.uint8))
    assert datasum_of(data) == int(theirs)
