"""How fast the ledger is at the size of 100,000 frames: run it, and it prints a table.

    python benchmarks/ledger_speed.py [--frames 100000] [--folder FOLDER]

The ledger is made in FOLDER (a fresh temporary one by default), on whose disk it depends how long a commit
takes. Questions are asked three times each in a process of their own, and the median is shown, with the most
memory that the whole process held (on Linux).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from nightferry.core.balance import Expectation
from nightferry.core.frame import Digest, Sighting, fingerprint
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath
from nightferry.ledger.sql import SqlLedger, open_ledger

NIGHT_SIZE, BATCH = 1000, 64
ROUTE = Expectation(("pull", "verify"), ("eso",), {"pull": "1", "verify": "1", "deliver": "1"})
STEPS = (("pull", ""), ("verify", ""), ("deliver", "eso"))
FIRST_EVENING = date(2026, 1, 1)
NOW_US = 1_790_000_000_000_000


def sightings(frames: int) -> list[Sighting]:
    """Make nights of 1000 frames, named as an observatory names them."""
    made = []
    for number in range(frames):
        evening = FIRST_EVENING + timedelta(days=number // NIGHT_SIZE)
        path = StorePath(f"{evening:%Y%m%d}/callisto_r_NGC7023_10.000_{evening:%Y%m%d}_{number:06d}.123.fits")
        made.append(Sighting(Night("callisto", evening), path, 8_400_000, NOW_US - frames + number, NOW_US))
    return made


def receipts(seen: list[Sighting], step: str, target: str) -> list[Receipt]:
    """Make the receipts of one step that went well."""
    return [
        Receipt(
            one.id,
            one.night,
            step,
            "1",
            Outcome.DONE,
            target=target,
            digest=Digest(fingerprint(one.path) * 2),
            proof={"name": f"archive/{one.path}", "size": one.size, "verified": "reread"},
            started_us=NOW_US,
            seconds=0.031,
            host="control-pc",
        )
        for one in seen
    ]


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def record_all(ledger: SqlLedger, seen: list[Sighting]) -> list[float]:
    """Record every step of every frame, as the conductor does, and tell how long each batch took."""
    spent = []
    for start in range(0, len(seen), BATCH):
        for step, target in STEPS:
            batch = receipts(seen[start : start + BATCH], step, target)
            spent.append(timed(lambda batch=batch: ledger.record(batch)))  # type: ignore[misc]
    return spent


def write(url: str, frames: int) -> Iterator[tuple[str, str, str]]:
    """Fill a ledger and tell what each kind of writing took."""
    ledger = open_ledger(url)
    ledger.expect("callisto", ROUTE)
    seen = sightings(frames)
    yield f"sight {frames:,} new files", f"{timed(lambda: ledger.sight(seen)):.2f} s", ""
    yield "the same again, nothing new", f"{timed(lambda: ledger.sight(seen)):.2f} s", ""
    yield ask(url, f"open_work, {frames:,} pending", "sum(1 for _ in ledger.open_work('callisto', now_us=0))")
    spent = record_all(ledger, seen)
    total = f"{sum(spent):.1f} s in all, the slowest {max(spent) * 1000:.0f} ms"
    yield f"record {BATCH} receipts (of {frames * len(STEPS):,})", f"{statistics.median(spent) * 1000:.1f} ms", total
    ignored = [replace(one, ignored="a new rule") for one in seen[:NIGHT_SIZE]]
    yield f"sight {NIGHT_SIZE:,} known files anew", f"{timed(lambda: ledger.sight(ignored)):.2f} s", ""
    ledger.close()


def ask(url: str, name: str, question: str) -> tuple[str, str, str]:
    """Ask a question in a process of its own: the median of three times, and the memory it held at most."""
    program = f"""
import pathlib, re, statistics, time
from nightferry.ledger.sql import open_ledger
ledger = open_ledger({url!r})
spent = []
for _ in range(3):
    started = time.perf_counter()
    {question}
    spent.append(time.perf_counter() - started)
status = pathlib.Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1] if status.exists() else 0
print(statistics.median(spent), peak)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds, peak = ran.stdout.split()
    return name, f"{float(seconds):.3f} s", f"{int(peak) / 1000:.0f} MB" if int(peak) else ""


def read(url: str, frames: int) -> Iterator[tuple[str, str, str]]:
    """Ask a full ledger what a pass and its people ask."""
    night = f"[__import__('datetime').date({FIRST_EVENING.year}, 1, 5)]"
    yield ask(url, "nothing but opening it", "pass")
    yield ask(url, f"known, {frames:,} paths", "ledger.known('callisto')")
    yield ask(url, "open_work, nothing open", "sum(1 for _ in ledger.open_work('callisto', now_us=0))")
    yield ask(url, f"balances, {frames // NIGHT_SIZE} nights", "ledger.balances()")
    yield ask(url, "balances, one night", f"ledger.balances('callisto', {night})")
    yield ask(url, f"accounts, one night of {NIGHT_SIZE:,}", f"ledger.accounts('callisto', {night})")
    yield ask(url, f"proofs, {frames:,} frames", "sum(1 for _ in ledger.proofs('callisto', 'eso'))")
    yield ask(url, "find a file name", "ledger.find('callisto_r_NGC7023_10.000_20260103_002500.123.fits')")
    yield ask(url, "find a digest", f"ledger.find({fingerprint(sightings(2)[1].path)!r})")
    yield ask(url, "rebuild", "ledger.rebuild()")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make the ledger (default: a temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="nightferry-speed-") as folder:
        path = Path(folder) / "ledger.db"
        url = f"sqlite:///{path}"
        for rows in (write(url, chosen.frames), read(url, chosen.frames)):
            for name, took, remark in rows:
                print(f"{name:40} {took:>10}  {remark}", flush=True)
        print(f"{'size of the ledger':40} {path.stat().st_size / 1e6:>7.0f} MB")


if __name__ == "__main__":
    main()
