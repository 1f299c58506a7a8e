"""Whole nights through the installed command line: the desk at which they are rehearsed, and what is asked there.

Test modules import this one for types only; everything they use comes to them as a fixture.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from blake3 import blake3

from nightferry.testing.encode import fits_image
from nightferry.testing.telescope import simulated_vespera
from nightferry.testing.vespera import NightPlan, build_night
from tests.quick_start import nightferry
from tests.servers.ftp_server import FtpServer

EVENING = date(2026, 9, 11)
#: Seconds within which comes whatever comes, on a busy machine, too.
LONG = 300.0
#: Exit codes, as the contract has them.
DONE, HELD, MISCONFIGURED, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_BALANCE_KEYS = {
    "telescope", "night", "seen", "delivered", "held", "failed", "ignored", "pending", "balanced", "complete",
    "bytes",
}  # fmt: skip


class Sheet(NamedTuple):
    """One night's balance as `run --json` and `nights --json` tell it."""

    night: str
    seen: int
    delivered: int
    held: int
    failed: int
    ignored: int
    pending: int
    bytes: int


@dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code and what it printed."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str

    def json(self) -> list[dict[str, object]]:
        """Read stdout as JSON lines, of which nothing else may be there."""
        return [json.loads(line) for line in self.out.splitlines()]

    def sheets(self) -> list[Sheet]:
        """Read balances, and check that each adds up and has the keys of the contract."""
        found = []
        for line in self.json():
            assert set(line) - {"seconds"} == _BALANCE_KEYS, line
            numbers = [line[key] for key in Sheet._fields[1:]]
            sheet = Sheet(str(line["night"]), *(number for number in numbers if isinstance(number, int)))
            _, seen, delivered, held, failed, ignored, pending, _ = sheet
            assert seen == delivered + held + failed + ignored + pending, line
            assert line["balanced"] is True, line
            found.append(sheet)
        return found

    def sheet(self) -> Sheet:
        """Read the balance of the only night."""
        (found,) = self.sheets()
        return found


@dataclass(frozen=True)
class Desk:
    """One user's folder: configuration, library, shelf and ledger, and the commands typed there."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "nightferry.toml"

    @property
    def library(self) -> Path:
        return self.home / "library"

    @property
    def shelf(self) -> Path:
        return self.home / "shelf"

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.db"

    def configure(
        self,
        source: str,
        *,
        telescope: str = "",
        archive: str = "",
        library: Path | None = None,
        settle: str = "0 s",
        floor: str = "1 MB",
        sections: str = "",
    ) -> None:
        """Write a configuration; what is given as text is added to its section as it is."""
        text = f"""\
[ledger]
url = "sqlite:///{self.ledger.as_posix()}"

[shelf]
path = "{self.shelf.as_posix()}"
floor = "{floor}"

[telescope.vespera]
preset = "vespera"
source = "{source}"
archives = ["library"]
settle = "{settle}"
timeout = "120 s"
{telescope}

[archive.library]
url = "{(library or self.library).as_uri()}"
{archive}
{sections}
"""
        self.config.write_text(text, encoding="utf-8")

    def nightferry(self, *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Ended:
        """Type a command and wait for its end; a traceback is never an answer."""
        done = nightferry("--config", str(self.config), *words, env=self._environment(env), cwd=cwd or self.home)
        for bad in ("Traceback", "Exception ignored", "Warning:"):
            assert bad not in done.stderr, done.stderr
        return Ended(words, done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Type a command and go on; the caller ends it."""
        return subprocess.Popen(
            self._command(words),
            env=self._environment(env),
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
        )

    def run(self, *words: str) -> Ended:
        """Carry all nights, with the answer as JSON."""
        return self.nightferry("run", "vespera", "--night", "all", "--json", *words)

    def balance(self) -> Sheet:
        """Ask for the balance of the only night."""
        return self.nightferry("nights", "--json").sheet()

    def held(self) -> dict[str, str]:
        """Ask what is held: path to reason."""
        answer = self.nightferry("held", "--json")
        assert answer.code == (HELD if answer.out else DONE)
        return {str(line["name"]): str(line["reason"]) for line in answer.json()}

    def receipts(self, frame: str) -> list[dict[str, object]]:
        """Ask for one frame's receipts."""
        (line,) = self.nightferry("why", frame, "--json").json()
        receipts = line["receipts"]
        assert isinstance(receipts, list)
        return receipts

    def carried(self) -> dict[str, str]:
        """Look into the library: every file that is there, with its digest."""
        return digests(self.library)

    def parts(self) -> list[str]:
        """Look for unfinished files, in the library and on the shelf."""
        return [
            path for folder in (self.library, self.shelf) for path in digests(folder) if path.endswith((".part", "~"))
        ]

    def _command(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "nightferry", "--config", str(self.config), *words]

    def _environment(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        """Make an environment in which no setting of the machine's user can be found."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("NIGHTFERRY", "XDG_"))}
        return kept | {"HOME": str(self.home), "PYTHONIOENCODING": "utf-8:surrogateescape"} | dict(extra or {})


def digests(folder: Path) -> dict[str, str]:
    """Tell every file below a folder with its BLAKE3 digest; links are not followed.

    The folder may be worked in: a file that has another name by now is left out.
    """
    found: dict[str, str] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_symlink():
                continue
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = blake3(path.read_bytes()).hexdigest()
    return found


def frame(seed: int = 1, size: tuple[int, int] = (32, 24)) -> bytes:
    """Make a small whole FITS frame, another one for each seed."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 60_000, (height, width), np.uint16)
    return fits_image([("OBJECT", "M31", "target")], pixels)


def until(condition: Callable[[], bool], what: str, seconds: float = LONG) -> None:
    """Wait until something is so, or fail with what it was that did not come."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"waited {seconds:g} s in vain until {what}"
        time.sleep(0.01)


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """Mount a small disk of its own there, for as long as the block lasts; where `MOUNTS` is true."""
    place.mkdir(exist_ok=True)
    _tool("mount", "-t", "tmpfs", "-o", f"size={size}", "nightferry-test", str(place))
    try:
        yield
    finally:
        _tool("umount", str(place))


@contextmanager
def read_only(place: Path) -> Iterator[None]:
    """Let nobody write there for as long as the block lasts; root may whatever the rights say, so it needs `MOUNTS`."""
    place.mkdir(exist_ok=True)
    if not MOUNTS:
        place.chmod(0o555)
        yield
        place.chmod(0o755)
        return
    _tool("mount", "--bind", str(place), str(place))
    try:
        _tool("mount", "-o", "remount,ro,bind", str(place))
        yield
    finally:
        _tool("umount", str(place))


def _tool(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _can_mount() -> bool:
    """Find out whether this machine lets us mount disks; root in a container often may not."""
    if sys.platform != "linux" or not ROOT:
        return False
    with tempfile.TemporaryDirectory() as place:
        try:
            _tool("mount", "-t", "tmpfs", "-o", "size=4k", "nightferry-test", place)
        except (OSError, subprocess.CalledProcessError):
            return False
        _tool("umount", place)
    return True


ROOT = sys.platform != "win32" and os.geteuid() == 0
#: Whether tests can have disks of their own. (What needs them is made only where they can be had.)
MOUNTS = _can_mount()


@dataclass(frozen=True)
class Telescope:
    """A simulated Vespera with a night of its own, which a test may change."""

    url: str
    plan: NightPlan
    root: Path

    def wanted(self, suffixes: tuple[str, ...] = (".fits", ".tiff", ".tif", ".FITS")) -> dict[str, str]:
        """Tell the files that are whole and of a wanted kind: path to digest."""
        return {file.path: file.digest for file in self.plan.files if file.path.endswith(suffixes) and not file.fault}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A user's empty folder."""
    home = tmp_path / "home"
    home.mkdir()
    return Desk(home)


@pytest.fixture(scope="session")
def desk_at() -> Callable[[Path], Desk]:
    """Give what sets up a desk in a folder that is there, for nights that several tests share."""
    return Desk


@pytest.fixture(scope="session")
def made_night(tmp_path_factory: pytest.TempPathFactory) -> NightPlan:
    """A night in all layouts with all awkward files; shared, so nobody may change it."""
    root = tmp_path_factory.mktemp("made") / "user"
    return build_night(root, seed=1, evening=EVENING, observations=5, lights=2, size=(96, 64), quirks=True)


@pytest.fixture
def night(made_night: NightPlan, tmp_path: Path) -> NightPlan:
    """A copy of the night for one test."""
    root = tmp_path / "card"
    shutil.copytree(made_night.root, root, symlinks=True)
    return NightPlan(root, made_night.evening, made_night.files, made_night.links, made_night.left_out)


@pytest.fixture
def vespera(night: NightPlan) -> Iterator[Telescope]:
    """The simulated telescope, serving a night of this test's own."""
    with simulated_vespera(night.root) as served:
        yield Telescope(served.url, night, night.root)


@pytest.fixture(scope="session")
def carried_once(made_night: NightPlan, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with the whole night in its library and the telescope switched off; shared, so nobody may change it."""
    home = tmp_path_factory.mktemp("carried") / "home"
    home.mkdir()
    desk = Desk(home)
    with simulated_vespera(made_night.root) as served:
        desk.configure(served.url)
        assert desk.run().code == HELD
    return desk


@pytest.fixture
def carried(carried_once: Desk, vespera: Telescope, tmp_path: Path) -> Desk:
    """A desk of this test's own, with the whole night in its library and the telescope on."""
    home = tmp_path / "home"
    shutil.copytree(carried_once.home, home)
    desk = Desk(home)
    desk.configure(vespera.url)
    return desk


@pytest.fixture
def bad_server() -> Iterator[FtpServer]:
    """A server that misbehaves on demand, empty."""
    with FtpServer() as server:
        yield server
