"""The configuration: one TOML file, checked as a whole before anything starts."""

from nightferry.config.load import config_path, data_folder, ledger_url, load, load_preset, loads, preset_names
from nightferry.config.model import ArchiveConfig, ClearConfig, Config, TelescopeConfig

__all__ = [
    "ArchiveConfig",
    "ClearConfig",
    "Config",
    "TelescopeConfig",
    "config_path",
    "data_folder",
    "ledger_url",
    "load",
    "load_preset",
    "loads",
    "preset_names",
]
