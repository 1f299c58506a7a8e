"""Cards: a solution into a file's header, in the room that the header has, or with a header that is longer.

What is written: WCSAXES, CTYPEi, CUNITi, CRPIXi, CRVALi, CDi_j (FITS 4.0, section 8; SIP by Shupe et al. 2005),
RADESYS and EQUINOX of the catalogue, and a HISTORY line with what the solution rests on. Pixels are not touched.
"""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from nightferry.core.errors import Held, Occupied
from nightferry.core.store import BUFFER_SIZE
from nightferry.disk.files import finish, name_anew, name_new, part_beside
from nightferry.formats.cards import CARD, Card, close_header, format_card
from nightferry.formats.rewrite import SUMS, Unit, read_unit, sealed
from nightferry.headers.profiles.make import celestial_cards
from nightferry.solving.model import Solution

#: What a new solution stands in for.
_OLD = re.compile(
    r"WCSAXES|WCSNAME|C(TYPE|UNIT|RPIX|RVAL|DELT|ROTA)\d|(PC|CD)\d_\d|PV\d_\d+|LONPOLE|LATPOLE|"
    r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)|RADESYS|RADECSYS|EQUINOX|EPOCH|PLTSOLVD"
)
_OPENING = re.compile(r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND|TFIELDS|GROUPS|BZERO|BSCALE|BLANK")
_HISTORY = "nightferry solve:"


def solved_header(unit: Unit, solution: Solution) -> bytes:
    """Make the header with the solution in it, sums made anew where the data's was told.

    Blank cards at its end are room; where it takes no more blocks than before it takes just as many.
    """
    cards = unit.cards
    kept = [card for card in cards if card.keyword not in SUMS and not _OLD.fullmatch(card.keyword)]
    kept = [card for card in kept if not (card.keyword == "HISTORY" and str(card.value).strip().startswith(_HISTORY))]
    while kept and not kept[-1].raw.strip():
        kept.pop()
    opening = next((at for at, card in enumerate(kept) if not _OPENING.fullmatch(card.keyword)), len(kept))
    raws = [card.raw for card in (*kept[:opening], *celestial_cards(solution.wcs))]
    raws += [format_card("RADESYS", "ICRS"), format_card("EQUINOX", 2000.0)]
    raws += [card.raw for card in kept[opening:]]
    raws += [format_card("HISTORY", line) for line in _history(solution)]
    told = _told_sum(cards)
    header = close_header(raws) if told is None else sealed(raws, told)
    if (spare := len(unit.raw) - len(header)) > 0:  # blank cards keep the data where they are, and room for later
        raws += [b" " * CARD] * (spare // CARD)
        header = close_header(raws) if told is None else sealed(raws, told)
    return header


def _history(solution: Solution) -> list[str]:
    fit = solution.fit
    return [
        f"{_HISTORY} {fit.matches.count} of {fit.expected} stars match within {fit.rms:.2f} pixel rms",
        f"{_HISTORY} chance {solution.chance:.1e}; engine {solution.engine}; {solution.index}"[:72],
    ]


def _told_sum(cards: Sequence[Card]) -> int | None:
    """Return the data's sum as the header has it; None where it has none, so that a new CHECKSUM would be a claim."""
    text = next((str(card.value).strip() for card in cards if card.keyword == "DATASUM"), "")
    return int(text) if text.isdigit() else None


def write_solution(path: Path, solution: Solution, number: int = 0, target: Path | None = None) -> bool:
    """Write a solution into the header of HDU ``number``; True when the file has its old size and its old name.

    A whole new file is written beside its final name and renamed, so that a kill tears nothing, and another name of
    the old file (a linked copy in an archive) keeps its bytes. Raises `Held` for files whose header cannot be written,
    `Occupied` when the target exists.
    """
    final = Path(os.path.realpath(path)) if target is None else target
    with part_beside(final) as part:
        with path.open("rb") as file:
            unit, start = _unit_of(file, number, path)
            header = solved_header(unit, solution)
            _copy(file, (start, len(unit.raw)), header, part)
        shutil.copymode(path, part)
        if target is None:  # by now the old file is closed: Windows replaces no open one
            name_anew(part, final)
            return len(header) <= len(unit.raw)
        try:
            name_new(part, final)
        except FileExistsError as err:
            raise Occupied(f"{final} exists; nothing was overwritten") from err
    return False


def _unit_of(file: BinaryIO, number: int, path: Path) -> tuple[Unit, int]:
    """Return the HDU whose header is to be written, and where it starts; raise `Held` where it cannot be written."""
    if file.read(2) == b"\x1f\x8b":
        raise Held(f"{path.name} is compressed: unpack it before its header is written (gunzip)")
    file.seek(0)
    unit, start = _find(file, number, path)
    if unit.layout.card("ZIMAGE") is True:
        raise Held(f"{path.name} is compressed: unpack it before its header is written (funpack)")
    return unit, start


def _find(file: BinaryIO, number: int, path: Path) -> tuple[Unit, int]:
    for at in range(number + 1):
        start = file.tell()
        unit = read_unit(file, at)
        if unit is None:
            break
        if at == number:
            return unit, start
        file.seek(unit.layout.padded, os.SEEK_CUR)
    raise Held(f"{path.name} has no HDU {number}")


def _copy(source: BinaryIO, old: tuple[int, int], header: bytes, part: Path) -> None:
    """Write the whole file anew, and durable; ``old`` is where the header starts, and its length."""
    with part.open("xb") as out:
        source.seek(0)
        out.write(source.read(old[0]))
        out.write(header)
        source.seek(sum(old))
        shutil.copyfileobj(source, out, BUFFER_SIZE)
        finish(out)
