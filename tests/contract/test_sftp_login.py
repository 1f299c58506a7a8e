"""Logins on a real sshd that go wrong, and servers that are not what they seem: each with what to do about it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.errors import Gone, Misconfigured, NightferryError, Occupied, TryAgain, Unreachable
from nightferry.core.store import Load, StorePath, Want
from nightferry.stores.sftp.process import SftpAddress, UnknownHost, fingerprint, host_keys, pin, ssh_command
from nightferry.stores.sftp.store import SftpStore
from nightferry.testing.conform_stage import carry, drain, entries_of, generated, put_all, want_for, within, write
from tests.servers.sshd import PASSWORD, Sshd, sshd


@pytest.fixture(scope="module")
def server() -> Iterator[Sshd]:
    with sshd() as running:
        (running.home / "a.fits").write_bytes(b"x")
        yield running


@pytest.fixture(scope="module")
def read_only() -> Iterator[Sshd]:
    with sshd("ForceCommand internal-sftp -R") as running:
        (running.home / "a.fits").write_bytes(b"x")
        yield running


def complaint(address: SftpAddress, kind: type[NightferryError] = Misconfigured) -> str:
    store = SftpStore(address)
    with pytest.raises(kind) as caught:
        entries_of(store)
    store.close()
    assert type(caught.value) is kind or kind is Unreachable
    return str(caught.value)


def own_ssh() -> list[int]:
    """The ssh processes that this test's stores run."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(child) for child in children if Path(f"/proc/{child}/comm").read_text() == "ssh\n"]


# -- ciphers -----------------------------------------------------------------------------------------------------


def test_no_cipher_is_offered_that_the_settings_of_the_user_forbid(
    server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nightferry.stores.sftp.process._has_aes", lambda: True)
    offered = " ".join(ssh_command(replace(server.address(), timeout=31)))
    assert "-oCiphers=aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20" in offered
    settings = tmp_path / "config"
    settings.write_text("Host *\n  Ciphers chacha20-poly1305@openssh.com,aes256-ctr\n")
    strict = replace(server.address(), settings=f"{settings}")
    assert "Ciphers" not in " ".join(ssh_command(strict))
    store = SftpStore(strict)
    assert StorePath("a.fits") in entries_of(store)
    store.close()


# -- host keys ---------------------------------------------------------------------------------------------------


def test_unknown_host_is_refused_and_shown_with_its_fingerprint(server: Sshd, tmp_path: Path) -> None:
    told = complaint(replace(server.address(), known_hosts=tmp_path / "none"), UnknownHost)
    assert "not known" in told
    assert fingerprint("127.0.0.1", server.port).fingerprint in told
    assert f"ssh-keyscan -p {server.port} 127.0.0.1 >> {tmp_path}/none" in told


def test_pinned_host_is_let_in(server: Sshd, tmp_path: Path) -> None:
    hosts = tmp_path / "new folder" / "known % hosts"
    key = fingerprint("127.0.0.1", server.port)
    pin(key, hosts)
    pin(key, hosts)
    assert hosts.read_text().count("\n") == 1
    store = SftpStore(replace(server.address(), known_hosts=hosts))
    assert set(entries_of(store)) == {"a.fits"}
    store.close()


def test_changed_host_key_is_refused_with_the_new_fingerprint(server: Sshd, tmp_path: Path) -> None:
    hosts = tmp_path / "known_hosts"
    hosts.write_text(f"[127.0.0.1]:{server.port} {(server.shop / 'other.pub').read_text()}")
    told = complaint(replace(server.address(), known_hosts=hosts))
    assert "not the one that is known" in told
    assert fingerprint("127.0.0.1", server.port).fingerprint in told
    assert "ssh-keygen -R" in told
    assert hosts.read_text().count("\n") == 1, "nothing is trusted by itself"


def test_no_host_no_keys(server: Sshd) -> None:
    assert host_keys("127.0.0.1", 1, timeout=1) == ()
    with pytest.raises(Unreachable):
        fingerprint("127.0.0.1", 1, timeout=1)


# -- logins ------------------------------------------------------------------------------------------------------


def test_wrong_key_is_told_with_what_to_check(server: Sshd) -> None:
    told = complaint(replace(server.address(), key=server.shop / "other"))
    assert "refuses the login of 'observer'" in told
    assert "authorized_keys" in told


def test_key_that_others_may_read_is_told(server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(server.key.read_bytes())
    (tmp_path / "key").chmod(0o644)
    assert "cannot be used" in complaint(replace(server.address(), key=tmp_path / "key"))


def test_password_lets_in_and_stands_on_no_command_line(server: Sshd, capfd: pytest.CaptureFixture[str]) -> None:
    address = replace(server.address(), key=None, password=PASSWORD)
    store = SftpStore(address)
    assert set(entries_of(store)) == {"a.fits"}
    for process in own_ssh():
        assert PASSWORD.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    store.close()
    assert PASSWORD not in " ".join(ssh_command(address))
    assert PASSWORD not in repr(address)
    assert PASSWORD not in "".join(capfd.readouterr())


def test_wrong_password_is_refused_without_being_shown(server: Sshd) -> None:
    told = complaint(replace(server.address(), key=None, password="not the word"))
    assert "by password" in told
    assert "not the word" not in told


def test_password_with_signs_of_the_shell_is_given_as_it_is(tmp_path: Path) -> None:
    from nightferry.stores.sftp.process import ssh_environment

    odd = "a'b\"c $HOME `id` %s \\n -n"
    with ssh_environment(SftpAddress("h", user="u", password=odd)) as environment:
        import subprocess

        asked = [environment["SSH_ASKPASS"], "u@h's password: "]
        assert subprocess.run(asked, env=environment, capture_output=True, check=True).stdout == odd.encode() + b"\n"
        other = [environment["SSH_ASKPASS"], "u@jump's password: "]
        assert subprocess.run(other, env=environment, capture_output=True, check=False).stdout == b""
    assert not Path(environment["SSH_ASKPASS"]).exists()


@pytest.mark.parametrize("bad", ["-oProxyCommand=touch x", "", "a\nb"])
def test_host_that_would_be_an_option_is_refused(bad: str) -> None:
    with pytest.raises(Misconfigured):
        SftpAddress(bad)
    with pytest.raises(Misconfigured):
        host_keys(bad)


# -- servers that are not there, or not what they seem -------------------------------------------------------------


def test_refused_connection_is_unreachable() -> None:
    told = complaint(SftpAddress("127.0.0.1", 1, user="u", settings="none"), Unreachable)
    assert "Connection refused" in told


def test_missing_ssh_is_told_with_how_to_get_it(server: Sshd) -> None:
    assert "openssh-client" in complaint(replace(server.address(), program="/no/such/ssh"))


def test_server_without_sftp_is_told() -> None:
    with sshd(subsystem="/bin/false") as lame:
        complaint(lame.address(), Unreachable)
        config = lame.shop / "sshd_config"
        config.write_text(config.read_text().replace("Subsystem sftp", "Subsystem other"))
        lame.stop()
        lame.start()
        assert "offers no SFTP" in complaint(lame.address())


def test_shell_that_prints_a_greeting_is_told() -> None:
    with sshd(subsystem="/bin/echo Welcome to the observatory, have a clear night") as chatty:
        assert "Welcome to the observatory" in complaint(chatty.address())


def test_account_that_may_only_read_lists_and_fetches(read_only: Sshd, tmp_path: Path) -> None:
    store = SftpStore(read_only.address())
    assert carry(store, want_for(store, b"a.fits")) == b"x"
    load = Load(write(tmp_path / "b", b"data"), StorePath("new/b.fits"))
    [answer] = put_all(store, [load])
    assert isinstance(answer, TryAgain)
    assert "PERMISSION_DENIED" in str(answer)
    with pytest.raises(TryAgain) as caught:
        store.remove(StorePath("a.fits"))
    assert not isinstance(caught.value, Gone | Unreachable)
    assert [file.name for file in read_only.home.iterdir()] == ["a.fits"]
    store.close()


# -- connections that break ----------------------------------------------------------------------------------------


def test_connection_that_broke_while_it_rested_is_made_anew(server: Sshd, tmp_path: Path) -> None:
    store = SftpStore(server.address())
    for _ in range(2):
        others = set(own_ssh()) - {session._process._child.pid for session, _ in store._pool._idle}
        assert set(entries_of(store)) == {"a.fits"}
        [ssh] = set(own_ssh()) - others
        os.kill(ssh, signal.SIGKILL)
        store._pool._idle = [(session, 0.0) for session, _ in store._pool._idle]  # it rested for long
    assert put_all(store, [Load(write(tmp_path / "c", b"c"), StorePath("c.fits"))]) == [None]
    store.remove(StorePath("c.fits"))
    store.close()


def test_ssh_that_is_killed_in_a_file_is_tried_again(server: Sshd) -> None:
    (server.home / "big.fits").write_bytes(generated(20_000_000))
    store = SftpStore(server.address())
    want = want_for(store, b"big.fits")
    arrival = next(iter(arrivals := store.fetch([want])))
    assert arrival.read_into(memoryview(bytearray(1000))) == 1000
    for ssh in own_ssh():
        os.kill(ssh, signal.SIGKILL)
    with pytest.raises(TryAgain):
        drain(arrival)
    del arrival, arrivals
    assert carry(store, want) == generated(20_000_000)
    store.close()
    (server.home / "big.fits").unlink()


def test_root_that_is_not_there_is_never_taken_for_missing_files(server: Sshd, tmp_path: Path) -> None:
    store = SftpStore(server.address(server.home / "not mounted"))
    path = StorePath("a.fits")
    calls: list[Callable[[], object]] = [
        lambda: entries_of(store),
        lambda: list(store.stat([path])),
        lambda: carry(store, Want(path, 1)),
        lambda: list(store.put([Load(write(tmp_path / "s", b"x"), path)])),
        lambda: store.remove(path),
    ]
    for call in calls:
        with pytest.raises(Misconfigured, match="root folder"):
            call()
    store.close()


def test_link_is_never_fetched_removed_or_written_through(server: Sshd, tmp_path: Path) -> None:
    (server.home / "link.fits").symlink_to("a.fits")
    outside = tmp_path / "outside"
    outside.mkdir()
    (server.home / "elsewhere").symlink_to(outside)
    store = SftpStore(server.address())
    try:
        assert list(store.stat([StorePath("link.fits")])) == [None]
        with pytest.raises(NightferryError):
            store.remove(StorePath("link.fits"))
        source = write(tmp_path / "s", b"data")
        answers = put_all(store, [Load(source, StorePath(name)) for name in ("link.fits", "elsewhere/b.fits")])
        assert [type(answer) for answer in answers] == [Occupied, Occupied]
        assert list(outside.iterdir()) == []
        assert (server.home / "a.fits").read_bytes() == b"x"
    finally:
        store.close()
        (server.home / "link.fits").unlink()
        (server.home / "elsewhere").unlink()


@pytest.mark.parametrize(
    "said",
    [
        "ff ff ff ff ff",  # a length beyond all measure
        "00 00 00 05 02 00 00 00 02",  # a version too old
        "00 00 00 01 02",  # a first packet without a version
        "00 00 00 05 02 00 00 00 03 00 00 00 05 65 ff ff ff ff",  # an answer to what nobody asked
        "00 00 00 05 02 00 00 00 03 00 00 00 0d 68 00 00 00 01 ff ff ff ff 00 00 00 00",  # four billion names
        "00 00 00 05 02 00 00 00 03 00 00 00 05 66 00 00 00 01",  # a handle without a length
        "00 00 00 05 02 00 00 00 03 00 00 00 09 65 00 00 00 01 00 00 00 63",  # a status that nobody knows
    ],
)
def test_hostile_answers_are_an_error_in_time(tmp_path: Path, said: str) -> None:
    fake = tmp_path / "ssh"
    fake.write_text(
        f"#!{sys.executable}\nimport os\nos.read(0, 9)\nos.write(1, bytes.fromhex({said!r}))\n"
        "while os.read(0, 99): pass\n"
    )
    fake.chmod(0o700)
    store = SftpStore(SftpAddress("h", user="u", program=str(fake), timeout=2))
    with pytest.raises((TryAgain, Misconfigured)):
        within(180, lambda: entries_of(store))
    store.close()
