"""A SPECULOOS night with every fault, carried and standardised on the way: what arrives, what is held, and the proofs.

The night is made by the project's own generator, and by another one where that lies beside the checkout.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from astropy.io import fits

from tests.astra_night import FAULTS, HELD, build_astra_night
from tests.checkers import complaints_of_fitscheck, complaints_of_fitsverify, fitsverify_program

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Desk

#: A generator of nights that lies beside some checkouts; where it does, its nights are carried as well.
GENERATOR = Path(__file__).parents[2].parent / "shared/tools/make_night.py"
MADE_FAULTS = ("truncated", "empty", "no-imagetyp", "no-filter", "no-dateobs", "same-ms", "garbage", "bad-shape")
PROGRAM = "60.A-9009(D)"
REASONS = {
    "truncated": "truncated", "empty": "empty", "no-imagetyp": "V03 IMAGETYP", "no-dateobs": "V03 DATE-OBS",
    "garbage": "not FITS", "unknown-type": "V15 IMAGETYP", "sum-wrong": "DATASUM",
}  # fmt: skip


@dataclass(frozen=True)
class Night:
    """A night that was carried: the desk, and each raw file's fault and data sum, by its path at the telescope."""

    desk: Desk
    faults: dict[str, str]
    datasums: dict[str, str]
    lines: list[dict[str, object]]

    @property
    def products(self) -> list[Path]:
        return sorted(path for path in (self.desk.home / "eso").rglob("*") if path.is_file())


def configure(desk: Desk, source: Path, sections: str = "", program: str = PROGRAM) -> None:
    """Write the configuration of Callisto, which delivers to ESO."""
    desk.configure(source.as_uri())
    text = desk.config.read_text().partition("[telescope.vespera]")[0]
    desk.config.write_text(
        f"""{text}
[telescope.vespera]
preset = "speculoos-callisto"
route = ["verify", "standardise", "validate"]
source = "{source.as_uri()}"
program = "{program}"
settle = "0 s"
archives = ["eso"]

[archive.eso]
url = "{(desk.home / "eso").as_uri()}"
{sections}
"""
    )


def own_night(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    planted = build_astra_night(root, faults=FAULTS)
    return {item.path: item.fault for item in planted}, {item.path: str(item.datasum) for item in planted}


def made_night(root: Path) -> tuple[dict[str, str], dict[str, str]]:
    options = [word for fault in MADE_FAULTS for word in ("--fault", fault)]
    subprocess.run(
        [sys.executable, str(GENERATOR), "speculoos", str(root), "--size", "64x48", "--wcs-fraction", "0.6", *options],
        check=True, capture_output=True,
    )  # fmt: skip
    with (root / "20260222.manifest.csv").open() as rows:
        table = list(csv.DictReader(rows))
    (root / "20260222.manifest.csv").unlink()
    return {row["file"]: row["fault"] for row in table}, {row["file"]: row["datasum"] for row in table}


@pytest.fixture(scope="module", params=["own", *(["made"] if GENERATOR.is_file() else [])])
def night(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, desk_at: Callable[[Path], Desk]
) -> Night:
    home = tmp_path_factory.mktemp("standard")
    raw = home / "raw"
    raw.mkdir()
    faults, datasums = own_night(raw) if request.param == "own" else made_night(raw)
    (home / "home").mkdir()
    desk = desk_at(home / "home")
    configure(desk, raw)
    os.environ["PATH"] += os.pathsep + str(fitsverify_program().parent)
    ended = desk.nightferry("run", "vespera", "--night", "all", "--json")
    assert ended.code == 1, ended.err  # some are held
    return Night(desk, faults, datasums, ended.json())


def test_the_balance_counts_every_raw_frame_once(night: Night) -> None:
    (line,) = night.lines
    bad = sum(fault in HELD for fault in night.faults.values())
    assert (line["seen"], line["held"], line["delivered"]) == (len(night.faults), bad, len(night.faults) - bad)
    assert (line["failed"], line["ignored"], line["pending"], line["balanced"]) == (0, 0, 0, True)


def test_every_faulty_frame_is_held_with_its_reason(night: Night) -> None:
    held = night.desk.held()
    assert held.keys() == {path for path, fault in night.faults.items() if fault in HELD}
    for path, reason in held.items():
        assert REASONS[night.faults[path]] in reason, (night.faults[path], reason)


def test_every_whole_frame_is_delivered_once_under_a_name_of_its_own(night: Night) -> None:
    names = {}
    for product in night.products:
        names[fits.getheader(product)["RAWFILE"]] = product.name
    wanted = {path.rpartition("/")[2] for path, fault in night.faults.items() if fault not in HELD}
    assert names.keys() == wanted
    assert len(night.products) == len(wanted)


def test_every_product_passes_fitsverify_and_fitscheck(night: Night) -> None:
    assert complaints_of_fitsverify(night.products) == []
    assert complaints_of_fitscheck(night.products) == []


def test_every_product_passes_validate(night: Night) -> None:
    told = night.desk.nightferry("validate", *map(str, night.products), "--telescope", "vespera", "--json")
    assert told.code == 0
    assert {line["rule"] for line in told.json()} <= {"V45", "V49"}


def test_every_pixel_is_that_of_the_manifest(night: Night) -> None:
    sums = {path.rpartition("/")[2]: datasum for path, datasum in night.datasums.items()}
    for product in night.products:
        header = fits.getheader(product)
        with fits.open(product, checksum=True) as opened:  # raises a warning, and so an error, for a wrong sum
            assert opened[0].data is not None
        assert header["DATASUM"] == sums[header["RAWFILE"]]


def test_every_raw_file_can_be_had_again_from_its_product_alone(night: Night) -> None:
    raw = night.desk.home.parent / "raw"
    for product in night.products[:: max(1, len(night.products) // 8)]:
        ended = night.desk.nightferry("restore", str(product), "--into", "again", "--json")
        (line,) = ended.json()
        file = Path(str(line["file"]))
        (source,) = (path for path in raw.rglob("*") if path.name == file.name)
        assert (night.desk.home / file).read_bytes() == source.read_bytes()


def test_why_shows_what_became_of_the_header(night: Night) -> None:
    path = next(product.name for product in night.products if _is_science(product))
    (line,) = night.desk.nightferry("why", path, "--json").json()
    changes = line["changes"]
    assert isinstance(changes, list)
    assert {"keyword": "HIERARCH ESO OBS PROG ID", "before": None, "after": f"'{PROGRAM}'"} in changes
    assert "+ HIERARCH ESO OBS PROG ID" in night.desk.nightferry("why", path).out


def _is_science(product: Path) -> bool:
    return bool(fits.getheader(product)["HIERARCH ESO DPR CATG"] == "SCIENCE")


def test_warnings_are_delivered_and_reported(night: Night) -> None:
    unsolved = [one for one in night.products if _is_science(one) and fits.getheader(one)["CTYPE1"] == "PIXEL"]
    assert unsolved
    receipts = night.desk.receipts(unsolved[0].name)
    proof = next(receipt["proof"] for receipt in receipts if receipt["step"] == "validate")
    assert "V45" in json.dumps(proof)


def test_an_audit_reads_products_back_and_finds_one_that_changed(night: Night) -> None:
    assert night.desk.nightferry("audit", "vespera").code == 0
    product = night.products[3]
    good = product.read_bytes()
    product.unlink()
    product.write_bytes(good[:-3000] + bytes([good[-3000] ^ 1]) + good[-2999:])
    assert night.desk.nightferry("audit", "vespera").code == 1
    product.unlink()
    product.write_bytes(good)
    assert night.desk.nightferry("audit", "vespera").code == 0


def test_a_second_run_carries_nothing_twice(night: Night) -> None:
    before = {product: product.stat().st_mtime_ns for product in night.products}
    (line,) = night.desk.nightferry("run", "vespera", "--night", "all", "--json").json()
    assert line["delivered"] == night.lines[0]["delivered"]
    assert {product: product.stat().st_mtime_ns for product in night.products} == before


def test_a_program_given_for_the_run_comes_before_the_configurations(desk: Desk) -> None:
    build_astra_night(desk.home / "raw", kinds=["light"])
    configure(desk, desk.home / "raw")
    assert desk.nightferry("run", "vespera", "--night", "all", "--program", "60.A-9099(A)").code == 0
    (product,) = (path for path in (desk.home / "eso").rglob("*.fits"))
    assert fits.getheader(product)["HIERARCH ESO OBS PROG ID"] == "60.A-9099(A)"


def test_a_telescope_without_a_program_is_told_before_anything_is_pulled(desk: Desk) -> None:
    build_astra_night(desk.home / "raw", kinds=["light"])
    configure(desk, desk.home / "raw", program="")
    ended = desk.nightferry("run", "vespera", "--night", "all")
    assert (ended.code, "--program" in ended.err) == (2, True)
    checked = {str(line["check"]): line for line in desk.nightferry("check", "--json").json()}
    assert (checked["route of vespera"]["ok"], "PROG ID" in str(checked["route of vespera"]["found"])) == (False, True)
    assert desk.nightferry("run", "vespera", "--night", "all", "--program", PROGRAM).code == 0


def test_a_source_is_cleared_only_of_what_can_be_rebuilt(desk: Desk) -> None:
    planted = build_astra_night(desk.home / "raw", kinds=["light", "light"])
    configure(desk, desk.home / "raw", '[telescope.vespera.clear]\nafter = "0 s"')
    assert desk.nightferry("run", "vespera", "--night", "all", "--until", "deliver").code == 0
    _lose_a_recipe(desk.ledger)
    ended = desk.nightferry("clear", "vespera", "--json")
    states = {str(line["name"]): (line["state"], line["reason"]) for line in ended.json()}
    assert sorted(str(state) for state, _ in states.values()) == ["cleared", "kept"]
    (kept,) = (name for name, (state, _) in states.items() if state == "kept")
    assert "no recipe" in str(states[kept][1])
    assert [path.name for path in (desk.home / "raw").rglob("*.fits")] == [kept.rpartition("/")[2]]
    (cleared,) = (item for item in planted if item.path != kept)
    for file in desk.shelf.rglob("*"):
        if file.is_file():
            file.unlink()
    assert desk.nightferry("restore", cleared.path, "--into", "again").code == 0
    assert next((desk.home / "again").iterdir()).read_bytes() == cleared.raw
    refused = desk.nightferry("restore", kept, "--into", "again")
    assert (refused.code, "no recipe" in refused.err) == (1, True)


def test_a_product_that_was_damaged_keeps_its_source(desk: Desk) -> None:
    build_astra_night(desk.home / "raw", kinds=["light"])
    configure(desk, desk.home / "raw", '[telescope.vespera.clear]\nafter = "0 s"')
    assert desk.nightferry("run", "vespera", "--night", "all", "--until", "deliver").code == 0
    (product,) = (desk.home / "eso").rglob("*.fits")
    good = product.read_bytes()
    product.unlink()
    product.write_bytes(good[:-1] + b"x")
    assert desk.nightferry("clear", "vespera").code == 1
    assert len(list((desk.home / "raw").rglob("*.fits"))) == 1


def _lose_a_recipe(path: Path) -> None:
    """Change the ledger behind nightferry's back, whose triggers let nobody."""
    with closing(sqlite3.connect(path)) as ledger:
        triggers = ledger.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            ledger.execute(f"DROP TRIGGER {name}")
        ledger.execute(
            "UPDATE receipts SET proof = json_remove(proof, '$.recipe') "
            "WHERE seq = (SELECT max(seq) FROM receipts WHERE step = 'standardise')"
        )
        for _, sql in triggers:
            ledger.execute(sql)
        ledger.commit()
