"""How a command ends: exit codes and the last words."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from nightferry.api._check import _try
from nightferry.cli.exits import BUG, DONE, FAILED, HELD, MISCONFIGURED, guarded
from nightferry.cli.run import _worst


def ending(command: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as end:
        guarded(command)
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_bug_ends_a_command_with_70_and_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def command() -> None:
        raise LookupError("no such thing")

    assert ending(command, monkeypatch) == BUG
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "a bug in nightferry ended the command (LookupError: no such thing)" in said
    assert "please report it" in said
    found = re.search(r"traceback in (\S+)", said)
    assert found is not None
    report = Path(found[1])
    assert report.parent == tmp_path
    assert "Traceback" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ESTALE, errno.EHOSTDOWN, errno.EIO, errno.EACCES])
def test_no_error_of_the_operating_system_is_a_bug(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise OSError(number, "the mount is dead", "/mnt/nas/library")

    assert ending(command, monkeypatch) == FAILED
    said = capsys.readouterr().err
    assert f"/mnt/nas/library: the mount is dead ({errno.errorcode[number]})" in said


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ESTALE, errno.EHOSTDOWN, errno.EIO, errno.EACCES])
def test_a_check_of_a_dead_mount_says_so_and_goes_on(number: int) -> None:
    def look() -> str:
        raise OSError(number, "the mount is dead", "/mnt/nas")

    found = _try("shelf", look)
    assert not found.ok
    assert "/mnt/nas: the mount is dead" in found.found


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([MISCONFIGURED], MISCONFIGURED),
        ([MISCONFIGURED, MISCONFIGURED], MISCONFIGURED),
        ([MISCONFIGURED, DONE], FAILED),
        ([MISCONFIGURED, HELD], HELD),
        ([DONE, DONE], DONE),
    ],
)
def test_misconfigured_is_a_command_that_started_nothing(codes: list[int], code: int) -> None:
    assert _worst(codes) == code
