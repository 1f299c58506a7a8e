"""Make: canonical fields, context and a profile make the cards of an archive's header, and the frame's name."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightferry.core.context import Context
from nightferry.core.errors import Held
from nightferry.formats.cards import CARD, Card, Value, format_card
from nightferry.headers.canonical import Canonical, Finding, ImageType, Severity, Wcs
from nightferry.headers.dialects.header import Header, meant
from nightferry.headers.dialects.meaning import is_applied
from nightferry.headers.profiles.model import CardRule, Profile
from nightferry.headers.profiles.values import FUNCTIONS, Facts, Span
from nightferry.headers.text import raw_file_text, to_ascii

#: Cards that describe how the data lie; they open the header, in this order (FITS 4.0, section 4.4.1).
_STRUCTURE = re.compile(r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|BLANK|GROUPS|PCOUNT|GCOUNT|CHECKSUM|DATASUM|END")
#: Functions whose values all hang on the start, and on the type of image; see `check_type`.
_OF_START = frozenset({"mjd_obs", "utc", "lst", "date_end", "mjd_end"})
_OF_TYPE = frozenset({"dpr_catg", "dpr_type", "dpr_tech"})
#: Where the raw file's name stands, in whatever form fits: it never holds a frame.
_RAW_FILE = "RAWFILE"
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,68}")
#: Kinds of values, by the types that may stand for them.
_KINDS: dict[str, tuple[type, ...]] = {"text": (str,), "real": (float,), "whole": (int,), "logical": (bool,)}


@dataclass(frozen=True, slots=True)
class Made:
    """A new header: its cards without the sums, the frame's name (empty where it keeps its own), and the findings."""

    cards: tuple[Card, ...]
    name: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that hold the frame."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)


def make_header(
    header: Header,
    canonical: Canonical,
    context: Context,
    profile: Profile,
    *,
    dialect: str = "",
    bump: int = 0,
    span: Span | None = None,
) -> Made:
    """Make the header that a profile asks for. A pure function of its arguments: it reads no clock and no file.

    ``bump`` moves the name (and nothing else) this many milliseconds on, because another frame has it already. With a
    ``span`` the header is that of a cube; ``header`` and ``canonical`` are then what its frames have in common.
    """
    maker = _Maker(header, canonical, context, profile, span)
    maker.check_type()
    cards = [*maker.structure(), *(maker.table() if profile.layout == "table" else maker.inplace())]
    cards += maker.closing(dialect, bump)
    name = "" if profile.name.keep or span is not None else maker.name(bump)
    return Made(tuple(cards), name, tuple(maker.findings))


def frame_name(instrume: str, canonical: Canonical, separator: str, bump: int = 0) -> str:
    """Write ``SPECU1.2026-02-23T01_02_03.456.fits``: milliseconds cut, moved on by ``bump`` of them."""
    if canonical.start is None:
        return ""
    stamp = canonical.start.cut(3).plus(bump / 1000).iso(3)
    return f"{instrume}.{stamp.replace(':', separator)}.fits"


def card_of(keyword: str, value: Value, comment: str = "", *, long: bool = False) -> Card:
    """Write a card and keep what it says."""
    return Card(keyword, value, comment, format_card(keyword, value, comment, long=long))


class _Maker:
    """Makes one header; keeps what it finds on the way."""

    def __init__(
        self, header: Header, canonical: Canonical, context: Context, profile: Profile, span: Span | None
    ) -> None:
        self.header = header
        self.span = span
        self.canonical = canonical
        self.context = context
        self.profile = profile
        self.findings: list[Finding] = []
        kind = canonical.image_type
        self.facts = Facts(canonical, context, profile.dpr.get(kind) if kind is not None else None, span)
        self.ours = {rule.key for rule in profile.cards}

    def find(self, rule: str, severity: Severity, keyword: str, got: object, expected: str) -> None:
        """Keep a finding."""
        self.findings.append(Finding(rule, severity, keyword, str(got), expected))

    def check_type(self) -> None:
        """Refuse image types that the profile has no place for, and shapes that it does not take."""
        kind = self.canonical.image_type
        if kind is None:
            if self.profile.layout == "table":
                self.find("V03", Severity.ERROR, "IMAGETYP", "", "the type of the image")
        elif kind not in self.profile.types:
            told = self.header.value("IMAGETYP") if kind is ImageType.UNKNOWN else kind
            self.find("V15", Severity.ERROR, "IMAGETYP", told, f"one of {', '.join(self.profile.types)}")
        if self.canonical.start_resolution is not None and self.canonical.start_resolution >= 1:
            told = self.header.value("DATE-OBS")
            self.find("V43", Severity.WARNING, "DATE-OBS", told, "a fraction of a second: names may have to give way")
        axes = self.header.value("NAXIS") if self.span is None else 3
        if self.profile.naxis and axes not in self.profile.naxis:
            what = "a raw frame is one plane, uncompressed" if self.span is None else "this profile is none for cubes"
            self.find("V01", Severity.ERROR, "NAXIS", axes, f"{self.profile.naxis[0]}: {what}")

    def structure(self) -> Iterator[Card]:
        """Write what describes the data: as it is, in the order that the standard asks for."""
        axes = self.header.value("NAXIS")
        count = axes if isinstance(axes, int) else 0
        bitpix = self.header.value("BITPIX")
        yield card_of("SIMPLE", value=True, comment="conforms to FITS standard")
        yield card_of("BITPIX", bitpix, "array data type")
        yield card_of("NAXIS", count + bool(self.span), "number of array dimensions")
        for axis in range(1, count + 1):
            yield card_of(f"NAXIS{axis}", self.header.value(f"NAXIS{axis}"))
        if self.span is not None:
            yield card_of(f"NAXIS{count + 1}", self.span.frames, "one plane for each frame")
            yield from _plain_axes(count + 1)  # nothing may stand between NAXISn and WCSAXES, archives say
        yield card_of("EXTEND", value=True)
        integer = isinstance(bitpix, int) and bitpix > 0
        for keyword in ("BZERO", "BSCALE", "BLANK"):
            value = self.header.value(keyword)
            if quoted := self._no_number(keyword):
                self.find("V04", Severity.ERROR, keyword, quoted, "a number: it says what the pixels' values are")
            if value is not None and (integer or keyword != "BLANK"):
                yield card_of(keyword, value)

    def _no_number(self, keyword: str) -> str:
        """Return what stands on a card that should hold a number and does not; empty where it does, or is not there."""
        if quoted := self.header.unreadable(keyword):
            return quoted
        value = self.header.value(keyword)
        return repr(value) if value is not None and self.header.number(keyword) is None else ""

    def table(self) -> Iterator[Card]:
        """Write the profile's cards in its order."""
        for rule in self.profile.cards:
            if rule.key == "@wcs":
                yield from self.wcs()
            elif rule.key == "@keep":
                yield from (card for card in self.kept() if not card.keyword.startswith("HIERARCH"))
            elif rule.key == "@keep-hierarch":
                yield from (card for card in self.kept() if card.keyword.startswith("HIERARCH"))
            elif (card := self.card(rule)) is not None:
                yield card

    def inplace(self) -> Iterator[Card]:
        """Write the source's cards in their order, mended; what was missing follows."""
        made = {rule.key: card for rule in self.profile.cards if (card := self.card(rule)) is not None}
        yield from self.wcs()
        for card in self.kept(ours=True):
            mine = made.pop(card.keyword, None)
            yield card if mine is None or _agree(mine, card) else mine
        yield from made.values()

    def card(self, rule: CardRule) -> Card | None:
        """Make one card of the profile; None when there is nothing to say, or it does not apply."""
        kind = self.canonical.image_type
        if rule.key.startswith("@") or (rule.types and kind not in rule.types):
            return None
        if rule.missing_only and self._stays(rule.key):
            return None
        value = self._value(rule)
        if isinstance(value, str):
            value = self._text(rule, value)
        if value is None:
            if rule.required and not self._told(rule):
                self.find("V03", Severity.ERROR, rule.key, "", rule.comment or "a value")
            return None
        if rule.kind == "real" and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if rule.digits is not None and isinstance(value, float):
            value = round(value, rule.digits)
        if not isinstance(value, _KINDS[rule.kind]):
            self.find("V04", Severity.ERROR, rule.key, repr(value), f"a value of kind {rule.kind}")
            return None
        try:
            return card_of(rule.key, value, rule.comment, long=self.profile.long_text)
        except Held as err:
            self.find("V20", Severity.ERROR, rule.key, repr(value), str(err))
            return None

    def _told(self, rule: CardRule) -> bool:
        """Whether a missing value follows from another that is told already: no start, or a type without a place."""
        if rule.func in _OF_TYPE:
            return True
        return rule.func in _OF_START and self.canonical.start is None

    def _value(self, rule: CardRule) -> Value:
        if rule.func is not None:
            return FUNCTIONS[rule.func](self.facts)
        for name in rule.source:
            head, _, tail = name.partition(".")
            found = {"context": self.context, "card": None}.get(head, self.canonical)
            value = self.header.value(tail) if found is None else getattr(found, tail or head)
            if (value := meant(value)) is not None:
                return str(value) if isinstance(value, ImageType) else value
        return rule.const

    def _stays(self, key: str) -> bool:
        """Whether the source's own card of a keyword is carried over."""
        return self.header.value(key) is not None and not self.header.first[key].flaw

    def _text(self, rule: CardRule, value: str) -> str | None:
        """Return a text as a card can hold it, and tell what was written in another way; RAWFILE as it fits."""
        if rule.key == _RAW_FILE:
            return raw_file_text(value, long=self.profile.long_text)
        plain = to_ascii(value)
        if plain != value:
            self.find("V40", Severity.WARNING, rule.key, value, f"printable ASCII; written as {plain!r}")
        return self._fitting(rule, plain)

    def _fitting(self, rule: CardRule, value: str) -> str | None:
        """Judge a text's length: too long for the archive is odd, too long for a card an error."""
        value = value.strip()
        if len(value) > rule.most:
            fits = len(value) <= rule.longest
            self.find(
                "V40", Severity.WARNING if fits else Severity.ERROR, rule.key, value, f"at most {rule.most} characters"
            )
            return value if fits or self.profile.long_text else None
        return value or None

    def wcs(self) -> list[Card]:
        """Write the solution as a CD matrix, WCSAXES first; plain pixels where there is none and the table asks."""
        wcs = self.canonical.wcs
        if self.span is not None:
            return []  # they stand behind NAXISn already
        if wcs is not None and (
            self.canonical.image_type in {ImageType.SCIENCE, None} or self.profile.layout != "table"
        ):
            return celestial_cards(wcs)
        if self.profile.layout != "table":
            return []
        if self.canonical.image_type is ImageType.SCIENCE:
            self.find("V45", Severity.WARNING, "CTYPE1", "a science frame without a solution", "RA---TAN and DEC--TAN")
        return _plain_axes(2)

    def kept(self, *, ours: bool = False) -> Iterator[Card]:
        """Give the source's cards that are carried over as they are; tell what is dropped."""
        seen: set[str] = set()
        dropping = self.profile.drop + (self.profile.drop_with_wcs if self.canonical.wcs is not None else ())
        hierarch = self.profile.layout == "table"
        unwanted = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in (_STRUCTURE, *dropping)))
        for card in self.header.cards:
            key = card.keyword
            if (key in self.ours and not ours) or unwanted.fullmatch(key) or card.commentary:
                continue
            reason = self._unfit(card)
            if not reason and key in seen:
                reason = "it stands twice"
            seen.add(key)
            if not reason:
                yield card
            elif not hierarch or not key.startswith("HIERARCH") or reason != "it stands twice":
                self._drop(card, reason)

    def _unfit(self, card: Card) -> str:
        if flaw := card.flaw:
            return flaw
        if is_applied(card):
            return "it was applied: the times are UTC now"
        if meant(card.value) is None and self.profile.layout == "table":
            return "it says nothing"
        return "its text goes on in other cards" if len(card.raw) > CARD and not self.profile.long_text else ""

    def _drop(self, card: Card, reason: str) -> None:
        finding = Finding(
            "V60", Severity.INFO, card.keyword, card.raw[:CARD].decode("latin-1").strip(), f"dropped: {reason}"
        )
        if finding not in self.findings:
            self.findings.append(finding)

    def closing(self, dialect: str, bump: int) -> Iterator[Card]:
        """Write the source's commentary, and a line about ourselves."""
        if not self.context.strip_history:
            for card in self.header.cards:
                if card.commentary and card.keyword in {"COMMENT", "HISTORY"} and not card.flaw:
                    yield card
        made = "header of" if self.span is None else f"cube of {self.span.frames} frames,"
        yield from _history(f"{self.context.software}: {made} dialect {dialect}, profile {self.profile.id}")
        if bump:
            yield from _history(f"nightferry: name moved by {bump} ms, for another frame has that of DATE-OBS")

    def name(self, bump: int) -> str:
        """Make the frame's name in the archive."""
        name = frame_name(self.context.instrume, self.canonical, self.profile.name.separator, bump)
        if name and not _NAME.fullmatch(name):
            self.find("V18", Severity.ERROR, "", name, "at most 68 of A-Z a-z 0-9 _ . : -")
        return name


def _plain_axes(axes: int) -> list[Card]:
    """Write coordinates that are pixels and nothing else; FITS 4.0, section 8.2: CDi_j that are not there are 0."""
    ones = [card_of(f"{key}{axis}", 1.0) for axis in range(1, axes + 1) for key in ("CRPIX", "CRVAL")]
    pairs = [(i, j) for i in range(1, axes + 1) for j in range(1, axes + 1) if i == j or axes == 2]  # noqa: PLR2004 - the whole matrix of a picture
    return [
        card_of("WCSAXES", axes, "number of world coordinate axes"),
        *(card_of(f"CTYPE{axis}", "PIXEL", "no celestial solution") for axis in range(1, axes + 1)),
        *ones,
        *(card_of(f"CD{i}_{j}", float(i == j)) for i, j in pairs),
    ]


def _history(text: str) -> Iterable[Card]:
    return [card_of("HISTORY", text[start : start + 72]) for start in range(0, len(text), 72)]


def _agree(mine: Card, theirs: Card) -> bool:
    """Whether the source says the same already, in a form that may stay."""
    if isinstance(mine.value, float) and isinstance(theirs.value, int | float) and not isinstance(theirs.value, bool):
        return abs(mine.value - theirs.value) <= 1e-9 * max(1.0, abs(mine.value))
    if isinstance(mine.value, str) and isinstance(theirs.value, str):
        return mine.value == theirs.value or mine.value.startswith(theirs.value + "0")
    return mine.value == theirs.value


def celestial_cards(wcs: Wcs) -> list[Card]:
    """Write a solution; FITS 4.0, section 8.3."""
    cards = [card_of("WCSAXES", 2, "number of world coordinate axes")]
    for axis in (0, 1):
        cards += [
            card_of(f"CTYPE{axis + 1}", wcs.ctype[axis]),
            card_of(f"CUNIT{axis + 1}", "deg"),
            card_of(f"CRPIX{axis + 1}", wcs.crpix[axis], "[pixel] reference, from 1"),
            card_of(f"CRVAL{axis + 1}", wcs.crval[axis], "[deg]"),
        ]
    names = ("CD1_1", "CD1_2", "CD2_1", "CD2_2")
    cards += [card_of(name, value, "[deg/pixel]") for name, value in zip(names, wcs.cd, strict=True)]
    for key, value in wcs.further.items():
        whole = key.endswith("_ORDER")
        cards.append(card_of(key, int(value) if whole else value))
    return cards
