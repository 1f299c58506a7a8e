"""Books, logs and metrics: plain files that say what the ledger says, kept apart, rotated, copied elsewhere."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.conftest import DONE, HELD, LONG, MISCONFIGURED, Desk, frame, until
from tests.servers.ftp_server import FtpServer

SESSION = "2026-09-11_21-10-37_observation_M31/01-images-initial"


@pytest.fixture
def card(desk: Desk, tmp_path: Path) -> Path:
    """A folder with three good frames and a torn one."""
    folder = tmp_path / "card" / SESSION
    folder.mkdir(parents=True)
    for number in range(4):
        whole = frame(number)
        (folder / f"img-{number:04d}.fits").write_bytes(whole[:3000] if number == 2 else whole)
    return tmp_path / "card"


def configure(desk: Desk, card: Path, sections: str, telescope: str = "") -> None:
    desk.configure(card.as_uri(), sections=sections, telescope=telescope)


def books(desk: Desk) -> dict[str, str]:
    root = desk.home / "books"
    found = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(root).as_posix(): path.read_text() for path in found}


BOOKS = '[books]\npath = "books"\n'


def test_books_tell_what_was_transferred_and_what_was_not_and_why(desk: Desk, card: Path) -> None:
    configure(desk, card, BOOKS, 'program = "60.A-9099(A)"')
    assert desk.run().code == HELD
    found = books(desk)
    assert sorted(found) == [
        "vespera/20260911/non_transferred",
        "vespera/20260911/transferred",
        "vespera/transfer_log.txt",
    ]
    assert found["vespera/transfer_log.txt"] == "20260911 3 60.A-9099(A)\n"
    head, *lines = found["vespera/20260911/transferred"].splitlines()
    assert head == "# vespera 2026-09-11: 4 seen, 3 delivered, 1 held, 0 failed, 0 ignored, 0 pending"
    carried = desk.carried()
    for line in lines:
        name, archive, raw, digest = line.split("\t")
        assert (archive, carried[name]) == ("library", digest)
        assert raw.startswith(SESSION)
    assert len(lines) == 3
    _, left = found["vespera/20260911/non_transferred"].splitlines()
    raw, standing, stage, reason = left.split("\t")
    assert (raw, standing, stage) == (f"{SESSION}/img-0002.fits", "held", "verify")
    assert reason


def test_books_follow_late_frames_and_the_program_of_a_run(desk: Desk, card: Path) -> None:
    configure(desk, card, BOOKS)
    desk.run()
    assert books(desk)["vespera/transfer_log.txt"] == "20260911 3 -\n"
    (card / SESSION / "img-0009.fits").write_bytes(frame(9))
    other = card / SESSION.replace("2026-09-11_21", "2026-09-13_21")
    other.mkdir(parents=True)
    (other / "img-0001.fits").write_bytes(frame(20))
    desk.run("--program", "60.A-9009(D)")
    assert books(desk)["vespera/transfer_log.txt"] == "20260911 4 60.A-9009(D)\n20260913 1 60.A-9009(D)\n"
    assert len(books(desk)["vespera/20260911/transferred"].splitlines()) == 5
    before = {path: path.stat().st_mtime_ns for path in (desk.home / "books").rglob("*")}
    desk.run()
    assert {path: path.stat().st_mtime_ns for path in (desk.home / "books").rglob("*")} == before


if sys.platform != "win32":

    def test_a_name_with_a_tab_or_a_new_line_cannot_forge_a_line(desk: Desk, card: Path) -> None:
        (card / SESSION / "img-0007\nfake\theld.fits").write_bytes(b"")
        configure(desk, card, BOOKS)
        desk.run()
        lines = books(desk)["vespera/20260911/non_transferred"].splitlines()
        assert len(lines) == 3
        assert all(len(line.split("\t")) == 4 for line in lines[1:])


def test_books_are_copied_to_another_store_and_replaced_there(desk: Desk, card: Path) -> None:
    vault = desk.home / "vault"
    vault.mkdir()
    configure(desk, card, f'{BOOKS}copies = ["vault"]\n[archive.vault]\nurl = "{vault.as_uri()}"\n')
    desk.run()
    (card / SESSION / "img-0009.fits").write_bytes(frame(9))
    desk.run()
    there = {path.relative_to(vault).as_posix(): path.read_text() for path in vault.rglob("*") if path.is_file()}
    assert there == books(desk)
    assert there["vespera/transfer_log.txt"] == "20260911 4 -\n"


def test_books_that_a_killed_process_left_uncopied_are_copied_by_the_next_one(desk: Desk, card: Path) -> None:
    vault = desk.home / "vault"
    configure(desk, card, BOOKS)
    desk.run()
    configure(desk, card, f'{BOOKS}copies = ["vault"]\n[archive.vault]\nurl = "{vault.as_uri()}"\n')
    vault.mkdir()
    desk.run()
    assert {path.relative_to(vault).as_posix() for path in vault.rglob("*") if path.is_file()} == books(desk).keys()
    before = {path: path.stat().st_ino for path in vault.rglob("*")}
    desk.run()
    assert {path: path.stat().st_ino for path in vault.rglob("*")} == before, "what is there is not copied again"


def test_books_are_copied_by_ftp(desk: Desk, card: Path, bad_server: FtpServer) -> None:
    bad_server.tree.plant(b"logs/keep.me", b"", 1)
    url = f"ftp://127.0.0.1:{bad_server.port}/logs"
    configure(desk, card, f'{BOOKS}copies = ["vault"]\n[archive.vault]\nurl = "{url}"\n')
    answer = desk.run()
    assert "could not be copied" not in answer.err
    assert len(books(desk)) == 3


def test_a_store_for_copies_that_is_away_costs_no_frame(desk: Desk, card: Path) -> None:
    vault = f'{BOOKS}copies = ["vault"]\n[archive.vault]\nurl = "ftp://127.0.0.1:1/logs"\ntimeout = "1 s"\n'
    configure(desk, card, vault)
    answer = desk.run()
    assert answer.sheet().delivered == 3
    assert "the books could not be copied to vault" in answer.err


def test_logs_are_json_lines_with_their_zone(desk: Desk, card: Path) -> None:
    configure(desk, card, '[log]\npath = "all.log"\nformat = "json"\nzone = "America/Santiago"\n')
    desk.run()
    lines = [json.loads(line) for line in (desk.home / "all.log").read_text().splitlines()]
    events = {line["event"] for line in lines}
    assert {"pull done", "verify done", "verify held", "deliver done"} <= events
    assert {line["telescope"] for line in lines} == {"vespera"}
    assert all(line["time"].endswith(("-03:00", "-04:00")) for line in lines)
    (held,) = (line for line in lines if line["event"] == "verify held")
    assert (held["level"], held["night"], held["frame"]) == ("warning", "2026-09-11", f"{SESSION}/img-0002.fits")
    assert held["reason"]


def test_a_telescope_may_have_a_log_of_its_own_for_people(desk: Desk, card: Path) -> None:
    configure(desk, card, '[log]\npath = "all.log"\n', 'log = "logs/vespera.log"')
    desk.run()
    assert (desk.home / "all.log").read_text() == ""
    lines = (desk.home / "logs/vespera.log").read_text().splitlines()
    (held,) = (line for line in lines if "verify held" in line)
    assert "+0000 WARNING vespera verify held night=2026-09-11 frame=" in held


def test_a_log_is_put_away_when_it_is_large_and_the_oldest_is_dropped(desk: Desk, card: Path) -> None:
    configure(desk, card, '[log]\npath = "all.log"\nsize = "1 kB"\nkeep = 2\n')
    desk.run()
    assert sorted(path.name for path in desk.home.glob("all.log*")) == ["all.log", "all.log.1", "all.log.2"]
    assert all(path.stat().st_size <= 1000 for path in desk.home.glob("all.log*"))


def test_a_log_that_cannot_be_written_is_told_before_anything_starts(desk: Desk, card: Path) -> None:
    (desk.home / "file").write_text("")
    configure(desk, card, '[log]\npath = "file/all.log"\n')
    answer = desk.run()
    assert answer.code == MISCONFIGURED
    assert "[log] path" in answer.err
    assert not desk.library.exists()


def test_metrics_are_written_for_the_node_exporter(desk: Desk, card: Path) -> None:
    configure(desk, card, '[metrics]\nfile = "nightferry.prom"\n')
    desk.run()
    lines = (desk.home / "nightferry.prom").read_text().splitlines()
    assert 'nightferry_night_frames{standing="delivered",telescope="vespera"} 3.0' in lines
    assert 'nightferry_open_frames{standing="held",telescope="vespera"} 1.0' in lines
    assert 'nightferry_telescope_up{telescope="vespera"} 1.0' in lines


@contextmanager
def watching(desk: Desk) -> Iterator[None]:
    process = desk.start("watch", "vespera", "--every", "0.3 s")
    try:
        yield
    finally:
        process.terminate()
        process.communicate(timeout=LONG)


def test_metrics_are_served_while_a_watch_goes_on(desk: Desk, card: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configure(desk, card, f'[metrics]\nlisten = "127.0.0.1:{port}"\n')

    def answer() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LONG) as page:
                return str(page.read().decode())
        except OSError:
            return ""

    with watching(desk):
        until(lambda: 'standing="delivered",telescope="vespera"} 3.0' in answer(), "the metrics tell of three frames")


def test_nothing_is_kept_where_nothing_is_asked_for(desk: Desk, card: Path) -> None:
    configure(desk, card, "")
    assert desk.run().code == HELD
    assert desk.nightferry("release", "img-0002.fits", "--drop", "--why", "torn").code == DONE
    assert {path.name.partition(".")[0] for path in desk.home.iterdir()} == {"library", "shelf", "ledger", "nightferry"}
