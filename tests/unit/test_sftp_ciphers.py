"""The order in which ciphers are offered: quick ones first, and none that the user's settings leave out."""

from __future__ import annotations

import sys

import pytest

from nightferry.stores.sftp import process
from nightferry.stores.sftp.process import reordered_ciphers

USUAL = "chacha20-poly1305@openssh.com,aes128-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com"


@pytest.fixture(autouse=True)
def _has_aes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_has_aes", lambda: True)


def told(settings: str, end: str = "") -> str:
    """Reorder the ciphers of an ssh that tells these settings."""
    return reordered_ciphers(sys.executable, "-c", f"print({settings!r}); {end or 'pass'}")


def test_ciphers_that_the_processor_has_built_in_come_first_and_all_others_stay() -> None:
    assert told(f"user robot\nciphers {USUAL}\nport 22") == (
        "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes128-ctr"
    )


@pytest.mark.parametrize(
    "settings",
    ["ciphers chacha20-poly1305@openssh.com,aes256-ctr", "ciphers aes256-gcm@openssh.com,aes128-ctr", "", "?"],
)
def test_what_the_user_leaves_out_or_puts_first_is_left_as_it_is(settings: str) -> None:
    assert told(settings) == ""


def test_processor_without_aes_keeps_the_usual_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_has_aes", lambda: False)
    assert reordered_ciphers(sys.executable, "-c", f"print('ciphers {USUAL}') # slow") == ""


def test_ssh_that_cannot_tell_is_left_as_it_is() -> None:
    assert told(f"ciphers {USUAL}", "raise SystemExit(255)") == ""
    assert reordered_ciphers("/no/such/ssh", "-G") == ""
