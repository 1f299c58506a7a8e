"""What it costs to start: processor time and seconds of commands that have little to do; prints a table.

    python -m benchmarks.start_speed [--rounds 20] [--receipts 1000000] [--against SRC] [--folder DIR]

The commands: ``--help``; ``status``, ``nights`` and ``why`` on the ledger of one night; ``status`` on one with so many
receipts; ``run`` with nothing new; and ``run`` of 24 small frames, pulled, verified and delivered into a folder with a
new ledger each round, then the same with new headers made and validated by worker processes. ``--against`` names the
folder `src` of another version, whose rounds are interleaved with ours. Medians are told; processor time includes that
of worker processes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.status_speed import configuration, fill
from tests.astra import START, astra_frame

OWN = Path(__file__).parents[1] / "src"
FRAMES, LONG_AGO = 24, 1_771_900_000
CARRIED, MADE = '["verify"]', '["verify", "standardise", "validate"]'


class Spent(NamedTuple):
    """Seconds of one round: of the processor, and on the clock."""

    processor: float
    clock: float


class Task(NamedTuple):
    """A command's words, made anew for each round."""

    label: str
    words: Callable[[], Sequence[str]]


def plant(folder: Path) -> None:
    """Write a night of small frames, settled long ago."""
    night = folder / "20260222"
    night.mkdir(parents=True)
    for number in range(FRAMES):
        file = night / f"light_{number:04d}.fits"
        file.write_bytes(astra_frame(size=(64, 48), number=number, start=START + timedelta(seconds=13 * number)))
        os.utime(file, (LONG_AGO, LONG_AGO))


def configure(home: Path, raw: Path, route: str) -> Path:
    """Write a configuration with a ledger, a shelf and an archive of its own."""
    (home / "eso").mkdir(parents=True)
    file = home / "config.toml"
    file.write_text(
        f'[ledger]\nurl = "sqlite:///{(home / "ledger.db").as_posix()}"\n'
        f'[shelf]\npath = "{(home / "shelf").as_posix()}"\nfloor = "1 MB"\n'
        f'[telescope.io]\npreset = "speculoos-io"\nroute = {route}\nsource = "{raw.as_uri()}"\nsettle = "0 s"\n'
        'program = "60.A-9009(D)"\narchives = ["eso"]\nheader = { fitsverify = false }\n'
        f'[archive.eso]\nurl = "{(home / "eso").as_uri()}"\n',
        encoding="utf-8",
    )
    return file


def spend(source: Path, words: Sequence[str]) -> Spent:
    """Run a command of one version of the code, and tell what it took, its children's work included."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "nightferry", *words],
        env=env | {"PYTHONPATH": str(source)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process.stderr:
        said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 1} or "Traceback" in said:
        raise SystemExit(f"nightferry {' '.join(words)} ended with {process.returncode}: {said}")
    return Spent(usage.ru_utime + usage.ru_stime, time.perf_counter() - began)


def tasks(folder: Path, receipts: int) -> list[Task]:
    """Plant the frames, carry them once, fill a ledger, and list what is to be measured."""
    raw = folder / "raw"
    plant(raw)
    known = configure(folder / "known", raw, CARRIED)
    spend(OWN, ["--config", str(known), "run", "--night", "all"])

    full = configuration(folder, "full")
    fill(f"sqlite:///{folder / 'full.db'}", receipts)

    def new(route: str) -> list[str]:
        home = Path(tempfile.mkdtemp(dir=folder))
        return ["--config", str(configure(home / "new", raw, route)), "run", "--night", "all"]

    asked = {
        "status": ["status"],
        "nights": ["nights"],
        "why FRAME": ["why", "light_0003.fits"],
        "run, nothing new": ["run", "--night", "all"],
    }
    return [
        Task("--help", partial(list, ["--help"])),
        *(Task(label, partial(list, ["--config", str(known), *words])) for label, words in asked.items()),
        Task(f"status, {receipts:,}", partial(list, ["--config", str(full), "status"])),
        Task(f"run, {FRAMES} frames", partial(new, CARRIED)),
        Task(f"run, {FRAMES} frames, made", partial(new, MADE)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--against", type=Path, help="the folder src of another version")
    parser.add_argument("--receipts", type=int, default=1_000_000, help="in the large ledger")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    chosen = parser.parse_args()
    versions = {"here": OWN, **({"there": chosen.against.absolute()} if chosen.against else {})}
    print(f"{'milliseconds':24}" + "".join(f" | {name + ': processor':>18} {'clock':>6}" for name in versions))
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="nightferry-start-") as folder:
        for task in tasks(Path(folder), chosen.receipts):
            found: dict[str, list[Spent]] = {name: [] for name in versions}
            for source in versions.values():
                spend(source, task.words())  # once for the caches
            for _ in range(chosen.rounds):
                for name, source in versions.items():
                    found[name].append(spend(source, task.words()))
            medians = [
                Spent(*(statistics.median(one) for one in zip(*rounds, strict=True))) for rounds in found.values()
            ]
            told = "".join(f" | {one.processor * 1000:18.0f} {one.clock * 1000:6.0f}" for one in medians)
            print(f"{task.label:24}{told}", flush=True)
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
