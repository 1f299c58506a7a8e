"""The demo's whole night under Windows' own Python: the simulated telescope, the pass and its worker processes."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from tests.windows.conftest import Windows

BALANCE = re.compile(r"^vespera +\d{4}-\d\d-\d\d +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+) .* closed", re.MULTILINE)
PASS = re.compile(r"^vespera: (\d+) files listed, (\d+) new, (.*?) in .*$", re.MULTILINE)
HELD = re.compile(r"^  (\S+\.fits): ", re.MULTILINE)


def test_the_demos_night_is_carried_once_and_a_second_pass_moves_nothing(windows: Windows, tmp_path: Path) -> None:
    home = tmp_path / "demo"
    ended = windows.nightferry("demo", "--into", windows.path(home), folder=tmp_path)
    assert ended.code == 0, ended.out + ended.err

    first, second = BALANCE.findall(ended.out)
    assert first == second
    seen, delivered, held, failed, ignored, pending = map(int, first)
    assert seen == delivered + held + failed + ignored + pending
    assert (failed, pending) == (0, 0)
    _, again = PASS.findall(ended.out)
    assert again == (str(seen), "0", "nothing pulled")

    refused = HELD.findall(ended.out)
    assert len(refused) == held == 3
    frames = wanted(home / "telescope")
    assert frames.keys() >= set(refused)
    assert digests(home / "library") == Counter(frames[path] for path in frames.keys() - set(refused))
    assert delivered == len(frames) - held


def wanted(telescope: Path) -> dict[str, str]:
    """Return the telescope's frames: path to digest."""
    paths = [path for path in telescope.rglob("*") if path.suffix.lower() in {".fits", ".tif", ".tiff"}]
    return {path.relative_to(telescope).as_posix(): blake3(path.read_bytes()).hexdigest() for path in paths}


def digests(library: Path) -> Counter[str]:
    """Return the digests of all that lies in a library, and how often each does."""
    return Counter(blake3(path.read_bytes()).hexdigest() for path in library.rglob("*") if path.is_file())
