"""Dialects: what the headers of each camera program mean, as data: one TOML file each."""

from nightferry.headers.dialects.detect import detect
from nightferry.headers.dialects.load import dialect_names, load_dialect, load_dialects
from nightferry.headers.dialects.model import Dialect, dialect_settings, evidence_settings
from nightferry.headers.dialects.translate import Reading, translate, untranslated

__all__ = [
    "Dialect",
    "Reading",
    "detect",
    "dialect_names",
    "dialect_settings",
    "evidence_settings",
    "load_dialect",
    "load_dialects",
    "translate",
    "untranslated",
]
