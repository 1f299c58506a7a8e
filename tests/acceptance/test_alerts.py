"""Alerts through real mail servers: sent, refused, never answered, killed in between; once, and never lost."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from nightferry.alerts import over_evening
from nightferry.core.context import Site
from nightferry.testing.telescope import simulated_vespera
from tests.acceptance.conftest import DONE, FAILED, HELD, LONG, MISCONFIGURED, Desk, Telescope, frame, until
from tests.servers.certificates import certificate
from tests.servers.mail_server import PASSWORD, USER, MailServer, mail_server, silent_server

ALERTS = '[alerts]\nurls = ["env:MAIL"]\ndigest = "never"\n'
FRAMES = "2026-09-11_21-10-37_observation_M31/01-images-initial"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with mail_server() as server:
        yield server


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """A card with 12 frames, of which 4 are torn."""
    folder = tmp_path / "card" / FRAMES
    folder.mkdir(parents=True)
    for number in range(12):
        whole = frame(number)
        (folder / f"img-{number:04d}.fits").write_bytes(whole if number % 3 else whole[:3000])
    return tmp_path / "card"


@contextmanager
def carrying(desk: Desk, card: Path, sections: str = ALERTS, telescope: str = "") -> Iterator[None]:
    with simulated_vespera(card) as served:
        desk.configure(served.url, sections=sections, telescope=telescope)
        yield


def outbox(desk: Desk) -> list[tuple[str, str, bool]]:
    return [
        (str(one["key"]), str(one["kind"]), one["sent"] is not None)
        for one in desk.nightferry("alerts", "--json").json()
    ]


def test_too_many_held_frames_are_told_once_by_mail(desk: Desk, card: Path, mail: MailServer) -> None:
    environment = {"MAIL": mail.url()}
    with carrying(desk, card):
        for _ in range(3):
            answer = desk.nightferry("run", "vespera", "--night", "all", env=environment)
            assert answer.code == HELD
    assert mail.subjects() == ["nightferry: vespera: 4 of 12 frames of 2026-09-11 are held"]
    text = mail.mails[0].get_body(("plain",))
    assert text is not None
    assert "4 at verify: " in text.get_content()
    assert outbox(desk) == [("held/vespera/2026-09-11", "raised", True)]
    assert desk.nightferry("alerts").code == HELD, "it still stands"


def test_what_recovers_is_told_too(desk: Desk, card: Path, mail: MailServer) -> None:
    environment = {"MAIL": mail.url()}
    with carrying(desk, card):
        desk.nightferry("run", "vespera", "--night", "all", env=environment)
        for number in (0, 3, 6, 9):
            assert desk.nightferry("release", f"img-{number:04d}.fits", "--drop", "--why", "a test").code == DONE
        desk.nightferry("run", "vespera", "--night", "all", env=environment)
    assert mail.subjects()[1:] == ["nightferry: over: vespera: 4 of 12 frames of 2026-09-11 are held"]
    assert desk.nightferry("alerts").code == DONE


def test_a_mail_server_that_refuses_loses_no_alert_and_tells_why(desk: Desk, card: Path, mail: MailServer) -> None:
    mail.refuses = "554 no mail on Saturdays"
    environment = {"MAIL": mail.url()}
    with carrying(desk, card):
        answer = desk.nightferry("run", "vespera", "--night", "all", env=environment)
    assert answer.code == HELD
    assert len(desk.carried()) == 8
    assert "could not be sent to env:MAIL, and is tried again" in answer.err
    assert outbox(desk) == [("held/vespera/2026-09-11", "raised", False)]
    mail.refuses = ""
    assert desk.nightferry("alerts", "send", env=environment).code == DONE
    assert len(mail.mails) == 1


def test_a_mail_server_that_never_answers_delays_nothing_that_is_carried(desk: Desk, card: Path) -> None:
    with silent_server() as port, carrying(desk, card):
        answer = desk.nightferry(
            "run", "vespera", "--night", "all", env={"MAIL": f"mailto://127.0.0.1:{port}/ops@example.org?from=a@b.org"}
        )
    assert answer.code == HELD
    assert len(desk.carried()) == 8
    assert ask(desk, "SELECT count(*) FROM mailings WHERE outcome = 'begun'") == 1
    # the try may have failed by now: Apprise's own threads keep the process until its time-out, when all is carried
    assert ask(desk, "SELECT count(*) FROM mailings WHERE outcome = 'sent'") == 0
    assert outbox(desk) == [("held/vespera/2026-09-11", "raised", False)]


def test_no_mail_server_at_all_loses_no_alert(desk: Desk, card: Path, mail: MailServer) -> None:
    with carrying(desk, card):
        assert (
            desk.nightferry("run", "vespera", "--night", "all", env={"MAIL": "mailto://127.0.0.1:1/a@b.org"}).code
            == HELD
        )
        assert mail.mails == []
        assert desk.nightferry("alerts", "send", env={"MAIL": mail.url()}).code == DONE
    assert len(mail.mails) == 1


def test_starttls_login_and_copies_are_a_matter_of_the_url(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    folder.mkdir()
    with mail_server(certificate(folder), login=True) as server:
        words = "&mode=starttls&verify=no&cc=boss@example.org"
        url = server.url(words).replace("mailto://", f"mailto://{USER}:{PASSWORD.replace(' ', '%20')}@")
        desk.configure("ftp://127.0.0.1:1/user", sections=ALERTS)
        answer = desk.nightferry("alerts", "test", env={"MAIL": url})
        assert answer.code == DONE, answer.err + answer.out
        assert (server.logins, server.secure) == ([USER], [True])
        assert sorted(server.recipients[0]) == ["boss@example.org", "ops@example.org"]
        assert server.mails[0]["Cc"] == "boss@example.org"
        wrong = desk.nightferry("alerts", "test", env={"MAIL": url.replace("correct", "wrong")})
        assert wrong.code == FAILED
        assert (set(server.logins[1:]), len(server.mails)) == ({USER}, 1), "it was tried, and refused"
        for text in (wrong.err, wrong.out, desk.ledger.read_bytes().decode("latin-1")):
            assert "horse" not in text, "a password stands in no message and not in the ledger"


def test_a_password_in_a_file_that_others_can_read_is_refused(desk: Desk, tmp_path: Path) -> None:
    secret = tmp_path / "mail.secret"
    secret.write_text("mailto://127.0.0.1/a@b.org")
    secret.chmod(0o644)
    desk.configure("ftp://127.0.0.1:1/user", sections=f'[alerts]\nurls = ["file:{secret.as_posix()}"]\n')
    answer = desk.nightferry("alerts", "test")
    assert answer.code == (FAILED if sys.platform != "win32" else DONE)
    if sys.platform != "win32":
        assert "chmod 600" in answer.out


def test_alerts_without_anybody_to_tell_are_kept_and_shown(desk: Desk, card: Path) -> None:
    with carrying(desk, card, sections=""):
        desk.nightferry("run", "vespera", "--night", "all")
    assert outbox(desk)[-1] == ("held/vespera/2026-09-11", "raised", False)
    assert "nobody is configured" in desk.nightferry("alerts").out
    assert desk.nightferry("alerts", "test").code == MISCONFIGURED


def test_one_digest_a_night_tells_of_all_telescopes(desk: Desk, card: Path, mail: MailServer) -> None:
    now = datetime.now(UTC)
    longitude = (15 - now.hour) * 15 - 180 * 2 * (now.hour < 3)  # where it is past 15 h: no night ends while we test
    evening = over_evening(Site(0.0, longitude), round(now.timestamp() * 1e6))
    (card / FRAMES.split("/", maxsplit=1)[0]).rename(card / f"{evening}_21-10-37_observation_M31")
    site = f'[site.here]\nlatitude = "0 deg"\nlongitude = "{longitude} deg"\n'
    with carrying(desk, card, f'[alerts]\nurls = ["env:MAIL"]\n{site}', 'site = "here"'):
        for _ in range(3):
            desk.nightferry("run", "vespera", "--night", "all", env={"MAIL": mail.url()})
    assert sorted(mail.subjects()) == [
        f"nightferry: {evening}: 8 of 12 frames delivered, 1 alert stands",
        f"nightferry: vespera: 4 of 12 frames of {evening} are held",
    ]


def test_a_mount_that_is_gone_is_told_while_the_watch_goes_on_and_ends_with_it(
    desk: Desk, card: Path, mail: MailServer
) -> None:
    desk.configure(card.as_uri(), sections=f'{ALERTS}patience = "0 s"\n')
    desk.config.write_text(desk.config.read_text().replace('preset = "vespera"', 'preset = "vespera"\nconnections = 2'))
    assert desk.nightferry("run", "vespera", "--night", "all", env={"MAIL": mail.url()}).code == HELD
    away = card.with_name("unmounted")
    watch = desk.start("watch", "vespera", "--every", "0.3 s", env={"MAIL": mail.url()})
    try:
        card.rename(away)
        until(lambda: "nightferry: vespera cannot be reached" in mail.subjects(), "the missing mount is told")
        assert watch.poll() is None, "the watch goes on"
        (away / FRAMES / "img-0100.fits").write_bytes(frame(100))
        away.rename(card)
        until(lambda: "nightferry: over: vespera cannot be reached" in mail.subjects(), "its return is told")
        until(lambda: any(name.endswith("img-0100.fits") for name in desk.carried()), "the new frame is carried")
    finally:
        watch.send_signal(signal.SIGTERM)
        watch.communicate(timeout=LONG)
    assert mail.subjects().count("nightferry: vespera cannot be reached") == 1


if sys.platform != "win32":

    def test_kill_9_while_a_mail_is_being_sent_loses_no_alert(desk: Desk, card: Path, mail: MailServer) -> None:
        with silent_server() as port, carrying(desk, card):
            url = f"mailto://127.0.0.1:{port}/ops@example.org?from=a@b.org"
            watch = desk.start("watch", "vespera", "--every", "0.2 s", env={"MAIL": url})
            until(lambda: begun(desk), "the mail is on its way")
            os.kill(watch.pid, signal.SIGKILL)
            watch.communicate()
        assert outbox(desk) == [("held/vespera/2026-09-11", "raised", False)]
        pretend_later(desk, 301)
        assert desk.nightferry("alerts", "send", env={"MAIL": mail.url()}).code == DONE
        text = mail.mails[0].get_body(("plain",))
        assert text is not None
        assert "You may have had this already" in text.get_content()
        assert len(mail.mails) == 1


def begun(desk: Desk) -> bool:
    return bool(ask(desk, "SELECT count(*) FROM mailings WHERE outcome = 'begun'"))


def pretend_later(desk: Desk, seconds: int) -> None:
    """Let the letter in hand be older than a sender's lease; the trigger that forbids it is put back."""
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(desk.ledger)) as raw:
        (trigger,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'mailings_refuse_update'").fetchone()
        raw.execute("DROP TRIGGER mailings_refuse_update")
        raw.execute("UPDATE mailings SET at_us = at_us - ?", (seconds * 1_000_000,))
        raw.execute(trigger)
        raw.commit()


def ask(desk: Desk, question: str) -> int:
    import sqlite3
    from contextlib import closing

    if not desk.ledger.exists():
        return 0
    with closing(sqlite3.connect(desk.ledger)) as raw:
        try:
            return int(raw.execute(question).fetchone()[0])
        except sqlite3.OperationalError:
            return 0


class Switch(HTTPServer):
    """A dead man's switch: counts how often it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Pressed)


class Pressed(BaseHTTPRequestHandler):
    server: Switch

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


@pytest.fixture
def switch() -> Iterator[Switch]:
    with ExitStack() as stack:
        server = stack.enter_context(Switch())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server


def test_a_watch_that_lives_is_felt_elsewhere_and_one_that_died_is_not(desk: Desk, card: Path, switch: Switch) -> None:
    sections = '[alerts]\nping = "env:PING"\nevery = "200 ms"\n'
    with carrying(desk, card, sections):
        url = f"http://127.0.0.1:{switch.server_port}/ping/secret-token"
        watch = desk.start("watch", "vespera", "--every", "0.2 s", env={"PING": url})
        until(lambda: len(switch.asked) > 3, "it pings")
        watch.kill()
        _, err = watch.communicate()
        with urllib.request.urlopen(f"http://127.0.0.1:{switch.server_port}/end", timeout=LONG):
            count = len(switch.asked)  # one is answered at a time: what came before its death is counted by now
        time.sleep(0.5)
        assert len(switch.asked) == count
    assert set(switch.asked) == {"/ping/secret-token", "/end"}
    assert "secret-token" not in err


def test_a_switch_that_cannot_be_reached_is_a_note_and_nothing_more(desk: Desk, card: Path) -> None:
    with carrying(desk, card, '[alerts]\nping = "env:PING"\n'):
        answer = desk.nightferry("run", "vespera", "--night", "all", env={"PING": "http://127.0.0.1:1/secret-token"})
    assert answer.code == HELD
    assert "alerts.ping: the service cannot be reached" in answer.err
    assert "secret-token" not in answer.err


def test_nothing_is_told_of_a_good_night(desk: Desk, vespera: Telescope, mail: MailServer) -> None:
    shutil.rmtree(vespera.root / FRAMES, ignore_errors=True)
    card = desk.home / "good" / FRAMES
    card.mkdir(parents=True)
    (card / "img-0001.fits").write_bytes(frame(1))
    with carrying(desk, desk.home / "good"):
        assert desk.nightferry("run", "vespera", "--night", "all", env={"MAIL": mail.url()}).code == DONE
    assert mail.mails == []
    assert outbox(desk) == []
