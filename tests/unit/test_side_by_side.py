"""Telescopes side by side: what comes of them, and how they are stopped."""

from __future__ import annotations

import signal
import threading

import pytest

from nightferry.side_by_side import side_by_side

LONG = 60.0  # a guard against hanging, never waited for


def test_each_telescope_is_worked_at_and_answers_for_itself() -> None:
    assert side_by_side(["io", "europa"], len, 1, threading.Event(), print) == {"io": 2, "europa": 6}
    assert side_by_side([], len, 1, threading.Event(), print) == {}


def test_what_one_raises_is_raised_when_the_others_have_ended() -> None:
    ended = []

    def work(name: str) -> None:
        if name == "io":
            raise ValueError(name)
        ended.append(name)

    with pytest.raises(ValueError, match="io"):
        side_by_side(["io", "europa", "callisto"], work, 3, threading.Event(), print)
    assert sorted(ended) == ["callisto", "europa"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_that_comes_while_they_start_reaches_all_of_them(number: signal.Signals) -> None:
    stop, met = threading.Event(), []
    said: list[str] = []
    usual = signal.getsignal(number)

    def work(name: str) -> None:
        if name == "io":
            signal.raise_signal(number)  # its handler runs in the main thread, which is about to start the next one
        met.append(stop.wait(LONG))

    with pytest.raises(KeyboardInterrupt):
        side_by_side(["io", "europa", "ganymede", "callisto"], work, 4, stop, said.append)
    assert met
    assert len(said) == 1
    assert all(met)
    assert signal.getsignal(number) is usual


def test_second_signal_does_what_it_usually_does() -> None:
    stop, usual, found = threading.Event(), signal.getsignal(signal.SIGINT), []
    said: list[str] = []

    def work(_name: str) -> None:
        signal.raise_signal(signal.SIGINT)
        assert stop.wait(LONG)
        found.append(signal.getsignal(signal.SIGINT))

    with pytest.raises(KeyboardInterrupt):
        side_by_side(["io"], work, 1, stop, said.append)
    assert found == [usual]
