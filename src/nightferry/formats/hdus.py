"""FITS structure in flight: headers, data units, their sums, and what follows the last of them."""

from dataclasses import dataclass

from nightferry.formats.cards import BLOCK, CARD
from nightferry.formats.datasum import ALL_ONES, Datasum, datasum_of
from nightferry.formats.findings import Report, Unsound, escaped, plain_text
from nightferry.formats.flow import Flow, Reading, refuse_empty
from nightferry.formats.layout import Layout, about_facts, read_layout, shape_facts, whole_blocks

#: Headers longer than this are not headers: 100,000 cards, in whole blocks.
MOST_HEADER_BLOCKS = -(-100_000 * CARD // BLOCK)
#: HDUs whose DATASUM is told in the facts.
MOST_SUMS = 32
#: A run of zero bytes at the end of data with BZERO that is too long to be sky: a file that was made before it was
#: filled. Zero bytes stand for mid-scale pixels there.
LONG_ZEROS = 16 * BLOCK
_PRINTABLE = bytes(range(32, 127))
_ZEROS = bytes(4096)


@dataclass(frozen=True, slots=True)
class _Header:
    """One header's bytes: the cards up to END, and all of its blocks."""

    cards: bytes
    raw: bytes


class _Passing:
    """The data of one HDU on their way: their sum, and how many zero bytes they end with so far."""

    __slots__ = ("sum", "zeros")

    def __init__(self) -> None:
        self.sum = Datasum()
        self.zeros = 0

    def add(self, view: memoryview) -> None:
        self.sum.add(view)
        ending = trailing_zeros(view)
        self.zeros = ending if ending < len(view) else self.zeros + ending


def trailing_zeros(view: memoryview) -> int:
    """Count the zero bytes at the end; at once where there are none."""
    end = len(view)
    while end and not view[end - 1]:
        block = bytes(view[max(0, end - len(_ZEROS)) : end])
        kept = 0 if block == _ZEROS else len(block.rstrip(b"\0"))
        end -= len(block) - kept
        if kept:
            break
    return len(view) - end


def read_hdus(flow: Flow, report: Report) -> Reading[None]:
    """Read a FITS file from SIMPLE to its last byte."""
    yield from refuse_empty(flow)
    sums: list[int] = []
    count, promised, empty = 0, None, True
    block = yield from flow.take(BLOCK)
    _refuse_other(block)
    while True:
        header = yield from _read_header(flow, block, f"HDU {count}", report)
        layout = read_layout(header.cards, count)
        _note_facts(layout, report)
        total = yield from _read_data(flow, layout, report)
        _check_sums(layout, header, total, report)
        promised = layout.card("NEXTEND") if not count else promised
        count += 1
        if count <= MOST_SUMS:
            sums.append(total)
        report.facts.update(hdus=count, datasum=" ".join(map(str, sums)))
        empty = empty and not layout.length
        block = yield from flow.take(BLOCK)
        if not block.startswith(b"XTENSION"):
            break
    if empty:
        report.warn("no HDU holds any data")
    yield from _read_rest(flow, block, report)
    if isinstance(promised, int) and promised > count - 1:  # the one place where a cut between HDUs shows
        raise Unsound(f"NEXTEND tells of {promised:,} extensions, {count - 1:,} came: truncated between HDUs")


def _refuse_other(block: bytes) -> None:
    """Raise `Unsound` unless the first block opens a FITS file."""
    opening = b"SIMPLE  ="
    if not block.startswith(opening[: len(block)]):
        raise Unsound(f"not FITS: it starts with {escaped(block)} where 'SIMPLE  =' is expected")


def _read_header(flow: Flow, block: bytes, name: str, report: Report) -> Reading[_Header]:
    """Read one header whose first block is in hand."""
    start = flow.position - len(block)
    blocks = [block]
    while (end := _find_end(block)) < 0:
        if len(block) < BLOCK:
            raise Unsound(
                f"the header of {name}, from byte {start:,}, has no END card where the file ends at byte "
                f"{flow.position:,}: truncated"
            )
        if len(blocks) == MOST_HEADER_BLOCKS:
            raise Unsound(f"the header of {name}, from byte {start:,}, has no END card within 100,000 cards")
        block = yield from flow.take(BLOCK)
        blocks.append(block)
    raw = b"".join(blocks)
    cards = raw[: len(raw) - len(block) + end]
    if odd := cards.translate(None, _PRINTABLE):
        report.warn(f"the header of {name} holds {len(odd):,} bytes that are not printable ASCII")
    if block[end + len(b"END") :].strip(b" "):
        report.warn(f"the header of {name} is not filled with blanks after END")
    return _Header(cards, raw.ljust(whole_blocks(len(raw))))


def _find_end(block: bytes) -> int:
    """Find the END card in a block, whole; -1 where there is none."""
    initials = block[::CARD]
    card = initials.find(b"E")
    while card >= 0 and block[card * CARD : card * CARD + 8] != b"END     ":
        card = initials.find(b"E", card + 1)
    return card * CARD if 0 <= card * CARD <= len(block) - CARD else -1


def _read_data(flow: Flow, layout: Layout, report: Report) -> Reading[int]:
    """Read one data unit and give its DATASUM."""
    whole = whole_blocks(flow.position) + layout.padded  # a header alone may lack fill, too
    passing = _Passing()
    came = yield from flow.pour(layout.length, passing.add)
    if came < layout.length:
        raise Unsound(
            f"the FITS data{_of(layout)} end at byte {flow.position:,} of {whole:,}: "
            f"truncated by {whole - flow.position:,} bytes"
        )
    fill = yield from flow.take(layout.padded - layout.length)
    if lacking := whole - flow.position:
        report.warn(f"the last block is padded short: {lacking:,} bytes of fill are missing, the data are all there")
    usual = b" " if layout.card("XTENSION") == "TABLE" else b"\0"
    if fill.strip(usual):
        report.warn(f"the fill after the data of {layout.name} is not all {'blank' if usual == b' ' else 'zero'}")
    passing.sum.add(memoryview(fill.ljust(layout.padded - layout.length, usual)))
    _note_zeros(layout, passing, report)
    return passing.sum.value


def _of(layout: Layout) -> str:
    """Name the HDU in a message, unless it is the primary one."""
    return "" if layout.name == "HDU 0" else f" of {layout.name}"


def _note_zeros(layout: Layout, passing: _Passing, report: Report) -> None:
    """Warn of data that look as if the file was made in full size and never filled."""
    if layout.length and passing.zeros == layout.length:
        report.warn(f"every byte of the data of {layout.name} is zero: was it ever written?")
    elif passing.zeros >= LONG_ZEROS and layout.card("BZERO"):
        report.warn(f"the data of {layout.name} end with {passing.zeros:,} zero bytes: were they ever written?")


def _note_facts(layout: Layout, report: Report) -> None:
    """Keep the facts of the first HDU that has each."""
    if "naxis" not in report.facts:
        report.facts.update(shape_facts(layout))
    for keyword, value in about_facts(layout).items():
        report.facts.setdefault(keyword, value)
    if layout.name == "HDU 0" and layout.card("SIMPLE") is not True:
        report.warn("SIMPLE is not T: the file itself says that it does not conform to FITS")


def _check_sums(layout: Layout, header: _Header, total: int, report: Report) -> None:
    """Compare the DATASUM and CHECKSUM cards with the bytes; an empty one claims nothing (FITS 4.0, 4.4.2.7)."""
    datasum, checksum = layout.card("DATASUM"), layout.card("CHECKSUM")
    claims_data = datasum is not None and datasum != ""
    claims_all = checksum is not None and checksum != ""
    if not claims_data and not claims_all:
        return
    if claims_data and str(datasum).strip() != str(total):
        told = plain_text(str(datasum))
        _complain(
            report, f"the data of {layout.name} are not those its DATASUM was written for: {told} told, {total} found"
        )
    elif claims_all and datasum_of(header.raw + total.to_bytes(4, "big")) != ALL_ONES:
        if claims_data:
            # cameras that edit a header after its sums were written leave this behind; the pixels are proven
            report.warn(f"CHECKSUM of {layout.name} is stale: its data are right, its header was changed after it")
            report.checksums = "stale" if report.checksums != "wrong" else "wrong"
        else:
            _complain(report, f"CHECKSUM of {layout.name} is wrong: header or data were changed after it was written")
    elif report.checksums == "absent":
        report.checksums = "ok"


def _complain(report: Report, complaint: str) -> None:
    report.complaints.append(complaint)
    report.checksums = "wrong"


def _read_rest(flow: Flow, block: bytes, report: Report) -> Reading[None]:
    """Judge what follows the last HDU: fill is odd, anything else is a problem."""
    if not block:
        return
    start = flow.position - len(block)
    fill = block[:1] in {b"\0", b" "} and not block.strip(block[:1])

    def look(view: memoryview) -> None:
        nonlocal fill
        fill = fill and not bytes(view).strip(block[:1])

    yield from flow.rest(look)
    count = flow.position - start
    if not fill:
        raise Unsound(
            f"{count:,} bytes follow the last HDU, from byte {start:,}, and are no extension: "
            f"they start with {escaped(block)}"
        )
    report.warn(f"{count:,} bytes of fill follow the last HDU")
