"""Nights on a control PC's share: a real Samba that dies in the night and comes back, and one that is the archive."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.acceptance.conftest import DONE, FAILED, MISCONFIGURED, MOUNTS, Desk, digests, small_disk
from tests.astra_night import Planted, build_astra_night
from tests.servers.samba import PASSWORD, SHARE, USER, Smbd, smbd
from tests.servers.smb_relay import Relay

SECRET = {"CONTROL_PC_PASSWORD": PASSWORD}
IMAGES = "Documents/astra/images"


@dataclass
class Dome:
    """A control PC with a night on its share, the way to it, and a desk that knows both."""

    desk: Desk
    server: Smbd
    relay: Relay
    night: list[Planted]

    def run(self, *words: str) -> tuple[int, str]:
        answer = self.desk.nightferry("run", "callisto", *(words or ("--night", "all")), "--json", env=SECRET)
        for sheet in answer.sheets():
            assert sheet.seen == len(self.night)
        return answer.code, answer.err

    def whole(self) -> dict[str, str]:
        """Tell what must lie in an archive at the end."""
        lying = digests(self.server.folder / IMAGES)
        return {path.replace("20260222", "2026-02-22", 1): digest for path, digest in lying.items()}


def configure(desk: Desk, url: str, *, telescope: str = "", archive: str = "") -> None:
    desk.config.write_text(
        f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"

[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"

[telescope.callisto]
preset = "speculoos-callisto"
source = "{url}/{IMAGES}"
user = "{USER}"
secret = "env:CONTROL_PC_PASSWORD"
settle = "0 s"
timeout = "120 s"
route = ["verify"]
archives = ["library"]
{telescope}

[archive.library]
{archive or f'url = "{desk.library.as_uri()}"'}
name = "{{night}}/{{stem}}{{suffix}}"
""",
        encoding="utf-8",
    )


@contextmanager
def control_pc(desk: Desk) -> Iterator[Dome]:
    with smbd("server signing = mandatory") as server, Relay(server.port) as relay:
        root = server.folder / IMAGES
        root.mkdir(parents=True)
        night = build_astra_night(root)
        configure(desk, f"smb://127.0.0.1:{relay.port}/{SHARE}")
        yield Dome(desk, server, relay, night)


@pytest.fixture
def dome(desk: Desk) -> Iterator[Dome]:
    with control_pc(desk) as made:
        yield made


def test_night_from_a_share_that_dies_and_comes_back_arrives_whole(dome: Dome) -> None:
    dome.relay.faults.dies = sum(len(item.raw) for item in dome.night) // 2
    code, said = dome.run()
    assert code == FAILED
    assert "smb://127.0.0.1" in said
    sheet = dome.desk.balance()
    assert 0 < sheet.delivered < len(dome.night)
    assert sheet.delivered + sheet.failed + sheet.pending == len(dome.night)
    before = dome.desk.carried()
    assert before.items() <= dome.whole().items()

    dome.server.stop()
    dome.relay.faults.dies = None
    code, said = dome.run()
    assert code == FAILED, "a server that is away is no night without frames"
    assert dome.desk.carried() == before

    dome.server.start()
    assert dome.run() == (DONE, "")
    assert dome.desk.carried() == dome.whole()
    assert dome.desk.balance().delivered == len(dome.night)
    assert dome.desk.parts() == []
    assert dome.run() == (DONE, ""), "and nothing comes twice"


def test_password_that_stops_working_in_the_night_is_told_and_costs_nothing(dome: Dome) -> None:
    dome.relay.faults.dies = sum(len(item.raw) for item in dome.night) // 2
    assert dome.run()[0] == FAILED
    dome.relay.faults.dies = None
    dome.server.set_password("another one")
    code, said = dome.run()
    assert code == MISCONFIGURED
    assert "refuses the login of 'observer'" in said
    assert PASSWORD not in said
    dome.server.set_password(PASSWORD)
    assert dome.run() == (DONE, "")
    assert dome.desk.carried() == dome.whole()


def test_share_is_cleared_only_of_what_is_proven(dome: Dome) -> None:
    configure(
        dome.desk,
        f"smb://127.0.0.1:{dome.relay.port}/{SHARE}",
        telescope='[telescope.callisto.clear]\nafter = "0 s"',
    )
    wanted = dome.whole()
    assert dome.run()[0] == DONE
    assert dome.desk.carried() == wanted
    assert dome.whole() == {}


def test_share_that_may_only_be_read_is_carried_from(dome: Dome) -> None:
    dome.server.configure(share=("read only = yes",))
    dome.server.stop()
    dome.server.start()
    assert dome.run() == (DONE, "")
    assert dome.desk.carried() == dome.whole()


def test_check_tells_what_is_wrong_with_a_share(dome: Dome) -> None:
    good = dome.desk.nightferry("check", "callisto", env=SECRET)
    assert good.code == DONE, good.out + good.err
    configure(dome.desk, f"smb://127.0.0.1:{dome.relay.port}/lights")
    bad = dome.desk.nightferry("check", "callisto", env=SECRET)
    assert bad.code == MISCONFIGURED
    assert "no share 'lights'" in bad.out + bad.err


def vault(port: int) -> str:
    return f"""\
url = "smb://127.0.0.1:{port}/{SHARE}/vault"
user = "{USER}"
secret = "env:CONTROL_PC_PASSWORD"
encrypt = true
"""


def test_share_can_be_the_archive_and_is_audited(dome: Dome) -> None:
    (dome.server.folder / "vault").mkdir()
    configure(dome.desk, f"smb://127.0.0.1:{dome.relay.port}/{SHARE}", archive=vault(dome.server.port))
    assert dome.run() == (DONE, "")
    assert digests(dome.server.folder / "vault") == dome.whole()
    audit = dome.desk.nightferry("audit", "--json", env=SECRET)
    assert (audit.code, len(audit.json())) == (DONE, len(dome.night))


if MOUNTS:

    def test_share_that_fills_up_keeps_what_it_has_and_gets_the_rest_later(dome: Dome) -> None:
        place = dome.server.folder / "vault"
        configure(dome.desk, f"smb://127.0.0.1:{dome.relay.port}/{SHARE}", archive=vault(dome.server.port))
        with small_disk(place, sum(len(item.raw) for item in dome.night) // 2):
            code, said = dome.run()
            assert code == FAILED
            assert "the disk there is full" in said
            there = digests(place)
            assert there
            assert there.items() < dome.whole().items(), "whole frames only, and nothing unfinished"
            kept = dome.desk.home.parent / "moved to a larger disk"
            shutil.copytree(place, kept)
            dome.server.stop()
        shutil.copytree(kept, place, dirs_exist_ok=True)
        dome.server.start()
        assert dome.run()[0] == DONE
        assert dome.desk.balance().delivered == len(dome.night)
