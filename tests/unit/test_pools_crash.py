import math
import os
import subprocess
import sys
import threading
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from nightferry.pools import SturdyProcesses, crew, threads

# Tasks must be importable in a spawned worker, so they are built-ins: eval, exec and os._exit.
DIE_ONCE = """
import os, pathlib
mark = pathlib.Path({mark!r})
if not mark.exists():
    mark.touch()
    os._exit(1)
"""


def test_both_kinds_of_crew_do_the_work() -> None:
    for kind in ("threads", "processes"):
        with crew(kind, 2) as workers:
            assert list(workers.map(math.factorial, range(5))) == [1, 1, 2, 6, 24]


def test_a_dead_worker_costs_a_retry_and_not_the_pool(tmp_path: Path) -> None:
    with SturdyProcesses(2) as workers:
        others = [workers.submit(eval, f"__import__('time').sleep(0.05) or {number}") for number in range(6)]
        victim = workers.submit(exec, DIE_ONCE.format(mark=str(tmp_path / "mark")))
        assert victim.result(timeout=300) is None
        assert [future.result(timeout=300) for future in others] == [0, 1, 2, 3, 4, 5]
        assert workers.submit(math.factorial, 4).result(timeout=300) == 24
    assert (tmp_path / "mark").exists()


def test_a_task_that_kills_every_worker_is_given_up_and_costs_no_other() -> None:
    with SturdyProcesses(2) as workers:
        innocent = workers.submit(eval, "__import__('time').sleep(0.3) or 'done'")
        killer = workers.submit(os._exit, 1)
        with pytest.raises(BrokenProcessPool):
            killer.result(timeout=300)
        assert innocent.result(timeout=300) == "done"
        assert workers.submit(math.factorial, 3).result(timeout=300) == 6


def test_workers_end_with_a_conductor_that_was_killed(tmp_path: Path) -> None:
    pulse = tmp_path / "pulse"
    beating = f"import time\nwhile True:\n    open({str(pulse)!r}, 'ab').write(b'.')\n    time.sleep(0.01)"
    conductor = f"from nightferry.pools import SturdyProcesses\nSturdyProcesses(1).submit(exec, {beating!r}).result()"
    process = subprocess.Popen([sys.executable, "-c", conductor])
    limit = time.monotonic() + 60
    while not pulse.exists() and time.monotonic() < limit:
        time.sleep(0.01)
    assert pulse.exists()
    process.kill()
    process.wait()
    before = -1
    while before != (before := pulse.stat().st_size):
        assert time.monotonic() < limit, "the worker's heart still beats"
        time.sleep(0.5)


def test_a_task_s_own_error_comes_back() -> None:
    with SturdyProcesses(1) as workers, pytest.raises(ValueError, match="as asked"):
        workers.submit(int, "as asked").result(timeout=300)


def test_a_crew_that_was_let_go_takes_no_work() -> None:
    workers = SturdyProcesses(1)
    workers.shutdown()
    with pytest.raises(RuntimeError):
        workers.submit(math.factorial, 1)


def test_threads_are_named_after_their_work() -> None:
    with threads(1, "pull") as workers:
        assert workers.submit(lambda: threading.current_thread().name).result().startswith("nightferry-pull")
