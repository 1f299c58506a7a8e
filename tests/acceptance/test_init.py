"""Setting up: what init writes is what run reads, asked or told; and check says whether it will work."""

import os
import re
import select
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from nightferry.stores.sftp.process import fingerprint
from tests.acceptance.conftest import (
    DONE,
    FAILED,
    HELD,
    INTERRUPTED,
    LONG,
    MISCONFIGURED,
    Desk,
    Ended,
    Telescope,
    frame,
    until,
)
from tests.servers.sshd import USER, sshd


def told(desk: Desk, source: str, *words: str) -> Ended:
    return desk.nightferry("init", "--preset", "vespera", "--source", source, "--library", str(desk.library), *words)


def test_what_init_writes_carries_a_night(desk: Desk, vespera: Telescope) -> None:
    answer = told(desk, vespera.url)
    assert answer.code == DONE, answer
    assert f"reached {vespera.url}" in answer.out
    assert f"wrote {desk.config}" in answer.out
    assert "run vespera --night all" in answer.out
    text = desk.config.read_text()
    assert text.count("#") > 8, "a configuration that explains itself"
    assert "[telescope.vespera.clear]" not in tomllib.loads(text)["telescope"]["vespera"]
    desk.config.write_text(text.replace('settle = "10 s"', 'settle = "0 s"'))
    done = desk.nightferry("run", "vespera", "--night", "all", "--json")
    assert (done.code, done.sheet().delivered) == (HELD, 28)
    assert (desk.library / "M 31").is_dir()


def test_the_spelling_of_the_root_that_works_is_the_one_that_is_written(desk: Desk, vespera: Telescope) -> None:
    answer = told(desk, vespera.url.replace("/user", "/USER"))
    assert answer.code == DONE
    assert tomllib.loads(desk.config.read_text())["telescope"]["vespera"]["source"] == vespera.url


def test_a_configuration_is_never_overwritten(desk: Desk, vespera: Telescope) -> None:
    desk.config.write_text("# mine")
    answer = told(desk, vespera.url)
    assert answer.code == MISCONFIGURED
    assert "exists already" in answer.err
    assert desk.config.read_text() == "# mine"


def test_a_dry_run_prints_the_configuration_and_writes_nothing(desk: Desk, vespera: Telescope) -> None:
    answer = told(desk, vespera.url, "--dry-run")
    assert answer.code == DONE
    assert tomllib.loads(answer.out[answer.out.index("#") :])["telescope"]["vespera"]["preset"] == "vespera"
    assert not desk.config.exists()
    assert not desk.library.exists()


def test_a_telescope_out_of_reach_is_told_before_anything_is_written(desk: Desk) -> None:
    answer = told(desk, "ftp://127.0.0.1:1/user")
    assert answer.code == MISCONFIGURED
    assert "nothing was written" in answer.err
    assert "--no-test" in answer.err
    assert not desk.config.exists()
    assert told(desk, "ftp://127.0.0.1:1/user", "--no-test").code == DONE
    assert desk.nightferry("check").code == FAILED


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--preset", "vesper"), "did you mean 'vespera'"),
        (("--name", "a b"), "no good name"),
        (("--source", "10.0.0.1"), "a store we know"),
        (("--secret", "hunter2"), "a secret is a reference"),
    ],
)
def test_a_wrong_answer_writes_nothing(desk: Desk, words: tuple[str, ...], complaint: str) -> None:
    answer = desk.nightferry("init", "--no-test", "--library", str(desk.library), *words)
    assert answer.code == MISCONFIGURED
    assert complaint in answer.err
    assert "hunter2" not in answer.err
    assert not desk.config.exists()


@pytest.mark.parametrize("name", ["vespera-2", "my.vespera", "V_1"])
def test_every_name_that_is_allowed_works(desk: Desk, name: str) -> None:
    words = ("--no-test", "--name", name, "--library", str(desk.library))
    assert desk.nightferry("init", *words).code == DONE
    assert list(tomllib.loads(desk.config.read_text())["telescope"]) == [name]
    assert desk.nightferry("nights", name).code == DONE


def test_a_library_whose_name_has_blanks_and_signs_works(desk: Desk, vespera: Telescope) -> None:
    library = desk.home / 'My "best" 100% nights #1 ü'
    answer = desk.nightferry("init", "--source", vespera.url, "--library", str(library))
    assert answer.code == DONE
    desk.config.write_text(desk.config.read_text().replace('settle = "10 s"', 'settle = "0 s"'))
    assert desk.run().sheet().delivered == 28
    assert (library / "M 31").is_dir()


@pytest.mark.parametrize("which", ["config", "library"])
def test_a_place_that_cannot_be_is_for_the_operator(desk: Desk, which: str) -> None:
    (desk.home / "file").write_text("")
    library = desk.home / "file" / "library" if which == "library" else desk.library
    there = Desk(desk.home / "file") if which == "config" else desk
    command = ("init", "--no-test", "--library", str(library))
    answer = Desk.nightferry(there, *command, cwd=desk.home)
    assert answer.code == MISCONFIGURED
    assert "cannot be made" in answer.err
    assert not desk.config.exists()


def test_without_anybody_to_ask_what_has_no_default_must_be_told(desk: Desk) -> None:
    answer = desk.nightferry("init", "--preset", "generic", "--library", str(desk.library))
    assert answer.code == MISCONFIGURED
    assert "say it with an option" in answer.err


def test_check_says_of_each_part_whether_it_will_work(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    answer = desk.nightferry("check", "--json")
    assert answer.code == DONE, answer
    checks = {str(line["check"]).partition(":")[0]: line for line in answer.json()}
    assert set(checks) == {"ledger", "shelf", "telescope vespera", "archive library"}
    assert all(line["ok"] is True for line in checks.values())
    assert "not there yet" in str(checks["archive library"]["found"])
    assert "free, floor" in str(checks["shelf"]["found"])
    desk.library.mkdir()
    people = desk.nightferry("check")
    assert "all 4 checks passed" in people.out


def test_check_finds_a_library_whose_disk_is_not_mounted(carried: Desk) -> None:
    carried.library.rename(carried.home / "unmounted")
    answer = carried.nightferry("check")
    assert answer.code == MISCONFIGURED
    assert "1 of 4 checks failed" in answer.out
    assert "Is its disk mounted" in answer.out


if sys.platform != "win32":
    #: Makes the terminal on stdin the process' own, so that Ctrl-C reaches it, and becomes nightferry.
    _LAUNCH = (
        "import fcntl, runpy, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        "runpy.run_module('nightferry', run_name='__main__', alter_sys=True)"
    )

    class Terminal:
        """A person's terminal, in which a command asks."""

        def __init__(self, desk: Desk, *words: str) -> None:
            import pty

            self.fd, inner = pty.openpty()
            self.process = subprocess.Popen(
                [sys.executable, "-c", _LAUNCH, "--config", str(desk.config), *words],
                env={**os.environ, "HOME": str(desk.home), "TERM": "xterm"},
                cwd=desk.home,
                stdin=inner,
                stdout=inner,
                stderr=inner,
                start_new_session=True,
            )
            os.close(inner)
            self.shown = ""

        def answers(self, question: str, answer: str) -> None:
            """Wait for a question on the screen, and answer it."""
            until(lambda: self._reads(question), f"it asks {question!r}")
            self.shown = ""
            os.write(self.fd, answer.encode())

        def ends(self) -> tuple[int, str]:
            """Wait for the end; tell exit code and what was shown since the last question."""
            until(lambda: not self._read(), "it ends")
            os.close(self.fd)
            return self.process.wait(LONG), self.shown

        def _reads(self, words: str) -> bool:
            self._read()
            return words in self.shown

        def _read(self) -> bool:
            """Take in what is shown; False at the end."""
            if not select.select([self.fd], [], [], 0.02)[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # how Linux tells the end of a terminal
                return False
            self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
            return bool(data)

    def test_on_a_terminal_it_asks_what_it_must(desk: Desk, vespera: Telescope) -> None:
        terminal = Terminal(desk, "init")
        terminal.answers("Which telescope", "telescope\n")
        terminal.answers("expected one of", "vespera\n")
        terminal.answers("What to call it", "\n")
        terminal.answers("Where its files are", f"{vespera.url}\n")
        terminal.answers("Folder for the library", f"{desk.library}\n")
        code, shown = terminal.ends()
        assert code == DONE, shown
        assert "reached" in shown
        assert desk.config.exists()
        assert desk.library.is_dir()

    @pytest.mark.parametrize(("answer", "code"), [("yes", DONE), ("", MISCONFIGURED)])
    def test_on_a_terminal_an_unknown_server_is_made_known_by_a_plain_yes_alone(
        desk: Desk, answer: str, code: int
    ) -> None:
        with sshd() as server:
            (server.home / "a.fits").write_bytes(frame())
            key = fingerprint("127.0.0.1", server.port).fingerprint
            source = f"sftp://{USER}@127.0.0.1:{server.port}/~/"
            words = ("--name", "pc", "--source", source, "--secret", f"file:{server.key}")
            terminal = Terminal(desk, "init", "--preset", "acp", *words, "--library", str(desk.library))
            until(lambda: terminal._reads(key), "it shows the fingerprint")
            terminal.answers("Is it the same? yes or no", f"{answer}\n")
            ended, shown = terminal.ends()
        assert ended == code, shown
        assert (desk.home / "known_hosts").exists() == desk.config.exists() == (code == DONE)

    def test_ctrl_c_at_a_question_ends_it_and_writes_nothing(desk: Desk) -> None:
        terminal = Terminal(desk, "init")
        terminal.answers("Which telescope", "\x03")
        code, shown = terminal.ends()
        assert code == INTERRUPTED, shown
        assert "Traceback" not in shown
        assert not desk.config.exists()

    def test_on_a_terminal_progress_is_drawn_and_stdout_stays_clean(desk: Desk, vespera: Telescope) -> None:
        desk.configure(vespera.url)
        terminal = Terminal(desk, "run", "vespera", "--night", "all")
        code, shown = terminal.ends()
        assert code == HELD
        assert "frames to go" in shown
        assert re.search(r"vespera +2026-09-11 +47 +28 +3 +0 +16 +0 +582.5 kB +closed", shown), "on 80 columns"
        assert "held: " in shown
        assert Path(desk.library / "M 31").is_dir()
