"""Every command's JSON on one night, held against what nightferry 0.1.0 printed: it may gain keys, and nothing else.

Scripts read it. What is expected stands in `tests/data/golden/json`, one file for each line of `TYPED`; a command that
gets ``--json`` later needs a line there and a file. What depends on the hour, the machine or its speed is compared by
its type alone.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import as_file, files
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.main import get_command

from nightferry.cli.app import app
from nightferry.testing.fields import vespera_frame
from nightferry.testing.sky import View
from nightferry.testing.vespera import build_night
from tests.acceptance.conftest import EVENING, Desk, Ended
from tests.astra_night import build_astra_night
from tests.json_answers import lacking

GOLDEN = Path(__file__).parents[1] / "data/golden/json"
BIAS, HELD_FRAME = (f"20260222/camera_I+z_Sp2306-0502_{what}.fits" for what in ("0000_bias", "0004_light"))
LIGHTS = [f"callisto/20260222/camera_I+z_Sp2306-0502_{number:04}_light.fits" for number in (6, 7)]
#: What is typed, in this order, by the name of the file that has the answer. (FOLDER, CUBE and SOURCE are filled in.)
TYPED: dict[str, tuple[str, ...]] = {
    "run-dry-run": ("run", "callisto", "--night", "all", "--dry-run"),
    "run": ("run", "callisto", "card", "far", "--night", "all"),
    "retry": ("retry", "far"),
    "watch": ("watch", "callisto", "--every", "0.1 s", "--empty", "1"),
    "status": ("status",),
    "nights": ("nights",),
    "night": ("night", "callisto", "2026-02-22"),
    "night-raw": ("night", "card", "2026-09-11"),
    "why": ("why", BIAS),
    "why-held": ("why", HELD_FRAME),
    "why-cube": ("why", "CUBE"),
    "held": ("held",),
    "release-dry-run": ("release", HELD_FRAME, "--why", "a try", "--dry-run"),
    "release": ("release", HELD_FRAME, "--why", "looked at it", "--drop"),
    "restore": ("restore", BIAS, "--into", "FOLDER/restored"),
    "clear-dry-run": ("clear", "card", "--night", "all", "--dry-run"),
    "clear": ("clear", "card", "--night", "all"),
    "audit": ("audit", "callisto"),
    "ledger-backup": ("ledger", "backup", "FOLDER/copy.db"),
    "ledger-check": ("ledger", "check"),
    "alerts": ("alerts", "list"),
    "check": ("check", "callisto", "card"),
    "presets": ("presets",),
    "presets-one": ("presets", "astra"),
    "discover": ("discover", "vespera", "--folder", "FOLDER/stick"),
    "standardise": ("standardise", *LIGHTS, "--telescope", "callisto", "--into", "FOLDER/standard"),
    "standardise-held": ("standardise", f"callisto/{HELD_FRAME}", "--telescope", "callisto", "--into", "FOLDER/held"),
    "validate": ("validate", *LIGHTS, "--no-fitsverify"),
    "cube-dry-run": ("cube", *LIGHTS, "--telescope", "callisto", "--into", "FOLDER/cubes", "--dry-run"),
    "cube": ("cube", *LIGHTS, "--telescope", "callisto", "--into", "FOLDER/cubes"),
    "cube-split": ("cube", "--split", "eso/2026-02-22/CUBE", "--into", "FOLDER/split"),
    "solve": ("solve", "m45.fits", LIGHTS[0], "--index", "FOLDER/sky", "--facts"),
    "index-status": ("index", "status", "--index", "FOLDER/sky"),
    "index-build": (
        "index", "build", "--around", "56.6,24.1", "--radius", "1.3 deg", "--catalog", "stars.csv",
        "--field", "54 arcmin", "--into", "FOLDER/built",
    ),
    "index-download": (
        "index", "download", "--scales", "7,9", "--source", "SOURCE", "--into", "FOLDER/new", "--dry-run",
    ),
}  # fmt: skip
#: What is of the hour, the machine or its speed, or follows from a step's version: told by its name.
CHANGING = frozenset({"seconds", "host", "proof_age_seconds", "written", "engine", "engines", "folders"})
#: Commands all of whose numbers are measured, and come out a little different from machine to machine.
MEASURED = frozenset({"solve", "index-build"})
#: What changes with the time that is written into a header, in objects that tell of a product.
OF_A_PRODUCT = frozenset({"digest", "datasum"})
#: Presets come and are mended; those that are told of here stay.
PRESETS = frozenset({"astra", "speculoos-callisto", "vespera"})
#: Texts in answers, and what is written in their place.
_TEXTS = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"), "INSTANT"),
    (re.compile(r"[\d.,]+ [kMGTP]?B free"), "ROOM free"),
    (re.compile(r"(?<=/)\d{16}$"), "MICROSECONDS"),
)
_IDENTITY = re.compile(r"[0-9a-f]{32}")


class Told(NamedTuple):
    """What was printed, with what changes from night to night taken out of it."""

    code: int
    lines: list[object]


def test_every_command_with_json_is_typed_here() -> None:
    typed = {words[:2] for words in TYPED.values()} | {words[:1] for words in TYPED.values()}
    assert [" ".join(words) for words in commands_with_json() if words not in typed] == []


def commands_with_json() -> Iterator[tuple[str, ...]]:
    """Walk through all commands, however they are grouped."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), get_command(app))]
    while waiting:
        words, command = waiting.pop()
        for name, below in getattr(command, "commands", {}).items():
            waiting.append(((*words, name), below))
        if any("--json" in option.opts for option in getattr(command, "params", ())):
            yield words


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sky_index: Path, desk_at: Callable[[Path], Desk]) -> dict[str, Told]:
    """Carry one night, and type everything about it once."""
    home = tmp_path_factory.mktemp("golden") / "home"
    home.mkdir()
    desk = desk_at(home)
    plant(desk, sky_index)
    answers: dict[str, Told] = {}
    with served(home / "series") as source:
        for name, words in TYPED.items():
            if name == "audit":
                (home / "eso/2026-02-22" / cube_of(desk)).unlink()
            fill = {"FOLDER": f"{home}", "CUBE": cube_of(desk), "SOURCE": source}
            ended = desk.nightferry(*(filled(word, fill) for word in words), "--json")
            answers[name] = Told(ended.code, [steady(line, fill, name) for line in lines_of(ended, name)])
    return answers


def plant(desk: Desk, sky_index: Path) -> None:
    """Write what lies at the telescopes, index files, and a configuration."""
    home = desk.home
    kinds = ("bias", "bias", "flat", *["light"] * 6)
    build_astra_night(home / "callisto", faults=("truncated", "no-imagetyp"), kinds=kinds)
    build_night(home / "stick/user", seed=1, evening=EVENING, observations=1, lights=2, size=(64, 48))
    shutil.copytree(home / "stick/user", home / "distant")
    shutil.copytree(sky_index, home / "sky")
    (home / "m45.fits").write_bytes(vespera_frame("M45", View(56.60, 24.11, 12.0)))
    with as_file(files("nightferry.testing").joinpath("stars.csv")) as catalogue:
        shutil.copy(catalogue, home / "stars.csv")
    for folder in ("eso", "library", "series", "presets"):
        (home / folder).mkdir()
    for scale in (4107, 4109):
        (home / f"series/index-{scale}.fits").write_bytes(b"index" * scale)
    # no test asks a network
    lonely = 'extends = "vespera"\nsource = "file:///nowhere"\n[discover]\nurls = []\n'
    (home / "presets/vespera.toml").write_text(lonely, encoding="utf-8")
    desk.config.write_text(
        f"""\
[ledger]
url = "sqlite:///{desk.ledger.as_posix()}"
[shelf]
path = "{desk.shelf.as_posix()}"
floor = "1 MB"
[crew]
kind = "threads"

[telescope.callisto]
preset = "speculoos-callisto"
route = ["verify", "standardise", "validate", "cube"]
source = "{(home / "callisto").as_uri()}"
settle = "0 s"
program = "60.A-9009(D)"
archives = ["eso"]
header = {{ fitsverify = false }}

[telescope.card]
preset = "vespera"
source = "{(home / "stick/user").as_uri()}"
settle = "0 s"
archives = ["library"]
clear = {{ after = "0 s" }}

[telescope.far]
preset = "vespera"
source = "{(home / "distant").as_uri()}"
settle = "0 s"
timeout = "2 s"
archives = ["away"]

[archive.eso]
url = "{(home / "eso").as_uri()}"
[archive.library]
url = "{(home / "library").as_uri()}"
[archive.away]
url = "ftp://127.0.0.1:1/away"
user = "anonymous"
""",
        encoding="utf-8",
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class served:  # noqa: N801 - used as a function
    """Serve a folder over HTTP on loopback; gives its address."""

    def __init__(self, folder: Path) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=f"{folder}"))
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def cube_of(desk: Desk) -> str:
    """Name the cube of bias frames; before the first pass there is none."""
    return next((path.name for path in desk.home.rglob("SPECU4.*_bias.fits")), "")


def filled(word: str, fill: dict[str, str]) -> str:
    for name, value in fill.items():
        word = word.replace(name, value)
    return word


def lines_of(ended: Ended, name: str) -> list[dict[str, object]]:
    """Give the lines of an answer in their order, without those about the machine that the tests run on."""
    lines = ended.json()
    if name == "discover":
        return [line for line in lines if str(line["source"]).endswith("/home/stick/user")]
    if name == "presets":
        return [line for line in lines if line["preset"] in PRESETS]
    if name == "alerts":  # telescopes are carried side by side, so their alerts come in any order
        return sorted(lines, key=lambda line: str(line["key"]))
    return [line for line in lines if line.get("check") != "service"]


def steady(value: object, fill: dict[str, str], name: str) -> object:
    """Take out of an answer what is of the moment, the machine and the folder that it was asked in."""
    if isinstance(value, dict):
        changing = CHANGING | (OF_A_PRODUCT if value.keys() & {"cube", "product"} else set())
        if value.get("keyword") == "DATE":
            changing |= {"after"}
        return {
            key: f"any {type(item).__name__}" if key in changing else steady(item, fill, name)
            for key, item in value.items()
        } | {key: "IDENTITY" for key in ("cube", "product", "in") if _IDENTITY.fullmatch(str(value.get(key)))}
    if isinstance(value, list):
        return [steady(item, fill, name) for item in value]
    if isinstance(value, str):
        for word, text in fill.items():
            value = value.replace(text, word) if text else value
        for pattern, word in _TEXTS:
            value = pattern.sub(word, value)
    elif name in MEASURED and isinstance(value, int | float) and not isinstance(value, bool):
        return f"any {type(value).__name__}"
    return value


def test_json_says_what_it_said_and_may_say_more(told: dict[str, Told], tmp_path: Path) -> None:
    assert [difference for name in TYPED for difference in differences_of(told[name], name, tmp_path)] == []


def differences_of(now: Told, name: str, place: Path) -> Iterator[str]:
    """Tell in what an answer is not what is written down; where nothing is, leave it in a folder to be read."""
    golden, typed = GOLDEN / f"{name}.json", " ".join(TYPED[name])
    if not golden.is_file():
        text = json.dumps({"exit": now.code, "lines": now.lines}, indent=1, ensure_ascii=False)
        (place / golden.name).write_text(f"{text}\n", encoding="utf-8")
        yield f"no JSON is written down for {typed!r}: read {place / golden.name}, and copy it to {GOLDEN}"
        return
    then = json.loads(golden.read_text(encoding="utf-8"))
    if now.code != then["exit"]:
        yield f"{typed}: exit code {now.code}, expected {then['exit']}"
    yield from lacking(now.lines, then["lines"], typed)


@pytest.mark.parametrize(
    ("now", "differs"),
    [
        ({"a": 1, "b": [{"c": None}], "new": 2}, False), ({"a": 1, "b": [{"c": None, "new": []}]}, False),
        ({"a": 1}, True), ({"a": 1.0, "b": [{"c": None}]}, True), ({"a": True, "b": [{"c": None}]}, True),
        ({"a": 1, "b": []}, True), ({"a": 1, "b": [{"c": None}, {}]}, True), ({"a": 1, "b": [{"c": ""}]}, True),
        ([], True),
    ],
)  # fmt: skip
def test_only_new_keys_are_no_difference(now: object, *, differs: bool) -> None:
    assert bool(list(lacking(now, {"a": 1, "b": [{"c": None}]}, "here"))) is differs
