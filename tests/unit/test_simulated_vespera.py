"""The simulated night: every layout, every quirk, and a plan that tells the truth about the files."""

import itertools
import json
import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from blake3 import blake3

from nightferry.core.errors import Misconfigured
from nightferry.core.night import evening_of
from nightferry.testing.observations import CADENCE, LATITUDE, LONGITUDE, horizon, plan_observations
from nightferry.testing.sky import TARGETS, Target, make_sensor
from nightferry.testing.vespera import Kind, NightPlan, build_night, light_files

EVENING = date(2026, 9, 12)
TINY = (32, 18)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> NightPlan:
    return build_night(
        tmp_path_factory.mktemp("card"), seed=1, evening=EVENING, observations=5, lights=4, size=TINY, quirks=True
    )


def paths(plan: NightPlan) -> list[str]:
    return [file.path for file in plan.files]


def header(raw: bytes) -> dict[str, str]:
    cards = {}
    for at in range(0, 2880, 80):
        card = raw[at : at + 80].decode("ascii")
        cards[card[:8].strip()] = card[10:].split(" / ")[0].strip(" '")
    return cards


def start_of(folder: str) -> datetime:
    return datetime.strptime(folder[:19], "%Y-%m-%d_%H-%M-%S").replace(tzinfo=UTC)


def test_plan_tells_every_file_that_is_there_and_no_other(night: NightPlan) -> None:
    there = {
        path.relative_to(night.root).as_posix()
        for path in night.root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert sorted(paths(night)) == sorted(there)
    for file in night.files:
        state = (night.root / file.path).stat()
        assert (state.st_size, state.st_mtime_ns // 1000) == (file.size, file.mtime_us), file.path
        assert blake3((night.root / file.path).read_bytes()).hexdigest() == file.digest
    assert night.bytes == sum((night.root / path).stat().st_size for path in there)


@pytest.mark.parametrize(
    "layout",
    [
        r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_observation_[A-Z0-9]+/01-images-initial/img-0001\.fits",
        r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-observation-[A-Z0-9]+/01-images-initial/img-0001\.fits",
        r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_plan_My_plan/01-observation-[a-z0-9]+/01-images-initial/img-0001\.fits",
        r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_plan_My_plan/02-observation-[a-z0-9]+/01-images-initial/img-0001\.fits",
        r"[^/]+/img-0001-dark\.fits",
        r"[^/]+/[^/]+/img-0001-dark\.fits",
        r"[^/]+/01-images-initial/img-0004r\.fits",
        r"[^/]+/01-images-initial/img-0004\.json",
        r"[^/]+/01-images-initial/TargetSet\.[A-Z0-9]+\.10\.00\.LIGHT\.5\.[-_\d]+\.fits\.fits",
        r"[^/]+/[A-Z0-9]+-0004\.tiff",
        r"[^/]+/[A-Z0-9]+-0004\.tif",
        r"[^/]+/[A-Z0-9]+-0004\.jpg",
    ],
)
def test_every_layout_is_in_the_night(night: NightPlan, layout: str) -> None:
    assert any(re.fullmatch(layout, path) for path in paths(night))


@pytest.mark.parametrize(
    "quirk",
    [
        "img-0002-dark.fits",
        "02-images-stacked/img-0001.fits",
        "02-images-stacked/stack.fits",
        "01-images-initial/IMG-9001.FITS",
        "01-images-initial/img-9002 second try.fits",
        '01-images-initial/img-9003 the "best" of tonight\'s.fits',
        "01-images-initial/img-9004-caf\udce9.fits",
        "latest.fits",
    ],
)
def test_every_quirk_is_made_or_said_to_be_left_out(night: NightPlan, quirk: str) -> None:
    path = f"{paths(night)[0].split('/')[0]}/{quirk}"
    refused = [text for text in night.left_out if text.startswith(repr(path))]
    assert (path in {*paths(night), *night.links}) != bool(refused)


def test_faulty_frames_are_what_their_fault_says(night: NightPlan) -> None:
    faults = {file.fault: (night.root / file.path).read_bytes() for file in night.files if file.fault}
    assert sorted(faults) == ["empty", "text", "truncated"]
    assert faults["empty"] == b""
    assert b"SIMPLE" not in faults["text"]
    assert faults["truncated"].startswith(b"SIMPLE  =")
    assert len(faults["truncated"]) % 2880


def test_every_other_frame_is_whole(night: NightPlan) -> None:
    frames = [file for file in night.files if file.kind in {Kind.LIGHT, Kind.DARK} and not file.fault]
    assert len(frames) == 5 * 4 + 1 + 5 + 7
    for file in frames:
        raw = (night.root / file.path).read_bytes()
        cards = header(raw)
        assert len(raw) == 2 * 2880
        assert (cards["NAXIS1"], cards["NAXIS2"], cards["BZERO"]) == ("32", "18", "32768")
        assert (cards["INSTRUME"], cards["OBJECT"]) == ("Vespera", file.object)
        assert cards["IMAGETYP"] == ("Dark Frame" if file.kind is Kind.DARK else "Light Frame")
        assert float(cards["RA"]) == TARGETS[file.object].ra


def test_no_two_frames_have_the_same_bytes(night: NightPlan) -> None:
    digests = [file.digest for file in night.files]
    assert len(set(digests)) == len(digests)


def test_counter_starts_again_in_every_session(night: NightPlan) -> None:
    first = [path for path in paths(night) if path.endswith("/01-images-initial/img-0001.fits")]
    assert len(first) == 5
    objects = [file.object for file in night.files if file.path in first]
    assert objects[0] == objects[4]
    assert len(set(objects)) == 4


def test_folders_files_and_headers_agree_on_the_time(night: NightPlan) -> None:
    for file in night.files:
        local = start_of(file.path)
        assert evening_of(local.replace(tzinfo=None)) == EVENING
        begun = local - timedelta(hours=1)  # the telescope's clock is an hour ahead of UTC
        written = datetime.fromtimestamp(file.mtime_us / 1e6, UTC)
        assert timedelta(0) < written - begun < timedelta(hours=3)
        if file.kind is Kind.LIGHT and not file.fault:
            start = datetime.fromisoformat(header((night.root / file.path).read_bytes())["DATE-OBS"] + "+00:00")
            assert timedelta(seconds=10) <= written - start <= timedelta(seconds=11)
            number = re.search(r"observation_[^/]*/01-images-initial/img-(0\d+)\.fits", file.path)
            if number:
                assert start == begun + timedelta(seconds=30 + (int(number[1]) - 1) * CADENCE)


def test_night_goes_on_after_midnight(night: NightPlan) -> None:
    assert {path[:10] for path in paths(night)} == {"2026-09-12", "2026-09-13"}


def test_folder_is_as_old_as_its_newest_file(night: NightPlan) -> None:
    for folder in {parent for path in paths(night) for parent in list(PurePosixPath(path).parents)[:-1]}:
        below = [file.mtime_us for file in night.files if folder in PurePosixPath(file.path).parents]
        assert (night.root / folder).stat().st_mtime_ns // 1000 == max(below)


def test_turned_sensor_turns_picture_and_mosaic(night: NightPlan) -> None:
    patterns = {}
    for file in night.files:
        folder, *_, name = file.path.split("/")
        if file.kind is Kind.LIGHT and "-observation-" in folder and name.startswith("img-"):
            patterns[name] = header((night.root / file.path).read_bytes())["BAYERPAT"]
    assert patterns == {
        "img-0001.fits": "RGGB",
        "img-0002.fits": "RGGB",
        "img-0003r.fits": "BGGR",
        "img-0004r.fits": "BGGR",
    }


def test_frame_of_a_turned_sensor_is_the_same_frame_turned() -> None:
    sensor, pixels = make_sensor((320, 180), seed=1), []
    for stem in ("img-0001", "img-0001r"):
        frame, sidecar = light_files(
            stem,
            number=1,
            target=TARGETS["M42"],
            start=datetime(2026, 9, 12, 22, tzinfo=UTC),
            sensor=sensor,
            rng=np.random.default_rng(1),
        )
        assert (frame.path, sidecar.path) == (f"{stem}.fits", "img-0001.json")
        pixels.append(np.frombuffer(frame.data, ">u2", 320 * 180, 2880).reshape(180, 320))
    assert np.array_equal(pixels[1], pixels[0][::-1, ::-1])


def test_sidecar_tells_where_the_telescope_pointed(night: NightPlan) -> None:
    sidecar = next(file for file in night.files if file.path.endswith("img-0002.json"))
    notes = json.loads((night.root / sidecar.path).read_bytes())
    frame = header((night.root / sidecar.path).with_suffix(".fits").read_bytes())
    start = datetime.fromisoformat(frame["DATE-OBS"] + "+00:00")
    altitude, azimuth, _ = horizon(TARGETS[sidecar.object], start)
    assert notes["motors"] == pytest.approx({"ALT": altitude, "AZ": azimuth}, abs=1e-3)
    assert notes["acquisitionTime"] == start.timestamp() * 1000


def test_same_seed_writes_the_same_night_and_another_seed_another(tmp_path: Path) -> None:
    nights = [
        build_night(tmp_path / str(i), seed=seed, evening=EVENING, observations=2, lights=2, size=TINY)
        for i, seed in enumerate((1, 1, 2))
    ]
    assert nights[0].files == nights[1].files
    frames = [{file.digest for file in night.files if file.kind is Kind.LIGHT} for night in nights]
    assert not frames[0] & frames[2]


def test_targets_are_taken_in_turn(tmp_path: Path) -> None:
    night = build_night(
        tmp_path, seed=1, evening=EVENING, observations=3, lights=1, size=TINY, targets=["m42", "NGC7000"]
    )
    objects = [name for name, _ in itertools.groupby(file.object for file in night.files)]
    assert objects == ["M42", "NGC7000", "M42"]


@pytest.mark.parametrize("month", range(1, 13))
def test_telescope_takes_what_is_above_the_horizon(month: int) -> None:
    for observation in plan_observations(date(2026, month, 15), observations=4, lights=12):
        assert horizon(observation.target, observation.start)[0] > 15


def test_target_in_the_south_stands_as_high_as_geometry_says() -> None:
    """At 2000-01-01 12:00 UTC Greenwich's mean sidereal time is 280.4606 degrees."""
    noon = datetime(2000, 1, 1, 12, tzinfo=UTC)
    south = Target("south", (280.4606 + LONGITUDE) % 360, 10.0)
    assert horizon(south, noon) == pytest.approx((90 - LATITUDE + 10, 180, 0), abs=1e-3)
    pole = Target("pole", 0.0, 90.0)
    assert horizon(pole, noon)[0] == pytest.approx(LATITUDE)
    east = Target("east", (280.4606 + LONGITUDE + 90) % 360, 0.0)
    assert horizon(east, noon)[:2] == pytest.approx((0, 90), abs=1e-3)


def test_night_without_quirks_has_only_whole_frames(tmp_path: Path) -> None:
    night = build_night(tmp_path, seed=1, evening=EVENING, observations=1, lights=2, size=TINY)
    assert [file.fault for file in night.files] == [""] * len(night.files)
    assert (night.links, night.left_out) == ((), ())
    assert len(night.files) == 1 + 2 * 2 + 2


def test_stack_shows_the_stars_of_its_target(tmp_path: Path) -> None:
    night = build_night(tmp_path, seed=1, evening=EVENING, observations=1, lights=1, size=(320, 180), targets=["M45"])
    (stack,) = [file for file in night.files if file.kind is Kind.STACK]
    raw = (night.root / stack.path).read_bytes()
    pixels = np.frombuffer(raw[-320 * 180 * 6 :], "<u2").reshape(180, 320, 3)
    assert pixels.max() > 10 * np.median(pixels)


def test_night_is_never_written_over_another(tmp_path: Path) -> None:
    first = build_night(tmp_path, seed=1, evening=EVENING, observations=1, lights=1, size=TINY)
    with pytest.raises(Misconfigured, match="empty folder"):
        build_night(tmp_path, seed=2, evening=EVENING, observations=1, lights=1, size=TINY)
    assert blake3((tmp_path / first.files[0].path).read_bytes()).hexdigest() == first.files[0].digest


def test_more_frames_than_a_night_is_long_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="a night lasts 14:00:00"):
        build_night(tmp_path, seed=1, evening=EVENING, observations=5, lights=1000, size=TINY)
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing at all, whatever its kind


def test_one_long_observation_fits(tmp_path: Path) -> None:
    (observation,) = plan_observations(EVENING, observations=1, lights=4000)
    assert evening_of(observation.start_of(4000).replace(tzinfo=None)) == EVENING


def test_unknown_target_is_refused_with_those_we_know(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="M31"):
        build_night(tmp_path, seed=1, evening=EVENING, targets=["M999"], size=TINY)
