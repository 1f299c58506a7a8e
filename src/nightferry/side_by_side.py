"""Telescopes side by side: a thread for each, and an orderly end when somebody asks for one."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from nightferry.pools import threads

T = TypeVar("T")

#: A wait without an end would not let Ctrl-C through on Windows.
_LOOK = 0.5


def side_by_side(
    names: Sequence[str], work: Callable[[str], T], most: int, stop: threading.Event, note: Callable[[str], None]
) -> dict[str, T]:
    """Work at telescopes side by side, a number of them at once, and return what came of each.

    Ctrl-C and SIGTERM set ``stop``, of which a ``note`` is made; when everyone has come to a safe end,
    `KeyboardInterrupt` is raised. What one of them raises is raised when all have ended.
    """
    with _asked_to(stop) as asked, threads(max(1, min(len(names), most)), "telescope") as carriers:
        try:
            running = {name: carriers.submit(work, name) for name in names}
            while not asked and wait(running.values(), timeout=_LOOK).not_done:
                pass
        except BaseException:  # whoever began already must not be waited for in vain
            stop.set()
            raise
        if asked:
            note("stopping: what is under way comes to a safe end first")
            for future in running.values():
                future.cancel()
    if asked:
        raise KeyboardInterrupt
    return {name: future.result() for name, future in running.items()}


@contextmanager
def _asked_to(stop: threading.Event) -> Iterator[list[int]]:
    """Have the first Ctrl-C or SIGTERM set ``stop`` instead of raising in the middle of anything; a second one raises.

    An exception that comes from nowhere may leave a lock closed for ever, or a thread begun that nobody knows of.
    Yields the signals that came.
    """
    asked: list[int] = []
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        stop.set()  # the main thread, in which handlers run, does nothing with it meanwhile: its lock is free
        for known, handler in usual.items():
            signal.signal(known, handler)

    for number in usual:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
