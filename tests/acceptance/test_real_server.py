"""Whole nights from and to real FTP servers: vsftpd has no MLSD, so its plain listings must do."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightferry.testing.vespera import NightPlan
from tests.acceptance.conftest import DONE, FAILED, HELD, MISCONFIGURED, Desk, digests, frame
from tests.servers.certificates import Certificate, certificate
from tests.servers.ftp_daemons import PASSWORD, USER, proftpd, vsftpd

SECRET = {"TELESCOPE_PASSWORD": PASSWORD}
LOGIN = 'secret = "env:TELESCOPE_PASSWORD"'
#: Material that some machines have beside the checkout: a maker of nights, and real frames. Tests of it are made there.
SHARED = Path(__file__).parents[3] / "shared"
MAKE_NIGHT = SHARED / "tools" / "make_night.py"
REAL_FRAMES = sorted(SHARED.glob("data/*/*.fit*"))


@pytest.fixture
def served() -> Iterator[Path]:
    """A folder that every user of this machine may enter, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="nightferry-ftp-"))
    made.chmod(0o755)
    (made / "user").mkdir()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def card(served: Path, made_night: NightPlan) -> Path:
    """The awkward night, where a server of another user can show it and delete from it."""
    (served / "user").rmdir()
    shutil.copytree(made_night.root, served / "user", symlinks=True)
    for folder in (served / "user").rglob("*"):
        if folder.is_dir():
            folder.chmod(0o777)
    return served / "user"


def run(desk: Desk, *words: str) -> tuple[int, str]:
    answer = desk.nightferry("run", "vespera", *(words or ("--night", "all")), "--json", env=SECRET)
    return answer.code, answer.err


def expected(night: NightPlan) -> set[str]:
    """Tell the digests of all frames that must arrive."""
    kinds = (".fits", ".FITS", ".tif", ".tiff")
    return {file.digest for file in night.files if file.path.endswith(kinds) and not file.fault}


def test_a_night_from_a_server_with_plain_listings_arrives_whole(
    desk: Desk, card: Path, carried_once: Desk, made_night: NightPlan
) -> None:
    with vsftpd(card.parent) as port:
        desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN)
        assert run(desk)[0] == HELD
        assert desk.carried() == carried_once.carried(), "the very library that a machine-readable listing gives"
        assert desk.balance() == carried_once.balance()
        first = {name: (desk.library / name).stat() for name in desk.carried()}
        answer = desk.nightferry("run", "vespera", "--night", "all", env=SECRET)
        assert "nothing pulled" in answer.out
        assert " 0 new" in answer.out, "a minute's resolution makes no file look new"
    for name, before in first.items():
        now = (desk.library / name).stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_latest_is_found_from_the_folders_when_times_mislead(desk: Desk, card: Path) -> None:
    newest = card / "2026-10-02_20-00-00_observation_M13" / "01-images-initial"
    newest.mkdir(parents=True)
    (newest / "img-0001.fits").write_bytes(frame())
    for path in [newest / "img-0001.fits", newest, newest.parent]:
        os.utime(path, (946_684_800, 946_684_800))  # a clock that was never set
    with vsftpd(card.parent) as port:
        desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN)
        assert run(desk, "--night", "latest")[0] == DONE
    assert list(desk.carried()) == ["M 13/M 13_2026-10-02_20-00-00_img-0001.fits"]


def test_a_source_is_cleared_on_a_real_server(desk: Desk, card: Path, made_night: NightPlan) -> None:
    with vsftpd(card.parent) as port:
        sections = '[telescope.vespera.clear]\nafter = "0 s"'
        desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN, sections=sections)
        assert run(desk)[0] == HELD
    left = set(digests(card).values())
    assert not left & expected(made_night)
    assert len(left) == len(made_night.files) - len(expected(made_night))


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


def test_a_night_comes_over_tls_when_the_certificate_is_trusted(
    desk: Desk, card: Path, made_night: NightPlan, signed: Certificate
) -> None:
    with vsftpd(card.parent, tls=signed) as port:
        url = f"ftps://127.0.0.1:{port}/user"
        desk.configure(url, telescope=LOGIN)
        code, said = run(desk)
        assert code == MISCONFIGURED
        assert "certificate" in said
        assert PASSWORD not in said
        desk.configure(url, telescope=f'{LOGIN}\nca = "{signed.certificate.as_posix()}"')
        assert run(desk)[0] == HELD
    assert set(desk.carried().values()) == expected(made_night)


def test_an_ftp_server_can_be_the_archive(desk: Desk, card: Path, served: Path, made_night: NightPlan) -> None:
    vault = served / "vault"
    vault.mkdir()
    vault.chmod(0o777)
    with vsftpd(card.parent) as port, proftpd(served) as other:
        archive = f"""
[archive.vault]
url = "ftp://127.0.0.1:{other}/vault"
user = "{USER}"
secret = "env:TELESCOPE_PASSWORD"
"""
        desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN, sections=archive)
        desk.config.write_text(desk.config.read_text().replace('["library"]', '["library", "vault"]'))
        assert run(desk)[0] == HELD
        assert digests(vault) == desk.carried()
        audit = desk.nightferry("audit", "--json", env=SECRET)
        assert (audit.code, len(audit.json())) == (DONE, 2 * len(desk.carried()))
        assert run(desk)[0] == HELD
        assert digests(vault) == desk.carried()
    assert desk.parts() == []
    assert not [name for name in digests(vault) if "part" in name]


def test_an_archive_that_is_off_costs_the_library_nothing(desk: Desk, card: Path, made_night: NightPlan) -> None:
    with vsftpd(card.parent) as port:
        archive = '[archive.vault]\nurl = "ftp://127.0.0.1:1/vault"'
        desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN, sections=archive)
        desk.config.write_text(desk.config.read_text().replace('["library"]', '["library", "vault"]'))
        code, said = run(desk)
        assert code in {HELD, FAILED}
        assert "127.0.0.1:1/vault" in said
    assert set(desk.carried().values()) == expected(made_night)
    sheet = desk.balance()
    assert sheet.delivered == 0, "a frame is delivered when all archives have it"
    assert sheet.failed + sheet.pending == len(expected(made_night))


if MAKE_NIGHT.exists():

    @pytest.mark.parametrize("faults", [(), ("--faults",)])
    def test_a_night_of_the_other_maker_arrives_whole(desk: Desk, served: Path, faults: tuple[str, ...]) -> None:
        tree = served / "user"
        made = [sys.executable, str(MAKE_NIGHT), "vespera", str(tree), "--size", "64x48", "--lights", "3", *faults]
        subprocess.run(made, check=True, capture_output=True)
        wanted = {
            path: digest for path, digest in digests(tree).items() if path.lower().endswith((".fits", ".tif", ".tiff"))
        }
        with vsftpd(served) as port:
            desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN)
            assert run(desk) == (DONE, "")
            assert set(desk.carried().values()) == set(wanted.values())
            assert len(desk.carried()) == len(wanted), "each under a name of its own"
            (sheet,) = desk.nightferry("nights", "--json").sheets()
            assert sheet.night == "2026-02-22"
            assert (sheet.delivered, sheet.held, sheet.failed, sheet.pending) == (len(wanted), 0, 0, 0)
            before = desk.carried()
            assert run(desk) == (DONE, "")
            assert desk.carried() == before
        assert {name.partition("/")[0] for name in before} == {"M 42", "M 31"}
        assert "M 42/M 42_2026-02-22_21-00-00_img-0001-dark.fits" in before


if REAL_FRAMES:

    def test_real_frames_arrive_byte_for_byte(desk: Desk, served: Path) -> None:
        tree = served / "user"
        for path in REAL_FRAMES:
            (tree / path.parent.name).mkdir(exist_ok=True)
            shutil.copy2(path, tree / path.parent.name / path.name)
        with vsftpd(served) as port:
            desk.configure(f"ftp://127.0.0.1:{port}/user", telescope=LOGIN)
            desk.config.write_text(desk.config.read_text().replace('preset = "vespera"', 'preset = "generic"'))
            code, _ = run(desk)
            # the checksums of one of these frames are wrong, as astropy says as well: somebody wrote into its header
            held = desk.held()
            assert set(held) <= {"panoptes/unsolved.fits"}
            assert all("DATASUM" in reason for reason in held.values())
            assert code == (HELD if held else DONE)
            for name in held:
                desk.nightferry("release", name, "--why", "its header was edited by hand")
            assert run(desk) == (DONE, "")
        assert sorted(desk.carried().values()) == sorted(digests(tree).values())
