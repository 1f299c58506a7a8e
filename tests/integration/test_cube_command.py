"""nightferry cube: what it says and how it ends, from the shell."""

import json
import subprocess
from pathlib import Path

import pytest
from astropy.io import fits

from tests import quick_start
from tests.astra import astra_frame

#: Real frames that lie beside some checkouts; where they do, they are put together as well.
SEESTAR = sorted((Path(__file__).parents[2].parent / "shared/data/seestar").glob("*.fit"))


def nightferry(*words: object, home: Path) -> subprocess.CompletedProcess[str]:
    return quick_start.nightferry("--config", f"{home / 'none.toml'}", *map(str, words))


@pytest.fixture
def night(tmp_path: Path) -> list[Path]:
    """Three lights, two biases, and a truncated light."""
    files = []
    for number, kind in enumerate(["light", "light", "light", "bias", "bias", "light"]):
        file = tmp_path / f"{number}-{kind}.fits"
        file.write_bytes(astra_frame(kind, number=number))
        files.append(file)
    files[5].write_bytes(files[5].read_bytes()[:-3000])
    return files


def test_the_groups_are_shown_and_nothing_is_written(tmp_path: Path, night: list[Path]) -> None:
    told = nightferry("cube", *night, "--into", tmp_path / "out", "--dry-run", home=tmp_path)
    assert told.returncode == 1
    assert "5-light.fits: left out: truncated by" in told.stdout
    assert "science Sp2306-0502_I+z_10s: 3 frames of 64x48" in told.stdout
    assert "bias bias: 2 frames" in told.stdout
    assert not (tmp_path / "out").exists()


def test_cubes_are_made_and_made_once(tmp_path: Path, night: list[Path]) -> None:
    words = ("cube", *night[:5], "--into", tmp_path / "out", "--json")
    first, again = (nightferry(*words, home=tmp_path) for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    told = [json.loads(line) for line in first.stdout.splitlines()]
    assert [(one["outcome"], one["type"], one["frames"], one["was_there"]) for one in told] == [
        ("done", "science", 3, False), ("done", "bias", 2, False),
    ]  # fmt: skip
    assert sorted(told[0]["files"]) == [str(file) for file in night[:3]]
    assert [json.loads(line)["was_there"] for line in again.stdout.splitlines()] == [True, True]
    assert sorted(str(path) for path in (tmp_path / "out").iterdir()) == sorted(one["cube"] for one in told)


def test_what_is_left_out_is_told_in_json_and_by_the_exit_code(tmp_path: Path, night: list[Path]) -> None:
    done = nightferry("cube", *night, "--into", tmp_path / "out", "--json", home=tmp_path)
    assert done.returncode == 1
    told = json.loads(done.stdout.splitlines()[0])
    assert (told["file"], told["outcome"]) == (str(night[5]), "held")
    assert "truncated" in told["reason"]


def test_frames_of_a_telescope_become_cubes_that_its_archive_accepts(tmp_path: Path, night: list[Path]) -> None:
    options = ("--telescope", "speculoos-callisto", "--program", "60.A-9009(D)")
    done = nightferry("cube", *night[:5], "--into", tmp_path / "out", *options, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    cubes = sorted((tmp_path / "out").iterdir())
    assert [cube.name.split(".")[0] for cube in cubes] == ["SPECU4", "SPECU4"]
    judged = nightferry("validate", *cubes, "--telescope", "speculoos-callisto", home=tmp_path)
    assert judged.returncode == 0, judged.stdout
    assert "warning" not in judged.stdout


def test_a_cube_comes_apart(tmp_path: Path, night: list[Path]) -> None:
    nightferry("cube", *night[:3], "--into", tmp_path / "out", home=tmp_path)
    (cube,) = (tmp_path / "out").iterdir()
    shown = nightferry("cube", "--split", cube, "--into", tmp_path / "back", "--dry-run", home=tmp_path)
    assert shown.stdout.split() == [file.name for file in night[:3]]
    assert not (tmp_path / "back").exists()
    done = nightferry("cube", "--split", cube, night[0], "--into", tmp_path / "back", "--json", home=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1  # a frame is no cube
    assert [one["outcome"] for one in told] == ["done", "done", "done", "held"]
    assert sorted(path.name for path in (tmp_path / "back").iterdir()) == [file.name for file in night[:3]]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (("--telescope", "speculos"), "there is no telescope 'speculos'"),
        (("--profile", "esa"), "unknown profile 'esa'"),
        (("--dialect", "asta"), "unknown dialect 'asta'"),
        (("--max-size", "4"), "--max-size: expected a quantity"),
        (("--odd", "aside"), "--odd aside: expected one of apart, out"),
        (("--max-frames", "0"), "max-frames"),
    ],
)
def test_wrong_words_are_the_operators_affair(
    tmp_path: Path, night: list[Path], words: tuple[str, ...], wrong: str
) -> None:
    told = nightferry("cube", night[0], *words, "--into", tmp_path / "out", home=tmp_path)
    assert (told.returncode, wrong in told.stderr) == (2, True), told.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_the_operators_affair(tmp_path: Path, night: list[Path]) -> None:
    told = nightferry("cube", night[0], "--into", tmp_path / "no" / "out", home=tmp_path)
    assert (told.returncode, "is its disk mounted?" in told.stderr) == (2, True)
    told = nightferry("cube", night[0], "--into", night[1], home=tmp_path)
    assert told.returncode == 2, told.stderr
    assert "Traceback" not in told.stderr


def test_nothing_to_make_leaves_no_folder(tmp_path: Path, night: list[Path]) -> None:
    told = nightferry("cube", night[5], "--into", tmp_path / "out", home=tmp_path)
    assert (told.returncode, (tmp_path / "out").exists()) == (1, False)


@pytest.mark.parametrize("real", [False, *([True] if SEESTAR else [])])
def test_frames_come_back_as_they_were(tmp_path: Path, night: list[Path], real: bool) -> None:  # noqa: FBT001 - a case
    frames = SEESTAR if real else night[:5]
    made = nightferry("cube", *frames, "--into", tmp_path / "out", home=tmp_path)
    assert made.returncode == 0, made.stdout
    cubes = sorted((tmp_path / "out").iterdir())
    judged = nightferry("validate", *cubes, "--profile", "library", home=tmp_path)
    assert judged.returncode == 0, judged.stdout
    nightferry("cube", "--split", *cubes, "--into", tmp_path / "back", home=tmp_path)
    for frame in frames:
        with fits.open(frame) as before, fits.open(tmp_path / "back" / frame.name, checksum=True) as after:
            assert (before[0].data == after[0].data).all()
            for key in set(before[0].header) - {"", "COMMENT", "HISTORY"}:
                assert after[0].header[key] == before[0].header[key], key
