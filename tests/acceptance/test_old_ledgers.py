"""What people have goes on: over ledgers of every schema, commands answer as they did, and nothing is made again."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from nightferry.ledger.revision import HEAD
from tests.acceptance.conftest import HELD, Desk, digests
from tests.data.ledgers import make
from tests.json_answers import lacking

DATA = Path(make.__file__).parent
VERSIONS = sorted(path.parent.name for path in DATA.glob("*/ledger.sql"))
#: What depends on the moment of the question.
_OF_THE_MOMENT = {"proof_age_seconds"}
#: What is the same whenever a night is carried; standard frames have the date of their making.
_OF_A_FRAME = ("name", "size", "digest", "delivered")
#: What the archive lost before it was audited.
MISSING = ["2026-02-23/SPECU4.20260224T010203_C_bias.fits"]


class Old(NamedTuple):
    """A user's folder as an older nightferry left it, its telescopes out of reach, and what that nightferry told."""

    desk: Desk
    version: str
    answers: dict[str, list[dict[str, object]]]

    def schema(self) -> str:
        with closing(sqlite3.connect(self.desk.ledger)) as raw:
            return str(raw.execute("SELECT version_num FROM alembic_version").fetchone()[0])

    def receipts(self) -> int:
        with closing(sqlite3.connect(self.desk.ledger)) as raw:
            return int(raw.execute("SELECT count(*) FROM receipts").fetchone()[0])


def restored(desk: Desk, version: str) -> Old:
    with closing(sqlite3.connect(desk.ledger)) as raw:
        raw.executescript((DATA / version / "ledger.sql").read_text(encoding="utf-8"))
        raw.execute("PRAGMA journal_mode = WAL")
    configure(desk)
    (desk.home / "library").mkdir()
    with tarfile.open(DATA / version / "eso.tar.xz") as archive:
        archive.extractall(desk.home, filter="data")
    return Old(desk, version, json.loads((DATA / version / "answers.json").read_text(encoding="utf-8")))


def configure(desk: Desk) -> None:
    """Write the configuration that the ledgers were made with; there is no Vespera at its address."""
    text = make.CONFIG.replace("VESPERA", "ftp://127.0.0.1:9/user").replace(f"{make.HOME}", f"{desk.home}")
    desk.config.write_text(text, encoding="utf-8")


@pytest.fixture(params=VERSIONS)
def old(request: pytest.FixtureRequest, desk: Desk) -> Old:
    return restored(desk, request.param)


@pytest.fixture
def callisto(old: Old) -> Old:
    """A user's folder with the nights of Callisto at the telescope, as they were."""
    plant(old.desk)
    return old


def plant(desk: Desk) -> None:
    make.plant_callisto(desk.home, late=False)
    make.plant_callisto(desk.home, late=True)


def test_every_question_is_answered_as_it_was_and_changes_nothing(old: Old) -> None:
    before = digests(old.desk.home)
    for words, then in old.answers.items():
        told: list[object] = list(old.desk.nightferry(*words.split(), "--json").json())
        if words.startswith("night "):  # cubes stand behind the frames since 0002
            del told[len(then) :]
        assert list(lacking(told, then, words, changing=_OF_THE_MOMENT)) == []
    assert digests(old.desk.home) == before


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("nights",), ("night", "vespera", "latest"), ("held",), ("alerts", "list"), ("check",),
        ("why", "20260222/camera_I+z_Sp2306-0502_0000_bias.fits"),
        ("release", "20260222/camera_I+z_Sp2306-0502_0009_light.fits", "--why", "a try", "--dry-run"),
        ("run", "callisto", "--night", "all", "--dry-run"), ("retry", "far", "--dry-run"),
        ("clear", "vespera", "--night", "all", "--dry-run"),
        ("restore", "20260222/camera_I+z_Sp2306-0502_0000_bias.fits", "--into", "here", "--dry-run"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_command_that_only_asks_leaves_an_old_ledger_as_it_is(callisto: Old, words: tuple[str, ...]) -> None:
    before = callisto.desk.ledger.read_bytes()
    ended = callisto.desk.nightferry(*words)
    assert ended.code in {0, 1, 2, 3}
    assert ended.out
    assert callisto.desk.ledger.read_bytes() == before


def test_a_pass_over_an_old_ledger_makes_nothing_again(callisto: Old) -> None:
    archive, receipts = digests(callisto.desk.home / "eso"), callisto.receipts()
    ended = callisto.desk.nightferry("run", "callisto", "--night", "all", "--json")
    assert ended.code == HELD, ended.err
    assert callisto.schema() == HEAD
    assert digests(callisto.desk.home / "eso") == archive
    assert callisto.receipts() == receipts
    then = [line for line in callisto.answers["nights"] if line["telescope"] == "callisto"]
    for told, line in zip(ended.json(), then, strict=True):
        assert list(lacking(told, line, f"{line['night']}")) == []


def test_other_settings_open_held_frames_of_an_old_ledger_and_make_nothing_again(callisto: Old) -> None:
    text = callisto.desk.config.read_text(encoding="utf-8")
    other = 'header = { fitsverify = false, observer = "Another" }\ncube = { max_frames = 50 }'
    callisto.desk.config.write_text(text.replace("header = { fitsverify = false }", other), encoding="utf-8")
    archive, receipts = digests(callisto.desk.home / "eso"), callisto.receipts()
    assert callisto.desk.nightferry("run", "callisto", "--night", "all").code == HELD
    assert digests(callisto.desk.home / "eso") == archive
    with closing(sqlite3.connect(callisto.desk.ledger)) as raw:
        asked = "SELECT DISTINCT frame FROM receipts WHERE seq > ? AND step = 'standardise' AND outcome = 'held'"
        judged = {frame for (frame,) in raw.execute(asked, (receipts,))}
        (others,) = raw.execute(
            "SELECT count(*) FROM receipts WHERE seq > ? AND step NOT IN ('pull', 'standardise')", (receipts,)
        ).fetchone()
    held = (line for line in callisto.answers["held"] if line["telescope"] == "callisto" and "frame" in line)
    assert judged == {line["frame"] for line in held if line["stage"] == "standardise"}
    assert others == 0


def test_an_audit_finds_all_that_an_old_ledger_remembers_but_what_is_gone(old: Old) -> None:
    ended = old.desk.nightferry("audit", "callisto", "--night", "all", "--json")
    verdicts = {str(line["name"]): line["verdict"] for line in ended.json()}
    missing = [name for name, verdict in verdicts.items() if verdict != "good"]
    assert missing == MISSING
    assert verdicts.keys() - set(missing) == digests(old.desk.home / "eso").keys()


def test_a_night_that_is_carried_anew_has_the_frames_and_cubes_that_it_had(
    desk: Desk, desk_at: Callable[[Path], Desk], tmp_path: Path
) -> None:
    make.plant_callisto(desk.home, late=False)
    (desk.home / "eso").mkdir()
    configure(desk)
    desk.nightferry("run", "callisto", "--night", "all")
    make.plant_callisto(desk.home, late=True)
    desk.nightferry("run", "callisto", "--night", "all")
    (tmp_path / "old").mkdir()
    old = restored(desk_at(tmp_path / "old"), VERSIONS[-1])
    for night in ("2026-02-22", "2026-02-23"):
        words = f"night callisto {night}"
        told, then = of_frames(desk.nightferry(*words.split(), "--json").json()), of_frames(old.answers[words])
        assert told.keys() == then.keys()
        for frame, line in then.items():
            assert [told[frame][key] for key in _OF_A_FRAME] == [line[key] for key in _OF_A_FRAME]
    cubes = {path for path in digests(desk.home / "eso") if "/SPECU4." in path}
    assert cubes - set(MISSING) == {path for path in digests(old.desk.home / "eso") if "/SPECU4." in path}


def of_frames(lines: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    return {str(line["frame"]): line for line in lines if "frame" in line}
