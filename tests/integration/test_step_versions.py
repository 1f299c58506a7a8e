"""The version text of every step, as receipts have it: what people's ledgers say must go on to mean the same.

`tests/data/golden/step-versions.json` holds the texts that nightferry 0.1.0 wrote for every shipped preset with default
settings. They stand in ledgers beside what was done, so a step whose version gets another text has to know the old one:
a version that is new opens held frames again, and is told apart from one that is only written in another way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nightferry.assemble import open_route
from nightferry.config import loads, preset_names
from nightferry.solving import engines, indexes

GOLDEN = Path(__file__).parents[1] / "data/golden/step-versions.json"
#: The steps that are not of the preset's own route are asked with this one.
EVERY_STEP = ("verify", "solve", "standardise", "validate", "cube")


@pytest.fixture
def place(tmp_path: Path, sky_index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in whose index files go by a name that is the same on every machine, as the engine's is."""
    (tmp_path / "sky").symlink_to(sky_index)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(indexes, "usual_folders", list)
    monkeypatch.setattr(engines, "engine_names", lambda: ["solve-field"])
    engines.load_engine.cache_clear()
    return tmp_path


def versions_of(preset: str, route: str) -> Mapping[str, str]:
    """Tell the version of each step of a telescope that says no more than it must."""
    text = f"""
        [shelf]
        path = "shelf"
        [ledger]
        url = "sqlite:///ledger.db"
        [crew]
        kind = "threads"
        [telescope.one]
        preset = "{preset}"
        source = "file:///telescope"
        archives = ["archive"]
        program = "60.A-9009(D)"
        solve = {{ index = ["sky"] }}
        {route}
        [archive.archive]
        url = "file:///archive"
    """
    opened = open_route(loads(text, folder=Path("configuration")), "one")
    try:
        found = dict(opened.expectation.versions)
        found["clear"] = opened.clearing().version
        if opened.gather is not None:
            found[opened.gather.name] = opened.gather.version
            found |= {f"{step.name} of a cube": step.version for step in opened.works if step.judges}
        return found
    finally:
        opened.close()


def golden() -> dict[str, dict[str, dict[str, str]]]:
    found: dict[str, dict[str, dict[str, str]]] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return found


def test_every_preset_has_its_versions_written_down() -> None:
    assert sorted(golden()) == sorted(preset_names())


@pytest.mark.parametrize("preset", preset_names())
def test_steps_of_a_preset_have_the_versions_that_ledgers_know(place: Path, preset: str) -> None:
    asked = ", ".join(f'"{step}"' for step in EVERY_STEP)
    found = {"as shipped": versions_of(preset, ""), "every step": versions_of(preset, f"route = [{asked}]")}
    assert found == golden()[preset]
