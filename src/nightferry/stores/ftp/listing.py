"""What FTP listings say: pure functions from the text of one folder's listing to files, folders and oddities.

Each reader takes a whole listing and accounts for every line of it: a line is a file, a folder to walk into, an
oddity, or one of the few that carry nothing (empty, ``total 12``, the folder itself). Most lines by far are
plain files, so one regular expression runs over the whole text and anything it does not know is looked at line
by line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, TypeAlias, cast

from nightferry.core.store import Entry, Oddity, StorePath
from nightferry.stores.ftp.times import fact_time
from nightferry.stores.paths import LONGEST_PATH, is_part, name_refusal

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

    def odd(self, kind: Literal["link", "name", "line", "special"], text: str) -> None:
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
    elif dos := _DOS_LINE.fullmatch(line):
        _take_dos(dos[2], dos[3], dos[1], dos[4], listing)
    elif line.strip() and not _TOTAL.match(line):
        listing.odd("line", line)


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
    """Tell which facts a listing's first plain file has, in order; None if there is none that has all we need."""
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
