"""Commands that tests have done by a fork: the same answers as from an interpreter of their own, and as much alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.astra import astra_frame
from tests.quick_start import AVAILABLE, Forker, nightferry, shared_forker

if AVAILABLE:

    @pytest.mark.parametrize("words", [("--version",), ("presets", "--json"), ("run", "nowhere"), ("no-such-command",)])
    def test_a_forked_command_answers_as_a_started_one(tmp_path: Path, words: tuple[str, ...]) -> None:
        assert shared_forker().suits(os.environ)
        config = ("--config", str(tmp_path / "none.toml"))
        forked = nightferry(*config, *words)
        started = subprocess.run(
            [sys.executable, "-W", "error", "-m", "nightferry", *config, *words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
        assert forked.stderr == started.stderr

    def test_a_command_has_its_own_folder_environment_and_umask(tmp_path: Path) -> None:
        (tmp_path / "light.fits").write_bytes(astra_frame())
        config = tmp_path / "config.toml"
        env = dict(os.environ) | {"NIGHTFERRY_CONFIG": str(config)}
        config.write_text("[ledgers]\n")
        assert "ledgers" in nightferry("nights", env=env, cwd=tmp_path).stderr
        words = (
            "standardise",
            "light.fits",
            "--telescope",
            "speculoos-callisto",
            "--program",
            "60.A-9009(D)",
            "--into",
            "here",
        )
        before = os.umask(0o077)
        try:
            (tmp_path / "here").mkdir()
            made = nightferry("--config", "none.toml", *words, cwd=tmp_path)
        finally:
            os.umask(before)
        assert made.returncode == 0, made.stderr
        modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "here").rglob("*") if path.is_file()]
        assert modes
        assert set(modes) <= {0o600, 0o400}

    @pytest.mark.parametrize("name", ["TZ", "LC_ALL", "LD_PRELOAD", "PYTHONUTF8", "FAKETIME"])
    def test_what_an_interpreter_reads_at_its_start_takes_an_interpreter(name: str) -> None:
        assert not shared_forker().suits(dict(os.environ) | {name: "another"})

    def test_a_command_that_hangs_is_killed(tmp_path: Path) -> None:
        forker = Forker()
        try:
            config = tmp_path / "pipe.toml"
            os.mkfifo(config)  # whoever reads it waits for a writer
            with pytest.raises(subprocess.TimeoutExpired):
                forker.run(["--config", str(config), "nights"], os.environ, tmp_path, 0.5)
            assert forker.run(["--version"], os.environ, tmp_path, 240).returncode == 0, "others go on"
        finally:
            forker.close()
