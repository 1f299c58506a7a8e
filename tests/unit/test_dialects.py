"""Dialects: real headers as text, beside all that is to be read out of them."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from nightferry.core.errors import Held, Misconfigured
from nightferry.core.instant import Instant
from nightferry.formats.cards import parse_cards
from nightferry.headers.canonical import Canonical, Finding, ImageType
from nightferry.headers.dialects import detect, dialect_names, load_dialect, load_dialects, translate
from nightferry.headers.dialects.header import Header

HEADERS = Path(__file__).parents[1] / "data/headers"
#: The names that the files had at the telescope, where a dialect reads them.
NAMES = {
    "dwarf3": "M 31_60s60_Astro_20251020-213512345_12C.fits",
    "dwarf2": "M 33_15s60_Astro_20230610-213819442_24C.fits",
    "stellina": "img-0001.fits",
}


def header_of(text: str) -> Header:
    """Make a header of lines of text; ``#`` opens a remark."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return Header(parse_cards(b"".join(line.encode("ascii").ljust(80) for line in lines)))


def read(name: str) -> Header:
    return header_of((HEADERS / f"{name}.txt").read_text(encoding="ascii"))


def told(canonical: Canonical) -> dict[str, object]:
    """Write canonical values as JSON does; times as ISO-8601."""

    def plain(value: object) -> object:
        return value.iso(6) if isinstance(value, Instant) else value

    values = {name: plain(getattr(canonical, name)) for name in asdict(canonical)}
    values["wcs"] = asdict(canonical.wcs) if canonical.wcs else None
    decoded: dict[str, object] = json.loads(
        json.dumps({key: value for key, value in values.items() if value is not None})
    )
    return decoded


def read_lines(*lines: str, dialect: str = "generic", name: str = "") -> tuple[Canonical, tuple[Finding, ...]]:
    reading = translate(header_of("\n".join(lines)), load_dialect(dialect), name)
    return reading.canonical, reading.findings


@pytest.mark.parametrize("name", sorted(path.stem for path in HEADERS.glob("*.txt")))
def test_a_real_header_is_read_in_full(name: str) -> None:
    expected = json.loads((HEADERS / f"{name}.json").read_text())
    header = read(name)
    dialect = detect(header, load_dialects())
    reading = translate(header, dialect, NAMES.get(name, "frame.fits"))
    assert {"dialect": dialect.id, **told(reading.canonical)} == expected
    assert reading.findings == ()


def test_every_dialect_that_is_detected_has_a_header_to_prove_it() -> None:
    proven = {json.loads(path.read_text())["dialect"] for path in HEADERS.glob("*.json")}
    assert proven == {dialect.id for dialect in load_dialects() if dialect.detect}


def test_a_header_of_no_program_we_know_is_held_with_its_evidence() -> None:
    with pytest.raises(Held, match=r"CREATOR = 'POCSv0\.1\.1'.*dialect = \"generic\""):
        detect(header_of("CREATOR = 'POCSv0.1.1'\nDATE-OBS= '2016-09-09T08:14:34'"), load_dialects())


def test_sexagesimal_right_ascension_is_hours() -> None:
    canonical, _ = read_lines("RA      = '08 05 14.96'", "DEC     = '-00 30 00'", dialect="maxim")
    assert canonical.ra == pytest.approx(121.312333, abs=1e-6)
    assert canonical.dec == -0.5


def test_a_value_of_another_kind_than_declared_is_refused_and_the_next_one_taken() -> None:
    canonical, findings = read_lines("RA      = '08 05 14.96'", "OBJCTRA = '08 05 15'")
    assert canonical.ra == pytest.approx(121.3125)
    assert findings == ()  # a later card that answers settles it


@pytest.mark.parametrize(
    ("card", "keyword"),
    [
        ("EXPTIME = 30,0", "EXPTIME"), ("EXPTIME = '10 s'", "EXPTIME"), ("EXPTIME = 1E15", "EXPTIME"),
        ("EXPTIME = -1E12", "EXPTIME"), ("EXPTIME = '1E999'", "EXPTIME"), ("RA = 10,68", "RA"), ("RA = 400.0", "RA"),
        ("DEC = -91.5", "DEC"), ("RA = '08 05 14.96'", "RA"), ("GAIN = 100,0", "GAIN"), ("XBINNING= 0", "XBINNING"),
        ("DATE-OBS= '0001-01-01T00:00:00'", "DATE-OBS"), ("DATE-OBS= '9999-12-31T23:59:59'", "DATE-OBS"),
        ("DATE-OBS= 2026-03-01T00:00:00", "DATE-OBS"), ("SITELAT = 24,6", "SITELAT"),
    ],
)  # fmt: skip
def test_a_card_that_is_there_and_cannot_be_read_is_an_error_that_quotes_it(card: str, keyword: str) -> None:
    name, _, value = card.partition("=")
    canonical, (finding,) = read_lines(f"{name:<8}= {value.strip()}")
    assert (finding.severity, finding.keyword) == ("error", keyword)
    assert value.strip().strip("'").split("E")[0].strip("-") in finding.got.replace("e+", "E").replace("+", "")
    assert not [value for name, value in told(canonical).items() if name not in {"frame", "equinox"}]


def test_an_unreadable_card_that_another_answers_for_is_a_warning() -> None:
    canonical, (finding,) = read_lines("EXPTIME = 30,0", "EXPOSURE= 30.0")
    assert canonical.exptime == 30
    assert (finding.severity, finding.keyword) == ("warning", "EXPTIME")
    assert "30,0" in finding.got


@pytest.mark.parametrize("card", ["XORGSUBF= '-1E999'", "AIRMASS = 1,2", "AMBTEMP = 'warm'", "HUMIDITY= 1E400"])
def test_what_does_not_say_what_a_frame_is_never_holds_it(card: str) -> None:
    _, (finding,) = read_lines(card)
    assert finding.severity == "warning"


def test_numeric_right_ascension_of_a_dwarf_is_hours() -> None:
    canonical, _ = read_lines("RA      = 5.5", "DEC     = -5.4", dialect="dwarf")
    assert (canonical.ra, canonical.dec) == (82.5, -5.4)


@pytest.mark.parametrize("text", ["04/07/18", "2018-07-04", "2018-07-04T25:00:00", "12"])
def test_a_start_that_is_no_time_is_an_error(text: str) -> None:
    canonical, (finding,) = read_lines(f"DATE-OBS= '{text}'")
    assert canonical.start is None
    assert (finding.rule, finding.severity, finding.keyword) == ("V05", "error", "DATE-OBS")


def test_date_and_time_in_two_cards_make_one_start() -> None:
    canonical, findings = read_lines("DATE-OBS= '2018-07-04'", "TIME-OBS= '14:03:03.5'")
    assert canonical.start is not None
    assert canonical.start.iso(3) == "2018-07-04T14:03:03.500"
    assert findings == ()


@pytest.mark.parametrize("word", ["'N/A'", "'UNKNOWN'", "''", "'  '", "'None'", "'nan'", "NaN", "9.87654321E+107", ""])
def test_words_for_nothing_are_nothing(word: str) -> None:
    canonical, findings = read_lines(f"AIRMASS = {word}")
    assert canonical.airmass is None
    assert findings == ()


@pytest.mark.parametrize(
    ("spelling", "kind"),
    [
        ("Light Frame", "science"), ("Light frame", "science"), ("LIGHT", "science"), ("Light", "science"),
        ("Tricolor Image", "science"), ("Bias Frame", "bias"), ("BIAS", "bias"), ("Dark Frame", "dark"),
        ("Flat Frame", "flat"), ("Flat Field", "flat"), ("FLAT", "flat"), ("DARKFLAT", "darkflat"),
        ("Zero", "bias"), ("Pretzel", "unknown"),
    ],
)  # fmt: skip
def test_every_spelling_of_an_image_type_is_known(spelling: str, kind: str) -> None:
    canonical, _ = read_lines(f"IMAGETYP= '{spelling}'")
    assert canonical.image_type is ImageType(kind)


def test_a_pointing_of_zero_and_zero_is_a_target_that_nobody_set() -> None:
    canonical, _ = read_lines("RA      = 0.0", "DEC     = 0.0")
    assert (canonical.ra, canonical.dec) == (None, None)


@pytest.mark.parametrize(
    "cards",
    [
        ["CD1_1   = -0.0001", "CD2_2   = 0.0001"],
        ["CDELT1  = -0.0001", "CDELT2  = 0.0001"],
        ["CDELT1  = -0.0001", "CDELT2  = 0.0001", "PC1_1   = 1.0", "PC2_2   = 1.0"],
        ["PC1_1   = -0.0001", "PC2_2   = 0.0001"],
    ],
)
def test_every_form_of_a_solution_makes_one_matrix(cards: list[str]) -> None:
    places = [
        "CTYPE1  = 'RA---TAN'",
        "CTYPE2  = 'DEC--TAN'",
        "CRPIX1  = 1",
        "CRPIX2  = 1",
        "CRVAL1  = 10",
        "CRVAL2  = 20",
    ]
    canonical, _ = read_lines(*places, *cards)
    assert canonical.wcs is not None
    assert canonical.wcs.cd == pytest.approx((-0.0001, 0, 0, 0.0001))
    assert canonical.wcs.scale == pytest.approx(0.36)


def test_crota_turns_as_the_reference_implementation_does() -> None:
    from astropy.io import fits
    from astropy.wcs import WCS

    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0, "CRVAL1": 10.0, "CRVAL2": 20.0,
        "CDELT1": -0.0002, "CDELT2": 0.0001, "CROTA2": 30.0,
    }  # fmt: skip
    header = fits.Header()
    header.update(cards)
    matrix = WCS(header).pixel_scale_matrix.ravel()
    canonical, _ = read_lines(*(f"{key:<8}= {value!r}" for key, value in cards.items()))
    assert canonical.wcs is not None
    assert canonical.wcs.cd == pytest.approx(tuple(matrix))


def test_a_users_file_extends_a_shipped_dialect_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "maxim.toml").write_text('title = "ours"\nextends = "maxim"\n[fields]\ngain = "MYGAIN"\n')
    ours = load_dialect("maxim", tmp_path)
    assert ours.title == "ours"
    assert [source.keys for source in ours.fields["gain"].sources] == [("MYGAIN",)]
    assert [source.unit for source in ours.fields["ra"].sources] == ["hms", "hms"]


def test_a_users_new_dialect_is_listed_and_detected(tmp_path: Path) -> None:
    (tmp_path / "pocs.toml").write_text(
        'title = "POCS"\nextends = "generic"\norder = 5\ndetect = [{ CREATOR = "^POCS" }]\n'
    )
    assert "pocs" in dialect_names(tmp_path)
    assert detect(header_of("CREATOR = 'POCSv0.1.1'"), load_dialects(tmp_path)).id == "pocs"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("title = 'x'\n[fields]\nra = 'RA'", "ra: RA has no unit: expected one of deg, h, hms"),
        ("title = 'x'\n[fields]\nra = 'RA [parsec]'", r"RA has \[parsec\]"),
        ("title = 'x'\n[fields]\ncolour = 'RA'", "unknown field 'colour'"),
        ("title = 'x'\n[fields]\ngain = {from='GAIN', func='guess'}", "unknown function 'guess'"),
        ("title = 'x'\nextends = 'x'", "unknown dialect 'x'|circle"),
        ("title = ", "not TOML"),
        ("title = 'x'\ndetect = [{ A = '(' }]", "not a regular expression"),
    ],
)
def test_a_wrong_dialect_file_says_what_is_wrong(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(Misconfigured, match=wrong):
        load_dialect("x", tmp_path)
