"""How fast whole nights go from a folder to an archive: one command, prints two tables.

    python benchmarks/night_speed.py [--frames 40] [--size 2048] [--rounds 3] [--small 75 300] [--folder DIR]

First, frames are pulled, verified, standardised, validated and delivered by `nightferry run`, durable, digested and
read back, beside `cp` of the same frames with a `sync`; rounds are interleaved, and ratios taken round by round. Then
four telescopes with so many small frames each are carried in one run, and the peak of memory is told for each number.
The whole command is timed, start-up included; every round has a new ledger.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from nightferry.testing.astra import START, astra_frame

MOONS = ("io", "europa", "ganymede", "callisto")
STEPS = '["verify", "standardise", "validate"]'


def plant(folder: Path, frames: int, size: int) -> None:
    """Write a telescope's night; frames differ in their start and in one pixel row."""
    night = folder / "20260222"
    night.mkdir(parents=True)
    whole = astra_frame(size=(size, size))
    first = START.strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
    for number in range(frames):
        stamp = (START + timedelta(seconds=13 * number)).strftime("%Y-%m-%dT%H:%M:%S.%f").encode()
        raw = bytearray(whole.replace(first, stamp, 1))
        raw[-4000:-3996] = number.to_bytes(4, "big")
        file = night / f"light_{number:04d}.fits"
        file.write_bytes(raw)
        os.utime(file, (1_771_900_000, 1_771_900_000))


def configure(home: Path, moons: tuple[str, ...], raw: Path, kind: str) -> Path:
    sections = "".join(
        f'[telescope.{moon}]\npreset = "speculoos-{moon}"\nroute = {STEPS}\nsource = "{(raw / moon).as_uri()}"\n'
        f'settle = "0 s"\nprogram = "60.A-9009(D)"\narchives = ["{moon}"]\nheader = {{ fitsverify = false }}\n'
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


def timed(command: list[str]) -> tuple[float, float, int]:
    """Run a command: seconds, seconds of processor time, and the peak of its memory in MB."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def ferried(place: Path, moons: tuple[str, ...], raw: Path, frames: int, kind: str) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory(dir=place) as name:
        home = Path(name)
        (home / "eso").mkdir()
        file = configure(home, moons, raw, kind)
        words = ["--config", str(file), "run", *moons, "--night", "all", "--json"]
        found = timed([sys.executable, "-m", "nightferry", *words])
        there = sum(1 for _ in (home / "eso").rglob("*.fits"))
        if there != frames * len(moons):
            raise SystemExit(f"{there} frames arrived, of {frames * len(moons)}")
        return found


def copied(place: Path, raw: Path) -> float:
    with tempfile.TemporaryDirectory(dir=place) as name:
        return timed(["sh", "-c", f"cp -r '{raw}' '{name}/copy' && sync -f '{name}'"])[0]


def whole_night(place: Path, frames: int, size: int, rounds: int) -> None:
    raw = place / "raw"
    plant(raw / "io", frames, size)
    ours, copies = [], []
    for _ in range(rounds):
        ours.append(ferried(place, ("io",), raw, frames, "processes"))
        copies.append(copied(place, raw))
    ratios = sorted(our[0] / copy for our, copy in zip(ours, copies, strict=True))
    seconds = [our[0] for our in ours]
    print(f"\n{frames} frames of {size}x{size}, {rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| | s | range | frames/s | cpu s |\n|---|---|---|---|---|")
    middle = statistics.median(seconds)
    cpu = statistics.median(our[1] for our in ours)
    print(
        f"| nightferry run | {middle:.2f} | {min(seconds):.2f}-{max(seconds):.2f} | {frames / middle:.0f} | {cpu:.1f} |"
    )
    middle = statistics.median(copies)
    print(f"| cp and sync | {middle:.2f} | {min(copies):.2f}-{max(copies):.2f} | {frames / middle:.0f} | |")
    print(f"\nnightferry / cp: {statistics.median(ratios):.1f}x ({ratios[0]:.1f}-{ratios[-1]:.1f})")
    shutil.rmtree(raw)


def many_small(place: Path, counts: list[int]) -> None:
    print(f"\nfour telescopes in one run, frames of 64x64, load {os.getloadavg()[0]:.1f}\n")
    print("| frames each | s | frames/s | cpu s | peak MB |\n|---|---|---|---|---|")
    for count in counts:
        raw = place / f"small-{count}"
        for moon in MOONS:
            plant(raw / moon, count, 64)
        seconds, cpu, peak = ferried(place, MOONS, raw, count, "threads")
        print(f"| {count} | {seconds:.1f} | {4 * count / seconds:.0f} | {cpu:.1f} | {peak} |")
        shutil.rmtree(raw)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", type=int, nargs="+", default=[75, 300])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        whole_night(Path(name), options.frames, options.size, options.rounds)
        many_small(Path(name), options.small)


if __name__ == "__main__":
    main()
