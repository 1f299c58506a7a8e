"""Trees of files as telescopes of each make leave them, quirks included: what is there, and what must become of it.

Each tree is a table of text, a line for each file::

    night | kind | fate | path

``night`` is the evening that the file must be counted to, ``kind`` one of `KINDS`; ``@`` and a date behind it give
the file that date of change, where it is not the night's. ``fate`` is ``wanted``, or why it must be ignored. All
that is known of these trees was read in public programs and documents; no telescope was at hand.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
from blake3 import blake3

from nightferry.core.frame import Digest
from nightferry.core.store import StorePath
from nightferry.testing.encode import fits_image, jpeg_rgb8, tiff_rgb16

#: What a file can be: whole frames and pictures, notes, something else, nothing at all.
KINDS = ("fits", "tiff", "jpeg", "json", "other", "empty")

_APPLE = "AppleDouble file: macOS metadata, not a frame"
_PREVIEW = "previews are not taken (setting 'take')"
_SIDECAR = "sidecars are not taken (setting 'take')"
_UNKNOWN = "not a frame: unknown kind of file"
_OWN_SAKE = "taken for the telescope's own sake"
_SECOND = timedelta(seconds=1)

_VESPERA = f"""
2026-09-11 | fits  | wanted | 2026-09-12_01-40-22_observation_NGC7023/01-images-initial/img-0001.fits
2026-09-11 | fits  | wanted | 2026-09-12_01-40-22_observation_NGC7023/01-images-initial/img-0002r.fits
2026-09-11 | fits  | wanted | 2026-09-12_01-40-22_observation_NGC7023/img-0001-dark.fits
2026-09-11 | tiff  | wanted | 2026-09-12_01-40-22_observation_NGC7023/01-images-initial/img-0001.tiff
2026-09-11 | jpeg  | {_PREVIEW} | 2026-09-12_01-40-22_observation_NGC7023/img-0001.jpg
2026-09-11 | json  | {_SIDECAR} | 2026-09-12_01-40-22_observation_NGC7023/01-images-initial/img-0001.json
2026-09-11 | other | {_APPLE} | 2026-09-12_01-40-22_observation_NGC7023/01-images-initial/._img-0001.fits
2026-09-12 | fits  | wanted | 2026-09-12_21-40-22-observation-NGC7023/01-images-initial/img-0001.fits
2026-09-12 | fits  | wanted | 2026-09-12_23-43-55_plan_My_plan/01-observation-m16/01-images-initial/img-0001.fits
2026-09-12 | fits  | wanted | 2026-09-12_23-43-55_plan_My_plan/02-observation-m16/01-images-initial/img-0001.fits
2026-09-12 | fits  | wanted | 2026-09-12_23-43-55_plan_My_plan/notes/TargetSet.M27.8.00.LIGHT.329.fits.fits
"""

_STELLINA_SESSION = "Stellina-38a323/281/2021-04-21_04-23-30-observation-IC443"
_STELLINA = f"""
2021-04-20 | fits  | wanted | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0001.fits
2021-04-20 | fits  | wanted | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0002r.fits
2021-04-20 | jpeg  | {_PREVIEW} | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0001-output.jpeg
2021-04-20 | json  | wanted | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0001-stacking.json
2021-04-20 | json  | wanted | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0002.json
2021-04-20 | json  | a JSON file that belongs to no frame | {_STELLINA_SESSION}/settings.json
2021-04-20 | tiff  | wanted | {_STELLINA_SESSION}/04-24-43-capture-initial/img-0004.tif
2021-04-20 | fits  | wanted | {_STELLINA_SESSION}/04-38-50-capture-adjust-focus/img-0001.fits
"""

_SEESTAR = f"""
2025-06-07 | fits  | wanted | M 81_sub/Light_M 81_10.0s_IRCUT_20250607-221746.fit
2025-06-07 | fits  | wanted | M 81_sub/Light_M 81_10.0s_IRCUT_20250608-011756.fit
2025-06-07 | jpeg  | {_PREVIEW} | M 81_sub/Light_M 81_10.0s_IRCUT_20250607-221746.jpg
2025-06-07 | jpeg  | a thumbnail of a preview | M 81_sub/Light_M 81_10.0s_IRCUT_20250607-221746_thn.jpg
2025-06-09 | fits  | wanted | M 81_sub/Light_M 81_10.0s_LP_20250609-221746.fit
2025-06-09 | fits  | wanted | M 81_sub/Light_M 81_20.0s_LP_20250609-221746.fit
2025-06-09 | fits  | wanted | M 81/DSO_Stacked_33_M 81_20.0s_20250609_233509.fit
2025-06-09 | jpeg  | a thumbnail of a preview | M 81/DSO_Stacked_33_M 81_20.0s_20250609_233509_thn.jpg
2025-06-09 | fits  | wanted | M 31_mosaic_sub/Light_M 31_10.0s_IRCUT_20250610-021746.fit
2025-06-09 | fits  | wanted | M 31_sub/Light_M 31_10.0s_IRCUT_20250610-021746.fit
2025-06-09 | other | {_UNKNOWN} | Lunar/Lunar_20250609_213509.mp4
"""

_DWARF_M33 = "DWARF_RAW_TELE_M 33_EXP_30_GAIN_60_2025-10-21-22-18-55-284"
_DWARF = f"""
2025-10-21 | fits  | wanted | {_DWARF_M33}/M 33_30s60_Astro_20251021-221929504_24C.fits
2025-10-21 | fits  | wanted | {_DWARF_M33}/M 33_30s60_Astro_20251022-001929504_24C.fits
2025-10-21 | fits  | a frame that the telescope itself rejected | {_DWARF_M33}/failed_M 33_30s60_Astro_20251021-224358598_22C.fits
2025-10-21 | fits  | wanted | {_DWARF_M33}/stacked-16_M 33_30s60_Astro_20251021-221900245.fits
2025-10-21 | jpeg  | {_PREVIEW} | {_DWARF_M33}/stacked.jpg
2025-10-21 | jpeg  | {_PREVIEW} | {_DWARF_M33}/img_reference.png
2025-10-21 | json  | wanted | {_DWARF_M33}/shotsInfo.json
2025-10-21 | empty | a thumbnail | {_DWARF_M33}/Thumbnail/M 33_30s60_Astro_20251021-221929504_24C.jpg
2025-10-21 | empty | {_UNKNOWN} | {_DWARF_M33}/.active
2025-10-21 | fits  | wanted | DWARF_RAW_WIDE_M 33_EXP_30_GAIN_60_2025-10-21-22-18-55-284/M 33_30s60_Astro_20251021-221929504_24C.fits
2025-10-21 | fits  | wanted | DWARF_RAW_TELE_EXP_30_GAIN_60_2025-10-22-01-18-55-284/_30s60_Astro_20251022-011929504_24C.fits
2025-10-21 | fits  | wanted | DWARF_RAW_TELE_EXP_30_GAIN_60_2025-10-22-02-18-55-284/_30s60_Astro_20251022-011929504_24C.fits
2025-10-21 | fits  | wanted | DWARF_RAW_M 31_EXP_15_GAIN_80_2025-10-22-03-18-55-284/0001.fits
2025-10-21 | fits  | wanted | DWARF_RAW_M 31_EXP_15_GAIN_80_2025-10-22-04-18-55-284/0001.fits
2025-10-20 | fits  | wanted | DWARF_RAW_TELE_MOSAIC_M 31_EXP_30_GAIN_60_2025-10-20-21-18-55-284/M 31_30s60_Astro_20251020-211929504_24C.fits
2025-10-20 | fits  | wanted | RESTACKED/RESTACKED_DWARF_RAW_TELE_MOSAIC_M 31_EXP_30_GAIN_60_2025-10-20-21-18-55-284/stacked-16.fits
2025-10-20 | fits  | wanted | DWARF_DARK/tele_exp_30_gain_60_bin_1_2025-10-21-00-37-45-393/raw_30s_60_0000_20251021-003814624_22C.fits
2024-01-05 | fits@2024-01-05 | wanted | CALI_FRAME/dark/cam_0/dark_exp_30.000000_gain_60_bin_1_22C_stack_10.fits
2024-01-05 | fits@2024-01-05 | wanted | CALI_FRAME/dark/cam_1/dark_exp_30.000000_gain_60_bin_1_22C_stack_10.fits
2024-01-05 | fits@2024-01-05 | wanted | CALI_FRAME/flat/cam_0/flat_gain_2_bin_1_ir_1.fits
2024-01-05 | fits@2024-01-05 | wanted | CALI_FRAME/bias/cam_0/bias_gain_2_bin_1.fits
2025-10-21 | fits  | wanted | Solving_Failed/M 33_30s60_Astro_20251021-231929504_24C.fits
2025-10-21 | other | {_UNKNOWN} | STARTRAILS/trails.mp4
"""

_ORIGIN = f"""
2026-02-12 | fits  | wanted | Orion_Nebula_2026-02-12_19-38-32/Light0001.fits
2026-02-12 | fits  | wanted | Orion_Nebula_2026-02-12_19-38-32/Light0002.fits
2026-02-12 | fits  | wanted | Orion_Nebula_2026-02-13_01-38-32/Light0001.fits
2026-02-12 | fits  | wanted | Orion_Nebula_2026-02-12_19-38-32/masters/dark.fits
2026-02-12 | tiff  | wanted | Orion_Nebula_2026-02-12_19-38-32/FinalStackedMaster.tiff
2026-02-12 | json  | wanted | Orion_Nebula_2026-02-12_19-38-32/info.json
2026-02-12 | jpeg  | {_PREVIEW} | Orion_Nebula_2026-02-12_19-38-32/frame_1.jpg
2026-09-05 | fits  | wanted | M31_2026-09-05/Light0001.fits
"""

_EKOS = f"""
2023-03-20 | fits  | wanted | M_106/Light/M_106_Light_30_secs_2023-03-20T21-04_17_001.fits
2023-03-20 | fits  | wanted | M_106/Light/M_106_Light_30_secs_2023-03-21T04-04_17_002.fits
2023-03-20 | fits  | wanted | M_106/Light/Red/M_106_Light_Red_30_secs_2023-03-20T22-04_17_001.fits
2023-03-22 | fits  | wanted | M_106/Light/M_106_Light_30_secs_2023-03-22T21-04_17_001.fits
2023-03-22 | fits  | wanted | Dark/Dark_30_secs_2023-03-23T05-04_17_001.fits
2023-03-22 | fits  | wanted | M_51/Flat/M_51_Flat_1_secs_2023-03-23T05-34-17_001.fits
2023-03-22 | fits  | wanted | snapshot_without_a_date_001.fits
2023-03-22 | fits  | taken to focus | autofocus/2023-03-22/autofocus_frame_001.fits
2023-03-22 | jpeg  | {_PREVIEW} | M_106/Light/preview.jpg
"""

_ASIAIR_LIGHT = "Light_M 31_180.0s_Bin1_L_gain100_20240707-002348_-10.0C"
_ASIAIR = f"""
2024-07-06 | fits  | wanted | Autorun/Light/M 31/{_ASIAIR_LIGHT}_0001.fit
2024-07-06 | fits  | wanted | Autorun/Light/M 31/{_ASIAIR_LIGHT}_0002.fit
2024-07-06 | fits  | wanted | Plan/Light/M 31/{_ASIAIR_LIGHT}_0001.fit
2024-07-06 | jpeg  | a thumbnail of a frame | Autorun/Light/M 31/{_ASIAIR_LIGHT}_0001_thn.jpg
2024-07-06 | other | {_APPLE} | Autorun/Light/M 31/._{_ASIAIR_LIGHT}_0001.fit
2024-07-06 | fits  | wanted | Autorun/Flat/Flat_520.0ms_Bin1_L_gain100_20240707-060102_-10.0C_0001.fit
2024-07-06 | fits  | wanted | Autorun/Flat/Flat_520.0ms_Bin1_L_gain100_20240707-060102_-10.0C_0002.fit
2024-07-07 | fits  | wanted | Autorun/Dark/Dark_180.0s_Bin1_gain100_20240707-130102_-10.0C_0001.fit
2024-07-07 | fits  | wanted | Autorun/Bias/Bias_1.0ms_Bin1_gain100_20240707-140102_-10.0C_0001.fit
2024-07-07 | fits  | wanted | ASIAIR/Live/Light/M 13/Stacked_M 13_10.0s_20240707-233102.fit
2024-07-07 | fits  | wanted | ASIAIR/Preview/Preview_10.0s_Bin1_20240708-003102_0001.fit
2024-07-07 | other | {_UNKNOWN} | log/Autorun_Log_2024-07-07_230000.txt
"""

_NINA = f"""
2026-10-05 | fits  | wanted | 2026-10-05/LIGHT/2026-10-05_23-09-31_RED_-10.00_60.00s_0000.fits
2026-10-05 | fits  | wanted | 2026-10-05/LIGHT/2026-10-06_03-09-31_RED_-10.00_60.00s_0001.fits
2026-10-05 | fits  | wanted | 2026-10-05/FLAT/2026-10-06_06-09-31_RED_-10.00_1.00s_0000.fits
2025-12-07 | fits  | wanted | 20251207/A11wdXf/LIGHT/2025-12-07_22-09-31_L_-10.00_60.00s_0000.fits
2025-12-07 | fits  | wanted | 20251207/A12/LIGHT/2025-12-07_22-09-31_L_-10.00_60.00s_0000.fits
2025-12-07 | fits  | wanted | M 31/2025-12-07/LIGHT/L/0001.fits
2025-12-07 | fits  | wanted | M 31/2025-12-07/LIGHT/R/0001.fits
2025-12-08 | fits  | wanted | M 31/2025-12-08/LIGHT/L/0001.fits
2025-12-07 | other | {_UNKNOWN} | 20251207/A11wdXf/LIGHT/2025-12-07_22-10-31_L_-10.00_60.00s_0001.xisf
"""

_ACP = f"""
2021-06-16 | fits  | wanted | 20210616/CK20R040-S001-R001-C001-R.fts
2021-06-16 | fits  | wanted | 20210616/CK20R040-S001-R001-C001-R_dupe-6.fts
2021-06-16 | fits  | wanted | 20210616/Dark-S001-R001-C001-B2.fts
2021-06-16 | fits  | wanted | 20210616/Bias-S001-R001-C001-NoFilt.fts
2021-06-16 | fits  | wanted | 20210616/AutoFlat-Dusk-r-Bin2-001.fts
2021-06-17 | fits  | wanted | 20210617/CK20R040-S001-R001-C001-R.fts
2021-06-17 | fits  | wanted | 2021-06-17/Mercury-0007_R.fit
2021-06-17 | other | {_UNKNOWN} | 20210617/20210617.log
"""

_ASTRA = f"""
2026-02-22 | fits  | wanted | 20260222/camera_x_I+z_Sp2306-0502_10.000_20260223_010203.456.fits
2026-02-22 | fits  | wanted | 20260222/camera_x_I+z_Sp2306-0502_10.000_20260223_010203.456-v20260223_010205.fits
2026-02-22 | fits  | wanted | 20260222/camera_x_Bias Frame_0.000_20260222_220203.456.fits
2026-02-22 | fits  | wanted | 20260222/camera_x_Dark Frame_10.000_20260223_110203.456.fits
2026-02-23 | fits  | wanted | 20260223/camera_x_I+z_Sp2306-0502_10.000_20260224_010203.456.fits
2026-02-22 | fits  | {_OWN_SAKE} | autofocus/20260222/camera_x_focus_20260222_230203.456.fits
2026-02-22 | fits  | {_OWN_SAKE} | calibrate_guiding/20260222/x_20260222_230203.456.fits
2026-02-22 | fits  | {_OWN_SAKE} | pointing_model/x_20260222_230203.456.fits
"""

_GENERIC = f"""
2026-05-01 | fits  | wanted | frame.fits
2026-05-01 | fits  | wanted | a/frame.fits
2026-05-01 | fits  | wanted | b/frame.FIT
2026-05-01 | fits  | wanted | b/frame.fits.fits
2026-05-02 | tiff@2026-05-02 | wanted | b/frame.tif
2026-05-01 | jpeg  | {_PREVIEW} | b/frame.jpg
2026-05-01 | other | {_APPLE} | b/._frame.fits
2026-05-01 | other | {_UNKNOWN} | b/readme
"""

#: A tree for each shipped preset.
TREES: Mapping[str, str] = {
    "acp": _ACP, "asiair": _ASIAIR, "astra": _ASTRA, "dwarf": _DWARF, "ekos": _EKOS, "generic": _GENERIC,
    "nina": _NINA, "origin": _ORIGIN, "seestar": _SEESTAR, "stellarmate": _EKOS, "stellina": _STELLINA,
    "vespera": _VESPERA,
    **{f"speculoos-{name}": _ASTRA for name in ("io", "europa", "ganymede", "callisto")},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planted:
    """A file of a tree: ``ignored`` is why it must be left there, empty where it must arrive."""

    path: StorePath
    night: date
    digest: Digest
    ignored: str


def plant_tree(root: Path, table: str, *, seed: int = 1) -> list[Planted]:
    """Write a tree below ``root``; another seed makes other bytes under the same names."""
    return list(_planted(root, table, seed))


def _planted(root: Path, table: str, seed: int) -> Iterator[Planted]:
    for number, line in enumerate(table.strip().splitlines()):
        night, what, fate, path = (cell.strip() for cell in line.split(" | ", 3))
        kind, _, day = what.partition("@")
        evening = date.fromisoformat(night)
        changed = datetime.combine(date.fromisoformat(day or night), time(23), UTC) + number * _SECOND
        data = _bytes(kind, changed, 1000 * seed + number)
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        os.utime(file, (changed.timestamp(), changed.timestamp()))
        ignored = "" if fate == "wanted" else fate
        yield Planted(StorePath(path), evening, Digest(blake3(data).hexdigest()), ignored)


def _bytes(kind: str, start: datetime, seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    if kind == "fits":
        stamp = start.strftime("%Y-%m-%dT%H:%M:%S")
        return fits_image([("DATE-OBS", stamp, "start")], rng.integers(0, 60_000, (6, 8), np.uint16))
    if kind == "tiff":
        return tiff_rgb16(rng.integers(0, 60_000, (6, 8, 3), np.uint16))
    if kind == "jpeg":
        return jpeg_rgb8(rng.integers(0, 255, (8, 8, 3), np.uint8))
    if kind == "json":
        return f'{{"number": {seed}}}'.encode()
    if kind not in KINDS:
        raise ValueError(f"unknown kind of file {kind!r}: expected one of {', '.join(KINDS)}")
    return b"" if kind == "empty" else b"\0\5\x16\7" + bytes([seed % 256]) * 60
