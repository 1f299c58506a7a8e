"""A night for every preset: each wanted frame arrives under a name of its own, the rest is counted with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from nightferry.config import preset_names
from nightferry.testing.telescope import simulated_vespera
from tests.acceptance.conftest import DONE, Desk, Ended
from tests.trees import TREES, Planted, plant_tree

#: The telescopes that are reached by FTP, and the folder at the top of each.
OVER_FTP = {"vespera": "user", "dwarf": "Astronomy", "origin": "RawData"}


@contextmanager
def served(preset: str, root: Path) -> Iterator[str]:
    """Offer a tree as its telescope does, and tell its URL."""
    if preset not in OVER_FTP:
        yield root.as_uri()
        return
    with simulated_vespera(root, top=OVER_FTP[preset]) as telescope:
        yield telescope.url


def configure(desk: Desk, telescopes: Sequence[tuple[str, str, str]], extra: str = "") -> None:
    """Write a configuration of telescopes (name, preset, source) that share one library."""
    sections = "".join(
        f'[telescope.{name}]\npreset = "{preset}"\nsource = "{source}"\narchives = ["library"]\nsettle = "0 s"\n'
        + ('route = ["verify"]\n' if preset.startswith("speculoos") else 'site = "garden"\n')
        + extra
        for name, preset, source in telescopes
    )
    desk.config.write_text(
        f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"
[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"
[site.garden]
latitude = "48.1 deg"
longitude = "11.6 deg"
{sections}
[archive.library]
url = "{desk.library.as_uri()}"
""",
        encoding="utf-8",
    )


def run(desk: Desk, *names: str) -> Ended:
    return desk.nightferry("run", *names, "--night", "all", "--json")


def accounts(desk: Desk, name: str, planted: Sequence[Planted]) -> dict[str, tuple[str, str]]:
    """Ask the ledger for the night and the reason of every file."""
    found = {}
    for night in {file.night.isoformat() for file in planted}:
        for line in desk.nightferry("night", name, night, "--json").json():
            found[str(line["name"])] = (night, str(line["reason"]))
    return found


@pytest.mark.parametrize("preset", preset_names())
def test_a_night_of_every_preset_arrives_whole_and_balances(preset: str, desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "card"
    planted = plant_tree(root, TREES[preset])
    wanted = [file for file in planted if not file.ignored]
    assert wanted
    assert len(wanted) < len(planted)
    with served(preset, root) as source:
        configure(desk, [("scope", preset, source)])
        done = run(desk, "scope")
        assert done.code == DONE, (done.out, done.err)
        again = run(desk, "scope")
    sheets = done.sheets()
    assert sum(sheet.seen for sheet in sheets) == len(planted)
    assert sum(sheet.delivered for sheet in sheets) == len(wanted)
    assert sum(sheet.ignored for sheet in sheets) == len(planted) - len(wanted)
    assert Counter(desk.carried().values()) == Counter(file.digest for file in wanted)
    told = accounts(desk, "scope", planted)
    assert told == {file.path: (file.night.isoformat(), told_reason(file, told)) for file in planted}
    assert [sheet._replace(bytes=0) for sheet in again.sheets()] == [sheet._replace(bytes=0) for sheet in sheets]


def told_reason(file: Planted, told: dict[str, tuple[str, str]]) -> str:
    """Tell the reason that a file must have; where it was delivered to is its own affair."""
    return file.ignored or told.get(file.path, ("", "missing"))[1]


@pytest.mark.parametrize("preset", ["seestar", "dwarf", "asiair"])
def test_two_telescopes_with_equal_names_share_one_library(preset: str, desk: Desk, tmp_path: Path) -> None:
    planted = [file for seed in (1, 2) for file in plant_tree(tmp_path / f"card{seed}", TREES[preset], seed=seed)]
    scopes = [(f"scope{seed}", preset, (tmp_path / f"card{seed}").as_uri()) for seed in (1, 2)]
    configure(desk, scopes)
    done = run(desk)
    assert done.code == DONE, (done.out, done.err)
    wanted = Counter(file.digest for file in planted if not file.ignored)
    assert Counter(desk.carried().values()) == wanted


def test_a_folder_that_is_used_again_every_night_brings_only_what_is_new(desk: Desk, tmp_path: Path) -> None:
    root = tmp_path / "card"
    first, second = TREES["seestar"].strip().splitlines()[:2], TREES["seestar"].strip().splitlines()[4:6]
    plant_tree(root, "\n".join(first))
    configure(desk, [("scope", "seestar", root.as_uri())])
    assert {sheet.night: sheet.delivered for sheet in run(desk).sheets()} == {"2025-06-07": 2}
    plant_tree(root, "\n".join(second), seed=2)
    assert {sheet.night: sheet.delivered for sheet in run(desk).sheets()} == {"2025-06-07": 2, "2025-06-09": 2}
