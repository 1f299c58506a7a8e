"""Where the configuration, the user's presets, and nightferry's own data are looked for."""

import os
from pathlib import Path

import platformdirs


def config_path() -> Path:
    """Return where the configuration is looked for: ``$NIGHTFERRY_CONFIG``, else the user's config folder."""
    named = os.environ.get("NIGHTFERRY_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("nightferry", appauthor=False) / "config.toml"


def data_folder() -> Path:
    """Return where ledger and shelf are by default."""
    return platformdirs.user_data_path("nightferry", appauthor=False)


def own_presets(beside: Path | None = None) -> list[Path]:
    """Return where the user's presets are looked for: ``beside`` the configuration in use, then where it usually is."""
    folders = [*([] if beside is None else [beside]), config_path().absolute().parent]
    return [folder / "presets" for folder in dict.fromkeys(folders)]
