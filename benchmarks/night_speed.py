"""How fast whole nights go from folder to archive, beside the observatory's own script: one command, prints tables.

    python -m benchmarks.night_speed [--frames 240] [--size 2048] [--rounds 3] [--seed DIR] [--solve 40 8]
        [--index DIR] [--small 75 300] [--folder DIR]

First, frames that have their solutions are pulled, verified, standardised, validated and delivered by `nightferry run`,
durable, digested and read back, beside `transfer_Astra.csh` with its `headerfix.py`, and beside `cp` with a `sync`.
``--solve 40 8``: then 40 frames of which 8 are to be solved, on both sides (0 0 leaves it out); the index files are
built here, of made-up stars, and those of ``--index`` are offered to both sides beside them, as an observatory has them
for many scales. Rounds are interleaved, and ratios taken round by round. Last, four telescopes with so many small
frames each (``--small``, none leaves it out) are carried in one run, and the peak of memory is told for each number.
Whole commands are timed, start-up included; every round has a new ledger.

The script is no part of this project and left out without ``--seed``, a folder with a checkout of it:

    git clone https://github.com/szunigaf/SPECULOOS-DataTransfer DIR

It needs tcsh (Debian: apt-get install tcsh), and solve-field and build-astrometry-index (astrometry.net) for
``--solve``. How it is run, and what is replaced for it, stands in `night_script.py`. A night of 240 frames takes 2 GB,
three times while it is carried.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from benchmarks.night_script import make_hub, missing
from nightferry.formats.cards import parse_cards
from nightferry.solving.building import Order, build
from nightferry.testing.encode import Card, fits_data, fits_header
from nightferry.testing.fields import draw_field, made_up_stars, plain_wcs, write_catalogue
from tests.astra import START, astra_cards, astra_frame

MOONS = ("io", "europa", "ganymede", "callisto")
DATE = "20260222"
#: Where Astra's made-up frames look (degrees), and their scale (arcsec per pixel).
PLACE, SCALE = (346.6223641, -5.0413927), 0.35


@dataclass(frozen=True)
class Sheet:
    """One telescope's night: so many frames, a side of so many pixels, so many without a solution."""

    frames: int
    size: int
    unsolved: int = 0


@dataclass(frozen=True)
class Run:
    """What a command took: seconds, seconds of processor time, and the peak of its largest process in MB."""

    seconds: float
    cpu: float
    peak: int


def plant(folder: Path, sheet: Sheet) -> None:
    """Write a telescope's night; frames differ in their start and in one pixel row. Those to be solved are spread."""
    night = folder / DATE
    night.mkdir(parents=True)
    whole = astra_frame(size=(sheet.size, sheet.size))
    first = START.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
    every = sheet.frames // sheet.unsolved if sheet.unsolved else sheet.frames + 1
    for number in range(sheet.frames):
        start = START + timedelta(seconds=13 * number)
        if number % every == every - 1:
            raw = bytearray(to_solve(number, sheet.size))
        else:
            raw = bytearray(whole.replace(first, start.strftime("%Y-%m-%dT%H:%M:%S.%f").encode(), 1))
            raw[-4000:-3996] = number.to_bytes(4, "big")
        file = night / f"light_{number:04d}.fits"
        file.write_bytes(raw)
        os.utime(file, (1_771_900_000, 1_771_900_000))


def to_solve(number: int, size: int) -> bytes:
    """Draw a frame with stars, and without a solution in its header."""
    cards = astra_cards(number=number, solved=False, size=(size, size))
    structure: list[Card] = [
        ("SIMPLE", True, ""), ("BITPIX", 16, ""), ("NAXIS", 2, ""), ("NAXIS1", size, ""), ("NAXIS2", size, ""),
    ]  # fmt: skip
    truth = plain_wcs(*PLACE, (size, size), SCALE, 11.0 * number)
    stars = made_up_stars(*PLACE, radius=0.5, count=3600)
    pixels = draw_field(truth, stars, (size, size), seed=number, brightest=12.0, noise=25)
    return fits_header([*structure, *cards.values()]) + fits_data(pixels)


def build_index(folder: Path) -> Path:
    """Build index files of the stars that `to_solve` draws."""
    folder.mkdir()
    catalogue = write_catalogue(folder / "stars.csv", made_up_stars(*PLACE, radius=0.5, count=3600))
    build(Order((PLACE,), catalogue, 0.6, 12.0), folder / "made")
    return folder / "made"


def configure(home: Path, moons: Sequence[str], raw: Path, kind: str, indexes: Sequence[Path] = ()) -> Path:
    route = ["verify", *(["solve"] if indexes else []), "standardise", "validate"]
    solve = f"solve = {{ index = {[index.as_posix() for index in indexes]} }}\n" if indexes else ""
    sections = "".join(
        f'[telescope.{moon}]\npreset = "speculoos-{moon}"\nroute = {route}\nsource = "{(raw / moon).as_uri()}"\n'
        f'settle = "0 s"\nprogram = "60.A-9009(D)"\narchives = ["{moon}"]\nheader = {{ fitsverify = false }}\n{solve}'
        f'[archive.{moon}]\nurl = "{(home / "eso" / moon).as_uri()}"\n'
        for moon in moons
    )
    file = home / "config.toml"
    file.write_text(
        f'[ledger]\nurl = "sqlite:///{(home / "ledger.db").as_posix()}"\n'
        f'[shelf]\npath = "{(home / "shelf").as_posix()}"\nfloor = "1 MB"\n[crew]\nkind = "{kind}"\n{sections}',
        encoding="utf-8",
    )
    return file


def timed(command: Sequence[str], environment: dict[str, str] | None = None, log: Path | None = None) -> Run:
    """Run a command to its end; raises `SystemExit` when it fails."""
    began = time.perf_counter()
    with (log or Path(os.devnull)).open("wb") as out:
        errors = subprocess.STDOUT if log else None
        process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Run(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024)


def ferried(
    place: Path, raw: Path, frames: int, *, moons: Sequence[str] = MOONS, kind: str, indexes: Sequence[Path] = ()
) -> Run:
    """Carry a night with nightferry, which holds whatever is not right: so all that arrived is."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        home = Path(name)
        (home / "eso").mkdir()
        file = configure(home, moons, raw, kind, indexes)
        words = ["--config", str(file), "run", *moons, "--night", "all", "--json"]
        found = timed([sys.executable, "-m", "nightferry", *words])
        expect(home / "eso", frames * len(moons), "nightferry")
        return found


def scripted(place: Path, raw: Path, frames: int, seed: Path, indexes: Sequence[Path] = ()) -> Run:
    """Carry a night with the observatory's script."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        hub = make_hub(seed, Path(name), raw / "io", DATE, list(indexes))
        log = Path(name) / "log"
        found = timed(hub.command, hub.environment, log)
        if "All files were transferred properly" not in log.read_text(errors="replace"):
            raise SystemExit(f"the script says:\n{log.read_text(errors='replace')[-4000:]}")
        expect(hub.delivered, frames, "the script")
        return found


def expect(folder: Path, frames: int, who: str) -> None:
    """Raise `SystemExit` unless all frames arrived, each with a solution."""
    there = list(folder.rglob("*.fits"))
    if len(there) != frames:
        raise SystemExit(f"{len(there)} frames arrived by {who}, of {frames}")
    for file in there:
        with file.open("rb") as opened:
            cards = {card.keyword: card.value for card in parse_cards(opened.read(28800))}
        if not str(cards.get("CTYPE1")).startswith("RA---TAN"):
            raise SystemExit(f"{file.name}, delivered by {who}, has no solution")


def copied(place: Path, raw: Path) -> Run:
    """Copy a night, and sync the copy."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        return timed(["sh", "-c", f"cp -r '{raw}' '{name}/copy' && sync -f '{name}'"])


def whole_night(place: Path, night: Sheet, rounds: int, seed: Path | None, more: Sequence[Path] = ()) -> None:
    """Carry one telescope's night in all ways, in turns."""
    raw = place / "raw"
    plant(raw / "io", night)
    indexes = [build_index(place / "index"), *more] if night.unsolved else []
    ways: dict[str, Callable[[], Run]] = {
        "nightferry run": lambda: ferried(place, raw, night.frames, moons=("io",), kind="processes", indexes=indexes),
        "cp and sync": lambda: copied(place, raw),
    }
    if seed is not None:
        ways["transfer_Astra.csh"] = lambda: scripted(place, raw, night.frames, seed, indexes)
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            runs[name].append(way())
    what = f", {night.unsolved} of them to solve" if night.unsolved else ""
    print(
        f"\n{night.frames} frames of {night.size}x{night.size}{what}, {rounds} rounds, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| | s | range | frames/s | cpu s | theirs : ours | range |\n|---|---|---|---|---|---|---|")
    ours = runs["nightferry run"]
    for name, found in runs.items():
        ratios = sorted(run.seconds / our.seconds for run, our in zip(found, ours, strict=True))
        ratio = f"{statistics.median(ratios):.2f}x | {ratios[0]:.2f}-{ratios[-1]:.2f}" if found is not ours else "|"
        seconds = [run.seconds for run in found]
        middle, cpu = statistics.median(seconds), statistics.median(run.cpu for run in found)
        span = f"{min(seconds):.2f}-{max(seconds):.2f}"
        print(f"| {name} | {middle:.2f} | {span} | {night.frames / middle:.0f} | {cpu:.1f} | {ratio} |")
    shutil.rmtree(raw)


def many_small(place: Path, counts: list[int]) -> None:
    print(f"\nfour telescopes in one run, frames of 64x64, load {os.getloadavg()[0]:.1f}\n")
    print("| frames each | s | frames/s | cpu s | peak MB |\n|---|---|---|---|---|")
    for count in counts:
        raw = place / f"small-{count}"
        for moon in MOONS:
            plant(raw / moon, Sheet(count, 64))
        found = ferried(place, raw, count, kind="threads")
        print(f"| {count} | {found.seconds:.1f} | {4 * count / found.seconds:.0f} | {found.cpu:.1f} | {found.peak} |")
        shutil.rmtree(raw)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=240, help="solved frames of the first night; 0 leaves it out")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=Path, help="a checkout of SPECULOOS' scripts")
    parser.add_argument("--solve", type=int, nargs=2, default=[40, 8], metavar=("FRAMES", "UNSOLVED"))
    parser.add_argument("--index", type=Path, action="append", default=[], help="more index files, for both sides")
    parser.add_argument("--small", type=int, nargs="*", default=[75, 300, 1200])
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if reason := missing(chosen.seed):
        print(reason)
    seed = None if reason else chosen.seed.resolve()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        if chosen.small:  # first: the peak of a command's memory is never told as less than ours when it was started
            many_small(Path(name), chosen.small)
        if chosen.frames:
            whole_night(Path(name), Sheet(chosen.frames, chosen.size), chosen.rounds, seed)
        frames, unsolved = chosen.solve
        if unsolved:
            more = [index.resolve() for index in chosen.index]
            whole_night(Path(name), Sheet(frames, chosen.size, unsolved), chosen.rounds, seed, more)


if __name__ == "__main__":
    main()
