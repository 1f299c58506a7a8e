"""Regular expressions in files that people write: dialects, profiles and presets."""

import re


def compiled(value: object) -> object:
    """Compile a text, and give anything else back as it is; raises `ValueError` saying what is wrong with it."""
    if not isinstance(value, str):
        return value
    try:
        return re.compile(value)
    except re.error as err:
        raise ValueError(f"not a regular expression: {err}") from err
