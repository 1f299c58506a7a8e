"""A night from one local folder to another, beside ``cp -r`` and ``sync``.

Run with ``python -m benchmarks.local_speed [ROUNDS] [FOLDER]``; FOLDER lies on the disk that is measured (the system's
place for temporary files by default). The ways take turns; median and best of the rounds, and the least processor time
of each with its children.

Ours looks whether each frame is whole, digests it (BLAKE3) while it is read, gives it its name only when it is on the
disk, never replaces anything, and writes its ledger. "In a running process" is what a watch or a program does; the
command has the start-up as well.
"""

import logging
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import pulling
from benchmarks.pulling import Row
from nightferry import api
from nightferry.testing.encode import fits_image

#: (frames, pixels of a side): big frames, and small ones.
TREES = ((24, 2880), (1000, 180))


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    place = sys.argv[2] if len(sys.argv) > 2 else None
    logging.disable(logging.WARNING)
    for count, side in TREES:
        with tempfile.TemporaryDirectory(dir=place) as name:
            work = Path(name)
            source = work / "source"
            size = plant(source, count, side)
            subprocess.run(["sync"], check=True)
            rows: dict[str, Row] = {
                "cp -r": lambda to, source=source: pulling.run(["cp", "-r", f"{source}", f"{to}"]),  # type: ignore[misc]
                "cp -r, then sync": partial(copied, source),
                "nightferry, in a running process": partial(in_process, source, count),
                "nightferry run": partial(command, source, count),
            }
            title = f"{count} x {size / count / 1e6:.2f} MB, {source.parent.parent}"
            pulling.contest(title, "MB/s", size / 1e6, rows, work=work, rounds=rounds)


def plant(folder: Path, count: int, side: int) -> int:
    """Write whole frames, each another one, and tell their bytes."""
    folder.mkdir()
    random = np.random.default_rng(1)
    pixels = random.integers(0, 60_000, (side, side), np.uint16)
    for number in range(count):
        data = fits_image([("OBJECT", f"field {number}", "target")], pixels)
        (folder / f"light_{number:05}.fits").write_bytes(data)
    return sum(file.stat().st_size for file in folder.iterdir())


def copied(source: Path, target: Path) -> None:
    pulling.run(["cp", "-r", f"{source}", f"{target}"])
    pulling.run(["sync"])


def configured(source: Path, home: Path) -> Path:
    place = home / "config.toml"
    place.write_text(f"""
        [ledger]
        url = "sqlite:///{home / "ledger.db"}"
        [shelf]
        path = "{home / "shelf"}"
        floor = "1 MB"
        [telescope.dome]
        preset = "generic"
        source = "{source.as_uri()}"
        settle = "0 s"
        archives = ["library"]
        [archive.library]
        url = "{(home / "library").as_uri()}"
    """)
    (home / "library").mkdir()
    return place


def in_process(source: Path, count: int, home: Path) -> None:
    config = api.load(configured(source, home))
    with api.open_ledger(config) as ledger:
        done = api.run(config, ledger, "dome", ["all"])
    assert sum(balance.delivered for balance in done.balances) == count


def command(source: Path, count: int, home: Path) -> None:
    place = configured(source, home)
    pulling.run([sys.executable, "-m", "nightferry", "--config", f"{place}", "run", "dome", "--night", "all"])
    assert sum(1 for _ in (home / "library").rglob("*.fits")) == count


if __name__ == "__main__":
    main()
