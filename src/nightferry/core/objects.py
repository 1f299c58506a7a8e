"""Object names as astronomers write them, from whatever a telescope made of them."""

import re
from collections.abc import Callable

_CATALOGUES = {
    name.lower(): name
    for name in (
        "M", "NGC", "IC", "UGC", "PGC", "Arp", "Abell", "Mel", "Cr", "Tr", "St", "B", "LDN", "LBN", "vdB", "Ced",
        "Gum", "RCW", "HCG", "HD", "HIP", "SAO", "HR", "WR", "TIC", "TOI", "Caldwell", "C",
    )
}  # fmt: skip
_SPACE = re.compile(r"[\s_]+")
_NUMBERED = re.compile(r"(?P<catalogue>[A-Za-z]+)[\s_-]*0*(?P<number>\d+)(?P<rest>[\s_-].*)?")
_MESSIER = re.compile(r"messier[\s_-]*0*(?P<number>\d+)(?P<rest>[\s_-].*)?", re.IGNORECASE)
_SHARPLESS = re.compile(r"sh[\s_-]*2[\s_-]+0*(?P<number>\d+)(?P<rest>[\s_-].*)?", re.IGNORECASE)
# IAU designations of comets: C/2025 R3, P/2010 V1, D/1993 F2-A, and interstellar ones: 3I/ATLAS
_COMET = re.compile(
    r"(?P<kind>[CPDXAI])[\s/_-]*(?P<year>\d{4})[\s_-]*(?P<half>[A-HJ-Y]{1,2}\d{1,3})(?P<rest>[\s_-].*|\(.*)?",
    re.IGNORECASE,
)
_NUMBERED_COMET = re.compile(r"(?P<number>\d{1,3})(?P<kind>[PDI])(?:[\s/_-]+(?P<name>[A-Za-z].*))?", re.IGNORECASE)
_LARGEST_CALDWELL = 109


def object_name(raw: str) -> str:
    """Write an object's name the usual way: ``m31`` as ``M 31``, ``c2025r3`` as ``C/2025 R3``.

    Names of no known catalogue keep their letters; underscores become blanks.
    """
    plain = _SPACE.sub(" ", raw).strip(" -_")
    for pattern, write in _FORMS:
        found = pattern.fullmatch(plain)
        if found and (name := write(found)):
            return name
    return plain


def _tail(found: re.Match[str]) -> str:
    rest = (found["rest"] or "").strip(" -_")
    return f" {rest}" if rest else ""


def _write_numbered(found: re.Match[str]) -> str:
    catalogue = _CATALOGUES.get(found["catalogue"].lower())
    if catalogue is None or (catalogue == "C" and int(found["number"]) > _LARGEST_CALDWELL):
        return ""
    return f"{catalogue} {found['number']}{_tail(found)}"


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (_COMET, lambda found: f"{found['kind'].upper()}/{found['year']} {found['half'].upper()}{_tail(found)}"),
    (
        _NUMBERED_COMET,
        lambda found: f"{found['number']}{found['kind'].upper()}" + (f"/{found['name']}" if found["name"] else ""),
    ),
    (_SHARPLESS, lambda found: f"Sh2-{found['number']}{_tail(found)}"),
    (_MESSIER, lambda found: f"M {found['number']}{_tail(found)}"),
    (_NUMBERED, _write_numbered),
)
