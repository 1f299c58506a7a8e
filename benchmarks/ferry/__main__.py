"""How fast a whole night crosses, beside the tools that people use today.

Run it with ``scripts/bench``, or from the checkout with ``python -m benchmarks.ferry``. Everything happens on
loopback and in folders that are removed afterwards; see ``benchmarks/README.md``.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.ferry import clients, report
from benchmarks.ferry.contest import Contest, tell
from benchmarks.ferry.measure import Failed, quiet_down
from benchmarks.ferry.programme import PARTS, Programme, contests

SCRIPT = "NIGHTFERRY_SYNC_VESPERA"
_QUIET_LOAD, _QUIET_WAIT = 0.3, 60.0


def main() -> None:
    """Read the options, run what they ask for, and print the tables of what was finished."""
    options = _options()
    programme = Programme(
        parts=tuple(options.only.split(",")),
        servers=tuple(options.servers.split(",")),
        rounds=options.rounds or (3 if options.quick else 5),
        quick=options.quick,
        script=_script(options.sync_vespera),
        folder=options.folder,
        disk=options.disk,
    )
    about = clients.versions()
    began = time.monotonic()
    load = quiet_down(_QUIET_LOAD, 0 if options.quick else _QUIET_WAIT)
    finished: list[Contest] = []
    trouble = ""
    try:
        finished.extend(contests(programme))
    except Failed as err:
        trouble = str(err)
    took = f"{time.monotonic() - began:.0f} s, load {load:.1f} before and {os.getloadavg()[0]:.1f} after"
    _print(finished, [report.machine(), *about, f"{time.strftime('%Y-%m-%d')}, {took}"])
    if options.json:
        options.json.write_text(json.dumps([asdict(contest) for contest in finished], indent=1))
    if trouble:
        raise SystemExit(f"the benchmark could not be finished: {trouble}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller trees, three rounds: a first look")
    parser.add_argument("--rounds", type=int, help="runs of each client (default: 5)")
    parser.add_argument("--only", default=",".join(PARTS), help="what to run, with commas (default: %(default)s)")
    parser.add_argument("--servers", default=_usual_servers(), help="vsftpd, pure-ftpd, proftpd (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="for frames and libraries (default: /dev/shm, if it has room)")
    parser.add_argument("--disk", type=Path, default=Path(tempfile.gettempdir()), help="a real disk (%(default)s)")
    parser.add_argument("--sync-vespera", type=Path, help=f"the script sync_vespera.py (default: ${SCRIPT})")
    parser.add_argument("--json", type=Path, help="where to write every single figure")
    options = parser.parse_args()
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"--only: expected {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    return options


def _usual_servers() -> str:
    """Name one server without MLSD and one with it; only root can start pure-ftpd."""
    return "vsftpd,pure-ftpd" if os.name == "posix" and os.geteuid() == 0 else "vsftpd,proftpd"


def _script(given: Path | None) -> Path | None:
    place = given or (Path(os.environ[SCRIPT]) if SCRIPT in os.environ else None)
    if place is None:
        tell(f"without sync_vespera.py: it is no part of this project; name it with --sync-vespera or ${SCRIPT}")
    elif not place.is_file():
        raise SystemExit(f"there is no {place}")
    return place.resolve() if place else None


def _print(finished: Sequence[Contest], about: Sequence[str]) -> None:
    lines = [
        *(f"- {line}" for line in about),
        "",
        "## Targets",
        "",
        *report.verdicts(finished),
        "",
        "## All figures",
        "",
        *report.tables(finished),
        "## What each does",
        "",
        *report.deeds(finished),
    ]
    print("\n".join(lines))


if __name__ == "__main__":
    try:
        main()
    except FileNotFoundError as err:
        sys.exit(f"the benchmark cannot start: {err}")
