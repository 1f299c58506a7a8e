"""The reference pages say what the code does: every key, default, option, column and name in them is compared."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import typer
from pydantic import BaseModel
from typer.core import TyperGroup, TyperOption

import nightferry
from nightferry.cli import exits
from nightferry.cli.app import app
from nightferry.config import load_preset, loads, model, preset, preset_names
from nightferry.core.balance import Bin
from nightferry.core.layout import KINDS
from nightferry.core.names import archive_name
from nightferry.core.night import NightRule
from nightferry.core.objects import object_name
from nightferry.core.receipt import Outcome
from nightferry.core.store import Oddity, Store, StorePath, Traits
from nightferry.headers.dialects import dialect_names
from nightferry.headers.profiles import profile_names
from nightferry.headers.rules import RULES
from nightferry.ledger.schema import metadata
from nightferry.stores.ftp.kind import FtpKeys
from nightferry.stores.kinds import OURS
from nightferry.stores.s3.kind import S3Keys
from nightferry.stores.sftp.kind import SftpKeys
from nightferry.stores.smb.kind import SmbKeys
from nightferry.testing.telescope import main as simulated_telescope

DOCS = Path(__file__).parents[2] / "docs"
Row = list[str]


def sections(page: str) -> dict[str, list[list[Row]]]:
    """Read the tables of a page, each without its head, under the heading above them."""
    found: dict[str, list[list[Row]]] = {}
    heading, table = "", False
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ").replace("`", "")
        if not line.startswith("|"):
            table = False
        elif set(line) <= set("|-: "):
            found.setdefault(heading, []).append([])
            table = True
        elif table:
            cells = re.split(r"(?<!\\) \| ", line.strip("| "))
            found[heading][-1].append([cell.strip() for cell in cells])
    return found


def codes(cell: str) -> list[str]:
    """Read what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def keys(page: str, heading: str) -> dict[str, Row]:
    """Read a table whose first column names keys."""
    (table,) = sections(page)[heading]
    return {codes(row[0])[0]: row for row in table}


# configuration and presets ------------------------------------------------------------------------------------

STORE = model._StoreSection
CONFIGURATION: Mapping[str, tuple[type[BaseModel], Mapping[str, object]]] = {
    "[telescope.NAME]": (model.TelescopeConfig, {"archives": ["library"]}),
    "[telescope.NAME.header]": (model.HeaderConfig, {}),
    "[telescope.NAME.solve]": (model.SolveConfig, {}),
    "[telescope.NAME.clear]": (model.ClearConfig, {"after": "7 d"}),
    "[telescope.NAME.watch]": (model.WatchConfig, {}),
    "[archive.NAME]": (model.ArchiveConfig, {"url": "file:///a"}),
    "Every store": (STORE, {}),
    "Keys for FTP": (FtpKeys, {}),
    "Keys for SFTP": (SftpKeys, {}),
    "Keys for shares": (SmbKeys, {}),
    "Keys for buckets": (S3Keys, {}),
    "[site.NAME]": (model.SiteConfig, {"latitude": "1 deg", "longitude": "1 deg"}),
    "[shelf]": (model.ShelfConfig, {}),
    "[ledger]": (model.LedgerConfig, {}),
    "[alerts]": (model.AlertsConfig, {}),
    "[books]": (model.BooksConfig, {}),
    "[log]": (model.LogConfig, {}),
    "[metrics]": (model.MetricsConfig, {}),
    "[pool]": (model.PoolConfig, {}),
}
PRESET: Mapping[str, tuple[type[BaseModel], Mapping[str, object]]] = {
    "Keys of a preset": (preset.Preset, {"title": "a", "name": "{stem}"}),
    "[layout]": (preset.LayoutSection, {}),
    "[[layout.rule]]": (preset.RuleSection, {"match": "a"}),
    "[[layout.ignore]]": (preset.IgnoreSection, {"match": "a", "why": "b"}),
    "[discover]": (preset.DiscoverSection, {}),
    "[[example]]": (preset.ExampleSection, {"path": "a"}),
}
PAGES = [("reference/configuration.md", name, *what) for name, what in CONFIGURATION.items()]
PAGES += [("reference/presets.md", name, *what) for name, what in PRESET.items()]


@pytest.mark.parametrize(("page", "heading", "section", "needed"), PAGES, ids=[entry[1] for entry in PAGES])
def test_every_key_stands_in_the_reference_with_its_default(
    page: str, heading: str, section: type[BaseModel], needed: Mapping[str, object]
) -> None:
    told = keys(page, heading)
    inherited = set(STORE.model_fields) if section is not STORE and issubclass(section, STORE) else set()
    assert set(told) == set(section.model_fields) - inherited
    default = section.model_validate(needed)
    for key, (_, _, written, *_) in told.items():
        if written == "*required*":
            assert section.model_fields[key].is_required(), key
        elif written in {"none", "the preset's"}:
            assert getattr(default, key) is None, key
        elif written == "as below":
            assert isinstance(getattr(default, key), BaseModel), key
        else:
            value = tomllib.loads(f"value = {codes(written)[0]}")["value"]
            assert getattr(section.model_validate({**needed, key: value}), key) == getattr(default, key), key


def test_every_section_of_the_configuration_has_its_heading() -> None:
    told = {heading for heading in CONFIGURATION if heading.startswith("[")}
    wanted = set()
    for name, field in model.Config.model_fields.items():
        wanted.add(f"[{name}.NAME]" if "dict" in str(field.annotation) else f"[{name}]")
    assert wanted == {heading for heading in told if heading.count(".") < 2}
    assert set(CONFIGURATION) <= set(sections("reference/configuration.md"))


def test_units_in_the_reference_are_those_that_are_read() -> None:
    told = {row[0]: codes(row[2]) for row in sections("reference/configuration.md")["Quantities"][0]}
    for unit in told["duration"]:
        loads(f'[shelf]\nkeep = "1 {unit}"')
    for unit in told["size"]:
        loads(f'[shelf]\nfloor = "1 {unit}"')
    for unit in told["height"]:
        loads(f'[site.a]\nlatitude = "1 deg"\nlongitude = "1 deg"\nelevation = "1 {unit}"')


def test_schemes_in_the_reference_are_those_that_are_known() -> None:
    for page, heading, column in (("configuration", "URLs", 0), ("stores", "Stores", 1)):
        rows = sections(f"reference/{page}.md")[heading][0]
        told = {url.partition("://")[0] for row in rows for url in codes(row[column])}
        assert told == set(OURS), page


def test_shipped_presets_stand_in_the_reference() -> None:
    rows = {codes(row[0])[0]: row for row in sections("reference/presets.md")["Shipped"][0]}
    assert set(rows) == set(preset_names())
    for name, (_, title, source, settle, night, take, connections, template) in rows.items():
        preset = load_preset(name)
        assert title == preset.title
        assert source == ("none" if preset.source is None else f'`"{preset.source}"`')
        assert settle == f'`"{preset.settle:g} s"`'
        assert night == f'`"{preset.night}"`'
        assert tomllib.loads(f"value = {codes(take)[0]}")["value"] == preset.take
        assert int(connections) == preset.connections
        assert template == f'`"{preset.name}"`'


def test_examples_in_the_reference_are_those_of_the_presets() -> None:
    told = {(codes(row[0])[0], codes(row[1])[0]): row[2] for row in sections("reference/presets.md")["Examples"][0]}
    wanted = {
        (name, example.path): load_preset(name).foretell(example.path, name)
        for name in preset_names()
        if load_preset(name).extends in {None, "vespera"}
        for example in load_preset(name).example
    }
    assert told == {
        key: f"ignored: {found.ignored}" if found.ignored else f"{found.night} `{found.name}`"
        for key, found in wanted.items()
    }


def test_rules_for_the_night_are_those_of_the_reference() -> None:
    assert [codes(row[0])[0] for row in sections("reference/layouts.md")["Nights"][0]] == [*NightRule]


VARIANTS = sections("reference/presets.md")["A Vespera's folders"][0]


@pytest.mark.parametrize("row", VARIANTS, ids=[row[0].strip("`") for row in VARIANTS])
def test_name_in_the_library_is_the_one_that_the_reference_shows(row: Row) -> None:
    path, name, stored = row[0].strip("`"), row[1], row[2].strip("`")
    preset = load_preset("vespera")
    place = preset.as_layout(None, None).place(StorePath(path), None, 0)
    assert place.fields["object"] == name
    assert archive_name(preset.name, place.fields) == stored


# layouts, stores, ledger --------------------------------------------------------------------------------------


def test_template_fields_are_those_of_the_reference() -> None:
    told = [codes(row[0])[0].strip("{}") for row in sections("reference/layouts.md")["Fields"][0]]
    assert sorted(told) == sorted(model.TEMPLATE_FIELDS)


OBJECTS = [(raw, row[1]) for row in sections("reference/layouts.md")["Object names"][0] for raw in codes(row[0])]


@pytest.mark.parametrize(("raw", "written"), OBJECTS)
def test_object_is_written_as_the_reference_shows(raw: str, written: str) -> None:
    assert object_name(raw) == written


def test_kinds_of_files_are_those_of_the_reference() -> None:
    told = {
        codes(row[0])[0]: {suffix[1:] for suffix in codes(row[1])}
        for row in sections("reference/layouts.md")["Kinds of files"][0]
    }
    assert told == KINDS


def test_traits_are_those_of_the_reference() -> None:
    told = keys("reference/stores.md", "Traits")
    assert list(told) == [field.name for field in fields(Traits)]
    for field in fields(Traits):
        assert told[field.name][1] == ("*required*" if field.default is MISSING else f"`{field.default}`")


def test_calls_of_a_store_are_those_of_the_reference() -> None:
    told = {codes(row[0])[0].partition("(")[0] for row in sections("reference/stores.md")["The protocol"][0]}
    assert told == {name for name, value in vars(Store).items() if not name.startswith("_") and callable(value)}


def test_oddities_are_those_of_the_reference() -> None:
    told = set(keys("reference/stores.md", "Oddities"))
    assert told == set(get_args(get_type_hints(Oddity)["kind"]))


def test_tables_and_columns_of_the_ledger_stand_in_the_reference() -> None:
    page = sections("reference/ledger.md")
    assert {codes(row[0])[0] for row in page["Tables"][0]} == set(metadata.tables)
    for name, table in metadata.tables.items():
        told = [column for row in page[name][0] for column in codes(row[0])]
        assert sorted(told) == sorted(column.name for column in table.columns), name


def test_outcomes_and_bins_are_those_of_the_reference() -> None:
    page = sections("reference/ledger.md")
    assert {codes(row[0])[0] for row in page["Outcomes"][0]} == set(Outcome)
    (bins,) = (row[1] for row in page["standings"][0] if codes(row[0])[0] == "bin")
    assert set(codes(bins)) == set(Bin)


def test_steps_of_receipts_are_those_of_the_reference() -> None:
    page = sections("reference/ledger.md")
    (steps,) = (row[1] for row in page["receipts"][0] if codes(row[0])[0] == "step")
    assert set(codes(steps)) == {codes(row[0])[0] for row in page["What a receipt proves"][0]}


def test_rules_dialects_and_profiles_are_those_of_the_reference() -> None:
    page = sections("reference/headers.md")
    assert {row[0] for row in page["Rules"][0]} == RULES.keys() | {"V60", "V61", "V62"}
    told = {codes(row[0])[0]: row[1] for row in page["Dialects"][0]}
    assert set(told) == set(dialect_names())
    assert {codes(row[0])[0] for row in page["Profiles"][0]} == set(profile_names())


# command line and Python --------------------------------------------------------------------------------------


def commands() -> dict[str, list[TyperOption]]:
    """Tell the options of every command."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    every = {"Options of every command": group.params}
    for name, command in group.commands.items():
        nested = command.commands if isinstance(command, TyperGroup) else {"": command}
        every |= {f"{name} {below}".strip(): one.params for below, one in nested.items()}
    return {name: [one for one in params if isinstance(one, TyperOption)] for name, params in every.items()}


@pytest.mark.parametrize("name", commands())
def test_every_option_stands_in_the_reference(name: str) -> None:
    rows = sections("reference/command-line.md")[name][0]
    told = {option.split(" ")[0] for row in rows for option in codes(row[0])}
    options = commands()[name]
    assert told == {text for option in options for text in (*option.opts, *option.secondary_opts)}
    for option in options:
        (row,) = (row for row in rows if option.opts[0] in {code.split(" ")[0] for code in codes(row[0])})
        if option.required:
            assert row[1] == "*required*", option.opts
        elif isinstance(option.default, str):
            assert codes(row[1]) == [option.default], option.opts


def test_every_command_stands_in_the_reference_and_no_other() -> None:
    text = (DOCS / "reference/command-line.md").read_text(encoding="utf-8")
    assert re.findall(r"^## `(.+)`$", text, re.MULTILINE) == list(commands())[1:]


def test_exit_codes_are_those_of_the_reference() -> None:
    told = {int(row[0]) for row in sections("reference/command-line.md")["Exit codes"][0]}
    assert told == {exits.DONE, exits.HELD, exits.MISCONFIGURED, exits.FAILED, exits.BUG, exits.INTERRUPTED}


def test_public_names_stand_on_the_page_about_python() -> None:
    text = (DOCS / "how-to/python.md").read_text(encoding="utf-8")
    for name in set(nightferry.__all__) - {"__version__"}:
        shown = rf"`{name}[`(]" if name[0].isupper() else rf"^\|[^|\n]*`{name}\("
        assert re.search(shown, text, re.MULTILINE), name


def test_options_of_the_simulated_telescope_stand_on_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        simulated_telescope(["--help"])
    offered = set(re.findall(r"^  (?:-h, )?(--[a-z]+)", capsys.readouterr().out, re.MULTILINE))
    (table,) = sections("how-to/rehearse.md")["A telescope to play with"]
    assert {option.split(" ")[0] for row in table for option in codes(row[0])} == offered - {"--help"}


def test_seven_nouns_and_the_verb_are_defined_once() -> None:
    text = (DOCS / "glossary.md").read_text(encoding="utf-8")
    nouns = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert nouns[:-1] == ["Telescope", "Night", "Frame", "Store", "Step", "Receipt", "Ledger", "Conduct"]
    words = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    assert len(words) == len(set(words))
