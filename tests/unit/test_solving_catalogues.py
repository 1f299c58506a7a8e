"""Catalogues and index files as people bring them: every usual form is read, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from nightferry.core.errors import Held, Misconfigured
from nightferry.solving.building import near
from nightferry.solving.catalogues import read_catalogue
from nightferry.solving.indexes import find_indexes, read_index

STARS = {"ra": [10.0, 20.0, 359.9], "dec": [-5.0, 45.0, 89.0], "mag": [7.5, 9.25, 11.0]}


def write(path: Path, names: tuple[str, str, str], kind: str) -> Path:
    Table(list(STARS.values()), names=names).write(path, format=kind)
    return path


@pytest.mark.parametrize(
    ("name", "names", "kind"),
    [
        ("gaia.csv", ("ra", "dec", "phot_g_mean_mag"), "ascii.csv"),
        ("vizier.fits", ("RA_ICRS", "DE_ICRS", "Gmag"), "fits"),
        ("vizier.vot", ("RAJ2000", "DEJ2000", "VTmag"), "votable"),
        ("simbad.tsv", ("_RA", "_DE", "Vmag"), "ascii.tab"),
    ],
)
def test_every_usual_form_is_read(tmp_path: Path, name: str, names: tuple[str, str, str], kind: str) -> None:
    ra, dec, mag = read_catalogue(write(tmp_path / name, names, kind))
    assert np.allclose(ra, STARS["ra"])
    assert np.allclose(dec, STARS["dec"])
    assert np.allclose(mag, STARS["mag"])


def test_rows_without_a_magnitude_or_place_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "stars.csv"
    path.write_text("# from an archive\nra,dec,mag\n1,2,3\n4,,6\n7,8,\n9,95,10\n-10,5,6\n", encoding="utf-8")
    ra, dec, _ = read_catalogue(path)
    assert ra.tolist() == [1.0, 350.0]
    assert dec.tolist() == [2.0, 5.0]


def test_stars_move_by_their_proper_motions(tmp_path: Path) -> None:
    path = tmp_path / "near.csv"
    path.write_text("ra,dec,mag,pmra,pmdec,ref_epoch\n100,60,9,1000,-500,2016\n200,0,9,,,2016\n", encoding="utf-8")
    ra, dec, _ = read_catalogue(path, 2026.0)
    assert (ra - [100, 200]) * 3600 == pytest.approx([10 / np.cos(np.radians(60)), 0])
    assert (dec - [60, 0]) * 3600 == pytest.approx([-5, 0])
    still, _, _ = read_catalogue(path)
    assert still.tolist() == [100, 200]


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        ("", Held, "no rows"),
        ("ra,dec,mag\n", Held, "no rows"),
        ("ra,mag\n1,2\n", Misconfigured, "no column of dec"),
        ("ra,dec,mag\n05:12:11,+12:00:00,3\n", Held, "degrees are expected"),
        ("ra,dec,mag\n1,2,\n", Held, "no row has a position"),
    ],
)
def test_what_is_wrong_with_a_catalogue_is_named(
    tmp_path: Path, text: str, error: type[Exception], reason: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=reason):
        read_catalogue(path)


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for name in ("bad.fits", "bad.vot", "bad.xyz"):
        (tmp_path / name).write_bytes(b"no table at all")
        with pytest.raises(Held, match="not a catalogue"):
            read_catalogue(tmp_path / name)


def test_stars_near_any_place_are_taken_once() -> None:
    ra, dec, mag = np.array([0.1, 359.9, 180.0, 0.1]), np.array([0.0, 0.0, 0.0, 0.0]), np.array([9.0, 8.0, 1.0, 9.0])
    kept = near((ra, dec, mag), [(0.0, 0.0), (0.05, 0.0)], 0.5)
    assert kept[0].tolist() == [359.9, 0.1], "brightest first"


def test_files_that_are_no_index_are_passed_over(tmp_path: Path) -> None:
    Table({"a": [1]}).write(tmp_path / "table.fits")
    (tmp_path / "notes.txt").write_text("x", encoding="ascii")
    (tmp_path / "empty.fits").write_bytes(b"")
    assert read_index(tmp_path / "table.fits") is None
    shelf = find_indexes([tmp_path], usual=False)
    assert shelf.indexes == ()
    assert len(shelf.damaged) == 1
    assert "empty" in shelf.damaged[0]
