"""Presets: what is known of a make of telescope, as data, each in a TOML file of its name."""

import re
from datetime import UTC, date, datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from nightferry.config.model import HeaderConfig, SiteConfig, SolveConfig, StepNames, Take, Template
from nightferry.config.places import own_presets
from nightferry.config.store_keys import check_url
from nightferry.config.units import Duration
from nightferry.core.layout import Ignore, Layout, Rule
from nightferry.core.naming import frame_name
from nightferry.core.night import Clock, Night, NightRule
from nightferry.core.patterns import compiled
from nightferry.core.step import VERIFY
from nightferry.core.store import StorePath
from nightferry.tomlfiles import Kind, Table, files, find, names

#: Lists of a preset that grow when it is extended.
_BEFORE = frozenset({"rule", "ignore"})


def _dated(pattern: re.Pattern[str]) -> re.Pattern[str]:
    if "date" not in pattern.groupindex:
        raise ValueError("it has no group 'date', so it can find none: write (?P<date>...), and (?P<time>...) if told")
    return pattern


Pattern = Annotated[re.Pattern[str], BeforeValidator(compiled)]
Dated = Annotated[Pattern, AfterValidator(_dated)]
Place = Annotated[str, AfterValidator(check_url)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RuleSection(_Section):
    """``[[layout.rule]]``: see `nightferry.core.layout.Rule`."""

    match: Pattern
    stem: list[str] = Field(default_factory=lambda: ["time", "folder", "file"])
    fields: dict[str, str] = Field(default_factory=dict)  #: fields that are the same for all these paths


class IgnoreSection(_Section):
    """``[[layout.ignore]]``: paths left at the telescope, and why."""

    match: Pattern
    why: str


class LayoutSection(_Section):
    """``[layout]``: how the telescope arranges its files."""

    session: Dated | None = None
    stamp: Dated | None = None  #: finds date and time in a file's own name
    clock: Clock = Clock.LOCAL  #: the time that folders and names tell
    notes: Pattern | None = None  #: JSON files that belong to a whole folder
    rule: list[RuleSection] = Field(default_factory=list)
    ignore: list[IgnoreSection] = Field(default_factory=list)


class DiscoverSection(_Section):
    """``[discover]``: where such telescopes are found, beside ``source``."""

    urls: list[Place] = Field(default_factory=list)  #: other addresses they are known to have
    folders: list[str] = Field(default_factory=list)  #: folders on mounted disks and shares, with * and ?
    home: list[str] = Field(default_factory=list)  #: folders below the user's own


class ExampleSection(_Section):
    """``[[example]]``: a path, and what becomes of it."""

    path: str
    name: str = ""  #: its name in an archive, for a telescope of the preset's own name
    night: str = ""  #: the evening, where the path tells it
    ignored: str = ""  #: why it is left there

    @model_validator(mode="after")
    def _one(self) -> "ExampleSection":
        if self.name and self.ignored:
            raise ValueError("a path of an example has a 'name' or is 'ignored', not both")
        return self


class Foretold(NamedTuple):
    """What becomes of a path: its night, and either its name in an archive or why it is ignored."""

    night: date
    name: str
    ignored: str


class Preset(_Section):
    """One preset file."""

    title: str
    extends: str | None = None  #: the preset that this one changes
    source: Place | None = None
    roots: list[str] = Field(default_factory=list)  #: other spellings of the root folder, tried by ``init``
    user: str = ""
    connections: Annotated[int, Field(ge=1, le=16)] = 4
    settle: Duration = 60.0
    night: NightRule = NightRule.FOLDER
    take: Take = Field(default_factory=lambda: ["fits", "tiff"])
    name: Template
    route: StepNames = Field(default_factory=lambda: [VERIFY])
    layout: LayoutSection = LayoutSection()
    discover: DiscoverSection = DiscoverSection()
    example: list[ExampleSection] = Field(default_factory=list)
    site: SiteConfig | None = None  #: where the telescope stands, where the preset is one telescope's
    program: str | None = None
    header: HeaderConfig = HeaderConfig()
    solve: SolveConfig = SolveConfig()

    def as_layout(self, take: list[str] | None, longitude: float | None, night: NightRule | None = None) -> Layout:
        """Return the layout, with the user's choice of files and of the night's rule in place of the preset's."""
        where = self.site.longitude if longitude is None and self.site is not None else longitude
        return Layout(
            rules=tuple(Rule(rule.match, tuple(rule.stem), rule.fields) for rule in self.layout.rule),
            session=self.layout.session,
            ignores=tuple(Ignore(item.match, item.why) for item in self.layout.ignore),
            take=frozenset(self.take if take is None else take),
            longitude=where,
            night=night or self.night,
            clock=self.layout.clock,
            stamp=self.layout.stamp,
            notes=self.layout.notes,
        )

    def foretell(self, path: str, telescope: str) -> Foretold:
        """Return what becomes of a path, at a telescope of that name; a night that no path tells is today's."""
        layout = self.as_layout(None, None)
        now_us = int(datetime.now(UTC).timestamp() * 1e6)
        place = layout.place(StorePath(path), None, now_us)
        night = Night(telescope, place.evening)
        name = "" if place.ignored else str(frame_name(self.name, layout, StorePath(path), night, place.role))
        return Foretold(place.evening, name, place.ignored)


def preset_names(beside: Path | None = None) -> list[str]:
    """Return the presets' names: the shipped ones, and the user's own."""
    return names(_PRESETS, own_presets(beside))


def preset_files(name: str, beside: Path | None = None) -> list[Traversable]:
    """Return the files of a preset, the one that counts first; raise `Misconfigured` for a name that nobody knows."""
    return files(_PRESETS, name, own_presets(beside))


def load_preset(name: str, beside: Path | None = None) -> Preset:
    """Read a preset by name; a file of the user's own comes before the shipped one of that name."""
    return find(_PRESETS, name, own_presets(beside)).checked(Preset)


def _joined(base: Table, own: Table) -> Table:
    """Join two tables: sections key by key, rules of one's own before the others, all else instead of them."""
    joined = dict(base)
    for key, value in own.items():
        other = base.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            joined[key] = _joined(other, value)
        elif key in _BEFORE and isinstance(value, list) and isinstance(other, list):
            joined[key] = [*value, *other]
        else:
            joined[key] = value
    return joined


_PRESETS = Kind("preset", "nightferry.config.presets", _joined)
