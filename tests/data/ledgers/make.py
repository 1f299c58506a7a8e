"""Make a ledger of real nights with the nightferry of some commit, and write down what that nightferry says of them.

    PYTHONPATH=CHECKOUT/src:CHECKOUT python tests/data/ledgers/make.py tests/data/ledgers/0002

See the README beside this file. Uses the command line, and beside it only the simulated telescopes, so that it works
with many versions.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

from nightferry.testing.fields import build_sky_index
from nightferry.testing.telescope import simulated_vespera
from nightferry.testing.vespera import build_night
from tests.astra import START, astra_frame
from tests.astra_night import FAULTS, build_astra_night

#: Where all of it happens: what a ledger says of places must not be of the machine that it was made on.
HOME = Path("/tmp/observatory")  # noqa: S108 - never shared, and removed when it is done
#: nightferry on a machine of that name.
_PROGRAM = "import platform; platform.node = lambda: 'control-pc'; from nightferry.cli.app import main; main()"
EVENING = date(2026, 9, 11)
KINDS = ("bias", "bias", "bias", "dark", "dark", "flat", "flat", *["light"] * (len(FAULTS) + 2))
_LONG_AGO = 1_771_900_000

CONFIG = f"""\
[ledger]
url = "sqlite:///{HOME}/ledger.db"
[shelf]
path = "{HOME}/shelf"
floor = "1 MB"
[crew]
kind = "threads"

[telescope.callisto]
preset = "speculoos-callisto"
route = ["verify", "standardise", "validate", "cube"]
source = "file://{HOME}/callisto"
settle = "0 s"
program = "60.A-9009(D)"
archives = ["eso"]
header = {{ fitsverify = false }}

[telescope.vespera]
preset = "vespera"
source = "VESPERA"
settle = "0 s"
archives = ["library"]
clear = {{ after = "0 s" }}

[telescope.garden]
preset = "vespera"
source = "file://{HOME}/garden"
user = ""
route = ["verify", "solve"]
settle = "0 s"
archives = ["library"]
solve = {{ index = ["{HOME}/index"] }}

[telescope.far]
preset = "seestar"
source = "file://{HOME}/far"
settle = "0 s"
timeout = "2 s"
archives = ["away"]

[archive.eso]
url = "file://{HOME}/eso"
[archive.library]
url = "file://{HOME}/library"
[archive.away]
url = "ftp://127.0.0.1:9/away"
user = "anonymous"
"""


def make(into: Path) -> None:
    """Carry the nights, and write the ledger, what is said of it and what the archive of cubes holds."""
    shutil.rmtree(HOME, ignore_errors=True)
    into.mkdir(parents=True, exist_ok=True)
    for folder in ("eso", "library"):
        (HOME / folder).mkdir(parents=True)
    _plant()
    with simulated_vespera(HOME / "vespera") as served:
        (HOME / "nightferry.toml").write_text(CONFIG.replace("VESPERA", served.url), encoding="utf-8")
        _carry()
    answers = _answers()
    with closing(sqlite3.connect(HOME / "ledger.db")) as ledger:
        dump = "\n".join(ledger.iterdump())
    (into / "ledger.sql").write_text(dump + "\n", encoding="utf-8")
    (into / "answers.json").write_text(json.dumps(answers, indent=1) + "\n", encoding="utf-8")
    with tarfile.open(into / "eso.tar.xz", "w:xz", preset=9) as archive:
        archive.add(HOME / "eso", "eso", filter=_of_nobody)
    shutil.rmtree(HOME)


def _of_nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Take out of an archive's entry who made it, and when."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def plant_callisto(home: Path, *, late: bool) -> None:
    """Write Callisto's two nights, or the frame that comes late: the same bytes each time."""
    if late:
        _write(home / "callisto/20260222/late.fits", astra_frame(number=60))
        return
    build_astra_night(home / "callisto", faults=FAULTS, kinds=KINDS)
    build_astra_night(home / "next", kinds=("bias", "flat", "light", "light"), start=START + timedelta(days=1))
    (home / "next/20260222").rename(home / "callisto/20260223")


def _plant() -> None:
    """Write what lies at the telescopes at first."""
    plant_callisto(HOME, late=False)
    build_night(HOME / "vespera", seed=1, evening=EVENING, observations=2, lights=2, size=(64, 48), quirks=True)
    build_night(HOME / "garden", seed=2, evening=EVENING + timedelta(days=1), observations=1, lights=2)
    build_sky_index(HOME / "index")
    folder = HOME / "far/MyWorks/M 31_sub"
    folder.mkdir(parents=True)
    _write(folder / "Light_M 31_10.0s_IRCUT_20260911-223000.fit", astra_frame(number=3))


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)
    os.utime(path, (_LONG_AGO, _LONG_AGO))


def _carry() -> None:
    """Carry the nights as people do: again and again, with words about what is held, an audit and a clearing."""
    _type("run", "--night", "all")
    for path, *words in _words():
        _type("release", path, "--why", *words)
    plant_callisto(HOME, late=True)
    _type("run", "callisto", "--night", "all")
    cube = next(path for path in sorted((HOME / "eso/2026-02-23").glob("SPECU4.*")) if path.is_file())
    cube.unlink()
    _type("audit", "--night", "all")
    _type("clear", "vespera", "--night", "all")
    _type("run", "--night", "all")
    build_night(HOME / "new", seed=3, evening=EVENING + timedelta(days=2), observations=1, lights=1, size=(64, 48))
    for folder in (HOME / "new").iterdir():
        folder.rename(HOME / "garden" / folder.name)
    _type("run", "garden", "--night", "all", "--until", "pull")


def _words() -> Iterator[tuple[str, ...]]:
    """Say of which held frames a person says what."""
    held = [str(line["name"]) for line in _ask("held", "callisto")]
    yield held[0], "looked at it: it is what it is", "--drop"
    yield held[1], "try it again"


def _answers() -> dict[str, list[dict[str, object]]]:
    """Ask all that a ledger can be asked, by the words that are typed."""
    answers: dict[str, list[dict[str, object]]] = {}

    def ask(*words: str) -> list[dict[str, object]]:
        answers[" ".join(words)] = _ask(*words)
        return answers[" ".join(words)]

    if "status" in _type("--help"):
        ask("status")
    held = ask("held")
    seen: dict[str, str] = {}
    for night in ask("nights"):
        for frame in ask("night", str(night["telescope"]), str(night["night"])):
            kind = [str(frame.get(key)) for key in ("telescope", "standing", "stage")]
            seen.setdefault(" ".join(kind), str(frame.get("frame") or frame["cube"]))
    for identity in dict.fromkeys([*seen.values(), *(str(frame["frame"]) for frame in held if "frame" in frame)]):
        ask("why", identity)
    return answers


def _ask(*words: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in _type(*words, "--json").splitlines()]


def _type(*words: str) -> str:
    command = [sys.executable, "-c", _PROGRAM, "--config", str(HOME / "nightferry.toml"), *words]
    ended = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if ended.returncode not in {0, 1, 3}:
        raise RuntimeError(f"{' '.join(words)}: {ended.returncode}\n{ended.stderr}")
    sys.stderr.write(f"{ended.returncode} {' '.join(words)}\n{ended.stderr}")
    return ended.stdout


def main(words: Sequence[str]) -> None:
    """Make the ledger in the folder that was named."""
    (into,) = words
    make(Path(into))


if __name__ == "__main__":
    main(sys.argv[1:])
