"""PNG in flight: signature, chunks with their CRCs, IEND. Source: PNG (Third Edition), sections 5 and 11."""

import zlib

from nightferry.formats.findings import Report, Unsound, escaped
from nightferry.formats.flow import Flow, Reading, refuse_empty

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LONGEST_CHUNK = 2**31 - 1
_IHDR_LENGTH = 13


def read_png(flow: Flow, report: Report) -> Reading[None]:
    """Read a PNG file from its signature to its last byte."""
    yield from refuse_empty(flow)
    opening = yield from flow.take(len(SIGNATURE))
    if not SIGNATURE.startswith(opening):
        raise Unsound(f"not PNG: it starts with {escaped(opening)}")
    kind, first, pixels = b"", True, False
    while kind != b"IEND":
        kind = yield from _read_chunk(flow, report, first=first)
        first, pixels = False, pixels or kind == b"IDAT"
    if not pixels:
        raise Unsound("the PNG ends without a single IDAT chunk: it holds no pixels")
    report.checksums = "ok"
    if trailing := (yield from flow.rest()):
        report.warn(f"{trailing:,} bytes follow the end of the PNG")


def _read_chunk(flow: Flow, report: Report, *, first: bool) -> Reading[bytes]:
    """Read one chunk, compare its CRC, and give its type."""
    start = flow.position
    head = yield from _need(flow, 8)
    length, kind = int.from_bytes(head[:4], "big"), head[4:]
    if not (kind.isalpha() and kind.isascii()) or length > LONGEST_CHUNK:
        raise Unsound(f"byte {start:,} of the PNG should open a chunk, found {escaped(head)}")
    if first != (kind == b"IHDR") or (first and length != _IHDR_LENGTH):
        raise Unsound(f"the PNG must open with one IHDR chunk of 13 bytes, found {escaped(kind)} at byte {start:,}")
    crc = zlib.crc32(kind)
    if first:
        body = yield from _need(flow, length)
        crc = zlib.crc32(body, crc)
        width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
        report.facts.update(naxis=f"{width}x{height}", bits=body[8])
    else:

        def add(view: memoryview) -> None:
            nonlocal crc
            crc = zlib.crc32(view, crc)

        if (yield from flow.pour(length, add)) < length:
            raise _truncated(flow)
    told = int.from_bytes((yield from _need(flow, 4)), "big")
    if told != crc:
        report.checksums = "wrong"
        raise Unsound(f"the {kind.decode()} chunk at byte {start:,} of the PNG is damaged: its CRC does not agree")
    return kind


def _need(flow: Flow, count: int) -> Reading[bytes]:
    got = yield from flow.take(count)
    if len(got) < count:
        raise _truncated(flow)
    return got


def _truncated(flow: Flow) -> Unsound:
    return Unsound(f"the PNG ends at byte {flow.position:,} without its IEND chunk: truncated")
