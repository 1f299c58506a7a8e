"""The configuration: one TOML file, checked as a whole before anything starts."""

from nightferry.config.load import find_telescope, ledger_url, load, loads
from nightferry.config.model import ArchiveConfig, ClearConfig, Config, TelescopeConfig
from nightferry.config.places import config_path, data_folder
from nightferry.config.preset import load_preset, preset_names
from nightferry.config.resolve import ResolvedArchive, ResolvedTelescope, for_run

__all__ = [
    "ArchiveConfig",
    "ClearConfig",
    "Config",
    "ResolvedArchive",
    "ResolvedTelescope",
    "TelescopeConfig",
    "config_path",
    "data_folder",
    "find_telescope",
    "for_run",
    "ledger_url",
    "load",
    "load_preset",
    "loads",
    "preset_names",
]
