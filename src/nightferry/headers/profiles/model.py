"""The model of a profile file, checked when it is read."""

import json
import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nightferry.core.patterns import compiled
from nightferry.core.version import Settings
from nightferry.headers.canonical import FIELDS, ImageType
from nightferry.headers.profiles.values import CONTEXT, FUNCTIONS

Kind = Literal["text", "real", "whole", "logical"]
#: Places in the list of cards where the machinery puts many: the solution, what is kept of the source.
MARKS = ("@wcs", "@keep", "@keep-hierarch")


Pattern = Annotated[re.Pattern[str], BeforeValidator(compiled)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class CardRule(_Section):
    """One card: where its value comes from, for which image types, and what it must be.

    ``from`` names a canonical field, a fact of the context (``context.origin``) or the source's own card
    (``card.BLANK``); ``func`` a function; ``const`` is the value itself. ``most`` is the longest text; ``digits``
    the decimals that are kept.
    """

    key: str
    source: Annotated[tuple[str, ...], Field(alias="from")] = ()
    func: str | None = None
    const: str | int | float | bool | None = None
    kind: Kind = "text"
    types: Annotated[tuple[ImageType, ...], Field(alias="for")] = ()
    required: bool = False
    missing_only: bool = False
    most: int = 68
    longest: int = 68
    digits: int | None = None
    comment: str = ""
    after: str = ""  #: in a profile that extends another: the card of that one behind which this stands

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("from"), str):
            return {**value, "from": (value["from"],)}
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        for name in self.source:
            head, _, tail = name.partition(".")
            good = name in FIELDS or (head == "context" and tail in CONTEXT) or (head == "card" and tail)
            if not good:
                raise ValueError(
                    f"{self.key}: unknown source {name!r}: a canonical field, context.NAME or card.KEYWORD"
                )
        if self.func is not None and self.func not in FUNCTIONS:
            raise ValueError(f"{self.key}: unknown function {self.func!r}: expected {', '.join(FUNCTIONS)}")
        if self.key.startswith("@") and self.key not in MARKS:
            raise ValueError(f"unknown mark {self.key!r}: expected {', '.join(MARKS)}")
        return self


class NameSection(_Section):
    """``[name]``: what a frame is called. ``keep`` leaves it the name that it has."""

    keep: bool = False
    separator: Literal["_", ":"] = "_"
    bump: bool = True  #: a name that is taken gives way to the next free millisecond, with a HISTORY card
    short: dict[str, str] = Field(default_factory=dict)  #: how names of cubes shorten the beginning of INSTRUME


class Profile(_Section):
    """One profile file.

    ``layout``: ``table`` writes the cards in the order of the file, ``inplace`` keeps the source's order and adds
    what is missing. ``dpr`` gives the ESO triple of each image type; a type that is not there is refused.
    ``drop`` are patterns of keywords that are never carried over; ``check`` the rules that apply, all when empty.
    """

    title: str
    extends: str | None = None
    layout: Literal["table", "inplace"] = "table"
    naxis: tuple[int, ...] = ()
    dpr: dict[ImageType, tuple[str, str, str]] = Field(default_factory=dict)
    types: tuple[ImageType, ...] = ()
    name: NameSection = NameSection()
    drop: tuple[Pattern, ...] = ()
    drop_with_wcs: tuple[Pattern, ...] = ()
    skip: tuple[str, ...] = ()  #: rules that do not apply
    cards: tuple[CardRule, ...] = ()
    long_text: bool = False
    cube: str = ""  #: the profile of cubes of such frames
    id: str = ""


def profile_settings(profile: Profile) -> Settings:
    """Return what a profile decides, by the names of its file; steps digest it into their versions."""
    return {
        "id": profile.id,
        "layout": profile.layout,
        "naxis": list(profile.naxis),
        "dpr": {kind.value: list(words) for kind, words in profile.dpr.items()},
        "types": sorted(kind.value for kind in profile.types),
        "name": {
            "keep": profile.name.keep,
            "separator": profile.name.separator,
            "bump": profile.name.bump,
            "short": profile.name.short,
        },
        "drop": [pattern.pattern for pattern in profile.drop],
        "drop_with_wcs": [pattern.pattern for pattern in profile.drop_with_wcs],
        "skip": sorted(profile.skip),
        "cards": [_card_settings(card) for card in profile.cards],
        "long_text": profile.long_text,
        "cube": profile.cube,
    }


def _card_settings(card: CardRule) -> Settings:
    return {
        "key": card.key,
        "from": list(card.source),
        "func": card.func,
        "const": None if card.const is None else json.dumps(card.const),  # false and "" are values
        "kind": card.kind,
        "for": sorted(kind.value for kind in card.types),
        "required": card.required,
        "missing_only": card.missing_only,
        "most": card.most,
        "longest": card.longest,
        "digits": None if card.digits is None else str(card.digits),  # so is 0
        "comment": card.comment,
    }
