"""JPEG in flight: SOI, segments, entropy-coded data, EOI. Source: ITU-T T.81, annex B."""

import re

from nightferry.formats.findings import Report, Unsound, escaped
from nightferry.formats.flow import Flow, Reading, refuse_empty

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
#: Markers that stand alone, without a length: TEM and the restarts.
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
#: Frame headers: all SOF markers (C4, C8 and CC are tables and an extension).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: What can follow FF but opens no segment: a stuffed byte, and a second SOI.
_NO_MARKERS = frozenset({0x00, _SOI})
#: Precision, height, width and number of components of a frame header, in bytes.
_FRAME_HEADER = 6
#: Bytes of coded data searched at a time.
_SEARCHED = 1 << 20
#: In coded data FF 00 is a byte FF, FF D0 to D7 are restarts, FF FF is fill; any other FF opens a marker.
_IN_DATA = frozenset({0x00, 0xFF, *range(0xD0, 0xD8)})
_MARKER_IN_DATA = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_jpeg(flow: Flow, report: Report) -> Reading[None]:
    """Read a JPEG file from SOI to its last byte."""
    yield from refuse_empty(flow)
    opening = yield from flow.take(2)
    if not b"\xff\xd8".startswith(opening):
        raise Unsound(f"not JPEG: it starts with {escaped(opening)}")
    scans = 0
    marker = yield from _next_marker(flow)
    while marker != _EOI:
        if marker == _SOS:
            scans += 1
            yield from _pass_segment(flow, report, marker)
            marker = yield from _pass_data(flow)
            continue
        if marker not in _ALONE:
            yield from _pass_segment(flow, report, marker)
        marker = yield from _next_marker(flow)
    if not scans or "naxis" not in report.facts:
        raise Unsound("the JPEG ends without a frame header and a scan: it holds no pixels")
    if trailing := (yield from flow.rest()):
        report.warn(f"{trailing:,} bytes follow the end of the JPEG")


def _next_marker(flow: Flow) -> Reading[int]:
    """Read the marker that must stand here; FF before it is fill."""
    start = flow.position
    got = yield from _need(flow, 2)
    while got == b"\xff\xff":
        got = b"\xff" + (yield from _need(flow, 1))
    if got[0] != 0xFF or got[1] in _NO_MARKERS:  # noqa: PLR2004 - what opens every marker
        raise Unsound(f"byte {start:,} of the JPEG should open a marker, found {escaped(got)}")
    return got[1]


def _pass_segment(flow: Flow, report: Report, marker: int) -> Reading[None]:
    """Pass over a segment by its length; note the shape where it is a frame header."""
    start = flow.position
    length = int.from_bytes((yield from _need(flow, 2)), "big") - 2
    if length < 0:
        raise Unsound(f"the segment at byte {start:,} of the JPEG is {length + 2} bytes long, expected 2 or more")
    if marker in _FRAMES and length >= _FRAME_HEADER:
        head = yield from _need(flow, _FRAME_HEADER)
        height, width = int.from_bytes(head[1:3], "big"), int.from_bytes(head[3:5], "big")
        report.facts.setdefault("naxis", f"{width}x{height}")
        length -= _FRAME_HEADER
    if (yield from flow.skip(length)) < length:
        raise _truncated(flow)


def _pass_data(flow: Flow) -> Reading[int]:
    """Pass over entropy-coded data and give the marker that ends them."""
    after_ff = False
    while True:
        view = flow.ahead(_SEARCHED)
        if not view:
            if flow.ended:
                raise _truncated(flow)
            yield
        elif after_ff:
            flow.pass_by(1)
            code = view[0]
            if code not in _IN_DATA:
                return code
            after_ff = code == 0xFF  # noqa: PLR2004 - fill: the marker may still follow
        elif found := _MARKER_IN_DATA.search(view):
            flow.pass_by(found.end())
            return view[found.end() - 1]
        else:
            flow.pass_by(len(view))
            after_ff = view[-1] == 0xFF  # noqa: PLR2004 - what follows it comes with the next bytes


def _need(flow: Flow, count: int) -> Reading[bytes]:
    got = yield from flow.take(count)
    if len(got) < count:
        raise _truncated(flow)
    return got


def _truncated(flow: Flow) -> Unsound:
    return Unsound(f"the JPEG ends at byte {flow.position:,} without its end marker: truncated")
