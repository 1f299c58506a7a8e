"""The configuration's models: every key with its meaning, its unit and its default."""

import re
import string
import warnings
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from nightferry.config.secrets import check_reference
from nightferry.config.store_keys import address_of, check_url, checked_section
from nightferry.config.units import (
    Duration,
    FieldSide,
    Height,
    Hour,
    Latitude,
    Longitude,
    PixelScale,
    Radius,
    Rate,
    Share,
    Size,
)
from nightferry.core.layout import KINDS
from nightferry.core.night import NightRule
from nightferry.core.step import CUBE, DELIVER, PULL, SOLVE, STANDARDISE, VALIDATE, VERIFY
from nightferry.stores.kinds import OURS, kind_of

if TYPE_CHECKING:
    from nightferry.config.resolve import ResolvedTelescope

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_LAST_PORT = 65535
#: The steps of a route, in their order; pull and deliver are part of every one and need not be said.
ROUTE_STEPS = (PULL, VERIFY, SOLVE, STANDARDISE, VALIDATE, CUBE, DELIVER)
#: The fields that a name template may use; see `nightferry.core.layout`.
TEMPLATE_FIELDS = ("object", "date", "time", "night", "stem", "file", "suffix", "folder", "index", "telescope", "role")


def _check_template(template: str) -> str:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as err:
        raise ValueError(f"{template!r} is no name template: {err}") from err
    unknown = sorted(set(fields) - set(TEMPLATE_FIELDS))
    if unknown:
        raise ValueError(f"unknown field {{{unknown[0]}}}: expected {', '.join(TEMPLATE_FIELDS)}")
    if template.startswith("/") or ".." in template.split("/"):
        raise ValueError(f"{template!r} leaves the archive: expected a path below its root")
    if not {"stem", "file"} & set(fields):
        raise ValueError(f"{template!r} gives all frames of a session one name: expected {{stem}} in it")
    return template


def _check_take(value: object) -> object:
    for kind in value if isinstance(value, list) else []:
        if kind not in KINDS:
            raise ValueError(f"unknown kind {kind!r}: expected {', '.join(KINDS)}")
    return value


def _check_route(route: list[str]) -> list[str]:
    unknown = [step for step in route if step not in ROUTE_STEPS]
    if unknown:
        raise ValueError(f"unknown step {unknown[0]!r}: expected {', '.join(ROUTE_STEPS)}")
    order = [ROUTE_STEPS.index(step) for step in route]
    if order != sorted(set(order)):
        raise ValueError(f"the steps of a route stand once and in this order: {', '.join(ROUTE_STEPS)}")
    if VERIFY not in route:
        raise ValueError("a route without verify would deliver what is not whole: expected it first")
    if CUBE in route and STANDARDISE not in route:
        raise ValueError("cubes are made of standard frames: expected standardise in a route that has cube")
    return route


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no good name: expected letters, digits, '-', '_' or '.', at most 64")
    return name


Template = Annotated[str, AfterValidator(_check_template)]
Url = Annotated[str, AfterValidator(check_url)]
Secret = Annotated[str, AfterValidator(check_reference)]
Name = Annotated[str, AfterValidator(_check_name)]
StepNames = Annotated[list[str], AfterValidator(_check_route)]
Take = Annotated[list[str], BeforeValidator(_check_take)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WindowConfig(_Section):
    """One of a store's ``windows``: hours of the day in which another speed counts."""

    start: Hour = Field(alias="from")
    end: Hour = Field(alias="to")
    limit: Rate  #: the greatest speed then; "none" for any

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.start == self.end:
            raise ValueError(f"a window from {self.start:%H:%M} to {self.end:%H:%M} never begins: correct one of them")
        return self


class _StoreSection(_Section):
    """What every store's section may say; each kind of store has keys of its own beside these."""

    model_config = ConfigDict(extra="allow")
    _url_key: ClassVar[str] = "url"

    user: str = ""
    secret: Secret | None = None
    timeout: Duration = 30.0  #: longest wait for any answer
    connections: Annotated[int, Field(ge=1, le=16)] | None = None
    tries: Annotated[int, Field(ge=1, le=10)] = 1  #: how often a call is tried while the store cannot be reached
    limit: Rate = None  #: the greatest speed, all connections together
    windows: list[WindowConfig] = Field(default_factory=list)  #: hours with another limit
    mount: bool | Path | None = None  #: what must be mounted before a folder counts as there

    @model_validator(mode="wrap")
    @classmethod
    def _store_takes_the_rest(cls, table: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked_section(cls, cls._url_key, table, handler)

    def address(self, url: str) -> SplitResult:
        """Split the store's URL, with the path's blanks decoded."""
        return address_of(url)


class ArchiveConfig(_StoreSection):
    """``[archive.NAME]``: where frames go."""

    url: Url
    name: Template | None = None  #: how frames are named there; the preset's template is the default
    verify: Literal["reread", "server"] = "reread"  #: how the proof is obtained
    conflict: Literal["hold"] = "hold"  #: what other bytes under the same name mean
    shared: bool = False  #: others keep files there, too: an audit does not tell of them
    kind: Literal["keep", "handover"] | None = None  #: frames stay there (keep), or others take them away (handover)


class ClearConfig(_Section):
    """``[telescope.NAME.clear]``: delete at the source what is proven delivered."""

    after: Duration


class WatchConfig(_Section):
    """``[telescope.NAME.watch]``: how ``nightferry watch`` looks."""

    every: Duration = 300.0  #: pause between two passes
    live: Duration = 15.0  #: pause between two looks at the present night, while it is dark or frames come
    empty: Annotated[int, Field(ge=1)] | None = None  #: passes in a row without new frames, or without an answer
    then: Literal["stop", "alert"] = "stop"  #: what happens after that


class HeaderConfig(_Section):
    """``[telescope.NAME.header]``: what archives know the telescope by; the preset fills what is left out."""

    profile: str | None = None  #: the archive whose headers are written
    dialect: str | None = None  #: the program that writes the frames, where evidence does not tell
    telescop: str | None = None
    instrume: str | None = None
    origin: str | None = None
    observer: str | None = None
    pi: str | None = None
    fitsverify: bool = True  #: have fitsverify judge each product, too, where it is installed


class CubeConfig(_Section):
    """``[telescope.NAME.cube]``: how a night's frames are put together, where the route has ``cube``."""

    max_frames: Annotated[int, Field(ge=1)] | None = None  #: the most frames in one cube
    max_size: Annotated[Size, Field(ge=1)] | None = None  #: the most pixels in one cube
    odd: Literal["apart", "out"] = "apart"  #: frames of another shape or number format: a cube of their own, or none
    deadline: Duration | None = None  #: after the end of the night, cubes are made of what there is


class SolveConfig(_Section):
    """``[telescope.NAME.solve]``: how its frames are solved; the preset fills what is left out."""

    engine: str | None = None  #: astrometry, solve-field, or another that is installed
    index: list[Path] | None = None  #: folders or index files beside the usual ones
    field: FieldSide | None = None  #: smaller side of the field, for what ``index status`` tells
    scales: Annotated[list[PixelScale], Field(min_length=2, max_length=2)] | None = None  #: limits, for one pixel
    radius: Radius | None = None  #: how far from the header's place a frame is looked for first
    timeout: Duration | None = None  #: the longest search for one frame
    failure: Literal["hold", "mark"] | None = None  #: what becomes of frames without a solution

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scales is not None and self.scales[0] > self.scales[1]:
            raise ValueError("solve.scales: expected the smaller limit first")
        if self.timeout is not None and self.timeout < 1:
            raise ValueError("solve.timeout: expected a second or more")
        return self


def _read_evening(value: object) -> object:
    """Read an evening's date as a text or as TOML's own date."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise ValueError(f"expected the date of an evening, such as '2026-03-01', found {str(value)!r}")


class TelescopeConfig(_StoreSection):
    """``[telescope.NAME]``: one telescope."""

    _url_key: ClassVar[str] = "source"

    preset: str = "generic"
    source: Url | None = None
    archives: Annotated[list[Name], Field(min_length=1)]
    site: str | None = None
    settle: Duration | None = None
    since: Annotated[date, BeforeValidator(_read_evening)] | None = None  #: older nights are counted, not carried
    night: NightRule | None = None  #: what decides the night; the preset's rule is the default
    take: Take | None = None
    route: StepNames | None = None  #: the steps between telescope and archives; the preset's where not said
    program: str | None = None  #: the observing programme of its frames
    require: list[Literal["night", "program"]] = Field(default_factory=list)  #: what each run must name
    log: Path | None = None  #: a log of its own, kept apart from the others'
    header: HeaderConfig = HeaderConfig()
    solve: SolveConfig = SolveConfig()
    cube: CubeConfig = CubeConfig()
    clear: ClearConfig | None = None
    watch: WatchConfig = WatchConfig()


class SiteConfig(_Section):
    """``[site.NAME]``: where on Earth; longitude is east positive."""

    latitude: Latitude
    longitude: Longitude
    elevation: Height = 0.0


class LedgerConfig(_Section):
    """``[ledger]``: where sightings and receipts are kept."""

    url: str = ""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.url and not self.url.startswith("sqlite:///"):
            raise ValueError("ledger.url: expected sqlite:////absolute/path/ledger.db")
        return self


class ShelfConfig(_Section):
    """``[shelf]``: working files, kept until delivered and proven."""

    path: Path | None = None
    keep: Duration = 14 * 86400.0
    floor: Size = 1_000_000_000


class PoolConfig(_Section):
    """``[pool]``: who does the computing, and how much is done at once."""

    kind: Literal["threads", "processes"] = "processes"
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    telescopes: Annotated[int, Field(ge=1, le=64)] = 4  #: how many are carried from side by side


class AlertsConfig(_Section):
    """``[alerts]``: whom to tell. The Apprise URLs are secrets, so they are references."""

    urls: list[Secret] = Field(default_factory=list)
    digest: Literal["nightly", "trouble", "never"] = "nightly"  #: the one message a night
    held: Share = 0.1  #: more held frames of a night than this are told at once
    patience: Duration = 600.0  #: trouble that lasts less is not told
    ping: Secret | None = None  #: the URL of a dead man's switch
    every: Duration = 300.0  #: how often that is asked for

    @property
    def channels(self) -> tuple[str, ...]:
        """The references of those who are told, each once."""
        return tuple(dict.fromkeys(self.urls))


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        if name == "UTC":  # where no zones are installed
            return name
        raise ValueError(f"{name!r} is no time zone that this machine knows, such as America/Santiago") from err
    return name


def _check_listen(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= _LAST_PORT:
        raise ValueError(f"{text!r}: expected HOST:PORT, such as 127.0.0.1:9464")
    return text


class BooksConfig(_Section):
    """``[books]``: plain lists of what was transferred and what was not, for people and their scripts."""

    path: Path | None = None  #: the folder; without it no books are written
    copies: list[Name] = Field(default_factory=list)  #: archives to whose stores they are copied


class LogConfig(_Section):
    """``[log]``: what happened, as files that are rotated."""

    path: Path | None = None  #: the file; without it nothing is logged but for telescopes with a log of their own
    format: Literal["console", "json"] = "console"
    size: Size = 10_000_000  #: the size at which a file is put away
    keep: Annotated[int, Field(ge=0, le=1000)] = 10  #: how many that were put away are kept
    zone: Annotated[str, AfterValidator(_check_zone)] = "UTC"  #: of the times in it


class MetricsConfig(_Section):
    """``[metrics]``: for Prometheus."""

    file: Path | None = None  #: for the node exporter's textfile collector
    listen: Annotated[str, AfterValidator(_check_listen)] | None = None  #: HOST:PORT of ``/metrics``, while watching


class Config(_Section):
    """The whole file."""

    ledger: LedgerConfig = LedgerConfig()
    shelf: ShelfConfig = ShelfConfig()
    #: ``[crew]`` is its old name
    pool: PoolConfig = Field(default=PoolConfig(), validation_alias=AliasChoices("pool", "crew"))
    alerts: AlertsConfig = AlertsConfig()
    books: BooksConfig = BooksConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    site: dict[Name, SiteConfig] = Field(default_factory=dict)
    telescope: dict[Name, TelescopeConfig] = Field(default_factory=dict)
    archive: dict[Name, ArchiveConfig] = Field(default_factory=dict)
    _folder: Path | None = PrivateAttr(default=None)
    _resolve: "Callable[[Config], Mapping[str, ResolvedTelescope]] | None" = PrivateAttr(default=None)
    _resolved: "Mapping[str, ResolvedTelescope]" = PrivateAttr(default_factory=dict)

    @property
    def folder(self) -> Path | None:
        """The folder of the file that this was read from, where the user's own presets are looked for first."""
        return self._folder

    @property
    def resolved(self) -> "Mapping[str, ResolvedTelescope]":
        """Each telescope with all that its preset, its site and its archives say; see `nightferry.config.resolve`."""
        return self._resolved

    def resolved_by(
        self, resolve: "Callable[[Config], Mapping[str, ResolvedTelescope]]", folder: Path | None = None
    ) -> Self:
        """Resolve the telescopes and remember the folder that this was read from."""
        self._folder, self._resolve = folder, resolve
        return self.keep_resolved(resolve(self))

    def keep_resolved(self, telescopes: "Mapping[str, ResolvedTelescope]") -> Self:
        """Remember telescopes that are resolved."""
        self._resolved = telescopes
        return self

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """Return a copy with some sections exchanged, its telescopes resolved again."""
        copy = super().model_copy(update=update, deep=deep)
        return copy.keep_resolved(self._resolve(copy)) if update and self._resolve is not None else copy

    @property
    def crew(self) -> PoolConfig:
        """The old name of `pool`."""
        warnings.warn("Config.crew is called Config.pool now", DeprecationWarning, stacklevel=2)
        return self.pool

    @model_validator(mode="before")
    @classmethod
    def _one_pool(cls, table: object) -> object:
        if isinstance(table, dict) and {"pool", "crew"} <= table.keys():
            raise ValueError("[crew] is the old name of [pool], and here are both: move what [crew] says into [pool]")
        return table

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, telescope in self.telescope.items():
            for archive in telescope.archives:
                if archive not in self.archive:
                    raise ValueError(
                        f"telescope.{name}.archives names {archive!r}, but there is no [archive.{archive}]"
                    )
            if telescope.site is not None and telescope.site not in self.site:
                raise ValueError(
                    f"telescope.{name}.site names {telescope.site!r}, but there is no [site.{telescope.site}]"
                )
        for archive in self.books.copies:
            if archive not in self.archive:
                raise ValueError(f"books.copies names {archive!r}, but there is no [archive.{archive}]")
        if self.books.copies and self.books.path is None:
            raise ValueError("books.copies asks for copies of books that are not written: set books.path")
        return self

    @model_validator(mode="after")
    def _stores_can_do_it(self) -> Self:
        for name, telescope in self.telescope.items():
            _require_folder(f"telescope.{name}", telescope, telescope.source)
        for name, place in self.archive.items():
            if place.verify == "server":
                _require_attests(name, urlsplit(place.url).scheme)
            _require_folder(f"archive.{name}", place, place.url)
        return self


def _require_attests(name: str, scheme: str) -> None:
    attesting = [one for one in dict.fromkeys([*OURS, scheme]) if (kind := kind_of(one)) is not None and kind.attests]
    if scheme not in attesting:
        raise ValueError(
            f'archive.{name}: verify = "server" needs a server that tells digests of what it holds, and '
            f"{scheme}:// stores have none ({', '.join(f'{known}://' for known in attesting)} do): "
            'say verify = "reread"'
        )


def _require_folder(name: str, section: _StoreSection, url: str | None) -> None:
    if section.mount not in {None, False} and urlsplit(url or "file:").scheme != "file":
        raise ValueError(f"{name}.mount: only a folder (file:///path) can be mounted; leave it out")
