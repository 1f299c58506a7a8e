"""Finding, reading and checking the configuration file and the presets."""

import difflib
import os
import re
import tomllib
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import get_origin

import platformdirs
from pydantic import BaseModel, ValidationError

from nightferry.config.model import Config, TelescopeConfig
from nightferry.config.preset import Preset
from nightferry.config.store_keys import check_url, keys_of
from nightferry.core.errors import Misconfigured

Table = dict[str, object]
#: Lists of a preset that grow when it is extended.
_BEFORE = frozenset({"rule", "ignore"})
_SECTION = re.compile(r"\s*\[\[?\s*([^\]]+?)\s*\]\]?")


def config_path() -> Path:
    """Tell where the configuration is looked for: ``$NIGHTFERRY_CONFIG``, else the user's config folder."""
    named = os.environ.get("NIGHTFERRY_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("nightferry", appauthor=False) / "config.toml"


def data_folder() -> Path:
    """Tell where ledger and shelf are by default."""
    return platformdirs.user_data_path("nightferry", appauthor=False)


def ledger_url(config: Config) -> str:
    """Tell where the ledger is."""
    return config.ledger.url or f"sqlite:///{data_folder() / 'ledger.db'}"


def load(path: Path | None = None) -> Config:
    """Read the configuration file; raise `Misconfigured` naming the place of whatever is wrong."""
    place = path or config_path()
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError as err:
        raise Misconfigured(f"there is no configuration at {place}; write one with: nightferry init") from err
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"the configuration {place} cannot be read: {err}") from err
    return loads(text, str(place), place.absolute().parent)


def loads(text: str, place: str = "configuration", folder: Path | None = None) -> Config:
    """Check a configuration's text; ``place`` names it in messages, in ``folder`` presets are looked for first."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"{place}: not TOML: {err}") from err
    try:
        config = Config.model_validate(table)
    except ValidationError as err:
        raise Misconfigured("\n".join(_explain(text, place, err))) from err
    for name, telescope in config.telescope.items():
        _require_source(place, name, telescope, load_preset(telescope.preset, folder))
    return config.read_from(folder)


def _require_source(place: str, name: str, telescope: TelescopeConfig, preset: Preset) -> None:
    if telescope.source is not None:
        return
    if preset.source is None:
        raise Misconfigured(f"{place}: telescope.{name} needs 'source', for preset {telescope.preset!r} has none")
    try:
        keys_of(telescope, check_url(preset.source))
    except ValueError as err:
        raise Misconfigured(f"{place}: telescope.{name}: the source of preset {telescope.preset!r}: {err}") from err


def preset_names(beside: Path | None = None) -> list[str]:
    """List the presets: the shipped ones, and the user's own."""
    shipped = {item.name.removesuffix(".toml") for item in _shipped().iterdir() if item.name.endswith(".toml")}
    own = {item.stem for folder in own_presets(beside) if folder.is_dir() for item in folder.glob("*.toml")}
    return sorted(shipped | own)


def own_presets(beside: Path | None = None) -> list[Path]:
    """Tell where the user's own presets are looked for: beside the configuration in use, then where it usually is."""
    folders = [*([] if beside is None else [beside]), config_path().absolute().parent]
    return [folder / "presets" for folder in dict.fromkeys(folders)]


def preset_files(name: str, beside: Path | None = None) -> list[resources.abc.Traversable]:
    """Tell the files of a preset, the one that counts first; raise `Misconfigured` for a name that nobody knows."""
    names = preset_names(beside)
    if name not in names:
        raise Misconfigured(f"unknown preset {name!r}{_nearest(name, names)}; we know {', '.join(names)}")
    places = [*(folder / f"{name}.toml" for folder in own_presets(beside)), _shipped() / f"{name}.toml"]
    return [place for place in places if place.is_file()]


def load_preset(name: str, beside: Path | None = None) -> Preset:
    """Read a preset by name; a file of the user's own comes before the shipped one of that name."""
    file, *below = preset_files(name, beside)
    text, table = _table_of(name, file)
    place = f"preset {name} ({file})"
    try:
        return Preset.model_validate(_extended(table, place, beside, [(name, file)], below))
    except ValidationError as err:
        raise Misconfigured("\n".join(_explain(text, place, err, Preset))) from err


def _table_of(name: str, file: resources.abc.Traversable) -> tuple[str, Table]:
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"preset {name} ({file}): not TOML: {err}") from err
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"preset {name} ({file}) cannot be read: {err}") from err


def _extended(
    table: Table,
    place: str,
    beside: Path | None,
    seen: list[tuple[str, resources.abc.Traversable]],
    below: list[resources.abc.Traversable],
) -> Table:
    """Lay a preset over the one that it extends; one that extends its own name builds upon the next of that name."""
    base = table.get("extends")
    if base is None:
        return table
    if not isinstance(base, str):
        raise Misconfigured(f"{place}: extends = {base!r}: expected the name of a preset")
    files = below if base == seen[-1][0] else preset_files(base, beside)
    if not files or (base, files[0]) in seen:
        raise Misconfigured(f"{place}: extends = {base!r} leads in a circle; extend a preset of another name")
    file, *rest = files
    _, other = _table_of(base, file)
    return _joined(_extended(other, f"preset {base} ({file})", beside, [*seen, (base, file)], rest), table)


def _joined(base: Table, own: Table) -> Table:
    """Join two tables: sections key by key, rules of one's own before the others, all else instead of them."""
    joined = dict(base)
    for key, value in own.items():
        other = base.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            joined[key] = _joined(other, value)
        elif key in _BEFORE and isinstance(value, list) and isinstance(other, list):
            joined[key] = [*value, *other]
        else:
            joined[key] = value
    return joined


def _shipped() -> resources.abc.Traversable:
    return resources.files("nightferry.config.presets")


def _explain(text: str, place: str, err: ValidationError, model: type[BaseModel] = Config) -> list[str]:
    """Turn pydantic's findings into sentences with the line and the nearest right key."""
    lines = []
    for finding in err.errors(include_url=False, include_input=False):
        path = [str(part) for part in finding["loc"]]
        where = f"{place}:{_line_of(text, path)}" if path else place
        name = ".".join(path)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            keys = finding.get("ctx", {}).get("keys") or _keys_at(model, path[:-1])
            message = f"unknown key{_nearest(path[-1], keys)}; expected {', '.join(keys)}"
        elif finding["type"] == "missing":
            message = "this key is missing"
        lines.append(f"{where}: {name}: {message}" if name else f"{where}: {message}")
    return lines


def _nearest(word: str, choices: list[str]) -> str:
    found = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """List the keys that a section may hold."""
    here: object = model
    named = False
    for part in path:
        if named:  # the name of an entry in a mapping, or its place in a list
            named = False
        elif isinstance(here, type) and issubclass(here, BaseModel):
            field = here.model_fields.get(part)
            annotation = field.annotation if field else None
            named = get_origin(annotation) in {dict, list}
            here = _model_in(annotation)
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _model_in(annotation: object) -> object:
    """Find the model inside ``dict[Name, Model]``, ``list[Model]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _model_in(inner)) is not None:
            return found
    return None


def _line_of(text: str, path: list[str]) -> int:
    """Tell the line of a key, or of the nearest section above it that stands in the text."""
    sections: dict[str, int] = {}
    keys: dict[str, int] = {}
    entries: Counter[str] = Counter()
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _SECTION.match(line):
            section = found[1].replace('"', "").replace(" ", "")
            if line.lstrip().startswith("[["):  # an entry of a list: told apart by its number
                entries[section] += 1
                section = f"{section}.{entries[section] - 1}"
            sections[section] = number
        elif "=" in line and not line.lstrip().startswith("#"):
            key = line.partition("=")[0].strip().strip('"')
            keys.setdefault(f"{section}.{key}" if section else key, number)
    for length in range(len(path), 0, -1):
        name = ".".join(path[:length])
        if name in keys:
            return keys[name]
        if name in sections:
            return sections[name]
    return 1


def effective_source(telescope: TelescopeConfig, preset: Preset) -> str:
    """Tell a telescope's source: its own, or its preset's."""
    return telescope.source or preset.source or ""
