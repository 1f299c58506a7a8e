"""Versions of steps: digests of their settings by name, so that neither a class nor a field of the code is part of one.

A step writes down its settings as a mapping of names to plain values, next to itself. Empty settings count as absent: a
setting that is added later changes no version where it is not used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from nightferry.core.frame import fingerprint

Setting: TypeAlias = "str | int | float | bool | Sequence[Setting] | Mapping[str, Setting] | None"
Settings: TypeAlias = Mapping[str, Setting]

_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Version:
    """A step's present version, and what the same settings were called before; both count as the present one."""

    text: str
    former: str = ""

    def counts(self, text: str) -> bool:
        """Return whether a receipt of that version is one of these very settings."""
        return text == self.text or (bool(text) and text == self.former)


def version_of(form: str, settings: Settings) -> str:
    """Return the version of a step of that form with these settings; their order does not count."""
    return f"{form}-{digest_of(settings)[:_DIGITS]}"


def digest_of(settings: Settings) -> str:
    """Digest settings by name into 32 hexadecimal digits; empty ones count as absent."""
    return fingerprint(json.dumps(_plain(settings), sort_keys=True, separators=(",", ":")))


def _plain(value: Setting) -> object:
    """Return a setting as JSON has it, without what is empty in mappings."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if not _is_empty(one)}
    if isinstance(value, str) or not isinstance(value, Sequence):
        return value
    return [_plain(one) for one in value]


def _is_empty(value: Setting) -> bool:
    return value is None or value is False or (isinstance(value, str | Sequence | Mapping) and not value)
