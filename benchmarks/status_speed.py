"""How fast `nightferry status` answers on a ledger of a million receipts: run it, and it prints a table.

    python benchmarks/status_speed.py [--receipts 1000000] [--rounds 7] [--folder FOLDER]

Four telescopes, nights of 1000 frames each, three receipts a frame; every hundredth frame is held, every night, and
each night has a cube, of which every seventh is held. The whole command is timed, start-up included, beside the same
command on an empty ledger. Then comes what a watch asks after a pass: whom to tell of what, the first time and again.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from nightferry.config import load
from nightferry.core.balance import Expectation
from nightferry.core.frame import Digest, Fact, FrameId, Sighting, fingerprint
from nightferry.core.night import Night
from nightferry.core.overview import Contact
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.sql import open_ledger

TELESCOPES = ("io", "europa", "ganymede", "callisto")
NIGHT_SIZE, STEPS, BATCH = 1000, 3, 4096
ROUTE = Expectation(("pull", "verify"), ("eso",), {"pull": "1", "verify": "1", "deliver": "1"})
FIRST_EVENING = date(2025, 9, 1)
NOW_US = time.time_ns() // 1000


def night_of(telescope: str, number: int) -> list[Sighting]:
    """Make one night's frames, named as an observatory names them."""
    evening = FIRST_EVENING + timedelta(days=number)
    return [
        Sighting(
            Night(telescope, evening),
            StorePath(f"{evening:%Y%m%d}/{telescope}_r_NGC7023_10.000_{evening:%Y%m%d}_{frame:06d}.123.fits"),
            8_400_000,
            NOW_US - frame,
            NOW_US,
        )
        for frame in range(NIGHT_SIZE)
    ]


def receipts_of(seen: Sighting, number: int) -> Iterator[Receipt]:
    """Make a frame's receipts; every hundredth is held by `verify`."""
    bad = number % 100 == 7
    for step, target in (("pull", ""), ("verify", ""), ("deliver", "eso")):
        held = bad and step == "verify"
        yield Receipt(
            seen.id,
            seen.night,
            step,
            "1",
            Outcome.HELD if held else Outcome.DONE,
            reason=f"{seen.path} has 8640 bytes, and its header speaks of 8,389,440" if held else "",
            target=target,
            digest=Digest(fingerprint(seen.path) * 2),
            proof={"name": f"archive/{seen.path}", "size": seen.size, "how": "reread"},
            started_us=NOW_US,
            seconds=0.031,
            host="control-pc",
        )
        if held:
            return


def cube_of(night: Night, number: int) -> Iterator[Receipt]:
    """Make the receipts of a night's cube; every seventh is held by `validate`."""
    identity = FrameId(fingerprint(str(night)))
    facts: dict[str, Fact] = {
        "key": "NGC7023 r",
        "edition": 1,
        "frames": NIGHT_SIZE,
        "name": "cube.fits",
        "size": 10**9,
    }
    held = number % 7 == 0
    yield Receipt(identity, night, "cube", "1", Outcome.DONE, proof=facts, started_us=NOW_US)
    yield Receipt(identity, night, "validate", "1", Outcome.HELD if held else Outcome.DONE, "no RA" if held else "")
    if not held:
        yield Receipt(identity, night, "deliver", "1", Outcome.DONE, target="eso", started_us=NOW_US)


def fill(url: str, receipts: int) -> int:
    """Fill a ledger with so many receipts; tell how many there are."""
    ledger = open_ledger(url)
    written = 0
    for telescope in TELESCOPES:
        ledger.expect(telescope, ROUTE)
        ledger.greet(Contact(telescope, looked_us=NOW_US, reached_us=NOW_US))
    for number in range(-(-receipts // (STEPS * NIGHT_SIZE * len(TELESCOPES)))):
        for telescope in TELESCOPES:
            seen = night_of(telescope, number)
            ledger.sight(seen)
            told = [receipt for place, one in enumerate(seen) for receipt in receipts_of(one, place)]
            told += cube_of(seen[0].night, number)
            for start in range(0, len(told), BATCH):
                ledger.record(told[start : start + BATCH])
            written += len(told)
    ledger.close()
    return written


def configuration(folder: Path, name: str) -> Path:
    """Write a configuration of four telescopes with a ledger of that name."""
    sections = [
        f'[telescope.{one}]\npreset = "speculoos-{one}"\nsource = "file:///images/{one}"\narchives = ["eso"]\n'
        for one in TELESCOPES
    ]
    path = folder / f"{name}.toml"
    ledger = f'[ledger]\nurl = "sqlite:///{(folder / name).as_posix()}.db"\n'
    path.write_text("\n".join([ledger, *sections, '[archive.eso]\nurl = "file:///eso"\n']), encoding="utf-8")
    return path


def status(config: Path) -> float:
    """Run the command and tell how long it took."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "nightferry", "--config", str(config), "status"], capture_output=True, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    return time.perf_counter() - started


def judgements(config: Path) -> list[float]:
    """Judge as a watch does, and tell how long each time took: the first one writes down what is to be told."""
    from nightferry.monitor import Monitor  # noqa: PLC0415 - what `status` does without

    loaded = load(config)
    ledger = open_ledger(f"sqlite:///{config.with_suffix('.db')}")
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        Monitor(loaded, ledger, hasty=True, note=print).judge(NOW_US)
        spent.append(time.perf_counter() - started)
    ledger.close()
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--receipts", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to make the ledger (default: a temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="nightferry-status-") as name:
        folder = Path(name)
        full, empty = configuration(folder, "full"), configuration(folder, "empty")
        written = fill(f"sqlite:///{folder / 'full.db'}", chosen.receipts)
        spent: dict[Path, list[float]] = {full: [], empty: []}
        for config in spent:
            status(config)  # once for the caches
        for _ in range(chosen.rounds):
            for config, times in spent.items():
                times.append(status(config))
        for label, config in ((f"{written:,} receipts", full), ("an empty ledger", empty)):
            times = spent[config]
            print(f"status, {label:24} {statistics.median(times):.3f} s  ({min(times):.3f} to {max(times):.3f})")
        first, *again = judgements(full)
        print(f"judgement after a pass, first {first:.3f} s, then {min(again):.3f} s")
        print(f"size of the ledger {(folder / 'full.db').stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
