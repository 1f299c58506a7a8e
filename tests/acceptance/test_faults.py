"""Servers that die, freeze, lie and lose files in the middle of a night: nothing is lost, and everything is told."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.conftest import DONE, FAILED, HELD, LONG, Desk, frame, until
from tests.servers.ftp_facts import Node
from tests.servers.ftp_server import FtpServer

SESSION = b"user/2026-09-11_21-10-37_observation_M31"
FRAMES = SESSION + b"/01-images-initial"
THEN_US = 1_789_000_000_000_000
NUMBERS = range(1, 9)


def path(number: int) -> bytes:
    return FRAMES + b"/img-%04d.fits" % number


def name(number: int) -> str:
    return f"M 31/M 31_2026-09-11_21-10-37_img-{number:04d}.fits"


def size() -> int:
    return len(frame(1))


@pytest.fixture
def server(bad_server: FtpServer, desk: Desk) -> FtpServer:
    """A telescope with eight frames, and a desk that knows it."""
    for number in NUMBERS:
        bad_server.tree.plant(path(number), frame(number), THEN_US + number)
    desk.configure(f"ftp://127.0.0.1:{bad_server.port}/user")
    return bad_server


def library(desk: Desk, *numbers: int) -> None:
    """Check that the library holds exactly these frames, whole."""
    made = {name(number): frame(number) for number in numbers}
    found = {key: (desk.library / key).read_bytes() for key in desk.carried()}
    assert found == made


@contextmanager
def hasty(desk: Desk) -> Iterator[None]:
    """Have the desk wait no longer than a moment for a server that is silent."""
    text = desk.config.read_text()
    desk.config.write_text(text.replace('timeout = "120 s"', 'timeout = "0.6 s"'))
    yield
    desk.config.write_text(text)


def refuses(server: FtpServer) -> bool:
    try:
        socket.create_connection((server.host, server.port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    out, err = process.communicate(timeout=LONG)
    assert "Traceback" not in err
    return process.returncode, out + err


def test_a_server_that_dies_in_the_middle_is_gone_on_with_later(desk: Desk, server: FtpServer) -> None:
    with server.dies(after=3 * size() + 100):
        answer = desk.run()
    assert answer.code == FAILED
    assert "cannot connect" in answer.err
    sheet = answer.sheet()
    assert sheet.delivered >= 3
    assert sheet.failed + sheet.pending == 8 - sheet.delivered
    before = len([line for line in server.heard if line.startswith(b"RETR")])
    assert desk.run().code == DONE
    library(desk, *NUMBERS)
    again = len([line for line in server.heard if line.startswith(b"RETR")]) - before
    assert again <= 8 - sheet.delivered + 1, "what came is not fetched again"


def test_a_server_that_comes_back_at_once_costs_nothing(desk: Desk, server: FtpServer) -> None:
    with server.dies(after=3 * size() + 100):
        process = desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: refuses(server), "the server died")
    code, said = ended(process)
    assert code == DONE, said
    library(desk, *NUMBERS)


def test_a_server_that_freezes_is_given_up_after_the_time_out(desk: Desk, server: FtpServer) -> None:
    with server.freezes(after=3 * size() + 100), hasty(desk):
        answer = desk.run()
        assert answer.code == FAILED
        assert answer.sheet().failed + answer.sheet().pending > 0
        assert "time-out" in answer.err
    assert desk.run().code == DONE
    library(desk, *NUMBERS)


def test_data_that_end_early_with_a_success_are_never_delivered(desk: Desk, server: FtpServer) -> None:
    with server.changed(cut_at=1000):
        answer = desk.run()
        assert (answer.code, answer.sheet().failed) == (FAILED, 8)
        library(desk)
        (line,) = desk.nightferry("why", "img-0003.fits", "--json").json()
        assert "of 5,760 bytes came" in str(line["reason"]) or "5760" in str(line["reason"])
    assert desk.run().code == DONE
    library(desk, *NUMBERS)


def test_data_whose_end_was_not_confirmed_are_never_delivered(desk: Desk, server: FtpServer) -> None:
    with server.changed(no_last_reply=True):
        answer = desk.run()
        assert answer.code == FAILED
        assert answer.sheets() == [] or answer.sheet().delivered == 0
        library(desk)
    assert desk.run().code == DONE
    library(desk, *NUMBERS)


def test_a_server_that_lies_about_sizes_is_not_believed(desk: Desk, server: FtpServer) -> None:
    with server.changed(size_error=7):
        answer = desk.run()
        assert (answer.code, answer.sheet().failed) == (FAILED, 8)
        library(desk)
    assert desk.run().code == DONE
    library(desk, *NUMBERS)


def test_a_server_that_hangs_up_every_few_commands_is_met_again_in_silence(desk: Desk, server: FtpServer) -> None:
    with server.changed(hangs_up_after=12):
        answer = desk.run()
    assert answer.code == DONE, answer
    assert [line for line in answer.err.splitlines() if not line.startswith("in doubt of")] == []
    library(desk, *NUMBERS)


def test_a_listing_cut_short_loses_no_frame_for_good(desk: Desk, server: FtpServer) -> None:
    text = desk.config.read_text()
    desk.config.write_text(text.replace('floor = "1 MB"', 'floor = "900 TB"'))
    assert desk.run().sheet().failed == 8
    desk.config.write_text(text)
    with server.changed(listing_cuts=[200] * 30):
        answer = desk.run()
        assert answer.code != DONE, "it may not pass for a whole listing"
        assert answer.sheet().seen >= 8
    answer = desk.run()
    library(desk, *NUMBERS)
    assert answer.sheet().delivered == 8


def test_a_folder_that_vanishes_in_the_middle_is_held_and_told(desk: Desk, server: FtpServer) -> None:
    with server.freezes(after=2 * size() + 100):
        process = desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: not server._flowing.is_set(), "the server froze")
        with server.tree.lock:
            server.tree.nodes.clear()
            server.tree.folders = {(), (b"user",)}
    code, said = ended(process)
    assert code in {HELD, FAILED}, said
    answer = desk.run()
    assert answer.code == HELD
    sheet = answer.sheet()
    assert sheet.seen == 8
    assert sheet.held == 8 - sheet.delivered > 0
    assert all("no longer" in reason or "no file" in reason for reason in desk.held().values()), desk.held()
    assert set(desk.carried()) <= {name(number) for number in NUMBERS}


def test_a_file_that_grows_while_it_is_pulled_is_taken_when_it_is_whole(desk: Desk, server: FtpServer) -> None:
    whole = frame(1, (200, 100))
    server.tree.plant(path(1), whole[:20_000], THEN_US)
    with server.freezes(after=10_000):
        process = desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: not server._flowing.is_set(), "the server froze")
        (node,) = (node for place, node in server.tree.nodes.items() if place[-1] == b"img-0001.fits")
        node.data += whole[20_000:]
        node.mtime_us = THEN_US + 5_000_000
    code, said = ended(process)
    assert code == FAILED, said
    assert desk.balance().delivered <= 7
    assert desk.run().code == DONE
    assert (desk.library / name(1)).read_bytes() == whole


def test_a_file_rewritten_while_it_is_pulled_is_taken_in_its_last_state(desk: Desk, server: FtpServer) -> None:
    with server.freezes(after=size() // 2):
        process = desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: not server._flowing.is_set(), "the server froze")
        for place, node in list(server.tree.nodes.items()):
            server.tree.nodes[place] = Node(bytearray(frame(100)), node.mtime_us + 5_000_000)
    ended(process)
    assert desk.run().code == DONE
    assert {(desk.library / name(number)).read_bytes() for number in NUMBERS} == {frame(100)}


def test_a_file_that_may_not_be_read_costs_no_other(desk: Desk, server: FtpServer) -> None:
    with server.changed(barred={path(4)}):
        answer = desk.run()
        assert answer.code == FAILED
        assert (answer.sheet().delivered, answer.sheet().failed) == (7, 1)
    assert desk.run().code == DONE
    library(desk, *NUMBERS)


def test_a_crowded_server_is_asked_again_later(desk: Desk, server: FtpServer) -> None:
    with server.changed(greeting=b"421 Too many users"):
        answer = desk.run()
        assert answer.code == FAILED
        assert "takes no login now" in answer.err or "421" in answer.err
    assert desk.run().code == DONE
