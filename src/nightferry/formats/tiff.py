"""TIFF in flight: the directories, wherever they lie, and whether all they point at is there.

Source: TIFF 6.0, section 2, and the BigTIFF extension of libtiff. A directory may stand before or after the pixels,
and its arrays of strip offsets and lengths anywhere. What lies ahead is captured as it streams by; of what has gone
by, the last `KEPT` bytes are still in hand (writers that put arrays just before the directory are met so). An array
further back can no longer be read: then the file is only partly checked, and a warning says so.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import add

from nightferry.formats.findings import Report, Unsound, escaped
from nightferry.formats.flow import Flow, Reading, refuse_empty

#: Bytes that have gone by and can still be read; holds the strip arrays of some 30,000 strips.
KEPT = 256 * 1024
#: Bytes captured for one array, and for one file.
MOST_FOR_ONE, MOST_FOR_ALL = 4 * 1024 * 1024, 16 * 1024 * 1024
#: Directories read, entries in one, and ranges captured; a hostile file must not cost more than a second.
MOST_DIRECTORIES, MOST_ENTRIES, MOST_CAPTURES = 1024, 512, 8192
#: Numbers of bits, samples and kinds of compression are 16-bit; larger ones are not told.
LARGE = 2**16
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_CODES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _SUBDIRECTORIES = 256, 257, 258, 259, 277, 330
#: Tags of where pixels lie and how many bytes they are there: strips, tiles, and the old way of JPEG.
_PLACES = {273: 279, 324: 325, 513: 514}
_SHAPE = frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES})
_WANTED = _SHAPE | {_SUBDIRECTORIES} | _PLACES.keys() | set(_PLACES.values())


@dataclass(frozen=True, slots=True)
class _Form:
    """How numbers are written: byte order, and the sizes of counts, entries and offsets in bytes."""

    order: str
    count: int
    entry: int
    offset: int

    def number(self, raw: bytes) -> int:
        return int.from_bytes(raw, "little" if self.order == "<" else "big")

    def numbers(self, raw: bytes, kind: int) -> "array[int]":
        """Read an array of unsigned numbers of a TIFF type."""
        values = array(_CODES[kind])
        values.frombytes(raw)
        if self.order != _NATIVE:
            values.byteswap()
        return values


_NATIVE = "<" if array("H", [1]).tobytes() == b"\1\0" else ">"
_FORMS = {
    b"II*\0": _Form("<", 2, 12, 4),
    b"MM\0*": _Form(">", 2, 12, 4),
    b"II+\0": _Form("<", 8, 20, 8),
    b"MM\0+": _Form(">", 8, 20, 8),
}


@dataclass(slots=True)
class _Capture:
    """A range of the file that someone waits for; ``use`` gets its bytes as soon as the last has passed."""

    start: int
    end: int
    what: str
    use: Callable[[bytes], None]
    got: bytearray = field(default_factory=bytearray)


class _Passage:
    """The file as it goes by: what is still in hand of it, and who waits for what lies ahead."""

    def __init__(self, flow: Flow, header: bytes) -> None:
        self._flow = flow
        self._kept = bytearray(header)
        self._captures = 0
        self._waiting: list[_Capture] = []
        self._left = MOST_FOR_ALL

    def want(self, start: int, length: int, what: str, use: Callable[[bytes], None]) -> bool:
        """Ask for a range of the file; tell whether it can still be had."""
        here = self._flow.position
        if start < max(0, here - KEPT) or length > min(MOST_FOR_ONE, self._left) or self._captures == MOST_CAPTURES:
            return False
        capture = _Capture(start, start + length, what, use)
        if start < here:
            first = len(self._kept) - (here - start)
            capture.got += self._kept[first : first + length]
        self._left -= length
        self._captures += 1
        self._waiting.append(capture)
        return True

    def follow(self) -> Reading[None]:
        """Go through the file as far as anyone waits for it, and serve them in the order of the file."""
        while self._waiting:
            capture = min(self._waiting, key=lambda waiting: waiting.end)
            yield from self._advance(capture)
            self._waiting.remove(capture)
            capture.use(bytes(capture.got))

    def _advance(self, goal: _Capture) -> Reading[None]:
        flow = self._flow
        while flow.position < goal.end:
            view = flow.ahead(goal.end - flow.position)
            if view:
                for capture in self._waiting:
                    self._catch(capture, view)
                self._keep(view)
                flow.pass_by(len(view))
            elif flow.ended:
                raise Unsound(
                    f"the TIFF ends at byte {flow.position:,}, {goal.what} lies at bytes {goal.start:,} to "
                    f"{goal.end:,}: truncated"
                )
            else:
                yield

    def _catch(self, capture: _Capture, view: memoryview) -> None:
        here = self._flow.position
        first, last = max(capture.start - here, 0), min(capture.end - here, len(view))
        if first < last:
            capture.got += view[first:last]

    def _keep(self, view: memoryview) -> None:
        self._kept += view[-KEPT:]
        if len(self._kept) > 2 * KEPT:
            del self._kept[:-KEPT]


@dataclass(slots=True)
class _Directory:
    """What one directory says: single numbers, and the arrays of where its pixels lie."""

    shape: dict[int, int] = field(default_factory=dict)
    places: "dict[int, array[int]]" = field(default_factory=dict)

    @property
    def end(self) -> int:
        """Where its pixels end, in bytes; -1 when it has some and it cannot be told."""
        ends: list[int] = []
        for offsets, lengths in _PLACES.items():
            if offsets in self.places and lengths in self.places:
                ends.extend(map(add, self.places[offsets], self.places[lengths]))
        return max(ends, default=-1 if _WIDTH in self.shape else 0)


class _Survey:
    """All directories of a file, found one by one."""

    def __init__(self, form: _Form, passage: _Passage) -> None:
        self._form = form
        self._passage = passage
        self._seen: set[int] = set()
        self.directories: list[_Directory] = []
        self._missed = ""
        self._reach, self._furthest = 0, ""

    def visit(self, start: int, *, chained: bool = True) -> None:
        """Ask for the directory at an offset; 0 means there is none."""
        if not start or (start in self._seen and not chained):
            return
        if start in self._seen:
            raise Unsound(f"the directories of the TIFF run in a circle at byte {start:,}")
        if len(self._seen) == MOST_DIRECTORIES:
            self._miss(f"directories after the first {MOST_DIRECTORIES:,}")
            return
        self._seen.add(start)
        what = f"directory {len(self._seen)}"
        self._ask(start, self._form.count, what, lambda raw: self._open(start, what, raw))

    def judge(self, total: int, report: Report) -> None:
        """Raise `Unsound` unless everything the directories point at lies inside the file of ``total`` bytes."""
        for number, directory in enumerate(self.directories, 1):
            what = f"pixels of directory {number}"
            self._stretch(end := directory.end, what)
            if end < 0:
                self._miss(f"the place of the {what}")
        if self._reach > total:
            raise Unsound(
                f"the TIFF ends at byte {total:,}, its {self._furthest} reach to byte {self._reach:,}: "
                f"truncated by {self._reach - total:,} bytes"
            )
        if self._missed:
            report.warn(f"structure only partly checked: {self._missed} could not be read in passing")

    def _ask(self, start: int, length: int, what: str, use: Callable[[bytes], None]) -> None:
        self._stretch(start + length, what)
        if not self._passage.want(start, length, what, use):
            self._miss(what)

    def _miss(self, what: str) -> None:
        self._missed = self._missed or what

    def _stretch(self, end: int, what: str) -> None:
        if end > self._reach:
            self._reach, self._furthest = end, what

    def _open(self, start: int, what: str, raw: bytes) -> None:
        entries = self._form.number(raw)
        if not 0 < entries <= MOST_ENTRIES:
            raise Unsound(
                f"{what} of the TIFF, at byte {start:,}, has {entries:,} entries, expected 1 to {MOST_ENTRIES}"
            )
        length = entries * self._form.entry + self._form.offset
        self._ask(start + self._form.count, length, what, self._read)

    def _read(self, raw: bytes) -> None:
        """Read a directory's entries and the offset of the next directory."""
        form, directory = self._form, _Directory()
        self.directories.append(directory)
        whole = len(raw) - form.offset
        for at in range(0, whole, form.entry):
            self._read_entry(directory, raw[at : at + form.entry])
        self.visit(form.number(raw[whole:]))

    def _read_entry(self, directory: _Directory, entry: bytes) -> None:
        form = self._form
        tag, kind = form.number(entry[:2]), form.number(entry[2:4])
        count, field_ = form.number(entry[4 : -form.offset]), entry[-form.offset :]
        length = count * _TYPE_SIZES.get(kind, 0)

        def use(raw: bytes) -> None:
            self._use(directory, tag, form.numbers(raw, kind))

        wanted = kind in _CODES and tag in _WANTED
        if length <= form.offset:
            if wanted and length:
                use(field_[:length])
        elif wanted:
            self._ask(form.number(field_), length, f"values of tag {tag}", use)
        else:
            self._stretch(form.number(field_) + length, f"values of tag {tag}")

    def _use(self, directory: _Directory, tag: int, values: "array[int]") -> None:
        if tag in _SHAPE:
            directory.shape[tag] = values[0]
        elif tag == _SUBDIRECTORIES:
            for start in values[: MOST_DIRECTORIES + 1]:
                self.visit(start, chained=False)
        else:
            directory.places[tag] = values


def read_tiff(flow: Flow, report: Report) -> Reading[None]:
    """Read a TIFF file, classic or BigTIFF, from its header to its last byte."""
    yield from refuse_empty(flow)
    opening = yield from flow.take(4)
    form = _FORMS.get(opening)
    if form is None:
        raise Unsound(f"not TIFF: it starts with {escaped(opening)}")
    sizes = yield from flow.take(form.offset - 4)  # BigTIFF tells the size of its offsets, always 8
    pointer = yield from flow.take(form.offset)
    if len(pointer) < form.offset:
        raise Unsound(f"the TIFF ends at byte {flow.position:,} within its header: truncated")
    first = form.number(pointer)
    if not first:
        raise Unsound("the header of the TIFF points at no directory: it was never finished")
    passage = _Passage(flow, opening + sizes + pointer)
    survey = _Survey(form, passage)
    survey.visit(first)
    yield from passage.follow()
    yield from flow.rest()
    survey.judge(flow.position, report)
    _note_facts(survey.directories, report)


def _note_facts(directories: list[_Directory], report: Report) -> None:
    """Note the shape of the first directory, and how many there are."""
    report.facts["pages"] = len(directories)
    shape = directories[0].shape if directories else {}
    if _WIDTH in shape and _HEIGHT in shape:
        report.facts["naxis"] = f"{shape[_WIDTH]}x{shape[_HEIGHT]}"
    for tag, name in ((_BITS, "bits"), (_SAMPLES, "samples"), (_COMPRESSION, "compression")):
        if shape.get(tag, LARGE) < LARGE:
            report.facts[name] = shape[tag]
