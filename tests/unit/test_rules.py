"""The rules: each with a file that keeps it and files that break it."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from nightferry.core.context import Context, Site
from nightferry.core.instant import Instant, parse_instant
from nightferry.formats.cards import format_card, parse_card
from nightferry.formats.rewrite import read_unit, sealed
from nightferry.headers.canonical import Finding
from nightferry.headers.profiles import load_profile
from nightferry.headers.rules import RULES, judge, read_subject
from nightferry.steps.standardise_files import Settings, standardise_file
from nightferry.steps.validate import validate_file
from nightferry.testing.encode import fits_header
from tests.astra import astra_frame

CONTEXT = Context(
    "callisto", "SPECULOOS-CALLISTO", "SPECU4", "SSO-PARANAL", "Astra", "Sebastian", "60.A-9009(D)",
    Site(-24.61596, -70.3903, 2482.0),
)  # fmt: skip
ESO = load_profile("eso")
NOW = parse_instant("2027-01-01T00:00:00")[0]
Edit = Callable[[list[bytes]], list[bytes]]


def standard(folder: Path, kind: str = "light", **options: object) -> Path:
    """Make a frame that keeps every rule."""
    raw = folder / "raw.fits"
    raw.write_bytes(astra_frame(kind, **options))  # type: ignore[arg-type]
    return standardise_file(raw, folder, Settings(CONTEXT)).file


def rewritten(file: Path, edit: Edit, *, sums: bool = True) -> Path:
    """Change a frame's cards, and write sums that are right again."""
    with file.open("rb") as stream:
        unit = read_unit(stream, 0)
        assert unit is not None
        data = stream.read()
    cards = edit([card.raw for card in unit.cards if card.keyword not in {"CHECKSUM", "DATASUM"}])
    datasum = next(int(str(card.value)) for card in unit.cards if card.keyword == "DATASUM")
    file.write_bytes((sealed(cards, datasum) if sums else unit.raw) + data)
    return file


def put(keyword: str, value: object, *, after: str = "") -> Edit:
    """Set a card, or put a new one behind another."""
    raw = value if isinstance(value, bytes) else format_card(keyword, value)  # type: ignore[arg-type]

    def edit(cards: list[bytes]) -> list[bytes]:
        keys = [parse_card(card[:80]).keyword for card in cards]
        if keyword in keys and not after:
            return [raw if key == keyword else card for key, card in zip(keys, cards, strict=True)]
        at = keys.index(after) + 1 if after else len(cards)
        return [*cards[:at], raw, *cards[at:]]

    return edit


def without(*keywords: str) -> Edit:
    return lambda cards: [card for card in cards if parse_card(card[:80]).keyword not in keywords]


def both(*edits: Edit) -> Edit:
    def edit(cards: list[bytes]) -> list[bytes]:
        for one in edits:
            cards = one(cards)
        return cards

    return edit


def judged(file: Path, now: Instant = NOW, **known: object) -> list[Finding]:
    return list(judge(read_subject(file, ESO, CONTEXT, now, **known)))  # type: ignore[arg-type]


def rules_of(findings: Sequence[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


@pytest.mark.parametrize("kind", ["light", "bias", "dark", "flat"])
def test_a_standard_frame_keeps_every_rule_and_passes_fitsverify(tmp_path: Path, kind: str) -> None:
    file = standard(tmp_path, kind)
    assert validate_file(file, ESO, CONTEXT) == []


BROKEN: dict[str, list[Edit]] = {
    "V01": [
        lambda cards: [cards[0], cards[2], cards[1], *cards[3:]],
    ],
    "V03": [without("OBSERVER"), without("HIERARCH ESO OBS PROG ID"), put("TELESCOP", "N/A"), without("LST")],
    "V04": [put("EXPTIME", "10.0"), put("MJD-OBS", "61094.04"), put("OBJECT", 5)],
    "V05": [
        put("DATE-OBS", "2026-02-23T01:02:03.456Z"), put("DATE-OBS", "23/02/26"),
        put("DATE-OBS", "2026-02-23 01:02:03.456"),
        put("DATE-OBS", "2026-02-23T01:02:03"), put("DATE", "2026-02-30T01:02:03.456"),
    ],
    "V06": [put("MJD-OBS", 61094.08), put("UTC", 3723.5), put("DATE-OBS", "2026-02-23T02:02:03.456")],
    "V07": [put("LST", 90000.0), put("LST", -1.0), put("LST", 583.4)],
    "V08": [put("RA", 400.0), put("DEC", -90.5), without("RA", "DEC")],
    "V09": [put("RADESYS", "FK4"), put("EQUINOX", 1950.0), without("EQUINOX")],
    "V10": [put("PC1_1", 1.0, after="CD2_2")],
    "V11": [
        both(without("WCSAXES"), put("WCSAXES", 2, after="CD2_2")),
        put("WCSAXES", 1),
        put("CTYPE3", "PIXEL", after="CD2_2"),
    ],
    "V12": [put("CD1_1", 1.0), put("CD1_1", 0.0), without("CD1_1", "CD1_2", "CD2_1", "CD2_2")],
    "V13": [put("CDELT1", 1.0, after="CD2_2"), put("CROTA2", 0.0, after="CD2_2"), put("PC1_1", 1.0, after="CD2_2")],
    "V15": [
        put("HIERARCH ESO DPR TYPE", "PICTURE"), put("HIERARCH ESO DPR TECH", "SPECTRUM"),
        put("HIERARCH ESO DPR CATG", "PICTURE"), put("IMAGETYP", "Dark Frame"),
    ],
    "V16": [put("HIERARCH ESO OBS PROG ID", "60A-9009"), put("HIERARCH ESO OBS PROG ID", "108.22L8")],
    "V17": [put("TELESCOP", "SPECULOOS-IO"), put("INSTRUME", "SPECU1")],
    "V18": [put("INSTRUME", "SPECU1"), put("DATE-OBS", "2026-02-23T01:02:03.457")],
    "V20": [
        put("filter", b"filter  = 'I+z     '".ljust(80), after="TIMESYS"),
        put("SKYTEMP", b"SKYTEMP =                  NaN".ljust(80), after="TIMESYS"),
        put("OBSERVER", "Astra", after="OBSERVER"),
        put("NOTE", "NOTE    = 'caf\u00e9'".encode("latin-1").ljust(80), after="TIMESYS"),
    ],
    "V21": [
        put("MJD-END", 61094.0), put("MJD-OBS", 40000.0), put("DATE", "2026-02-23T01:02:04.000"),
        put("MJD-END", 99999.0),
    ],
    "V23": [put("BLANK", -32768.0, after="BSCALE")],
    "V26": [
        put("NOTE", format_card("NOTE", "long " * 30, long=True), after="TIMESYS"),
        put("LONGSTRN", "OGIP 1.0", after="TIMESYS"),
    ],
    "V40": [put("OBJECT", "the planet around Speculoos-3006 b")],
    "V41": [put("EXPTIME", 0.0), put("EXPTIME", -1.0)],
    "V42": [put("CRVAL1", 340.0)],
    "V43": [put("DATE-OBS", "2026-02-23T01:02:03")],
    "V44": [put("LONG-OBS", -7.03903)],
    "V45": [both(put("CTYPE1", "PIXEL"), put("CTYPE2", "PIXEL"), without("CUNIT1", "CUNIT2"))],
    "V46": [
        put("RADECSYS", "FK5", after="TIMESYS"), put("EPOCH", 2000.0, after="TIMESYS"),
        both(without("EXPTIME"), put("EXPOSURE", 10.0, after="TIMESYS")),
    ],
    "V47": [
        put("AIRTEMP", 1.0, after="HIERARCH ESO INS NAME"),
        put("HIERARCH ESO DPR VERSION", "1", after="HIERARCH ESO INS NAME"),
    ],
    "V51": [
        put("STACKCNT", 12, after="TIMESYS"), put("CALSTAT", "BDF", after="TIMESYS"),
        put("HISTORY", "Dark Subtraction (Dark 10)", after="TIMESYS"),
    ],
    "V52": [put("BAYERPAT", "RGGB", after="TIMESYS"), put("ROWORDER", "TOP-DOWN", after="TIMESYS")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "edit"),
    [(rule, edit) for rule, edits in BROKEN.items() for edit in edits],
    ids=lambda value: str(value)[:3],
)
def test_a_broken_rule_is_found(tmp_path: Path, rule: str, edit: Edit) -> None:
    file = rewritten(standard(tmp_path), edit)
    assert rule in rules_of(judged(file))


def test_every_rule_has_a_file_that_breaks_it() -> None:
    elsewhere = {"V02", "V14", "V19", "V22", "V24", "V25", "V48", "V49", "V50"}  # the tests below
    assert BROKEN.keys() | elsewhere == RULES.keys()


@pytest.mark.parametrize("cut", [1, 2880, 5000])
def test_a_truncated_file_is_found(tmp_path: Path, cut: int) -> None:
    file = standard(tmp_path)
    file.write_bytes(file.read_bytes()[:-cut])
    assert rules_of(judged(file)) >= {"V02"}


def test_a_file_cut_in_its_header_is_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    file.write_bytes(file.read_bytes()[:2880])
    assert rules_of(judged(file)) == {"V02"}


def test_bytes_behind_the_end_are_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    file.write_bytes(file.read_bytes() + bytes(2880))
    assert rules_of(judged(file)) == {"V02"}


def test_what_is_no_fits_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "SPECU4.2026-02-23T01_02_03.456.fits"
    file.write_bytes(b"not a FITS file\n" * 400)
    assert rules_of(judged(file)) == {"V01"}


def test_a_flipped_bit_in_the_data_is_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    raw = bytearray(file.read_bytes())
    raw[-2880] ^= 1
    file.write_bytes(raw)
    assert rules_of(judged(file)) == {"V14"}


def test_a_header_changed_after_its_sums_is_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    file.write_bytes(file.read_bytes().replace(b"I+z", b"r' ", 1).replace(b"'Astra", b"'Bstra", 1))
    assert "V14" in rules_of(judged(file))


def test_a_frame_without_sums_is_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"CHECKSUM=", b"CHECKSUN=", 1))
    assert "V14" in rules_of(judged(file))


def test_other_pixels_than_the_sources_are_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    assert rules_of(judged(file, sources=(12345,))) == {"V22"}
    assert rules_of(judged(file, sources=(12345, 6))) == {"V22"}


def test_a_name_that_another_frame_has_is_found(tmp_path: Path) -> None:
    file = standard(tmp_path)
    assert rules_of(judged(file, siblings=(file.name,))) == {"V19"}


@pytest.mark.parametrize("name", ["image.fits", "SPECU4.2026-02-23T01_02_03.456.fit", "SPECU4." + "x" * 70 + ".fits"])
def test_a_name_of_another_form_is_found(tmp_path: Path, name: str) -> None:
    assert rules_of(judged(standard(tmp_path).rename(tmp_path / name))) == {"V18"}


def test_a_time_beyond_the_known_rotation_of_the_earth_is_told(tmp_path: Path) -> None:
    moment = parse_instant("2055-01-01T00:00:00.123")[0]
    edits = [put("DATE-OBS", moment.iso(3)), put("MJD-OBS", round(moment.mjd, 8)), put("UTC", 0.123)]
    file = rewritten(standard(tmp_path), both(*edits))
    assert "V48" in rules_of(judged(file))


@pytest.mark.parametrize("value", [0, 32767])
def test_a_picture_of_one_value_is_told(tmp_path: Path, value: int) -> None:
    raw = tmp_path / "raw.fits"
    whole = astra_frame()
    size = 64 * 48 * 2
    start = len(whole) - -(-size // 2880) * 2880
    raw.write_bytes(whole[:start] + value.to_bytes(2, "big") * (64 * 48) + whole[start + size :])
    file = standardise_file(raw, tmp_path, Settings(CONTEXT)).file
    assert rules_of(judged(file)) == {"V49"}


def test_a_saturated_picture_is_told(tmp_path: Path) -> None:
    raw = tmp_path / "raw.fits"
    whole = astra_frame()
    size = 64 * 48 * 2
    start = len(whole) - -(-size // 2880) * 2880
    raw.write_bytes(whole[:start] + b"\x7f\xff" * (64 * 40) + whole[start + 64 * 80 :])
    file = standardise_file(raw, tmp_path, Settings(CONTEXT)).file
    assert rules_of(judged(file)) == {"V49"}


def test_blank_beside_floating_point_pixels_is_found(tmp_path: Path) -> None:
    cards = [("SIMPLE", True, ""), ("BITPIX", -32, ""), ("NAXIS", 1, ""), ("NAXIS1", 720, ""), ("BLANK", -32768, "")]
    file = tmp_path / "float.fits"
    file.write_bytes(fits_header(cards) + bytes(2880))
    assert "V23" in rules_of(judged(file))


def cube(
    folder: Path, *, planes: int = 3, frames: int = 3, rows: int = 3, ordered: bool = True, empty: int = -1
) -> Path:
    """Make a cube of planes with its table, by astropy."""
    pixels = np.random.default_rng(1).integers(0, 1000, (planes, 16, 16)).astype(np.int16)
    if empty >= 0:
        pixels[empty] = 7
    times = 61094.0 + np.arange(rows) / 8640
    columns = [
        fits.Column("FILENAME", "8A", array=np.array(["a"] * rows)),
        fits.Column("MJD_OBS", "D", array=times if ordered else times[::-1]),
        fits.Column("EXPTIME", "E", array=np.ones(rows)),
    ]
    primary = fits.PrimaryHDU(pixels)
    primary.header["NFRAMES"] = frames
    primary.header["MJD-OBS"] = 61094.0 if ordered else float(times[-1])
    primary.header["DATE-END"] = "2026-02-23T00:01:00.000"
    primary.header["MJD-END"] = 61094.0 + 60 / 86400
    file = folder / "SPECU4.20260223T000000_S_x.fits"
    table = fits.BinTableHDU.from_columns(columns, name="METADATA")
    fits.HDUList([primary, table]).writeto(file, checksum=True)
    return file


def test_a_cube_keeps_the_rules_of_cubes(tmp_path: Path) -> None:
    assert not rules_of(judged(cube(tmp_path))) & {"V01", "V02", "V14", "V24", "V25", "V50"}


@pytest.mark.parametrize("wrong", [{"frames": 4}, {"rows": 2}, {"planes": 2}, {"ordered": False}])
def test_a_cube_that_does_not_agree_with_its_table_is_found(tmp_path: Path, wrong: dict[str, int]) -> None:
    assert "V24" in rules_of(judged(cube(tmp_path, **wrong)))  # type: ignore[arg-type]


def test_an_end_that_disagrees_with_itself_is_found(tmp_path: Path) -> None:
    file = cube(tmp_path)
    with fits.open(file, mode="update") as hdus:
        hdus[0].header["MJD-END"] = 61094.5
    assert "V24" in rules_of(judged(file))


def test_an_empty_plane_of_a_cube_is_found(tmp_path: Path) -> None:
    found = [finding for finding in judged(cube(tmp_path, empty=1)) if finding.rule == "V25"]
    assert [finding.got for finding in found] == ["planes 2 are constant"]


def test_a_column_with_an_odd_name_is_told(tmp_path: Path) -> None:
    file = cube(tmp_path)
    with fits.open(file, mode="update") as hdus:
        hdus[1].header["TTYPE3"] = "DATE-OBS"
    assert "V50" in rules_of(judged(file))


def test_findings_of_fitsverify_become_ours(tmp_path: Path) -> None:
    file = rewritten(standard(tmp_path), both(without("WCSAXES"), put("WCSAXES", 2, after="CD2_2")))
    told = [finding for finding in validate_file(file, ESO, CONTEXT) if "fitsverify" in finding.got]
    assert [(finding.rule, finding.severity) for finding in told] == [("V01", "error")]


def test_a_missing_fitsverify_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rules_of(validate_file(standard(tmp_path), ESO, CONTEXT)) == {"V62"}


def test_a_finding_says_all_that_is_needed(tmp_path: Path) -> None:
    (finding,) = judged(rewritten(standard(tmp_path), put("RA", 400.0)), NOW)[:1]
    assert re.fullmatch(r"V08 RA: 400\.0; expected 0 to 360 deg", str(finding))
