"""Catalogues: star positions and brightnesses from any CSV, FITS or VOTable file.

Columns are known by the names that the usual archives give them. Positions are moved by their proper motions where the
catalogue has both these and an epoch, for nearby stars leave their place by an arcsecond and more a year.
"""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nightferry.core.errors import Held, Misconfigured
from nightferry.solving.arrays import Floats

#: Names of columns, as Gaia, VizieR, Simbad and people write them; the first that is there counts. Small letters.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ra": ("ra", "ra_icrs", "_ra", "raj2000", "ra_icrs_deg", "_raj2000", "ra_deg", "radeg", "ramdeg"),
    "dec": ("dec", "de_icrs", "_de", "dej2000", "decj2000", "_dej2000", "dec_deg", "dedeg", "demdeg"),
    "mag": ("phot_g_mean_mag", "gmag", "phot_rp_mean_mag", "rpmag", "vtmag", "mag_vt", "vmag", "mag", "magnitude", "g"),
    "pm_ra": ("pmra", "pm_ra"),
    "pm_dec": ("pmdec", "pmde", "pm_dec"),
    "epoch": ("ref_epoch", "epoch"),
}
_MAS = 3_600_000.0  # in a degree
_FIRST_LINES = ("#", "//")


def read_catalogue(path: Path, epoch: float | None = None) -> tuple[Floats, Floats, Floats]:
    """Read right ascension, declination (degrees) and magnitude; rows without one of them are left out.

    With an ``epoch`` (years) positions are moved to it. Raises `Held` for files that cannot be read, `Misconfigured`
    when a column is missing.
    """
    if not path.is_file():
        raise Misconfigured(f"there is no catalogue {path}")
    columns = _read_csv(path) if path.suffix.lower() in {".csv", ".tsv", ".txt"} else _read_table(path)
    by_name = {name.lower().strip(): values for name, values in columns.items()}
    found = {what: next((by_name[name] for name in names if name in by_name), None) for what, names in _NAMES.items()}
    for what in ("ra", "dec", "mag"):
        if found[what] is None:
            raise Misconfigured(
                f"{path}: no column of {what}: expected one of {', '.join(_NAMES[what])}; "
                f"found {', '.join(columns) or 'none'}"
            )
    ra, dec, mag = (_numbers(path, what, found[what]) for what in ("ra", "dec", "mag"))
    if epoch is not None and found["pm_ra"] is not None and found["pm_dec"] is not None:
        years = epoch - (2000.0 if found["epoch"] is None else _numbers(path, "epoch", found["epoch"]))
        east, north = (np.nan_to_num(_numbers(path, what, found[what])) for what in ("pm_ra", "pm_dec"))
        ra = ra + east * years / _MAS / np.cos(np.radians(dec))
        dec = dec + north * years / _MAS
    good = np.isfinite(ra) & np.isfinite(mag) & (np.abs(dec) <= 90)  # noqa: PLR2004 - the poles
    if not good.any():
        raise Held(f"{path}: no row has a position in degrees and a magnitude")
    return ra[good] % 360.0, dec[good], mag[good]


def _numbers(path: Path, what: str, values: Sequence[object] | Floats | None) -> Floats:
    try:
        return np.array([_number(value) for value in values] if isinstance(values, list) else values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise Held(f"{path}: the column of {what} holds no numbers ({err}): degrees are expected") from err


def _number(value: object) -> float:
    text = str(value).strip()
    return float(text) if text else np.nan


def _read_csv(path: Path) -> Mapping[str, Sequence[object] | Floats]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as err:
        raise Held(f"{path} cannot be read: {err}") from err
    rows = [line for line in lines if line.strip() and not line.startswith(_FIRST_LINES)]
    if len(rows) < 2:  # noqa: PLR2004 - names, and a star
        raise Held(f"{path}: no rows below the columns' names")
    separator = next((mark for mark in ("\t", ";", ",") if mark in rows[0]), ",")
    table = list(csv.DictReader(rows, delimiter=separator))
    return {name: [row[name] for row in table] for name in table[0] if name}


def _read_table(path: Path) -> Mapping[str, Sequence[object] | Floats]:
    """Have astropy read FITS, VOTable, and whatever else it knows by its bytes."""
    try:
        from astropy.io.registry import IORegistryError  # noqa: PLC0415 - only who builds an index needs it
        from astropy.table import Table  # noqa: PLC0415 - as above
    except ModuleNotFoundError as err:
        raise Misconfigured("a catalogue that is no CSV needs astropy: pip install 'nightferry[solve]'") from err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd in a catalogue's header does not matter here
        try:
            table = Table.read(path)
        except (IORegistryError, OSError, ValueError, TypeError, KeyError, IndexError) as err:
            raise Held(f"{path}: not a catalogue that can be read (CSV, FITS, VOTable): {str(err)[:200]}") from err
    found: dict[str, Sequence[object] | Floats] = {}
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind in "iuf" and column.ndim == 1:
            filled = column.filled(np.nan) if hasattr(column, "filled") and column.dtype.kind == "f" else column
            found[name] = np.asarray(filled, dtype=np.float64)
    return found
