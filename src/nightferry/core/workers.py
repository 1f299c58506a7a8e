"""Worker processes, seen from inside: how they belong to whoever started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable


def belong() -> None:
    """Have a worker leave Ctrl-C to its conductor, and end when that was killed: nobody is left to hear its answer.

    It uses one thread of algebra: sharing small sums among processors costs three times more, and there is one worker
    for each of them.
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(variable, "1")  # numpy, which reads them, comes with the first task
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_die, args=(parent.join,), daemon=True).start()


def _wait_and_die(join: Callable[[], None]) -> None:
    join()
    os._exit(1)
