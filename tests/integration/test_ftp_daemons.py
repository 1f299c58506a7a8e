"""The FTP store on real servers, where they differ from each other, and over TLS."""

import os
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.errors import Changed, Misconfigured, TryAgain
from nightferry.core.store import BUFFER_SIZE, Load, StorePath
from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress
from nightferry.testing.conform_stage import (
    carry,
    carry_all,
    confirmed,
    entries_of,
    generated,
    put_all,
    want_for,
    write,
)
from tests.servers.certificates import Certificate, certificate
from tests.servers.ftp_daemons import PASSWORD, USER, proftpd, pure_ftpd, vsftpd
from tests.servers.ftp_server import FtpServer

SERVERS: dict[str, Callable[..., AbstractContextManager[int]]] = {
    "vsftpd": vsftpd,
    "proftpd": proftpd,
    "pure-ftpd": pure_ftpd,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of this machine may enter, with one in it that every user may write to."""
    made = Path(tempfile.mkdtemp(prefix="nightferry-ftp-"))
    made.chmod(0o755)
    (made / "night").mkdir()
    (made / "night").chmod(0o777)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


def login(name: str, port: int, tls: Certificate | None = None) -> FtpAddress:
    user = "anonymous" if name == "vsftpd" else USER
    address = FtpAddress("localhost", port, user=user, password=PASSWORD, timeout=60)
    return address if tls is None else replace(address, tls="explicit", ca_file=tls.certificate)


def carries_both_ways(store: FtpStore, folder: Path, tmp_path: Path) -> bool:
    names = [f"night/img-{number:04d}.fits" for number in range(12)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(generated(number * 300_000))
    assert set(entries_of(store)) == set(names)
    got = carry_all(store, [want_for(store, name.encode()) for name in names])
    back = put_all(store, [Load(write(tmp_path / "a", generated(3_000_000)), StorePath("night/new/back.fits"))])
    return (
        got == [generated(number * 300_000) for number in range(12)]
        and back == [None]
        and (folder / "night/new/back.fits").read_bytes() == generated(3_000_000)
    )


# -- TLS ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3"])
def test_files_are_carried_over_tls_both_ways(
    folder: Path, tmp_path: Path, signed: Certificate, name: str, version: str
) -> None:
    with SERVERS[name](folder, tls=signed) as port:
        store = FtpStore(login(name, port, signed))
        context = store._pool.server.context
        assert context is not None
        if version == "TLS 1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        else:
            context.minimum_version = ssl.TLSVersion.TLSv1_3
        assert carries_both_ways(store, folder, tmp_path)
        store.close()


def test_tls_from_the_first_byte_works_as_well(folder: Path, tmp_path: Path, signed: Certificate) -> None:
    with vsftpd(folder, tls=signed, settings={"implicit_ssl": "YES"}) as port:
        store = FtpStore(replace(login("vsftpd", port, signed), tls="implicit"))
        assert carries_both_ways(store, folder, tmp_path)
        store.close()


def test_certificate_that_nobody_vouches_for_is_refused(folder: Path, signed: Certificate) -> None:
    with vsftpd(folder, tls=signed) as port:
        address = replace(login("vsftpd", port), tls="explicit")
        with pytest.raises(Misconfigured, match=r"certificate is refused \(self-signed certificate\); name the CA"):
            entries_of(FtpStore(address))
        trusting = FtpStore(replace(address, verify=False))
        assert entries_of(trusting) == {}
        trusting.close()


def test_certificate_of_another_host_is_refused(folder: Path, tmp_path: Path) -> None:
    other = certificate(tmp_path, host="dome.example.org", address="192.0.2.1")
    with vsftpd(folder, tls=other) as port:
        for host in ("localhost", "127.0.0.1"):
            with pytest.raises(Misconfigured, match="mismatch"):
                entries_of(FtpStore(replace(login("vsftpd", port, other), host=host)))


def test_certificate_that_ran_out_is_refused(folder: Path, tmp_path: Path) -> None:
    old = certificate(tmp_path, days=-1)
    with vsftpd(folder, tls=old) as port, pytest.raises(Misconfigured, match="certificate has expired"):
        entries_of(FtpStore(login("vsftpd", port, old)))


def test_server_without_tls_is_never_spoken_to_in_the_clear(folder: Path, signed: Certificate) -> None:
    with vsftpd(folder) as port, pytest.raises(Misconfigured, match="offers no TLS"):
        entries_of(FtpStore(login("vsftpd", port, signed)))


def test_server_that_insists_on_tls_says_so(folder: Path, signed: Certificate) -> None:
    with vsftpd(folder, tls=signed) as port, pytest.raises(Misconfigured, match="encryption"):
        entries_of(FtpStore(login("vsftpd", port)))


def test_missing_file_of_authorities_is_misconfigured(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="name a readable PEM file"):
        FtpStore(FtpAddress("localhost", tls="explicit", ca_file=tmp_path / "missing.pem"))


@pytest.fixture
def secure(signed: Certificate) -> Iterator[FtpServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(signed.certificate, signed.key)
    with FtpServer(context=context) as server:
        yield server


def test_data_that_end_without_a_farewell_count_only_if_they_are_whole(secure: FtpServer, signed: Certificate) -> None:
    store = FtpStore(replace(login("", secure.port, signed), user="anonymous"))
    for number in range(4):
        secure.tree.plant(b"%d.fits" % number, generated(100_000))
    secure.facts.ragged = True
    assert len(entries_of(store)) == 4
    want = want_for(store, b"1.fits")
    assert carry(store, want) == generated(100_000)
    with secure.changed(cut_at=50_000), pytest.raises(TryAgain):
        confirmed(next(store.fetch([want])))
    store.close()


def test_listing_that_is_cut_is_no_listing(secure: FtpServer, signed: Certificate) -> None:
    store = FtpStore(replace(login("", secure.port, signed), user="anonymous"))
    for number in range(4):
        secure.tree.plant(b"%d.fits" % number, b"x")
    secure.facts.ragged = True
    secure.facts.listing_cuts = [60]
    with pytest.raises(TryAgain, match="was cut"):
        entries_of(store)
    assert len(entries_of(store)) == 4
    store.close()


def test_password_is_sent_only_after_tls_began(secure: FtpServer, signed: Certificate) -> None:
    store = FtpStore(replace(login("", secure.port, signed), user="anonymous"))
    assert entries_of(store) == {}
    heard = [line.partition(b" ")[0] for line in secure.heard]
    assert heard[0] == b"AUTH"
    assert heard.index(b"AUTH") < heard.index(b"USER") < heard.index(b"PASS")
    store.close()


# -- files that change while they are fetched --------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVERS)
def test_file_that_grows_on_a_real_server_is_changed(folder: Path, name: str) -> None:
    file = folder / "night/a.fits"
    file.write_bytes(generated(20_000_000))
    with SERVERS[name](folder) as port:
        store = FtpStore(login(name, port))
        arrivals = store.fetch([want_for(store, b"night/a.fits")])
        arrival = next(arrivals)
        buffer = memoryview(bytearray(BUFFER_SIZE))
        assert arrival.read_into(buffer) == BUFFER_SIZE
        with file.open("ab") as more:
            more.write(b"x" * 1_000_000)
        while arrival.read_into(buffer):
            pass
        with pytest.raises(Changed):
            arrival.finish()
        assert len(carry(store, want_for(store, b"night/a.fits"))) == 21_000_000
        store.close()


@pytest.mark.parametrize("name", SERVERS)
def test_file_that_is_cut_on_a_real_server_is_never_taken(folder: Path, name: str) -> None:
    file = folder / "night/a.fits"
    file.write_bytes(generated(40_000_000))
    (folder / "night/b.fits").write_bytes(generated(5000))
    with SERVERS[name](folder) as port:
        store = FtpStore(login(name, port))
        arrivals = store.fetch([want_for(store, b"night/a.fits"), want_for(store, b"night/b.fits")])
        first = next(arrivals)
        buffer = memoryview(bytearray(BUFFER_SIZE))
        assert first.read_into(buffer) == BUFFER_SIZE
        os.truncate(file, 2_000_000)
        with pytest.raises(TryAgain):
            confirmed(first)
        assert confirmed(next(arrivals)) == generated(5000)
        store.close()


# -- what the servers' own settings change -----------------------------------------------------------------------


def test_idle_limit_of_a_real_server_goes_unnoticed(folder: Path) -> None:
    (folder / "night/a.fits").write_bytes(b"x")
    with vsftpd(folder, settings={"idle_session_timeout": "1"}) as port:
        store = FtpStore(login("vsftpd", port))
        for _ in range(2):
            arrivals = store.fetch([want_for(store, b"night/a.fits")] * 2)
            assert confirmed(next(arrivals)) == b"x"
            time.sleep(1.6)
            assert confirmed(next(arrivals)) == b"x"
            time.sleep(1.6)
        store.close()


def test_hidden_files_are_listed_only_where_the_server_shows_them(folder: Path) -> None:
    (folder / "night/.hidden.fits").write_bytes(b"x")
    (folder / "night/shown.fits").write_bytes(b"x")
    with vsftpd(folder) as port:
        store = FtpStore(login("vsftpd", port))
        assert set(entries_of(store)) == {"night/shown.fits"}
        assert carry(store, want_for(store, b"night/.hidden.fits")) == b"x"
        store.close()
    with proftpd(folder) as port:
        store = FtpStore(login("proftpd", port))
        assert set(entries_of(store)) == {"night/shown.fits", "night/.hidden.fits"}
        store.close()


def test_server_that_tells_local_times_for_utc_tells_the_same_ones_everywhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``use_localtime`` vsftpd answers MDTM in local time, too: nobody can know, and no file is seen changed."""
    monkeypatch.setenv("TZ", "<-0930>9:30")  # the Marquesas, for the server alone
    (folder / "night/a.fits").write_bytes(b"x")
    with vsftpd(folder, settings={"use_localtime": "YES"}) as port:
        store = FtpStore(login("vsftpd", port))
        [listed] = entries_of(store).values()
        [exact] = store.stat([listed.path])
        assert exact is not None
        assert listed.agrees_with(exact.size, exact.mtime_us)
        assert carry(store, want_for(store, b"night/a.fits")) == b"x"
        store.close()


def test_login_that_is_refused_is_misconfigured(folder: Path) -> None:
    for name, serve in SERVERS.items():
        with serve(folder) as port, pytest.raises(Misconfigured, match="check user and secret"):
            entries_of(FtpStore(replace(login(name, port), password="wrong")))
