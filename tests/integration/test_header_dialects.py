"""Nights of every dialect: each program's frames standardised for an archive and for a library."""

from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.context import Context, Site
from nightferry.core.errors import Held
from nightferry.headers.profiles import load_profile
from nightferry.steps.rebuild import restore_raw
from nightferry.steps.standardise_files import Settings, draft_of, standardise_file
from nightferry.steps.validate import validate_file

HEADERS = Path(__file__).parents[1] / "data/headers"
SITE = Site(48.1, 11.6, 500.0)
ESO = Context("ours", "OURS", "CAM1", "HOME", "Observer", "Nobody", "60.A-9009(D)", SITE, scales=(0.02, 60.0))
NAMES = {
    "dwarf2": "M 33_15s60_Astro_20230610-213819442_24C.fits",
    "dwarf3": "M 31_60s60_Astro_20251020-213512345_12C.fits",
    "stellina": "img-0001.fits",
}
#: Why the archive cannot take the frame: what its header does not tell.
LACKING = {
    "dwarf2": "V03 RA", "nina": "V03 RA", "origin": "V03 IMAGETYP", "sharpcap": "V03 IMAGETYP",
    "stellina": "V03 OBJECT",
}  # fmt: skip


def whole_file(folder: Path, name: str) -> Path:
    """Make a small file under a program's header: 32 by 32 pixels, whatever it says."""
    cards = [line for line in (HEADERS / f"{name}.txt").read_text(encoding="ascii").splitlines() if line[:1] != "#"]
    size = {"NAXIS1  ": "NAXIS1  =                   32", "NAXIS2  ": "NAXIS2  =                   32"}
    text = "".join(size.get(card[:8], card).ljust(80) for card in cards) + "END".ljust(80)
    raw = text.encode("ascii").ljust(-(-len(text) // 2880) * 2880)
    path = folder / NAMES.get(name, f"{name}.fits")
    path.write_bytes(raw + bytes(range(256)) * 8 + bytes(2880 - 2048))
    return path


@pytest.mark.parametrize("name", sorted(path.stem for path in HEADERS.glob("*.txt")))
def test_an_archive_takes_what_tells_enough_and_learns_what_others_lack(tmp_path: Path, name: str) -> None:
    raw, out = whole_file(tmp_path, name), tmp_path / "out"
    out.mkdir()
    settings = Settings(ESO)
    if name in LACKING:
        with pytest.raises(Held, match=LACKING[name]):
            standardise_file(raw, out, settings)
        assert list(out.iterdir()) == []
        return
    done = standardise_file(raw, out, settings)
    findings = validate_file(done.file, load_profile("eso"), ESO, sources=done.datasums)
    assert [str(finding) for finding in findings if finding.severity == "error"] == []
    assert not [finding for finding in findings if "fitsverify" in finding.got]


@pytest.mark.parametrize("name", sorted(path.stem for path in HEADERS.glob("*.txt")))
def test_a_library_takes_every_frame(tmp_path: Path, name: str) -> None:
    raw, out = whole_file(tmp_path, name), tmp_path / "out"
    out.mkdir()
    done = standardise_file(raw, out, Settings(replace(ESO, telescop="", instrume=""), profile="library"))
    findings = validate_file(done.file, load_profile("library"), ESO, sources=done.datasums)
    assert [str(finding) for finding in findings if finding.severity == "error"] == []
    restore_raw(done.file, done.recipe, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == raw.read_bytes()


def test_a_product_is_read_again_with_the_same_times(tmp_path: Path) -> None:
    raw, out = whole_file(tmp_path, "origin"), tmp_path / "out"
    out.mkdir()
    settings = Settings(replace(ESO, telescop="", instrume=""), profile="library")
    done = standardise_file(raw, out, settings)
    with raw.open("rb", buffering=0) as before, done.file.open("rb", buffering=0) as after:
        told = draft_of(before, raw.name, settings).reading.canonical
        again = draft_of(after, raw.name, replace(settings, dialect="origin")).reading.canonical
    assert told.start is not None
    assert again.start == told.start
    assert told.start.iso(0) == "2026-02-13T03:38:32"
