"""A Callisto night with faults through the whole route: its cubes hold every good frame, and pass every judge."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.scripts import fitscheck

from tests.astra_night import FAULTS, build_astra_night
from tests.quick_start import nightferry

#: A generator of nights that lies beside some checkouts; where it does, its nights are carried as well.
GENERATOR = Path(__file__).parents[2].parent / "shared/tools/make_night.py"
MADE_FAULTS = ("truncated", "empty", "no-imagetyp", "no-filter", "no-dateobs", "same-ms", "garbage", "bad-shape")
KINDS = (*["light"] * 18, "bias", "bias", "bias", "dark", "dark", "flat", "flat")


@dataclass(frozen=True)
class Observatory:
    """A telescope's disk, an archive and a configuration, in one folder."""

    home: Path
    late: Path  #: a frame that arrives when the night is closed

    def run(self) -> dict[str, object]:
        done = self.nightferry("run", "callisto", "--night", "all", "--json")
        assert done.returncode in {0, 1}, done.stderr
        told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        return told

    def nightferry(self, *words: object) -> subprocess.CompletedProcess[str]:
        return nightferry("--config", str(self.home / "config.toml"), *map(str, words))

    def delivered(self) -> list[Path]:
        return sorted(path for path in (self.home / "eso").rglob("*.fits"))

    def cubes(self) -> list[Path]:
        return [path for path in self.delivered() if path.name.startswith("SPECU4.")]

    def frames(self) -> dict[str, Path]:
        return {path.name: path for path in self.delivered() if path.name.startswith("SPECULOOS4.")}


def observatory(home: Path, kind: str) -> Observatory:
    raw, late = home / "raw", home / "late.fits"
    (home / "eso").mkdir()
    if kind == "own":
        planted = build_astra_night(raw, faults=FAULTS, kinds=KINDS)
        hidden = raw / next(item.path for item in planted[len(FAULTS) + 1 :] if item.fault == "")
    else:
        options = [word for fault in MADE_FAULTS for word in ("--fault", fault)]
        command = [sys.executable, str(GENERATOR), "speculoos", str(raw), "--camera", "spirit", "--size", "64x48"]
        subprocess.run([*command, *options, "--lights", "24"], check=True, capture_output=True)
        with (raw / "20260222.manifest.csv").open() as rows:
            good = [row["file"] for row in csv.DictReader(rows) if row["kind"] == "light" and not row["fault"]]
        (raw / "20260222.manifest.csv").unlink()
        hidden = raw / good[len(good) // 2]
    shutil.move(hidden, late)
    (home / "name").write_text(str(hidden))
    for path in raw.rglob("*.fits"):
        os.utime(path, (1_771_900_000, 1_771_900_000))
    (home / "config.toml").write_text(f"""
        [shelf]
        path = '{(home / "shelf").as_posix()}'
        floor = "1 MB"
        [ledger]
        url = "sqlite:///{(home / "ledger.db").as_posix()}"
        [crew]
        kind = "threads"
        [telescope.callisto]
        preset = "speculoos-callisto"
        route = ["verify", "standardise", "validate", "cube"]
        source = "file://{raw.as_posix()}"
        settle = "0 s"
        program = "60.A-9009(D)"
        archives = ["eso"]
        [telescope.callisto.cube]
        max_frames = 100
        [archive.eso]
        url = "file://{(home / "eso").as_posix()}"
    """)
    return Observatory(home, late)


@pytest.fixture(scope="module", params=["own", *(["made"] if GENERATOR.is_file() else [])])
def callisto(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Observatory:
    home = tmp_path_factory.mktemp("callisto")
    place = observatory(home, request.param)
    balance = place.run()
    assert balance["balanced"] is True
    assert (balance["pending"], balance["failed"]) == (0, 0)
    assert int(str(balance["held"])) >= 5
    assert int(str(balance["delivered"])) == len(place.frames())
    return place


def test_every_delivered_frame_is_a_plane_of_one_cube_byte_for_byte(callisto: Observatory) -> None:
    seen: list[str] = []
    for cube in callisto.cubes():
        with fits.open(cube, checksum=True, do_not_scale_image_data=True) as hdus:
            for plane, row in zip(hdus[0].data, hdus["METADATA"].data, strict=True):
                frame = callisto.frames()[row["ARCNAME"]]
                seen.append(row["ARCNAME"])
                assert plane.tobytes() == fits.getdata(frame, do_not_scale_image_data=True).tobytes()
                assert str(row["DATASUM"]) == fits.getval(frame, "DATASUM")
    assert sorted(seen) == sorted(callisto.frames())


def test_no_cube_mixes_kinds_shapes_filters_or_exposures(callisto: Observatory) -> None:
    for cube in callisto.cubes():
        for row in fits.getdata(cube, "METADATA"):
            frame, whole = fits.getheader(callisto.frames()[row["ARCNAME"]]), fits.getheader(cube)
            for key in ("NAXIS1", "NAXIS2", "BITPIX", "ESO DPR TYPE", "EXPTIME"):
                assert whole[key] == frame[key]
            if frame["ESO DPR TYPE"] in {"OBJECT", "FLAT"}:
                assert whole.get("FILTER") == frame.get("FILTER")


def test_cubes_pass_every_judge(callisto: Observatory) -> None:
    cubes = callisto.cubes()
    assert len(cubes) >= 5
    judged = callisto.nightferry("validate", *cubes, "--telescope", "callisto", "--json")
    findings = [json.loads(line) for line in judged.stdout.splitlines()]
    assert [finding for finding in findings if finding["rule"] != "V62"] == []
    assert fitscheck.main([str(cube) for cube in cubes]) == 0
    if fitsverify := shutil.which("fitsverify"):
        told = subprocess.run([fitsverify, "-q", *map(str, cubes)], capture_output=True, check=False, text=True)
        assert told.returncode == 0, told.stdout + told.stderr


def test_the_ledger_tells_which_cube_holds_a_frame(callisto: Observatory) -> None:
    cube = callisto.cubes()[0]
    name = fits.getdata(cube, "METADATA")["FILENAME"][0]
    told = json.loads(callisto.nightferry("why", name, "--json").stdout.splitlines()[0])
    proofs = [receipt["proof"] for receipt in told["receipts"] if receipt["step"] == "cube"]
    assert [(proof["name"], proof["edition"]) for proof in proofs] == [(cube.name, 1)]


def test_another_pass_makes_nothing_new_and_a_late_frame_makes_version_two(callisto: Observatory) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in callisto.delivered()}
    callisto.run()
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in callisto.delivered()} == before
    hidden = Path((callisto.home / "name").read_text())
    shutil.copy(callisto.late, hidden)
    os.utime(hidden, (1_771_900_000, 1_771_900_000))
    callisto.run()
    fresh = [path for path in callisto.delivered() if path not in before]
    (cube,) = [path for path in fresh if path.name.startswith("SPECU4.")]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert cube.name.endswith("_v2.fits")
    assert fits.getval(cube, "CUBEVER") == 2
    rows = fits.getdata(cube, "METADATA")
    assert hidden.name in rows["FILENAME"]
    assert (np.diff(rows["MJD_OBS"]) >= 0).all()
    group = fits.getval(cube, "CUBESET")
    (first,) = [path for path in before if path.name.startswith("SPECU4.") and fits.getval(path, "CUBESET") == group]
    assert set(rows["FILENAME"]) - set(fits.getdata(first, "METADATA")["FILENAME"]) == {hidden.name}
    told = json.loads(callisto.nightferry("why", rows["FILENAME"][-1], "--json").stdout.splitlines()[0])
    assert [r["proof"]["edition"] for r in told["receipts"] if r["step"] == "cube"][-1] == 2
    judged = callisto.nightferry("validate", cube, "--telescope", "callisto")
    assert judged.stdout.strip().endswith("good"), judged.stdout
    left = [path for path in (callisto.home / "shelf").rglob("*") if path.is_file() and "cubes" in path.parts]
    assert left == []


def test_a_cube_tells_its_history_and_its_members(callisto: Observatory) -> None:
    cube = callisto.cubes()[0]
    rows = fits.getdata(cube, "METADATA")
    told = json.loads(callisto.nightferry("why", cube.name, "--json").stdout)
    assert sorted(Path(member["name"]).name for member in told["members"]) == sorted(rows["FILENAME"])
    assert (told["name"], told["frames"], told["standing"]) == (cube.name, len(rows), "delivered")
    assert [receipt["step"] for receipt in told["receipts"]] == ["cube", "validate", "deliver"]
    shown = callisto.nightferry("why", cube.name).stdout
    assert all(word in shown for word in ("standing   delivered", "made of", *rows["FILENAME"]))
    assert callisto.nightferry("why", told["cube"][:12], "--json").stdout.count(cube.name) >= 1
    assert "knows no frame" in callisto.nightferry("why", "SPECU4.no_such_cube.fits").stderr


def test_a_night_tells_its_cubes(callisto: Observatory) -> None:
    names = {path.name for path in callisto.cubes()}
    told = callisto.nightferry("night", "callisto", "latest", "--json").stdout.splitlines()
    cubes = [one for one in map(json.loads, told) if "cube" in one]
    assert {one["name"] for one in cubes} == names
    assert all(name in callisto.nightferry("night", "callisto", "latest").stdout for name in names)
    latest = {(one["night"], one["key"]): one for one in cubes}
    assert f"{len(latest)} cubes: {len(latest)} delivered" in callisto.nightferry("nights").stdout


def test_an_audit_finds_a_flipped_byte_in_a_cube_and_a_cube_that_is_gone(callisto: Observatory) -> None:
    cubes, frames = callisto.cubes(), callisto.frames()
    whole = callisto.nightferry("audit", "callisto")
    assert whole.returncode == 0, whole.stdout
    assert f"read back {len(frames)} frames and {len(cubes)} cubes" in whole.stdout
    spoilt, gone = max(cubes[:-1], key=lambda cube: int(fits.getval(cube, "CUBEVER"))), cubes[-1]
    kept = {path: path.read_bytes() for path in (spoilt, gone)}
    data = bytearray(kept[spoilt])
    data[len(data) // 2] ^= 1
    spoilt.unlink()
    spoilt.write_bytes(data)
    gone.unlink()
    found = callisto.nightferry("audit", "callisto", "--json")
    assert found.returncode == 1
    bad = {
        one["name"]: one["verdict"] for one in map(json.loads, found.stdout.splitlines()) if one["verdict"] != "good"
    }
    assert {name.rpartition("/")[2]: verdict for name, verdict in bad.items()} == {
        spoilt.name: "damaged", gone.name: "missing",
    }  # fmt: skip
    held = callisto.nightferry("held", "--json")
    assert held.returncode == 1
    assert spoilt.name in {one["name"] for one in map(json.loads, held.stdout.splitlines()) if "cube" in one}
    spoilt.unlink()
    for cube in (spoilt, gone):
        assert callisto.nightferry("release", cube.name, "--why", "another disk").returncode == 0
    callisto.run()
    assert {path: path.read_bytes() for path in (spoilt, gone)} == kept
    assert callisto.nightferry("audit", "callisto").returncode == 0
