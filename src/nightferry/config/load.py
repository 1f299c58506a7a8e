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
from nightferry.config.presets import Preset
from nightferry.core.errors import Misconfigured

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
    return loads(text, str(place))


def loads(text: str, place: str = "configuration") -> Config:
    """Check a configuration's text; ``place`` names it in messages."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"{place}: not TOML: {err}") from err
    try:
        config = Config.model_validate(table)
    except ValidationError as err:
        raise Misconfigured("\n".join(_explain(text, place, err))) from err
    for name, telescope in config.telescope.items():
        preset = load_preset(telescope.preset)
        if telescope.source is None and preset.source is None:
            raise Misconfigured(f"{place}: telescope.{name} needs 'source', for preset {telescope.preset!r} has none")
    return config


def preset_names() -> list[str]:
    """List the presets: the shipped ones and the user's own."""
    shipped = {item.name.removesuffix(".toml") for item in _shipped().iterdir() if item.name.endswith(".toml")}
    own = {item.stem for item in _own_presets().glob("*.toml")} if _own_presets().is_dir() else set()
    return sorted(shipped | own)


def load_preset(name: str) -> Preset:
    """Read a preset by name; a file of the user's own comes before the shipped one of that name."""
    own = _own_presets() / f"{name}.toml"
    shipped = _shipped() / f"{name}.toml"
    source = own if name in preset_names() and own.is_file() else shipped
    if name not in preset_names():
        raise Misconfigured(f"unknown preset {name!r}{_nearest(name, preset_names())}; we know {preset_names()}")
    text = source.read_text(encoding="utf-8")
    try:
        return Preset.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as err:
        raise Misconfigured(f"preset {name} ({source}): not TOML: {err}") from err
    except ValidationError as err:
        raise Misconfigured("\n".join(_explain(text, f"preset {name} ({source})", err, Preset))) from err


def _shipped() -> resources.abc.Traversable:
    return resources.files("nightferry.presets")


def _own_presets() -> Path:
    return config_path().parent / "presets"


def _explain(text: str, place: str, err: ValidationError, model: type[BaseModel] = Config) -> list[str]:
    """Turn pydantic's findings into sentences with the line and the nearest right key."""
    lines = []
    for finding in err.errors(include_url=False, include_input=False, include_context=False):
        path = [str(part) for part in finding["loc"]]
        where = f"{place}:{_line_of(text, path)}" if path else place
        name = ".".join(path)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            keys = _keys_at(model, path[:-1])
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
