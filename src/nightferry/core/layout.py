"""Layouts: what a telescope's paths say about its files, as data.

A preset lists regular expressions; the first that matches a path names the object, the session and what makes
the file's name unique among all others of its object and date.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache

from nightferry.core.frame import Place, Role
from nightferry.core.night import (
    Clock,
    Evidence,
    NightRule,
    clock_ahead,
    contradictions,
    decide_night,
    evening_of_stamp,
    in_calendar,
    instant_at,
)
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

    ``pattern`` is matched from the start of the path. Its groups ``date`` and ``time`` are the session's or the
    frame's start, ``object`` the object as the telescope writes it; any other group fills the field of its name.
    ``stem`` lists the fields that make up ``{stem}``; ``fields`` are those that are the same for all its paths.
    """

    pattern: re.Pattern[str]
    stem: tuple[str, ...] = ("time", "folder", "file")
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ignore:
    """Paths that are left where they are, and why."""

    pattern: re.Pattern[str]
    why: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How a telescope arranges its files, and which of them we take.

    ``session`` finds date and time in a folder's name, ``stamp`` in a file's own, as ``clock`` tells the time;
    ``night`` says which of them is believed, and ``longitude`` (degrees, east positive) where an instant's night
    begins. ``take`` names entries of `KINDS`; ``notes`` finds JSON files that belong to a whole folder.
    """

    rules: Sequence[Rule]
    session: re.Pattern[str] | None = None
    ignores: Sequence[Ignore] = ()
    take: frozenset[str] = frozenset({"fits", "tiff"})
    longitude: float | None = None
    night: NightRule = NightRule.FOLDER
    clock: Clock = Clock.LOCAL
    stamp: re.Pattern[str] | None = None
    notes: re.Pattern[str] | None = None

    @property
    def parts_nights(self) -> bool:
        """Whether folders alone decide nights, so that one night can be listed without the others."""
        return self.session is not None and self.night is NightRule.FOLDER

    def evening_of_folder(self, folder: StorePath) -> date | None:
        """Return the night that a whole folder belongs to, if its name decides it: others need not be listed."""
        return self._searched(self.session, folder) if self.night is NightRule.FOLDER else None

    def knows(self, path: StorePath) -> bool:
        """Whether a rule for such paths is there."""
        return any(rule.pattern.match(path) for rule in self.rules)

    def is_note(self, path: StorePath) -> bool:
        """Whether a JSON file belongs to a whole folder, and not to one frame."""
        return self.notes is not None and self.notes.search(path) is not None

    def rule_against(self, path: StorePath) -> str:
        """Return why a rule of the layout ignores a path, whatever kind of file it is; empty where none does."""
        return next((ignore.why for ignore in self.ignores if ignore.pattern.search(path)), "")

    def dates(self, path: StorePath) -> bool:
        """Whether the rule for a path reads a date in it."""
        found = next((found for rule in self.rules if (found := rule.pattern.match(path))), None)
        groups = found.groupdict() if found else {}
        return self._evening_in(groups.get("date") or "", groups.get("time") or "") is not None

    def place(self, path: StorePath, mtime_us: int | None, seen_us: int, header: datetime | None = None) -> Place:
        """Read what a path says; a path that no rule knows keeps its own folders in its name.

        ``header`` is DATE-OBS where somebody has read it already.
        """
        above, _, name = path.rpartition("/")
        suffix = suffix_of(name)
        fields = {"file": name[: len(name) - len(suffix)], "suffix": suffix}
        stem: Sequence[str] = ("folder", "file")
        told: date | None = None
        in_name: date | None = None
        for rule in self.rules:
            found = rule.pattern.match(path)
            if found is not None:
                # a group that took part but matched nothing is the session's own folder
                groups = {key: value or "root" for key, value in found.groupdict().items() if value is not None}
                fields |= {**rule.fields, **groups}
                stem = rule.stem
                told = self._evening_in(groups.get("date", ""), groups.get("time", ""))
                if told is not None and found.start("date") >= len(path) - len(name):
                    in_name = told
                break
        else:
            fields["folder"] = above
        in_folder = told if told is not None and in_name is None else self._searched(self.session, above)
        in_name = in_name or self._searched(self.stamp, name)
        seen = instant_at(seen_us) or datetime.now(UTC)
        header = header if header is not None and in_calendar(header) else None
        evidence = Evidence(seen, in_folder, in_name, header, None if mtime_us is None else instant_at(mtime_us))
        evening = decide_night(self.night, evidence, self.longitude)
        if told is None:
            fields["date"] = evening.isoformat()
        else:
            fields |= _written(fields["date"], fields.get("time", ""))
        fields["object"] = object_name(fields.get("object", "")) or "unsorted"
        fields["night"] = evening.isoformat()
        fields["folder"] = fields.get("folder", "").strip("/").replace("/", "-")
        fields["stem"] = "_".join(fields[key] for key in stem if fields.get(key))
        if told is None:  # what looked like a time belongs to no date
            fields.pop("time", None)
        kind = kind_of(suffix)
        doubts = (contradictions(self.night, evidence, self.longitude, evening), clock_ahead(evidence.changed, seen))
        return Place(
            evening,
            _ROLES.get(kind, Role.RAW),
            fields,
            self._ignored(path, name, kind),
            doubt="; ".join(filter(None, doubts)),
        )

    def doubt_header(self, evening: date, header: datetime) -> str:
        """Say that DATE-OBS, which came with the frame, tells another night by more than one; empty when not."""
        if not in_calendar(header):
            return ""
        evidence = Evidence(seen=header, header=header)
        return contradictions(self.night, evidence, self.longitude, evening)

    def _searched(self, pattern: re.Pattern[str] | None, text: str) -> date | None:
        found = pattern.search(text) if pattern and text else None
        if found is None:
            return None
        groups = found.groupdict()
        return self._evening_in(groups.get("date") or "", groups.get("time") or "")

    def _evening_in(self, day: str, time: str) -> date | None:
        return evening_of_stamp(day, time, self.clock, self.longitude) if day else None

    def _ignored(self, path: StorePath, name: str, kind: str) -> str:
        if name.startswith("._"):
            return "AppleDouble file: macOS metadata, not a frame"
        if why := self.rule_against(path):
            return why
        if not kind:
            return "not a frame: unknown kind of file"
        if kind not in self.take:
            return f"{kind} are not taken (setting 'take')"
        return ""


def suffix_of(name: str) -> str:
    """Return the suffix of a file name, doubled ones such as ``.fits.fits`` whole."""
    found = _SUFFIX.search(name)
    return found[1] if found and found.start() else ""


def kind_of(suffix: str) -> str:
    """Return which of `KINDS` a file is by its path or suffix; empty for none."""
    last = suffix.lower().removesuffix(".gz").rpartition(".")[2]
    return next((kind for kind, suffixes in KINDS.items() if last in suffixes), "")


@lru_cache(maxsize=1024)
def _written(day: str, time: str) -> Mapping[str, str]:
    """Write a start as YYYY-MM-DD and hh-mm-ss, whatever stands between its digits; milliseconds are left out."""
    days, clock = "".join(filter(str.isdigit, day)), "".join(filter(str.isdigit, time))
    written = {"date": f"{days[:4]}-{days[4:6]}-{days[6:]}"}
    return written | {"time": f"{clock[:2]}-{clock[2:4]}-{clock[4:6]}"} if clock else written


def sidecar_owner(path: StorePath) -> frozenset[str]:
    """Return the frames, as paths without suffix, that a sidecar would belong to.

    Vaonis' telescopes write ``img-0001.json`` or ``img-0001-stacking.json`` beside ``img-0001.fits`` or
    ``img-0001r.fits``.
    """
    stem = path[: len(path) - len(suffix_of(path.rpartition("/")[2]))]
    base = stem.removesuffix("-stacking")
    return frozenset({stem, base, base + "r"})
