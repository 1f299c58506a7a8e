"""The model of a dialect file, checked when it is read."""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nightferry.core.patterns import compiled
from nightferry.core.version import Settings
from nightferry.headers.canonical import FIELDS, ImageType
from nightferry.headers.dialects.functions import FUNCTIONS
from nightferry.headers.dialects.units import UNITS_OF

_SOURCE = re.compile(r"(?P<keys>@?[A-Za-z0-9_-]+(?:\+[A-Za-z0-9_-]+)?)(?:\s+\[(?P<unit>[^\]]+)\])?")
#: Fields that are made of others, or of more than one card, and no dialect can set.
_MADE = frozenset({"start_resolution", "wcs", "raw_name"})


Pattern = Annotated[re.Pattern[str], BeforeValidator(compiled)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Source(_Section):
    """Where a value stands: ``RA [deg]``, ``DATE-OBS+TIME-OBS`` (two cards joined), ``@object`` (told by the path)."""

    keys: tuple[str, ...]
    unit: str = ""
    hint: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the short form; raises `ValueError`."""
        found = _SOURCE.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no source: expected 'KEYWORD', 'KEYWORD [unit]', 'ONE+OTHER' or '@hint'")
        hint = found["keys"].startswith("@")
        return cls(keys=tuple(found["keys"].lstrip("@").split("+")), unit=found["unit"] or "", hint=hint)


def _sources(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list):
        return tuple(Source.parse(item) if isinstance(item, str) else item for item in value)
    return value


class Rule(_Section):
    """How one canonical field is found: in the first card that answers, maybe by a function; or always the same."""

    sources: Annotated[tuple[Source, ...], BeforeValidator(_sources), Field(alias="from")] = ()
    default: str | int | float | None = None
    func: str | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.func is not None and self.func not in FUNCTIONS:
            raise ValueError(f"unknown function {self.func!r}: expected {', '.join(FUNCTIONS)}")
        return self


def _rule(value: object) -> object:
    return {"from": value} if isinstance(value, str | list) else value


class Dialect(_Section):
    """One dialect file.

    ``detect`` lists pieces of evidence: a table of keywords with patterns that must all be found. ``name`` lists
    patterns for the file's name; their named groups are hints, as ``@group``. ``image_types`` adds spellings.
    ``comments`` lets a card's own comment say its unit, and what DATE-OBS is the time of. ``zone`` says what a card
    with a time zone means: DATE-OBS is ``local`` time, or ``utc`` all the same; without it such a card holds the frame.
    """

    title: str
    extends: str | None = None
    order: int = 100
    source: str = ""
    detect: list[dict[str, Pattern]] = Field(default_factory=list)
    fields: dict[str, Annotated[Rule, BeforeValidator(_rule)]] = Field(default_factory=dict)
    image_types: dict[str, ImageType] = Field(default_factory=dict)
    name: list[Pattern] = Field(default_factory=list)
    comments: bool = False
    zone: Literal["local", "utc"] | None = None
    id: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for key, rule in self.fields.items():
            if key not in FIELDS or key in _MADE:
                raise ValueError(f"unknown field {key!r}: expected {', '.join(f for f in FIELDS if f not in _MADE)}")
            units = UNITS_OF.get(key, ("",))
            for source in rule.sources:
                if source.unit not in units and not source.hint:
                    told = f"[{source.unit}]" if source.unit else "no unit"
                    raise ValueError(f"{key}: {'+'.join(source.keys)} has {told}: expected one of {', '.join(units)}")
        return self


def dialect_settings(dialect: Dialect) -> Settings:
    """Return what a dialect decides, by the names of its file; steps digest it into their versions."""
    return {
        "id": dialect.id,
        "fields": {field: _rule_settings(rule) for field, rule in dialect.fields.items()},
        "image_types": {spelling: kind.value for spelling, kind in dialect.image_types.items()},
        "name": [pattern.pattern for pattern in dialect.name],
        "comments": dialect.comments,
        "zone": dialect.zone,
    }


def evidence_settings(dialect: Dialect) -> Settings:
    """Return by what a dialect is found where none is named."""
    return {
        "order": dialect.order,
        "detect": [{keyword: pattern.pattern for keyword, pattern in piece.items()} for piece in dialect.detect],
    }


def _rule_settings(rule: Rule) -> Settings:
    return {
        "from": [{"keys": list(source.keys), "unit": source.unit, "hint": source.hint} for source in rule.sources],
        "default": None if rule.default is None else json.dumps(rule.default),  # "" and 0 are values
        "func": rule.func,
    }
