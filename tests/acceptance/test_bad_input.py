"""What users get wrong, and what their networks and disks do: a clear message, the right exit code, a true balance."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.acceptance.conftest import (
    DONE,
    FAILED,
    HELD,
    LONG,
    MISCONFIGURED,
    MOUNTS,
    ROOT,
    Desk,
    Ended,
    Telescope,
    frame,
    read_only,
    small_disk,
    until,
)
from tests.servers.ftp_server import FtpServer

SESSION = b"user/2026-09-11_21-10-37_observation_M31"
FRAMES = SESSION + b"/01-images-initial"


def plant(server: FtpServer, *numbers: int) -> None:
    for number in numbers:
        server.tree.plant(FRAMES + b"/img-%04d.fits" % number, frame(number), 1_789_000_000_000_000)


def source(server: FtpServer) -> str:
    return f"ftp://127.0.0.1:{server.port}/user"


@contextmanager
def closed_port() -> Iterator[int]:
    """Give a port of this machine where nobody listens, and where nobody else will meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def assert_told(answer: Ended, code: int, *words: str) -> None:
    assert answer.code == code, answer
    for word in words:
        assert word in answer.err, answer.err
    for line in answer.err.splitlines():
        assert len(line) < 600, "a message is a sentence, not a dump"


# -- the telescope ------------------------------------------------------------------------------------------------


def test_a_host_where_nobody_listens_is_tried_again_later(desk: Desk) -> None:
    with closed_port() as port:
        desk.configure(f"ftp://127.0.0.1:{port}/user")
        assert_told(desk.run(), FAILED, f"ftp://127.0.0.1:{port}/user", "cannot connect", "is the host on")
        assert desk.nightferry("check").code == FAILED


def test_a_host_that_does_not_exist_is_named(desk: Desk) -> None:
    desk.configure("ftp://no-such-telescope.local/user")
    assert_told(desk.run(), FAILED, "ftp://no-such-telescope.local/user", "its address right")


def test_a_host_that_never_says_a_word_is_given_up_after_the_time_out(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        desk.configure(f"ftp://127.0.0.1:{mute.getsockname()[1]}/user")
        desk.config.write_text(desk.config.read_text().replace('timeout = "120 s"', 'timeout = "0.3 s"'))
        assert_told(desk.run(), FAILED, "within the time-out")


def test_a_refused_login_is_for_the_operator(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1)
    bad_server.facts.passwords = {"observer": "the right one"}
    desk.configure(source(bad_server), telescope='user = "observer"\nsecret = "env:TELESCOPE_PASSWORD"')
    env = {"TELESCOPE_PASSWORD": "hunter2"}
    answer = desk.nightferry("run", "vespera", "--night", "all", "--json", env=env)
    assert_told(answer, MISCONFIGURED, "refuses the login of 'observer'", "check user and secret")
    assert "hunter2" not in answer.err + answer.out
    env = {"TELESCOPE_PASSWORD": "the right one"}
    assert desk.nightferry("run", "vespera", "--night", "all", "--json", env=env).code == DONE


def test_a_folder_that_the_telescope_does_not_have_is_for_the_operator(desk: Desk, vespera: Telescope) -> None:
    desk.configure(f"{vespera.url}/no-such-folder")
    assert_told(desk.run(), MISCONFIGURED, "no-such-folder")
    check = desk.nightferry("check")
    assert check.code == MISCONFIGURED
    assert "no-such-folder" in check.out


def test_a_telescope_in_the_wrong_case_is_for_the_operator_too(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url.replace("/user", "/USER"))
    assert_told(desk.run(), MISCONFIGURED, "USER")


# -- the configuration --------------------------------------------------------------------------------------------


def test_without_a_configuration_the_way_to_one_is_told(desk: Desk) -> None:
    assert_told(desk.run(), MISCONFIGURED, "there is no configuration at", "nightferry init")


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("archives =", "archive =", ("did you mean 'archives'", "nightferry.toml:11")),
        ('settle = "0 s"', "settle = 10", ("telescope.vespera.settle", "quantity with its unit")),
        ('preset = "vespera"', 'preset = "vesper"', ("did you mean 'vespera'",)),
        ('archives = ["library"]', 'archives = ["libary"]', ("there is no [archive.libary]",)),
        ("[archive.library]", "[archive.library", ("not TOML",)),
        ("[shelf]", "[shelves]", ("did you mean 'shelf'",)),
        ('source = "ftp://', 'source = "ftpp://', ("a store we know",)),
        ('timeout = "120 s"', 'secret = "hunter2"', ("a secret is a reference",)),
        ("ftp://127.0.0.1", "ftp://me:hunter2@127.0.0.1", ("holds a password",)),
        ("ftp://127.0.0.1", "ftp://telescope.example.org", ("plain FTP", "insecure = true")),
    ],
)
def test_a_typo_is_named_with_its_place(desk: Desk, right: str, wrong: str, words: tuple[str, ...]) -> None:
    desk.configure("ftp://127.0.0.1:2121/user")
    text = desk.config.read_text()
    assert right in text
    desk.config.write_text(text.replace(right, wrong))
    answer = desk.run()
    assert_told(answer, MISCONFIGURED, *words)
    assert "hunter2" not in answer.err
    assert not desk.ledger.exists(), "nothing starts"


def test_a_configuration_without_telescopes_cannot_be_run(desk: Desk) -> None:
    desk.config.write_text("")
    for command in ("run", "watch", "check"):
        answer = desk.nightferry(command)
        assert answer.code == MISCONFIGURED, command
        assert "nightferry init" in answer.err + answer.out


def test_a_secret_that_others_can_read_is_refused(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1)
    secret = desk.home / "secret"
    secret.write_text("dome-lamp-7\n")
    secret.chmod(0o644)
    bad_server.facts.passwords = {"observer": "dome-lamp-7"}
    desk.configure(source(bad_server), telescope=f'user = "observer"\nsecret = "file:{secret.as_posix()}"')
    if os.name == "posix":
        answer = desk.run()
        assert_told(answer, MISCONFIGURED, "others may read it", f"chmod 600 {secret}")
        assert "dome-lamp-7" not in answer.err
        check = desk.nightferry("check")
        assert check.code == MISCONFIGURED
        assert "chmod 600" in check.out
    secret.chmod(0o600)
    assert desk.run().code == DONE


def test_a_secret_that_is_not_there_is_named(desk: Desk) -> None:
    desk.configure("ftp://127.0.0.1:1/user", telescope='secret = "env:NO_SUCH_VARIABLE"')
    assert_told(desk.run(), MISCONFIGURED, "NO_SUCH_VARIABLE", "set it")
    desk.configure("ftp://127.0.0.1:1/user", telescope='secret = "file:/no/such/file"')
    assert_told(desk.run(), MISCONFIGURED, "/no/such/file", "there is no such file")


# -- the library, the shelf and the ledger ------------------------------------------------------------------------


def test_a_library_that_is_a_file_is_for_the_operator(desk: Desk, vespera: Telescope) -> None:
    desk.library.write_text("not a folder")
    desk.configure(vespera.url)
    assert_told(desk.run(), MISCONFIGURED, str(desk.library))
    desk.library.unlink()
    assert desk.run().sheet().delivered == 28


def test_a_file_where_the_library_needs_a_folder_holds_those_frames_only(desk: Desk, vespera: Telescope) -> None:
    desk.library.mkdir()
    (desk.library / "M 45").write_text("a user's own file")
    desk.configure(vespera.url)
    sheet = desk.run().sheet()
    assert (sheet.delivered, sheet.held) == (24, 3 + 4)
    held = desk.held()
    assert sum("M 45" in reason for reason in held.values()) == 4
    assert (desk.library / "M 45").read_text() == "a user's own file"


def test_a_library_whose_disk_is_not_mounted_is_not_made_anew(carried: Desk, vespera: Telescope) -> None:
    carried.library.rename(carried.home / "unmounted")
    later = vespera.root / "2026-09-11_23-30-00_observation_M13" / "01-images-initial"
    later.mkdir(parents=True)
    (later / "img-0001.fits").write_bytes(frame())
    answer = carried.run()
    assert_told(answer, MISCONFIGURED, "Is its disk mounted")
    assert not carried.library.exists()
    (carried.home / "unmounted").rename(carried.library)
    sheet = carried.run().sheet()
    assert (sheet.delivered, sheet.failed) == (29, 0)


if MOUNTS or not ROOT:

    def test_a_library_that_may_not_be_written_is_for_the_operator(desk: Desk, vespera: Telescope) -> None:
        desk.configure(vespera.url)
        with read_only(desk.library):
            answer = desk.run()
            assert_told(answer, MISCONFIGURED, "file://", "Mend the rights, or mount the disk for writing")
            sheet = desk.balance()
            assert (sheet.delivered, sheet.failed + sheet.pending) == (0, 28)
        assert desk.run().sheet().delivered == 28


if MOUNTS:

    def test_a_full_library_disk_is_tried_again(desk: Desk, vespera: Telescope) -> None:
        desk.configure(vespera.url)
        with small_disk(desk.library, 200_000):
            answer = desk.run()
            assert answer.code in {HELD, FAILED}
            assert "Make room there" in answer.err
            sheet = answer.sheet()
            assert 0 < sheet.delivered < 28
            assert sheet.failed + sheet.pending == 28 - sheet.delivered
            good = vespera.wanted().values()
            assert set(desk.carried().values()) <= set(good), "nothing half-written stands under a final name"
            desk.configure(vespera.url, library=desk.home / "other")
            (desk.home / "other").mkdir()
            for path in desk.library.rglob("*"):
                if path.is_file():
                    target = desk.home / "other" / path.relative_to(desk.library)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(path.read_bytes())
            assert desk.run().sheet().delivered == 28


def test_a_shelf_filled_to_its_floor_stops_the_pulling(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url, floor="900 TB")
    answer = desk.run()
    assert_told(answer, FAILED, "fill it past its floor", "lower shelf.floor")
    assert answer.sheet().delivered == 0
    desk.configure(vespera.url)
    assert desk.run().sheet().delivered == 28


if MOUNTS:

    def test_a_shelf_that_is_really_full_stops_the_pulling(desk: Desk, vespera: Telescope) -> None:
        desk.configure(vespera.url, floor="0 B")
        with small_disk(desk.shelf, 150_000):
            answer = desk.run()
            assert_told(answer, FAILED)
            assert "free" in answer.err
            assert answer.sheet().delivered < 28
            assert set(desk.carried().values()) <= set(vespera.wanted().values())
        assert desk.run().sheet().delivered == 28


def test_a_shelf_that_is_a_file_is_for_the_operator(desk: Desk, vespera: Telescope) -> None:
    desk.shelf.write_text("not a folder")
    desk.configure(vespera.url)
    assert_told(desk.run(), MISCONFIGURED, "shelf", str(desk.shelf))
    assert desk.nightferry("check").code == MISCONFIGURED


def test_a_ledger_that_is_none_is_for_the_operator(desk: Desk, vespera: Telescope) -> None:
    desk.ledger.write_text("these are not the bytes you are looking for" * 100)
    desk.configure(vespera.url)
    assert_told(desk.run(), MISCONFIGURED, "not a ledger", str(desk.ledger))


# -- two at once --------------------------------------------------------------------------------------------------


def test_a_second_run_at_the_same_nights_says_so(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1, 2, 3)
    desk.configure(source(bad_server))
    with bad_server.freezes(after=6000):
        first = desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: any(b"RETR" in line for line in list(bad_server.heard)), "the first run pulls")
        second = desk.run()
        assert_told(second, FAILED, "another nightferry is carrying the nights of vespera", "wait for it to end")
        questions = desk.nightferry("nights", "--json")
        assert questions.code == DONE, "asking is always possible"
    out, err = first.communicate(timeout=LONG)
    assert first.returncode == DONE, err
    assert '"delivered": 3' in out
    assert desk.run().code == DONE


# -- names and files ----------------------------------------------------------------------------------------------


def test_a_name_of_300_bytes_is_held_and_costs_no_other(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1)
    name = b"x" * 295 + b".fits"
    line = b"type=file;size=5760;modify=20260911211037; " + name
    bad_server.facts.extra_lines[FRAMES] = [line]
    desk.configure(source(bad_server))
    answer = desk.run()
    assert answer.code == HELD
    sheet = answer.sheet()
    assert (sheet.seen, sheet.delivered, sheet.held) == (2, 1, 1)
    ((path, reason),) = desk.held().items()
    assert name.decode() in path
    assert "its name could do harm" in reason


def test_names_that_lead_elsewhere_are_held_and_touch_nothing(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1)
    bad_server.facts.extra_lines[FRAMES] = [
        b"type=file;size=5760;modify=20260911211037; ../../../../escaped.fits",
        b"type=file;size=5760;modify=20260911211037; /escaped.fits",
        b"type=file;size=5760;modify=20260911211037; ..\\escaped.fits",
        b"type=dir;modify=20260911211037; ..",
        b"type=dir;modify=20260911211037; ../..",
    ]
    desk.configure(source(bad_server))
    answer = desk.run()
    sheet = answer.sheet()
    assert answer.code == HELD
    assert sheet.delivered == 1
    assert sheet.held >= 3
    assert not list(desk.home.parent.rglob("*escaped*"))


def test_lines_of_a_listing_that_nobody_can_read_are_held(desk: Desk, bad_server: FtpServer) -> None:
    plant(bad_server, 1)
    bad_server.facts.machine_listings = False
    bad_server.facts.extra_lines[FRAMES] = [b"-rw-r--r--   1 0   0   5760 Someday img-0002.fits"]
    desk.configure(source(bad_server))
    answer = desk.run()
    assert (answer.code, answer.sheet().delivered, answer.sheet().held) == (HELD, 1, 1)
    (reason,) = desk.held().values()
    assert "could not be read, so it may hide a frame" in reason
