"""Crews: who does the work of a lane. The only contract is `concurrent.futures.Executor`."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def crew(kind: Literal["threads", "processes"], workers: int) -> Executor:
    """Hire a crew of so many workers."""
    return threads(workers, "crew") if kind == "threads" else SturdyProcesses(workers)


def threads(workers: int, name: str) -> ThreadPoolExecutor:
    """Hire threads, for work that waits or leaves Python's lock."""
    return ThreadPoolExecutor(workers, thread_name_prefix=f"nightferry-{name}")


class SturdyProcesses(Executor):
    """Worker processes, of which a dead one costs a retry and not the pool.

    The standard pool breaks as a whole when one worker dies (a crash in native code, the system's memory
    killer). This one hires a new pool and gives each unfinished task one more chance; a task that was under way
    in two broken pools is answered with `BrokenProcessPool`, for it may well be the killer. Workers are spawned,
    so they share nothing with the conductor, on every system alike.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Schedule a call; the function and its arguments must be picklable."""
        outer: Future[T] = Future()
        self._start(outer, lambda pool: pool.submit(fn, *args, **kwargs), chances=2)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - Executor's signature
        """Let the workers go."""
        with self._lock:
            self._closed = True
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def _hire(self, broken: ProcessPoolExecutor | None = None) -> ProcessPoolExecutor:
        """Give the present pool, or a new one when there is none or the one known to the caller broke."""
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._pool is None or self._pool is broken:
                self._pool = ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context("spawn"))
            return self._pool

    def _start(
        self,
        outer: Future[T],
        task: Callable[[ProcessPoolExecutor], Future[T]],
        chances: int,
        broken: ProcessPoolExecutor | None = None,
    ) -> None:
        pool = self._hire(broken)
        try:
            inner = task(pool)
        except BrokenProcessPool:  # it broke between two tasks: nothing of ours was under way in it
            pool = self._hire(pool)
            inner = task(pool)

        def hand_over(done: Future[T]) -> None:
            if done.cancelled():
                outer.cancel()
                outer.set_running_or_notify_cancel()
                return
            error = done.exception()
            if isinstance(error, BrokenProcessPool) and chances > 1:
                # a callback must not block the dying pool's own thread
                threading.Thread(target=self._again, args=(outer, task, chances - 1, pool), daemon=True).start()
            elif error is not None:
                outer.set_exception(error)
            else:
                outer.set_result(done.result())

        inner.add_done_callback(hand_over)

    def _again(
        self,
        outer: Future[T],
        task: Callable[[ProcessPoolExecutor], Future[T]],
        chances: int,
        broken: ProcessPoolExecutor,
    ) -> None:
        try:
            self._start(outer, task, chances, broken)
        except (RuntimeError, BrokenProcessPool) as err:
            outer.set_exception(err)
