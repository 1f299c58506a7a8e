"""The files that stand beside FITS frames: gzip, PNG, JSON and those of no known kind."""

import gzip
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightferry.formats.cards import Value, close_header, format_card
from nightferry.formats.gz import UNPACKED
from nightferry.formats.inspect import Findings, inspector_for

PNG = (Path(__file__).parents[1] / "data" / "pictures" / "pillow.png").read_bytes()
SIDE_FILE = b'{"motors": {"ALT": 41.5, "AZ": 120.25}, "status": "ok"}'


def frame(width: int, height: int) -> bytes:
    """Make a frame of noise."""
    shape: dict[str, Value] = {
        "SIMPLE": True,
        "BITPIX": 16,
        "NAXIS": 2,
        "NAXIS1": width,
        "NAXIS2": height,
        "OBJECT": "M 31",
    }
    length = 2 * width * height
    pixels = random.Random(4).randbytes(length)  # noqa: S311 - pixels, not secrets
    return close_header([format_card(*item) for item in shape.items()]) + pixels + bytes(-length % 2880)


FRAME = frame(50, 40)
PACKED = gzip.compress(FRAME, mtime=0)


def inspect(data: bytes, name: str, *, size: int = -1, piece: int = 1 << 20) -> Findings:
    inspector = inspector_for(name, size)
    for start in range(0, len(data), piece):
        inspector.feed(memoryview(data)[start : start + piece])
    return inspector.finish()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.fits", "fits"),
        ("A.FIT", "fits"),
        ("night/b.fts", "fits"),
        ("TargetSet.M27.8.00.LIGHT.fits.fits", "fits"),
        ("c.fits.fz", "fits"),
        ("Light_M 94_10.0s.fit.gz", "fits.gz"),
        ("d.TIF", "tiff"),
        ("d.tiff", "tiff"),
        ("e.jpg", "jpeg"),
        ("e_thn.JPEG", "jpeg"),
        ("f.png", "png"),
        ("img-0001-stacking.json", "json"),
        ("g.txt.gz", "other.gz"),
        ("fits", "other"),
        ("folder.fits/notes.txt", "other"),
        ("clip.mp4", "other"),
        ("", "other"),
    ],
)
def test_the_name_decides_how_a_file_is_looked_at(name: str, kind: str) -> None:
    assert inspect(b"x", name).kind == kind


def test_a_file_of_no_known_kind_is_let_pass() -> None:
    assert inspect(b"anything", "notes.txt", size=8) == Findings("other")
    assert inspect(b"any", "notes.txt", size=8).problem == "8 bytes were announced, 3 bytes came"
    assert inspect(b"", ".active").warnings == ("the file is empty",)


def test_a_packed_frame_is_judged_inside_and_out() -> None:
    findings = inspect(PACKED, "frame.fits.gz", size=len(PACKED))
    assert (findings.kind, findings.problem, findings.warnings) == ("fits.gz", "", ())
    assert (findings.facts["naxis"], findings.facts["OBJECT"]) == ("50x40", "M 31")
    cut = gzip.compress(FRAME[:5000])
    assert inspect(cut, "frame.fits.gz").problem == (
        "unpacked, the FITS data end at byte 5,000 of 8,640: truncated by 3,640 bytes"
    )


def test_any_cut_of_a_packed_frame_is_a_problem() -> None:
    for cut in range(len(PACKED)):
        assert inspect(PACKED[:cut], "frame.fits.gz").problem, cut
    assert inspect(PACKED[:-1], "a.fits.gz").problem == (
        f"the gzip stream ends at byte {len(PACKED) - 1:,} without its end: truncated"
    )


@given(st.integers(0, len(PACKED) - 1), st.integers(0, 7), st.integers(1, 5000))
@settings(max_examples=200)
def test_damage_to_a_packed_frame_shows_whatever_the_chunks(at: int, bit: int, piece: int) -> None:
    damaged = bytearray(PACKED)
    damaged[at] ^= 1 << bit
    findings = inspect(bytes(damaged), "frame.fits.gz", piece=piece)
    assert findings == inspect(bytes(damaged), "frame.fits.gz")
    # A gzip header's time, flags and operating system are under no checksum, and bits that only fill a byte change
    # nothing: what unpacks to the very same frame is not damaged.
    assert findings.problem or gzip.decompress(bytes(damaged)) == FRAME


def test_a_stream_of_several_members_is_one_file() -> None:
    members = gzip.compress(FRAME[:3000]) + gzip.compress(b"") + gzip.compress(FRAME[3000:])
    for piece in (1 << 20, 1, 7):
        assert inspect(members, "frame.fits.gz", piece=piece).problem == ""
    for piece in (1 << 20, 1):
        findings = inspect(members + bytes(100), "frame.fits.gz", piece=piece)
        assert (findings.problem, findings.warnings) == ("", ("100 bytes follow the gzip stream",))


def test_what_is_no_gzip_is_told() -> None:
    assert inspect(FRAME, "frame.fits.gz").problem == "not gzip: it starts with 'SI'"
    assert inspect(b"", "frame.fits.gz").problem == "the file is empty: not one byte came"
    assert inspect(b"\x1f\x8bjunk!", "frame.fits.gz").problem.startswith("the gzip stream is damaged: ")


def test_a_stream_that_unpacks_a_thousandfold_needs_no_more_memory() -> None:
    bomb = gzip.compress(bytes(128 * UNPACKED))
    tracemalloc.start()
    try:
        findings = inspect(bomb, "bomb.gz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * UNPACKED
    assert findings == Findings("other.gz")


def test_a_whole_png_is_whole_and_every_cut_of_it_is_not() -> None:
    for piece in (1 << 20, 1, 5):
        findings = inspect(PNG, "a.png", piece=piece)
        assert (findings.problem, findings.warnings, findings.checksums) == ("", (), "ok")
        assert findings.facts == {"naxis": "16x12", "bits": 16}
    for cut in range(len(PNG)):
        assert inspect(PNG[:cut], "a.png").problem, cut


@given(st.integers(0, 8 * len(PNG) - 1))
@settings(max_examples=200)
def test_any_flipped_bit_in_a_png_is_a_problem(at: int) -> None:
    damaged = bytearray(PNG)
    damaged[at // 8] ^= 1 << at % 8
    assert inspect(bytes(damaged), "a.png").problem


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


HEAD, END = chunk(b"IHDR", bytes(13)), chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("chunks", "problem"),
    [
        (HEAD + END, "the PNG ends without a single IDAT chunk: it holds no pixels"),
        (END, "the PNG must open with one IHDR chunk of 13 bytes, found 'IEND' at byte 8"),
        (HEAD + HEAD, "the PNG must open with one IHDR chunk of 13 bytes, found 'IHDR' at byte 33"),
        (chunk(b"IHDR", bytes(12)), "the PNG must open with one IHDR chunk of 13 bytes, found 'IHDR' at byte 8"),
        (HEAD + b"\0\0\0\1ID4T", r"byte 33 of the PNG should open a chunk, found '\x00\x00\x00\x01ID4T'"),
        (HEAD + b"\x80\0\0\0IDAT", r"byte 33 of the PNG should open a chunk, found '\x80\x00\x00\x00IDAT'"),
        (HEAD + b"\0\0\0\1IDATx0000", "the IDAT chunk at byte 33 of the PNG is damaged: its CRC does not agree"),
        (HEAD + b"\x7f\0\0\0IDATx", "the PNG ends at byte 42 without its IEND chunk: truncated"),
    ],
)
def test_what_is_no_whole_png_is_told(chunks: bytes, problem: str) -> None:
    assert inspect(PNG[:8] + chunks, "a.png").problem == problem


def test_the_shape_of_a_png_is_told() -> None:
    body = (70_000).to_bytes(4, "big") + (16_909_060).to_bytes(4, "big") + b"\x10\0\0\0\0"
    made = PNG[:8] + chunk(b"IHDR", body) + chunk(b"IDAT", b"x") + END
    assert inspect(made, "a.png").facts == {"naxis": "70000x16909060", "bits": 16}


def test_bytes_after_a_png_are_only_odd() -> None:
    assert inspect(PNG + b"more", "a.png").warnings == ("4 bytes follow the end of the PNG",)


def test_a_side_file_must_be_there_whole() -> None:
    assert inspect(SIDE_FILE, "a.json", piece=3) == Findings("json")
    for cut in range(len(SIDE_FILE)):
        assert inspect(SIDE_FILE[:cut], "a.json").problem, cut
    assert inspect(SIDE_FILE[:-1], "a.json").problem.startswith("the JSON is broken or incomplete: ")


@pytest.mark.parametrize("data", [b"[" * 200_000, b"\xff\xfe\xff", b'{"a": 1} {"b"', b"nothing", b"1" * 5000 + b"x"])
def test_broken_side_files_are_told(data: bytes) -> None:
    assert inspect(data, "a.json").problem.startswith("the JSON is ")


def test_a_side_file_beyond_all_measure_is_not_kept() -> None:
    findings = inspect(b"[" + b" " * (17 << 20), "a.json")
    assert (findings.problem, findings.warnings) == (
        "",
        ("not parsed: 17,825,793 bytes of JSON are more than 16,777,216",),
    )


@given(st.binary(max_size=200), st.integers(1, 200), st.sampled_from(["a.png", "a.json", "a.gz", "a.fits.gz", "a"]))
@settings(max_examples=300)
def test_no_bytes_break_an_inspector_and_chunks_change_nothing(junk: bytes, piece: int, name: str) -> None:
    for data in (junk, PNG[:20] + junk, PACKED[:15] + junk, PACKED + junk):
        assert inspect(data, name) == inspect(data, name, piece=piece)
