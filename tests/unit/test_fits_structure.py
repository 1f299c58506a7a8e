"""What the bytes of a FITS file tell: whole, truncated, damaged or no FITS at all."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightferry.formats.cards import BLOCK, Value, close_header, format_card
from nightferry.formats.datasum import datasum_of, encode_checksum
from nightferry.formats.inspect import Findings, inspector_for

Cards = Sequence[tuple[str, Value]]


def noise(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count)  # noqa: S311 - pixels, not secrets


def hdu(cards: Cards, data: bytes = b"", *, sums: bool = False, fill: bytes = b"\0") -> bytes:
    """Make an HDU of cards and data, with DATASUM and CHECKSUM if wished."""
    data = data.ljust(-(-len(data) // BLOCK) * BLOCK, fill)
    written = [format_card(keyword, value) for keyword, value in cards]
    if not sums:
        return close_header(written) + data
    written.append(format_card("DATASUM", str(datasum_of(data))))
    blank = close_header([*written, format_card("CHECKSUM", "0" * 16)])
    return close_header([*written, format_card("CHECKSUM", encode_checksum(datasum_of(blank + data)))]) + data


def picture(width: int, height: int, *more: tuple[str, Value], sums: bool = False, seed: int = 7) -> bytes:
    """Make a frame of 16-bit pixels of noise."""
    axes = [("NAXIS", 2), ("NAXIS1", width), ("NAXIS2", height)]
    return hdu([("SIMPLE", True), ("BITPIX", 16), *axes, *more], noise(2 * width * height, seed), sums=sums)


def extension(
    kind: str, bitpix: int, axes: Sequence[int], data: bytes, *more: tuple[str, Value], fill: bytes = b"\0"
) -> bytes:
    """Make an extension HDU."""
    shape = [("NAXIS", len(axes)), *((f"NAXIS{number}", length) for number, length in enumerate(axes, 1))]
    return hdu([("XTENSION", kind), ("BITPIX", bitpix), *shape, *more], data, sums=True, fill=fill)


PRIMARY = hdu([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)], sums=True)
SEVERAL = (
    PRIMARY
    + extension("IMAGE", -32, (30, 20), noise(2400, 1), ("PCOUNT", 0), ("GCOUNT", 1))
    + extension("BINTABLE", 8, (12, 3), noise(36 + 5000, 2), ("PCOUNT", 5000), ("GCOUNT", 1))
    + extension("TABLE", 8, (10, 4), b"text below" * 4, ("PCOUNT", 0), ("GCOUNT", 1), fill=b" ")
)


def inspect(data: bytes, name: str = "frame.fits", *, size: int | None = None, piece: int = 1 << 20) -> Findings:
    """Feed a file in pieces and tell the findings; its true length is announced unless told otherwise."""
    inspector = inspector_for(name, len(data) if size is None else size)
    for start in range(0, len(data), piece):
        inspector.feed(memoryview(data)[start : start + piece])
    return inspector.finish()


def test_a_whole_frame_has_no_problem_and_tells_its_facts() -> None:
    about: Cards = [
        ("DATE-OBS", "2025-03-27T01:20:32.955"),
        ("OBJECT", "M 94"),
        ("IMAGETYP", "Light"),
        ("EXPTIME", 10.0),
    ]
    frame = picture(64, 48, *about, ("FILTER", "IRCUT"), ("INSTRUME", "Seestar S50"))
    findings = inspect(frame)
    assert (findings.kind, findings.problem, findings.warnings, findings.checksums) == ("fits", "", (), "absent")
    assert findings.facts == {
        "hdus": 1,
        "bitpix": 16,
        "naxis": "64x48",
        "datasum": str(datasum_of(frame[BLOCK:])),
        "DATE-OBS": "2025-03-27T01:20:32.955",
        "OBJECT": "M 94",
        "IMAGETYP": "Light",
        "EXPTIME": 10.0,
        "FILTER": "IRCUT",
        "INSTRUME": "Seestar S50",
    }


def test_several_hdus_with_sums_are_followed_to_the_last() -> None:
    findings = inspect(SEVERAL)
    assert (findings.problem, findings.warnings, findings.checksums) == ("", (), "ok")
    assert (findings.facts["hdus"], findings.facts["naxis"], findings.facts["bitpix"]) == (4, "30x20", -32)
    assert len(str(findings.facts["datasum"]).split()) == 4


def test_random_groups_have_the_length_the_standard_gives_them() -> None:
    shape = [("NAXIS", 3), ("NAXIS1", 0), ("NAXIS2", 5), ("NAXIS3", 4)]
    cards = [("SIMPLE", True), ("BITPIX", -32), *shape, ("GROUPS", True), ("PCOUNT", 3), ("GCOUNT", 7)]
    length = 4 * 7 * (3 + 5 * 4)
    frame = hdu(cards, noise(length, 3))
    assert inspect(frame).problem == ""
    assert "truncated" in inspect(frame[: BLOCK + length - 1]).problem


def test_a_tile_compressed_frame_tells_the_shape_of_its_picture() -> None:
    table = [("PCOUNT", 100), ("GCOUNT", 1), ("ZIMAGE", True), ("ZBITPIX", 16), ("ZNAXIS", 2), ("ZNAXIS1", 300)]
    frame = PRIMARY + extension("BINTABLE", 8, (8, 5), bytes(range(140)), *table, ("ZNAXIS2", 200), ("OBJECT", "M 31"))
    facts = inspect(frame, "frame.FITS.fz").facts
    assert (facts["naxis"], facts["bitpix"], facts["OBJECT"]) == ("300x200", 16, "M 31")


def test_a_header_of_ten_thousand_cards_is_read() -> None:
    cards = [(f"HIERARCH ESO KEY{number}", number) for number in range(10_000)]
    findings = inspect(picture(10, 10, *cards, ("OBJECT", "late"), sums=True))
    assert (findings.problem, findings.checksums, findings.facts["OBJECT"]) == ("", "ok", "late")


def test_end_may_open_a_block() -> None:
    frame = picture(10, 10, *((f"KEY{number}", number) for number in range(31)))
    assert frame[BLOCK : BLOCK + 5] == b"END  "
    assert inspect(frame).problem == ""


def test_a_truncated_frame_says_how_much_is_missing() -> None:
    frame = picture(2048, 300)
    whole = len(frame)
    assert inspect(frame[:600_000]).problem == (
        f"the FITS data end at byte 600,000 of {whole:,}: truncated by {whole - 600_000:,} bytes"
    )
    assert "the FITS data of HDU 2 end at byte" in inspect(SEVERAL[: 5 * BLOCK + 100]).problem


@given(st.integers(0, len(SEVERAL) - 1), st.integers(1, 4000))
@settings(max_examples=300)
def test_any_cut_shows_against_the_announced_size(cut: int, piece: int) -> None:
    assert inspect(SEVERAL[:cut], size=len(SEVERAL), piece=piece).problem


@pytest.mark.parametrize("sums", [True, False])
def test_any_cut_into_header_or_data_shows_from_the_bytes_alone(*, sums: bool) -> None:
    frame = picture(40, 30, sums=sums)
    data_end = BLOCK + 2 * 40 * 30
    for cut in range(data_end):
        assert inspect(frame[:cut]).problem, cut
    for cut in range(data_end, len(frame)):  # nothing but fill is missing
        findings = inspect(frame[:cut])
        assert findings.problem == ""
        assert findings.warnings[0].startswith(f"the last block is padded short: {len(frame) - cut:,} bytes")
        assert findings.checksums == ("ok" if sums else "absent")


def test_a_cut_between_hdus_shows_where_the_primary_header_counts_them() -> None:
    counting = hdu([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), ("NEXTEND", 3)])
    rest = SEVERAL[len(PRIMARY) :]
    assert inspect(counting + rest).problem == ""
    assert inspect(counting + rest[: 2 * BLOCK]).problem == (
        "NEXTEND tells of 3 extensions, 1 came: truncated between HDUs"
    )


def test_blank_fill_missing_after_a_table_of_text_does_not_spoil_its_sum() -> None:
    findings = inspect(SEVERAL[: -BLOCK + 40])
    assert (findings.problem, findings.checksums) == ("", "ok")


@given(st.data())
@settings(max_examples=200)
def test_any_flipped_bit_in_data_with_datasum_is_a_problem(data: st.DataObject) -> None:
    frame = bytearray(picture(40, 30, sums=True))
    at = data.draw(st.integers(8 * BLOCK, 8 * len(frame) - 1))
    frame[at // 8] ^= 1 << at % 8
    findings = inspect(bytes(frame))
    assert "the data of HDU 0 are not those its DATASUM was written for" in findings.problem
    assert findings.checksums == "wrong"


@given(st.integers(0, 8 * BLOCK - 1))
@settings(max_examples=200)
def test_any_flipped_bit_in_a_header_with_checksum_is_noticed(at: int) -> None:
    frame = bytearray(picture(40, 30, sums=True))
    checksum = frame.index(b"CHECKSUM")
    frame[at // 8] ^= 1 << at % 8
    findings = inspect(bytes(frame))
    noticed = findings.problem or findings.checksums == "stale"
    assert noticed or checksum <= at // 8 < checksum + 10, "only a flip in 'CHECKSUM= ' itself takes the claim away"


def test_a_header_edited_after_its_checksum_is_told_apart_from_damaged_data() -> None:
    frame = picture(40, 30, ("OBJECT", "M 31"), sums=True).replace(b"'M 31 ", b"'M 32 ")
    findings = inspect(frame)
    assert findings.problem == ""
    assert findings.warnings == ("CHECKSUM of HDU 0 is stale: its data are right, its header was changed after it",)
    assert findings.checksums == "stale"


def test_a_checksum_alone_is_checked_too() -> None:
    frame = (
        picture(40, 30, ("OBJECT", "M 31"), sums=True).replace(b"DATASUM ", b"DATASUN ").replace(b"'M 31 ", b"'M 32 ")
    )
    assert inspect(frame).problem == "CHECKSUM of HDU 0 is wrong: header or data were changed after it was written"


def test_the_damaged_hdu_is_named() -> None:
    damaged = bytearray(SEVERAL)
    damaged[3 * BLOCK - 1] ^= 1  # fill of the image, still part of its data unit
    assert "the data of HDU 1 are not those" in inspect(bytes(damaged)).problem


@pytest.mark.parametrize(("datasum", "checksum"), [("", None), ("", ""), (None, "")])
def test_empty_sums_claim_nothing(datasum: Value, checksum: Value) -> None:
    findings = inspect(picture(5, 5, ("DATASUM", datasum), ("CHECKSUM", checksum)))
    assert (findings.problem, findings.checksums) == ("", "absent")


def test_a_datasum_written_as_a_number_counts() -> None:
    data = noise(8, 9)
    axes = [("NAXIS", 1), ("NAXIS1", 8)]
    frame = hdu([("SIMPLE", True), ("BITPIX", 8), *axes, ("DATASUM", datasum_of(data))], data)
    assert inspect(frame).checksums == "ok"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty: not one byte came"),
        (b"404 not found\r\n", r"not FITS: it starts with '404 not found\x0d\x0a' where 'SIMPLE  =' is expected"),
        (b"SIM", "the header of HDU 0, from byte 0, has no END card where the file ends at byte 3: truncated"),
        (b"<html>" * 600, "not FITS: it starts with '<html><html><html><html><html><html><htm'... where"),
        (bytes(10_000), "not FITS: it starts with '\\x00"),
        (close_header([format_card("SIMPLE", True)]) * 2, "the header of HDU 0 has no BITPIX"),
    ],
)
def test_what_is_no_fits_is_told_with_how_it_starts(data: bytes, problem: str) -> None:
    assert inspect(data).problem.startswith(problem)


@pytest.mark.parametrize(
    ("cards", "problem"),
    [
        ([("BITPIX", 12), ("NAXIS", 0)], "BITPIX of HDU 0 is 12, expected one of 8, 16, 32, 64, -32, -64"),
        ([("BITPIX", "16"), ("NAXIS", 0)], "BITPIX of HDU 0 is '16', expected a whole number"),
        ([("BITPIX", 16.0), ("NAXIS", 0)], "BITPIX of HDU 0 is 16.0, expected a whole number"),
        ([("BITPIX", True), ("NAXIS", 0)], "BITPIX of HDU 0 is True, expected a whole number"),
        ([("BITPIX", None), ("NAXIS", 0)], "BITPIX of HDU 0 is left blank, expected a whole number"),
        ([("BITPIX", 16)], "the header of HDU 0 has no NAXIS"),
        ([("BITPIX", 16), ("NAXIS", -1)], "NAXIS of HDU 0 is -1, expected 0 or more"),
        ([("BITPIX", 16), ("NAXIS", 1000)], "NAXIS of HDU 0 is 1000, expected at most 999"),
        ([("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 5)], "the header of HDU 0 has no NAXIS2"),
        ([("BITPIX", 16), ("NAXIS", 1), ("NAXIS1", -5)], "NAXIS1 of HDU 0 is -5, expected 0 or more"),
        ([("BITPIX", 16), ("NAXIS", 1), ("NAXIS1", 5), ("PCOUNT", -5)], "PCOUNT of HDU 0 is -5, expected 0 or more"),
        (
            [("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 10**18), ("NAXIS2", 10**60)],
            "the header of HDU 0 tells of data longer than any file: 2 to the 261 bytes",
        ),
        (
            [("BITPIX", 64), ("NAXIS", 999), *((f"NAXIS{number}", 10**60) for number in range(1, 1000))],
            "the header of HDU 0 tells of data longer than any file",
        ),
        (
            [("BITPIX", 16), ("NAXIS", 2), ("NAXIS1", 10**9), ("NAXIS2", 10**6)],
            "the FITS data end at byte 2,880 of 2,000,000,000,004,480: truncated by 2,000,000,000,001,600 bytes",
        ),
    ],
)
def test_impossible_layouts_are_told(cards: Cards, problem: str) -> None:
    assert inspect(hdu([("SIMPLE", True), *cards])).problem.startswith(problem)


def test_a_mandatory_value_that_cannot_be_read_is_told() -> None:
    frame = picture(5, 5).replace(b"NAXIS1  =                    5", b"NAXIS1  =                   5x")
    assert inspect(frame).problem == "NAXIS1 of HDU 0 is '5x', expected a whole number"


def test_a_header_without_end_is_given_up_after_a_hundred_thousand_cards() -> None:
    endless = format_card("SIMPLE", True) + format_card("COMMENT", "") * 120_000
    assert inspect(endless).problem == "the header of HDU 0, from byte 0, has no END card within 100,000 cards"


def test_garbage_after_the_last_hdu_is_a_problem() -> None:
    frame = picture(10, 10)
    assert inspect(frame + b"surplus" * 1000).problem == (
        "7,000 bytes follow the last HDU, from byte 5,760, and are no extension: "
        "they start with 'surplussurplussurplussurplussurplussurpl'..."
    )
    assert "follow the last HDU" in inspect(frame + bytes(9000) + b"x").problem


@pytest.mark.parametrize("fill", [b"\0", b" "])
def test_fill_after_the_last_hdu_is_only_odd(fill: bytes) -> None:
    findings = inspect(picture(10, 10) + fill * 10_000, piece=700)
    assert (findings.problem, findings.warnings) == ("", ("10,000 bytes of fill follow the last HDU",))


def test_odd_bytes_that_lose_nothing_are_warnings() -> None:
    frame = bytearray(picture(10, 10, ("OBJECT", "Caf_ ")))
    frame[frame.index(b"Caf_") + 3] = 0xE9
    frame[BLOCK - 1] = 0
    frame[BLOCK + 250] = 1
    findings = inspect(bytes(frame).replace(b"SIMPLE  =                    T", b"SIMPLE  =                    F"))
    assert findings.problem == ""
    assert findings.warnings == (
        "the header of HDU 0 holds 1 bytes that are not printable ASCII",
        "the header of HDU 0 is not filled with blanks after END",
        "SIMPLE is not T: the file itself says that it does not conform to FITS",
        "the fill after the data of HDU 0 is not all zero",
    )
    assert findings.facts["OBJECT"] == "Caf?"


def test_a_header_alone_is_whole_but_odd() -> None:
    assert inspect(PRIMARY).warnings == ("no HDU holds any data",)
    assert inspect(PRIMARY[:1000]).warnings[0].startswith("the last block is padded short: 1,880 bytes")


def test_data_that_were_never_written_are_told() -> None:
    axes = [("NAXIS", 2), ("NAXIS1", 200), ("NAXIS2", 200), ("BZERO", 32768)]
    blank = hdu([("SIMPLE", True), ("BITPIX", 16), *axes], bytes(80_000))
    assert inspect(blank).warnings == ("every byte of the data of HDU 0 is zero: was it ever written?",)
    half = hdu([("SIMPLE", True), ("BITPIX", 16), *axes], (b"sky!" * 5000).ljust(80_000, b"\0"))
    for piece in (1 << 20, 4096, 999, 7):
        told = inspect(half, piece=piece).warnings
        assert told == ("the data of HDU 0 end with 60,000 zero bytes: were they ever written?",)


def test_facts_from_a_header_are_safe_to_show() -> None:
    values: Cards = [
        ("OBJECT", "x" * 68),
        ("FILTER", "  "),
        ("EXPTIME", "10 s"),
        ("INSTRUME", 10**30),
        ("IMAGETYP", True),
    ]
    facts = inspect(picture(5, 5, *values, ("TELESCOP", None))).facts
    assert facts["OBJECT"] == "x" * 68
    assert facts["EXPTIME"] == "10 s"
    assert not {"FILTER", "INSTRUME", "TELESCOP"} & facts.keys()
    assert "EXPTIME" not in inspect(picture(5, 5, ("EXPTIME", 2**63))).facts
    assert inspect(picture(5, 5, ("EXPTIME", 2**63 - 1))).facts["EXPTIME"] == 2**63 - 1


def test_warnings_are_told_once_and_not_without_end() -> None:
    odd = [extension("IMAGE", 8, (4,), bytes(4)) for _ in range(40)]
    warnings = inspect(PRIMARY + b"".join(odd)).warnings
    assert len(warnings) == 12
    assert len(set(warnings)) == 12


def test_the_first_of_equal_keywords_counts() -> None:
    assert inspect(picture(5, 5, ("NAXIS1", 5000), ("OBJECT", "a"), ("OBJECT", "b"))).facts["OBJECT"] == "a"


def test_an_announced_size_that_is_not_kept_is_a_problem() -> None:
    frame = picture(5, 5)
    assert inspect(frame, size=9000).problem == "9,000 bytes were announced, 5,760 bytes came"
    assert inspect(frame, size=0).problem == "0 bytes were announced, 5,760 bytes came"
    assert inspect(frame, size=-1).problem == ""


@given(st.binary(max_size=9000), st.integers(1, 9000), st.sampled_from([b"", PRIMARY, picture(9, 9), SEVERAL[:-1000]]))
@settings(max_examples=200)
def test_no_bytes_break_the_inspector_and_chunks_change_nothing(junk: bytes, piece: int, before: bytes) -> None:
    data = before + junk
    assert inspect(data) == inspect(data, piece=piece)


@given(st.lists(st.tuples(st.integers(0, len(SEVERAL) - 1), st.integers(0, 255)), max_size=8), st.integers(1, 6000))
@settings(max_examples=300)
def test_damaged_frames_break_nothing_and_chunks_change_nothing(hits: list[tuple[int, int]], piece: int) -> None:
    damaged = bytearray(SEVERAL)
    for at, byte in hits:
        damaged[at] = byte
    assert inspect(bytes(damaged)) == inspect(bytes(damaged), piece=piece)


def shared_frames() -> list[Path]:
    """Find the real frames in the folder beside the repository; none where there is no such folder."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data"
    return sorted(folder.glob("*/*.fit*"))


#: DATASUM of the real frames as astropy 8.0.2 and cfitsio compute it.
REAL_SUMS = {
    "solved.fits": 776736538,
    "unsolved.fits": 3995378405,  # its own DATASUM card is wrong, astropy says so too
    "Light_M 94_10.0s_IRCUT_20250326-212046.fit": 2707045533,
    "Light_M 94_10.0s_IRCUT_20250326-212057.fit": 1356749267,
}


@pytest.mark.parametrize("path", [None, *shared_frames()], ids=lambda path: path.name if path else "synthetic")
def test_real_frames_are_whole_and_their_cuts_are_not(path: Path | None) -> None:
    frame = path.read_bytes() if path else picture(700, 700, sums=True)
    findings = inspect(frame, piece=364 * BLOCK)
    assert bool(findings.problem) == (path is not None and path.name == "unsolved.fits")
    assert findings.facts["hdus"] == 1
    if path and path.name in REAL_SUMS:
        assert findings.facts["datasum"] == str(REAL_SUMS[path.name])
    for cut in (1, len(frame) // 2, len(frame) - BLOCK):
        assert inspect(frame[:cut], piece=364 * BLOCK).problem
