"""Gzip in flight: is the stream complete, and is what it packs whole. Source: RFC 1952."""

import zlib

from nightferry.formats.findings import Findings, Inspector, Report, Unsound, escaped
from nightferry.formats.flow import Flow, Inspection, Reading, refuse_empty

#: Most bytes unpacked, and packed bytes offered, at a time: memory stays flat however well a file packs.
UNPACKED, PACKED = 1024 * 1024, 64 * 1024
_MAGIC = b"\x1f\x8b"
_GZIP_ONLY = 16 + zlib.MAX_WBITS


class GzipInspector:
    """Unpacks a gzip stream into another inspector; ``size`` is the packed length in bytes, negative if unknown."""

    __slots__ = ("_inner", "_kind", "_packed")

    def __init__(self, kind: str, size: int, inner: Inspector) -> None:
        self._kind = kind
        self._inner = inner
        self._packed = Inspection(kind, size, self._read)

    def feed(self, chunk: memoryview) -> None:
        """Look at the next packed bytes."""
        self._packed.feed(chunk)

    def finish(self) -> Findings:
        """Return what was found: of the stream first, and of what it packs when the stream is whole."""
        packed, inside = self._packed.finish(), self._inner.finish()
        if packed.problem:
            return packed
        problem = f"unpacked, {inside.problem}" if inside.problem else ""
        return Findings(self._kind, problem, packed.warnings + inside.warnings, inside.facts, inside.checksums)

    def _read(self, flow: Flow, report: Report) -> Reading[None]:
        """Read member after member (RFC 1952 allows several) to the last byte."""
        yield from refuse_empty(flow)
        opening = yield from flow.take(2)
        if not _MAGIC.startswith(opening):
            raise Unsound(f"not gzip: it starts with {escaped(opening)}")
        while opening == _MAGIC:
            yield from self._read_member(flow)
            opening = yield from flow.take(2)
        if trailing := len(opening) + (yield from flow.rest()):
            report.warn(f"{trailing:,} bytes follow the gzip stream")

    def _read_member(self, flow: Flow) -> Reading[None]:
        """Unpack one member whose two magic bytes were read; zlib checks its CRC and length."""
        member = zlib.decompressobj(_GZIP_ONLY)
        member.decompress(_MAGIC)
        while not member.eof:
            view = flow.ahead(PACKED)
            if not view:
                if flow.ended:
                    raise Unsound(f"the gzip stream ends at byte {flow.position:,} without its end: truncated")
                yield
                continue
            unpacked = self._unpack(member, view)
            flow.pass_by(len(view) - len(member.unconsumed_tail) - len(member.unused_data))
            while unpacked:
                self._inner.feed(memoryview(unpacked))
                full = len(unpacked) == UNPACKED and not member.unconsumed_tail
                unpacked = self._unpack(member, memoryview(b"")) if full else b""

    def _unpack(self, member: "zlib._Decompress", view: memoryview) -> bytes:
        try:
            return member.decompress(view, UNPACKED)
        except zlib.error as err:
            raise Unsound(f"the gzip stream is damaged: {err}") from err
