"""Rules about who, what and under which name: V15 to V19, V40, V47, V51, V52."""

import re
from collections.abc import Iterator

from nightferry.headers.canonical import Finding, ImageType, Severity
from nightferry.headers.dialects.header import Header
from nightferry.headers.dialects.load import load_dialect
from nightferry.headers.dialects.translate import translate
from nightferry.headers.rules.subject import Subject, found

ERROR, WARNING = Severity.ERROR, Severity.WARNING
_DPR = "HIERARCH ESO DPR "
#: ESO programme identifiers, of the old and of the new style.
_PROGRAM = re.compile(r"\d{2,3}\.[A-Z]-\d{4}\([A-Z]\)|\d{3}\.[0-9A-Z]{4}\.\d{3}")
_NAME = re.compile(r"(?P<prefix>[A-Za-z0-9-]+)\.(?P<date>\d{4}-\d\d-\d\d)T(?P<time>\d\d([_:])\d\d\4\d\d\.\d{3})\.fits")
_CUBE_NAME = re.compile(r"[A-Za-z0-9.+~-]+\.(?P<stamp>\d{8}T\d{6})_(?P<label>[SC])_[A-Za-z0-9.+~_-]+\.fits")
_BUMP = re.compile(r"nightferry: name moved by (\d+) ms")
_GROUPS = ("DPR", "OBS", "TPL", "GEN", "TEL", "ADA", "INS", "DET")
_LONGEST_OBJECT, _LONGEST_NAME = 30, 68
_TYPES = frozenset({"OBJECT", "STD", "BIAS", "DARK", "FLAT", "FLAT,SKY", "FLAT,DOME", "FLAT,LAMP", "FOCUS"})
_CATEGORIES = frozenset({"SCIENCE", "CALIB", "ACQUISITION", "TECHNICAL", "TEST", "SIMULATION", "OTHER"})


def v15_product(subject: Subject) -> Iterator[Finding]:
    """Ask for ESO's triple from its table, and in agreement with IMAGETYP."""
    triple = tuple(subject.header.value(_DPR + part) for part in ("CATG", "TYPE", "TECH"))
    if None in triple:
        return  # V03 tells
    catg, kind, tech = (str(part) for part in triple)
    for part, value, good in (
        ("CATG", catg, _CATEGORIES),
        ("TYPE", kind, _TYPES),
        ("TECH", tech, {"IMAGE", "IMAGE,CUBE"}),
    ):
        if value not in good:
            yield found("V15", ERROR, _DPR + part, value, f"one of {', '.join(sorted(good))}")
    told = translate(
        Header([card for card in subject.header.cards if card.keyword == "IMAGETYP"]), load_dialect("generic")
    )
    image_type = told.canonical.image_type
    if image_type is not None and image_type in subject.profile.dpr:
        wanted = subject.profile.dpr[image_type]
        if (catg, kind.split(",")[0]) != wanted[:2]:
            yield found(
                "V15",
                ERROR,
                f"{_DPR}TYPE",
                f"{catg} {kind}",
                f"{wanted[0]} {wanted[1]}, for IMAGETYP says {image_type}",
            )


def v16_program(subject: Subject) -> Iterator[Finding]:
    """Ask for a programme identifier as ESO writes them."""
    program = subject.header.value("HIERARCH ESO OBS PROG ID")
    if program is not None and not _PROGRAM.fullmatch(str(program)):
        yield found("V16", ERROR, "HIERARCH ESO OBS PROG ID", program, "60.A-9009(D) or 108.22L8.001")


def v17_telescope(subject: Subject) -> Iterator[Finding]:
    """Ask for the telescope and instrument of the configuration."""
    for key, wanted in (("TELESCOP", subject.context.telescop), ("INSTRUME", subject.context.instrume)):
        told = subject.header.value(key)
        if wanted and told is not None and told != wanted:
            yield found("V17", ERROR, key, told, f"{wanted}, as configured")


def v18_name(subject: Subject) -> Iterator[Finding]:
    """Ask for a name of instrument and start."""
    if len(subject.name) > _LONGEST_NAME:
        yield found("V18", ERROR, "", subject.name, f"at most {_LONGEST_NAME} characters")
    if subject.is_cube:
        yield from _cube_name(subject)
        return
    parts = _NAME.fullmatch(subject.name)
    if parts is None:
        yield found("V18", ERROR, "", subject.name, "INSTRUME.YYYY-MM-DDThh_mm_ss.sss.fits")
        return
    if (instrume := subject.header.value("INSTRUME")) is not None and parts["prefix"] != instrume:
        yield found("V18", ERROR, "INSTRUME", instrume, f"{parts['prefix']}, as the name begins")
    if subject.start is None:
        return
    moved = sum(int(told[1]) for text in subject.header.commentary("HISTORY") if (told := _BUMP.search(text)))
    right = subject.start.cut(3).plus(moved / 1000).iso(3)
    if f"{parts['date']}T{parts['time'].replace('_', ':')}" != right:
        yield found("V18", ERROR, "DATE-OBS", subject.header.value("DATE-OBS"), f"the time in the name {subject.name}")


def _cube_name(subject: Subject) -> Iterator[Finding]:
    """Ask for a cube's name of instrument, first start, kind and what the frames have in common."""
    parts = _CUBE_NAME.fullmatch(subject.name)
    if parts is None:
        yield found(
            "V18", ERROR, "", subject.name, "PREFIX.YYYYMMDDThhmmss_S_key.fits, C instead of S for calibrations"
        )
        return
    if subject.start is not None and parts["stamp"] != re.sub("[-:]", "", subject.start.iso(0)):
        yield found("V18", ERROR, "DATE-OBS", subject.header.value("DATE-OBS"), f"the time in the name {subject.name}")
    science = subject.image_type is ImageType.SCIENCE
    if subject.image_type is not None and (parts["label"] == "S") is not science:
        yield found(
            "V18", ERROR, "", subject.name, f"{'S' if science else 'C'} in the name, for it is {subject.image_type}"
        )


def v19_collision(subject: Subject) -> Iterator[Finding]:
    """Ask for a name of its own."""
    if subject.name in subject.siblings:
        yield found("V19", ERROR, "", subject.name, "a name that no other frame has")


def v40_object(subject: Subject) -> Iterator[Finding]:
    """Ask for an object's name of a length that archives keep."""
    told = subject.header.value("OBJECT")
    if isinstance(told, str) and len(told) > _LONGEST_OBJECT:
        yield found("V40", WARNING, "OBJECT", told, f"at most {_LONGEST_OBJECT} characters")


def v47_groups(subject: Subject) -> Iterator[Finding]:
    """Ask for ESO's hierarchical keywords behind the primary ones, in the order of their categories."""
    places: list[int] = []
    for card in subject.header.cards:
        words = card.keyword.split()
        if words[:2] == ["HIERARCH", "ESO"] and len(words) > 2 and words[2] in _GROUPS:  # noqa: PLR2004 - ESO and a group
            places.append(_GROUPS.index(words[2]))
        elif (
            places and not card.commentary and words[:1] != ["HIERARCH"] and card.keyword not in {"CHECKSUM", "DATASUM"}
        ):
            yield found("V47", WARNING, card.keyword, "behind HIERARCH ESO cards", "primary keywords first")
            break
    if places != sorted(places):
        yield found("V47", WARNING, "HIERARCH ESO", "categories out of order", " ".join(_GROUPS))


def v51_raw(subject: Subject) -> Iterator[Finding]:
    """Ask for a frame as it was taken: nothing added up, nothing subtracted."""
    count = subject.header.number("STACKCNT")
    if count is not None and count > 1:
        yield found("V51", WARNING, "STACKCNT", count, "one exposure in a raw frame")
    if (status := subject.header.value("CALSTAT")) is not None:
        yield found("V51", WARNING, "CALSTAT", status, "no calibration in a raw frame")
    for text in subject.header.commentary("HISTORY"):
        if re.search(r"(?i)(bias|dark) subtraction|flat[- ]field|calibrated", text):
            yield found("V51", WARNING, "HISTORY", text.strip(), "no calibration in a raw frame")
            break


def v52_colour(subject: Subject) -> Iterator[Finding]:
    """Ask for no mosaic of colours, and no rows from the top."""
    for key in ("BAYERPAT", "ROWORDER"):
        if (told := subject.header.value(key)) is not None and told != "BOTTOM-UP":
            yield found("V52", WARNING, key, told, "a reader who minds it: colour or order of rows")
