"""Presets: what is known of a make of telescope, as data."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nightferry.config.model import HeaderConfig, SiteConfig, StepNames, Take, Template, Url
from nightferry.config.units import Duration
from nightferry.core.layout import Ignore, Layout, Rule


def _compile(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return re.compile(value)
    except re.error as err:
        raise ValueError(f"not a regular expression: {err}") from err


Pattern = Annotated[re.Pattern[str], BeforeValidator(_compile)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RuleSection(_Section):
    """``[[layout.rule]]``: see `nightferry.core.layout.Rule`."""

    match: Pattern
    stem: list[str] = Field(default_factory=lambda: ["time", "folder", "file"])


class IgnoreSection(_Section):
    """``[[layout.ignore]]``: paths left at the telescope, and why."""

    match: Pattern
    why: str


class LayoutSection(_Section):
    """``[layout]``: how the telescope arranges its files."""

    session: Pattern | None = None
    rule: list[RuleSection] = Field(default_factory=list)
    ignore: list[IgnoreSection] = Field(default_factory=list)


class Preset(_Section):
    """One preset file."""

    title: str
    source: Url | None = None
    roots: list[str] = Field(default_factory=list)  #: other spellings of the root folder, tried by ``init``
    user: str = ""
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    settle: Duration = 60.0
    take: Take = Field(default_factory=lambda: ["fits", "tiff"])
    name: Template
    route: StepNames = Field(default_factory=lambda: ["verify"])
    layout: LayoutSection = LayoutSection()
    site: SiteConfig | None = None  #: where the telescope stands, where the preset is one telescope's
    program: str | None = None
    header: HeaderConfig = HeaderConfig()

    def as_layout(self, take: list[str] | None, longitude: float | None) -> Layout:
        """Make the layout, with the user's choice of files in place of the preset's."""
        return Layout(
            rules=tuple(Rule(rule.match, tuple(rule.stem)) for rule in self.layout.rule),
            session=self.layout.session,
            ignores=tuple(Ignore(item.match, item.why) for item in self.layout.ignore),
            take=frozenset(self.take if take is None else take),
            longitude=longitude,
        )
