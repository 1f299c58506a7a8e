"""The task of a worker process: one frame, within a hard limit of time.

What searches the index files is C code that cannot be interrupted. So each task sets an alarm that ends its whole
process, whatever that is doing; a crew that outlives its workers (`nightferry.crews.SturdyProcesses`) gives the frame
one more try, and then tells that it was lost.
"""

import faulthandler
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nightferry.solving.model import Answer, Settings

#: Libraries of linear algebra that share one small sum among all processors, which costs three times its time.
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def solve_task(path: Path, settings: "Settings", name: str = "") -> "Answer":
    """Solve a frame in a worker process; beyond the limit the process ends."""
    with alarm(settings.seconds):
        return _solve(path, settings, name)


def _solve(path: Path, settings: "Settings", name: str) -> "Answer":
    if multiprocessing.parent_process() is not None:  # our own process, and numpy is not there yet
        for variable in _THREADS:
            os.environ.setdefault(variable, "1")
    from nightferry.solving.frame import solve_frame  # noqa: PLC0415 - brings numpy, which reads the limits above

    return solve_frame(path, settings, name=name)


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
        f"the solver crashed, or did not end within {seconds:.0f} s, twice, and was stopped; if its index files are "
        "damaged, see: nightferry index status"
    )
