"""How the four SPECULOOS telescopes are run: yesterday's night by default, given nights, several, with a programme."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

from nightferry.config import load_preset
from nightferry.core.night import evening_at
from nightferry.solving.building import Order, build
from nightferry.testing.encode import Card, fits_data, fits_header
from nightferry.testing.fields import draw_field, made_up_stars, plain_wcs, write_catalogue
from tests.acceptance.conftest import DONE, MISCONFIGURED, Desk, Ended
from tests.astra import START, astra_cards, astra_frame

if TYPE_CHECKING:
    from pathlib import Path

MOONS = ("io", "europa", "ganymede", "callisto")
PROGRAM = "60.A-9099(A)"
LONGITUDE = -70.3903
SIZE, PLACE = (480, 480), (346.6223641, -5.0413927)
STARS = made_up_stars(*PLACE, radius=0.2, count=3000)


def evening(days_ago: int) -> str:
    """Tell the night at Paranal so many days ago, as folders are named."""
    return f"{evening_at(datetime.now(UTC), LONGITUDE) - timedelta(days=days_ago):%Y%m%d}"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Index files of the one field that all four look at."""
    folder = tmp_path_factory.mktemp("field")
    build(Order((PLACE,), write_catalogue(folder / "stars.csv", STARS), 0.2, 4.8), folder / "index")
    return folder / "index"


@pytest.fixture
def moons(desk: Desk, index: Path) -> Desk:
    """The four telescopes as their presets have them, each with an archive of its own."""
    text = f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"
[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"
[crew]
kind = "threads"
"""
    for moon in MOONS:
        (desk.home / moon).mkdir()
        text += f"""
[telescope.{moon}]
preset = "speculoos-{moon}"
source = "{(desk.home / moon).as_uri()}"
settle = "0 s"
archives = ["eso-{moon}"]
header = {{ fitsverify = false }}
solve = {{ index = ["{index.as_posix()}"] }}
[archive.eso-{moon}]
url = "{(desk.home / "eso" / moon).as_uri()}"
"""
    (desk.home / "eso").mkdir()
    desk.config.write_text(text, encoding="utf-8")
    return desk


def plant(desk: Desk, moon: str, night: str, raw: bytes, name: str = "light.fits") -> None:
    folder = desk.home / moon / night
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(raw)


def frame_of(night: str, number: int) -> bytes:
    """Make a solved frame that was taken in the dark of a night at Paranal."""
    start = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC) + timedelta(hours=27)
    return astra_frame(number=number, start=start)


def run(desk: Desk, *words: str) -> Ended:
    return desk.nightferry("run", *words, "--json")


def products(desk: Desk, moon: str) -> list[fits.Header]:
    return [fits.getheader(path) for path in sorted((desk.home / "eso" / moon).rglob("*.fits"))]


def test_the_routes_solve_what_is_not_solved_and_only_callisto_makes_cubes() -> None:
    steps = ["verify", "solve", "standardise", "validate"]
    routes = {moon: load_preset(f"speculoos-{moon}").route for moon in MOONS}
    assert routes == {moon: [*steps, "cube"] if moon == "callisto" else steps for moon in MOONS}


def test_every_night_that_is_not_closed_is_carried_by_default_of_all_four(moons: Desk) -> None:
    last, before = evening(1), evening(2)
    for place, moon in enumerate(MOONS):
        for number, night in enumerate((last, before)):
            plant(moons, moon, night, frame_of(night, 10 * place + number))
    answer = run(moons, "--program", PROGRAM)
    assert answer.code == DONE, answer.out
    told = {(str(line["telescope"]), str(line["night"]).replace("-", "")): line["delivered"] for line in answer.json()}
    assert {night: count for night, count in told.items() if count} == {
        (moon, night): 1 for moon in MOONS for night in (last, before)
    }
    for moon in MOONS:
        headers = products(moons, moon)
        assert len(headers) == (4 if moon == "callisto" else 2), "a frame of each night, and Callisto's cube of it"
        assert {header["HIERARCH ESO OBS PROG ID"] for header in headers} == {PROGRAM}
        assert {header["TELESCOP"] for header in headers} == {f"SPECULOOS-{moon.upper()}"}


def test_given_nights_one_or_several_are_carried_and_no_other(moons: Desk) -> None:
    nights = ("20260220", "20260221", "20260222")
    for number, night in enumerate(nights):
        plant(moons, "io", night, frame_of(night, number))
    one = run(moons, "io", "--night", "20260221", "--program", PROGRAM)
    assert (one.code, one.sheet().night, one.sheet().delivered) == (DONE, "2026-02-21", 1)
    assert len(products(moons, "io")) == 1
    several = run(moons, "io", "--night", "20260220", "--night", "2026-02-22", "--program", "60.A-9009(D)")
    assert several.code == DONE
    assert [sheet.night for sheet in several.sheets()] == ["2026-02-20", "2026-02-22"]
    assert [header["HIERARCH ESO OBS PROG ID"] for header in products(moons, "io")] == [
        "60.A-9009(D)", PROGRAM, "60.A-9009(D)",
    ]  # fmt: skip


def test_a_run_without_a_programme_is_told_before_anything_is_pulled(moons: Desk) -> None:
    plant(moons, "europa", "20260222", frame_of("20260222", 1))
    answer = run(moons, "europa", "--night", "20260222")
    assert answer.code == MISCONFIGURED
    assert "--program" in answer.err
    assert not moons.shelf.exists() or not any(moons.shelf.rglob("*.fits"))


def test_an_unsolved_frame_is_solved_on_the_way_and_a_solved_one_is_left_as_it_is(moons: Desk) -> None:
    truth = plain_wcs(*PLACE, SIZE, 0.6, 1.5)
    head: list[Card] = [
        ("SIMPLE", True, ""), ("BITPIX", 16, ""), ("NAXIS", 2, ""), ("NAXIS1", SIZE[0], ""), ("NAXIS2", SIZE[1], ""),
    ]  # fmt: skip
    cards = astra_cards(number=1, start=START, solved=False, size=SIZE).values()
    plant(moons, "ganymede", "20260222", fits_header([*head, *cards]) + fits_data(draw_field(truth, STARS, SIZE)))
    plant(moons, "ganymede", "20260222", astra_frame(number=9), "solved.fits")
    answer = run(moons, "ganymede", "--night", "20260222", "--program", PROGRAM)
    assert answer.code == DONE, answer.out
    by_raw = {header["RAWFILE"]: header for header in products(moons, "ganymede")}
    scale = np.sqrt(abs(np.linalg.det(cd_of(by_raw["light.fits"])))) * 3600
    assert scale == pytest.approx(0.6, rel=1e-3)
    assert by_raw["solved.fits"]["CD2_2"] == pytest.approx(0.35 / 3600)


def cd_of(header: fits.Header) -> list[list[float]]:
    return [[float(header[f"CD{row}_{column}"]) for column in (1, 2)] for row in (1, 2)]
