"""Glances: what the first blocks of files at the telescope say, before anything is carried."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from nightferry.core.errors import Held, TryAgain, Unreachable
from nightferry.core.instant import read_date_obs
from nightferry.core.store import Arrival, Entry, Store, StorePath, Want
from nightferry.formats.cards import BLOCK, CARD, END
from nightferry.formats.layout import pick_cards

#: Headers longer than so many blocks of 2880 bytes are read no further.
_MOST_BLOCKS = 40
_DATE_OBS = frozenset({b"DATE-OBS= "})


def start_times(store: Store, entries: Sequence[Entry]) -> dict[StorePath, datetime]:
    """Read DATE-OBS of FITS files where they are; those that do not tell it are left out.

    Each file costs a transfer that is given up after its header. Raises `Unreachable`.
    """
    wants = [Want(entry.path, entry.size, entry.mtime_us) for entry in entries if entry.size >= BLOCK]
    return {path: start for path, start in _starts(store.fetch(wants) if wants else ()) if start is not None}


def _starts(arrivals: Iterable[Arrival]) -> Iterator[tuple[StorePath, datetime | None]]:
    for arrival in arrivals:
        try:
            yield arrival.want.path, _start(arrival)
        except Unreachable:
            raise
        except (TryAgain, Held):  # whoever pulls it will hear of that, and write it down
            continue


def _start(arrival: Arrival) -> datetime | None:
    header = bytearray(_MOST_BLOCKS * BLOCK)
    filled = 0
    while filled < len(header):
        count = arrival.read_into(memoryview(header)[filled:])
        if not count:
            break
        filled += count
        if any(header[at : at + CARD] == END for at in range(0, filled - CARD + 1, CARD)):
            break
    return read_date_obs(pick_cards(bytes(header[:filled]), _DATE_OBS).get("DATE-OBS"))
