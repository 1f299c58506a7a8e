"""How fast and how right frames are solved, beside solve-field as people call it: one command, prints tables.

    python benchmarks/solve_speed.py --index DIR [--frames 8] [--real DIR] [--theirs 2] [--workers]
    python benchmarks/solve_speed.py --only-workers

``--index`` is a folder with Tycho-2's index file 07 (Debian: astrometry-data-tycho2-07-littleendian). Frames are drawn
with a known truth: real stars and a lens' distortion of two pixels at the corners for the wide fields, made-up stars
for the narrow one, whose index is built here, as is that of ``--only-workers`` without ``--index``. Times are
processor time of a warm process, one thread; theirs is that of the whole command, its output file included. ``--real``
is a folder of real frames.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: as in the crew's workers

import argparse
import math
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from nightferry.headers.canonical import Wcs
from nightferry.pools import SturdyProcesses
from nightferry.solving.building import Order, build
from nightferry.solving.frame import solve_frame
from nightferry.solving.learning import learn, relearnt
from nightferry.solving.model import Answer, Settings
from nightferry.solving.sphere import separation, sky_of
from nightferry.solving.warp import Warp
from nightferry.solving.worker import solve_task
from nightferry.testing.encode import Card, fits_image
from nightferry.testing.fields import Pixels, build_sky_index, draw_field, made_up_stars, plain_wcs, write_catalogue
from nightferry.testing.sky import TARGETS, star_table


@dataclass(frozen=True)
class Kind:
    """A kind of frame: size, arcsec per pixel, target in milliseconds of processor time."""

    name: str
    size: tuple[int, int]
    scale: float
    target: float
    narrow: bool = False


KINDS = (
    Kind("3840x2160, 1.6 x 0.9 deg", (3840, 2160), 1.495, 60),
    Kind("1920x1080, 1.6 x 0.9 deg", (1920, 1080), 2.99, 20),
    Kind("1080x1920, 0.7 x 1.3 deg", (1080, 1920), 2.375, 20),
    Kind("2048x2048, 12 arcmin", (2048, 2048), 0.35, 30, narrow=True),
)
NARROW = (346.6223641, -5.0413927)


@dataclass(frozen=True)
class Drawn:
    """A frame on disk and where it really looks."""

    path: Path
    truth: Wcs


def truth_of(kind: Kind, ra: float, dec: float, number: int) -> Wcs:
    wcs = plain_wcs(ra, dec, kind.size, kind.scale, 11.0 * number - 60)
    if kind.narrow:
        return wcs
    norm = math.hypot(*kind.size) / 2
    k = 2.0 / norm  # two pixels at the corner
    lens = Warp("radial", norm, (0, 0, 0, k, 0, k, 0), (0, 0, 0, 0, k, 0, k))
    return replace(wcs, ctype=("RA---TAN-SIP", "DEC--TAN-SIP"), further={**lens.cards(), **lens.inverse()})


def draw(kind: Kind, folder: Path, frames: int) -> list[Drawn]:
    drawn = []
    rng = np.random.default_rng(7)
    targets = list(TARGETS.values())
    for number in range(frames):
        if kind.narrow:
            (ra, dec), stars, brightest = NARROW, made_up_stars(*NARROW, radius=0.5, count=3600), 12.0
        else:
            target = targets[number % len(targets)]
            ra, dec = target.ra + rng.normal() / 12, target.dec + rng.normal() / 12
            stars, brightest = star_table()[target.name], 7.5
        truth = truth_of(kind, ra, dec, number)
        cards: list[Card] = [
            ("RA", ra + 0.05, "[deg]"), ("DEC", dec - 0.05, "[deg]"), ("SECPIX", kind.scale * 1.01, "[arcsec]"),
            ("INSTRUME", kind.name[:20], ""), *([] if kind.narrow else [("BAYERPAT", "RGGB", "")]),
        ]  # fmt: skip
        path = folder / f"{kind.size[0]}-{kind.size[1]}-{number}.fits"
        pixels = draw_field(truth, stars, kind.size, seed=number, brightest=brightest, noise=25)
        path.write_bytes(fits_image(cards, pixels if kind.narrow else mosaic(pixels, rng)))
        drawn.append(Drawn(path, truth))
    return drawn


def mosaic(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Make of a picture one of a colour camera: each colour sees another sky, and one pixel in 8,000 is hot."""
    image = pixels.astype(np.int32)
    for (row, column), sky in zip(np.ndindex(2, 2), (420, 700, 700, 380), strict=True):
        image[row::2, column::2] += sky
    hot = rng.integers(0, image.size, image.size // 8000)
    image.reshape(-1)[hot] += np.minimum(300 + rng.exponential(1500, hot.size), 60000).astype(np.int32)
    return np.clip(image, 0, 65535).astype(np.uint16)


def misses(found: Wcs, truth: Wcs, size: tuple[int, int]) -> tuple[float, float]:
    """Arcseconds: root mean square over the frame, and the mean of its corners."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(1, size[0], 9), np.linspace(1, size[1], 9)))
    pairs = zip(zip(*sky_of(found, x, y), strict=True), zip(*sky_of(truth, x, y), strict=True), strict=True)
    off = [3600 * separation((a[0], a[1]), (b[0], b[1])) for a, b in pairs]
    return math.sqrt(sum(value**2 for value in off) / len(off)), (off[0] + off[8] + off[-9] + off[-1]) / 4


def ours(paths: Sequence[Path], settings: Settings) -> tuple[list[Answer], list[float]]:
    solve_frame(paths[0], settings)  # the worker is warm: star table read, index files mapped
    answers, spent = [], []
    for path in paths:
        tries = []
        for _ in range(3):
            began = time.process_time()
            answer = solve_frame(path, settings)
            tries.append(1000 * (time.process_time() - began))
        answers.append(answer)
        spent.append(min(tries))
    return answers, spent


def theirs(path: Path, index: Path, ra: float, dec: float) -> float:
    """Run solve-field as the SPECULOOS scripts do; milliseconds of processor time, NaN when it found nothing."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "engine.cfg"
        config.write_text(f"cpulimit 300\nadd_path {index}\nautoindex\n", encoding="ascii")  # as Debian's own says
        command = [
            "solve-field", "--no-plots", "--no-remove-lines", "--uniformize", "0", "--overwrite", "--ra", str(ra),
            "--dec", str(dec), "--radius", "4", "--depth", "100", "--downsample", "2", "--no-tweak",
            "--backend-config", str(config), "--dir", name, str(path),
        ]  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, capture_output=True, timeout=300)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        solved = bool(list(Path(name).glob("*.solved")))
    spent = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return spent if solved else math.nan


def measure(kind: Kind, folder: Path, index: Path, frames: int, rivals: int) -> None:
    drawn = draw(kind, folder, frames)
    settings = Settings(indexes=(index,), usual=False)
    answers, spent = ours([item.path for item in drawn], settings)
    pairs = [(answer.solution.wcs, item.truth) for answer, item in zip(answers, drawn, strict=True) if answer.solution]
    off = [misses(found, truth, kind.size) for found, truth in pairs]
    warps = learn(answers)
    again = [
        (solution.wcs, item.truth)
        for answer, item in zip(answers, drawn, strict=True)
        if answer.instrument in warps and (solution := relearnt(answer, warps[answer.instrument])) is not None
    ]
    learnt = [misses(found, truth, kind.size) for found, truth in again]
    other = Settings(engine="solve-field", indexes=(index,), usual=False)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second, outer = ours([item.path for item in drawn[:3]], other)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    children = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / 10
    rival = [theirs(item.path, index, *item.truth.crval) for item in drawn[:rivals]]
    known = [value for value in rival if not math.isnan(value)]
    ratio = f"{statistics.median(known) / statistics.median(spent):,.0f}x" if known else "-"
    print(
        f"| {kind.name} | {len(pairs)}/{frames} "
        f"| {statistics.median(spent):.0f} ({max(spent):.0f}) | {kind.target:.0f} "
        f"| {sum(a.solution is not None for a in second)}/{len(second)}, {statistics.median(outer) + children:.0f} "
        f"| {len(known)}/{len(rival)}, {statistics.median(known) if known else math.nan:,.0f} | {ratio} "
        f"| {statistics.median(rms for rms, _ in off):.2f} | {statistics.median(corner for _, corner in off):.2f} "
        f"| {f'{statistics.median(corner for _, corner in learnt):.2f}' if learnt else 'plane'} |"
    )
    for item in drawn:
        item.path.unlink()


def real(folder: Path, index: Path, rivals: Path | None) -> None:
    """Solve real frames anew, whatever their headers say, and compare with the solutions that some bring."""
    print("\n| real frame | CPU ms | solve-field as called: CPU ms | matched | rms arcsec | from its header's, rms |")
    print("|---|---|---|---|---|---|")
    paths = sorted(folder.rglob("*.fit*"))
    answers, spent = ours(paths, Settings(indexes=(index,), usual=False, again=True))
    for path, answer, cost in zip(paths, answers, spent, strict=True):
        if answer.solution is None:
            print(f"| {path.name} | {cost:.0f} | | not solved: {answer.reason} | | |")
            continue
        told = ""
        if "CTYPE1" in fits.getheader(path):
            from nightferry.formats.cards import parse_cards  # noqa: PLC0415
            from nightferry.headers.dialects.header import Header  # noqa: PLC0415 - for few frames
            from nightferry.headers.dialects.solution import read_wcs  # noqa: PLC0415

            wcs, _ = read_wcs(Header(parse_cards(path.read_bytes()[: 2880 * 20])))
            told = f"{misses(answer.solution.wcs, wcs, answer.size)[0]:.2f}" if wcs else ""
        facts = answer.facts
        rival = f"{theirs(path, rivals, *answer.solution.wcs.crval):,.0f}" if rivals else ""
        matched = f"{facts['matched']}/{facts['expected']}"
        print(f"| {path.name} | {cost:.0f} | {rival} | {matched} | {facts['rms_arcsec']:.2f} | {told} |")


def crowd(folder: Path, index: Path, frames: int) -> None:
    """Measure how much faster two worker processes are than one, by the clock."""
    paths = [item.path for item in draw(KINDS[0], folder, frames)] * 6
    settings = Settings(indexes=(index,), usual=False)
    walls = []
    for workers in (1, 2, 1, 2):
        with SturdyProcesses(workers) as crew:
            for future in [crew.submit(solve_task, paths[0], settings) for _ in range(2 * workers)]:
                future.result()
            began = time.perf_counter()
            for future in [crew.submit(solve_task, path, settings) for path in paths]:
                assert future.result().solution is not None
            walls.append(time.perf_counter() - began)
    ratios = [walls[0] / walls[1], walls[2] / walls[3]]
    load = os.getloadavg()[0]
    told = f"{min(ratios):.2f}x to {max(ratios):.2f}x (load {load:.1f})"
    print(f"\nTwo workers against one, {len(paths)} frames of 3840x2160: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--theirs", type=int, default=2, help="frames of each kind that solve-field gets as it is")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--workers", action="store_true", help="measure two workers against one")
    parser.add_argument("--only-workers", action="store_true", help="measure that alone: a minute, on an idle machine")
    chosen = parser.parse_args()
    if chosen.only_workers:
        with tempfile.TemporaryDirectory() as name:
            crowd(Path(name), chosen.index or build_sky_index(Path(name) / "index"), min(chosen.frames, 4))
        return
    if chosen.index is None:
        parser.error("--index is needed for all but --only-workers")
    columns = (
        "frames", "solved", "CPU ms, median (max)", "asked", "with engine solve-field", "solve-field as called: CPU ms",
        "theirs : ours", "rms arcsec", "corners", "corners, learnt",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|" + "---|" * 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        catalogue = write_catalogue(folder / "stars.csv", made_up_stars(*NARROW, radius=0.5, count=3600))
        build(Order((NARROW,), catalogue, 0.6, 12.0), folder / "narrow")
        for kind in KINDS:
            measure(kind, folder, folder / "narrow" if kind.narrow else chosen.index, chosen.frames, chosen.theirs)
        if chosen.real:
            real(chosen.real, chosen.index, chosen.index if chosen.theirs else None)
        if chosen.workers:
            crowd(folder, chosen.index, min(chosen.frames, 4))


if __name__ == "__main__":
    main()
