"""What replies say, and which error each refusal means."""

import pytest

from nightferry.core.errors import Misconfigured, NightferryError, NoSpace, TryAgain, Unreachable
from nightferry.stores.ftp.control import (
    Features,
    Reply,
    epsv_port,
    features_of,
    login_refusal,
    pasv_port,
    pwd_path,
    refusal,
    size_of,
)
from nightferry.stores.ftp.wire import FtpAddress


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("Entering Extended Passive Mode (|||6446|)", 6446),
        ("Extended Passive Mode OK (!!!6446!)", 6446),
        ("Entering Extended Passive Mode (||| 6446|)", None),
        ("Entering Extended Passive Mode (|||0|)", None),
        ("Entering Extended Passive Mode (|||65536|)", None),
        ("Entering Extended Passive Mode", None),
    ],
)
def test_port_of_extended_passive_mode(text: str, port: int | None) -> None:
    assert epsv_port(Reply(229, text)) == port
    assert epsv_port(Reply(500, text)) is None


@pytest.mark.parametrize(
    ("text", "port"),
    [
        ("Entering Passive Mode (10,0,0,1,25,46).", 25 * 256 + 46),
        ("=10,0,0,1,25,46", 25 * 256 + 46),
        ("Entering Passive Mode (10,0,0,1,0,0).", None),
        ("Entering Passive Mode (10,0,0,1,255,256).", None),
        ("Entering Passive Mode", None),
    ],
)
def test_port_of_passive_mode(text: str, port: int | None) -> None:
    assert pasv_port(Reply(227, text)) == port


@pytest.mark.parametrize(
    ("text", "path"),
    [('"/user"', "/user"), ('"/say ""hi""" is here', '/say "hi"'), ("/user", None), ('"user"', None), ('""', None)],
)
def test_folder_of_the_login(text: str, path: str | None) -> None:
    assert pwd_path(Reply(257, text)) == path


def test_size_is_read_from_a_213_only() -> None:
    assert size_of(Reply(213, "16588800")) == 16_588_800
    assert size_of(Reply(213, "-1")) is None
    assert size_of(Reply(213, "many")) is None
    assert size_of(Reply(550, "16588800")) is None


def test_features_are_read_with_and_without_stars() -> None:
    reply = Reply(211, "Features:\n UTF8\n MLST type*;Size*;modify*;UNIX.mode;\n rest STREAM\nEnd")
    features = features_of(reply)
    assert features == Features(told=True, utf8=True, facts=frozenset({"type", "size", "modify", "unix.mode"}))
    assert features.machine_listings
    assert not features_of(Reply(211, "Features:\n MLST type*;modify*;\nEnd")).machine_listings
    assert features_of(Reply(502, "unknown")) == Features()


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (452, "No space", NoSpace),
        (552, "Quota", NoSpace),
        (451, "write: No space left on device", NoSpace),
        (550, "disk quota exceeded", NoSpace),
        (530, "Not logged in", Misconfigured),
        (550, "Permission denied", TryAgain),
        (450, "busy", TryAgain),
        (426, "Connection closed", TryAgain),
        (500, "what?", TryAgain),
    ],
)
def test_refusals_are_sorted_by_who_must_act(code: int, text: str, kind: type[NightferryError]) -> None:
    error = refusal(Reply(code, text), "ftp://10.0.0.1/: doing something", storing=True)
    assert type(error) is kind
    assert f"{code} {text}" in str(error)


def test_full_disk_of_a_server_that_we_only_read_from_is_no_lack_of_space() -> None:
    assert type(refusal(Reply(452, "Error writing to the log: no space left"), "fetching")) is TryAgain


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (530, "Login incorrect.", Misconfigured),
        (530, "Sorry, the maximum number of clients (3) for this user are already connected.", Unreachable),
        (421, "Too many connections", Unreachable),
        (431, "try later", Unreachable),
        (332, "Need account for login", Misconfigured),
        (503, "Bad sequence", Misconfigured),
    ],
)
def test_refused_logins_are_told_from_crowded_servers(code: int, text: str, kind: type[NightferryError]) -> None:
    assert type(login_refusal(Reply(code, text), "ftp://10.0.0.1/", "user")) is kind


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("No such file or directory", True),
        ("/x: File not found", True),
        ("The system cannot find the file specified.", True),
        ("Could not get file size.", False),
        ("File unavailable (e.g., file not found, no access).", False),
        ("No such file or directory, or permission denied", False),
    ],
)
def test_only_clear_words_mean_that_a_file_is_absent(text: str, *, absent: bool) -> None:
    assert Reply(550, text).absent is absent
    assert not Reply(500, text).absent


def test_reply_is_shown_on_one_short_line_without_control_characters() -> None:
    shown = str(Reply(550, "\x1b[31mred\r\n" + "x" * 500))
    assert shown.isprintable()
    assert len(shown) < 250


def test_address_shows_no_user_and_no_password() -> None:
    address = FtpAddress("10.0.0.1", user="astro", password="hunter2", root="/user")
    assert address.label == "ftp://10.0.0.1/user"
    assert "hunter2" not in repr(address)
    assert FtpAddress("fe80::1", 2121, tls="explicit").label == "ftps://[fe80::1]:2121/"
    assert FtpAddress("a", 990, tls="implicit").label == "ftps://a/"


@pytest.mark.parametrize("sign", ["\r", "\n", "\0"])
def test_address_that_would_smuggle_a_command_is_refused_and_not_shown(sign: str) -> None:
    text = f"secret{sign}DELE x"
    for host, root, user, password in (
        (text, "", "", ""),
        ("a", text, "", ""),
        ("a", "", text, ""),
        ("a", "", "", text),
    ):
        with pytest.raises(Misconfigured) as refused:
            FtpAddress(host, root=root, user=user, password=password)
        assert "secret" not in str(refused.value)


def test_address_that_could_never_work_is_refused() -> None:
    with pytest.raises(Misconfigured):
        FtpAddress("a", connections=0)
    with pytest.raises(Misconfigured):
        FtpAddress("a", timeout=0)
