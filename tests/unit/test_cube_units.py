"""Units of a cube's columns: those of FITS, or none."""

import shutil
import subprocess
from pathlib import Path

import pytest
from astropy.io import fits
from astropy.table import QTable
from astropy.units import Unit

from nightferry.cubes.units import unit_of
from nightferry.steps.cube_files import CubeSettings, Input, make_cubes, plan_cubes
from tests.astra import astra_frame

UNITS = {
    "[mm] Focuser position": "mm", "[sec] Exposure": "s", "[degrees] Altitude": "deg", "[deg +N WGS84] Latitude": "",
    "[Celsius] CCD temperature": "", "[C] CCD temperature": "", "[deg C] Air": "", "[F] Air": "", "[%] Humidity": "",
    "[ADU] Median": "adu", "[m/s] Wind": "m/s", "[hPa] Pressure": "hPa", "[W m-2] Sun": "W m-2", "[e-/ADU] Gain": "",
    "[um] Seeing": "um", "[arcsec/pixel] Scale": "arcsec/pixel", "[kelvin] Sky": "K", "[ISO 8601] Start": "",
    "[m**2] Area": "m**2", "[mag/arcsec**2] Sky": "mag/arcsec**2", "[s, UTC] Start": "s", "no unit": "", "[] x": "",
}  # fmt: skip


@pytest.mark.parametrize(("comment", "unit"), UNITS.items())
def test_units_are_those_of_fits_or_none(comment: str, unit: str) -> None:
    assert unit_of(comment) == unit
    Unit(unit, format="fits", parse_strict="raise")


def test_units_of_a_table_are_read_without_a_warning(tmp_path: Path) -> None:
    for number in range(3):
        file = tmp_path / f"{number}.fits"
        file.write_bytes(astra_frame("light", number=number))
        with fits.open(file, mode="update") as hdus:
            for key, comment in enumerate(UNITS):
                hdus[0].header[f"KEY{key}"] = (number + 0.5, comment)
    plan = plan_cubes([Input(file) for file in sorted(tmp_path.glob("*.fits"))], CubeSettings(durable=False))
    (made,) = make_cubes(plan, tmp_path, CubeSettings(durable=False))
    table = QTable.read(made.file, hdu="METADATA")  # warnings are errors here
    assert {str(table[f"KEY{key}"].unit or "") for key in range(len(UNITS))} == {
        str(Unit(unit, format="fits")) for unit in UNITS.values()
    }
    if fitsverify := shutil.which("fitsverify"):
        told = subprocess.run([fitsverify, str(made.file)], capture_output=True, check=False, text=True)
        assert "0 warning(s) and 0 error(s)" in told.stdout, told.stdout
