"""The FITS sum is the same whichever way, and in whatever pieces, it is added."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.formats.datasum import (
    ALL_ONES,
    FOLD_PIECE,
    PATIENCE,
    Datasum,
    Summing,
    _fold_words,
    _numpy_summing,
    datasum_of,
    encode_checksum,
    folded,
)


def slow_sum(data: bytes) -> int:
    """Add big-endian words one by one with end-around carry, as FITS 4.0, appendix J, describes it."""
    data += bytes(-len(data) % 4)
    total = 0
    for start in range(0, len(data), 4):
        total += int.from_bytes(data[start : start + 4], "big")
        total = (total & ALL_ONES) + (total >> 32)
    return total


@given(st.binary(max_size=300))
def test_the_sum_is_that_of_words_added_one_by_one(data: bytes) -> None:
    assert datasum_of(data) == slow_sum(data)


@given(st.binary(max_size=2000), st.lists(st.integers(1, 50), max_size=60))
def test_pieces_of_any_length_add_up_to_the_whole(data: bytes, lengths: list[int]) -> None:
    summed, view = Datasum(), memoryview(data)
    for length in lengths:
        summed.add(view[:length])
        view = view[length:]
    summed.add(view)
    assert summed.value == slow_sum(data)


@pytest.mark.parametrize("count", [4, 2880, FOLD_PIECE - 4, FOLD_PIECE, FOLD_PIECE + 4, 3 * FOLD_PIECE + 8])
@pytest.mark.parametrize("byte", [b"\x00", b"\xff", b"\x80\x01\x7f"])
def test_folding_and_numpy_agree(count: int, byte: bytes) -> None:
    words = memoryview((byte * count)[:count])
    assert folded(_fold_words(words)) == folded(_numpy_summing()(words)) == slow_sum(bytes(words))


@pytest.mark.parametrize("way", [_fold_words, _numpy_summing()])
def test_zero_is_the_sum_of_zeros_only(way: Summing) -> None:
    assert way(memoryview(bytes(4 * FOLD_PIECE))) == 0
    assert folded(way(memoryview(b"\xff" * 4 * FOLD_PIECE))) == ALL_ONES
    assert folded(way(memoryview(b"\xff\xff\xff\xfe\x00\x00\x00\x01" * FOLD_PIECE))) == ALL_ONES


def test_words_are_big_endian_whatever_the_machine() -> None:
    assert datasum_of(b"\x00\x00\x00\x01" * 1000) == 1000


def test_a_process_folds_first_and_imports_numpy_when_that_pays() -> None:
    program = (
        "import sys\n"
        "from nightferry.formats.datasum import Datasum, PATIENCE\n"
        "piece, summed = memoryview(b'\\1\\2\\3\\4' * 262144), Datasum()\n"
        "summed.add(piece)\n"
        "print('numpy' in sys.modules)\n"
        "for _ in range(PATIENCE // len(piece)):\n"
        "    summed.add(piece)\n"
        "print('numpy' in sys.modules, summed.value)\n"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    count = (PATIENCE // (4 * 262144) + 1) * 262144
    assert answer.stdout.split() == ["False", "True", str(folded(0x01020304 * count))]


@given(st.integers(0, ALL_ONES))
def test_an_encoded_checksum_makes_the_sum_all_ones(total: int) -> None:
    letters = encode_checksum(total)
    assert len(letters) == 16
    assert letters.isalnum()
    # sixteen zeros stood there when `total` was summed; the card begins at a word, its value in column 12
    zeros, card = (f"CHECKSUM= '{text}'".ljust(80).encode() for text in ("0" * 16, letters))
    rest = (total - slow_sum(zeros)) % ALL_ONES
    assert folded(rest + slow_sum(card)) == ALL_ONES


@pytest.mark.parametrize(
    ("total", "letters"),
    [
        (ALL_ONES, "0000000000000000"),
        (0, "orrrrooooooooooo"),
        (868229149, "hcHjjc9ghcEghc9g"),  # the worked example of FITS 4.0, appendix J
    ],
)
def test_checksums_are_encoded_as_other_programs_do(total: int, letters: str) -> None:
    assert encode_checksum(total) == letters
