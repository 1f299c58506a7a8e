"""What the scripts of today write wrongly of a SPECULOOS night, into cubes and headers, walked end to end.

As in ``test_old_losses.py``, with Callisto's cubes: a real Samba, a real mail server, the list of failures' numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from nightferry.formats.datasum import datasum_of
from nightferry.testing.encode import BLOCK, Card, fits_header
from tests.acceptance.conftest import DONE, HELD, MISCONFIGURED, Desk
from tests.acceptance.observatory import CUBES, Observatory, observatory_at, planes, servers
from tests.astra import START, astra_cards, astra_frame
from tests.astra_night import build_astra_night
from tests.servers.mail_server import MailServer
from tests.servers.samba import Smbd

Servers = tuple[Smbd, MailServer]
SIZE = (64, 48)


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers() as found:
        yield found


@pytest.fixture
def observatory(desk: Desk, running: Servers, tmp_path: Path) -> Observatory:
    return observatory_at(desk, running, tmp_path.name)


def typed_frame(
    number: int, bitpix: int, pixels: npt.NDArray[np.generic], scale: tuple[float, float] = (1.0, 0.0)
) -> bytes:
    """Make a light frame in any number format; ``scale`` is BSCALE and BZERO."""
    cards = astra_cards(number=number)
    del cards["BZERO"], cards["BSCALE"]
    head: list[Card] = [
        ("SIMPLE", True, ""), ("BITPIX", bitpix, ""),
        ("NAXIS", 2, ""), ("NAXIS1", SIZE[0], ""), ("NAXIS2", SIZE[1], ""),
    ]  # fmt: skip
    if scale != (1.0, 0.0):
        head += [("BSCALE", scale[0], ""), ("BZERO", scale[1], "")]
    data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return fits_header([*head, *cards.values()]) + data + bytes(-len(data) % BLOCK)


def assert_every_frame_is_a_plane_once(observatory: Observatory) -> None:
    found = [plane for cube in observatory.cubes() for plane in planes(cube).items()]
    frames = observatory.frames()
    assert sorted(name for name, _ in found) == sorted(frames)
    for name, stored in found:
        assert stored == fits.getdata(frames[name], do_not_scale_image_data=True).tobytes()


def test_10_a_cube_has_no_layer_for_a_frame_that_cannot_be_read(observatory: Observatory) -> None:
    faults = ("truncated", "empty", "garbage")
    night = build_astra_night(observatory.images, faults=faults, kinds=["light"] * 10)
    observatory.configure("callisto", route=CUBES)
    assert observatory.run().code == HELD
    words = {"truncated": "truncated", "empty": "empty", "garbage": "not FITS"}
    observatory.assert_nothing_lost(
        {item.path.rpartition("/")[2]: words[item.fault] for item in night if item.fault},
        alerts=["nightferry: callisto: 3 of 10 frames of 2026-02-22 are held"],
    )
    assert_every_frame_is_a_plane_once(observatory)


def test_10_a_cube_beside_the_frames_is_no_frame_of_the_next_cube(observatory: Observatory) -> None:
    night = build_astra_night(observatory.images, kinds=["light"] * 4)
    observatory.configure("callisto", route=CUBES)
    assert observatory.run().code == DONE
    (cube,) = observatory.cubes()
    before = {path: path.read_bytes() for path in observatory.files()}
    (observatory.images / night[0].path).with_name(cube.name).write_bytes(cube.read_bytes())
    assert observatory.run().code == HELD
    assert {path: path.read_bytes() for path in observatory.files()} == before
    observatory.assert_nothing_lost({cube.name: "NAXIS"})


def test_11_every_number_format_is_kept_and_odd_values_cost_nothing(observatory: Observatory) -> None:
    rng = np.random.default_rng(1)
    shape = (SIZE[1], SIZE[0])
    bright = rng.normal(1000, 10, shape).astype(np.float32)
    bright[3, 4] = 70000.5
    observatory.plant(
        {
            "whole_0.fits": astra_frame(number=0),
            "whole_1.fits": astra_frame(number=1, changed={"AIRMASS": "N/A"}),
            "float.fits": typed_frame(2, -32, bright),
            "half.fits": typed_frame(3, 16, rng.integers(0, 2000, shape).astype(np.int16), (0.5, 0.0)),
            "bytes.fits": typed_frame(4, 8, rng.integers(0, 255, shape).astype(np.uint8)),
            "comet.fits": astra_frame(number=5, changed={"OBJECT": "C/2023 A3"}),
        }
    )
    observatory.configure("callisto", route=CUBES)
    answer = observatory.run()
    assert answer.code == DONE, observatory.desk.held()
    observatory.assert_nothing_lost()
    assert_every_frame_is_a_plane_once(observatory)
    of = {name: cube for cube in observatory.cubes() for name in planes(cube)}
    assert fits.getdata(of["float.fits"])[0, 3, 4] == np.float32(70000.5)
    assert fits.getheader(of["half.fits"])["BSCALE"] == 0.5
    assert fits.getheader(of["bytes.fits"])["BITPIX"] == 8
    assert fits.getheader(of["comet.fits"])["OBJECT"] == "C/2023 A3"


def test_12_a_cube_begins_with_its_first_frame_whatever_its_name_and_mixes_no_settings(
    observatory: Observatory,
) -> None:
    frames = {f"z{9 - n}.fits": astra_frame(number=n) for n in range(4)}  # listed backwards in time
    for number, settings in enumerate([{}, {}, {"GAIN": 2.0}, {"SET-TEMP": -40.0}]):
        frames[f"bias_{number}.fits"] = astra_frame("bias", number=20 + number, changed=settings)
    observatory.plant(frames)
    observatory.configure("callisto", route=CUBES)
    assert observatory.run().code == DONE
    observatory.assert_nothing_lost()
    assert_every_frame_is_a_plane_once(observatory)
    biases = sorted(
        sorted(found) for cube in observatory.cubes() if "bias_0.fits" in (found := planes(cube)) or len(found) == 1
    )
    assert biases == [["bias_0.fits", "bias_1.fits"], ["bias_2.fits"], ["bias_3.fits"]]
    (science,) = (cube for cube in observatory.cubes() if "z9.fits" in planes(cube))
    header = fits.getheader(science)
    assert header["DATE-OBS"].startswith("2026-02-23T01:02:03.45")
    assert (header["MJD-END"] - header["MJD-OBS"]) * 86400 == pytest.approx(3 * 13 + 10, abs=0.01)


SPELLINGS: Mapping[str, tuple[str, str]] = {
    "Light Frame": ("SCIENCE", "OBJECT"), "LIGHT": ("SCIENCE", "OBJECT"), "light": ("SCIENCE", "OBJECT"),
    "object": ("SCIENCE", "OBJECT"), "Bias Frame": ("CALIB", "BIAS"), "BIAS": ("CALIB", "BIAS"),
    "Zero": ("CALIB", "BIAS"), "Dark Frame": ("CALIB", "DARK"), "DARK": ("CALIB", "DARK"),
    "Flat Frame": ("CALIB", "FLAT"), "Flat Field": ("CALIB", "FLAT"), "FLAT": ("CALIB", "FLAT"),
    "Sky Flat": ("CALIB", "FLAT"),
}  # fmt: skip


def test_13_every_value_in_the_archive_is_right(observatory: Observatory) -> None:
    frames = {
        f"spelling_{number:02d}.fits": astra_frame(number=number, changed={"IMAGETYP": spelling})
        for number, spelling in enumerate(SPELLINGS)
    }
    pixels = astra_frame(number=40)[-(-(-2 * SIZE[0] * SIZE[1] // BLOCK) * BLOCK) :]
    stale = {"CHECKSUM": "0000000000000000", "DATASUM": str(datasum_of(pixels))}  # as a program that only edits cards
    frames["plain.fits"] = astra_frame(number=40, changed=stale)
    observatory.plant(frames)
    began = datetime.now(UTC)
    observatory.configure("callisto")
    answer = observatory.run()
    assert answer.code == DONE, observatory.desk.held()
    observatory.assert_nothing_lost()
    for number, triple in enumerate(SPELLINGS.values()):
        header = observatory.header(f"spelling_{number:02d}.fits")
        assert (header["ESO DPR CATG"], header["ESO DPR TYPE"]) == triple

    header = observatory.header("plain.fits")
    raw = fits.getheader(observatory.images / "20260222/plain.fits")
    assert "CDELT1" not in header
    assert "PC1_1" not in header
    sky = WCS(header)
    with warnings.catch_warnings(action="ignore", category=FITSFixedWarning):  # the raw header's manners are its own
        was = WCS(raw)
    corners = [(1, 1), (SIZE[0], 1), (1, SIZE[1]), (SIZE[0], SIZE[1])]
    assert np.allclose(sky.all_pix2world(corners, 1), was.all_pix2world(corners, 1), atol=1e-7, rtol=0)
    scale = math.sqrt(abs(np.linalg.det(sky.pixel_scale_matrix))) * 3600
    assert scale == pytest.approx(0.35, rel=1e-6)
    start = START.timestamp() + 13 * 40
    assert ((header["MJD-OBS"] - 40587) * 86400) == pytest.approx(start, abs=1.5e-3)
    days = header["MJD-OBS"] - 51544.5
    sidereal = (280.46061837 + 360.98564736629 * days - 70.3903) % 360 / 15 * 3600
    assert header["LST"] == pytest.approx(sidereal, abs=1.5)
    assert datetime.fromisoformat(header["DATE"]).replace(tzinfo=UTC) >= began.replace(microsecond=0)


def test_13_right_ascension_in_hours_is_read_as_hours(observatory: Observatory) -> None:
    maxim = {
        "ASTRA": None,
        "SWCREATE": "MaxIm DL Version 6.20",
        "SBSTDVER": "SBFITSEXT 1.0",
        "TELESCOP": "ACP->Callisto",
    }
    place = {"RA": None, "DEC": None, "OBJCTRA": "08 05 14.96", "OBJCTDEC": "-27 03 45.0"}
    observatory.plant({"acp.fits": astra_frame(changed=maxim | place, solved=False)})
    observatory.configure("callisto")
    text = observatory.desk.config.read_text()
    observatory.desk.config.write_text(text.replace("fitsverify = false", 'fitsverify = false, dialect = "maxim"'))
    assert observatory.run().code == DONE, observatory.desk.held()
    observatory.assert_nothing_lost()
    assert observatory.header("acp.fits")["RA"] == pytest.approx(15 * (8 + 5 / 60 + 14.96 / 3600), abs=1e-6)


def test_13_a_mistyped_telescope_is_told_before_anything_moves(observatory: Observatory) -> None:
    build_astra_night(observatory.images, kinds=["light"] * 2)
    observatory.configure("callisto")
    text = observatory.desk.config.read_text()
    observatory.desk.config.write_text(text.replace("speculoos-callisto", "speculoos-calisto"))
    answer = observatory.run()
    assert answer.code == MISCONFIGURED
    assert "speculoos-callisto" in answer.err
    observatory.desk.config.write_text(text)
    wrong = observatory.run("calisto")
    assert wrong.code == MISCONFIGURED
    assert "callisto" in wrong.err
    assert observatory.files() == []
    assert observatory.run().code == DONE
    observatory.assert_nothing_lost()
