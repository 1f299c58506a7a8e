from pathlib import Path

import pytest

from nightferry.assemble import archive_store
from nightferry.config import loads
from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store
from nightferry.stores.sftp.process import SftpAddress, ssh_command
from nightferry.stores.sftp.store import SftpStore

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n"


def store_of(lines: str) -> Store:
    return archive_store(loads(f"[archive.vault]\n{lines}\n").archive["vault"])


def address_of(lines: str) -> SftpAddress:
    store = store_of(lines)
    assert isinstance(store, SftpStore)
    return store._address


def secret(place: Path, words: str) -> str:
    place.write_text(words)
    place.chmod(0o600)
    return f'secret = "file:{place.as_posix()}"'


@pytest.mark.parametrize(
    ("url", "root", "label"),
    [
        ("sftp://vault.example.org/speculoos", "/speculoos", "sftp://vault.example.org/speculoos"),
        ("sftp://vault.example.org:2222/a%20b/", "/a b", "sftp://vault.example.org:2222/a b"),
        ("sftp://vault.example.org/~/frames", "frames", "sftp://vault.example.org/~/frames"),
        ("sftp://vault.example.org/~", "", "sftp://vault.example.org/~"),
        ("sftp://vault.example.org", "/", "sftp://vault.example.org"),
        ("sftp://[::1]:22/x", "/x", "sftp://[::1]/x"),
    ],
)
def test_path_of_the_url_counts_from_the_root_or_from_home(url: str, root: str, label: str) -> None:
    address = address_of(f'url = "{url}"')
    assert (address.root, address.label) == (root, label)


def test_secret_is_a_key_or_a_password(tmp_path: Path) -> None:
    with_key = address_of(
        f'url = "sftp://robot@h/x"\n{secret(tmp_path / "key", KEY)}\nknown_hosts = "/etc/hosts known"'
    )
    assert (with_key.user, with_key.key, with_key.password) == ("robot", tmp_path / "key", None)
    words = ssh_command(with_key)
    assert '-oUserKnownHostsFile="/etc/hosts known"' in words
    assert "-oIdentitiesOnly=yes" in words
    assert "-oBatchMode=yes" in words
    with_password = address_of(f'url = "sftp://h/x"\nuser = "robot"\n{secret(tmp_path / "word", "clear sky")}')
    assert (with_password.user, with_password.key, with_password.password) == ("robot", None, "clear sky")
    assert "clear sky" not in " ".join(ssh_command(with_password))


def test_host_must_always_be_known(tmp_path: Path) -> None:
    for lines in ('url = "sftp://h/x"', f'url = "sftp://h/x"\n{secret(tmp_path / "word", "clear sky")}'):
        words = ssh_command(address_of(lines))
        assert "-oStrictHostKeyChecking=yes" in words
        assert words[-4:] == ["-s", "--", "h", "sftp"]


def test_keys_that_ssh_cannot_be_given_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Misconfigured, match="puttygen"):
        store_of(f'url = "sftp://h/x"\n{secret(tmp_path / "ppk", "PuTTY-User-Key-File-3: x")}')
    monkeypatch.setenv("VAULT_KEY", KEY)
    with pytest.raises(Misconfigured, match="in a file of its own"):
        store_of('url = "sftp://h/x"\nsecret = "env:VAULT_KEY"')


@pytest.mark.parametrize("url", ["sftp://-oProxyCommand=x/y", "sftp://-l@h/y"])
def test_url_that_would_be_an_option_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        store_of(f'url = "{url}"')


def test_password_in_the_url_is_refused() -> None:
    with pytest.raises(Misconfigured, match="holds a password"):
        store_of('url = "sftp://robot:word@h/x"')
