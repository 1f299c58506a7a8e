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
    """Write a solution into the header of HDU ``number``; True when the file was changed where it is.

    A header that has room is overwritten in place; otherwise, and with a ``target``, a whole new file is written
    beside its final name and renamed. Raises `Held` for files whose header cannot be written, `Occupied` when the
    target exists.
    """
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            raise Held(f"{path.name} is compressed: unpack it before its header is written (gunzip)")
        file.seek(0)
        unit, start = _find(file, number, path)
        if unit.layout.card("ZIMAGE") is True:
            raise Held(f"{path.name} is compressed: unpack it before its header is written (funpack)")
        header = solved_header(unit, solution)
        if target is None and len(header) <= len(unit.raw):
            _overwrite(path, start, header)
            return True
        _copy(file, (start, len(unit.raw)), header, path, target)
    return False


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


def _overwrite(path: Path, start: int, header: bytes) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(start)
        file.write(header)
        os.fsync(file.fileno())


def _copy(source: BinaryIO, old: tuple[int, int], header: bytes, path: Path, target: Path | None) -> None:
    """Write the whole file anew, durable before its name; ``old`` is where the header starts, and its length."""
    final = path if target is None else target
    part = final.with_name(f"{final.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as out:
            source.seek(0)
            out.write(source.read(old[0]))
            out.write(header)
            source.seek(sum(old))
            shutil.copyfileobj(source, out, BUFFER_SIZE)
            out.flush()
            os.fsync(out.fileno())
        shutil.copymode(path, part)
        if target is None:
            part.replace(final)
        elif not _named(part, final):
            raise Occupied(f"{final} exists; nothing was overwritten")
    finally:
        part.unlink(missing_ok=True)


def _named(part: Path, target: Path) -> bool:
    """Give a file its final name without replacing another; False when the name is taken."""
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if target.exists():
            return False
        part.replace(target)
    return True
