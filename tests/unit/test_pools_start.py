"""What a process does for itself before it computes."""

import os

import pytest

from nightferry.pools import calculate_alone


def test_a_process_that_only_adds_asks_for_no_threads_of_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "")  # put back at the end, whatever happens to it here
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    calculate_alone()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3"  # its user knows better
