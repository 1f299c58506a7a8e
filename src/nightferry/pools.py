"""Pools of threads and processes that do the work, behind `concurrent.futures.Executor`, and how workers start."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def crew(kind: Literal["threads", "processes"], workers: int) -> Executor:
    """Return a pool of this many workers."""
    return threads(workers, "crew") if kind == "threads" else SturdyProcesses(workers)


def threads(workers: int, name: str) -> ThreadPoolExecutor:
    """Hire threads, for work that waits or leaves Python's lock."""
    return ThreadPoolExecutor(workers, thread_name_prefix=f"nightferry-{name}")


class Lent(Executor):
    """A crew that works for several at once; whoever has borrowed it does not send it home."""

    def __init__(self, crew: Executor) -> None:
        self._crew = crew

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule a call with the lent crew."""
        return self._crew.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's signature
        """Leave the crew at work for the others."""


class SturdyProcesses(Executor):
    """Worker processes, of which a dead one costs a retry and not the pool.

    The standard pool breaks as a whole when one worker dies (a crash in native code, the system's memory
    killer), and cannot tell whose task it was. This one hires a new pool for what comes next, and gives each
    task that was under way one more chance, alone with a worker of its own: the innocent pass, and the one
    that kills again is answered with `BrokenProcessPool`. Workers are spawned, so they share nothing with the
    conductor, on every system alike.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._quarantine = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._suspects: set[threading.Thread] = set()
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule a call; the function and its arguments must be picklable."""
        outer: Future[T] = Future()

        def start(pool: ProcessPoolExecutor) -> Future[T]:
            return pool.submit(fn, *args, **kwargs)

        def hand_over(done: Future[T]) -> None:
            if isinstance(error := done.exception(), BrokenProcessPool):
                # a callback must not keep the dying pool's own thread
                suspect = threading.Thread(target=self._alone, args=(outer, start))
                with self._lock:
                    self._suspects.add(suspect)
                suspect.start()
            else:
                _answer(outer, done, error)

        pool = self._hire()
        try:
            inner = start(pool)
        except BrokenProcessPool:  # it broke between two tasks, when nothing of ours was under way in it
            inner = start(self._hire(pool))
        inner.add_done_callback(hand_over)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's signature
        """Let the workers go."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        while wait and self._suspects:
            for suspect in list(self._suspects):
                suspect.join()
                self._suspects.discard(suspect)

    def _hire(self, broken: ProcessPoolExecutor | None = None) -> ProcessPoolExecutor:
        """Give the present pool, or a new one when there is none or the one known to the caller broke."""
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._pool is None or self._pool is broken:
                self._pool = _pool(self._workers)
            return self._pool

    def _alone(self, outer: Future[T], start: Callable[[ProcessPoolExecutor], Future[T]]) -> None:
        """Give a task its second chance, one at a time, where it can hurt no other."""
        with self._quarantine, _pool(1) as lone:
            done = start(lone)
            _answer(outer, done, done.exception())


def _answer(outer: Future[T], done: Future[T], error: BaseException | None) -> None:
    if error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(done.result())


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=belong)


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
