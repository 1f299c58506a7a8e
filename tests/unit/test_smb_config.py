"""What the configuration's words become for an SMB store."""

import sys
from pathlib import Path

import pytest

from nightferry.assemble import archive_store
from nightferry.config import loads
from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store
from nightferry.stores.smb.link import SmbAddress, share_of
from nightferry.stores.smb.store import SmbStore


def store_of(lines: str) -> Store:
    return archive_store(loads(f"[archive.pc]\n{lines}\n").archive["pc"])


@pytest.fixture
def secret(tmp_path: Path) -> str:
    place = tmp_path / "word"
    place.write_text("clear sky\n")
    place.chmod(0o600)
    return f'secret = "file:{place.as_posix()}"'


@pytest.mark.parametrize(
    ("url", "label"),
    [
        ("smb://pc/frames", "smb://pc/frames"),
        ("smb://observer@pc:4450/my%20frames/2026/a%20b/", "smb://pc:4450/my frames/2026/a b"),
        ("smb://172.16.0.202/Documents/astra/images", "smb://172.16.0.202/Documents/astra/images"),
        ("smb://[::1]:445/x", "smb://[::1]/x"),
    ],
)
def test_url_names_host_share_and_folder(url: str, label: str, secret: str) -> None:
    store = store_of(f'url = "{url}"\nuser = "observer"\n{secret}')
    assert isinstance(store, SmbStore)
    assert store.traits.label == label
    assert not store.traits.exclusive_put, "a server looks and renames in two steps"


def test_share_is_the_first_folder_of_the_path() -> None:
    assert share_of("/frames") == ("frames", "")
    assert share_of("/frames/a/b c/") == ("frames", "a/b c")


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ('url = "smb://pc"', "the share is missing"),
        ('url = "smb://pc/"', "the share is missing"),
        ('url = "smb://observer:word@pc/x"', "holds a password"),
        ('url = "smb://pc/a%3Ab"', "cannot be the name of a share"),
        ('url = "smb://pc/x"\nuser = "observer"', "needs a password"),
        ('url = "smb://pc/x"\nencrypt = true', "cannot be encrypted"),
        ('url = "smb://pc/x"\nuser = "a\\u0007b"', "control characters"),
    ],
)
def test_what_could_never_work_is_refused(lines: str, word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        store_of(lines)


def test_password_without_a_user_is_refused(secret: str) -> None:
    with pytest.raises(Misconfigured, match="no user"):
        store_of(f'url = "smb://pc/x"\n{secret}')


def test_address_shows_no_password() -> None:
    assert "clear" not in repr(SmbAddress("pc", "x", user="observer", password="clear sky"))


@pytest.mark.parametrize("package", ["spnego", "cryptography"])
def test_missing_extra_answers_with_the_command_that_installs_it(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith((f"{package}.", "nightferry.stores.smb")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Misconfigured, match=r"pip install 'nightferry\[smb\]'"):
        store_of('url = "smb://pc/x"')
