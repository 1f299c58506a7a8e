"""The version text of every step, as receipts have it: what people's ledgers say must go on to mean the same.

`tests/data/golden/step-versions.json` holds the texts that nightferry 0.1.0 wrote for every shipped preset with default
settings, when versions were digests of how the code writes its dataclasses. They stand in ledgers beside what was done.
A step of the same settings must know them, whatever it is called now. Where a preset's settings change, and held frames
are to be judged again for it, that step of the preset leaves the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from nightferry.assemble import open_route
from nightferry.config import loads, preset_names
from nightferry.core.step import JUDGES
from nightferry.solving import engines, indexes

GOLDEN: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parents[1] / "data/golden/step-versions.json").read_text(encoding="utf-8")
)
#: A route with all steps, for presets whose own has only some.
EVERY_STEP = 'route = ["verify", "solve", "standardise", "validate", "cube"]'


@pytest.fixture
def place(tmp_path: Path, sky_index: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in whose index files go by a name that is the same on every machine, as the engine's is."""
    (tmp_path / "sky").symlink_to(sky_index)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(indexes, "usual_folders", list)
    monkeypatch.setattr(engines, "engine_names", lambda: ["solve-field"])
    engines.load_engine.cache_clear()
    return tmp_path


def texts_of(preset: str, route: str) -> Mapping[str, set[str]]:
    """Tell what counts as the version of each step of a telescope that says no more than it must."""
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
        asked = opened.expectation
        found = {step: {text, asked.former.get(step, "")} for step, text in asked.versions.items()}
        found["clear"] = {opened.clearing().version}
        if opened.group_step is not None:
            found[opened.group_step.name] = {opened.group_step.version, opened.group_step.former}
            judges = [step for step in opened.processing if step.name in JUDGES]
            found |= {f"{step.name} of a cube": {step.version, step.former} for step in judges}
        return found
    finally:
        opened.close()


def test_presets_that_ledgers_know_are_all_here() -> None:
    assert GOLDEN.keys() <= set(preset_names())
    assert len(GOLDEN) == 16


@pytest.mark.parametrize("preset", GOLDEN)
@pytest.mark.parametrize(("which", "route"), [("as shipped", ""), ("every step", EVERY_STEP)])
def test_what_ledgers_know_as_a_version_still_counts_as_it(place: Path, preset: str, which: str, route: str) -> None:
    counted = texts_of(preset, route)
    assert counted.keys() >= GOLDEN[preset][which].keys()
    assert GOLDEN[preset][which].keys() >= {"pull", "verify", "deliver to archive", "clear"}
    for step, text in GOLDEN[preset][which].items():
        assert text in counted[step], f"{step} of version {text}"
