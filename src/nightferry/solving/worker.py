"""The task of a worker process: one frame, within a hard limit of time.

What searches the index files is C code that cannot be interrupted. So each task sets an alarm that ends its whole
process, whatever that is doing; a crew that outlives its workers (`nightferry.crews.SturdyProcesses`) gives the frame
one more try, and then tells that it was lost. Where a frame is known to have ended a worker (or to have been under way
when another did), it is tried apart.
"""

import faulthandler
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from nightferry.solving.frame import solve_frame
from nightferry.solving.model import Answer, Settings

#: A frame that takes so many times the limit that its engine was given is taken as hanging.
SLACK = 1.5


def solve_task(path: Path, settings: Settings, name: str = "") -> Answer:
    """Solve a frame in a worker process; beyond the limit the process ends."""
    with alarm(SLACK * settings.seconds):
        return solve_frame(path, settings, name=name)


def solve_apart(path: Path, settings: Settings, name: str = "") -> Answer:
    """Solve a frame that ended a worker before, in a process of its own whose end harms nobody."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as lone:
        try:
            return lone.submit(solve_task, path, settings, name).result()
        except BrokenProcessPool:
            return Answer(None, lost(settings.seconds))


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """End this process when the block takes longer; only ever a worker process, never the one that people started."""
    if multiprocessing.parent_process() is None:
        yield
        return
    with open(os.devnull, "w", encoding="ascii") as nowhere:  # noqa: PTH123 - faulthandler wants a file number
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def lost(seconds: float) -> str:
    """Say what became of a frame whose worker ended twice."""
    return (
        f"the solver crashed, or did not end within {SLACK * seconds:.0f} s, twice, and was stopped; if its index "
        "files are damaged, see: nightferry index status"
    )
