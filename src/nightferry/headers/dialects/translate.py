"""Translate: a raw header and its dialect make the canonical fields, and findings about what could not be read."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nightferry.core.instant import Instant, parse_instant
from nightferry.formats.cards import Value
from nightferry.headers.canonical import DECISIVE, RANGES, YEARS, Canonical, Finding, ImageType, Severity
from nightferry.headers.dialects.functions import FUNCTIONS
from nightferry.headers.dialects.header import Header, as_number, meant
from nightferry.headers.dialects.meaning import Times, settled, unit_of
from nightferry.headers.dialects.model import Dialect, Rule, Source
from nightferry.headers.dialects.solution import read_wcs
from nightferry.headers.dialects.units import READERS

_TEXTS = frozenset({
    "object", "filter", "frame", "pierside", "readout", "bayer", "roworder", "instrument_raw", "telescope_raw",
    "software", "observer", "calibrated",
})  # fmt: skip
_WHOLE = frozenset({"xbin", "ybin", "xorg", "yorg", "stack_count"})
#: Cards that describe the data, the file or the solution (`read_wcs`), and those that every profile writes itself.
_FORMAL = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|GROUPS|BZERO|BSCALE|BLANK|BUNIT|CHECKSUM|DATASUM|DATE|END"
    r"|CONTINUE|LONGSTRN|WCSAXES|(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA)\d|(PC|CD|PV)\d+_\d+|(LON|LAT)POLE"
    r"|(A|B|AP|BP)_(ORDER|\d+_\d+)"
)
_MOST_NAMES = 12
_INSTANTS = frozenset({"start", "end"})
#: Spellings of image types, in small letters without anything between them.
_IMAGE_TYPES: Mapping[str, ImageType] = {
    spelling: kind
    for kind, spellings in {
        ImageType.SCIENCE: "light lightframe lightfield object science sci tricolorimage tricolor",
        ImageType.BIAS: "bias biasframe zero zeroframe offset",
        ImageType.DARK: "dark darkframe",
        ImageType.FLAT: "flat flatframe flatfield flatfieldframe skyflat domeflat autoflat twilightflat",
        ImageType.DARKFLAT: "darkflat flatdark darkflatframe flatdarkframe",
        ImageType.FOCUS: "focus focusframe autofocus",
        ImageType.ACQUISITION: "acquisition snapshot pointing guide",
    }.items()
    for spelling in spellings.split()
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What a header says: the canonical fields, what could not be read, and the keywords that were used."""

    canonical: Canonical
    findings: tuple[Finding, ...]
    used: frozenset[str]


def translate(header: Header, dialect: Dialect, raw_name: str = "", hints: Mapping[str, str] | None = None) -> Reading:
    """Read a header by its dialect. ``raw_name`` is the file's name at the telescope, without folders.

    Values that are not what the dialect declares become findings, and the next alternative is tried.
    """
    reader = _Reader(header, dialect, _hints_of(raw_name, dialect, hints or {}))
    values = {name: reader.field(name, rule) for name, rule in dialect.fields.items()}
    values["start_resolution"] = reader.resolution
    if values.get("ra") == 0 and values.get("dec") == 0:  # programs write 0, 0 where nobody set a target
        values["ra"] = values["dec"] = None
    if values.get("site_lat") == 0 and values.get("site_lon") == 0:
        values["site_lat"] = values["site_lon"] = values["site_elev"] = None
    start, end, exptime = (values.get(name) for name in ("start", "end", "exptime"))
    times = settled(
        Times(start if isinstance(start, Instant) else None, end if isinstance(end, Instant) else None),
        header,
        exptime=exptime if isinstance(exptime, float) else None,
        zone=dialect.zone,
        comments=dialect.comments,
        told_utc=reader.told_utc,
    )
    values |= {"start": times.start, "end": times.end}
    wcs, findings = read_wcs(header)
    # every value was made by the reader of its own field's kind
    canonical = Canonical(**values, wcs=wcs, raw_name=raw_name or None)  # type: ignore[arg-type]
    return Reading(canonical, (*reader.findings, *times.findings, *findings), frozenset(reader.used))


def untranslated(header: Header, dialect: Dialect) -> Iterator[Finding]:
    """Yield one finding that names the cards no field is made of: a profile carries them over or drops them unread."""
    known = {
        key for rule in dialect.fields.values() for source in rule.sources if not source.hint for key in source.keys
    }
    unread = [key for key in header.first if key not in known and not _FORMAL.fullmatch(key)]
    if unread:
        names = ", ".join(unread[:_MOST_NAMES]) + (", ..." if len(unread) > _MOST_NAMES else "")
        said = f"fields of the {dialect.id} dialect; they are not translated"
        yield Finding("V61", Severity.INFO, "", f"{len(unread)} cards: {names}", said)


def _hints_of(raw_name: str, dialect: Dialect, hints: Mapping[str, str]) -> Mapping[str, str]:
    """Join what the name says with what the caller knows; the caller comes first."""
    for pattern in dialect.name:
        if found := pattern.search(raw_name):
            return {key: text for key, text in found.groupdict().items() if text} | dict(hints)
    return hints


class _Reader:
    """Reads one header's fields, and keeps what went wrong."""

    def __init__(self, header: Header, dialect: Dialect, hints: Mapping[str, str]) -> None:
        self.header = header
        self.dialect = dialect
        self.hints = hints
        self.findings: list[Finding] = []
        self.used: set[str] = set()
        self.resolution: float | None = None
        self.told_utc = False

    def field(self, name: str, rule: Rule) -> object:
        """Return the field's value from the first source that answers; None when none does.

        What an earlier source said in another form than it declares is forgotten when a later one answers; a card that
        cannot be read at all stays a warning.
        """
        doubts: list[tuple[Source, str, str]] = []  # what stands there, and what was expected
        for source in rule.sources:
            if quoted := self._unreadable(source):
                if all(quoted != known for _, known, _ in doubts):
                    doubts.append((source, quoted, "a value as FITS writes it"))
                continue
            value = self._value(source)
            if value is None:
                continue
            try:
                found = self._read(name, rule, source, value)
            except ValueError as err:
                doubts.append((source, repr(value), str(err)))
                continue
            self.used.update(() if source.hint else source.keys)
            for doubt in doubts:
                if self._unreadable(doubt[0]):
                    self._complain(name, *doubt, Severity.WARNING)
            return found
        for doubt in doubts:
            self._complain(name, *doubt, Severity.ERROR if name in DECISIVE else Severity.WARNING)
        if doubts:
            return None
        return self._image_type(rule.default) if name == "image_type" and rule.default else rule.default

    def _unreadable(self, source: Source) -> str:
        return "" if source.hint else next(filter(None, map(self.header.unreadable, source.keys)), "")

    def _value(self, source: Source) -> Value:
        if source.hint:
            return self.hints.get(source.keys[0])
        values = [self.header.value(key) for key in source.keys]
        if len(values) == 1:
            return values[0]
        return None if None in values else "T".join(str(value).strip() for value in values)

    def _read(self, name: str, rule: Rule, source: Source, value: Value) -> object:
        if rule.func is not None:
            value = meant(FUNCTIONS[rule.func](value))
        if name == "image_type":
            return self._image_type(value)
        if name in _INSTANTS:
            instant, resolution = parse_instant(value if isinstance(value, str) else "")
            if not YEARS[0] <= instant.date.year <= YEARS[1]:
                raise ValueError(f"a time between {YEARS[0]} and {YEARS[1]}; a clock was lost, or never set")
            if name == "start":
                self.resolution, self.told_utc = resolution, str(value).strip().endswith("Z")
            return instant
        if name in _TEXTS:
            return str(value).strip()
        number = READERS[self._unit(name, source, value)](value)
        low, high = RANGES.get(name, (-math.inf, math.inf))
        if not low <= number <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        if name not in _WHOLE:
            return number
        if number != int(number):
            raise ValueError("a whole number")
        return int(number)

    def _unit(self, name: str, source: Source, value: Value) -> str:
        """Return the unit of a value: the dialect's, unless the card's own comment counts; raises `ValueError`."""
        if source.hint or len(source.keys) > 1 or (isinstance(value, str) and as_number(value) is None):
            return source.unit
        return unit_of(name, source.unit, self.header.first[source.keys[0]].comment, trusted=self.dialect.comments)

    def _image_type(self, value: Value) -> ImageType:
        text = str(value)
        plain = "".join(letter for letter in text.lower() if letter.isalpha())
        return self.dialect.image_types.get(text) or _IMAGE_TYPES.get(plain) or ImageType.UNKNOWN

    def _complain(self, name: str, source: Source, got: str, expected: str, severity: Severity) -> None:
        """Keep what is wrong with a value, with what stands there."""
        rule = "V05" if name == "start" else "V04"
        unit = f" [{source.unit}]" if source.unit else ""
        said = f"the {self.dialect.id} dialect reads it as {name}{unit}: {expected}"
        self.findings.append(Finding(rule, severity, "+".join(source.keys), got, said))
