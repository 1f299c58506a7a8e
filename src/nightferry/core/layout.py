"""Layouts: what a telescope's paths say about its files, as data.

A preset lists regular expressions; the first that matches a path names the object, the session and what makes
the file's name unique among all others of its object and date.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from nightferry.core.frame import Place, Role
from nightferry.core.night import evening_at, evening_of
from nightferry.core.objects import object_name
from nightferry.core.store import StorePath

_SUFFIX = re.compile(r"((?:\.(?:fits|fit|fts|tiff|tif|jpe?g|png|json|fz|gz))+)$", re.IGNORECASE)
#: The kinds of files a user may ask for, by the suffix's last part.
KINDS: Mapping[str, frozenset[str]] = {
    "fits": frozenset({"fits", "fit", "fts", "fz"}),
    "tiff": frozenset({"tif", "tiff"}),
    "previews": frozenset({"jpg", "jpeg", "png"}),
    "sidecars": frozenset({"json"}),
}
_ROLES = {"previews": Role.PREVIEW, "sidecars": Role.SIDECAR}


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern of a layout.

    ``pattern`` is matched from the start of the path. Its groups ``date`` (YYYY-MM-DD) and ``time``
    (hh-mm-ss) are the session's start by the telescope's clock, ``object`` the object as the telescope writes
    it; any other group fills the field of its name. ``stem`` lists the fields that make up ``{stem}``.
    """

    pattern: re.Pattern[str]
    stem: tuple[str, ...] = ("time", "folder", "file")


@dataclass(frozen=True, slots=True)
class Ignore:
    """Paths that are left where they are, and why."""

    pattern: re.Pattern[str]
    why: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a telescope arranges its files, and which of them we take.

    ``take`` names entries of `KINDS`; ``session`` finds date and time in a folder's name, so that whole
    folders of other nights need not be listed; ``longitude`` (degrees, east positive) decides the night where
    only a time of change tells it.
    """

    rules: Sequence[Rule]
    session: re.Pattern[str] | None = None
    ignores: Sequence[Ignore] = ()
    take: frozenset[str] = frozenset({"fits", "tiff"})
    longitude: float | None = None

    def evening_of_folder(self, folder: StorePath) -> date | None:
        """Tell the night that a whole folder belongs to, if its name says so."""
        found = self.session.search(folder) if self.session else None
        return None if found is None else _session_evening(found["date"], found["time"])

    def place(self, path: StorePath, mtime_us: int | None, seen_us: int) -> Place:
        """Read what a path says; a path that no rule knows keeps its own folders in its name."""
        name = path.rpartition("/")[2]
        suffix = suffix_of(name)
        fields = {"file": name[: len(name) - len(suffix)], "suffix": suffix}
        stem: Sequence[str] = ("folder", "file")
        for rule in self.rules:
            found = rule.pattern.match(path)
            if found is not None:
                # a group that took part but matched nothing is the session's own folder
                groups = {key: value or "root" for key, value in found.groupdict().items() if value is not None}
                fields |= groups
                stem = rule.stem
                break
        else:
            fields["folder"] = path.rpartition("/")[0]
        evening = _session_evening(fields.get("date", ""), fields.get("time", ""))
        if evening is None:
            moment = datetime.fromtimestamp((seen_us if mtime_us is None else mtime_us) / 1e6, UTC)
            evening = evening_at(moment, self.longitude)
            fields["date"] = evening.isoformat()
        fields["object"] = object_name(fields.get("object", "")) or "unsorted"
        fields["night"] = evening.isoformat()
        fields["folder"] = fields.get("folder", "").strip("/").replace("/", "-")
        fields["stem"] = "_".join(fields[key] for key in stem if fields.get(key))
        kind = _kind_of(suffix)
        return Place(evening, _ROLES.get(kind, Role.RAW), fields, self._ignored(path, name, kind))

    def _ignored(self, path: StorePath, name: str, kind: str) -> str:
        if name.startswith("._"):
            return "AppleDouble file: macOS metadata, not a frame"
        for ignore in self.ignores:
            if ignore.pattern.search(path):
                return ignore.why
        if not kind:
            return "not a frame: unknown kind of file"
        if kind not in self.take:
            return f"{kind} are not taken (setting 'take')"
        return ""


def suffix_of(name: str) -> str:
    """Tell the suffix of a file name, doubled ones such as ``.fits.fits`` whole."""
    found = _SUFFIX.search(name)
    return found[1] if found and found.start() else ""


def _kind_of(suffix: str) -> str:
    last = suffix.lower().removesuffix(".gz").rpartition(".")[2]
    return next((kind for kind, suffixes in KINDS.items() if last in suffixes), "")


def _session_evening(day: str, time: str) -> date | None:
    """Tell the evening of a session's start; a date without a time is an evening already."""
    if len(day) == 8 and day.isdigit():  # noqa: PLR2004 - YYYYMMDD
        day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    try:
        start = datetime.strptime(f"{day} {time or '23-59-59'}", "%Y-%m-%d %H-%M-%S")  # noqa: DTZ007 - local by nature
    except ValueError:
        return None
    return evening_of(start)


def sidecar_owner(path: StorePath) -> frozenset[str]:
    """Tell the frames, as paths without suffix, that a sidecar would belong to.

    Vaonis' telescopes write ``img-0001.json`` or ``img-0001-stacking.json`` beside ``img-0001.fits`` or
    ``img-0001r.fits``.
    """
    stem = path[: len(path) - len(suffix_of(path.rpartition("/")[2]))]
    base = stem.removesuffix("-stacking")
    return frozenset({stem, base, base + "r"})
