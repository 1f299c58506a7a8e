"""JPEG files are judged in passing: segments, scans, and the end marker."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightferry.formats.inspect import Findings, inspector_for

PICTURES = Path(__file__).parents[1] / "data" / "pictures"
WRITTEN = sorted(path for path in PICTURES.iterdir() if path.suffix in {".jpg", ".jpeg"})
BASELINE = (PICTURES / "pillow_baseline.jpg").read_bytes()
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
FRAME = b"\xff\xc0\x00\x0b\x08\x00\x0c\x00\x10\x01\x11\x00\x00"
SCAN = b"\xff\xda\x00\x06\x01\x00\x00\x00"


def inspect(data: bytes, *, piece: int = 1 << 20) -> Findings:
    inspector = inspector_for("img-0001-output.JPEG", -1)
    for start in range(0, len(data), piece):
        inspector.feed(memoryview(data)[start : start + piece])
    return inspector.finish()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_jpegs_of_real_programs_are_whole_and_their_cuts_are_not(path: Path) -> None:
    whole = path.read_bytes()
    for piece in (1 << 20, 1, 3):
        findings = inspect(whole, piece=piece)
        assert (findings.kind, findings.problem, findings.warnings) == ("jpeg", "", ())
        assert findings.facts == {"naxis": "16x12"}
    for cut in range(1, len(whole)):
        assert "truncated" in inspect(whole[:cut]).problem or cut == 1, cut


def test_a_truncated_jpeg_says_where_it_ends() -> None:
    assert (
        inspect(BASELINE[:-2]).problem
        == f"the JPEG ends at byte {len(BASELINE) - 2:,} without its end marker: truncated"
    )


def test_bytes_after_the_end_are_only_odd() -> None:
    findings = inspect(BASELINE + b"second picture of a phone")
    assert (findings.problem, findings.warnings) == ("", ("25 bytes follow the end of the JPEG",))


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCF])
def test_the_shape_of_a_jpeg_is_told(marker: int) -> None:
    head = bytes([0xFF, marker]) + b"\x00\x08\x08\x08\x20\x0c\x01\x01"
    assert inspect(SOI + head + SCAN + EOI).facts == {"naxis": "3073x2080"}


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC, 0xDB, 0xE1])
def test_tables_are_not_taken_for_frame_headers(marker: int) -> None:
    table = bytes([0xFF, marker]) + b"\x00\x08\x08\x08\x20\x0c\x01\x01"
    assert inspect(SOI + table + SCAN + EOI).problem.endswith("it holds no pixels")


@pytest.mark.parametrize("piece", [1 << 20, 1])
def test_stuffed_bytes_restarts_and_fill_belong_to_the_data(piece: int) -> None:
    coded = b"\x12\xff\x00\xff\xd0\x34\xff\xd7\xff\xff\x00\x56"
    for fill in (b"", b"\xff", b"\xff\xff"):
        assert inspect(SOI + FRAME + SCAN + coded + fill + EOI, piece=piece).problem == ""


def test_an_end_marker_inside_a_segment_does_not_count() -> None:
    comment = b"\xff\xfe\x00\x06" + EOI + EOI
    assert inspect(SOI + comment + FRAME + SCAN + b"data" + EOI).problem == ""
    assert inspect(SOI + comment + FRAME + SCAN + b"data").problem.endswith("truncated")


def test_fill_and_lone_markers_between_segments_are_passed_over() -> None:
    assert inspect(SOI + b"\xff\xfe\x00\x02" + FRAME + SCAN + EOI).problem == ""
    assert inspect(SOI + b"\xff\x01" + b"\xff\xff\xff" + FRAME + SCAN + b"data" + EOI).problem == ""


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty: not one byte came"),
        (b"<html>", "not JPEG: it starts with '<h'"),
        (SOI, "the JPEG ends at byte 2 without its end marker: truncated"),
        (SOI + EOI, "the JPEG ends without a frame header and a scan: it holds no pixels"),
        (SOI + FRAME + EOI, "the JPEG ends without a frame header and a scan: it holds no pixels"),
        (SOI + b"junk", "byte 2 of the JPEG should open a marker, found 'ju'"),
        (SOI + SOI, r"byte 2 of the JPEG should open a marker, found '\xff\xd8'"),
        (SOI + b"\xff\x00", r"byte 2 of the JPEG should open a marker, found '\xff\x00'"),
        (SOI + b"\xff\xfe\x00\x01", "the segment at byte 4 of the JPEG is 1 bytes long, expected 2 or more"),
    ],
)
def test_what_is_no_jpeg_is_told(data: bytes, problem: str) -> None:
    assert inspect(data).problem == problem


@given(st.binary(max_size=300), st.integers(1, 300), st.sampled_from([b"", SOI, SOI + FRAME + SCAN]))
@settings(max_examples=300)
def test_no_bytes_break_the_inspector_and_chunks_change_nothing(junk: bytes, piece: int, before: bytes) -> None:
    assert inspect(before + junk) == inspect(before + junk, piece=piece)


@given(st.lists(st.tuples(st.integers(0, len(BASELINE) - 1), st.integers(0, 255)), max_size=6), st.integers(1, 50))
@settings(max_examples=300)
def test_damaged_jpegs_break_nothing_and_chunks_change_nothing(hits: list[tuple[int, int]], piece: int) -> None:
    damaged = bytearray(BASELINE)
    for at, byte in hits:
        damaged[at] = byte
    assert inspect(bytes(damaged)) == inspect(bytes(damaged), piece=piece)
