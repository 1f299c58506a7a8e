"""A run that Windows ends midway, as its Task Manager does: the next one delivers what is missing, once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from nightferry.testing.vespera import NightPlan, build_night
from tests.servers.ftp_server import FtpServer

if TYPE_CHECKING:
    from tests.windows.conftest import Windows

#: Runs nightferry, ends it when so many frames are delivered, and says with what code that ended it.
KILLER = """
import subprocess, sys, time
from pathlib import Path

library, enough = Path(sys.argv[1]), int(sys.argv[2])
run = subprocess.Popen([sys.executable, "-m", "nightferry", *sys.argv[3:]])
while run.poll() is None:
    if sum(file.suffix == ".fits" for file in library.rglob("*")) >= enough:
        run.terminate()  # TerminateProcess: it cannot be caught, and nothing is tidied up
        print("killed", run.wait())
        break
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> NightPlan:
    """A night of many small frames."""
    root = tmp_path_factory.mktemp("made") / "user"
    return build_night(root, seed=1, evening=date(2026, 9, 11), observations=5, lights=25, size=(48, 32))


@pytest.fixture
def telescope(plan: NightPlan) -> Iterator[FtpServer]:
    """The telescope, which is no part of Windows: it stays when nightferry is killed."""
    with FtpServer() as server:
        for file in plan.files:
            server.tree.plant(f"user/{file.path}".encode(), (plan.root / file.path).read_bytes(), file.mtime_us)
        yield server


def test_a_run_killed_midway_is_finished_by_the_next_with_every_frame_delivered_once(
    windows: Windows, telescope: FtpServer, plan: NightPlan, tmp_path: Path
) -> None:
    wanted = [file for file in plan.files if file.path.endswith((".fits", ".tif", ".tiff"))]
    frames = sorted(file.digest for file in wanted)
    drive = "Z:" + tmp_path.as_posix()
    (tmp_path / "nightferry.toml").write_text(configuration(drive, telescope.port), encoding="utf-8")
    (tmp_path / "library").mkdir()
    run = ("--config", f"{drive}/nightferry.toml", "run", "vespera", "--night", "all", "--json")

    # Part of the night flows, more than is pulled at once and then delivered, and nothing after it: however slow this
    # machine is, the run does not end before it is killed.
    with telescope.freezes(after=sum(file.size for file in wanted) * 3 // 4):
        killed = windows.run("-c", KILLER, f"{drive}/library", "20", *run, folder=tmp_path)
    assert killed.out.split() == ["killed", "1"], f"{killed.out}\n{killed.err}"
    assert 0 < len(delivered(tmp_path / "library")) < len(frames)
    assert set(delivered(tmp_path / "library")) <= set(frames)

    ended = windows.run("-m", "nightferry", *run, folder=tmp_path)
    assert ended.code == 0, ended.out + ended.err
    (line,) = map(json.loads, ended.out.splitlines())
    assert (line["delivered"], line["held"], line["failed"], line["pending"]) == (len(frames), 0, 0, 0)
    assert line["balanced"] is True
    assert delivered(tmp_path / "library") == frames
    assert not [path for place in ("library", "shelf") for path in (tmp_path / place).rglob("*.part*")]
    assert twice(tmp_path / "ledger.db") == []


def configuration(drive: str, port: int) -> str:
    """Return the configuration of a desk in a folder, given as Windows calls it."""
    return f"""\
[ledger]
url = "sqlite:///{drive}/ledger.db"

[shelf]
path = "{drive}/shelf"
floor = "1 MB"

[crew]
kind = "processes"
workers = 2

[telescope.vespera]
preset = "vespera"
source = "ftp://127.0.0.1:{port}/user"
archives = ["library"]
connections = 1
settle = "0 s"
timeout = "1000 s"

[archive.library]
url = "file:///{drive}/library"
"""


def delivered(library: Path) -> list[str]:
    """Return the digests of what lies under final names."""
    files = [path for path in library.rglob("*") if path.is_file() and ".part" not in path.name]
    return sorted(blake3(path.read_bytes()).hexdigest() for path in files)


def twice(ledger: Path) -> list[tuple[object, ...]]:
    """Return what the ledger says was done more than once."""
    with closing(sqlite3.connect(ledger)) as read:
        return read.execute(
            "SELECT frame, step, target, count(*) FROM receipts WHERE step IN ('pull', 'deliver') AND outcome = 'done' "
            "GROUP BY frame, step, target HAVING count(*) > 1"
        ).fetchall()
