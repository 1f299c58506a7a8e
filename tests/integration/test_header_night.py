"""A whole night of headers: every good frame delivered and accepted, every bad one held with its reason."""

import csv
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from astropy.io import fits

from tests import quick_start
from tests.astra import astra_frame

#: A generator of nights that lies beside some checkouts; where it does, its nights are carried as well.
GENERATOR = Path(__file__).parents[2].parent / "shared/tools/make_night.py"
FAULTS = ("truncated", "empty", "no-imagetyp", "no-filter", "no-dateobs", "same-ms", "garbage", "bad-shape")
HELD = {
    "truncated": "truncated by", "empty": "nothing where", "no-imagetyp": "IMAGETYP", "no-dateobs": "DATE-OBS",
    "garbage": "not FITS",
}  # fmt: skip
TELESCOPE = ("--telescope", "speculoos-callisto")


def nightferry(*words: object, home: Path) -> subprocess.CompletedProcess[str]:
    return quick_start.nightferry("--config", f"{home / 'none.toml'}", *map(str, words))


def own_night(folder: Path) -> dict[Path, str]:
    """Make a night by the project's own means: each file, and its fault."""
    faults: dict[Path, str] = {}
    changes: Mapping[str, dict[str, bool | float | str | None]] = {
        "no-imagetyp": {"IMAGETYP": None}, "no-filter": {"FILTER": None}, "no-dateobs": {"DATE-OBS": None},
        "same-ms": {"DATE-OBS": "2026-02-23T01:02:03.456900"},
    }  # fmt: skip
    kinds = ["light"] * 12 + ["bias", "bias", "dark", "flat"]
    for number, kind in enumerate(kinds):
        fault = FAULTS[number - 1] if 0 < number <= len(FAULTS) else ""
        size = (64, 24) if fault == "bad-shape" else (64, 48)
        raw = astra_frame(kind, number=number, changed=changes.get(fault), size=size)
        path = folder / f"{number:03d}-{kind}.fits"
        path.write_bytes(
            {"truncated": raw[: int(len(raw) * 0.6)], "empty": b"", "garbage": b"not a FITS file\n" * 99}.get(
                fault, raw
            )
        )
        faults[path] = fault
    return faults


def made_night(folder: Path) -> dict[Path, str]:
    """Have the generator make a night with every fault."""
    options = [word for fault in FAULTS for word in ("--fault", fault)]
    subprocess.run(
        [sys.executable, str(GENERATOR), "speculoos", str(folder), "--size", "64x48", *options],
        check=True, capture_output=True,
    )  # fmt: skip
    with (folder / "20260222.manifest.csv").open() as rows:
        return {folder / row["file"]: row["fault"] for row in csv.DictReader(rows)}


@pytest.fixture(scope="module", params=["own", *(["made"] if GENERATOR.is_file() else [])])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, str]]:
    home = tmp_path_factory.mktemp("night")
    raw = home / "raw"
    raw.mkdir()
    return home, own_night(raw) if request.param == "own" else made_night(raw)


@pytest.fixture(scope="module")
def answers(night: tuple[Path, dict[Path, str]]) -> dict[Path, dict[str, object]]:
    home, files = night
    before = {file: file.read_bytes() for file in files}
    done = nightferry(
        "standardise", *files, *TELESCOPE, "--program", "60.A-9009(D)", "--into", home / "out", "--json", home=home
    )
    assert done.returncode == 1, done.stderr  # some are held
    assert {file: file.read_bytes() for file in files} == before
    return {Path(told["file"]): told for told in map(json.loads, done.stdout.splitlines())}


def test_every_frame_has_one_answer(
    night: tuple[Path, dict[Path, str]], answers: dict[Path, dict[str, object]]
) -> None:
    home, files = night
    assert set(answers) == set(files)
    products = [told["product"] for told in answers.values() if told["outcome"] == "done"]
    assert len(set(products)) == len(products)
    assert sorted(f"{path}" for path in (home / "out").iterdir()) == sorted(map(str, products))


def test_every_whole_frame_is_delivered_and_every_faulty_one_held(
    night: tuple[Path, dict[Path, str]], answers: dict[Path, dict[str, object]]
) -> None:
    for file, fault in night[1].items():
        assert answers[file]["outcome"] == ("held" if fault in HELD else "done"), (file, fault)
        assert HELD.get(fault, "") in str(answers[file]["reason"])


def test_every_product_is_accepted(night: tuple[Path, dict[Path, str]], answers: dict[Path, dict[str, object]]) -> None:
    home, _ = night
    products = sorted((home / "out").iterdir())
    told = nightferry("validate", *products, *TELESCOPE, "--json", home=home)
    findings = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == 0
    assert {finding["rule"] for finding in findings} <= {"V45", "V62"}
    assert set(findings[0] if findings else {"file"}) <= {"file", "rule", "severity", "keyword", "got", "expected"}


def test_every_pixel_is_that_of_the_raw_frame(
    night: tuple[Path, dict[Path, str]], answers: dict[Path, dict[str, object]]
) -> None:
    for file, told in answers.items():
        if told["outcome"] == "done":
            with fits.open(file) as raw, fits.open(str(told["product"]), checksum=True) as product:
                assert (raw[0].data == product[0].data).all()


def test_the_difference_is_told_card_by_card(night: tuple[Path, dict[Path, str]]) -> None:
    home, files = night
    good = next(file for file, fault in files.items() if not fault)
    options = ("--program", "60.A-9009(D)", "--into", home / "x", "--diff", "--dry-run")
    told = nightferry("standardise", good, *TELESCOPE, *options, home=home)
    assert "- RADECSYS = 'FK5'" in told.stdout
    assert "+ HIERARCH ESO OBS PROG ID = '60.A-9009(D)'" in told.stdout
    assert not (home / "x").exists()


def test_a_broken_file_is_told_by_validate(night: tuple[Path, dict[Path, str]]) -> None:
    home, files = night
    broken = next(file for file, fault in files.items() if fault == "truncated")
    told = nightferry("validate", broken, home=home)
    assert told.returncode == 1
    assert "error: V02 HDU 0 lacks" in told.stdout


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--telescope", "speculos"), "there is no telescope 'speculos'"),
        ((*TELESCOPE, "--profile", "esa"), "unknown profile 'esa'"),
        ((*TELESCOPE, "--dialect", "asta"), "unknown dialect 'asta'"),
    ],
)
def test_a_wrong_name_is_the_operators_affair(
    night: tuple[Path, dict[Path, str]], words: tuple[str, ...], wrong: str
) -> None:
    home, files = night
    told = nightferry("standardise", next(iter(files)), *words, "--into", home / "y", home=home)
    assert (told.returncode, wrong in told.stderr) == (2, True), told.stderr
