"""Moving over from C-shell transfer scripts, and having nightferry run by itself."""

from __future__ import annotations

import configparser
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightferry.config import load
from tests.acceptance.conftest import DONE, MISCONFIGURED, Desk, frame
from tests.astra import astra_frame
from tests.servers.samba import PASSWORD, SHARE, USER, Smbd, smbd

CREDENTIALS = r"""#!/bin/csh
# how the hub reaches Callisto
setenv TELESCOPE_NAME "Callisto"
setenv TELESCOPE_BASE_DIR '{base}'
setenv ACP_LOCAL_PATH ${{TELESCOPE_BASE_DIR}}/mount   # where the share is
setenv DATA_DIR "$TELESCOPE_BASE_DIR/workdir"
set LOG_DIR = ${{TELESCOPE_BASE_DIR}}/Logs
setenv ESO_DIR "{base}/eso"
setenv PYTHON_SCRIPTS_PATH ${{TELESCOPE_BASE_DIR}}
setenv CONTROL_PC_USER observer
setenv CONTROL_PC_PASSWORD 'pa$$ "w#rd'
setenv CONTROL_PC_IP 192.0.2.17
setenv CONTROL_PC_PATH /Documents/images/
setenv CAMBRIDGE_SERVER_USER robot
setenv CAMBRIDGE_SERVER_HOST logs.example.org
setenv CAMBRIDGE_SERVER_PATH /data/Callisto/.
setenv STARTED `date`
setenv COLOUR blue
setenv NEEDS $NOWHERE/x
"""
ENVIRONMENT = """SMTP_SERVER=smtp.example.org:587
SMTP_LOGIN=night@example.org
SMTP_PASSWORD="tr0ub@dor/&3"
EMAIL_FROM=night@example.org
EMAIL_TO=ops@example.org, boss@example.org
EMAIL_CC=cc@example.org
CAMBRIDGE_SERVER_PASSWORD=canary-of-the-vault
"""
SECRETS = ('pa$$ "w#rd', "tr0ub", "canary-of-the-vault")


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """An installation of the scripts."""
    base = tmp_path / "Callisto_Astra"
    for name in ("mount", "workdir", "Logs", "eso"):
        (base / name).mkdir(parents=True)
    for name, text in ((".credentials.csh", CREDENTIALS.format(base=base.as_posix())), (".env", ENVIRONMENT)):
        (base / name).write_text(text)
        (base / name).chmod(0o600)
    return base


def move(desk: Desk, base: Path, *words: str) -> tuple[int, str, str]:
    answer = desk.nightferry("init", "--from", f"{base}/.credentials.csh", "--from", f"{base}/.env", *words)
    return answer.code, answer.out, answer.err


def test_credentials_become_a_configuration_and_secret_files(desk: Desk, scripts: Path) -> None:
    code, out, err = move(desk, scripts)
    assert code == DONE, err
    config = load(desk.config)
    callisto = config.telescope["callisto"]
    assert (callisto.preset, callisto.archives) == ("speculoos-callisto", ["eso-callisto"])
    assert config.archive["eso-callisto"].url == f"file://{scripts.as_posix()}/eso"
    assert config.shelf.path == scripts / "workdir" / "nightferry"
    assert config.books.path == scripts / "Logs" / "nightferry"
    logs = config.archive["logs"]
    assert (logs.url, logs.user) == ("sftp://logs.example.org/data/Callisto", "robot")
    assert logs.secret == f"file:{desk.home.as_posix()}/secrets/logs.secret"
    assert (desk.home / "secrets" / "logs.secret").read_text() == "canary-of-the-vault\n"
    (alert,) = config.alerts.urls
    url = (desk.home / "secrets" / "alerts.secret").read_text().strip()
    assert alert == f"file:{desk.home.as_posix()}/secrets/alerts.secret"
    assert url.startswith("mailto://night%40example.org:tr0ub%40dor%2F%263@smtp.example.org:587/ops%40example.org/boss")
    assert "mode=starttls" in url
    assert "cc=cc%40example.org" in url
    for text in (out, err, desk.config.read_text()):
        for secret in SECRETS:
            assert secret not in text, "secrets stand in their files and nowhere else"


if sys.platform != "win32":

    def test_secret_files_are_for_their_owner_alone(desk: Desk, scripts: Path) -> None:
        os.umask(0)
        try:
            assert move(desk, scripts)[0] == DONE
        finally:
            os.umask(0o022)
        for file in (desk.home / "secrets").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE((desk.home / "secrets").stat().st_mode) == 0o700

    def test_credentials_that_others_can_read_are_told(desk: Desk, scripts: Path) -> None:
        (scripts / ".credentials.csh").chmod(0o644)
        assert "can be read by others; run: chmod 600" in move(desk, scripts)[2]


def test_what_cannot_be_translated_is_said(desk: Desk, scripts: Path) -> None:
    err = move(desk, scripts)[2]
    for line in (
        "STARTED is not translated: it is the output of a command",
        "COLOUR is not translated: nightferry knows no such setting",
        "NEEDS is not translated: it needs $NOWHERE",
        "PYTHON_SCRIPTS_PATH is left out: nightferry needs no scripts",
        "callisto: set telescope.callisto.program",
        "the key of logs.example.org must be known",
    ):
        assert line in err, line


def test_nothing_is_written_by_a_dry_run_or_over_what_is_there(desk: Desk, scripts: Path) -> None:
    code, out, _ = move(desk, scripts, "--dry-run")
    assert code == DONE
    assert "[telescope.callisto]" in out
    assert list(desk.home.iterdir()) == []
    (desk.home / "secrets").mkdir()
    (desk.home / "secrets" / "logs.secret").write_text("mine")
    code, _, err = move(desk, scripts)
    assert code == MISCONFIGURED
    assert "exists already" in err
    assert [path.name for path in (desk.home / "secrets").iterdir()] == ["logs.secret"]
    assert not desk.config.exists()
    (desk.home / "secrets" / "logs.secret").unlink()
    assert move(desk, scripts)[0] == DONE
    assert move(desk, scripts)[0] == MISCONFIGURED


def test_a_file_without_a_telescope_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "other.csh").write_text("setenv PATH /bin\n")
    answer = desk.nightferry("init", "--from", f"{tmp_path}/other.csh")
    assert answer.code == MISCONFIGURED
    assert "TELESCOPE_NAME" in answer.err


# the control PC's share ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def control_pc() -> Iterator[Smbd]:
    with smbd("server signing = mandatory") as server:
        yield server


def with_share(scripts: Path, control_pc: Smbd, path: str, **others: str) -> None:
    """Have the scripts' credentials name a folder on a real control PC."""
    text = CREDENTIALS.format(base=scripts.as_posix())
    changes = {"CONTROL_PC_IP": f"127.0.0.1:{control_pc.port}", "CONTROL_PC_PATH": path, "CONTROL_PC_USER": USER}
    changes |= {"CONTROL_PC_PASSWORD": f"'{PASSWORD}'"} | others
    for name, value in changes.items():
        line = f"setenv {name} {value}".replace("\\", r"\\")
        text = re.sub(f"(?m)^setenv {name} .*$", line, text)
    (scripts / ".credentials.csh").write_text(text)


@pytest.mark.parametrize("written", ["/{share}/night frames/", "\\\\{share}\\night frames", "{share}/night frames"])
def test_frames_come_from_the_share_that_the_scripts_mounted(
    desk: Desk, scripts: Path, control_pc: Smbd, tmp_path: Path, written: str
) -> None:
    folder = control_pc.folder / "night frames" / tmp_path.name / "20260222"
    folder.mkdir(parents=True)
    (folder / "light_1.fits").write_bytes(astra_frame(number=1))
    path = written.format(share=SHARE) + f"/{tmp_path.name}"
    with_share(scripts, control_pc, f"'{path}'")
    code, out, err = move(desk, scripts)
    assert code == DONE, err
    callisto = load(desk.config).telescope["callisto"]
    source = f"smb://127.0.0.1:{control_pc.port}/{SHARE}/night%20frames/{tmp_path.name}"
    assert (callisto.source, callisto.user) == (source, USER)
    secret = desk.home / "secrets" / "callisto-control-pc.secret"
    assert callisto.secret == f"file:{secret.as_posix()}"
    assert secret.read_text() == f"{PASSWORD}\n"
    for text in (out, err, desk.config.read_text()):
        assert PASSWORD not in text
    assert "mount" not in err, "nothing need be mounted any more"
    text = desk.config.read_text().replace(
        'preset = "speculoos-callisto"', 'preset = "speculoos-callisto"\nsettle = "0 s"\nroute = ["verify"]'
    )
    desk.config.write_text(text)
    answer = desk.nightferry("run", "callisto", "--night", "20260222", "--json")
    assert answer.code == DONE, answer.err
    assert answer.sheet().delivered == 1


def test_a_share_whose_password_is_not_in_the_file_is_asked_for(desk: Desk, scripts: Path, control_pc: Smbd) -> None:
    with_share(scripts, control_pc, SHARE, CONTROL_PC_PASSWORD="")
    code, _, err = move(desk, scripts)
    assert code == DONE
    assert "CONTROL_PC_PASSWORD is not set; write the password into" in err
    assert load(desk.config).telescope["callisto"].secret is None


def test_without_a_control_pc_frames_are_read_where_the_scripts_had_it_mounted(desk: Desk, scripts: Path) -> None:
    text = re.sub("(?m)^setenv CONTROL_PC_(IP|PATH) .*$", "", CREDENTIALS.format(base=scripts.as_posix()))
    (scripts / ".credentials.csh").write_text(text)
    code, _, err = move(desk, scripts)
    assert code == DONE
    assert load(desk.config).telescope["callisto"].source == f"file://{scripts.as_posix()}/mount"
    assert f"where the scripts mounted the control PC, {scripts}/mount; mount it at boot" in err


# running by itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def set_up(desk: Desk, tmp_path: Path) -> Desk:
    """A desk whose checks pass."""
    card = tmp_path / "card" / "2026-09-11_21-10-37_observation_M31"
    card.mkdir(parents=True)
    (card / "img-0001.fits").write_bytes(frame(1))
    desk.configure((tmp_path / "card").as_uri())
    return desk


def units(desk: Desk) -> Path:
    return desk.home / "units" / "systemd" / "user"


def service(desk: Desk, *words: str) -> tuple[int, str]:
    answer = desk.nightferry("service", "--into", f"{units(desk)}", *words)
    return answer.code, answer.out


def check(desk: Desk, *words: str) -> tuple[int, list[str]]:
    environment = {"XDG_CONFIG_HOME": f"{desk.home}/units"}
    answer = desk.nightferry("check", *words, "--json", env=environment)
    return answer.code, [str(line["found"]) for line in answer.json() if line["check"] == "service"]


if sys.platform != "win32":

    def test_units_start_this_program_with_this_configuration(set_up: Desk) -> None:
        assert service(set_up)[0] == DONE
        text = (units(set_up) / "nightferry.service").read_text()
        assert "@" not in text
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(text)
        command = parser["Service"]["ExecStart"].split()
        assert Path(command[0]).name == "nightferry"
        assert command[1:] == ["--config", f"{set_up.config}", "watch"]
        assert parser["Install"]["WantedBy"] == "default.target"
        assert "as it should be" in service(set_up)[1]

    def test_a_timer_runs_once_a_day_and_catches_up(set_up: Desk) -> None:
        assert service(set_up, "--timer", "--at", "09:05")[0] == DONE
        assert "OnCalendar=*-*-* 09:05:00" in (units(set_up) / "nightferry.timer").read_text()
        assert "Persistent=true" in (units(set_up) / "nightferry.timer").read_text()
        assert "run --night open" in (units(set_up) / "nightferry-run.service").read_text()
        assert service(set_up, "--timer", "--at", "9 o'clock")[0] == MISCONFIGURED

    def test_a_cron_line_is_printed(set_up: Desk) -> None:
        code, out = service(set_up, "--cron", "--at", "13:45")
        assert code == DONE
        assert out.startswith("45 13 * * * ")
        assert f"--config {set_up.config} run --night open --json" in out
        assert list(set_up.home.glob("units/**/*")) == []

    def test_check_sees_whether_a_service_is_in_place(set_up: Desk) -> None:
        code, found = check(set_up)
        assert (code, found) == (DONE, [])
        code, found = check(set_up, "--service")
        assert code == MISCONFIGURED
        assert "see: nightferry service" in found[0]
        service(set_up)
        code, found = check(set_up)
        assert code == MISCONFIGURED
        assert "is not enabled; run: systemctl --user enable --now nightferry.service" in found[0]
        wants = units(set_up) / "default.target.wants"
        wants.mkdir()
        (wants / "nightferry.service").symlink_to(units(set_up) / "nightferry.service")
        code, found = check(set_up, "--service")
        assert code == DONE, found
        assert "is enabled" in found[0]

    def test_check_names_a_timer_that_carries_yesterday_evening_alone(set_up: Desk) -> None:
        service(set_up, "--timer", "--at", "09:05")
        wants = units(set_up) / "timers.target.wants"
        wants.mkdir()
        (wants / "nightferry.timer").symlink_to(units(set_up) / "nightferry.timer")
        assert check(set_up)[0] == DONE
        unit = units(set_up) / "nightferry-run.service"
        unit.write_text(unit.read_text().replace("--night open", "--night last"))
        code, found = check(set_up)
        assert code == MISCONFIGURED
        assert "says --night last" in found[0]
        assert "nightferry service --timer --at 09:05" in found[0]

    def test_check_sees_a_service_that_starts_something_else(set_up: Desk) -> None:
        service(set_up)
        unit = units(set_up) / "nightferry.service"
        text = unit.read_text()
        unit.write_text(text.replace("/nightferry --config", "/gone/nightferry --config"))
        assert "which is not there" in check(set_up)[1][0]
        unit.write_text(text.replace(f"{set_up.config}", "/etc/other.toml"))
        assert "is for another configuration, /etc/other.toml" in check(set_up)[1][0]


def test_check_looks_at_alerts_and_at_the_store_of_copies(set_up: Desk) -> None:
    text = set_up.config.read_text()
    set_up.config.write_text(text + '[alerts]\nurls = ["env:MAIL"]\nping = "env:PING"\n')
    missing = set_up.nightferry("check")
    assert missing.code == MISCONFIGURED
    assert "MAIL" in missing.out
    good = {"MAIL": "mailto://smtp.example.org/a@example.org?from=b@example.org", "PING": "https://example.org/secret"}
    assert set_up.nightferry("check", env=good).code == DONE
    wrong = set_up.nightferry("check", env=good | {"MAIL": "nonsense://secret-token"})
    assert wrong.code == MISCONFIGURED
    assert "secret-token" not in wrong.out + wrong.err
