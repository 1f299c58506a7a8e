"""Presets do what their examples say; and people's own ones are found, and laid over those that they extend."""

import re
from datetime import date
from pathlib import Path

import pytest

from nightferry.config import load, load_preset, preset_names
from nightferry.config.preset import ExampleSection
from nightferry.core.errors import Misconfigured
from nightferry.core.night import NightRule
from tests.trees import TREES

EXAMPLES = [(name, example) for name in preset_names() for example in load_preset(name).example]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration's folder, beside which presets of one's own are; another one is where it usually is."""
    monkeypatch.setenv("NIGHTFERRY_CONFIG", str(tmp_path / "usual" / "config.toml"))
    for folder in ("usual", "here"):
        (tmp_path / folder / "presets").mkdir(parents=True)
    return tmp_path / "here"


def write(folder: Path, name: str, text: str) -> None:
    (folder / "presets" / f"{name}.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "example"), EXAMPLES, ids=[f"{name}: {example.path[-40:]}" for name, example in EXAMPLES]
)
def test_an_example_is_done_as_its_preset_says(name: str, example: ExampleSection) -> None:
    told = load_preset(name).foretell(example.path, name)
    assert (told.name, told.ignored) == (example.name, example.ignored)
    if example.night:
        assert told.night == date.fromisoformat(example.night)


def test_every_make_is_there_with_a_tree_to_prove_it() -> None:
    assert set(preset_names()) == set(TREES)
    assert all(load_preset(name).example for name in preset_names() if name != "generic")


@pytest.mark.parametrize("name", [name for name in preset_names() if not load_preset(name).extends])
def test_every_rule_of_a_preset_is_needed_by_its_tree(name: str) -> None:
    paths = [line.split(" | ", 3)[3] for line in TREES[name].strip().splitlines()]
    for rule in load_preset(name).layout.rule:
        assert any(rule.match.match(path) for path in paths), rule.match.pattern
    for ignore in load_preset(name).layout.ignore:
        assert any(ignore.match.search(path) for path in paths), ignore.match.pattern


def test_the_four_at_paranal_differ_in_nothing_but_their_names() -> None:
    io, callisto = load_preset("speculoos-io"), load_preset("speculoos-callisto")
    assert (io.header.telescop, callisto.header.telescop) == ("SPECULOOS-IO", "SPECULOOS-CALLISTO")
    assert io.layout == callisto.layout == load_preset("astra").layout
    assert io.header.dialect == "astra", "what a preset does not say it has from the one that it extends"
    assert io.as_layout(None, None).longitude == pytest.approx(-70.3903)


def test_a_preset_of_ones_own_says_only_what_differs(place: Path) -> None:
    write(place, "seestar", 'extends = "seestar"\nsettle = "5 s"\n[[layout.ignore]]\nmatch = "/old/"\nwhy = "old"\n')
    mine = load_preset("seestar", place)
    shipped = load_preset("seestar")
    assert (mine.settle, shipped.settle) == (5, 30)
    assert mine.title == shipped.title
    assert [item.why for item in mine.layout.ignore] == ["old", "a thumbnail of a preview"], (
        "one's own rules come first"
    )
    assert mine.foretell("M 81/old/Light_M 81_10.0s_20250607-221746.fit", "x").ignored == "old"


def test_presets_beside_the_configuration_come_before_those_of_the_usual_place(place: Path) -> None:
    usual = place.parent / "usual"
    write(usual, "attic", 'title = "usual"\nname = "{stem}{suffix}"\n')
    write(usual, "cellar", 'title = "cellar"\nname = "{stem}{suffix}"\n')
    write(place, "attic", 'extends = "attic"\ntitle = "here"\n')
    assert load_preset("attic", place).title == "here"
    assert load_preset("attic", place).name == "{stem}{suffix}"
    assert load_preset("attic").title == "usual"
    assert load_preset("cellar", place).title == "cellar"
    assert {"attic", "cellar", "vespera"} <= set(preset_names(place))


def test_a_configuration_finds_the_presets_beside_it(place: Path) -> None:
    write(place, "attic", 'title = "here"\nname = "{stem}{suffix}"\nsource = "file:///attic"\n')
    config = place / "nightferry.toml"
    config.write_text('[telescope.a]\npreset = "attic"\narchives = ["b"]\n[archive.b]\nurl = "file:///b"\n')
    assert load(config).folder == place
    with pytest.raises(Misconfigured, match="unknown preset 'attic'"):
        load_preset("attic")


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({"a": 'extends = "b"', "b": 'extends = "a"'}, "leads in a circle"),
        ({"a": 'extends = "a"'}, "leads in a circle"),
        ({"a": 'extends = "vesper"'}, "did you mean 'vespera'"),
        ({"a": "extends = 3"}, "expected the name of a preset"),
        ({"a": 'extends = "vespera"\nsetle = "1 s"'}, r"a\.toml\):2: setle: unknown key; did you mean 'settle'"),
        ({"a": 'extends = "vespera"\nnight = "noon"'}, r"a\.toml\):2: night: .*'local-noon'"),
        ({"a": 'extends = "vespera"\n[layout]\nstamp = "x"'}, r":3: layout\.stamp: it has no group 'date'"),
        ({"a": 'extends = "vespera"\n[[example]]\npath = "x"\nname = "x"\nignored = "y"'}, "not both"),
        ({"a": 'extends = "vespera"\nsource = "gopher://x"'}, "a store we know"),
    ],
)
def test_a_mistake_in_a_preset_is_told_with_its_place(place: Path, texts: dict[str, str], complaint: str) -> None:
    for name, text in texts.items():
        write(place, name, text)
    with pytest.raises(Misconfigured) as caught:
        load_preset("a", place)
    assert re.search(complaint, str(caught.value)), str(caught.value)


def test_the_configurations_rule_for_the_night_comes_before_the_presets() -> None:
    preset = load_preset("vespera")
    assert preset.as_layout(None, None).night is NightRule.FOLDER
    assert preset.as_layout(None, None, NightRule.UTC_12H).night is NightRule.UTC_12H
