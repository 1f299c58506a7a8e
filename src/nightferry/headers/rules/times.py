"""Rules about time: V05 to V07, V21, V41, V43, V48."""

import re
from collections.abc import Iterator

from nightferry.core.instant import parse_instant
from nightferry.headers.canonical import Finding, ImageType, Severity
from nightferry.headers.profiles.sidereal import lst_seconds, ut1_less_utc
from nightferry.headers.rules.subject import Subject, found

ERROR, WARNING = Severity.ERROR, Severity.WARNING
_DATES = ("DATE", "DATE-OBS", "DATE-END", "DATE-BEG", "DATE-AVG")
_FULL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}")
_FREE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?)?")
#: Seconds. MJD has eight decimals (0.86 ms), DATE-OBS is cut to the millisecond: together at most 1.5 ms apart.
_TIGHT = 1.5e-3
_SECOND = 1.0
_FIRST_MJD = 40587


def v05_dates(subject: Subject) -> Iterator[Finding]:
    """Ask for times as ISO-8601 without a zone; with three decimals where the profile writes the table itself."""
    strict = {rule.key for rule in subject.profile.cards} if subject.profile.layout == "table" else set()
    for key in _DATES:
        value = subject.header.value(key)
        if value is None:
            continue
        shape, said = (_FULL, "YYYY-MM-DDThh:mm:ss.sss") if key in strict else (_FREE, "ISO-8601 without a zone")
        if not isinstance(value, str) or not shape.fullmatch(value):
            yield found("V05", ERROR, key, value, said)
            continue
        try:
            parse_instant(value if "T" in value else f"{value}T00:00:00")
        except ValueError as err:
            yield found("V05", ERROR, key, value, f"a time that there is: {err}")


def v06_agreement(subject: Subject) -> Iterator[Finding]:
    """Ask for DATE-OBS, MJD-OBS and UTC tell one and the same moment."""
    start, mjd, utc = subject.start, subject.header.number("MJD-OBS"), subject.header.number("UTC")
    if start is None:
        return
    if mjd is not None and abs(mjd - start.mjd) * 86_400 > _TIGHT:
        yield found("V06", ERROR, "MJD-OBS", mjd, f"{start.mjd:.8f}, as DATE-OBS says")
    if utc is not None and abs(utc - start.seconds) > _TIGHT:
        yield found("V06", ERROR, "UTC", utc, f"{start.seconds:.3f} s, as DATE-OBS says")


def v07_sidereal(subject: Subject) -> Iterator[Finding]:
    """Ask for LST in seconds, and that of the site."""
    lst, site = subject.header.number("LST"), subject.context.site
    if lst is None:
        return
    if not 0 <= lst < 86_400:  # noqa: PLR2004 - a day
        yield found("V07", ERROR, "LST", lst, "0 to 86400 s")
    elif site is not None and subject.start is not None:
        right = lst_seconds(subject.start, site.longitude)
        if abs((lst - right + 43_200) % 86_400 - 43_200) > _SECOND:
            yield found("V07", ERROR, "LST", lst, f"{right:.3f} s at longitude {site.longitude}")


def v21_order(subject: Subject) -> Iterator[Finding]:
    """Ask for start before end before writing before now."""
    start, end = subject.header.number("MJD-OBS"), subject.header.number("MJD-END")
    if start is not None and start < _FIRST_MJD:
        yield found("V21", ERROR, "MJD-OBS", start, f"{_FIRST_MJD} or later")
    if start is not None and end is not None and end < start:
        yield found("V21", ERROR, "MJD-END", end, f"{start} or later, for MJD-OBS is")
    last = end if end is not None else start
    if last is not None and last > subject.now.mjd:
        yield found("V21", ERROR, "MJD-END" if end is not None else "MJD-OBS", last, "a time that has passed")
    written, ended = subject.instant("DATE"), subject.instant("DATE-END")
    if written is not None and ended is not None and written < ended:
        yield found("V21", ERROR, "DATE", subject.header.value("DATE"), "the time of writing, after DATE-END")


def v41_exposure(subject: Subject) -> Iterator[Finding]:
    """Ask for an exposure that suits the type of frame, and never below nothing."""
    exptime, kind = subject.header.number("EXPTIME"), subject.image_type
    if exptime is None:
        return
    if exptime < 0:
        yield found("V41", ERROR, "EXPTIME", exptime, "0 s or more")
    elif kind is ImageType.BIAS and exptime > 0:
        yield found("V41", WARNING, "EXPTIME", exptime, "0 s for a bias")
    elif kind in {ImageType.SCIENCE, ImageType.FLAT, ImageType.DARK} and exptime == 0:
        yield found("V41", WARNING, "EXPTIME", exptime, f"more than 0 s for {kind}")


def v43_whole_seconds(subject: Subject) -> Iterator[Finding]:
    """Ask for a start finer than whole seconds."""
    told = subject.header.value("DATE-OBS")
    if subject.start is not None and "." not in str(told):
        yield found("V43", WARNING, "DATE-OBS", told, "a fraction of a second")


def v48_earth_rotation(subject: Subject) -> Iterator[Finding]:
    """Ask for sidereal time from measured or predicted rotation of the Earth."""
    if subject.start is not None and subject.header.value("LST") is not None and ut1_less_utc(subject.start) is None:
        yield found(
            "V48",
            WARNING,
            "LST",
            f"no UT1-UTC for {subject.start.date}",
            "a newer astropy-iers-data; UT1 was taken as UTC",
        )
