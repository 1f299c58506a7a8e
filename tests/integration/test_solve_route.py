"""A night whose frames are solved on their way: what the archive gets, what the ledger keeps, and what is held."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from nightferry import api
from nightferry.assemble import open_route
from nightferry.config import loads
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Digest, Frame
from nightferry.core.ledger import Account
from nightferry.core.night import Nights
from nightferry.core.progress import Nobody
from nightferry.core.receipt import Outcome, Receipt
from nightferry.headers.canonical import Wcs
from nightferry.ledger.sql import SqlLedger, open_ledger
from nightferry.passes.run import Orders, Pass, run_pass
from nightferry.solving.building import Order, build
from nightferry.solving.model import Settings
from nightferry.solving.sphere import sky_of
from nightferry.steps.shelf import Shelf
from nightferry.steps.solve import Notes, Solve
from nightferry.steps.standardise import SOLUTION
from nightferry.testing.encode import Card, fits_data, fits_header
from nightferry.testing.fields import draw_field, made_up_stars, plain_wcs, write_catalogue
from tests.astra import START, astra_cards

SIZE, SCALE = (480, 480), 0.6
PLACE = (346.6223641, -5.0413927)
STARS = made_up_stars(*PLACE, radius=0.2, count=3000)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index files of the one field that the telescope looks at."""
    folder = tmp_path_factory.mktemp("field")
    build(Order((PLACE,), write_catalogue(folder / "stars.csv", STARS), 0.2, 4.8), folder / "index")
    return folder / "index"


def truth(number: int) -> Wcs:
    return plain_wcs(PLACE[0] + 0.004 * number, PLACE[1] - 0.002 * number, SIZE, SCALE, 1.5)


def frame(number: int, kind: str = "light", *, clouds: bool = False) -> bytes:
    """Write a frame as Astra does, without a solution; through clouds nothing but noise arrives."""
    cards = astra_cards(kind, number=number, start=START + timedelta(minutes=number), solved=False, size=SIZE)
    structure: list[Card] = [
        ("SIMPLE", True, ""), ("BITPIX", 16, ""), ("NAXIS", 2, ""), ("NAXIS1", SIZE[0], ""), ("NAXIS2", SIZE[1], ""),
    ]  # fmt: skip
    stars = STARS[:0] if clouds or kind != "light" else STARS
    return fits_header([*structure, *cards.values()]) + fits_data(draw_field(truth(number), stars, SIZE, seed=number))


class Dome:
    """An observatory in a folder."""

    crew = "processes"

    def __init__(self, home: Path, ledger: SqlLedger, index: Path) -> None:
        self.home, self.ledger, self.index = home, ledger, index

    def plant(self, frames: dict[str, bytes]) -> None:
        folder = self.home / "raw" / "20260222"
        folder.mkdir(parents=True)
        for name, data in frames.items():
            (folder / name).write_bytes(data)
            os.utime(folder / name, (1_771_900_000, 1_771_900_000))

    def carry(self, solve: str = "", until: str = "clear") -> Pass:
        for archive in ("eso", "second"):
            (self.home / archive).mkdir(exist_ok=True)
        text = f"""
            [crew]
            kind = "{self.crew}"
            [shelf]
            path = '{(self.home / "shelf").as_posix()}'
            floor = "1 MB"
            [ledger]
            url = "sqlite:///{(self.home / "ledger.db").as_posix()}"
            [telescope.callisto]
            preset = "speculoos-callisto"
            source = "file://{(self.home / "raw").as_posix()}"
            settle = "0 s"
            archives = ["eso", "second"]
            program = "60.A-9009(D)"
            route = ["verify", "solve", "standardise", "validate"]
            [telescope.callisto.header]
            fitsverify = false
            [telescope.callisto.solve]
            index = ['{self.index.as_posix()}']
            {solve}
            [archive.eso]
            url = "file://{(self.home / "eso").as_posix()}"
            [archive.second]
            url = "file://{(self.home / "second").as_posix()}"
        """
        route = open_route(loads(text), "callisto")
        try:
            return run_pass(
                route, self.ledger, Nights(every=True), Orders(until=until), onlooker=Nobody(),
                stop=api.idle_hands().stop,
            )  # fmt: skip
        finally:
            route.close()

    def accounts(self) -> dict[str, Account]:
        found = self.ledger.accounts("callisto")
        return {account.sighting.path.rpartition("/")[2]: account for account in found}

    def receipt(self, name: str, step: str) -> Receipt:
        return [receipt for receipt in self.accounts()[name].receipts if receipt.step == step][-1]


@pytest.fixture
def dome(tmp_path: Path, index: Path) -> Dome:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    return Dome(tmp_path, ledger, index)


NIGHT = {f"light-{number}.fits": (number, "light", number in {3, 7}) for number in range(10)}


def night() -> dict[str, bytes]:
    """Ten lights, two of them through clouds, and a dark."""
    frames = {name: frame(number, kind, clouds=clouds) for name, (number, kind, clouds) in NIGHT.items()}
    return {**frames, "dark-0.fits": frame(20, "dark")}


def test_a_night_with_clouds_arrives_solved_where_it_can_be(dome: Dome) -> None:
    dome.plant(night())
    (balance,) = dome.carry().balances
    assert (balance.seen, balance.delivered, balance.held) == (11, 11, 0)
    solved = 0
    for path in (dome.home / "eso").rglob("*.fits"):
        header = fits.getheader(path)
        number = header["RAWFILE"].partition(".")[0].partition("-")[2]
        if header["CTYPE1"] == "PIXEL":
            continue
        solved += 1
        x, y = np.array([1.0, 480, 240]), np.array([1.0, 480, 240])
        ra, dec = WCS(header).all_pix2world(x, y, 1)
        told_ra, told_dec = sky_of(truth(int(number)), x, y)
        assert np.hypot((ra - told_ra) * np.cos(np.radians(dec)), dec - told_dec).max() * 3600 < 0.4
    assert solved == 8
    clear, cloudy = dome.receipt("light-1.fits", "solve"), dome.receipt("light-3.fits", "solve")
    assert clear.proof["solved"] is True
    assert {"stars", "fwhm", "ellipticity", "background", "noise", "rotation", "pointing_offset"} <= set(clear.proof)
    assert cloudy.outcome is Outcome.DONE
    assert cloudy.proof["solved"] is False
    assert "stars" in str(cloudy.proof["why"])
    assert dome.receipt("dark-0.fits", "solve").proof["why"] == "a dark frame shows no sky"
    assert not list((dome.home / "shelf").rglob("*.tries"))
    before = len(dome.accounts()["light-1.fits"].receipts)
    dome.carry()
    assert len(dome.accounts()["light-1.fits"].receipts) == before, "nothing is left to do"


def test_a_crew_of_threads_solves_alike(dome: Dome) -> None:
    dome.crew = "threads"
    dome.plant({f"light-{number}.fits": frame(number) for number in range(6)})
    (balance,) = dome.carry().balances
    assert (balance.seen, balance.delivered) == (6, 6)
    assert all(dome.receipt(f"light-{number}.fits", "solve").proof["solved"] is True for number in range(6))


def test_frames_without_a_solution_are_held_where_the_route_says_so(dome: Dome, index: Path) -> None:
    dome.plant(night())
    (balance,) = dome.carry('failure = "hold"').balances
    assert (balance.seen, balance.delivered, balance.held) == (11, 9, 2)
    assert dome.accounts()["light-3.fits"].standing.reason.startswith("not solved: only ")
    (balance,) = dome.carry('failure = "mark"').balances
    assert balance.delivered == 11, "another version of the step tries again what the old one held"


def test_a_route_that_cannot_solve_does_not_start(dome: Dome, tmp_path: Path) -> None:
    dome.plant({"light-0.fits": frame(0)})
    with pytest.raises(Misconfigured, match="unknown engine 'astap'"):
        dome.carry('engine = "astap"')
    dome.index = tmp_path / "nowhere"
    with pytest.raises(Misconfigured, match="there is no index folder"):
        dome.carry()


def test_an_engine_that_crashes_costs_a_night_its_solutions_and_no_frame(
    dome: Dome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    told = site / "bad_engine-1.0.dist-info"
    told.mkdir(parents=True)
    code = "import ctypes\n\nclass Bad:\n    name = 'bad'\n    def guess(self, *_):\n        ctypes.string_at(0)\n"
    (site / "bad_engine.py").write_text(code, encoding="ascii")
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-engine\nVersion: 1.0\n", encoding="ascii")
    (told / "entry_points.txt").write_text("[nightferry.solvers]\nbad = bad_engine:Bad\n", encoding="ascii")
    monkeypatch.syspath_prepend(site)
    dome.plant({"light-0.fits": frame(0), "light-1.fits": frame(1), "dark-0.fits": frame(20, "dark")})
    (balance,) = dome.carry('engine = "bad"').balances
    assert (balance.seen, balance.delivered) == (3, 3)
    for name in ("light-0.fits", "light-1.fits"):
        receipt = dome.receipt(name, "solve")
        assert receipt.outcome is Outcome.DONE
        assert "the solver crashed" in str(receipt.proof["why"])


def test_another_archive_gets_the_very_same_bytes_later(dome: Dome) -> None:
    dome.plant({f"light-{number}.fits": frame(number) for number in range(3)})
    dome.carry()
    one = {path.name: path.read_bytes() for path in (dome.home / "eso").rglob("*.fits")}
    two = {path.name: path.read_bytes() for path in (dome.home / "second").rglob("*.fits")}
    assert one == two
    assert len(one) == 3


# the step alone ----------------------------------------------------------------------------------------------------


@pytest.fixture
def step(tmp_path: Path, index: Path) -> Solve:
    return Solve(Shelf(tmp_path / "shelf"), Settings(indexes=(index,), usual=False))


def shelved(step: Solve, dome: Dome, data: bytes) -> Frame:
    """Put a frame on the shelf, as a pull does."""
    dome.plant({"light-0.fits": data})
    dome.carry(until="verify")
    account = dome.accounts()["light-0.fits"]
    sighting = account.sighting
    file = dome.home / "shelf" / "callisto" / sighting.night.date.isoformat() / sighting.id
    assert file.exists()
    return Frame(
        sighting.id, Digest("0" * 64), len(data), sighting.night, sighting.path, sighting.role, file, {"kind": "fits"}
    )


def test_what_was_found_once_is_recalled_alike(step: Solve, dome: Dome) -> None:
    raw = shelved(step, dome, frame(0))
    (result,) = step([raw])
    assert result.outcome is Outcome.DONE
    assert result.product is not None
    receipt = Receipt(raw.id, raw.night, "solve", step.version, result.outcome, proof=result.proof)
    recalled = step.recall(raw, receipt)
    assert recalled.done
    assert recalled.frame.facts[SOLUTION] == result.product.facts[SOLUTION]
    assert json.loads(json.dumps(dict(result.proof))) == dict(result.proof), "a ledger can keep it"


def test_a_frame_that_ended_its_worker_twice_is_given_up(step: Solve, dome: Dome) -> None:
    raw = shelved(step, dome, frame(0))
    folder = dome.home / "shelf" / "callisto" / raw.night.date.isoformat() / "solving"
    folder.mkdir()
    (folder / f"{raw.id}.tries").write_text("2", encoding="ascii")
    (result,) = step([raw])
    assert result.outcome is Outcome.DONE
    assert "crashed, or did not end within" in str(result.proof["why"])
    (held,) = replace(step, failure="hold")([raw])
    assert held.outcome is Outcome.DONE, "and is tried anew when somebody asks again"


def test_a_frame_teaches_the_next_its_place_and_scale(step: Solve, dome: Dome) -> None:
    raw = shelved(step, dome, frame(0))
    (first,) = step([raw])
    notes = Notes(dome.home / "shelf" / "callisto" / raw.night.date.isoformat() / "solving")
    assert notes.earlier is not None
    assert notes.earlier.ra == first.proof["ra"]
    (notes.folder / "notes-1.json").write_text("{damaged", encoding="ascii")
    assert Notes(notes.folder).earlier == notes.earlier, "damaged notes only cost time"


def test_what_is_no_fits_passes(step: Solve, dome: Dome) -> None:
    raw = shelved(step, dome, frame(0))
    (result,) = step([replace(raw, facts={"kind": "tiff"})])
    assert result.outcome is Outcome.DONE
    assert result.proof["why"] == "not FITS"


def test_the_version_follows_settings_and_index_files(step: Solve, index: Path, tmp_path: Path) -> None:
    assert step.version == Solve(step.shelf, step.settings).version
    assert step.version != replace(step, failure="hold").version
    one = tmp_path / "one"
    one.mkdir()
    (one / "index.fits").write_bytes(min(index.glob("*.fits")).read_bytes())
    assert step.version != replace(step, settings=Settings(indexes=(one,), usual=False)).version
