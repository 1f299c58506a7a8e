"""Nightferry under Windows' own Python, which runs here under Wine: the fixture `windows`.

Test modules import this one for types only; everything they use comes to them as a fixture.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import pytest

import nightferry
from tests.servers.programs import unpacked

#: Seconds after which a program under Wine is taken to hang; a busy machine takes a tenth of it.
PATIENCE = 600


@dataclass(frozen=True)
class Ended:
    """A program that ended: its exit code, and what it printed with Unix's line ends."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Windows:
    """A Windows of this session's own, with a Python that has nightferry; this machine's files are on its drive Z."""

    python: tuple[str, ...]
    environment: Mapping[str, str]

    def path(self, path: Path) -> str:
        """Return what a file is called there."""
        return "Z:" + str(path).replace("/", "\\")

    def nightferry(self, *words: str, folder: Path) -> Ended:
        """Type a command in a folder and wait for its end; a traceback is never an answer."""
        return self.run("-m", "nightferry", *words, folder=folder)

    def run(self, *words: str, folder: Path) -> Ended:
        """Run Python in a folder and wait for its end."""
        process = subprocess.Popen(
            [*self.python, *words],
            env=self.environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # Python does not start there when it is to write into a file
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate(timeout=PATIENCE)
            pytest.fail(f"{words} did not end within {PATIENCE} s; it printed:\n{out}\n{err}")
        for bad in ("Traceback", "Exception ignored", "Warning:"):
            assert bad not in err, err
        return Ended(process.returncode, out, err)


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Windows]:
    """A Windows that lives as long as the session, with the nightferry that these tests run with."""
    place = _filled()
    home = tmp_path_factory.mktemp("windows")
    programs = place / "wine/usr/lib/wine"
    environment = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": str(place / "wine/usr/lib/x86_64-linux-gnu"),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"Z:{_application(home / 'application')}".replace("/", "\\"),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": "mscoree,mshtml=;winemenubuilder.exe=d",
        "WINEPREFIX": str(_prefix(place / "prefix", home / "prefix")),
    }

    def wine(*words: str | Path) -> None:
        subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # Windows' services keep what they are given
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        )

    # Its services are started once, and end by themselves should this process be killed.
    wine(programs / "wineserver", "--persistent=300")
    try:
        wine(programs / "wine64", "wineboot")
        yield Windows((str(programs / "wine64"), str(place / "python/python.exe")), environment)
    finally:
        wine(programs / "wineserver", "--kill")


def _filled() -> Path:
    """Return the folder that scripts/windows-python.sh fills."""
    place = unpacked("windows")
    assert (place / "python/made-from").exists(), (
        f"there is no Python for Windows in {place}; run scripts/test (or scripts/windows-python.sh), which gets it"
    )
    return place


def _prefix(made: Path, own: Path) -> Path:
    """Make a Windows of one's own: registry and users are copied, what Windows consists of is not."""
    (own / "dosdevices").mkdir(parents=True)
    (own / "dosdevices/c:").symlink_to("../drive_c")
    (own / "dosdevices/z:").symlink_to("/")
    for name in (".update-timestamp", "system.reg", "user.reg", "userdef.reg"):
        shutil.copy2(made / name, own / name)
    (own / "drive_c").mkdir()
    (own / "drive_c/windows").symlink_to(made / "drive_c/windows")
    for name in ("Program Files", "ProgramData", "users"):
        shutil.copytree(made / "drive_c" / name, own / "drive_c" / name, symlinks=True)
    return own


def _application(folder: Path) -> Path:
    """Copy nightferry, and what is said of it, to where no package of this machine's Python lies beside it."""
    package = Path(nightferry.__file__).parent
    shutil.copytree(package, folder / "nightferry", ignore=shutil.ignore_patterns("__pycache__"))
    about = distribution("nightferry")
    for file in about.files or ():
        if file.parts[0].endswith(".dist-info"):
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(about.locate_file(file)), target)
    return folder
