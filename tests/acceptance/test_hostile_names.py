"""Names that would drive a terminal or a program: carried unharmed where they can be, and shown harmless everywhere."""

import json

import pytest

from tests.acceptance.conftest import DONE, HELD, Desk, frame
from tests.servers.ftp_server import FtpServer

FRAMES = b"user/2026-09-11_21-10-37_observation_M31/01-images-initial"
NAMES = {
    "colours": b"img-\x1b[31mred\x1b[0m-1.fits",
    "title": b"img-\x1b]0;owned\x07-2.fits",
    "clears the screen": b"img-\x1b[2J-3.fits",
    "bell and backspaces": b"img-\x07\x08\x08-4.fits",
    "markup": b"img-[bold red]loud[reset][link=x:y]here[-5.fits",
    "emoji code": b"img-:boom:-6.fits",
    "reversed": "img-\u202estif.7.fits".encode(),
    "invisible": "img-\u200b\u2060-8.fits".encode(),
    "one byte csi": b"img-\x9b31m-9.fits",
    "not UTF-8": b"img-caf\xe9-10.fits",
    "quotes": b"img-\"'`$(reboot)`-11.fits",
    "looks like an option": b"--drop-12.fits",
    "leading blank": b" img-13.fits",
    "percent": b"img-%s%d{stem}{0}-14.fits",
    "windows device": b"con.fits",
    "colon": b"img-a:b-16.fits",
}
#: What may never reach a terminal: control characters (but for line ends) and marks that hide or turn text.
HARMFUL = {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e", "\u200b", "\u2060"} - {"\n"}


@pytest.fixture
def hostile(desk: Desk, bad_server: FtpServer) -> Desk:
    """A desk whose telescope has a frame under each of the names, and a damaged one under the first two."""
    for number, name in enumerate(NAMES.values(), start=1):
        bad_server.tree.plant(FRAMES + b"/" + name, frame(number), 1_789_000_000_000_000)
        bad_server.tree.plant(FRAMES + b"/bad-" + name, b"not \x1b[31mFITS\x07", 1_789_000_000_000_000)
    bad_server.tree.plant(
        b"user/2026-09-12_01-00-00_observation_\x1b[31mM 42/01-images-initial/img-0001.fits", frame(99), None
    )
    desk.configure(f"ftp://127.0.0.1:{bad_server.port}/user")
    return desk


def test_no_name_reaches_the_terminal_as_it_is(hostile: Desk) -> None:
    answers = [
        hostile.nightferry("run", "vespera", "--night", "all", "--dry-run"),
        hostile.nightferry("run", "vespera", "--night", "all"),
        hostile.nightferry("held"),
        hostile.nightferry("night", "vespera", "20260911"),
        hostile.nightferry("why", NAMES["colours"].decode()),
        hostile.nightferry("why", "img-0001.fits"),
        hostile.nightferry("release", "bad-" + NAMES["title"].decode(), "--why", "\x1b[31mwhy not", "--dry-run"),
        hostile.nightferry("why", "no such \x1b[31mframe"),
        hostile.nightferry("night", "\x1b[31mvespera", "latest"),
        hostile.nightferry("audit"),
        hostile.nightferry("check"),
    ]
    for answer in answers:
        shown = answer.out + answer.err
        assert shown
        found = HARMFUL & set(shown)
        assert not found, (answer.words, found)
    everything = "".join(answer.out + answer.err for answer in answers)
    assert r"img-\x1b[31mred\x1b[0m-1.fits" in everything
    assert "img-[bold red]loud[reset][link=x:y]here[-5.fits" in everything, "markup is text like any other"
    assert "img-:boom:-6.fits" in everything
    assert r"img-caf\xe9-10.fits" in everything


def test_every_frame_arrives_under_a_name_of_its_own(hostile: Desk) -> None:
    answer = hostile.run()
    assert answer.code == HELD
    sheets = answer.sheets()
    assert sum(sheet.delivered for sheet in sheets) == len(NAMES) + 1
    assert sum(sheet.held for sheet in sheets) == len(NAMES)
    carried = hostile.carried()
    assert len(set(carried.values())) == len(NAMES) + 1, "none lost, none twice"
    for name in carried:
        assert not {sign for sign in name if ord(sign) < 32 or 127 <= ord(sign) < 160}, name
        assert not set('<>:"|?*\\') & set(name), "Windows can hold it, too"
    assert hostile.run().sheets() == sheets


def test_json_tells_names_byte_for_byte(hostile: Desk) -> None:
    hostile.run()
    answer = hostile.nightferry("night", "vespera", "20260911", "--json")
    assert answer.code == DONE
    assert answer.out.isascii()
    told = {str(json.loads(line)["name"]).rpartition("/")[2] for line in answer.out.splitlines()}
    expected = {name.decode("utf-8", "surrogateescape") for name in NAMES.values()}
    assert told >= expected
