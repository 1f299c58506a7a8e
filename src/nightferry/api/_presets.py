"""Presets and discovery: the telescopes that are known, and those that are in reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from nightferry.config import config_path, load_preset, preset_names
from nightferry.config.preset import Preset, preset_files
from nightferry.core.errors import Misconfigured
from nightferry.discover import Found
from nightferry.discover import discover as look_for


@dataclass(frozen=True, slots=True)
class PresetExample:
    """What becomes of an example of a preset: its night, its name in an archive, or why it is ignored."""

    path: str
    night: date
    name: str
    ignored: str


@dataclass(frozen=True, slots=True)
class KnownPreset:
    """A preset by its name: where it comes from (a file, or ``"shipped"``), and what it takes the place of.

    ``preset`` is None where its file is no good, of which ``trouble`` tells.
    """

    name: str
    preset: Preset | None
    origin: str = ""
    overrides: tuple[str, ...] = ()
    toml: str = ""
    examples: tuple[PresetExample, ...] = ()
    trouble: Misconfigured | None = None


def presets(place: Path | None = None) -> list[KnownPreset]:
    """Return all presets; one bad file hides no other.

    ``place`` is the configuration's file, None for the usual one.
    """
    folder = _beside(place)
    return [_known(name, folder) for name in preset_names(folder)]


def _known(name: str, folder: Path) -> KnownPreset:
    try:
        found = load_preset(name, folder)
    except Misconfigured as err:
        return KnownPreset(name, None, trouble=err)
    origin, *others = [_origin(file, folder) for file in map(str, preset_files(name, folder))]
    return KnownPreset(name, found, origin, tuple(others))


def preset(name: str, place: Path | None = None) -> KnownPreset:
    """Return one preset with its file's text, and what becomes of its examples; raises `Misconfigured`."""
    folder = _beside(place)
    found = load_preset(name, folder)
    files = preset_files(name, folder)
    origin, *others = [_origin(file, folder) for file in map(str, files)]
    examples = tuple(_example(found, example.path, name) for example in found.example)
    return KnownPreset(name, found, origin, tuple(others), files[0].read_text(encoding="utf-8"), examples)


def _example(found: Preset, path: str, name: str) -> PresetExample:
    told = found.foretell(path, name)
    return PresetExample(path, told.night, told.name, told.ignored)


def discover(
    names: Sequence[str] = (),
    *,
    hosts: str = "",
    folders: Sequence[Path] = (),
    timeout: float = 1.5,
    place: Path | None = None,
) -> list[Found]:
    """Look for telescopes at the addresses and on the disks where presets (all when none is named) know them to be.

    ``hosts`` is a range of addresses to try, too, such as ``192.168.1.0/24``; ``timeout`` is in seconds.
    """
    return look_for(names, hosts=hosts, folders=folders, timeout=timeout, beside=_beside(place))


def _beside(place: Path | None) -> Path:
    """Return the folder of the configuration in use."""
    return (place or config_path()).expanduser().absolute().parent


def _origin(file: str, folder: Path) -> str:
    own = {str(item) for item in (folder / "presets", config_path().absolute().parent / "presets")}
    return file if str(Path(file).parent) in own else "shipped"
