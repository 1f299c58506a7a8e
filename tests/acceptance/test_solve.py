"""``solve`` and ``index`` on the command line: what they answer, what they write, and what they leave alone."""

from __future__ import annotations

import hashlib
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from nightferry.solving.engines import engine_names
from nightferry.testing.encode import Card, fits_image
from nightferry.testing.fields import vespera_frame
from nightferry.testing.sky import TARGETS, View, make_sensor, project, star_table
from tests.acceptance.conftest import DONE, HELD, MISCONFIGURED, Desk

KEYS = ["file", "solved", "ra", "dec", "pixel_scale", "rotation", "rms_arcsec", "matched", "seconds", "reason"]
M45 = View(56.60, 24.11, 12.0)
PLACE: list[Card] = [("RA", 56.6, "[deg]"), ("DEC", 24.1, "[deg]")]
#: Real frames, where a machine has them beside the checkout.
SHARED = Path(__file__).parents[3] / "shared" / "data"
REAL = sorted(SHARED.glob("seestar/*.fit"))
TYCHO = sorted(Path("/usr/share/astrometry").glob("index-tycho2-07*.fits"))
#: Frames that can be solved here: one field with our own index, the others where Tycho-2's index files are.
SOLVABLE = [path for path in REAL if TYCHO or "NGC 7023" in path.name]


def plant(desk: Desk, name: str = "frame.fits", data: bytes | None = None) -> Path:
    path = desk.home / name
    path.write_bytes(vespera_frame("M45", M45, cards=PLACE) if data is None else data)
    return path


def solve(desk: Desk, index: Path, *words: str | Path) -> tuple[int, list[dict[str, object]]]:
    answer = desk.nightferry("solve", *map(str, words), "--index", str(index), "--json")
    return answer.code, answer.json()


def misses(path: Path, hdu: int = 0) -> float:
    """Tell by how many arcseconds a file's header misses the stars that it shows, at the worst."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.getheader(path, hdu))
    stars = star_table()["M45"]
    x, y = project(stars, M45, make_sensor((960, 540), seed=1))
    seen = (x > 0) & (y > 0) & (x < 959) & (y < 539)
    ra, dec = wcs.all_pix2world(x[seen], y[seen], 0)
    return float(np.hypot((ra - stars[seen, 0]) * np.cos(np.radians(dec)), dec - stars[seen, 1]).max()) * 3600


def test_the_answer_keeps_to_its_contract(desk: Desk, sky_index: Path) -> None:
    good = plant(desk)
    bad = plant(desk, "blank.fits", fits_image([], np.full((540, 960), 1000, np.uint16)))
    code, lines = solve(desk, sky_index, good, bad, desk.home / "missing.fits")
    assert code == HELD
    assert [list(line) for line in lines] == [KEYS] * 3
    first, second, third = lines
    assert first["file"] == str(good)
    assert first["solved"] is True
    assert first["reason"] == ""
    assert abs(float(str(first["ra"])) - 56.6) < 1e-3
    assert abs(float(str(first["dec"])) - 24.11) < 1e-3
    assert abs(float(str(first["rotation"])) - 12) < 0.01
    assert second["solved"] is False
    assert second["ra"] is None
    assert second["matched"] is None
    assert str(second["reason"]).startswith("blank")
    assert "no such file" in str(third["reason"])


def test_every_engine_can_be_asked_for(desk: Desk, sky_index: Path) -> None:
    path = plant(desk)
    for engine in engine_names():
        code, (line,) = solve(desk, sky_index, path, "--engine", engine, "--facts")
        assert code == DONE
        facts = line["facts"]
        assert isinstance(facts, dict)
        assert facts["engine"] == engine
        assert {"stars", "fwhm", "noise", "background", "saturated", "chance", "index"} <= set(facts)
    assert desk.nightferry("solve", str(path), "--engine", "guess").code == MISCONFIGURED


def test_nothing_is_written_unasked(desk: Desk, sky_index: Path) -> None:
    path = plant(desk)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    assert solve(desk, sky_index, path)[0] == DONE
    assert solve(desk, sky_index, path, "--write", "--dry-run")[0] == DONE
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("room", [False, True], ids=["without room", "with room"])
def test_the_solution_is_written_and_pixels_stay(desk: Desk, sky_index: Path, room: bool) -> None:  # noqa: FBT001 - a parameter
    filled: list[Card] = [(f"FILL{number}", "x", "") for number in range(16)]
    path = plant(desk, data=vespera_frame("M45", M45, cards=[*PLACE, *filled]))
    with fits.open(path, mode="update") as hdus:
        hdus[0].add_checksum()
    if room:  # as a calibration leaves it: blank cards before END
        raw = path.read_bytes()
        end = raw.index(b"END" + b" " * 77)
        path.write_bytes(raw[:end] + b" " * 2880 * 2 + raw[end:])
    with fits.open(path) as hdus:
        pixels, size = hdus[0].data.copy(), path.stat().st_size
    assert solve(desk, sky_index, path, "--write")[0] == DONE
    assert misses(path) < 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            assert np.array_equal(hdus[0].data, pixels)
            assert hdus[0].header["OBJECT"] == "M45"
            assert any("nightferry solve" in line for line in hdus[0].header["HISTORY"])
            hdus.verify("exception")
    assert (path.stat().st_size == size) is room
    code, (line,) = solve(desk, sky_index, path, "--facts")
    assert code == DONE
    facts = line["facts"]
    assert isinstance(facts, dict)
    assert facts["checked"] is True, "what was written holds when it is looked at again"
    assert solve(desk, sky_index, path, "--write", "--again")[0] == DONE
    history = [line for line in fits.getheader(path)["HISTORY"] if "nightferry solve" in line]
    assert len(history) == 2, "an older solution's line goes with it"
    assert not desk.parts()


def test_copies_go_elsewhere_and_never_over_another_file(desk: Desk, sky_index: Path) -> None:
    path = plant(desk)
    before = path.read_bytes()
    assert solve(desk, sky_index, path, "--into", desk.home / "solved")[0] == DONE
    assert path.read_bytes() == before
    assert misses(desk.home / "solved" / "frame.fits") < 1.0
    code, (line,) = solve(desk, sky_index, path, "--into", desk.home / "solved")
    assert code == HELD
    assert "exists; nothing was overwritten" in str(line["reason"])


def test_a_picture_in_an_extension_gets_its_own_cards(desk: Desk, sky_index: Path) -> None:
    path = plant(desk)
    with fits.open(path) as hdus:
        pixels, header = hdus[0].data, hdus[0].header
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(pixels, header), fits.ImageHDU(pixels[:50])]).writeto(
        path, overwrite=True
    )
    assert solve(desk, sky_index, path, "--write")[0] == DONE
    assert misses(path, 1) < 1.0
    with fits.open(path) as hdus:
        assert np.array_equal(hdus[1].data, pixels)
        assert np.array_equal(hdus[2].data, pixels[:50])
        assert "CTYPE1" not in hdus[0].header


def test_options_take_the_place_of_hints(desk: Desk, sky_index: Path) -> None:
    path = plant(desk, data=vespera_frame("M45", M45, cards=[("RA", 200.0, ""), ("DEC", -60.0, "")]))
    for words in (
        ["--near", "57,24", "--radius", "2 deg"], ["--scale", "6 arcsec"], ["--scale", "5 arcsec..7 arcsec"],
        ["--timeout", "10 s", "--workers", "1"],
    ):  # fmt: skip
        code, (line,) = solve(desk, sky_index, path, *words)
        assert (code, line["reason"]) == (DONE, "")
    code, (line,) = solve(desk, sky_index, path, "--scale", "0.1 arcsec")
    assert code == HELD
    assert "no index file covers a field of" in str(line["reason"])
    for words in (["--near", "here"], ["--near", "5,99"], ["--radius", "5"], ["--scale", "wide"], ["--timeout", "1"]):
        answer = desk.nightferry("solve", str(path), "--index", str(sky_index), *words)
        assert answer.code == MISCONFIGURED, answer.out


def test_status_says_which_fields_are_covered(desk: Desk, sky_index: Path, tmp_path: Path) -> None:
    desk.configure("file:///nowhere", sections=f'[telescope.vespera.solve]\nindex = ["{sky_index.as_posix()}"]')
    answer = desk.nightferry("index", "status", "--json")
    assert answer.code == DONE
    lines = answer.json()
    assert engine_names() == list(lines[0]["engines"])  # type: ignore[call-overload] # what JSON says
    assert sum("stars" in line for line in lines) >= 2
    assert lines[-1] == {"telescope": "vespera", "field_arcmin": 54.0, "covered": True}
    assert "vespera: fields of 54 arcmin: index-sky-9.0.fits" in desk.nightferry("index", "status").out
    cut = tmp_path / "index-cut.fits"
    cut.write_bytes(min(sky_index.glob("*.fits")).read_bytes()[:50_000])
    answer = desk.nightferry("index", "status", "--index", str(tmp_path))
    assert answer.code == HELD
    assert "truncated" in answer.out


def test_a_small_index_is_built_and_solves(desk: Desk, tmp_path: Path) -> None:
    stars = tmp_path / "stars.csv"
    rows = "\n".join(f"{ra},{dec},{mag}" for ra, dec, mag in star_table()["M45"])
    stars.write_text(f"RAJ2000,DEJ2000,Vmag\n{rows}\n", encoding="ascii")
    words = ["--around", "56.6,24.1", "--catalog", str(stars), "--field", "54 arcmin", "--into", str(tmp_path / "own")]
    assert desk.nightferry("index", "build", *words, "--dry-run").code == DONE
    assert not (tmp_path / "own").exists()
    answer = desk.nightferry("index", "build", *words, "--json")
    assert answer.code == DONE, answer.err
    assert all(int(str(line["bytes"])) < 200_000 for line in answer.json())
    assert solve(desk, tmp_path / "own", plant(desk))[0] == DONE
    for place, catalog, why in (("200,-60", stars, "0 stars within"), ("56.6,24.1", tmp_path / "no", "no catalogue")):
        answer = desk.nightferry("index", "build", "--around", place, "--catalog", str(catalog))
        assert answer.code in {HELD, MISCONFIGURED}
        assert why in answer.err
    stars.write_text("a,b\n1,2\n", encoding="ascii")
    answer = desk.nightferry("index", "build", *words)
    assert answer.code == MISCONFIGURED
    assert "no column of ra" in answer.err


def test_check_tells_the_solver_of_routes_that_solve(desk: Desk, sky_index: Path) -> None:
    route = 'route = ["verify", "solve"]'
    (desk.home / "raw").mkdir()
    place = (desk.home / "raw").as_uri()
    desk.configure(place, telescope=route, sections=f'[telescope.vespera.solve]\nindex = ["{sky_index.as_posix()}"]')
    told = {str(line["check"]): line for line in desk.nightferry("check", "--json").json()}
    assert told["solver of vespera"]["ok"] is True
    assert f"engine {engine_names()[0]}; for fields of 54 arcmin: index-sky-9.0.fits" in str(
        told["solver of vespera"]["found"]
    )
    desk.configure(place, telescope=route, sections='[telescope.vespera.solve]\nindex = ["/nowhere"]')
    answer = desk.nightferry("check", "--json")
    told = {str(line["check"]): line for line in answer.json()}
    assert told["solver of vespera"]["ok"] is False
    assert answer.code == MISCONFIGURED


@pytest.mark.parametrize("target", sorted(TARGETS)[:3])
def test_a_night_of_frames_teaches_one_distortion(desk: Desk, sky_index: Path, target: str) -> None:
    centre = TARGETS[target]
    paths = []
    for number in range(3):
        view = View(centre.ra + number / 20, centre.dec, 10.0 * number)
        paths.append(plant(desk, f"{number}.fits", vespera_frame(target, view, seed=number)))
    code, lines = solve(desk, sky_index, *paths)
    assert code == DONE
    assert all(float(str(line["rms_arcsec"])) < 3 for line in lines)


def test_the_demo_s_night_is_solved_and_can_be_asked_about(desk: Desk) -> None:
    """With index files of the very stars that its telescope shows."""
    home = desk.home / "demo"
    answer = desk.nightferry("demo", "--solve", "--into", str(home))
    assert answer.code == DONE, answer.err
    found = re.search(r"(\d+) of (\d+) frames of the sky solved, [\d,]+ stars, FWHM", answer.out)
    assert found is not None, answer.out
    assert found[1] == found[2]
    assert int(found[2]) > 50
    config = ["--config", str(home / "nightferry.toml")]
    lines = desk.nightferry(*config, "night", "vespera", "latest", "--json").json()
    seen = {str(line["frame"]): line["stars"] for line in lines if line["stars"]}
    solved = {frame: stars for frame, stars in seen.items() if isinstance(stars, dict) and stars["solved"]}
    assert len(solved) == int(found[1])
    frame, stars = next(iter(solved.items()))
    assert {"ra", "dec", "fwhm", "background", "pointing_offset", "rotation", "stars", "chance"} <= set(stars)
    assert "solution" not in stars
    assert "what its stars tell (medians): " in desk.nightferry(*config, "night", "vespera", "latest").out
    told = desk.nightferry(*config, "why", frame)
    assert f"{stars['stars']} stars found, {stars['matched']} of them in the catalogue" in told.out
    assert f"stars are {stars['fwhm']:.2f} pixels wide (FWHM)" in told.out
    (line,) = desk.nightferry(*config, "why", frame, "--json").json()
    receipts = line["receipts"]
    assert isinstance(receipts, list)
    assert [receipt["proof"]["fwhm"] for receipt in receipts if receipt["step"] == "solve"] == [stars["fwhm"]]


if SOLVABLE:

    @pytest.mark.parametrize("path", SOLVABLE, ids=[path.name for path in SOLVABLE])
    def test_a_real_frame_is_solved_where_another_solver_saw_it(desk: Desk, sky_index: Path, path: Path) -> None:
        """Without its own solution, where it has one; the field of M 94 needs the index files of Tycho-2."""
        index = sky_index if "NGC 7023" in path.name else TYCHO[0]
        copy = Path(shutil.copy(path, desk.home / path.name))
        copy.chmod(0o644)
        code, (line,) = solve(desk, index, copy, "--again", "--into", desk.home / "solved")
        assert code == DONE, line
        assert float(str(line["rms_arcsec"])) < 1.2
        theirs, ours = fits.getheader(copy), fits.getheader(desk.home / "solved" / copy.name)
        if "CTYPE1" not in theirs:
            return
        x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, 1079, 9), np.linspace(0, 1919, 9)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one, other = (WCS(header).all_pix2world(x, y, 0) for header in (theirs, ours))
        off = np.hypot((one[0] - other[0]) * np.cos(np.radians(one[1])), one[1] - other[1]) * 3600
        assert np.sqrt(np.mean(off**2)) < 1.0
