"""Frames that arrive while the night goes on: what rests is taken, what is still written waits."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nightferry.testing.telescope import grow_frames, simulated_vespera
from tests.acceptance.conftest import DONE, INTERRUPTED, LONG, MISCONFIGURED, Desk, frame, until
from tests.servers.ftp_server import FtpServer

FRAMES = "2026-09-11_21-10-37_observation_M31/01-images-initial"
NAME = "M 31/M 31_2026-09-11_21-10-37_img-{:04d}.fits"


@pytest.fixture
def card(desk: Desk, tmp_path: Path) -> Iterator[Path]:
    """An empty card in a telescope that is on, known to the desk as one whose files settle soon."""
    root = tmp_path / "card"
    (root / FRAMES).mkdir(parents=True)
    with simulated_vespera(root) as telescope:
        desk.configure(telescope.url, settle="0.5 s")
        yield root


@contextmanager
def watching(desk: Desk, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Have a watch going on, and see to it that it ends."""
    process = desk.start("watch", "vespera", "--every", "0.3 s", *words)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def delivered(desk: Desk, number: int) -> bool:
    return (desk.library / NAME.format(number)).exists()


def test_a_frame_that_is_still_written_is_not_taken_before_it_rests(desk: Desk, card: Path) -> None:
    patient = desk.config.read_text(encoding="utf-8").replace('settle = "0.5 s"', 'settle = "2 s"')
    desk.config.write_text(patient, encoding="utf-8")  # far longer than a busy machine keeps the camera from writing
    whole = frame(1, (400, 300))
    place = card / FRAMES / "img-0001.fits"
    place.write_bytes(b"")
    written = threading.Event()

    def camera() -> None:
        with place.open("r+b", buffering=0) as file:
            for start in range(0, len(whole), len(whole) // 30):
                file.write(whole[start : start + len(whole) // 30])
                threading.Event().wait(0.1)
        written.set()

    writer = threading.Thread(target=camera)
    writer.start()
    with watching(desk):
        while not written.is_set():
            assert not delivered(desk, 1), "it was still written"
            written.wait(0.05)
        writer.join()
        until(lambda: delivered(desk, 1), "the frame is delivered")
    assert (desk.library / NAME.format(1)).read_bytes() == whole
    sheet = desk.run().sheet()
    assert (sheet.seen, sheet.delivered) == (1, 1), "the states before it were no frames"


def test_a_single_run_waits_for_fresh_files_to_rest(desk: Desk, card: Path) -> None:
    (card / FRAMES / "img-0001.fits").write_bytes(frame(1))
    answer = desk.nightferry("run", "vespera", "--night", "all")
    assert answer.code == DONE
    assert "1 files are too fresh; waiting" in answer.err
    assert delivered(desk, 1)


def test_a_live_night_is_carried_as_it_grows(desk: Desk, card: Path) -> None:
    with watching(desk):
        made = list(grow_frames(card, seed=5, lights=3, every=0.4, writing=0.3, size=(96, 64), target="M31"))
        lights = {file.digest for file in made if file.path.endswith(".fits")}
        assert len(lights) == 3
        until(lambda: set(desk.carried().values()) >= lights, "the night is carried")
    assert set(desk.carried().values()) == lights


def test_late_frames_open_a_closed_night_again(desk: Desk, card: Path) -> None:
    (card / FRAMES / "img-0001.fits").write_bytes(frame(1))
    assert desk.run().sheet().delivered == 1
    assert "closed" in desk.nightferry("nights").out
    (card / FRAMES / "img-0002.fits").write_bytes(frame(2))
    desk.nightferry("run", "vespera", "--night", "all", "--until", "pull")
    assert "open" in desk.nightferry("nights").out
    assert desk.run().sheet().delivered == 2
    assert "closed" in desk.nightferry("nights").out


def test_a_watch_ends_after_so_many_empty_looks(desk: Desk, card: Path) -> None:
    answer = desk.nightferry("watch", "vespera", "--every", "0.1 s", "--empty", "3")
    assert answer.code == DONE
    assert "3 looks in a row brought nothing new; the watch ends" in answer.err
    desk.configure(desk.config.read_text().split('source = "')[1].split('"')[0], sections=WATCH)
    assert "2 looks in a row brought nothing new" in desk.nightferry("watch").err


WATCH = '[telescope.vespera.watch]\nevery = "0.1 s"\nempty = 2'


def test_a_watch_goes_on_while_the_telescope_is_off(desk: Desk, bad_server: FtpServer) -> None:
    bad_server.tree.plant(f"user/{FRAMES}/img-0001.fits".encode(), frame(1), 1_789_000_000_000_000)
    desk.configure(f"ftp://127.0.0.1:{bad_server.port}/user")
    with watching(desk) as process:
        until(lambda: delivered(desk, 1), "the first frame comes")
        with bad_server.dies(after=0):
            until(lambda: "cannot connect" in line_of(process), "it notices")
        bad_server.tree.plant(f"user/{FRAMES}/img-0002.fits".encode(), frame(2), 1_789_000_001_000_000)
        until(lambda: delivered(desk, 2), "the second frame comes")


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def test_a_telescope_that_refuses_the_login_ends_its_watch(desk: Desk, bad_server: FtpServer) -> None:
    bad_server.facts.passwords = {}
    desk.configure(f"ftp://127.0.0.1:{bad_server.port}/user")
    answer = desk.nightferry("watch", "vespera", "--every", "0.1 s")
    assert answer.code == MISCONFIGURED
    assert "refuses the login" in answer.err


if sys.platform != "win32":

    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
    def test_a_watch_is_stopped_at_once_and_leaves_nothing_half_written(
        desk: Desk, card: Path, how: signal.Signals
    ) -> None:
        (card / FRAMES / "img-0001.fits").write_bytes(frame(1))
        with watching(desk, "--json") as process:
            until(lambda: delivered(desk, 1), "the frame is delivered")
            os.kill(process.pid, how)
            _, err = process.communicate(timeout=LONG)
        assert process.returncode == INTERRUPTED
        assert "stopped; nothing is half-written" in err
        assert "Traceback" not in err
        assert desk.parts() == []
        assert desk.balance().delivered == 1
