"""Names and objects of all alphabets find their way into headers, and never hold a frame."""

from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.context import Context, Site
from nightferry.formats.cards import format_card
from nightferry.formats.rewrite import read_unit
from nightferry.headers.dialects.header import Header
from nightferry.headers.text import raw_file_text, shortened, to_ascii
from nightferry.steps.standardise_files import Settings, standardise_file

LONG = "Light_M 31_30.0s_Bin1_2600MC_None_gain100_20250824-225244_-10.0C_0009.fit"
CONTEXT = Context("ours", "OURS", "CAM1", "HOME", "Observer", "Nobody", "60.A-9009(D)", Site(48.1, 11.6, 500.0))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("M 31", "M 31"), ("Andromède", "Andromede"), ("Großer Bär", "Grosser Bar"), ("\u03b1 Cen", "alpha Cen"),
        ("Ångström", "Angstrom"), ("M\u00a031", "M 31"), ("NGC\u20137000", "NGC-7000"), ("Łódź", "Lodz"),
        ("猎户座", "???"),
        ("caf\u00c3\u00a9", "cafe"), ("tab\there", "tab?here"),
    ],
)  # fmt: skip
def test_text_becomes_printable_ascii(text: str, plain: str) -> None:
    assert to_ascii(text) == plain


@pytest.mark.parametrize("name", [LONG, "x" * 200 + ".fits", "it's " * 30, "Андромеда " * 20, "a.fits"])
def test_a_raw_files_name_always_fits_a_card(name: str) -> None:
    text = raw_file_text(name, long=False)
    assert len(format_card("RAWFILE", text, "name at the telescope")) == 80


def test_names_that_are_shortened_stay_apart() -> None:
    names = [f"{'x' * 60}{number:04d}{'y' * 60}.fits" for number in range(500)]
    assert len({shortened(name, 68) for name in names}) == 500
    assert shortened("short.fits", 68) == "short.fits"


def raw_file(folder: Path, name: str, text: bytes) -> Path:
    """Write a small raw frame of the dialect generic, with an OBJECT of any bytes."""
    cards = [
        "SIMPLE  =                    T", "BITPIX  =                   16", "NAXIS   =                    2",
        "NAXIS1  =                   32", "NAXIS2  =                   24", "IMAGETYP= 'Light'", "EXPTIME = 30.0",
        "DATE-OBS= '2026-02-12T19:38:32.500'", "RA      = 10.68", "DEC     = 41.27",
    ]  # fmt: skip
    lines = [card.encode().ljust(80) for card in cards] + [(b"OBJECT  = '" + text + b"'").ljust(80), b"END".ljust(80)]
    path = folder / name
    path.write_bytes(b"".join(lines).ljust(2880) + bytes(2880))
    return path


@pytest.mark.parametrize("profile", ["eso", "library"])
@pytest.mark.parametrize("name", [LONG, "Andromède_0001.fits"])
def test_a_long_or_foreign_file_name_never_holds_a_frame(tmp_path: Path, profile: str, name: str) -> None:
    (tmp_path / "out").mkdir()
    raw = raw_file(tmp_path, name, b"M 31")
    settings = Settings(replace(CONTEXT, scales=(0.02, 60.0)), profile=profile, dialect="generic")
    done = standardise_file(raw, tmp_path / "out", settings)
    again = standardise_file(raw, tmp_path / "out", settings)
    assert again.was_there, "its own product is known again by that name"
    assert done.file == again.file


@pytest.mark.parametrize("profile", ["eso", "library"])
def test_an_object_beyond_ascii_is_kept_in_letters_that_a_card_can_hold(tmp_path: Path, profile: str) -> None:
    (tmp_path / "out").mkdir()
    raw = raw_file(tmp_path, "a.fits", "Andromède".encode())
    done = standardise_file(raw, tmp_path / "out", Settings(CONTEXT, profile=profile, dialect="generic"))
    with done.file.open("rb", buffering=0) as file:
        unit = read_unit(file, 0)
    assert unit is not None
    assert Header(unit.cards).value("OBJECT") == "Andromede"
    told = [one.keyword for one in done.findings if one.severity == "warning" and "ASCII" in one.expected]
    assert told[0] == "OBJECT"
