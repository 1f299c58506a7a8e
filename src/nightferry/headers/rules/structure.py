"""Rules about structure: V01 to V04, V14, V20, V22 to V26, V49, V50."""

import re
import struct
from collections import Counter
from collections.abc import Iterator

from nightferry.formats.cards import Card
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.rules.subject import Hdu, Subject, found

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
_TTYPE = re.compile(r"[A-Za-z0-9_]+")
_SATURATED = 0.5
#: Cards whose type the standard fixes (FITS 4.0, sections 4.4 and 9).
_REALS = ("MJD-OBS", "MJD-END", "EQUINOX", "EXPTIME", "RA", "DEC", "CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "UTC", "LST")
_TEXTS = ("DATE", "DATE-OBS", "DATE-END", "OBJECT", "TELESCOP", "INSTRUME", "RADESYS", "TIMESYS", "CTYPE1", "CTYPE2")


def v01_structure(subject: Subject) -> Iterator[Finding]:
    """Ask for mandatory cards in their order, every HDU readable, a shape that the profile takes."""
    if subject.problem and "truncated" not in subject.problem:
        yield found("V01", ERROR, "", subject.problem, "FITS from the first byte to the last")
    for hdu in subject.hdus:
        axes = hdu.header.value("NAXIS")
        count = axes if isinstance(axes, int) else 0
        opening = "XTENSION" if hdu.unit.number else "SIMPLE"
        wanted = [opening, "BITPIX", "NAXIS", *(f"NAXIS{axis}" for axis in range(1, count + 1))]
        there = [card.keyword for card in hdu.header.cards[: len(wanted)]]
        if there != wanted:
            yield found("V01", ERROR, opening, " ".join(there), f"{' '.join(wanted)} at the head of {hdu.name}")
    axes = subject.header.value("NAXIS")
    if subject.hdus and subject.profile.naxis and axes not in subject.profile.naxis and not subject.is_cube:
        yield found("V01", ERROR, "NAXIS", axes, " or ".join(map(str, subject.profile.naxis)))


def v02_whole(subject: Subject) -> Iterator[Finding]:
    """Ask for all the bytes that the headers promise, in whole blocks, and nothing behind them."""
    if "truncated" in subject.problem:
        yield found("V02", ERROR, "", subject.problem, "whole HDUs")
    for hdu in subject.hdus:
        if hdu.missing:
            yield found(
                "V02",
                ERROR,
                "",
                f"{hdu.name} lacks {hdu.missing:,} bytes: truncated",
                f"{hdu.unit.layout.length:,} bytes",
            )
        elif hdu.unfilled:
            yield found(
                "V02", ERROR, "", f"the last block of {hdu.name} lacks {hdu.unfilled} bytes", "whole blocks of 2880"
            )
    if subject.rest:
        yield found("V02", ERROR, "", f"{subject.rest:,} bytes or more behind the last HDU", "nothing")


def v03_required(subject: Subject) -> Iterator[Finding]:
    """Ask for every card that the profile asks of this type of frame."""
    if not subject.hdus:
        return
    for rule in subject.profile.cards:
        applies = not rule.types or subject.image_type in rule.types
        if rule.required and applies and subject.header.value(rule.key) is None:
            yield found("V03", ERROR, rule.key, None, rule.comment or "a value")


def v04_types(subject: Subject) -> Iterator[Finding]:
    """Ask for numbers are numbers and texts are texts."""
    kinds: dict[str, str] = {rule.key: rule.kind for rule in subject.profile.cards if not rule.key.startswith("@")}
    kinds |= dict.fromkeys(_REALS, "real") | dict.fromkeys(_TEXTS, "text")
    for key, kind in kinds.items():
        card = subject.header.first.get(key)
        if card is None or card.value is None or _is(card, kind):
            continue
        yield found("V04", ERROR, key, repr(card.value), {"text": "a text", "real": "a number"}.get(kind, kind))


def _is(card: Card, kind: str) -> bool:
    value = card.value
    if kind == "text":
        return isinstance(value, str)
    if kind == "logical":
        return isinstance(value, bool)
    return isinstance(value, int | float) and not isinstance(value, bool)


def v14_sums(subject: Subject) -> Iterator[Finding]:
    """Ask for DATASUM and CHECKSUM in every HDU, and right."""
    for hdu in subject.hdus:
        datasum, checksum = hdu.header.value("DATASUM"), hdu.header.value("CHECKSUM")
        if datasum is None or checksum is None:
            key = "DATASUM" if datasum is None else "CHECKSUM"
            yield found("V14", ERROR, key, None, f"the sum of {hdu.name}")
        if datasum is not None and str(datasum).strip() != str(hdu.datasum):
            yield found("V14", ERROR, "DATASUM", datasum, f"{hdu.datasum}, the sum of the data of {hdu.name}")
        elif checksum is not None and not hdu.checksum_right:
            yield found("V14", ERROR, "CHECKSUM", checksum, f"the sum of {hdu.name}: its header was changed")


def v20_cards(subject: Subject) -> Iterator[Finding]:
    """Ask for nothing in a card that FITS forbids, and no keyword twice."""
    for hdu in subject.hdus:
        for card in hdu.header.cards:
            if flaw := card.flaw:
                yield found(
                    "V20", ERROR, card.keyword, card.raw.decode("latin-1")[:80].strip(), f"a legal card: {flaw}"
                )
        counts = Counter(
            card.keyword for card in hdu.header.cards if not card.commentary and card.keyword != "CONTINUE"
        )
        for key, count in counts.items():
            if count > 1:
                yield found("V20", ERROR, key, f"{count} times", f"once in {hdu.name}")


def v22_pixels(subject: Subject) -> Iterator[Finding]:
    """Ask for the same data as in the frame that it was made of."""
    for hdu, wanted in zip(subject.hdus, subject.sources, strict=False):
        if hdu.datasum != wanted:
            yield found(
                "V22", ERROR, "DATASUM", hdu.datasum, f"{wanted}: the pixels of {hdu.name} are not the source's"
            )
    if subject.sources and len(subject.hdus) != len(subject.sources):
        yield found("V22", ERROR, "", f"{len(subject.hdus)} HDUs", f"{len(subject.sources)}, as the source has")


def v23_blank(subject: Subject) -> Iterator[Finding]:
    """Ask for BLANK beside whole numbers only."""
    for hdu in subject.hdus:
        blank = hdu.header.first.get("BLANK")
        if blank is None:
            continue
        if hdu.unit.layout.bitpix < 0:
            yield found("V23", ERROR, "BLANK", blank.value, "no BLANK beside floating-point pixels")
        elif not isinstance(blank.value, int) or isinstance(blank.value, bool):
            yield found("V23", ERROR, "BLANK", repr(blank.value), "a whole number")


def v24_cube(subject: Subject) -> Iterator[Finding]:
    """Ask for as many planes as frames as rows, rows in order of time, one and the same end and start."""
    if not subject.is_cube:
        return
    planes, frames = subject.header.value("NAXIS3"), subject.header.value("NFRAMES")
    tables = [hdu for hdu in subject.hdus[1:] if hdu.header.value("EXTNAME") == "METADATA"]
    rows = tables[0].header.value("NAXIS2") if tables else None
    if not planes == frames == rows:
        yield found("V24", ERROR, "NFRAMES", f"{frames} frames, {planes} planes, {rows} rows", "as many of each")
    end, mjd_end = subject.instant("DATE-END"), subject.header.number("MJD-END")
    if end is not None and mjd_end is not None and abs(end.mjd - mjd_end) * 86_400 > _MILLISECOND:
        yield found("V24", ERROR, "MJD-END", mjd_end, f"{end.mjd:.8f}, as DATE-END says")
    times = _column(tables[0], "MJD_OBS") if tables else []
    if times != sorted(times):
        yield found("V24", ERROR, "MJD_OBS", "rows out of order", "rows in order of time")
    start = subject.header.number("MJD-OBS")
    if times and start is not None and abs(times[0] - start) * 86_400 > _MILLISECOND:
        yield found("V24", ERROR, "MJD-OBS", start, f"{times[0]:.8f}, the first row's")


_MILLISECOND = 2e-3  # seconds: eight decimals of a day are 0.9 ms


def _column(hdu: Hdu, name: str, form: str = "D") -> list[float]:
    """Read a column of doubles or whole numbers from a binary table (FITS 4.0, section 7.3); empty where it is none."""
    widths = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8}
    offset, fields = 0, hdu.header.value("TFIELDS")
    for number in range(1, (fields if isinstance(fields, int) else 0) + 1):
        shape = re.fullmatch(r"(\d*)([A-Z]).*", str(hdu.header.value(f"TFORM{number}")).strip())
        if shape is None or shape[2] not in widths:
            return []
        if hdu.header.value(f"TTYPE{number}") == name:
            row, rows = hdu.unit.layout.axes[:2]
            if shape[2] != form or shape[1] not in {"", "1"} or len(hdu.table) < row * rows:
                return []
            code = ">d" if form == "D" else ">q"
            return [struct.unpack_from(code, hdu.table, at * row + offset)[0] for at in range(rows)]
        offset += int(shape[1] or 1) * widths[shape[2]]
    return []


def v25_planes(subject: Subject) -> Iterator[Finding]:
    """Ask for planes that are their frames, by the sums in the table; without those, for no empty one among others."""
    if not subject.is_cube:
        return
    tables = [hdu for hdu in subject.hdus[1:] if hdu.header.value("EXTNAME") == "METADATA"]
    told = _column(tables[0], "DATASUM", "K") if tables else []
    sums = subject.pixels.sums
    wrong = [row + 1 for row, wanted in enumerate(told) if row in sums and sums[row].value != wanted]
    if wrong:
        first = f"{sums[wrong[0] - 1].value} in plane {wrong[0]}"
        yield found(
            "V25", ERROR, "DATASUM", f"planes {', '.join(map(str, wrong[:8]))} are not their frames: {first}",
            f"{told[wrong[0] - 1]}, as the table says",
        )  # fmt: skip
    constant = subject.pixels.constant_planes
    if constant and not told and len(constant) < len(subject.pixels.planes):
        yield found(
            "V25", ERROR, "", f"planes {', '.join(map(str, constant[:8]))} are constant", "pictures in every plane"
        )


def v26_long_text(subject: Subject) -> Iterator[Finding]:
    """Ask for no text over more than one card."""
    for hdu in subject.hdus:
        for card in hdu.header.cards:
            if card.keyword == "CONTINUE" or len(card.raw) > 80 or card.keyword == "LONGSTRN":  # noqa: PLR2004 - a card
                yield found("V26", ERROR, card.keyword, "a text in several cards", "one card")


def v49_picture(subject: Subject) -> Iterator[Finding]:
    """Ask for a picture, not one value everywhere and not white all over."""
    if subject.pixels.constant:
        yield found("V49", WARNING, "", "every pixel is the same", "a picture")
    elif subject.pixels.saturated > _SATURATED:
        yield found("V49", WARNING, "", f"{subject.pixels.saturated:.0%} of the pixels are saturated", "at most half")


def v50_columns(subject: Subject) -> Iterator[Finding]:
    """Ask for columns named with letters, digits and underscores."""
    for hdu in subject.hdus:
        for key, card in hdu.header.first.items():
            if key.startswith("TTYPE") and not (isinstance(card.value, str) and _TTYPE.fullmatch(card.value)):
                yield found("V50", WARNING, key, repr(card.value), "letters, digits and _")
