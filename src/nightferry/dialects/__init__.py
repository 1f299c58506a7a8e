"""Dialects: what the headers of each camera program mean, as data: one TOML file each."""

from nightferry.dialects.detect import detect
from nightferry.dialects.load import dialect_names, load_dialect, load_dialects
from nightferry.dialects.model import Dialect
from nightferry.dialects.translate import Reading, translate, untranslated

__all__ = [
    "Dialect",
    "Reading",
    "detect",
    "dialect_names",
    "load_dialect",
    "load_dialects",
    "translate",
    "untranslated",
]
