"""Months as listings name them: some servers write them in their own language, cut short, with a full stop or not."""

from typing import Final

#: English first; then German, French, Spanish, Italian, Portuguese, Dutch, Swedish, Danish, Polish, Czech, Finnish,
#: Turkish and Russian. What means different months in different languages (``lip``, ``lis``, ``srp``) is left out.
_WORDS: Final = (
    "jan januar january jän jänner janv janvier ene enero gen gennaio sty stycznia led ledna tammi oca ocak янв января",
    "feb februar february fév fevr févr février feber febr fev lut luty úno února helmi şub şubat фев февр февраля",
    "mar march mär märz mrz mars mrt maart marzo maalis března marca мар марта",
    "apr april avr avril abr abril aprile kwi kwietnia dub dubna huhti nis nisan апр апреля",
    "may mai maj mei mayo mag maggio maio kvě května touko мая май",
    "jun juni june juin junio giu giugno cze czerwca června kesä haz haziran июн июня",
    "jul juli july juil juillet julio lug luglio heinä tem temmuz июл июля",
    "aug august août aou aoû ago agosto sie sierpnia elo ağu ağustos авг августа",
    "sep sept september septembre set settembre wrz września zář září syys eyl eylül сен сент сентября",
    "oct october okt oktober octobre ott ottobre out outubro paź października říj října loka eki ekim окт октября",
    "nov november novembre noviembre novembro marras kas ноя нояб ноября",
    "dec december dez dezember déc décembre dic diciembre dicembre gru grudnia pro prosince joulu ara дек декабря",
)
_NUMBERS: Final = {word: number for number, words in enumerate(_WORDS, 1) for word in words.split()}
_NUMBERED: Final = ("月", "월")


def month_of(word: str) -> int:
    """Return the number of the month that a word names; 0 for none that we know."""
    told = _repaired(word).casefold().rstrip(".")
    if told.endswith(_NUMBERED) and told[:-1].isascii() and told[:-1].isdecimal():
        number = int(told[:-1])
        return number if 0 < number <= 12 else 0  # noqa: PLR2004 - months
    return _NUMBERS.get(told, 0)


def _repaired(word: str) -> str:
    """Return a word of bytes that are not UTF-8 as Latin-1, in which old servers write."""
    raw = word.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
