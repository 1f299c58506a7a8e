"""A telescope's server that goes wrong in the middle of a night, over SFTP and S3, through the whole route.

(FTP is in `test_faults`, SMB in `test_smb_night`.) No partial file, a balance that adds up, a message that names the
place, and the whole night in the library once the server is mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from tests.acceptance.conftest import DONE, FAILED, MISCONFIGURED, Desk, frame
from tests.servers import sftp_faults
from tests.servers.s3_server import SECRET, USER, S3Server, s3_server
from tests.servers.sftp_faults import fresh_faults
from tests.servers.sshd import Sshd, faulty_subsystem, sshd

FRAMES, SIZE = 4, (320, 240)
PART = 200_000  # bytes: in the second frame


def night() -> dict[str, bytes]:
    return {f"2026-09-11/img-{number}.fits": frame(number, SIZE) for number in range(FRAMES)}


def configure(desk: Desk, source: str) -> None:
    desk.config.write_text(f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"

[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"

[telescope.dome]
preset = "generic"
{source}
archives = ["library"]
settle = "0 s"
timeout = "120 s"

[archive.library]
url = "{desk.library.as_uri()}"
""")


def goes_wrong(desk: Desk, fault: AbstractContextManager[object], code: int, *says: str) -> None:
    """Carry a night whose server goes wrong in the middle, then mend it and carry the rest."""
    desk.library.mkdir()
    whole = sorted(blake3(data).hexdigest() for data in night().values())
    key = {"BUCKET_KEY": SECRET}
    with fault:
        answer = desk.nightferry("run", "dome", "--night", "all", "--json", env=key)
        assert answer.code == code, answer.err
        for words in says:
            assert words in answer.err
        assert SECRET not in answer.err
        there = desk.carried().values()
        assert set(there) < set(whole), "whole frames only, and not all of them"
        assert sum(sheet.delivered for sheet in answer.sheets()) == len(there)
    again = desk.nightferry("run", "dome", "--night", "all", "--json", env=key)
    assert again.code == DONE, again.err
    assert sum(sheet.delivered for sheet in again.sheets()) == sum(sheet.seen for sheet in again.sheets()) == FRAMES
    assert sorted(desk.carried().values()) == whole
    assert desk.parts() == []


# -- SFTP --------------------------------------------------------------------------------------------------------

Changed = Callable[[int, int], AbstractContextManager[None]]


@pytest.fixture
def server(desk: Desk, tmp_path: Path) -> Iterator[tuple[Sshd, Changed]]:
    faults = fresh_faults(tmp_path / "faults")

    @contextmanager
    def changed(which: int, value: int) -> Iterator[None]:
        faults[which] = value
        yield
        faults[which] = sftp_faults.OFF[which]

    with sshd(subsystem=faulty_subsystem(tmp_path / "faults")) as server:
        for name, data in night().items():
            file = server.home / "night" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        configure(
            desk,
            f"""\
source = "sftp://observer@127.0.0.1:{server.port}{(server.home / "night").as_posix()}"
secret = "file:{server.key.as_posix()}"
known_hosts = "{server.known_hosts.as_posix()}"
""",
        )
        yield server, changed
    faults.close()


def test_sftp_server_killed_in_a_file(desk: Desk, server: tuple[Sshd, Changed]) -> None:
    goes_wrong(desk, server[1](sftp_faults.DIES, PART), FAILED, "sftp://")


def test_sftp_file_that_ends_early(desk: Desk, server: tuple[Sshd, Changed]) -> None:
    goes_wrong(desk, server[1](sftp_faults.CUTS, PART // 2), FAILED)


def test_sftp_host_key_that_changed(desk: Desk, server: tuple[Sshd, Changed]) -> None:
    known = server[0].known_hosts

    @contextmanager
    def other_key() -> Iterator[None]:
        before = known.read_text()
        known.write_text(f"[127.0.0.1]:{server[0].port} {(server[0].shop / 'other.pub').read_text()}")
        yield
        known.write_text(before)

    goes_wrong(desk, other_key(), MISCONFIGURED, "not the one that is known", "ssh-keygen -R")


# -- S3 ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(desk: Desk) -> Iterator[S3Server]:
    with s3_server() as made:
        for name, data in night().items():
            made.plant(f"night/{name}", data)
        configure(
            desk,
            f"""\
source = "s3://{made.bucket}/night"
endpoint = "{made.proxy.endpoint}"
user = "{USER}"
secret = "env:BUCKET_KEY"
""",
        )
        yield made


@contextmanager
def saying(server: S3Server, status: int, code: str) -> Iterator[None]:
    server.proxy.say(status, code, "get", 1000)
    yield
    server.proxy.words.clear()


@pytest.mark.parametrize("fault", ["dies", "cuts"])
def test_s3_server_that_misbehaves_in_a_file(desk: Desk, bucket: S3Server, fault: str) -> None:
    faults = {"dies": PART, "cuts": PART // 2}
    goes_wrong(desk, bucket.proxy.changed(**{fault: faults[fault]}), FAILED)


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [(503, "SlowDown", FAILED), (503, "ServiceUnavailable", FAILED), (403, "ExpiredToken", MISCONFIGURED)],
)
def test_s3_server_that_refuses(desk: Desk, bucket: S3Server, status: int, code: str, ends: int) -> None:
    goes_wrong(desk, saying(bucket, status, code), ends, "s3://")
