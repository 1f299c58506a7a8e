"""The simulated sky: real stars at their places, and files that are what they claim to be."""

import struct
from importlib.resources import files

import numpy as np
import pytest

from nightferry.core.errors import Misconfigured
from nightferry.testing.encode import fits_card, fits_image, jpeg_rgb8, tiff_rgb16
from nightferry.testing.sky import (
    FULL_SCALE,
    FULL_SIZE,
    TARGETS,
    View,
    dark_frame,
    light_frame,
    make_sensor,
    project,
    star_table,
    to_preview,
    to_rgb,
)

SMALL = make_sensor((320, 180), seed=1)


def test_every_target_has_enough_stars_around_it_to_be_solved() -> None:
    for name, target in TARGETS.items():
        stars = star_table()[name]
        cosine = np.cos(np.radians(target.dec))
        away = np.hypot((stars[:, 0] - target.ra) * cosine, stars[:, 1] - target.dec)
        assert len(stars) >= 100, name
        assert away.max() < 1.3, name
        assert stars[:, 2].min() < 9 < stars[:, 2].max() < 14, name


def test_star_table_is_small_and_names_its_source_and_licence() -> None:
    text = files("nightferry.testing").joinpath("stars.csv").read_text(encoding="ascii")
    assert len(text) < 100_000
    assert "A&A 355, L27" in text
    assert "BSD-2-Clause" in text


def test_atlas_stands_in_the_pleiades_where_hipparcos_saw_it() -> None:
    """HIP 17847: RA 57.2906, Dec +24.0534, V 3.62 (Hipparcos catalogue, ESA SP-1200)."""
    brightest = star_table()["M45"][0]
    assert brightest == pytest.approx((57.2906, 24.0534, 3.62), abs=0.03)


def test_north_is_up_and_east_is_left() -> None:
    places = np.array([[10.0, 40.0], [10.0, 40.1], [10.1, 40.0], [190.0, -40.0]])
    x, y = project(places, View(10.0, 40.0), make_sensor(FULL_SIZE, seed=1))
    assert (x[0], y[0]) == pytest.approx((959.5, 539.5))
    assert (x[1] - x[0], y[1] - y[0]) == pytest.approx((0, 360 / FULL_SCALE), abs=1e-3)
    assert x[2] - x[0] == pytest.approx(-360 / FULL_SCALE * np.cos(np.radians(40)), rel=1e-3)
    assert np.isnan(x[3])


def test_rotation_turns_the_sky_from_north_to_east() -> None:
    east = np.array([[10.1, 0.0]])
    x, y = project(east, View(10.0, 0.0, rotation=90), SMALL)
    assert (x[0], y[0]) == pytest.approx((159.5, 89.5 + 360 / SMALL.scale), abs=1e-2)


def test_field_is_as_wide_as_vesperas_at_any_size() -> None:
    assert SMALL.width * SMALL.scale == pytest.approx(FULL_SIZE[0] * FULL_SCALE)


@pytest.mark.parametrize("name", TARGETS)
def test_stars_shine_where_the_table_puts_them(name: str) -> None:
    target = TARGETS[name]
    view = View(target.ra + 0.01, target.dec, rotation=25)
    rng = np.random.default_rng(5)
    lit = light_frame(SMALL, target, view, rng, seconds=10).astype(int)
    glow_only = np.median(lit)
    x, y = project(star_table()[name], view, SMALL)
    bright = star_table()[name][:, 2] < 9.5
    inside = bright & (x > 2) & (x < SMALL.width - 3) & (y > 2) & (y < SMALL.height - 3)
    assert inside.any()
    for column, row in zip(np.rint(x[inside]).astype(int), np.rint(y[inside]).astype(int), strict=True):
        assert lit[row - 1 : row + 2, column - 1 : column + 2].max() > glow_only + 5000


def test_brighter_star_is_brighter_by_its_magnitude() -> None:
    target = TARGETS["M16"]
    view = View(target.ra, target.dec)
    stars = star_table()["M16"]
    sensor = make_sensor(FULL_SIZE, seed=1)
    x, y = project(stars, view, sensor)
    image = light_frame(sensor, target, view, np.random.default_rng(1), seconds=10, stacked=10_000).astype(float)
    green = np.add.outer(np.arange(sensor.height), np.arange(sensor.width)) % 2 == 1  # any colour of star is 1 there
    zero_points = []
    for index in np.flatnonzero((stars[:, 2] > 9) & (stars[:, 2] < 11.5)):
        column, row = int(np.rint(x[index])), int(np.rint(y[index]))
        alone = (np.hypot(x - x[index], y - y[index]) < 25).sum() == 1
        if alone and 20 < column < 1900 and 20 < row < 1060:
            stamp = np.s_[row - 8 : row + 9, column - 8 : column + 9]
            light = image[stamp][green[stamp]]
            zero_points.append(stars[index, 2] + 2.5 * np.log10((light - np.median(light)).sum()))
    assert len(zero_points) > 20
    assert np.percentile(zero_points, 90) - np.percentile(zero_points, 10) < 0.2


def test_same_seed_draws_the_same_frame_and_the_next_frame_differs() -> None:
    target = TARGETS["M13"]
    view = View(target.ra, target.dec)
    again = make_sensor((320, 180), seed=1)
    first = light_frame(SMALL, target, view, np.random.default_rng(7), seconds=10)
    rng = np.random.default_rng(7)
    assert np.array_equal(first, light_frame(again, target, view, rng, seconds=10))
    assert not np.array_equal(first, light_frame(again, target, view, rng, seconds=10))


def test_dark_has_noise_of_its_own_and_hot_pixels_that_stay() -> None:
    rng = np.random.default_rng(2)
    first, second = dark_frame(SMALL, rng).astype(int), dark_frame(SMALL, rng).astype(int)
    difference = first - second
    assert 130 < difference.std() < 180  # the square root of two times 110
    hot = SMALL.pattern > 1300
    assert hot.any()
    assert (first[hot] > np.median(first) + 100).mean() > 0.9


def test_noise_of_two_frames_is_not_the_same_noise() -> None:
    rng = np.random.default_rng(2)
    first, second = (dark_frame(SMALL, rng).astype(float) - SMALL.pattern for _ in range(2))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.05


def test_stack_is_quieter_than_a_frame() -> None:
    target = TARGETS["M13"]
    view = View(target.ra, target.dec)
    spreads = []
    for count in (1, 100):
        frame = light_frame(SMALL, target, view, np.random.default_rng(3), seconds=10, stacked=count)
        corner = frame[:40:2, :40:2].astype(float)
        spreads.append(np.median(np.abs(corner - np.median(corner))))
    assert spreads[1] < spreads[0] / 5


@pytest.mark.parametrize("size", [(321, 180), (320, 181), (8, 8)])
def test_size_that_no_mosaic_has_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(Misconfigured, match="even"):
        make_sensor(size, seed=1)


def test_fits_file_reads_back_pixel_for_pixel() -> None:
    pixels = np.arange(32 * 20, dtype=np.uint16).reshape(20, 32) * 100
    raw = fits_image([("OBJECT", "Barnard's", "a quote"), ("EXPTIME", 10.0, "[s]")], pixels)
    assert len(raw) == 2 * 2880
    cards = {raw[at : at + 8].decode().strip(): raw[at + 10 : at + 80].decode() for at in range(0, 2880, 80)}
    assert raw[:30] == b"SIMPLE  =                    T"
    assert cards["OBJECT"].startswith("'Barnard''s'")
    assert cards["EXPTIME"].split("/")[0].strip() == "10.0"
    assert (cards["NAXIS1"].split()[0], cards["NAXIS2"].split()[0]) == ("32", "20")
    stored = np.frombuffer(raw[2880 : 2880 + 1280], ">i2").astype(int).reshape(20, 32)
    assert np.array_equal(stored + 32768, pixels)
    assert raw[2880 + 1280 :] == bytes(1600)


def test_card_that_does_not_fit_is_an_error_and_a_long_comment_is_cut() -> None:
    assert len(fits_card("OBJECT", "x" * 60, "y" * 60)) == 80
    with pytest.raises(ValueError, match="OBJECT"):
        fits_card("OBJECT", "x" * 70)


def test_tiff_says_what_it_holds() -> None:
    pixels = np.arange(6 * 4 * 3, dtype=np.uint16).reshape(4, 6, 3) * 800
    raw = tiff_rgb16(pixels)
    order, magic, at, count = struct.unpack("<2sHIH", raw[:10])
    assert (order, magic, at) == (b"II", 42, 8)
    entries = [struct.unpack("<HHII", raw[10 + 12 * i : 22 + 12 * i]) for i in range(count)]
    tags = {tag: value for tag, _, _, value in entries}
    assert [tag for tag, *_ in entries] == sorted(tags)
    assert (tags[256], tags[257], tags[277]) == (6, 4, 3)
    assert struct.unpack_from("<HHH", raw, tags[258]) == (16, 16, 16)
    assert np.array_equal(np.frombuffer(raw[tags[273] :], "<u2").reshape(4, 6, 3), pixels)
    assert len(raw) == tags[273] + tags[279]


def read_jpeg_levels(raw: bytes) -> list[list[int]]:
    """Decode the mean of each block (Y, Cb, Cr, in quantiser steps) from a JPEG as ours are written."""
    at, tables, quantiser = 2, {}, 0
    while raw[at + 1] != 0xDA:
        marker, length = raw[at + 1], struct.unpack_from(">H", raw, at + 2)[0]
        body = raw[at + 4 : at + 2 + length]
        if marker == 0xC4:
            (code_length,) = [i + 1 for i in range(16) if body[1 + i]]
            tables[body[0]] = (code_length, body[17:])
        if marker == 0xDB:
            quantiser = body[1]
        at += 2 + length
    scan = raw[at + 2 + struct.unpack_from(">H", raw, at + 2)[0] : -2].replace(b"\xff\0", b"\xff")
    bits, place = "".join(f"{byte:08b}" for byte in scan), 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place] or "0", 2)

    def symbol(table: int) -> int:
        length, symbols = tables[table]
        return int(symbols[take(length)])

    last, blocks = [0, 0, 0], []
    while len(bits) - place >= 8:
        for component in range(3):
            size = symbol(0x00)
            value = take(size)
            last[component] += value if size == 0 or value >> (size - 1) else value - (1 << size) + 1
            filled = 1
            while filled < 64:
                run_size = symbol(0x10)
                if run_size == 0:
                    break
                filled += (run_size >> 4) + 1
                take(run_size & 15)
            assert filled <= 64
        blocks.append([level * quantiser for level in last])
    return blocks


def test_jpeg_holds_the_picture() -> None:
    rng = np.random.default_rng(4)
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[:, 8:16] = (255, 0, 0)
    pixels[:, 16:] = rng.integers(0, 255, (20, 8, 1))
    raw = jpeg_rgb8(pixels)
    assert raw[:4] == b"\xff\xd8\xff\xe0"
    assert raw[-2:] == b"\xff\xd9"
    frame = raw.index(b"\xff\xc0")
    assert struct.unpack_from(">HHB", raw, frame + 5) == (20, 24, 3)
    blocks = read_jpeg_levels(raw)
    assert len(blocks) == 3 * 3
    black, red, grey = blocks[:3]
    assert black == pytest.approx([8 * -128, 0, 0], abs=6)
    assert red == pytest.approx([8 * (76.2 - 128), 8 * -43, 8 * 127.9], abs=6)
    luma = pixels[:8, 16:, 0].mean()
    assert grey == pytest.approx([8 * (luma - 128), 0, 0], abs=6)


def test_jpeg_holds_no_byte_that_reads_as_a_marker() -> None:
    board = np.random.default_rng(1).integers(0, 2, (16, 16, 1), dtype=np.uint8) * np.uint8(255)
    raw = jpeg_rgb8(board.repeat(8, 0).repeat(8, 1).repeat(3, 2), step=1)  # steps of 2040: eight ones in a row
    start = raw.index(b"\xff\xda")
    scan = raw[start + 2 + struct.unpack_from(">H", raw, start + 2)[0] : -2]
    assert scan.count(b"\xff") == scan.count(b"\xff\0") > 0


def test_preview_is_small_dark_and_shows_the_brightest_star_where_it_is() -> None:
    target = TARGETS["M45"]
    view = View(target.ra, target.dec)
    sensor = make_sensor((640, 360), seed=1)
    mosaic = light_frame(sensor, target, view, np.random.default_rng(1), seconds=10)
    preview = to_preview(mosaic)
    assert preview.shape == (180, 320, 3)
    assert np.median(preview) < 80
    x, y = (int(np.rint(axis[0])) for axis in project(star_table()["M45"][:1], view, sensor))
    assert preview[(359 - y) // 2, x // 2].min() > 200
    assert to_rgb(mosaic).shape == (360, 640, 3)
