"""The flow: a file's bytes as they come, read like a file by generators that wait for more.

A reader is a generator function of (flow, report). It takes bytes with ``yield from flow.take(n)`` and the like,
writes what it learns into the report and raises `Unsound` when the bytes cannot be a whole file. Whatever the
chunks, it sees the same bytes at the same places, so chunking cannot change the findings.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

from nightferry.formats.findings import Findings, Report, Unsound

T = TypeVar("T")
#: A piece of reading: yields whenever it needs more bytes, and returns what it read.
Reading = Generator[None, None, T]
Sink = Callable[[memoryview], object]

NOTHING = memoryview(b"")


class Flow:
    """Bytes in flight. ``position`` counts the bytes read so far; ``ended`` says that no more will come."""

    __slots__ = ("_at", "_chunk", "ended", "position", "total")

    def __init__(self) -> None:
        self.position = 0
        self.total = 0
        self.ended = False
        self._chunk = NOTHING
        self._at = 0

    def offer(self, chunk: memoryview) -> None:
        """Put the next bytes into the flow; the ones before must have been read."""
        self.total += len(chunk)
        self._chunk, self._at = chunk, 0

    def withdraw(self) -> None:
        """Let go of the chunk: its memory belongs to the caller again."""
        self._chunk, self._at = NOTHING, 0

    def ahead(self, most: int) -> memoryview:
        """Show up to ``most`` bytes that have arrived but are not read yet; empty when there are none."""
        return self._chunk[self._at : self._at + most]

    def pass_by(self, count: int) -> None:
        """Count bytes that `ahead` showed as read."""
        self._at += count
        self.position += count

    def take(self, count: int) -> Reading[bytes]:
        """Read exactly ``count`` bytes, fewer only at the end of the file. For small, bounded counts."""
        view = self.ahead(count)
        if len(view) == count:
            self.pass_by(count)
            return bytes(view)
        taken = bytearray()
        yield from self.pour(count, taken.extend)
        return bytes(taken)

    def pour(self, count: int, sink: Sink) -> Reading[int]:
        """Hand the next ``count`` bytes to ``sink`` piece by piece; tell how many there were."""
        left = count
        while left:
            view = self.ahead(left)
            if view:
                self.pass_by(len(view))
                left -= len(view)
                sink(view)
            elif self.ended:
                break
            else:
                yield
        return count - left

    def skip(self, count: int) -> Reading[int]:
        """Pass over the next ``count`` bytes; tell how many there were."""
        return (yield from self.pour(count, _ignore))

    def rest(self, sink: Sink | None = None) -> Reading[int]:
        """Hand everything that is left to ``sink`` (or pass over it); tell how many bytes there were."""
        start = self.position
        while not self.ended:
            view = self.ahead(len(self._chunk))
            if view:
                self.pass_by(len(view))
                if sink is not None:
                    sink(view)
            else:
                yield
        return self.position - start


def _ignore(_view: memoryview) -> None:
    """Read nothing into the bytes."""


Reader = Callable[[Flow, Report], Reading[None]]


class Inspection:
    """An inspector made of a reader. ``size`` is the file's announced length in bytes, negative if unknown."""

    __slots__ = ("_flow", "_kind", "_problem", "_reading", "_report", "_size")

    def __init__(self, kind: str, size: int, reader: Reader) -> None:
        self._kind = kind
        self._size = size
        self._flow = Flow()
        self._report = Report()
        self._problem = ""
        self._reading: Reading[None] | None = reader(self._flow, self._report)

    def feed(self, chunk: memoryview) -> None:
        """Look at the next bytes."""
        self._flow.offer(chunk)
        self._advance()
        self._flow.withdraw()

    def finish(self) -> Findings:
        """Return what was found."""
        self._flow.ended = True
        self._advance()
        report = self._report
        problem = self._problem or next(iter(report.complaints), "")
        if 0 <= self._size != self._flow.total and not problem:
            problem = f"{self._size:,} bytes were announced, {self._flow.total:,} bytes came"
        return Findings(self._kind, problem, tuple(report.warnings), dict(report.facts), report.checksums)

    def _advance(self) -> None:
        if self._reading is None:
            return
        try:
            next(self._reading)
        except StopIteration:
            self._reading = None
        except Unsound as problem:
            self._reading, self._problem = None, str(problem)


def read_anything(flow: Flow, report: Report) -> Reading[None]:
    """Read a file of a kind that has no structure we know: only emptiness can be told, as a warning."""
    if not (yield from flow.rest()):
        report.warn("the file is empty")


def refuse_empty(flow: Flow) -> Reading[None]:
    """Wait for the first byte; raise `Unsound` when the file has none."""
    while not flow.ahead(1):
        if flow.ended:
            raise Unsound("the file is empty: not one byte came")
        yield
