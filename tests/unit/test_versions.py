"""Versions of steps and identities of cubes: digests of named settings, and what old releases called the same ones.

``tests/data/versions/recorded.json`` was written by the last release whose versions were digests of how its dataclasses
read, from the dialects and profiles beside it; ``present.json`` holds what they are called now. A change in the second
means that frames which are held are judged again: where that is meant, ``python -m tests.data.versions.make`` writes it
anew.
"""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nightferry.config import load_preset, preset_names
from nightferry.core.balance import Expectation, standing_of
from nightferry.core.context import Context, Site
from nightferry.core.frame import Sighting
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.core.version import Setting, Version, digest_of, version_of
from nightferry.cubes import Group, Wishes
from nightferry.cubes.head import former_identity_of, identity_of
from nightferry.headers.canonical import ImageType
from nightferry.headers.dialects import Dialect, dialect_settings, load_dialect
from nightferry.headers.profiles import load_profile, profile_settings
from nightferry.ledger.rows import expectation_from, expectation_row
from nightferry.passes.processing import versions_of
from nightferry.solving.model import Settings as Solving
from nightferry.steps.cube import Cube
from nightferry.steps.cube_files import CubeSettings
from nightferry.steps.shelf import Shelf
from nightferry.steps.solve import Solve
from nightferry.steps.standardise import Standardise
from nightferry.steps.standardise_files import Settings
from nightferry.steps.validate import Validate

DATA = Path(__file__).parents[1] / "data" / "versions"
RECORDED: dict[str, Any] = json.loads((DATA / "recorded.json").read_text())
HOME = Path(RECORDED["home"])
SHELF = Shelf(Path("/tmp/shelf"))  # noqa: S108 - nothing is written there
INDEXES = [
    SimpleNamespace(path=Path("/x") / name, stars=stars, quads=quads) for name, stars, quads in RECORDED["indexes"]
]


def context_of(name: str) -> Context:
    told = dict(RECORDED["contexts"][name])
    site = told.pop("site", None)
    return Context(**told, site=Site(**site) if site else None, software="nightferry 99.1")


def steps_of(case: dict[str, Any], own: Path) -> tuple[Standardise, Validate, Validate, list[Cube]]:
    context, profiles = context_of(case["context"]), own / "profiles"
    settings = Settings(context, case["profile"], case["dialect"], own / "dialects", profiles)
    cubes = [
        Cube(SHELF, CubeSettings(context, case["profile"], wishes=Wishes(**wishes), profiles=profiles))
        for wishes in RECORDED["wishes"]
    ]
    profile = settings.loaded()
    strict, lenient = (Validate(profile, context, gate=gate, profiles=profiles) for gate in (True, False))
    return Standardise(SHELF, settings), strict, lenient, cubes


def solve_of(case: dict[str, Any]) -> Solve:
    told: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in case["settings"].items()
    }
    told["indexes"] = tuple(map(Path, told.get("indexes", ())))
    settings = Solving(**told, dialects=HOME / "dialects", site=context_of(case["context"]).site)
    return Solve(SHELF, settings, case["failure"])


def planes() -> Group:
    sources: Any = tuple(SimpleNamespace(identity=identity) for identity in RECORDED["cube_frames"])
    return Group(ImageType.SCIENCE, "", RECORDED["cube_set"], sources, 1)


def stub_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nightferry.solving.engines.load_engine", lambda _: SimpleNamespace(name="astrometry"))
    monkeypatch.setattr("nightferry.solving.frame.shelved", lambda *_, **__: INDEXES)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    stub_engine(monkeypatch)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: f"{case['preset']} {case['context']}")
def test_what_old_releases_called_a_version_is_known(case: dict[str, Any]) -> None:
    standardise, strict, lenient, cubes = steps_of(case, DATA)
    assert standardise.former == case["standardise"]
    assert {"true": strict.former, "false": lenient.former} == case["validate"]
    assert [version.former for version in versions_of([standardise, strict])] == case["chain"]
    assert [cube.former for cube in cubes] == case["cube"]
    cube_profile = cubes[0].settings.loaded(case["profile"])
    assert former_identity_of(planes(), cube_profile, context_of(case["context"])) == case["cube_id"]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("case", RECORDED["solves"], ids=str)
def test_what_old_releases_called_a_version_of_solve_is_known(case: dict[str, Any]) -> None:
    assert solve_of(case).former == case["solve"]


def present() -> dict[str, Any]:
    """Return what the versions of all shipped presets are now."""
    told: dict[str, Any] = {}
    for name in preset_names():
        header = load_preset(name).header
        case = {"profile": header.profile or "library", "dialect": header.dialect or "", "context": "full"}
        standardise, strict, lenient, cubes = steps_of(case, HOME)
        profile = cubes[0].settings.loaded(case["profile"])
        told[name] = {
            "standardise": standardise.version,
            "validate": [strict.version, lenient.version],
            "chain": [version.text for version in versions_of([standardise, strict])],
            "cube": [cube.version for cube in cubes],
            "cube_id": identity_of(planes(), profile, context_of("full")),
        }
    return told | {"solve": [solve_of(case).version for case in RECORDED["solves"]]}


@pytest.mark.usefixtures("engine")
def test_the_versions_of_all_presets_are_what_they_were() -> None:
    assert present() == json.loads((DATA / "present.json").read_text())


def test_a_version_is_made_of_names_and_values_alone() -> None:
    settings: dict[str, Setting] = {"profile": "eso", "cards": [{"key": "DATE", "most": 68}], "gate": True}
    assert version_of("1", settings) == "1-55e3116c27ae"
    assert digest_of(dict(reversed(settings.items()))) == digest_of(settings)


def test_a_setting_that_came_later_and_is_not_used_changes_no_version() -> None:
    settings: dict[str, Setting] = {"profile": "eso"}
    unused: dict[str, Setting] = {"new": None, "text": "", "list": [], "table": {"inside": None}, "flag": False}
    assert digest_of({**settings, **unused, "table": {}}) == digest_of(settings)
    for used in ({"new": 0}, {"text": "a"}, {"list": [""]}, {"flag": True}):
        assert digest_of({**settings, **used}) != digest_of(settings)


def test_dialects_that_a_telescope_does_not_use_are_no_part_of_its_version(tmp_path: Path) -> None:
    def version(dialect: str) -> str:
        return Standardise(SHELF, Settings(Context(), "library", dialect, dialects=folder)).version

    folder = tmp_path / "none"
    before = version("nina"), version("")
    folder = tmp_path / "dialects"
    folder.mkdir()
    (folder / "mine.toml").write_text('title = "mine"\nextends = "generic"\ndetect = [{ MINE = "." }]\n')
    assert version("nina") == before[0]
    assert version("") != before[1], "where none is named, it may be found"


def test_titles_and_the_release_are_no_part_of_a_version() -> None:
    profile, dialect = load_profile("eso"), load_dialect("nina")
    assert profile_settings(profile.model_copy(update={"title": "another"})) == profile_settings(profile)
    assert profile_settings(profile.model_copy(update={"long_text": True})) != profile_settings(profile)
    other = Dialect.model_validate({**dialect.model_dump(by_alias=True), "title": "another", "source": "elsewhere"})
    assert dialect_settings(other) == dialect_settings(dialect)
    one, two = (Validate(profile, replace(context_of("full"), software=name)) for name in ("a 1", "a 2"))
    assert one.version == two.version


SIGHTING = Sighting(Night("io", date(2026, 2, 22)), StorePath("a.fits"), 9, 1, 1)


@pytest.mark.parametrize(("judged_by", "expected"), [("2-new", "held"), ("1-old", "held"), ("1-older", "pending")])
def test_a_frame_that_an_old_release_held_for_the_same_settings_is_not_judged_again(
    judged_by: str, expected: str
) -> None:
    receipt = Receipt(SIGHTING.id, SIGHTING.night, "validate", judged_by, Outcome.HELD, "no DATE-OBS")
    asked = Expectation(("validate",), ("eso",), {"validate": "2-new"}, {"validate": "1-old"})
    assert standing_of(SIGHTING, [receipt], asked).bin == expected


def test_a_ledger_keeps_what_versions_were_called_and_reads_what_old_releases_wrote() -> None:
    asked = Expectation(("validate",), ("eso",), {"pull": "1", "validate": "2-new"}, {"validate": "1-old"})
    row = expectation_row("io", asked)
    columns = (str(row["steps"]), str(row["archives"]), str(row["versions"]))
    assert expectation_from(*columns) == asked
    assert expectation_from('["pull"]', '["eso"]', '{"pull": "1"}') == Expectation(("pull",), ("eso",), {"pull": "1"})


def test_a_step_without_a_former_version_takes_no_receipt_for_its_own() -> None:
    assert Version("1").counts("1")
    assert not Version("1").counts("")
