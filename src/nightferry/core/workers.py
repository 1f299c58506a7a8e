"""Worker processes, seen from inside: how they belong to whoever started them."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable


def calculate_alone() -> None:
    """Use one thread of algebra in this process, unless its user asks for more; say so before numpy is imported.

    Sharing small sums among processors costs three times more. Who only adds up bytes needs none of the threads that
    numpy's library starts, and they spin for a while before they sleep (25 ms of processor time on two cores).
    """
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
        os.environ.setdefault(variable, "1")


def belong() -> None:
    """Have a worker leave Ctrl-C to its conductor, and end when that was killed: nobody is left to hear its answer.

    It uses one thread of algebra, for there is one worker for each processor; numpy comes with the first task.
    """
    calculate_alone()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_wait_and_die, args=(parent.join,), daemon=True).start()


def _wait_and_die(join: Callable[[], None]) -> None:
    join()
    os._exit(1)
