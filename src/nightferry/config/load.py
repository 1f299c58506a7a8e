"""Reading and checking the configuration file."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from nightferry.config.model import Config
from nightferry.config.places import config_path, data_folder
from nightferry.config.preset import preset_names
from nightferry.config.resolve import ResolvedTelescope, resolve, resolve_preset
from nightferry.core.errors import Misconfigured
from nightferry.tomlfiles import explained


def ledger_url(config: Config) -> str:
    """Return where the ledger is."""
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
        raise Misconfigured("\n".join(explained(text, place, err, Config))) from err
    return config.resolved_by(lambda config: resolve(config, folder, place), folder)


def find_telescope(place: Path | None, name: str) -> ResolvedTelescope:
    """Return a telescope by its name in the configuration at ``place``, else by that of a preset.

    Raises `Misconfigured` when there is neither.
    """
    place = place or config_path()
    folder = place.absolute().parent
    if place.is_file() and (found := load(place).resolved.get(name)) is not None:
        return found
    if name in preset_names(folder):
        return resolve_preset(name, folder)
    raise Misconfigured(
        f"there is no telescope {name!r} in {place}, and no preset of that name: "
        f"write [telescope.{name}] there, or take one of {', '.join(preset_names(folder))}"
    )
