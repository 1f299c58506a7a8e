"""How fast frames are standardised and validated, beside cp: one command, prints a table.

    python benchmarks/header_speed.py [--frames 240] [--size 2048] [--folder DIR]

Each way runs in its own process, three times, the best counts. Frames are random 16-bit pixels under an Astra header.
"""

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from nightferry.core.context import Context, Site
from nightferry.fits.cards import parse_cards
from nightferry.profiles import load_profile
from nightferry.steps.standardise import Settings, draft_file, standardise_file
from nightferry.steps.validate import validate_file
from nightferry.testing.astra import astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context("callisto", "SPECULOOS-CALLISTO", "SPECU4", "SSO", "Astra", "PI", "60.A-9009(D)", SITE)
SETTINGS = Settings(CONTEXT, durable=False)


def make(folder: Path, frames: int, size: int) -> list[Path]:
    folder.mkdir()
    whole = astra_frame(size=(size, size))
    files = []
    for number in range(frames):
        file = folder / f"raw-{number:04d}.fits"
        stamp = f"2026-02-23T{1 + number // 240:02d}:{number // 4 % 60:02d}:{number % 4 * 13:02d}.456789".encode()
        file.write_bytes(whole[:5760].replace(b"2026-02-23T01:02:03.456789", stamp) + whole[5760:])
        files.append(file)
    return files


def carry(files: list[Path], out: Path) -> int:
    profile = load_profile("eso")
    for file in files:
        done = standardise_file(file, out, SETTINGS)
        found = validate_file(done.file, profile, CONTEXT, sources=done.datasums, gate=False)
        assert not [finding for finding in found if finding.severity == "error"], found
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def copied(files: list[Path], out: Path) -> int:
    subprocess.run(["cp", *map(str, files), str(out)], check=True)
    return 0


def two_processes(files: list[Path], out: Path) -> int:
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        return max(pool.map(carry, [files[::2], files[1::2]], [out, out]))


def timed(way: object, files: list[Path], folder: Path) -> tuple[float, int]:
    best, memory = 1e9, 0
    for _ in range(3):
        out = folder / "out"
        out.mkdir()
        started = time.perf_counter()
        memory = max(memory, way(files, out))  # type: ignore[operator]
        best = min(best, time.perf_counter() - started)
        shutil.rmtree(out)
        os.sync()
    return best, memory


def each(files: list[Path], out: Path) -> None:
    """Print what one frame costs."""
    out.mkdir()
    profile = load_profile("eso")
    draft_file(files[0], SETTINGS)
    rounds = files[:60]
    started = time.perf_counter()
    for file in rounds:
        draft_file(file, SETTINGS)
    header = (time.perf_counter() - started) / len(rounds)
    done = [standardise_file(file, out, SETTINGS) for file in rounds]
    started = time.perf_counter()
    for one in done:
        validate_file(one.file, profile, CONTEXT, gate=False)
    check = (time.perf_counter() - started) / len(rounds)
    cards = len(parse_cards(done[0].file.read_bytes()[: 4 * 2880]))
    print(f"header work alone     {header * 1000:7.2f} ms a frame ({cards} cards)")
    print(f"validate              {check * 1000:7.2f} ms a frame")
    shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = make(folder / "raw", options.frames, options.size)
        each(files, folder / "each")
        copy, _ = timed(copied, files, folder)
        print(f"cp                    {copy:7.2f} s")
        for label, way in (("one process", carry), ("two processes", two_processes)):
            seconds, memory = timed(way, files, folder)
            print(f"standardise+validate  {seconds:7.2f} s  {seconds / copy:5.2f} x cp  {memory} MB  ({label})")


if __name__ == "__main__":
    main()
