"""How fast frames are standardised and validated, beside cp and a header script of today: one command, prints tables.

    python -m benchmarks.header_speed [--frames 240] [--size 2048] [--rounds 3] [--folder DIR] [--script headerfix.py]

Each way runs in its own process, interleaved with the others; medians and ranges are told, and the ratio to cp and to
the script is taken round by round. Frames are random 16-bit pixels under an Astra header. The script is no part of this
project: give the path of SPECULOOS' own (its options: a list of files, and a telescope), or go without it. It works on
a copy of the frames that is not timed, for it deletes what it reads.
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
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from nightferry.core.context import Context, Site
from nightferry.formats.cards import parse_cards
from nightferry.headers.profiles import load_profile
from nightferry.steps.standardise_files import Settings, draft_file, standardise_file
from nightferry.steps.validate import validate_file
from tests.astra import astra_frame

SITE = Site(-24.61596, -70.3903, 2482.0)
CONTEXT = Context("callisto", "SPECULOOS-CALLISTO", "SPECU4", "SSO", "Astra", "PI", "60.A-9009(D)", SITE)
SETTINGS = Settings(CONTEXT, durable=False)
Way = Callable[[list[Path], Path], int]


def make(folder: Path, frames: int, size: int) -> list[Path]:
    folder.mkdir(parents=True)
    whole = astra_frame(size=(size, size))
    files = []
    for number in range(frames):
        file = folder / f"raw-{number:04d}.fits"
        stamp = f"2026-02-23T{1 + number // 240:02d}:{number // 4 % 60:02d}:{number % 4 * 13:02d}.456789".encode()
        file.write_bytes(whole[:5760].replace(b"2026-02-23T01:02:03.456789", stamp) + whole[5760:])
        os.utime(file, (1_771_900_000, 1_771_900_000))
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


def night(files: list[Path], out: Path) -> int:
    """Carry a whole night through ``nightferry run``: pull, verify, standardise, validate, deliver with proof."""
    home = out / "home"
    home.mkdir()
    (home / "nf.toml").write_text(f"""
        [ledger]
        url = "sqlite:///{home / "ledger.db"}"
        [shelf]
        path = "{home / "shelf"}"
        floor = "1 MB"
        [telescope.callisto]
        preset = "speculoos-callisto"
        route = ["verify", "standardise", "validate"]
        source = "{files[0].parents[1].as_uri()}"
        settle = "0 s"
        program = "60.A-9009(D)"
        archives = ["eso"]
        header = {{ fitsverify = false }}
        [archive.eso]
        url = "{(home / "eso").as_uri()}"
    """)
    (home / "eso").mkdir()
    words = ["--config", str(home / "nf.toml"), "run", "callisto", "--night", "all", "--json"]
    subprocess.run([sys.executable, "-m", "nightferry", *words], check=True, capture_output=True)
    assert len(list((home / "eso").rglob("*.fits"))) == len(files)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def by_script(script: Path, home: Path) -> Way:
    """Make the way of the header script; astropy is kept off the network, as on a control PC."""
    settings = home / "config/astropy"
    settings.mkdir(parents=True)
    (settings / "astropy.cfg").write_text("[utils.iers.iers]\nauto_download = False\n")

    def run(files: list[Path], out: Path) -> int:
        names = out / "names"
        names.write_text("".join(f"{out / file.name}\n" for file in files))
        env = {**os.environ, "XDG_CONFIG_HOME": str(home / "config"), "PYTHONWARNINGS": "ignore"}
        env.pop("PYTHONPATH", None)
        subprocess.run([sys.executable, str(script), str(names), "Callisto"], env=env, check=True, capture_output=True)
        assert len(list(out.glob("*.fits"))) >= len(files) - 1, "the script lost frames"
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024

    return run


def timed(way: Way, files: list[Path], folder: Path, *, copy: bool) -> tuple[float, int]:
    """Run one way in a process of its own, so that its memory is its own, and tell the time that it took inside."""
    out = folder / "out"
    out.mkdir()
    if copy:
        copied(files, out)
    os.sync()
    reading, writing = os.pipe()
    if not (child := os.fork()):
        started = time.perf_counter()
        memory = way(files, out)
        os.write(writing, f"{time.perf_counter() - started} {memory}".encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    told = os.read(reading, 100).decode().split()
    os.close(reading)
    shutil.rmtree(out)
    if status or len(told) != 2:
        raise SystemExit("one of the ways failed, see above")
    return float(told[0]), int(told[1])


def each(files: list[Path], out: Path) -> None:
    """Print what one frame costs."""
    out.mkdir()
    profile = load_profile("eso")
    draft_file(files[0], SETTINGS)
    rounds = files[:40]
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


def table(times: dict[str, list[float]], memories: dict[str, int]) -> None:
    def told(values: list[float]) -> str:
        return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"

    print("| | s | of cp | the script's time : ours | peak MB |\n|---|---|---|---|---|")
    for label, taken in times.items():
        to_copy = told([mine / copy for mine, copy in zip(taken, times["cp"], strict=True)])
        script = times.get("script", [])
        faster = told([theirs / mine for mine, theirs in zip(taken, script, strict=True)]) if script else ""
        print(f"| {label} | {told(taken)} | {to_copy} | {faster} | {memories[label] or ''} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--script", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        files = make(folder / "raw/20260222", options.frames, options.size)
        print(f"{options.frames} frames of {options.size} x {options.size}, load {os.getloadavg()[0]:.1f}")
        each(files, folder / "each")
        ways: dict[str, Way] = {"cp": copied}
        if options.script is not None:
            ways["script"] = by_script(options.script.resolve(), folder)
        ways |= {"standardise and validate, 1 process": carry, "the same, 2 processes": two_processes}
        ways |= {"nightferry run, the whole night": night}
        times: dict[str, list[float]] = {label: [] for label in ways}
        memories = dict.fromkeys(ways, 0)
        for _ in range(options.rounds):
            for label, way in ways.items():
                seconds, memory = timed(way, files, folder, copy=label == "script")
                times[label].append(seconds)
                memories[label] = max(memories[label], memory)
        table(times, memories)


if __name__ == "__main__":
    main()
