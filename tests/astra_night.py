"""A night as Astra leaves it on the control PC's disk, with faults on request, and the truth about it beside it."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nightferry.core.store import StorePath
from nightferry.formats.datasum import datasum_of
from tests.astra import START, astra_frame

#: Faults that hold a frame, and a word of the reason; the other faults cost it nothing.
HELD: Mapping[str, str] = {
    "truncated": "truncated", "empty": "empty", "no-imagetyp": "IMAGETYP", "no-dateobs": "DATE-OBS",
    "garbage": "not FITS", "unknown-type": "V15", "sum-wrong": "DATASUM",
}  # fmt: skip
FAULTS = (*HELD, "no-filter", "same-ms", "bad-shape", "unsolved", "null-cards", "stale-sum")
#: The kinds of frames of a night, in the order of their start.
KINDS = ("bias", "bias", "dark", "flat", *["light"] * 16)
_CHANGES: Mapping[str, dict[str, bool | float | str | None]] = {
    "no-imagetyp": {"IMAGETYP": None},
    "no-filter": {"FILTER": None},
    "no-dateobs": {"DATE-OBS": None},
    "unknown-type": {"IMAGETYP": "Pretty Picture"},
    "sum-wrong": {"DATASUM": "1234567890"},
    "stale-sum": {"CHECKSUM": "0000000000000000"},
    "null-cards": {"AIRMASS": "N/A", "CCD-TEMP": "nan"},
}
_LONG_AGO = 1_771_900_000  # seconds since 1970; a night settles at once when it is old


@dataclass(frozen=True, slots=True)
class Planted:
    """One file of the night: its path, fault (or none), bytes, and the DATASUM of its pixels where it is whole."""

    path: StorePath
    fault: str
    raw: bytes
    datasum: int


def build_astra_night(
    root: Path,
    *,
    faults: Collection[str] = (),
    kinds: Sequence[str] = KINDS,
    size: tuple[int, int] = (64, 48),
    start: datetime = START,
) -> list[Planted]:
    """Write a night's frames below ``root`` as ``YYYYMMDD/NAME.fits``; each fault befalls one light frame."""
    planted: list[Planted] = []
    due = list(faults)
    for number, kind in enumerate(kinds):
        fault = due.pop(0) if kind == "light" and due else ""
        planted.append(_frame(number, kind, fault, size, start))
    if due:
        raise ValueError(f"{len(due)} faults found no light frame: {', '.join(due)}")
    folder = root / "20260222"
    folder.mkdir(parents=True, exist_ok=True)
    for item in planted:
        file = root / item.path
        file.write_bytes(item.raw)
        os.utime(file, (_LONG_AGO, _LONG_AGO))
    return planted


def _frame(number: int, kind: str, fault: str, size: tuple[int, int], start: datetime) -> Planted:
    changed = dict(_CHANGES.get(fault, {}))
    if fault == "same-ms":  # within the millisecond of the first frame
        changed["DATE-OBS"] = start.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "999"
    shape = (size[0], size[1] // 2) if fault == "bad-shape" else size
    raw = astra_frame(kind, number=number, changed=changed, size=shape, start=start, solved=fault != "unsolved")
    datasum = datasum_of(raw[-(-(-shape[0] * shape[1] * 2 // 2880) * 2880) :])
    if fault == "stale-sum":  # the header was changed after it was summed, as Astra does; the pixels are proven
        changed["DATASUM"] = str(datasum)
        raw = astra_frame(kind, number=number, changed=changed, size=shape, start=start)
    spoil: Mapping[str, Callable[[bytes], bytes]] = {
        "truncated": lambda whole: whole[: int(len(whole) * 0.6)],
        "empty": lambda _: b"",
        "garbage": lambda _: b"not a FITS file\n" * 99,
    }
    path = StorePath(f"20260222/camera_I+z_Sp2306-0502_{number:04d}_{kind}.fits")
    return Planted(path, fault, spoil.get(fault, bytes)(raw), datasum)
