"""An archive that goes wrong in the middle of a night, on every protocol, through the whole route.

Whatever happens there: nothing but whole frames under their names, a balance that adds up, a message that says what to
do, and once the archive is mended the rest of the night in it, nothing of it twice.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from tests.acceptance.conftest import DONE, FAILED, MISCONFIGURED, Desk, digests, frame, read_only
from tests.servers import sftp_faults
from tests.servers.certificates import Certificate, certificate
from tests.servers.ftp_daemons import PASSWORD as FTP_PASSWORD
from tests.servers.ftp_daemons import vsftpd
from tests.servers.s3_server import SECRET as S3_SECRET
from tests.servers.s3_server import USER as S3_USER
from tests.servers.s3_server import S3Server, s3_server
from tests.servers.samba import PASSWORD as SMB_PASSWORD
from tests.servers.samba import SHARE, Smbd, smbd
from tests.servers.samba import USER as SMB_USER
from tests.servers.sftp_faults import Faults, fresh_faults
from tests.servers.smb_relay import Relay
from tests.servers.sshd import Sshd, faulty_subsystem, sshd

FRAMES, SIZE = 6, (160, 120)
PART = 20_000  # bytes: less than one frame
MANY = 1000  # more requests than a run makes


@dataclass
class Port:
    """A telescope's disk with six frames, a desk, and an archive of one protocol whose files are looked at directly."""

    desk: Desk
    files: Callable[[], dict[str, str]]
    secrets: dict[str, str]

    @property
    def card(self) -> Path:
        return self.desk.home / "card"

    def configure(self, archive: str) -> None:
        """Write a configuration with the archive's own lines."""
        desk = self.desk
        desk.config.write_text(f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"

[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"

[telescope.dome]
preset = "generic"
source = "{self.card.as_uri()}"
archives = ["vault"]
settle = "0 s"

[archive.vault]
name = "{{night}}/{{stem}}{{suffix}}"
timeout = "120 s"
{archive}
""")

    def expose(self, first: int, last: int) -> None:
        """Have the telescope take frames."""
        self.card.mkdir(exist_ok=True)
        for number in range(first, last):
            (self.card / f"img-{number}.fits").write_bytes(frame(number, SIZE))

    def wanted(self, last: int) -> list[str]:
        return sorted(blake3(frame(number, SIZE)).hexdigest() for number in range(last))

    def run(self) -> tuple[int, str, tuple[int, int, int]]:
        """Carry all; tell the code, what is said, and how many frames were seen, delivered and failed."""
        answer = self.desk.nightferry("run", "dome", "--night", "all", "--json", env=self.secrets)
        seen = delivered = failed = 0
        for sheet in answer.sheets():
            seen, delivered, failed = seen + sheet.seen, delivered + sheet.delivered, failed + sheet.failed
            assert sheet.pending == sheet.held == sheet.ignored == 0
        return answer.code, answer.err, (seen, delivered, failed)

    def reasons(self) -> str:
        """Ask of each frame what stands in its history."""
        nights = self.desk.nightferry("nights", "--json").json()
        told = [self.desk.nightferry("night", "dome", str(night["night"]), "--json") for night in nights]
        return "\n".join(str(line["reason"]) for answer in told for line in answer.json())

    def goes_wrong(self, fault: AbstractContextManager[object], code: int, *says: str, frames: int = FRAMES) -> None:
        """Carry half of a night, then have the archive go wrong, then mend it."""
        half = frames // 2
        self.expose(0, half)
        ended, told, _ = self.run()
        assert ended == DONE, told
        assert sorted(self.files().values()) == self.wanted(half)
        self.expose(half, frames)
        with fault:
            ended, told, counted = self.run()
            told += self.reasons()
            assert ended == code, told
            assert counted[:2] == (frames, half) or code == FAILED, counted
            assert counted[1] + counted[2] == counted[0] == frames, "each frame is in one bin, and none is forgotten"
            for words in says:
                assert words in told
            there = sorted(self.files().values())
            assert len(there) == counted[1]
            assert set(self.wanted(half)) <= set(there) <= set(self.wanted(frames)), "whole frames only"
        for secret in self.secrets.values():
            assert secret not in told
        assert self.run()[::2] == (DONE, (frames, frames, 0))
        assert sorted(self.files().values()) == self.wanted(frames), "all of them, and none twice"


def finished(folder: Path) -> dict[str, str]:
    """Tell what stands under a final name; what is unfinished hides behind a dot, and is swept later."""
    return {path: digest for path, digest in digests(folder).items() if not path.rpartition("/")[2].startswith(".")}


@contextmanager
def replaced(file: Path, text: str) -> Iterator[None]:
    """Have other text in a file until the block ends."""
    before = file.read_text()
    file.write_text(text)
    yield
    file.write_text(before)


# -- SFTP --------------------------------------------------------------------------------------------------------


@dataclass
class Vault:
    port: Port
    server: Sshd
    faults: Faults

    @contextmanager
    def changed(self, which: int, value: int) -> Iterator[None]:
        self.faults[which] = value
        yield
        self.faults[which] = sftp_faults.OFF[which]


@pytest.fixture
def vault(desk: Desk, tmp_path: Path) -> Iterator[Vault]:
    faults = fresh_faults(tmp_path / "faults")
    with sshd(subsystem=faulty_subsystem(tmp_path / "faults")) as server:
        root = server.home / "vault"
        root.mkdir()
        port = Port(desk, lambda: finished(root), {})
        port.configure(f"""\
url = "sftp://observer@127.0.0.1:{server.port}{root.as_posix()}"
secret = "file:{server.key.as_posix()}"
known_hosts = "{server.known_hosts.as_posix()}"
""")
        yield Vault(port, server, faults)
    faults.close()


def test_sftp_server_killed_in_a_file(vault: Vault) -> None:
    vault.port.goes_wrong(vault.changed(sftp_faults.DIES, PART), FAILED, "sftp://", "tried again")


def test_sftp_upload_of_which_a_part_was_kept(vault: Vault) -> None:
    vault.port.goes_wrong(vault.changed(sftp_faults.KEEPS, PART), FAILED, "sftp://")


def test_sftp_account_that_turns_read_only(vault: Vault) -> None:
    vault.port.goes_wrong(vault.changed(sftp_faults.REFUSES, 1), FAILED, "may not do that")


def test_sftp_host_key_that_changed(vault: Vault) -> None:
    other = f"[127.0.0.1]:{vault.server.port} {(vault.server.shop / 'other.pub').read_text()}"
    says = ("not the one that is known", "ssh-keygen -R")
    vault.port.goes_wrong(replaced(vault.server.known_hosts, other), MISCONFIGURED, *says)


def test_sftp_key_that_is_let_in_no_more(vault: Vault) -> None:
    keys = vault.server.shop / "authorized_keys"
    vault.port.goes_wrong(replaced(keys, ""), MISCONFIGURED, "refuses the login")


# -- S3 ----------------------------------------------------------------------------------------------------------


@dataclass
class Cloud:
    port: Port
    server: S3Server

    @contextmanager
    def says(self, status: int, code: str, kind: str = "put") -> Iterator[None]:
        self.server.proxy.say(status, code, kind, MANY)
        yield
        self.server.proxy.words.clear()


@contextmanager
def bucket(desk: Desk, made: Certificate | None = None) -> Iterator[Cloud]:
    context = None
    if made is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(made.certificate, made.key)
    with s3_server(context) as server:

        def files() -> dict[str, str]:
            return {key: blake3(server.content(key) or b"").hexdigest() for key in server.keys("night/")}

        port = Port(desk, files, {"BUCKET_KEY": S3_SECRET})
        port.configure(f"""\
url = "s3://{server.bucket}/night"
endpoint = "{server.proxy.endpoint}"
user = "{S3_USER}"
secret = "env:BUCKET_KEY"
{f'ca = "{made.certificate.as_posix()}"' if made else ""}
""")
        yield Cloud(port, server)


@pytest.fixture
def cloud(desk: Desk) -> Iterator[Cloud]:
    with bucket(desk) as made:
        yield made


def test_s3_server_that_stays_busy(cloud: Cloud) -> None:
    # two frames: each is asked for thrice, with eight seconds of pauses
    cloud.port.goes_wrong(cloud.says(503, "SlowDown"), FAILED, "s3://", "SlowDown", frames=2)


def test_s3_upload_that_is_cut(cloud: Cloud) -> None:
    cloud.port.goes_wrong(cloud.server.proxy.changed(keeps=PART), FAILED, "s3://")


def test_s3_bytes_that_flip_on_the_way(cloud: Cloud) -> None:
    cloud.port.goes_wrong(cloud.server.proxy.changed(flips_up=True), FAILED, "s3://")


def test_s3_server_that_dies_in_an_upload(cloud: Cloud) -> None:
    cloud.port.goes_wrong(cloud.server.proxy.changed(dies=PART), FAILED, "s3://")


def test_s3_bucket_that_turns_read_only(cloud: Cloud) -> None:
    cloud.port.goes_wrong(cloud.server.proxy.changed(refuses=True), MISCONFIGURED, "s3://")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_s3_key_that_works_no_more(cloud: Cloud, code: str) -> None:
    cloud.port.goes_wrong(cloud.says(403, code), MISCONFIGURED, "s3://", "access key")


def test_s3_certificate_that_ran_out(desk: Desk, tmp_path: Path) -> None:
    good, old = certificate(made(tmp_path / "good"), days=2), certificate(made(tmp_path / "old"), days=-1)
    with bucket(desk, good) as cloud:
        proxy = cloud.server.proxy

        @contextmanager
        def ran_out() -> Iterator[None]:
            context, proxy.context = proxy.context, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            proxy.context.load_cert_chain(old.certificate, old.key)
            with replaced(good.certificate, old.certificate.read_text()):
                yield
            proxy.context = context

        cloud.port.goes_wrong(ran_out(), MISCONFIGURED, "certificate is refused", "expired")


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


# -- SMB ---------------------------------------------------------------------------------------------------------


@dataclass
class Share:
    port: Port
    server: Smbd
    relay: Relay

    @contextmanager
    def changed(self, **faults: object) -> Iterator[None]:
        before = {name: getattr(self.relay.faults, name) for name in faults}
        for name, value in faults.items():
            setattr(self.relay.faults, name, value)
        yield
        for name, value in before.items():
            setattr(self.relay.faults, name, value)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        self._again("read only = yes")
        yield
        self._again()

    @contextmanager
    def other_password(self) -> Iterator[None]:
        self.server.set_password("another one")
        yield
        self.server.set_password(SMB_PASSWORD)

    def _again(self, *lines: str) -> None:
        self.server.configure(share=lines)
        self.server.stop()
        self.server.start()


@pytest.fixture
def share(desk: Desk) -> Iterator[Share]:
    with smbd() as server, Relay(server.port) as relay:
        root = made(server.folder / "vault")
        port = Port(desk, lambda: finished(root), {"SHARE_PASSWORD": SMB_PASSWORD})
        port.configure(f"""\
url = "smb://127.0.0.1:{relay.port}/{SHARE}/vault"
user = "{SMB_USER}"
secret = "env:SHARE_PASSWORD"
""")
        yield Share(port, server, relay)


def test_smb_session_dropped_in_a_file(share: Share) -> None:
    share.port.goes_wrong(share.changed(dies=PART), FAILED, "smb://")


def test_smb_share_that_turns_read_only(share: Share) -> None:
    share.port.goes_wrong(share.read_only(), FAILED, "may not do that")


def test_smb_password_that_works_no_more(share: Share) -> None:
    share.port.goes_wrong(share.other_password(), MISCONFIGURED, "refuses the login of 'observer'")


# -- FTP and folders ---------------------------------------------------------------------------------------------


def test_ftps_certificate_that_ran_out(desk: Desk, tmp_path: Path) -> None:
    good, old = certificate(made(tmp_path / "good"), days=2), certificate(made(tmp_path / "old"), days=-1)
    with ExitStack() as stack, shared_folder() as root:
        port = Port(desk, lambda: finished(root / "night"), {"FTP_PASSWORD": FTP_PASSWORD})
        server = stack.enter_context(ExitStack())

        def serve(which: Certificate) -> None:
            server.close()
            number = server.enter_context(vsftpd(root, tls=which))
            port.configure(f"""\
url = "ftps://localhost:{number}/night"
user = "anonymous"
secret = "env:FTP_PASSWORD"
ca = "{which.certificate.as_posix()}"
""")

        @contextmanager
        def ran_out() -> Iterator[None]:
            serve(old)
            yield
            serve(good)

        serve(good)
        port.goes_wrong(ran_out(), MISCONFIGURED, "certificate has expired")


@contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a folder that every user of this machine may enter, with one in it that every user may write to."""
    with tempfile.TemporaryDirectory(prefix="nightferry-ftp-") as name:
        root = Path(name)
        root.chmod(0o755)
        made(root / "night").chmod(0o777)
        yield root


def test_folder_that_turns_read_only(desk: Desk) -> None:
    root = made(desk.home / "vault")
    port = Port(desk, lambda: finished(root), {})
    port.configure(f'url = "{root.as_uri()}"')
    port.goes_wrong(read_only(root), MISCONFIGURED)
