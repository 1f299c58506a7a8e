"""The questions to the ledger: what their answers look like, for people and for other programs."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightferry.testing.vespera import NightPlan
from tests.acceptance.conftest import DONE, FAILED, HELD, LONG, MISCONFIGURED, Desk, Telescope

FRAME = "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/img-0002r.fits"
NAME = "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0002r.fits"
HELD_FRAME = "2026-09-11_21-10-37_observation_NGC7000/01-images-initial/img-9006.fits"


def digest_in(night: NightPlan) -> str:
    """Tell the frame's digest as it was made."""
    (file,) = (file for file in night.files if file.path == FRAME)
    return file.digest


def test_why_tells_a_frames_whole_history(carried_once: Desk) -> None:
    answer = carried_once.nightferry("why", FRAME, "--json")
    assert answer.code == DONE
    (line,) = answer.json()
    assert (line["name"], line["night"], line["telescope"]) == (FRAME, "2026-09-11", "vespera")
    receipts = carried_once.receipts(FRAME)
    configured = datetime.fromtimestamp(int(carried_once.config.stat().st_mtime), UTC)
    assert [(receipt["step"], receipt["outcome"]) for receipt in receipts] == [
        ("pull", "done"),
        ("verify", "done"),
        ("deliver", "done"),
    ]
    for receipt in receipts:
        assert receipt.keys() >= {"step", "outcome", "reason", "proof", "started", "seconds", "host"}
        started = datetime.fromisoformat(str(receipt["started"]))
        assert started.tzinfo is not None
        assert configured <= started <= datetime.now(UTC)
    proof = receipts[2]["proof"]
    assert isinstance(proof, dict)
    assert proof["name"] == NAME


@pytest.mark.parametrize(
    "said",
    [FRAME, "img-0002r.fits", NAME, NAME.rpartition("/")[2], "01-images-initial/img-0002r.fits"],
)
def test_a_frame_is_found_by_whatever_a_person_has_in_hand(carried_once: Desk, said: str) -> None:
    (line,) = carried_once.nightferry("why", said, "--json").json()
    assert line["name"] == FRAME


def test_a_frame_is_found_by_its_digest_and_its_identity(carried_once: Desk, made_night: NightPlan) -> None:
    digest = digest_in(made_night)
    (line,) = carried_once.nightferry("why", digest[:12], "--json").json()
    assert line["name"] == FRAME
    (line,) = carried_once.nightferry("why", str(line["frame"])[:12], "--json").json()
    assert line["name"] == FRAME


def test_a_name_that_many_frames_have_is_answered_with_all_of_them(carried_once: Desk) -> None:
    answer = carried_once.nightferry("why", "img-0001.fits")
    assert answer.code == MISCONFIGURED
    assert "may be any of 6 frames" in answer.err
    assert answer.out == ""


def test_a_frame_that_nobody_knows_is_said_so(carried_once: Desk) -> None:
    answer = carried_once.nightferry("why", "img-7777.fits")
    assert answer.code == MISCONFIGURED
    assert "knows no frame 'img-7777.fits'" in answer.err


def test_why_says_for_people_what_was_found(carried_once: Desk, made_night: NightPlan) -> None:
    answer = carried_once.nightferry("why", FRAME)
    assert digest_in(made_night) in answer.out
    assert NAME in answer.out
    assert re.search(r"deliver to library\s+done", answer.out)


def test_a_night_tells_each_frame_and_its_balance(carried_once: Desk) -> None:
    answer = carried_once.nightferry("night", "vespera", "20260911", "--json")
    assert answer.code == DONE
    lines = {str(line["name"]): line for line in answer.json()}
    assert len(lines) == carried_once.balance().seen
    assert lines[FRAME]["standing"] == "delivered"
    assert lines[FRAME]["delivered"] == {"library": NAME}
    assert lines[HELD_FRAME]["standing"] == "held"
    assert "truncated" in str(lines[HELD_FRAME]["reason"])
    people = carried_once.nightferry("night", "vespera", "latest").out
    assert HELD_FRAME in people
    assert "closed" in people


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("night", "vespera", "all"), "one night at a time"),
        (("night", "vespera", "2026-13-01"), "is not a night"),
        (("night", "callisto", "latest"), "there is no telescope 'callisto'"),
        (("nights", "callisto"), "there is no telescope 'callisto'"),
        (("run", "callisto"), "there is no telescope 'callisto'"),
        (("run", "vespera", "--night", "yesterday"), "is not a night"),
        (("run", "vespera", "--night", "all", "--night", "20260911"), "stands alone"),
        (("run", "vespera", "--until", "solve"), "expected one of pull, verify, deliver, clear"),
        (("run", "vespera", "--take", "raw"), "expected kinds of files"),
        (("run", "vespera", "--take", ","), "expected kinds of files"),
        (("watch", "vespera", "--every", "5"), "expected a quantity with its unit"),
        (("audit", "--sample", "200%"), "at most 100%"),
        (("release", FRAME, "--why", " "), "needs a reason"),
        (("release", FRAME, "--why", "it is good"), "is not held; it is delivered"),
        (("clear", "vespera"), "[telescope.vespera.clear]"),
        (("fly",), "fly"),
        (("run", "--nights", "all"), "--nights"),
        (("watch", "--empty", "0"), "empty"),
    ],
)
def test_what_cannot_be_meant_is_answered_with_what_was_expected(
    carried_once: Desk, words: tuple[str, ...], complaint: str
) -> None:
    answer = carried_once.nightferry(*words)
    assert (answer.code, answer.out) == (MISCONFIGURED, "")
    assert complaint in answer.err


def test_releasing_can_be_rehearsed(carried_once: Desk) -> None:
    answer = carried_once.nightferry("release", HELD_FRAME, "--why", "the upper half is good", "--dry-run")
    assert answer.code == DONE
    assert "would be released; nothing was changed" in answer.out
    assert HELD_FRAME in carried_once.held()


def test_a_release_keeps_its_reason(carried: Desk) -> None:
    carried.nightferry("release", HELD_FRAME, "--why", "the upper half is good")
    (receipt,) = (receipt for receipt in carried.receipts(HELD_FRAME) if receipt["step"] == "release")
    assert receipt["reason"] == "the upper half is good"


def test_held_says_for_people_how_to_go_on(carried_once: Desk) -> None:
    answer = carried_once.nightferry("held", "vespera")
    assert answer.code == HELD
    assert HELD_FRAME in answer.out
    assert "nightferry release FRAME --why TEXT" in answer.out


def test_retry_tries_what_failed_at_once_and_leaves_the_rest(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url, floor="900 TB")
    assert desk.run().code == FAILED
    assert desk.balance().failed > 0
    desk.configure(vespera.url)
    answer = desk.nightferry("retry", "vespera", "--json")
    sheet = answer.sheet()
    assert (answer.code, sheet.failed, sheet.delivered) == (HELD, 0, 28)
    again = desk.nightferry("retry")
    assert again.code == DONE
    assert "nothing pulled" in again.out


def test_the_answers_before_anything_was_carried_are_empty(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    assert desk.nightferry("nights", "--json").out == ""
    assert "no nights yet" in desk.nightferry("nights").out
    assert "nothing is held" in desk.nightferry("held").out
    assert desk.nightferry("night", "vespera", "latest").code == MISCONFIGURED
    assert "nothing seen" in desk.nightferry("night", "vespera", "20260911").out


def test_a_reader_who_has_seen_enough_is_no_error(carried_once: Desk) -> None:
    process = carried_once.start("night", "vespera", "20260911", "--json")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(LONG) == DONE


def test_help_loads_nothing_that_takes_long() -> None:
    """How long it takes is measured in benchmarks/; here, that nothing is loaded for it that only runs need."""
    looks = (
        "import sys; from nightferry.cli.app import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", looks, "--help"], capture_output=True, text=True, check=True)
    assert "run" in done.stdout
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert not loaded & {"sqlalchemy", "alembic", "pydantic", "numpy", "erfa", "astropy", "boto3", "blake3", "asyncio"}


def test_the_configuration_is_found_by_environment_and_in_the_users_folder(carried_once: Desk) -> None:
    def nights(extra: dict[str, str]) -> list[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("NIGHTFERRY", "XDG_"))}
        command = [sys.executable, "-m", "nightferry", "nights", "--json"]
        done = subprocess.run(command, env=env | extra, capture_output=True, text=True, check=True)
        return [json.loads(line)["night"] for line in done.stdout.splitlines()]

    assert nights({"NIGHTFERRY_CONFIG": str(carried_once.config)}) == ["2026-09-11"]
    if sys.platform == "linux":
        place = carried_once.home / "xdg" / "nightferry" / "config.toml"
        place.parent.mkdir(parents=True)
        place.write_bytes(carried_once.config.read_bytes())
        assert nights({"XDG_CONFIG_HOME": str(place.parents[1])}) == ["2026-09-11"]


def test_the_ledger_is_for_its_owners_eyes(carried_once: Desk) -> None:
    if os.name == "posix":
        assert Path(carried_once.ledger).stat().st_mode & 0o077 == 0
