"""TIFF files are judged in passing, wherever their directories and strips lie."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightferry.formats.inspect import Findings, inspector_for
from nightferry.formats.tiff import KEPT, MOST_DIRECTORIES, MOST_ENTRIES

PICTURES = Path(__file__).parents[1] / "data" / "pictures"
WRITTEN = sorted(path for path in PICTURES.iterdir() if path.suffix in {".tif", ".tiff"})
SHORT, LONG, LONG8 = 3, 4, 16
Order = Literal["directory first", "arrays before directory", "arrays last"]


@dataclass(frozen=True, slots=True)
class Form:
    """A way to write TIFF: byte order, classic or big."""

    order: str = "<"
    big: bool = False

    def pack(self, codes: str, *values: int) -> bytes:
        return struct.pack(self.order + codes, *values)

    def header(self, directory: int) -> bytes:
        mark = b"II" if self.order == "<" else b"MM"
        return mark + (self.pack("HHHQ", 43, 8, 0, directory) if self.big else self.pack("HI", 42, directory))

    def entry(self, tag: int, kind: int, count: int, value: bytes) -> bytes:
        room = 8 if self.big else 4
        return self.pack("HHQ" if self.big else "HHI", tag, kind, count) + value.ljust(room, b"\0")

    def offset(self, value: int) -> bytes:
        return self.pack("Q" if self.big else "I", value)

    def directory(self, entries: Sequence[bytes], after: int = 0) -> bytes:
        return self.pack("Q" if self.big else "H", len(entries)) + b"".join(entries) + self.offset(after)


FORMS = [Form(), Form(">"), Form(big=True), Form(">", big=True)]


def tiff(form: Form, layout: Order, *, strips: int = 5, length: int = 300, gap: int = 0, after: int = 0) -> bytes:
    """Make a TIFF of equal strips; ``gap`` bytes lie between the arrays and what comes after them."""
    head = len(form.header(0))
    words = "Q" if form.big else "I"
    kind, size = (LONG8, 8) if form.big else (LONG, 4)

    def directory(offsets_at: int, lengths_at: int) -> bytes:
        entries = [
            form.entry(256, SHORT, 1, form.pack("H", 16)),
            form.entry(257, SHORT, 1, form.pack("H", 12)),
            form.entry(258, SHORT, 1, form.pack("H", 16)),
            form.entry(259, SHORT, 1, form.pack("H", 1)),
            form.entry(273, kind, strips, form.offset(offsets_at)),
            form.entry(279, kind, strips, form.offset(lengths_at)),
        ]
        return form.directory(entries, after)

    table, size = len(directory(0, 0)), size * strips
    pixels = b"\x55" * (strips * length)
    places: Mapping[Order, tuple[int, int, int]] = {  # directory, arrays, pixels
        "directory first": (head, head + table, head + table + 2 * size + gap),
        "arrays before directory": (head + len(pixels) + 2 * size + gap, head + len(pixels), head),
        "arrays last": (head + len(pixels), head + len(pixels) + table + gap, head),
    }
    directory_at, arrays_at, pixels_at = places[layout]
    parts = {
        0: form.header(directory_at),
        directory_at: directory(arrays_at, arrays_at + size),
        arrays_at: form.pack(f"{strips}{words}", *range(pixels_at, pixels_at + len(pixels), length))
        + form.pack(f"{strips}{words}", *[length] * strips),
        pixels_at: pixels,
    }
    made = bytearray(max(at + len(part) for at, part in parts.items()))
    for at, part in parts.items():
        made[at : at + len(part)] = part
    return bytes(made)


def inspect(data: bytes, *, piece: int = 1 << 20) -> Findings:
    inspector = inspector_for("img-0001.tiff", -1)
    for start in range(0, len(data), piece):
        inspector.feed(memoryview(data)[start : start + piece])
    return inspector.finish()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", ["directory first", "arrays before directory", "arrays last"])
def test_a_whole_tiff_is_whole_and_every_cut_of_it_is_not(form: Form, layout: Order) -> None:
    whole = tiff(form, layout)
    findings = inspect(whole)
    assert (findings.kind, findings.problem, findings.warnings) == ("tiff", "", ())
    assert findings.facts == {"pages": 1, "naxis": "16x12", "bits": 16, "compression": 1}
    for cut in range(len(whole)):
        assert inspect(whole[:cut]).problem, cut


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)
def test_tiffs_of_real_programs_are_whole_and_their_cuts_are_not(path: Path) -> None:
    whole = path.read_bytes()
    findings = inspect(whole)
    assert (findings.problem, findings.warnings) == ("", ())
    assert findings.facts["naxis"] == "16x12"
    assert findings.facts["pages"] == (3 if "three" in path.name else 1)
    fill = 2 if "three" in path.name else 0  # Pillow fills up its pages
    for cut in range(len(whole) - fill):
        assert inspect(whole[:cut]).problem, cut


def test_a_truncated_tiff_says_how_much_is_missing() -> None:
    whole = tiff(Form(), "directory first")
    assert inspect(whole[:-400]).problem == (
        f"the TIFF ends at byte {len(whole) - 400:,}, its pixels of directory 1 reach to byte {len(whole):,}: "
        "truncated by 400 bytes"
    )
    assert inspect(tiff(Form(), "arrays last")[:700]).problem == (
        "the TIFF ends at byte 700, directory 1 lies at bytes 1,508 to 1,510: truncated"
    )


def test_arrays_just_before_the_directory_are_still_in_hand() -> None:
    assert inspect(tiff(Form(), "arrays before directory", gap=KEPT - 1000), piece=3000).warnings == ()


@pytest.mark.parametrize("piece", [1 << 20, 100_000, 4096])
def test_arrays_far_behind_leave_the_tiff_only_partly_checked(piece: int) -> None:
    findings = inspect(tiff(Form(), "arrays before directory", gap=KEPT), piece=piece)
    assert findings.problem == ""
    assert findings.warnings == ("structure only partly checked: values of tag 273 could not be read in passing",)


def test_arrays_far_ahead_are_waited_for() -> None:
    whole = tiff(Form(), "arrays last", gap=3 * KEPT)
    assert inspect(whole, piece=5000).warnings == ()
    assert "truncated" in inspect(whole[:-1]).problem


def test_values_of_any_tag_must_lie_inside_the_file() -> None:
    form = Form()
    note = form.entry(270, 2, 100, form.offset(40))
    made = form.header(8) + form.directory([note])
    assert inspect(made.ljust(140, b".")).problem == ""
    assert inspect(made.ljust(139, b".")).problem == (
        "the TIFF ends at byte 139, its values of tag 270 reach to byte 140: truncated by 1 bytes"
    )


@pytest.mark.parametrize(("offsets", "lengths"), [(273, 279), (324, 325), (513, 514)])
def test_strips_tiles_and_old_jpegs_must_lie_inside_the_file(offsets: int, lengths: int) -> None:
    form = Form()
    shape, place = form.entry(256, SHORT, 1, b"\x10"), form.entry(offsets, LONG, 1, form.offset(300))
    made = form.header(8) + form.directory([shape, place, form.entry(lengths, LONG, 1, form.offset(50))])
    assert inspect(made.ljust(350, b".")) == Findings("tiff", facts={"pages": 1})
    assert inspect(made.ljust(349, b".")).problem.endswith("reach to byte 350: truncated by 1 bytes")


SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@pytest.mark.parametrize(("kind", "size"), SIZES.items())
def test_values_of_every_type_have_their_size(kind: int, size: int) -> None:
    form = Form()
    made = form.header(8) + form.directory([form.entry(700, kind, 50, form.offset(40))])
    whole = 40 + 50 * size
    assert inspect(made.ljust(whole, b".")).problem == ""
    assert inspect(made.ljust(whole - 1, b".")).problem.endswith(f"reach to byte {whole:,}: truncated by 1 bytes")


def test_strips_without_lengths_are_only_partly_checked() -> None:
    form = Form()
    entries = [form.entry(256, SHORT, 1, b"\x10"), form.entry(273, LONG, 1, form.offset(60))]
    told = ("structure only partly checked: the place of the pixels of directory 1 could not be read in passing",)
    assert inspect((form.header(8) + form.directory(entries)).ljust(100)).warnings == told


def test_directories_under_a_directory_are_followed() -> None:
    form = Form()
    outer = form.directory([form.entry(330, LONG, 1, form.offset(100))])
    inner = form.directory([form.entry(256, SHORT, 1, b"\x10"), form.entry(273, LONG, 1, form.offset(900))])
    inner = inner.replace(form.entry(256, SHORT, 1, b"\x10"), form.entry(279, LONG, 1, form.offset(50)))
    made = (form.header(8) + outer).ljust(100, b"\0") + inner
    assert inspect(made.ljust(950, b"\0")).problem == ""
    assert inspect(made.ljust(949, b"\0")).problem.endswith("reach to byte 950: truncated by 1 bytes")


def test_directories_in_a_circle_are_a_problem() -> None:
    form = Form()
    made = form.header(8) + form.directory([form.entry(256, SHORT, 1, b"\x10")], after=8)
    assert inspect(made).problem == "the directories of the TIFF run in a circle at byte 8"


def test_a_directory_shared_by_two_others_is_read_once() -> None:
    form = Form()
    inner = form.directory([form.entry(305, 2, 1, b"x")])
    entries = [form.entry(330, LONG, 1, form.offset(100)), form.entry(330, LONG, 1, form.offset(100))]
    made = (form.header(8) + form.directory(entries)).ljust(100, b"\0") + inner
    assert inspect(made).facts["pages"] == 2


def test_more_directories_than_anyone_writes_are_not_all_read() -> None:
    form = Form()
    one = len(form.directory([form.entry(305, 2, 1, b"x")]))
    chain = [form.directory([form.entry(305, 2, 1, b"x")], after=8 + one * at) for at in range(1, 1200)]
    findings = inspect(form.header(8) + b"".join(chain).ljust(one * 1200, b"\0"))
    assert findings.facts["pages"] == MOST_DIRECTORIES
    assert findings.warnings == (
        "structure only partly checked: directories after the first 1,024 could not be read in passing",
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty: not one byte came"),
        (b"PK\3\4 a zip", r"not TIFF: it starts with 'PK\x03\x04'"),
        (b"II*\0\x08\0", "the TIFF ends at byte 6 within its header: truncated"),
        (b"II+\0\x08\0\0\0\x10\0\0", "the TIFF ends at byte 11 within its header: truncated"),
        (b"II*\0\0\0\0\0pixels", "the header of the TIFF points at no directory: it was never finished"),
        (b"II*\0\x08\0\0\0\0\0", "directory 1 of the TIFF, at byte 8, has 0 entries, expected 1 to 512"),
        (b"MM\0*\0\0\0\x08\xff\xff", "directory 1 of the TIFF, at byte 8, has 65,535 entries, expected 1 to 512"),
        (b"MM\0+\0\x08\0\0" + b"\xff" * 8, "the TIFF ends at byte 16, directory 1 lies at bytes 18,446,744,073,"),
    ],
)
def test_what_is_no_tiff_is_told(data: bytes, problem: str) -> None:
    assert inspect(data).problem.startswith(problem)


def test_a_hostile_tiff_costs_no_memory_and_little_time() -> None:
    form = Form()
    kinds = [(273, LONG), (279, LONG), (330, LONG), (258, SHORT)]
    entries = [form.entry(*kinds[at % 4], 900, form.offset(at)) for at in range(MOST_ENTRIES)]
    body = form.directory(entries, after=16)
    findings = inspect((form.header(8) + body * 8).ljust(2 * KEPT, b"\x08"))
    assert findings.problem or findings.warnings


@given(st.binary(max_size=400), st.integers(1, 400), st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0+\0\x08\0\0"]))
@settings(max_examples=300)
def test_no_bytes_break_the_inspector_and_chunks_change_nothing(junk: bytes, piece: int, before: bytes) -> None:
    assert inspect(before + junk) == inspect(before + junk, piece=piece)


@given(st.data(), st.sampled_from(FORMS), st.sampled_from(["directory first", "arrays last"]), st.integers(1, 999))
@settings(max_examples=300)
def test_damaged_tiffs_break_nothing_and_chunks_change_nothing(
    data: st.DataObject, form: Form, layout: Order, piece: int
) -> None:
    damaged = bytearray(tiff(form, layout, length=20))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=6)):
        damaged[at] = data.draw(st.integers(0, 255))
    assert inspect(bytes(damaged)) == inspect(bytes(damaged), piece=piece)
