"""The task of a worker process: one frame, within a hard limit of time.

What searches the index files is C code that cannot be interrupted. So each task sets an alarm that ends its whole
process, whatever that is doing; a crew that outlives its workers (`nightferry.pools.SturdyProcesses`) gives the frame
one more try, and then tells that it was lost. Where a frame is known to have ended a worker (or to have been under way
when another did), it is tried apart.
"""

import faulthandler
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

from nightferry.pools import belong
from nightferry.solving.frame import solve_frame
from nightferry.solving.model import Answer, Settings
from nightferry.solving.warp import Warp

#: A frame that takes this many times the limit of its engine is taken as hanging.
SLACK = 1.5
#: How often a frame may be under way when its worker ends: `nightferry.pools.SturdyProcesses` gives two chances, too.
CHANCES = 2


def solve_task(path: Path, settings: Settings, name: str = "", warps: Mapping[str, Warp] | None = None) -> Answer:
    """Solve a frame in a worker process; beyond the limit the process ends."""
    with alarm(SLACK * settings.seconds):
        return solve_frame(path, settings, warps, name=name)


def solve_apart(path: Path, settings: Settings, name: str = "") -> Answer:
    """Solve a frame that ended a worker before, in a process of its own whose end harms nobody."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=belong) as lone:
        try:
            return lone.submit(solve_task, path, settings, name).result()
        except BrokenProcessPool:
            return Answer(None, lost(settings.seconds))


def is_worker() -> bool:
    """Whether this process was started to work for another, and may be ended without harm to anyone's terminal."""
    return multiprocessing.parent_process() is not None


def solve_beside(path: Path, settings: Settings, warps: Mapping[str, Warp], name: str = "") -> Answer:
    """Solve a frame in a child process that this thread keeps for the purpose, twice at most.

    What a crew of threads does, for nothing in a thread can be ended: the limit ends the child, and the next frame gets
    another one.
    """
    for _ in range(CHANCES):
        try:
            return _child().submit(solve_task, path, settings, name, warps).result()
        except BrokenProcessPool:
            _BESIDE.child = None
    return Answer(None, lost(settings.seconds))


#: Each thread's own child: a child that ends is nobody else's loss, and it ends with its thread.
_BESIDE = threading.local()


def _child() -> ProcessPoolExecutor:
    child: ProcessPoolExecutor | None = getattr(_BESIDE, "child", None)
    if child is None:
        context = multiprocessing.get_context("spawn")
        child = _BESIDE.child = ProcessPoolExecutor(1, mp_context=context, initializer=belong)
    return child


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """End this process when the block takes longer; only ever a worker process, never the one that people started."""
    if not is_worker():
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
