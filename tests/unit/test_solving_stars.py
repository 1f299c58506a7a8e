"""Finding stars in pictures that would overflow what finds them: whatever stands in a picture, there is an answer."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import numpy.typing as npt
import pytest
import sep

from nightferry.core.errors import Held
from nightferry.solving.stars import _extract, standing_out

Picture = npt.NDArray[np.float32]
SIDES = (700, 900)
ROWS, COLUMNS = np.indices(SIDES)
RNG = np.random.default_rng(1)
FLOODS = {
    "everything": np.full(SIDES, 1e6),
    "noise": RNG.normal(0, 3000, SIDES),
    "rows": (ROWS % 4 < 2) * 1e6,
    "columns": (COLUMNS % 4 < 2) * 1e6,
    "squares": ((ROWS // 3 + COLUMNS // 3) % 2) * 1e6,
    "dots": ((ROWS % 3 == 0) & (COLUMNS % 3 == 0)) * 1e6,
    "half": (COLUMNS < 450) * 1e6,
    "flames": RNG.exponential(2000, SIDES),
}
#: Those that no threshold thins out; noise shows something at last.
FULL = {"everything", "rows", "columns", "squares", "dots", "half", "flames"}


@pytest.mark.parametrize("name", FLOODS)
def test_no_picture_overflows_the_buffer(name: str) -> None:
    """sep would raise a bare Exception, which nobody catches here."""
    pixels = FLOODS[name].astype(np.float32)
    refused = pytest.raises(Held, match="full of structure")
    with refused if name in FULL else nullcontext():
        assert _extract(sep, pixels, 20.0, None).ndim == 1


@pytest.mark.parametrize("shape", [(100, 130), (128, 64), (129, 64), (300, 33), (1, 5)])
def test_what_stands_out_is_counted_as_a_slow_sum_would(shape: tuple[int, int]) -> None:
    pixels = RNG.integers(0, 100, shape).astype(np.float32)
    padded = np.pad(pixels, 1)
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    smooth = (windows * kernel).sum(axis=(2, 3))
    for limit in (20.0, 50.0, 70.0):
        assert standing_out(pixels, limit) == np.count_nonzero(smooth > 16 * limit)


def test_room_that_was_made_for_one_picture_is_not_kept_for_the_next() -> None:
    crowded = np.zeros((2000, 2000), np.float32)
    crowded[:, :200] = 1e4
    _extract(sep, crowded, 20.0, None)
    assert sep.get_extract_pixstack() > 800_000
    stars = np.zeros(SIDES, np.float32)
    stars[100:103, 100:103] = 1e4
    assert len(_extract(sep, stars, 20.0, None)) == 1
    assert sep.get_extract_pixstack() == 300_000
