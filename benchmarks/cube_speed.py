"""How fast cubes are made, beside cat and the script of today: one command, prints a table.

    python benchmarks/cube_speed.py [--frames 1000] [--size 1280x1024] [--rounds 3] [--script create_datacubes.py]
                                    [--memory 2] [--folder DIR]

Frames are random 16-bit pixels under the header of a standard frame. Each way runs in a process of its own, from
start to end, interleaved with the others; the median counts, and the largest memory. ``cat`` joins the very same
files into one. Nothing is forced to the disk but where it says so. ``--memory`` runs ours alone, once, with so many
gigabytes: of a control group, page cache included, where one can be made, else of address space.
"""

import argparse
import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

OURS = """
import sys
from pathlib import Path
from nightferry.steps.cube_files import CubeSettings, Input, make_cubes, plan_cubes
settings = CubeSettings(durable=sys.argv[1] == "durable")
plan = plan_cubes([Input(file) for file in sorted(Path(sys.argv[2]).iterdir())], settings)
assert not plan.left, plan.left[:3]
for cube in make_cubes(plan, Path(sys.argv[3]), settings):
    assert cube.error is None and not cube.left, cube
"""
GROUPS = Path("/sys/fs/cgroup")
Way = Callable[[Path, Path], list[str]]


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
    """Run all ways in turn, and print the table."""
    told: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            os.sync()
            told[name].append(run(way(frames, folder / "out"), folder / "out"))
    size = sum(file.stat().st_size for file in frames.iterdir())
    print(f"{size / 1e9:.2f} GB in {len(list(frames.iterdir())):,} frames, {rounds} rounds, interleaved\n")
    print("| | s | range | CPU s | MB/s | x cat | range | peak MB |\n|---|---|---|---|---|---|---|---|")
    for name, rows in told.items():
        base = "cat, synced" if name.endswith(("synced", "durable")) else "cat"
        times = [row[0] for row in rows]
        ratios = [row[0] / other[0] for row, other in zip(rows, told[base], strict=True)]
        middle, spent = statistics.median(times), statistics.median(row[1] for row in rows)
        print(
            f"| {name} | {middle:.2f} | {min(times):.2f}-{max(times):.2f} | {spent:.2f} | {size / 1e6 / middle:.0f} "
            f"| {statistics.median(ratios):.2f} | {min(ratios):.2f}-{max(ratios):.2f} | {max(row[2] for row in rows)} |"
        )
    if theirs := told.get("script of today"):
        mine = told["nightferry"]
        for word, place in (("seconds", 0), ("processor seconds", 1)):
            times_ours = [row[place] / our[place] for row, our in zip(theirs, mine, strict=True)]
            middle, least, most = statistics.median(times_ours), min(times_ours), max(times_ours)
            print(f"\nscript of today : nightferry, {word}: {middle:.1f} ({least:.1f}-{most:.1f})")


@contextlib.contextmanager
def short_of_memory(size: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """Make a limit: what it is, and what a child does to come under it."""
    ways = (("cgroup.controllers", "", "memory.max"), ("memory/tasks", "memory", "memory.limit_in_bytes"))
    for mark, place, limit in ways:  # the second and the first version of control groups
        group = GROUPS / place / f"nightferry-bench-{os.getpid()}"
        try:
            (GROUPS / mark).stat()
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(size))
        except FileNotFoundError:  # a hierarchy without memory
            group.rmdir()
            continue
        try:
            yield "of memory, page cache included", partial(_join, group / "cgroup.procs")
        finally:
            group.rmdir()
        return
    yield "of address space", lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size))


def _join(tasks: Path) -> None:
    tasks.write_text(str(os.getpid()))


def limited(frames: Path, folder: Path, gigabytes: float) -> None:
    """Run ours where memory is short."""
    out = folder / "out"
    out.mkdir()
    began = time.perf_counter()
    with short_of_memory(int(gigabytes * 1e9)) as (what, enter):
        child = subprocess.Popen(durable(frames, out), preexec_fn=enter)  # noqa: PLW1509 - this process has one thread
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    size = sum(file.stat().st_size for file in out.iterdir())
    print(
        f"{len(list(frames.iterdir())):,} frames, a cube of {size / 1e9:.2f} GB, {gigabytes:g} GB {what}: ended with "
        f"{child.returncode} after {time.perf_counter() - began:.1f} s, peak {used.ru_maxrss // 1024} MB"
    )
    shutil.rmtree(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--size", default="1280x1024")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--script", type=Path, help="create_datacubes.py of the SPECULOOS scripts")
    parser.add_argument("--memory", type=float, help="gigabytes, for one run of ours alone")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    width, _, height = options.size.partition("x")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        frames = folder / "frames"
        maker = [sys.executable, "-m", "benchmarks.cube_frames", str(frames), str(options.frames)]
        subprocess.run([*maker, width, height], check=True)
        if options.memory:
            limited(frames, folder, options.memory)
            return
        ways: dict[str, Way] = {"cat": cat, "nightferry": ours}
        ways |= {"cat, synced": cat_synced, "nightferry, durable": durable}
        if options.script:
            script = str(options.script)
            ways["script of today"] = lambda frames, out: [sys.executable, script, str(frames), str(out)]
        contest(ways, frames, folder, options.rounds)


if __name__ == "__main__":
    main()
