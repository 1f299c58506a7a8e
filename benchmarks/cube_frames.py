"""Make the frames for benchmarks/cube_speed.py: standard frames of random 16-bit pixels, made by the step itself.

    python -m benchmarks.cube_frames FOLDER FRAMES WIDTH HEIGHT

A process of its own, so that the one that measures stays small.
"""

import sys
from pathlib import Path

import numpy as np

from nightferry.core.context import Context, Site
from nightferry.formats.cards import parse_cards
from nightferry.formats.datasum import datasum_of
from nightferry.formats.rewrite import sealed
from nightferry.steps.standardise_files import Settings, standardise_file
from tests.astra import astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context("callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "SSO", "Astra", "PI", "60.A-9009(D)", SITE)


def make(folder: Path, frames: int, width: int, height: int) -> None:
    """Make frames that differ in time, temperature, airmass and pixels."""
    folder.mkdir()
    raw = folder.parent / "raw.fits"
    rng = np.random.default_rng(7)
    noise = (rng.integers(900, 1100, size=width * height * 2, dtype=np.uint16) ^ np.uint16(0x8000)).astype(">u2")
    for number in range(frames):
        changed: dict[str, bool | float | str | None] = {
            "CCD-TEMP": round(-60 + number * 1e-4, 4),
            "AIRMASS": round(1.1 + number * 1e-4, 4),
        }
        raw.write_bytes(astra_frame(number=number, size=(8, 8), changed=changed))
        settings = Settings(CONTEXT, durable=False)
        small = standardise_file(raw, folder, settings, raw_name=f"raw-{number:05d}.fits").file
        header = small.read_bytes()[:-2880]
        for axis, pixels in (("NAXIS1", width), ("NAXIS2", height)):
            header = header.replace(f"{axis}  = {8:>20}".encode(), f"{axis}  = {pixels:>20}".encode())
        at = int(rng.integers(0, width * height))
        data = noise[at : at + width * height].tobytes()
        data += bytes(-len(data) % 2880)
        cards = [card.raw for card in parse_cards(header) if card.keyword not in {"CHECKSUM", "DATASUM"}]
        small.write_bytes(sealed(cards, datasum_of(data)) + data)
    raw.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
