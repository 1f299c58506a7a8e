"""An audit that finds something bad tells people by mail, even if nobody looks on: once, and once when it is over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import DONE, FAILED, HELD, MISCONFIGURED, Desk, Ended, frame
from tests.servers.mail_server import MailServer, mail_server

FRAMES = "2026-09-11_21-10-37_observation_M31/01-images-initial"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def library(desk: Desk, tmp_path: Path) -> list[Path]:
    """A library of 6 frames, carried by a run that told nobody anything."""
    folder = tmp_path / "card" / FRAMES
    folder.mkdir(parents=True)
    for number in range(6):
        (folder / f"img-{number:04d}.fits").write_bytes(frame(number))
    desk.configure((tmp_path / "card").as_uri(), sections='[alerts]\nurls = ["env:MAIL"]\ndigest = "never"\n')
    assert (
        desk.nightferry("run", "vespera", "--night", "all", env={"MAIL": "mailto://127.0.0.1:1/a@b.org"}).code == DONE
    )
    return sorted(path for path in desk.library.rglob("*.fits"))


def flip(path: Path) -> bytes:
    """Change one bit on the disk, and tell what the file was."""
    whole = path.read_bytes()
    path.unlink()  # it may be a link to the shelf's
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    return whole


def audit(desk: Desk, mail: MailServer, *words: str) -> Ended:
    return desk.nightferry("audit", *words, env={"MAIL": mail.url()})


def text_of(mail: MailServer, number: int) -> str:
    text = mail.mails[number].get_body(("plain",))
    assert text is not None
    return str(text.get_content())


def test_a_flipped_byte_is_told_once_and_its_mending_too(desk: Desk, library: list[Path], mail: MailServer) -> None:
    whole = flip(library[0])
    for _ in range(2):
        assert audit(desk, mail).code == HELD
    assert mail.subjects() == ["nightferry: library has not what vespera delivered: 1 damaged"]
    assert f"{library[0].relative_to(desk.library).as_posix()}: damaged: library: " in text_of(mail, 0)
    library[0].write_bytes(whole)
    assert audit(desk, mail).code == DONE
    assert mail.subjects()[1:] == ["nightferry: over: library has not what vespera delivered: 1 damaged"]
    assert audit(desk, mail).code == DONE
    assert len(mail.mails) == 2


def test_new_damage_is_told_while_old_damage_stands(desk: Desk, library: list[Path], mail: MailServer) -> None:
    kept = {path: flip(path) for path in library[:2]}
    assert audit(desk, mail).code == HELD
    kept[library[2]] = library[2].read_bytes()
    library[2].unlink()
    assert audit(desk, mail).code == HELD
    assert mail.subjects() == [
        "nightferry: library has not what vespera delivered: 2 damaged",
        "nightferry: library has not what vespera delivered: 1 missing",
    ]
    for path, whole in list(kept.items())[1:]:
        path.write_bytes(whole)
    assert audit(desk, mail).code == HELD
    assert len(mail.mails) == 2, "one is bad still, so nothing is over"
    library[0].write_bytes(kept[library[0]])
    assert audit(desk, mail).code == DONE
    assert sorted(mail.subjects()[2:]) == [
        "nightferry: over: library has not what vespera delivered: 1 missing",
        "nightferry: over: library has not what vespera delivered: 2 damaged",
    ]


def test_a_clean_audit_of_another_part_ends_no_alert(desk: Desk, library: list[Path], mail: MailServer) -> None:
    flip(library[0])
    assert audit(desk, mail).code == HELD
    assert audit(desk, mail, "--night", "2026-01-01").code == DONE
    assert len(mail.mails) == 1
    assert desk.nightferry("alerts").code == HELD, "it stands"
    assert desk.nightferry("release", library[0].name, "--drop", "--why", "it is lost").code == DONE
    assert audit(desk, mail, "--night", "2026-01-01").code == DONE
    assert len(mail.mails) == 2
    assert desk.nightferry("alerts").code == DONE


def test_a_foreign_file_is_told_once_and_another_one_too(desk: Desk, library: list[Path], mail: MailServer) -> None:
    for number in (1, 1, 2):
        (desk.library / f"stranger-{number}.fits").write_bytes(b"x")
        assert audit(desk, mail).code == HELD
    title = "nightferry: library has 1 file that nobody delivered"
    assert mail.subjects() == [title, title]
    assert ["stranger-1.fits (1 bytes)" in text_of(mail, number) for number in (0, 1)] == [True, False]
    for stranger in desk.library.glob("stranger*"):
        stranger.unlink()
    assert audit(desk, mail).code == DONE
    assert len(mail.mails) == 4


def test_an_audit_that_cannot_look_is_told(desk: Desk, library: list[Path], mail: MailServer) -> None:
    away = desk.library.rename(desk.home / "away")
    assert audit(desk, mail, "--night", "yesteryear").code == MISCONFIGURED
    assert mail.mails == [], "a slip of the keyboard is no alert"
    assert audit(desk, mail).code in {FAILED, MISCONFIGURED}
    assert "nightferry: the audit of vespera could not be finished" in mail.subjects()
    away.rename(desk.library)
    assert audit(desk, mail).code == DONE
    assert "nightferry: over: the audit of vespera could not be finished" in mail.subjects()
    assert desk.nightferry("alerts").code == DONE


def test_a_mail_server_that_is_away_loses_nothing_of_an_audit(
    desk: Desk, library: list[Path], mail: MailServer
) -> None:
    flip(library[0])
    answer = desk.nightferry("audit", env={"MAIL": "mailto://127.0.0.1:1/a@b.org"})
    assert answer.code == HELD
    assert "is tried again" in answer.err
    assert desk.nightferry("alerts", "send", env={"MAIL": mail.url()}).code == DONE
    assert mail.subjects() == ["nightferry: library has not what vespera delivered: 1 damaged"]
