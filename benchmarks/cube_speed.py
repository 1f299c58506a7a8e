"""How fast cubes are made, beside cat and the script of today: one command, prints a table.

    python benchmarks/cube_speed.py [--frames 1000] [--size 1280x1024] [--rounds 3] [--script create_datacubes.py]
                                    [--memory 2] [--folder DIR]

Frames are random 16-bit pixels under the header of a standard frame. Each way runs in a process of its own, from
start to end, interleaved with the others; the median counts, and so does the largest memory. ``cat`` joins the very
same files into one. Nothing is forced to the disk but where it says so. ``--memory`` runs ours with an address space
and a page cache (where systemd-run may set it) of so many gigabytes, once, and tells whether it came through.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nightferry.core.context import Context, Site
from nightferry.steps.standardise import Settings, standardise_file
from nightferry.testing.astra import astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context("callisto", "SPECULOOS-CALLISTO", "SPECULOOS4", "SSO", "Astra", "PI", "60.A-9009(D)", SITE)
OURS = """
import sys
from pathlib import Path
from nightferry.steps.cube import CubeSettings, Input, make_cubes, plan_cubes
settings = CubeSettings(durable=sys.argv[1] == "durable")
plan = plan_cubes([Input(file) for file in sorted(Path(sys.argv[2]).iterdir())], settings)
assert not plan.left, plan.left[:3]
for cube in make_cubes(plan, Path(sys.argv[3]), settings):
    assert cube.error is None and not cube.left, cube
"""
Way = Callable[[Path, Path], list[str]]


def make(folder: Path, frames: int, width: int, height: int) -> None:
    """Make standard frames: one is made by the step, the others are it with other times, temperatures and pixels."""
    folder.mkdir()
    raw = folder.parent / "raw.fits"
    import numpy as np

    rng = np.random.default_rng(7)
    noise = rng.integers(900, 1100, size=width * height * 2, dtype=np.uint16) ^ np.uint16(0x8000)
    noise = noise.astype(">u2")
    for number in range(frames):
        raw.write_bytes(
            astra_frame(number=number, size=(8, 8), changed={"CCD-TEMP": round(-60 + number * 1e-4, 4), "AIRMASS": 1.1 + number * 1e-4})
        )
        small = standardise_file(raw, folder, Settings(CONTEXT, durable=False), raw_name=f"raw-{number:05d}.fits").file
        header = small.read_bytes()[:-2880]
        for axis, pixels in (("NAXIS1", width), ("NAXIS2", height)):
            header = header.replace(f"{axis}  = {8:>20}".encode(), f"{axis}  = {pixels:>20}".encode())
        at = int(rng.integers(0, width * height))
        data = noise[at : at + width * height].tobytes()
        data += bytes(-len(data) % 2880)
        small.write_bytes(_summed(header, data) + data)
    raw.unlink()


def _summed(header: bytes, data: bytes) -> bytes:
    from nightferry.fits.cards import parse_cards
    from nightferry.fits.datasum import datasum_of
    from nightferry.fits.rewrite import sealed

    cards = [card.raw for card in parse_cards(header) if card.keyword not in {"CHECKSUM", "DATASUM"}]
    return sealed(cards, datasum_of(data))


def ours(frames: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", OURS, "fast", str(frames), str(out)]


def durable(frames: Path, out: Path) -> list[str]:
    return [sys.executable, "-c", OURS, "durable", str(frames), str(out)]


def cat(frames: Path, out: Path) -> list[str]:
    return ["sh", "-c", 'cat "$1"/* > "$2"/cat.fits', "sh", str(frames), str(out)]


def cat_synced(frames: Path, out: Path) -> list[str]:
    return ["sh", "-c", 'cat "$1"/* > "$2"/cat.fits && sync "$2"/cat.fits', "sh", str(frames), str(out)]


def run(command: Sequence[str], out: Path) -> tuple[float, float, int]:
    """Run a command; tell seconds, processor seconds and the peak of memory in MB."""
    out.mkdir()
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, f"{command[:3]} ended with {child.returncode}"
    shutil.rmtree(out)
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def contest(ways: dict[str, Way], frames: Path, folder: Path, rounds: int) -> None:
    told: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            told[name].append(run(way(frames, folder / "out"), folder / "out"))
            os.sync()
    bytes_ = sum(file.stat().st_size for file in frames.iterdir())
    base = statistics.median(seconds for seconds, _, _ in told["cat"])
    print(f"{bytes_ / 1e9:.2f} GB in {len(list(frames.iterdir())):,} frames, {rounds} rounds, interleaved\n")
    print("| | s | range | CPU s | MB/s | x cat | range | peak MB |\n|---|---|---|---|---|---|---|---|")
    for name, rows in told.items():
        times = [row[0] for row in rows]
        ratios = [row[0] / other[0] for row, other in zip(rows, told["cat"], strict=True)]
        middle = statistics.median(times)
        print(
            f"| {name} | {middle:.2f} | {min(times):.2f}-{max(times):.2f} | {statistics.median(r[1] for r in rows):.2f} "
            f"| {bytes_ / 1e6 / middle:.0f} | {middle / base:.2f} | {min(ratios):.2f}-{max(ratios):.2f} "
            f"| {max(row[2] for row in rows)} |"
        )


def limited(frames: Path, folder: Path, gigabytes: float) -> None:
    """Run ours where memory is short."""
    size = int(gigabytes * 1e9)
    command = durable(frames, folder / "out")
    (folder / "out").mkdir()
    began = time.perf_counter()

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    child = subprocess.Popen(command, preexec_fn=limit)  # noqa: PLW1509 - one thread only
    _, status, used = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    print(f"\n{gigabytes:g} GB of address space: ended with {code} after {time.perf_counter() - began:.1f} s, "
          f"peak {used.ru_maxrss // 1024} MB")
    shutil.rmtree(folder / "out")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", default="1280x1024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--script", type=Path, help="create_datacubes.py of the SPECULOOS scripts")
    parser.add_argument("--memory", type=float, help="gigabytes of address space, for one run of ours alone")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    width, _, height = options.size.partition("x")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        frames = folder / "frames"
        make(frames, options.frames, int(width), int(height))
        if options.memory:
            limited(frames, folder, options.memory)
            return
        ways: dict[str, Way] = {"cat": cat, "nightferry": ours, "cat, synced": cat_synced, "nightferry, durable": durable}
        if options.script:
            script = str(options.script)
            ways["script of today"] = lambda frames, out: [sys.executable, script, str(frames), str(out)]
        contest(ways, frames, folder, options.rounds)


if __name__ == "__main__":
    main()
