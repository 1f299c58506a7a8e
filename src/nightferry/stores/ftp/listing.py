"""What FTP listings say: pure functions from one folder's listing to files, folders, oddities, and their times.

Each reader takes a whole listing and accounts for every line of it: a line is a file, a folder to walk into, an
oddity, or one of the few that carry nothing (empty, ``total 12``, the folder itself). Most lines by far are
plain files, so one regular expression runs over the whole text and anything it does not know is looked at line
by line.
"""

import re
from calendar import timegm
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from time import gmtime
from typing import Literal, TypeAlias, cast

from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.stores.ftp.months import month_of
from nightferry.stores.paths import LONGEST_PATH, is_part, name_refusal

# -- times: minutes or days, often without a year, in a time zone nobody tells ---------------------------------------
# What a listing lacks is worked out from the exact time (MDTM) of a file in it: the server's offset from UTC, and
# the year, for a server leaves out the year only within half a year of its own clock, right or wrong.

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

#: Clocks on Earth are at most this far from UTC.
_FARTHEST_US = 15 * HOUR_US
_QUARTER_US = 15 * MINUTE_US
#: Days whose offset is taken to be the same; summer time begins and ends between two of these.
_STRETCH = 14
#: Measures in one walk: each costs the server a command.
_MOST = 60

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_FIRST = re.compile(
    r"([A-Za-z]{3})\.? +([0-9]{1,2}),? +(?:([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?: +([0-9]{4}))?|([0-9]{4}))"
)
_DAY_FIRST = re.compile(r"([0-9]{1,2})\.? +([A-Za-z]{3})\.? +(?:([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)|([0-9]{4}))")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?(?: ([+-][0-9]{4}))?"
)
_DOS = re.compile(
    r"([0-9]{2})[-/.]([0-9]{2})[-/.]([0-9]{4}|[0-9]{2}) +([0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?) ?([AaPp]?)[Mm]?"
)
_FACT = re.compile(r"([0-9]{14})(?:\.([0-9]{1,9})[0-9]*)?")


def instant(year: int, month: int, day: int, *clock: int) -> int | None:
    """Return the microseconds since 1970 of a UTC date, hour, minute and second; None for what no calendar has."""
    hour, minute, second = (*clock, 0, 0, 0)[:3]
    if not (0 < month <= 12 and 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):  # noqa: PLR2004 - the clock
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]
    if not (0 < day <= days and 0 < year < 10_000):  # noqa: PLR2004
        return None
    return timegm((year, month, day, hour, minute, second)) * SECOND_US


@lru_cache(maxsize=4096)
def fact_time(text: str) -> int | None:
    """Read the time of MDTM and of MLSD's ``modify`` (RFC 3659: UTC, fractions allowed), in microseconds."""
    found = _FACT.fullmatch(text)
    if found is None:
        return None
    digits = found[1]
    whole = instant(int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, 14, 2)))
    if whole is None or not found[2]:
        return whole
    return whole + int(found[2].ljust(6, "0")[:6])


@dataclass(frozen=True, slots=True)
class Listed:
    """A time as a listing tells it: by the server's own clock face, maybe without its year.

    ``year`` is None if it was left out. ``resolution_us`` is the smallest unit told. ``utc`` is true where the
    listing told its offset, so that nothing needs to be worked out.
    """

    year: int | None
    month: int
    day: int
    hour: int = 0
    minute: int = 0
    second: int = 0
    resolution_us: int = MINUTE_US
    offset_us: int | None = None

    def at(self, year: int) -> int | None:
        """Return the instant, were it in that year and at UTC."""
        return instant(year, self.month, self.day, self.hour, self.minute, self.second)

    @property
    def stretch(self) -> tuple[int, int]:
        """The fortnight it lies in, in which clocks are taken not to change."""
        return self.year or 0, ((self.month - 1) * 31 + self.day) // _STRETCH


@lru_cache(maxsize=4096)
def read_time(text: str) -> Listed | None:
    """Read the time columns of a listing line, in any of the usual styles; None for what is none."""
    if found := _MONTH_FIRST.fullmatch(text):
        return _listed(found[4] or found[5], month_of(found[1]), found[2], found[3])
    if found := _DOS.fullmatch(text):
        year = found[3] if len(found[3]) > 2 else ("20" if found[3] < "70" else "19") + found[3]  # noqa: PLR2004
        return _listed(year, int(found[1]), found[2], found[4], found[5].lower())
    if found := _ISO.fullmatch(text):
        listed = _listed(found[1], int(found[2]), found[3], found[4])
        if listed is not None and found[5]:
            ahead = int(found[5][1:3]) * HOUR_US + int(found[5][3:]) * MINUTE_US
            return replace(listed, offset_us=-ahead if found[5][0] == "-" else ahead)
        return listed
    if found := _DAY_FIRST.fullmatch(text):
        return _listed(found[4], month_of(found[2]), found[1], found[3])
    return None


def _listed(year: str | None, month: int, day: str, clock: str | None, half: str = "") -> Listed | None:
    hour, minute, second = ([int(part) for part in clock.split(":")] + [0])[:3] if clock else (0, 0, 0)
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    resolution = DAY_US if clock is None else SECOND_US if clock.count(":") > 1 else MINUTE_US
    number = int(year) if year else None
    listed = Listed(number, month, int(day), hour, minute, second, resolution)
    return None if listed.at(number or 2000) is None else listed  # 2000 had a 29 February


@dataclass(slots=True)
class Clock:
    """Turns listed times into UTC, for one walk over one server.

    ``now_us`` is our own clock, used only where no file of the server's gave a better measure.
    """

    now_us: int
    #: For each stretch of days: the server's offset from UTC, and the exact time it was measured by.
    measures: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    #: The stretches for which a measure was asked, whatever came of it.
    asked: set[tuple[int, int]] = field(default_factory=set)

    def wants(self, texts: Iterable[str]) -> list[str]:
        """Pick, of listed times, one for each stretch of days for which none was picked before."""
        picked: list[str] = []
        for text in texts:
            listed = read_time(text)
            if listed is None or listed.resolution_us >= DAY_US or listed.offset_us is not None:
                continue
            if listed.stretch not in self.asked and len(self.asked) < _MOST:
                self.asked.add(listed.stretch)
                picked.append(text)
        return picked

    def measure(self, text: str, exact_us: int) -> None:
        """Learn the server's offset, and for times without a year its present, from one file's exact time."""
        listed = read_time(text)
        if listed is None:
            return
        told = _nearest(listed, exact_us)
        if told is None or abs(exact_us - told) > _FARTHEST_US + DAY_US:
            return
        gap = exact_us - told - listed.resolution_us // 2
        self.measures[listed.stretch] = (round(gap / _QUARTER_US) * _QUARTER_US, exact_us)

    def tell(self, text: str) -> tuple[int | None, int]:
        """Turn a listed time into microseconds since 1970 UTC, and how far off it may be."""
        listed = read_time(text)
        if listed is None:
            return None, 0
        offset, by = self._measure_for(listed)
        if listed.year is None:
            told = _nearest(listed, by) if by is not None else _latest(listed, self.now_us + DAY_US)
        else:
            told = listed.at(listed.year)
        if told is None:
            return None, 0
        if listed.offset_us is not None:
            return told - listed.offset_us, listed.resolution_us
        return told + offset, listed.resolution_us

    def _measure_for(self, listed: Listed) -> tuple[int, int | None]:
        if not self.measures:
            return 0, None
        found = self.measures.get(listed.stretch)
        if found is None:
            year, part = listed.stretch
            near = min(self.measures, key=lambda other: (abs(other[0] - year), abs(other[1] - part)))
            found = self.measures[near]
        return found


def _nearest(listed: Listed, exact_us: int) -> int | None:
    """Place a listed time in the year that brings it nearest to an instant, if it does not tell one."""
    if listed.year is not None:
        return listed.at(listed.year)
    year = _year_of(exact_us)
    placed = [told for told in map(listed.at, range(year - 4, year + 5)) if told is not None]
    return min(placed, key=lambda told: abs(told - exact_us), default=None)


def _latest(listed: Listed, limit_us: int) -> int | None:
    """Place a listed time in the last year in which it is not after an instant."""
    year = _year_of(limit_us)
    placed = [told for told in map(listed.at, range(year - 8, year + 1)) if told is not None]
    return max((told for told in placed if told <= limit_us), default=None)


def _year_of(instant_us: int) -> int:
    return gmtime(instant_us // SECOND_US).tm_year


# -- listings --------------------------------------------------------------------------------------------------------

#: As much of an unreadable line as an oddity keeps.
SHOWN = 500

_MOST_FACTS = 32
# Names that are safe for sure; the others are looked at one by one.
_PLAIN = r"[A-Za-z0-9_+,=()\[\]-][A-Za-z0-9_+,=() .\[\]-]{0,200}"
_UNIX_FILE = re.compile(
    r"^(?:-[-a-zA-Z]{9}[.+@]? +[0-9]+ +[^ \n]+ +[^ \n]+ +([0-9]{1,18}) "
    r"([A-Z][a-z]{2} [ 0-9][0-9] (?:[0-9]{2}:[0-9]{2}| [0-9]{4})) (" + _PLAIN + r")\r?|(.+))$",
    re.MULTILINE,
)
_UNIX_MODE = re.compile(r"([-a-zA-Z])[-rwxsStTlLaAdDhHcCiIuU]{9}")
_WHEN = re.compile(
    r"(?<=[0-9]) +(?:((?:[A-Za-z]{3}\.? +[0-9]{1,2},? +(?:[0-9]{1,2}:[0-9]{2}(?::[0-9]{2} +[0-9]{4})?|[0-9]{4})"
    r"|[0-9]{1,2}\.? +[A-Za-z]{3}\.? +(?:[0-9]{1,2}:[0-9]{2}|[0-9]{4})"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?(?: [+-][0-9]{4})?)?))) "
)
# The same with a word of any language; a number before it is the size, so that no owner's name is taken for one.
_WHEN_ABROAD = re.compile(
    r"(?<=[0-9]) +(?:([^\s0-9]{2,12}|[0-9]{1,2}[月월]) *([0-9]{1,2})[.,日일]?|([0-9]{1,2})\.? +([^\s0-9]{2,12}))"
    r" +([0-9]{1,2}:[0-9]{2}|(?:19|20)[0-9]{2})(?= )"
)
_DOS_LINE = re.compile(
    r"([0-9]{2}[-/.][0-9]{2}[-/.](?:[0-9]{4}|[0-9]{2}) {1,4}[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})? ?(?:[AaPp][Mm]?)?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2} {1,4}[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"[ \t]+(?:<([A-Za-z]+)>[ \t]{1,10}|([0-9][0-9,.]*) )(.+)"
)
_TOTAL = re.compile(r"total[ \t]+[0-9]+[ \t]*\Z", re.IGNORECASE)
_SIZE = re.compile(r"[0-9]{1,18}")
# An entry of a path that is put together here; `StorePath` is a call, which counts a hundred thousand times.
_entry = cast("Callable[[str, int, int | None, int], Entry]", Entry)


#: One file as a listing shows it: size, time in the listing's own words, name. The fourth is empty: it is a file.
Row: TypeAlias = tuple[str, str, str, str]


@dataclass(slots=True)
class Listing:
    """What stands in one folder: readers of listings fill it, refusing names that could do harm."""

    folder: StorePath
    files: list[Entry] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    folders: list[StorePath] = field(default_factory=list)
    oddities: list[Oddity] = field(default_factory=list)
    #: Our own unfinished files, which no listing shows, and their sizes.
    parts: dict[str, int] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """What comes before a name to make it a path."""
        return f"{self.folder}/" if self.folder else ""

    def odd(self, kind: Literal["link", "name", "line", "special", "unread"], text: str) -> None:
        """Note something that cannot be carried."""
        self.oddities.append(Oddity(kind, self.folder, text[:SHOWN]))

    def takes(self, name: str, size: str = "0") -> bool:
        """Whether a name is one to carry; if not it is noted as odd, or as one of our unfinished files."""
        if not name_refusal(name) and len(self.folder) + len(name) < LONGEST_PATH:
            return True
        if is_part(name):
            self.parts[name] = int(size)
        else:
            self.odd("name", name)
        return False

    def add_folder(self, name: str) -> None:
        """Note a folder to walk into."""
        if name not in {".", ".."} and self.takes(name):
            self.folders.append(StorePath(self.prefix + name))


def read_plain(text: str, folder: StorePath) -> Listing:
    """Read a LIST listing, Unix or DOS style; the files' times are still to be told (`Listing.rows`)."""
    listing = Listing(folder)
    rows = listing.rows
    for found in _UNIX_FILE.findall(text):
        if found[3]:
            _read_line(found[3].removesuffix("\r"), listing)
        else:
            rows.append(found)
    if len({row[2] for row in rows}) != len(rows):  # each file comes once, whatever the server says
        listing.rows = list({row[2]: row for row in rows}.values())
    listing.folders = list(dict.fromkeys(listing.folders))
    return listing


def _read_line(line: str, listing: Listing) -> None:
    mode = _UNIX_MODE.match(line)
    when = _WHEN.search(line, mode.end()) if mode else None
    if mode and when:
        columns = line[: when.start()].split()
        _take_unix(mode[1], columns[-1], when[1], line[when.end() :], listing)
    elif mode and (abroad := _abroad(line, mode.end())):
        size, told, name = abroad
        _take_unix(mode[1], size, told, name, listing)
    elif dos := _DOS_LINE.fullmatch(line):
        _take_dos(dos[2], dos[3], dos[1], dos[4], listing)
    elif line.strip() and not _TOTAL.match(line):
        listing.odd("line", line)


def _abroad(line: str, start: int) -> tuple[str, str, str] | None:
    """Return size, time and name of a line whose month is in another language; the time in English where known."""
    all_found = [*_WHEN_ABROAD.finditer(line, start)]
    if not all_found:
        return None
    found = next((one for one in all_found if month_of(one[1] or one[4])), all_found[0])
    month = month_of(found[1] or found[4])
    told = f"{_MONTHS[month - 1]} {found[2] or found[3]} {found[5]}" if month else found[0].strip()
    return line[: found.start()].rsplit(maxsplit=1)[-1], told, line[found.end() + 1 :]


def _take_unix(kind: str, size: str, when: str, name: str, listing: Listing) -> None:
    if kind == "d":
        listing.add_folder(name)
    elif kind == "l":
        listing.odd("link", name)
    elif kind != "-":
        listing.odd("special", name)
    elif not _SIZE.fullmatch(size):
        listing.odd("line", name)
    elif listing.takes(name, size):
        listing.rows.append((size, when, name, ""))


def _take_dos(tag: str | None, size: str | None, when: str, name: str, listing: Listing) -> None:
    if tag is None:
        digits = (size or "").replace(",", "").replace(".", "")
        if not _SIZE.fullmatch(digits):
            listing.odd("line", name)
        elif listing.takes(name, digits):
            listing.rows.append((digits, " ".join(when.split()), name, ""))
    elif tag.upper() == "DIR":
        listing.add_folder(name)
    elif tag.upper() in {"JUNCTION", "SYMLINK", "SYMLINKD"}:
        listing.odd("link", name)
    else:
        listing.odd("special", name)


def entries_of(listing: Listing, tell: Callable[[str], tuple[int | None, int]]) -> list[Entry]:
    """Make a plain listing's rows entries, their times told by ``tell``."""
    told: dict[str, tuple[int | None, int]] = {}
    prefix, entries = listing.prefix, listing.files
    for size, when, name, _ in listing.rows:
        time = told.get(when)
        if time is None:
            time = told[when] = tell(when)
        entries.append(_entry(prefix + name, int(size), *time))
    return entries


@lru_cache(maxsize=32)
def _machine_file(names: tuple[str, ...]) -> re.Pattern[str]:
    """Make the expression for plain files of a server that tells these facts in this order."""
    parts = {"type": "[Ff][Ii][Ll][Ee]", "size": "([0-9]{1,18})", "modify": r"([0-9]{14}(?:\.[0-9]{1,9})?)"}
    rest = r"[^; \n]*"
    facts = "".join(f"(?i:{re.escape(name)})={parts.get(name, rest)};" for name in names)
    return re.compile(rf"^(?:{facts} ({_PLAIN})\r?|(.+))$", re.MULTILINE)


def read_machine(text: str, folder: StorePath) -> Listing:
    """Read an MLSD listing (RFC 3659); its times are exact."""
    listing = Listing(folder)
    names = _fact_order(text)
    swapped = names is not None and names.index("modify") < names.index("size")
    pattern = _machine_file(names) if names is not None else re.compile(r"^()()()(.+)$", re.MULTILINE)
    prefix, entries = listing.prefix, listing.files
    told: dict[str, int | None] = {}
    for first, second, name, other in pattern.findall(text):
        if other:
            _read_facts(other.removesuffix("\r"), listing)
            continue
        size, when = (second, first) if swapped else (first, second)
        time = told.get(when)
        if time is None:
            time = told[when] = fact_time(when)
        entries.append(_entry(prefix + name, int(size), time, 0))
    if len({entry.path for entry in entries}) != len(entries):
        listing.files = list({entry.path: entry for entry in entries}.values())
    listing.folders = list(dict.fromkeys(listing.folders))
    return listing


def _fact_order(text: str) -> tuple[str, ...] | None:
    """Return which facts a listing's first plain file has, in order; None if there is none that has all we need."""
    for line in text.split("\n", 50)[:50]:
        facts = line.partition(" ")[0]
        names = tuple(fact.partition("=")[0].lower() for fact in facts.split(";")[:-1])
        if (
            "type=file" in facts.lower()
            and len(names) <= _MOST_FACTS
            and all(names.count(needed) == 1 for needed in ("type", "size", "modify"))
        ):
            return names
    return None


def facts_of(line: str) -> tuple[dict[str, str], str] | None:
    """Split a line of MLSD or MLST into its facts, their names in lower case, and the name; None for any other."""
    facts, blank, name = line.partition(" ")
    if not blank or not facts.endswith(";"):
        return None
    pairs = [fact.partition("=") for fact in facts[:-1].split(";")]
    if not all(equals for _, equals, _ in pairs):
        return None
    return {key.lower(): value for key, _, value in pairs}, name


def _read_facts(line: str, listing: Listing) -> None:
    read = facts_of(line)
    if read is None:
        if line.strip():
            listing.odd("line", line)
        return
    facts, name = read
    kind = facts.get("type", "").lower()
    if kind in {"cdir", "pdir"}:
        return
    if kind == "dir":
        listing.add_folder(name)
    elif kind.startswith(("os.unix=symlink", "os.unix=slink")):
        listing.odd("link", name)
    elif kind.startswith("os."):
        listing.odd("special", name)
    elif kind != "file" or not _SIZE.fullmatch(facts.get("size", "")):
        listing.odd("line", line)
    elif listing.takes(name, facts["size"]):
        time = fact_time(facts.get("modify", ""))
        listing.files.append(Entry(StorePath(listing.prefix + name), int(facts["size"]), time))
