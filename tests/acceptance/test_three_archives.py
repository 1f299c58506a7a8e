"""One night to three archives at once: a folder, an SFTP account and a bucket, of which one may be away."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from blake3 import blake3

from tests.acceptance.conftest import DONE, FAILED, HELD, LONG, Desk, Telescope, digests, until
from tests.servers.s3_server import SECRET, USER, S3Server, s3_server
from tests.servers.sshd import Sshd, sshd

NAMES = ("library", "vault", "cloud")
FRAME = "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/img-0001.fits"


@dataclass(frozen=True)
class Harbour:
    """A desk with three archives, each looked at directly."""

    desk: Desk
    sftp: Sshd
    s3: S3Server
    root: str

    def configure(self, source: str, timeout: str) -> None:
        """Write a configuration in which each archive has its own names and proof."""
        desk = self.desk
        secret = desk.home / "s3.secret"
        secret.write_text(SECRET)
        secret.chmod(0o600)
        desk.config.write_text(f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"

[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"

[telescope.vespera]
preset = "vespera"
source = "{source}"
archives = ["library", "vault", "cloud"]
settle = "0 s"

[archive.library]
url = "{self.library.as_uri()}"

[archive.vault]
url = "sftp://observer@127.0.0.1:{self.sftp.port}{self.vault.as_posix()}"
secret = "file:{self.sftp.key.as_posix()}"
known_hosts = "{self.sftp.known_hosts.as_posix()}"
name = "{{night}}/{{object}}_{{date}}_{{stem}}{{suffix}}"
timeout = "{timeout}"

[archive.cloud]
url = "s3://{self.s3.bucket}/{self.root}"
endpoint = "{self.s3.proxy.endpoint}"
user = "{USER}"
secret = "file:{secret.as_posix()}"
name = "vespera/{{object}}/{{date}}/{{stem}}{{suffix}}"
verify = "server"
timeout = "{timeout}"
""")

    @property
    def library(self) -> Path:
        return self.desk.home / "disk" / "library"

    @property
    def vault(self) -> Path:
        return self.sftp.home / self.root

    def holds(self, archive: str) -> Counter[str]:
        """Count the digests of what truly is in an archive."""
        return Counter(self.files(archive).values())

    def files(self, archive: str) -> dict[str, str]:
        """Tell what truly is in an archive: name to digest."""
        if archive == "library":
            return digests(self.library)
        if archive == "vault":
            return digests(self.vault)
        prefix = f"{self.root}/"
        found = {key: self.s3.content(key) for key in self.s3.keys(prefix)}
        return {key.removeprefix(prefix): blake3(data or b"").hexdigest() for key, data in found.items()}

    def away(self, archive: str) -> AbstractContextManager[None]:
        """Take an archive away until the block ends."""
        return {"library": self._unmounted, "vault": self._stopped, "cloud": self._dead}[archive]()

    @contextmanager
    def _unmounted(self) -> Iterator[None]:
        disk, elsewhere = self.library.parent, self.desk.home / "elsewhere"
        disk.rename(elsewhere)
        yield
        assert not disk.exists(), "nothing is written where the disk is not mounted"
        elsewhere.rename(disk)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        self.sftp.stop()
        yield
        self.sftp.start()

    def _dead(self) -> AbstractContextManager[None]:
        return self.s3.proxy.changed(dies=0)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Sshd, S3Server]]:
    with sshd() as sftp, s3_server() as s3:
        yield sftp, s3


@pytest.fixture
def harbour(desk: Desk, servers: tuple[Sshd, S3Server], vespera: Telescope, request: pytest.FixtureRequest) -> Harbour:
    root = f"harbour{abs(hash(request.node.nodeid))}"
    found = Harbour(desk, *servers, root)
    found.vault.mkdir()
    found.library.mkdir(parents=True)
    found.configure(vespera.url, "120 s")
    return found


def half(vespera: Telescope, desk: Desk) -> list[Path]:
    """Take half of the observations off the card, and tell where they are kept."""
    kept = desk.home / "later"
    kept.mkdir()
    folders = sorted(path for path in vespera.root.iterdir() if path.is_dir())[1::2]
    return [Path(shutil.move(folder, kept / folder.name)) for folder in folders]


@pytest.mark.parametrize("missing", NAMES)
def test_one_archive_away_for_half_the_night_costs_no_other_and_gets_all_in_the_end(
    harbour: Harbour, vespera: Telescope, missing: str
) -> None:
    desk, wanted = harbour.desk, Counter(vespera.wanted().values())
    later = half(vespera, desk)
    first = Counter(
        blake3((vespera.root / path).read_bytes()).hexdigest()
        for path in vespera.wanted()
        if (vespera.root / path).exists()
    )
    assert 0 < first.total() < wanted.total()
    others = [name for name in NAMES if name != missing]
    with harbour.away(missing):
        answer = desk.run()
        assert answer.code != DONE
        assert answer.sheet().delivered == 0
        assert answer.sheet().failed == first.total()
        for name in others:
            assert harbour.holds(name) == first, name
        if missing != "library":
            assert harbour.holds(missing) == Counter()
    for folder in later:
        shutil.move(folder, vespera.root / folder.name)
    again = desk.run()
    assert again.code == HELD, "some frames of this night are not whole"
    assert again.sheet().failed == again.sheet().pending == 0
    assert again.sheet().delivered == wanted.total()
    for name in NAMES:
        assert harbour.holds(name) == wanted, name


def test_archive_that_says_nothing_keeps_no_other_waiting(harbour: Harbour, vespera: Telescope) -> None:
    harbour.configure(vespera.url, "600 s")
    wanted = Counter(vespera.wanted().values())
    with harbour.s3.proxy.changed(freezes=0):
        running = harbour.desk.start("run", "vespera", "--night", "all", "--json")
        until(lambda: harbour.holds("library") == wanted == harbour.holds("vault"), "two archives have all")
        assert harbour.holds("cloud") == Counter()
        assert running.poll() is None
    out, _ = running.communicate(timeout=LONG)
    assert running.returncode == HELD
    assert '"failed": 0' in out
    assert harbour.holds("cloud") == wanted


def test_each_archive_has_names_and_proof_of_its_own(harbour: Harbour) -> None:
    desk = harbour.desk
    assert desk.run().code == HELD
    stem = "NGC 7023_2026-09-11_22-45-50_img-0001.fits"
    wanted = {
        "library": ("NGC 7023/" + stem, "linked"),
        "vault": ("2026-09-11/" + stem, "reread"),
        "cloud": ("vespera/NGC 7023/2026-09-11/22-45-50_img-0001.fits", "server"),
    }
    found = {}
    for receipt in desk.receipts(FRAME):
        proof = receipt["proof"]
        assert isinstance(proof, dict)
        if receipt["step"] == "deliver to cloud" or proof.get("attested"):
            assert str(proof["attested"]).startswith("SHA-256 ")
        if "how" in proof:
            found[str(proof["name"])] = str(proof["how"])
    assert found == dict(wanted.values())


def test_audit_finds_what_changed_what_is_missing_and_what_nobody_delivered(harbour: Harbour) -> None:
    desk = harbour.desk
    assert desk.run().code == HELD
    assert desk.nightferry("audit", "--json").code == DONE
    names = {archive: sorted(harbour.files(archive)) for archive in NAMES}
    for archive in ("library", "vault"):
        root = harbour.library if archive == "library" else harbour.vault
        changed, lost = root / names[archive][0], root / names[archive][1]
        data = bytearray(changed.read_bytes())
        data[len(data) // 2] ^= 1
        changed.unlink()  # the shelf's own file is linked to it, and is not what the disk damaged
        changed.write_bytes(bytes(data))
        lost.unlink()
        (root / "strange.fits").write_bytes(b"who put me here?")
    keys = [f"{harbour.root}/{name}" for name in names["cloud"]]
    data = bytearray(harbour.s3.content(keys[0]) or b"")
    data[len(data) // 2] ^= 1
    harbour.s3.plant(keys[0], bytes(data))
    harbour.s3.remove(keys[1])
    harbour.s3.plant(f"{harbour.root}/strange.fits", b"who put me here?")
    answer = desk.nightferry("audit", "--json")
    assert answer.code == HELD
    found = {(line["archive"], line["name"]): line["verdict"] for line in answer.json() if line["verdict"] != "good"}
    assert found == {
        **{(archive, names[archive][0]): "damaged" for archive in NAMES},
        **{(archive, names[archive][1]): "missing" for archive in NAMES},
        **{(archive, "strange.fits"): "foreign" for archive in NAMES},
    }
    people = desk.nightferry("audit")
    assert "nobody delivered strange.fits" in people.out
    text = desk.config.read_text()
    desk.config.write_text(text.replace("[archive.library]\n", "[archive.library]\nshared = true\n"))
    shared = [line for line in desk.nightferry("audit", "--json").json() if line["verdict"] == "foreign"]
    assert {line["archive"] for line in shared} == {"vault", "cloud"}
    assert os.path.exists(harbour.library / "strange.fits")  # noqa: PTH110 - an audit takes nothing away


def test_audit_goes_on_with_the_other_archives_when_one_is_away(harbour: Harbour) -> None:
    desk = harbour.desk
    assert desk.run().code == HELD
    with harbour.away("vault"):
        answer = desk.nightferry("audit", "--json")
    assert answer.code == FAILED
    assert Counter(line["archive"] for line in answer.json()) == {
        name: len(harbour.files(name)) for name in ("library", "cloud")
    }
