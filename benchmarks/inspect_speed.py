"""How fast the inspectors look at bytes in flight: ``python benchmarks/inspect_speed.py [--sums] [FILE...]``.

Everything is in memory and no digest is made, so the figures are the inspectors' own. A row gives the best and the
median of its rounds; with FILEs given, those are inspected instead of synthetic frames.
"""

import argparse
import os
import statistics
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from nightferry.core.store import BUFFER_SIZE
from nightferry.formats.cards import Value, close_header, format_card, parse_cards
from nightferry.formats.datasum import FOLD_PIECE, NUMPY_PAYS, PATIENCE, _fold_words, _numpy_summing
from nightferry.formats.inspect import inspector_for
from nightferry.formats.layout import read_layout

BUDGET = 0.4  # seconds per row


def frame(width: int, height: int, cards: int = 60) -> bytes:
    """Make a 16-bit frame of noise with so many cards."""
    shape: dict[str, Value] = {"SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": width, "NAXIS2": height}
    about: dict[str, Value] = {"DATE-OBS": "2025-03-27T01:20:32.955", "OBJECT": "M 94", "EXPTIME": 10.0}
    filler: dict[str, Value] = {f"KEY{number}": f"value {number}" for number in range(cards - 8)}
    header = close_header([format_card(*item, "comment") for item in (shape | about | filler).items()])
    length = 2 * width * height
    return header + os.urandom(length) + bytes(-length % 2880)


def png(length: int) -> bytes:
    """Make the chunks of a PNG of so many bytes."""
    chunks = [(b"IHDR", bytes(13)), (b"IDAT", os.urandom(length)), (b"IEND", b"")]
    packed = [
        struct.pack(">I4s", len(body), kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def jpeg(length: int) -> bytes:
    """Make a JPEG with so many bytes of coded data."""
    frame_header = b"\xff\xc0\x00\x0b\x08\x00\x0c\x00\x10\x01\x11\x00\x00"
    coded = os.urandom(length).replace(b"\xff", b"\xff\x00")
    return b"\xff\xd8" + frame_header + b"\xff\xda\x00\x06\x01\x00\x00\x00" + coded + b"\xff\xd9"


def tiff(length: int) -> bytes:
    """Make a TIFF with its directory at the end."""
    strips = struct.pack("<HHII", 273, 4, 1, 8) + struct.pack("<HHII", 279, 4, 1, length)
    return b"II*\0" + struct.pack("<I", 8 + length) + os.urandom(length) + struct.pack("<H", 2) + strips + bytes(4)


def look(name: str, data: memoryview) -> None:
    """Inspect one file in the buffers that transfers use."""
    inspector = inspector_for(name, len(data))
    for start in range(0, len(data), BUFFER_SIZE):
        inspector.feed(data[start : start + BUFFER_SIZE])
    problem = inspector.finish().problem
    assert not problem, f"{name}: {problem}"


def through_one_buffer(data: memoryview) -> None:
    """Inspect a frame as a transfer does: every piece comes in the same memory, still warm."""
    inspector = inspector_for("frame.fits", len(data))
    inspector.feed(data[:BUFFER_SIZE])
    warm = data[BUFFER_SIZE : 2 * BUFFER_SIZE]
    left = len(data) - BUFFER_SIZE
    while left:
        inspector.feed(warm[:left])
        left -= len(warm[:left])
    problem = inspector.finish().problem
    assert not problem, problem


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Give best and median seconds of as many rounds as the budget allows, 5 at least."""
    rounds: list[float] = []
    end = time.perf_counter() + BUDGET
    while len(rounds) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        rounds.append(time.perf_counter() - start)
    return min(rounds), statistics.median(rounds)


def row(label: str, size: int, work: Callable[[], object]) -> None:
    best, median = timed(work)
    speed = f"{size / best / 1e9:8.2f} {size / median / 1e9:8.2f}" if size else " " * 17
    print(f"{label:<44} {size:>12,} {best * 1e6:>10.1f} {median * 1e6:>10.1f} {speed}")


def side_by_side(rounds: int = 60) -> float:
    """Tell how many times as much two threads inspect as one does in the same time; the best of several tries."""
    frames = [memoryview(frame(2880, 2880)) for _ in range(2)]

    def loop(data: memoryview) -> None:
        for _ in range(rounds):
            through_one_buffer(data)

    def both() -> None:
        threads = [threading.Thread(target=loop, args=(data,)) for data in frames]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    tries = [(timed(partial(loop, frames[0]))[0], timed(both)[0]) for _ in range(4)]
    return 2 * min(alone for alone, _ in tries) / min(together for _, together in tries)


def files(paths: list[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Give (label, name, bytes) of everything to inspect."""
    if paths:
        yield from ((path.name[-44:], path.name, path.read_bytes()) for path in paths)
        return
    yield "FITS 2880x2880, 60 cards", "frame.fits", frame(2880, 2880)
    yield "FITS 1080x1920, 60 cards", "frame.fits", frame(1080, 1920)
    yield "FITS 180x180, 60 cards", "frame.fits", frame(180, 180)
    yield "FITS 10x10, 60 cards", "frame.fits", frame(10, 10)
    yield "FITS 10x10, 10,000 cards", "frame.fits", frame(10, 10, 10_000)
    yield "TIFF, directory last", "img.tiff", tiff(16_600_000)
    yield "JPEG", "img.jpg", jpeg(4_000_000)
    yield "PNG", "img.png", png(4_000_000)
    yield "unknown kind", "clip.mp4", os.urandom(16_600_000)


def compare_sums() -> None:
    """Print both ways to add, and what importing numpy costs: this is where the thresholds come from."""
    assert "numpy" not in sys.modules, "something imported numpy before its import could be timed"
    start = time.perf_counter()
    summing = _numpy_summing()
    cost = time.perf_counter() - start
    print(f"importing numpy: {cost * 1e3:.0f} ms")
    for size in (80, 320, 480, 640, 2880, 14400, 65536, 262144, BUFFER_SIZE):
        words = memoryview(os.urandom(size))
        row("  folded", size, partial(_fold_words, words))
        row("  numpy", size, partial(summing, words))
    print(f"thresholds in use: numpy from {NUMPY_PAYS} bytes, after {PATIENCE:,} folded; fold {FOLD_PIECE:,} at a time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sums", action="store_true", help="compare the ways to compute DATASUM instead")
    parser.add_argument("files", nargs="*", type=Path)
    chosen = parser.parse_args()
    print(f"{'':<44} {'bytes':>12} {'best us':>10} {'median us':>10} {'GB/s':>8} {'median':>8}")
    if chosen.sums:
        compare_sums()
        return
    _numpy_summing()
    for label, name, data in files(chosen.files):
        row(label, len(data), partial(look, name, memoryview(data)))
    header = frame(10, 10)[: 2 * 2880]
    row("layout of a 60-card header", 0, partial(read_layout, header, 0))
    row("parse_cards of a 60-card header", 0, partial(parse_cards, header))
    large = memoryview(frame(2880, 2880))
    row("FITS 2880x2880 through one warm buffer", len(large), partial(through_one_buffer, large))
    print(f"two threads inspect {side_by_side():.2f} times as much as one")


if __name__ == "__main__":
    main()
