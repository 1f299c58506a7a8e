"""What the steps that work on any files share: a telescope's settings by its name, and the folder they write into."""

from dataclasses import replace
from pathlib import Path

from nightferry.assemble import header_settings
from nightferry.config import find_telescope
from nightferry.core.errors import Misconfigured
from nightferry.steps.standardise_files import Settings


def header_settings_for(telescope: str, *, place: Path | None = None, program: str = "") -> Settings:
    """Return how a telescope's headers are written: by its name in the configuration, else by that of a preset.

    ``program`` comes before the telescope's. Raises `Misconfigured` for a name that is neither.
    """
    found = find_telescope(place, telescope)
    return header_settings(replace(found, program=program or found.program))


def folder_for(into: Path) -> None:
    """Make the folder for new files; raises `Misconfigured` when what it is to stand in is missing."""
    if not into.parent.is_dir():
        raise Misconfigured(f"{into}: there is no folder {into.parent}; is its disk mounted?")
    try:
        into.mkdir(exist_ok=True)
    except OSError as err:
        raise Misconfigured(f"{into} cannot be made: {err.strerror}; expected a folder, or room for one") from err
