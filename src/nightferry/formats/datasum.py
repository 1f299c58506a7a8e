"""DATASUM and CHECKSUM: the 32-bit ones-complement sum of FITS, computed while the bytes pass.

Source: FITS 4.0, section 4.4.2.7 and appendix J. The sum is over big-endian 32-bit words; summing native words and
swapping the bytes once at the end gives another value (that works for 16-bit words only).

Two ways lead to the same number. numpy adds 13 GB/s and lets other threads run, but its import costs some 45 ms and
14 MB of memory; folding Python integers adds 1.4 GB/s. So a process folds until it has summed `PATIENCE` bytes, about
what the import costs, and imports numpy then; once numpy is there, only short pieces are folded (figures from
``benchmarks/inspect_speed.py --sums``).
"""

import sys
from functools import lru_cache
from typing import Protocol

ALL_ONES = 0xFFFFFFFF
#: Bytes that a process folds before it imports numpy.
PATIENCE = 32 * 1024 * 1024
#: Pieces shorter than this are folded even when numpy is there.
NUMPY_PAYS = 480
#: Bytes folded at a time; longer integers fall out of the processor's nearest cache.
FOLD_PIECE = 64 * 1024
#: Halving steps from a whole piece down to 256 bits: (bits to shift by, mask).
_HALVES = tuple((bits, (1 << bits) - 1) for bits in (FOLD_PIECE * 8 >> step for step in range(1, 12)))


class Summing(Protocol):
    """Adds up the big-endian 32-bit words of bytes whose number is a multiple of 4, modulo nothing or 2**32 - 1."""

    def __call__(self, words: memoryview, /) -> int:
        """Give a number that is 0 only when every byte is, and congruent to the sum modulo 2**32 - 1."""
        ...


class Datasum:
    """The FITS sum of a run of bytes, added in pieces of any length; a last partial word counts as if zero-filled."""

    __slots__ = ("_phase", "_total")

    def __init__(self) -> None:
        self._total = 0
        self._phase = 0

    def add(self, piece: memoryview) -> None:
        """Add the next bytes."""
        count = len(piece)
        if self._phase:
            lead = min(4 - self._phase, count)
            self._total += int.from_bytes(piece[:lead], "big") << 8 * (4 - self._phase - lead)
            piece = piece[lead:]
        whole = len(piece) & ~3
        if whole:
            self._total += sum_words(piece[:whole])
        if tail := len(piece) - whole:
            self._total += int.from_bytes(piece[whole:], "big") << 8 * (4 - tail)
        self._phase = (self._phase + count) & 3

    @property
    def value(self) -> int:
        """The sum so far, 0 to 2**32 - 1."""
        return folded(self._total)


class _Patience:
    """How many bytes this process has folded without numpy; a cost account, it never changes a sum."""

    spent = 0


def sum_words(words: memoryview) -> int:
    """Add up the words by whichever way is the faster now; see `Summing`."""
    count = len(words)
    if count < NUMPY_PAYS:
        return _fold_words(words)
    if "numpy" not in sys.modules:
        _Patience.spent += count
        if _Patience.spent < PATIENCE:
            return _fold_words(words)
    return _numpy_summing()(words)


def _fold_words(words: memoryview) -> int:
    """Add up the words as long integers: halves are laid upon each other, which keeps the value modulo 2**32 - 1."""
    total = 0
    for start in range(0, len(words), FOLD_PIECE):
        number = int.from_bytes(words[start : start + FOLD_PIECE], "big")
        for bits, mask in _HALVES:
            number = (number >> bits) + (number & mask)
        total += number
    return total


@lru_cache(maxsize=1)
def _numpy_summing() -> Summing:
    import numpy as np  # noqa: PLC0415 - its import is put off until it pays

    word, wide, add = np.dtype(">u4"), np.dtype(np.uint64), np.add.reduce

    def summing(words: memoryview, /) -> int:
        return int(add(np.frombuffer(words, word), dtype=wide))

    return summing


def folded(total: int) -> int:
    """Bring a sum of words down to 32 bits with end-around carry: 0 only for 0, otherwise 1 to 2**32 - 1."""
    return (total - 1) % ALL_ONES + 1 if total else 0


def datasum_of(data: bytes | memoryview) -> int:
    """Give the FITS sum of bytes that are all there."""
    summed = Datasum()
    summed.add(memoryview(data))
    return summed.value


def encode_checksum(total: int) -> str:
    """Write the CHECKSUM value for an HDU whose sum, with CHECKSUM set to sixteen zeros, is ``total``.

    The sixteen letters and digits make the sum of the whole HDU all ones when they stand in columns 12 to 27 of
    their card (FITS 4.0, appendix J: quarters of each byte of the complement, kept off the punctuation, rotated).
    """
    columns = [_quarters(byte) for byte in (ALL_ONES - folded(total)).to_bytes(4, "big")]
    letters = "".join(chr(columns[byte][quarter]) for quarter in range(4) for byte in range(4))
    return letters[-1] + letters[:-1]


def _quarters(byte: int) -> list[int]:
    """Split a byte into four ASCII letters or digits that add up to it above four zeros."""
    fourth, left = divmod(byte, 4)
    codes = [ord("0") + fourth + left, *[ord("0") + fourth] * 3]
    while any(_is_punctuation(code) for code in codes):
        for one, other in ((0, 1), (2, 3)):
            if _is_punctuation(codes[one]) or _is_punctuation(codes[other]):
                codes[one] += 1
                codes[other] -= 1
    return codes


def _is_punctuation(code: int) -> bool:
    return chr(code) in ":;<=>?@[\\]^_`"
