"""A store that nobody here has heard of carries a night: installed from outside, as source and as archive."""

import json
import os
import subprocess
import sys
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from nightferry.testing.vespera import build_night

#: The in-memory store under another name: each host is a disk of its own, for as long as the process lives.
PACKAGE = """
from nightferry.stores.kinds import Keys, StoreKind
from nightferry.stores.memory import MemoryDisk, MemoryStore

DISKS: dict[str, MemoryDisk] = {}

class AtticKeys(Keys):
    shelf: int = 0

def make(place, keys):
    disk = DISKS.setdefault(place.url.hostname, MemoryDisk())
    return MemoryStore(disk, label=f"attic://{place.url.hostname}, shelf {keys.shelf}")

ATTIC = StoreKind(AtticKeys, make)
"""
CARRY = """
import json, sys
from hashlib import sha256
from pathlib import Path
import nightferry
from attic_of_memories import DISKS
from nightferry.core.store import StorePath
from nightferry.stores.memory import MemoryDisk, MemoryFile

tree = Path(sys.argv[1])
DISKS["telescope"] = MemoryDisk({
    StorePath(file.relative_to(tree).as_posix()): MemoryFile(file.read_bytes(), file.stat().st_mtime_ns // 1000)
    for file in sorted(tree.rglob("*")) if file.is_file()
})
config = nightferry.load(Path(sys.argv[2]))
with nightferry.open_ledger(config) as ledger:
    done = nightferry.run(config, ledger, "vespera", ["all"])
    print(json.dumps([
        [(balance.seen, balance.delivered, balance.ignored, balance.closed) for balance in done.balances],
        [sha256(file.data).hexdigest() for file in DISKS["vault"].files.values()],
    ]))
"""
CONFIG = """
[shelf]
path = "{home}/shelf"
floor = "1 B"

[ledger]
url = "sqlite:///{home}/ledger.db"

[telescope.vespera]
preset = "vespera"
source = "attic://telescope/user"
settle = "0 s"
archives = ["vault"]
shelf = 2

[archive.vault]
url = "attic://vault"
shelf = 7
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a night, a configuration, and a package that pip put beside them."""
    build_night(tmp_path / "night", seed=1, evening=date(2026, 9, 12), observations=1, lights=4)
    site = tmp_path / "site"
    info = site / "attic-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "attic_of_memories.py").write_text(PACKAGE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: attic\nVersion: 1.0\n", encoding="utf-8")
    points = "[nightferry.stores]\nattic = attic_of_memories:ATTIC\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    (tmp_path / "config.toml").write_text(CONFIG.format(home=tmp_path.as_posix()), encoding="utf-8")
    return tmp_path


def python(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the package is installed."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(home / "site"), *sys.path])}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=environment, cwd=home
    )


def test_a_store_of_another_package_carries_a_night_as_source_and_as_archive(home: Path) -> None:
    done = python(home, "-c", CARRY, str(home / "night"), str(home / "config.toml"))
    assert done.returncode == 0, done.stderr
    [(seen, delivered, ignored, closed)], stored = json.loads(done.stdout)
    planted = {sha256(file.read_bytes()).hexdigest() for file in (home / "night").rglob("*") if file.is_file()}
    assert (seen, len(stored), closed) == (delivered + ignored, delivered, True)
    assert delivered > 3
    assert len(set(stored)) == delivered
    assert set(stored) <= planted


def test_a_mistake_in_the_keys_of_another_package_is_answered_with_its_line(home: Path) -> None:
    config = home / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace("shelf = 7", "shelv = 7"), encoding="utf-8")
    answer = python(home, "-m", "nightferry", "--config", str(config), "status")
    assert answer.returncode == 2
    assert f"{config}:18: archive.vault.shelv: unknown key; did you mean 'shelf'" in answer.stderr.replace("\n", "")
