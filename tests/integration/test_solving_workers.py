"""Engines that crash, hang, lie or fail, as third parties might bring them: the frame is lost, and nothing else."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from nightferry.core.errors import Misconfigured
from nightferry.pools import SturdyProcesses
from nightferry.solving.frame import shelved
from nightferry.solving.indexes import _tables, star_table
from nightferry.solving.model import Answer, Settings
from nightferry.solving.solve_field import _run
from nightferry.solving.worker import lost, solve_beside, solve_task
from nightferry.testing.fields import vespera_frame
from nightferry.testing.sky import View

ENGINE = """
import ctypes, time
from nightferry.headers.canonical import Wcs
from nightferry.core.errors import TryAgain
from nightferry.solving.model import Guess

class Made:
    def __init__(self, name, guess):
        self.name = name
        self.guess = guess

def crash():
    return Made("crash", lambda *_: ctypes.string_at(0))

def hang():
    def wait(*_):
        ctypes.PyDLL(None).usleep(600_000_000)  # C code that keeps Python's lock
    return Made("hang", wait)

def lie():
    wrong = Wcs(("RA---TAN", "DEC--TAN"), (480.5, 270.5), (57.5, 24.0), (-0.00166, 0.0, 0.0, 0.00166))
    return Made("lie", lambda *_: Guess(wrong, "made up"))

def fail():
    def fail(*_):
        raise TryAgain("the licence server is out for lunch")
    return Made("fail", fail)
"""
M45 = View(56.60, 24.11, 12.0)


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with engines, where worker processes find it as any other."""
    place = tmp_path / "site"
    told = place / "odd_engines-1.0.dist-info"
    told.mkdir(parents=True)
    (place / "odd_engines.py").write_text(ENGINE, encoding="utf-8")
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-engines\nVersion: 1.0\n", encoding="utf-8")
    names = "\n".join(f"{name} = odd_engines:{name}" for name in ("crash", "hang", "lie", "fail"))
    (told / "entry_points.txt").write_text(f"[nightferry.solvers]\n{names}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(place)  # spawned workers get the path of whoever spawns them
    return place


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    path = tmp_path / "frame.fits"
    path.write_bytes(vespera_frame("M45", M45))
    return path


def settings(index: Path, engine: str, seconds: float = 10.0) -> Settings:
    return Settings(engine=engine, indexes=(index,), usual=False, seconds=seconds)


def test_an_engine_that_crashes_costs_its_frame_and_no_other(engines: Path, frame: Path, sky_index: Path) -> None:
    with SturdyProcesses(1) as crew:
        bad = crew.submit(solve_task, frame, settings(sky_index, "crash"))
        good = crew.submit(solve_task, frame, settings(sky_index, ""))
        with pytest.raises(BrokenProcessPool):
            bad.result(300)
        assert good.result(300).solution is not None


def test_an_engine_that_hangs_is_ended_at_the_limit(engines: Path, frame: Path, sky_index: Path) -> None:
    began = time.monotonic()
    with SturdyProcesses(1) as crew:
        with pytest.raises(BrokenProcessPool):
            crew.submit(solve_task, frame, settings(sky_index, "hang", 2.0)).result(300)
        assert crew.submit(solve_task, frame, settings(sky_index, "")).result(300).solution is not None
    assert time.monotonic() - began < 300, "the engine would have slept for ten minutes"
    assert "within 3 s, twice" in lost(2.0)


@pytest.mark.parametrize("engine", ["hang", "crash"])
def test_threads_have_the_same_limit(engines: Path, frame: Path, sky_index: Path, engine: str) -> None:
    """Each of them has a child that is ended in its stead, and its neighbour goes on."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as crew:
        bad = crew.submit(solve_beside, frame, settings(sky_index, engine, 2.0), {})
        good = [crew.submit(solve_beside, frame, settings(sky_index, ""), {}) for _ in range(3)]
        assert all(future.result(300).solution is not None for future in good)
        answer = bad.result(300)
        assert crew.submit(solve_beside, frame, settings(sky_index, ""), {}).result(300).solution is not None
    assert answer.solution is None
    assert answer.reason == lost(2.0)
    assert time.monotonic() - began < 300, "the engine would have slept for ten minutes"


def test_index_files_that_came_later_are_seen(frame: Path, sky_index: Path, tmp_path: Path) -> None:
    """A night that is being watched goes on with them: nothing is started anew."""
    place = tmp_path / "later"
    place.mkdir()
    with SturdyProcesses(1) as crew:
        with pytest.raises(Misconfigured, match="no index file"):
            crew.submit(solve_task, frame, settings(place, "")).result(300)
        for path in sky_index.glob("*.fits"):
            (place / path.name).write_bytes(path.read_bytes()[:50_000])  # half of it came by now
        with pytest.raises(Misconfigured, match="none is whole"):
            crew.submit(solve_task, frame, settings(place, "")).result(300)
        for path in sky_index.glob("*.fits"):
            with (place / path.name).open("ab") as file:
                file.write(path.read_bytes()[50_000:])
        assert crew.submit(solve_task, frame, settings(place, "")).result(300).solution is not None


def test_an_index_file_that_became_another_is_read_anew(sky_index: Path, tmp_path: Path) -> None:
    first, second = sorted(sky_index.glob("*.fits"))
    path = tmp_path / "index.fits"
    shutil.copyfile(first, path)
    before = (shelved((tmp_path,), usual=False)[0].low, len(star_table(path).rank))
    assert shelved((tmp_path,), usual=False) is shelved((tmp_path,), usual=False), (
        "looked at once, while nothing changes"
    )
    shutil.copyfile(second, tmp_path / "index.part")
    (tmp_path / "index.part").replace(path)
    after = (shelved((tmp_path,), usual=False)[0].low, len(star_table(path).rank))
    assert before != after


def test_an_engine_that_lies_or_fails_is_told(engines: Path, frame: Path, sky_index: Path) -> None:
    with SturdyProcesses(1) as crew:
        lie: Answer = crew.submit(solve_task, frame, settings(sky_index, "lie")).result(300)
        fail: Answer = crew.submit(solve_task, frame, settings(sky_index, "fail")).result(300)
    assert lie.solution is None
    assert "a solution was found and refused: " in lie.reason
    assert not lie.world
    assert fail.reason == "the licence server is out for lunch"
    assert fail.world


def test_index_files_with_flipped_bits_end_no_run(frame: Path, sky_index: Path, tmp_path: Path) -> None:
    """Whatever the search makes of them: no crew dies, and what is solved is solved right."""
    bad = tmp_path / "bad"
    shutil.copytree(sky_index, bad)
    for number, path in enumerate(sorted(bad.glob("*.fits"))):
        raw = bytearray(path.read_bytes())
        for name, table in _tables(path).items():
            if "stars" not in name or number:
                for at in range(table.start + number, table.start + table.size, 97):
                    raw[at] ^= 0x55
        path.write_bytes(raw)
    with SturdyProcesses(1) as crew:
        try:
            answer = crew.submit(solve_task, frame, settings(bad, "", 5.0)).result(300)
        except BrokenProcessPool:
            answer = Answer(None, lost(5.0), world=True)
        assert crew.submit(solve_task, frame, settings(sky_index, "")).result(300).solution is not None
    if answer.solution is not None:
        assert abs(answer.solution.wcs.crval[0] - 56.6) < 0.01
    else:
        assert answer.reason


def test_a_program_that_hangs_is_ended_with_its_children() -> None:
    began = time.monotonic()
    assert _run(["sh", "-c", "echo started; sleep 601 & sleep 602"], 1.0) is None
    assert time.monotonic() - began < 300
    assert _run(["sh", "-c", "echo done"], 30.0) == "done\n"
