"""Standardising of files: make of a raw file the one that an archive accepts. The raw file stays as it is.

The product is written beside its final name, read by nobody until it is whole, made durable and then given its name
without replacing anything. Pixels go over byte by byte; what the way back needs is in the result.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from nightferry.core.context import Context
from nightferry.core.errors import Held, NightferryError, Occupied
from nightferry.core.instant import instant_of
from nightferry.disk.errors import translated
from nightferry.disk.files import WholeFile, finish, name_new, part_beside
from nightferry.disk.parts import sweep_once
from nightferry.formats.cards import CARD, Card, parse_card
from nightferry.formats.rewrite import Nowhere, Rewritten, Unit, read_unit, rewrite
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.dialects import Reading, detect, load_dialect, load_dialects, translate, untranslated
from nightferry.headers.dialects.header import Header
from nightferry.headers.profiles import Made, Profile, load_profile, make_header
from nightferry.headers.text import raw_file_text

#: Milliseconds that a name may be moved, before too many frames claim one second.
MOST_BUMPS = 999
#: What a header says of the sky; a solution of our own replaces all of it.
_SKY = re.compile(
    r"(?:WCSAXES|WCSNAME|CTYPE\d|CUNIT\d|CRPIX\d|CRVAL\d|CDELT\d|CROTA\d|(?:PC|CD|PV)\d+_\d+|LONPOLE|LATPOLE"
    r"|(?:A|B|AP|BP)_(?:ORDER|\d+_\d+)|[AB]_DMAX|TR\d+_\d+|PLTSOLVD)"
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How frames are standardised: an empty ``dialect`` is found by evidence; ``own`` is the folder of user files."""

    context: Context
    profile: str = "eso"
    dialect: str = ""
    dialects: Path | None = None
    profiles: Path | None = None
    durable: bool = True

    def loaded(self) -> Profile:
        """Give the profile."""
        return load_profile(self.profile, self.profiles)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one keyword; None where it did not stand."""

    keyword: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.keyword} = {self.after}"
        if self.after is None:
            return f"- {self.keyword} = {self.before}"
        return f"  {self.keyword} = {self.before} -> {self.after}"


@dataclass(frozen=True, slots=True)
class Standardised:
    """A frame made ready: where it is, its sums, what was found and changed, and the way back to the raw bytes."""

    file: Path
    name: str
    dialect: str
    size: int
    datasums: tuple[int, ...]
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    recipe: str
    was_there: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """A raw frame's header, read and understood."""

    unit: Unit
    header: Header
    reading: Reading
    dialect: str
    raw_name: str


def standardise_file(
    source: Path, folder: Path, settings: Settings, *, raw_name: str = "", final: str = ""
) -> Standardised:
    """Make the standard frame of a raw file in a folder; ``final`` names the file there instead of the profile.

    Raises `Held` with every error that the header has; nothing is left behind then.
    """
    profile = settings.loaded()
    context = settings.context
    if context.written is None:
        context = replace(context, written=instant_of(datetime.now(UTC)))
    sweep_once(folder)
    with translated(source, "the raw frame"), source.open("rb", buffering=0) as file:
        draft = draft_of(file, raw_name or source.name, settings)
        behind = file.tell()
        for bump in range(MOST_BUMPS + 1):
            made = made_of(draft, context, profile, bump)
            name = final or made.name or draft.raw_name
            target = folder / name
            if target.exists():
                if (there := _same(target, draft, file, behind)) is not None:
                    return _answer(target, draft, made, there, was_there=True)
                if final or profile.name.keep or not profile.name.bump:
                    raise Occupied(f"V19 {target}: another frame stands under this name; nothing was overwritten")
                continue
            file.seek(behind)
            written = _write(file, target, draft, made, durable=settings.durable)
            if written is not None:
                return _answer(target, draft, made, written)
    raise Held(f"V19 {draft.raw_name}: more than {MOST_BUMPS} frames claim the second of its start")


def draft_file(source: Path, settings: Settings) -> Standardised:
    """Return what standardising a file would make of its header, and write nothing; raises `Held` as that does."""
    profile = settings.loaded()
    context = replace(settings.context, written=settings.context.written or instant_of(datetime.now(UTC)))
    with translated(source, "the raw frame"), source.open("rb", buffering=0) as file:
        draft = draft_of(file, source.name, settings)
    made = made_of(draft, context, profile, 0)
    return _answer(source, draft, made, Rewritten((), 0, ""))


def start_of(source: Path, settings: Settings) -> tuple[int, int, str]:
    """Return what frames are sorted by before names are given: start, then raw name; unreadable ones come last."""
    try:
        with source.open("rb", buffering=0) as file:
            start = draft_of(file, source.name, settings).reading.canonical.start
    except (NightferryError, OSError):
        start = None
    return (1 << 40, 0, source.name) if start is None else (start.day, start.micro, source.name)


def draft_of(file: BinaryIO, raw_name: str, settings: Settings, *, solution: str = "") -> Draft:
    """Read and understand the header of a raw frame; raise `Held` where it cannot be.

    ``solution`` are the cards of a plate solution, 80 columns a line, that replace what the header says of the sky.
    """
    unit = read_unit(file, 0)
    if unit is None:
        raise Held("not FITS")
    if raw_name.lower().endswith((".fz", ".gz")):
        raise Held(f"V01 {raw_name} is compressed: unpack it first (funpack, gunzip); its pixels are not touched here")
    cards = unit.cards
    if solution:
        cards = [card for card in cards if not _SKY.fullmatch(card.keyword)]
        cards += [parse_card(line.ljust(CARD).encode("ascii")) for line in solution.splitlines() if line.strip()]
    header = Header(cards)
    if settings.dialect:
        dialect = load_dialect(settings.dialect, settings.dialects)
    else:
        dialect = detect(header, load_dialects(settings.dialects))
    reading = translate(header, dialect, raw_name, settings.context.hints)
    reading = replace(reading, findings=(*reading.findings, *untranslated(header, dialect)))
    return Draft(unit, header, reading, dialect.id, raw_name)


def made_of(draft: Draft, context: Context, profile: Profile, bump: int) -> Made:
    """Make the header; raise `Held` with all of its errors."""
    made = make_header(draft.header, draft.reading.canonical, context, profile, dialect=draft.dialect, bump=bump)
    wrong = [*draft.reading.findings, *made.findings]
    errors = [finding for finding in wrong if finding.severity is Severity.ERROR]
    if errors:
        raise Held("; ".join(str(finding) for finding in errors))
    return made


def _write(file: BinaryIO, target: Path, draft: Draft, made: Made, *, durable: bool) -> Rewritten | None:
    """Write the product and give it its name; None when another took the name meanwhile."""
    with translated(target, "the standard frame"), part_beside(target) as part:
        with WholeFile(part, "x") as out:
            written = rewrite(file, out, draft.unit, [card.raw for card in made.cards])
            finish(out, durable=durable)
        try:
            name_new(part, target, durable=durable)
        except FileExistsError:
            return None
    return written


def _same(target: Path, draft: Draft, file: BinaryIO, behind: int) -> Rewritten | None:
    """Whether the file under a name was made of this very frame: the same raw name, start and pixels."""
    try:
        with target.open("rb", buffering=0) as there:
            unit = read_unit(there, 0)
    except NightferryError:
        return None
    if unit is None:
        return None
    header = Header(unit.cards)
    if header.value("RAWFILE") not in {raw_file_text(draft.raw_name, long=long) for long in (True, False)}:
        return None
    file.seek(behind)
    sums = rewrite(file, Nowhere(), draft.unit, [])
    if str(header.value("DATASUM")).strip() != str(sums.datasums[0]):
        return None
    return replace(sums, size=target.stat().st_size)


def _answer(target: Path, draft: Draft, made: Made, written: Rewritten, *, was_there: bool = False) -> Standardised:
    return Standardised(
        target,
        made.name or draft.raw_name,
        draft.dialect,
        written.size,
        written.datasums,
        (*draft.reading.findings, *made.findings),
        tuple(changes_between(draft.unit.cards, made.cards)),
        written.recipe,
        was_there,
    )


def changes_between(before: Sequence[Card], after: Sequence[Card]) -> Iterator[Change]:
    """Compare two headers keyword by keyword; commentary and the sums are left out."""
    old, new = _texts(before), _texts(after)
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield Change(key, old.get(key), new.get(key))


def _texts(cards: Sequence[Card]) -> Mapping[str, str]:
    texts: dict[str, str] = {}
    for card in cards:
        if not card.commentary and card.keyword not in {"CHECKSUM", "DATASUM"}:
            texts.setdefault(card.keyword, repr(card.value))
    return texts
