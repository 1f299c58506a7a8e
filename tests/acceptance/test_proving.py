"""What is proven and what is deleted: conflicts, audits, and the clearing of the source."""

import os
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import DONE, FAILED, HELD, MISCONFIGURED, Desk, Telescope, digests

FRAME = "2026-09-11_22-45-50-observation-NGC7023/01-images-initial/img-0001.fits"
NAME = "NGC 7023/NGC 7023_2026-09-11_22-45-50_img-0001.fits"
CLEAR = '[telescope.vespera.clear]\nafter = "0 s"'


def flip(path: Path, at: int = 5000) -> None:
    """Change one bit of a file in place, and nothing of its size and times."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def verdicts(desk: Desk) -> dict[str, str]:
    """Audit, and tell what was not good."""
    answer = desk.nightferry("audit", "vespera", "--json")
    lines = answer.json()
    assert len(lines) == 28
    for line in lines:
        assert line.keys() >= {"telescope", "night", "archive", "name", "frame", "verdict", "reason"}
    bad = {str(line["name"]): str(line["verdict"]) for line in lines if line["verdict"] != "good"}
    assert answer.code == (HELD if bad else DONE)
    return bad


# -- the same name ------------------------------------------------------------------------------------------------


def test_other_bytes_under_a_frames_name_are_never_overwritten(desk: Desk, vespera: Telescope) -> None:
    taken = desk.library / NAME
    taken.parent.mkdir(parents=True)
    taken.write_text("a user's own file")
    desk.configure(vespera.url)
    assert desk.run().code == HELD
    assert taken.read_text() == "a user's own file"
    reason = desk.held()[FRAME]
    assert "holds other bytes under" in reason
    assert "nothing was overwritten" in reason
    taken.rename(taken.with_name("mine.fits"))
    assert FRAME in desk.held(), "a person says when it may go on"
    desk.nightferry("release", FRAME, "--why", "moved my file away")
    assert desk.run().sheet().delivered == 28
    assert desk.carried()[NAME] == vespera.wanted()[FRAME]


def test_the_same_bytes_under_a_frames_name_are_its_delivery(desk: Desk, vespera: Telescope) -> None:
    there = desk.library / NAME
    there.parent.mkdir(parents=True)
    shutil.copyfile(vespera.root / FRAME, there)
    inode = there.stat().st_ino
    desk.configure(vespera.url)
    assert desk.run().sheet().delivered == 28
    assert there.stat().st_ino == inode
    proof = desk.receipts(FRAME)[-1]["proof"]
    assert isinstance(proof, dict)
    assert proof["was_there"] is True


# -- the audit ----------------------------------------------------------------------------------------------------


def test_one_flipped_bit_in_the_library_is_found_told_and_held(carried: Desk) -> None:
    assert verdicts(carried) == {}
    flip(carried.library / NAME)
    assert verdicts(carried) == {NAME: "damaged"}
    assert (carried.balance().delivered, carried.balance().held) == (27, 4)
    assert FRAME in carried.held()
    people = carried.nightferry("audit")
    assert people.code == HELD
    assert NAME in people.out
    assert "27 good, 1 damaged" in people.out.replace("1 damaged, 27 good", "27 good, 1 damaged")


def test_a_damaged_file_is_mended_from_the_telescope(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url)
    desk.run()
    flip(desk.library / NAME)  # and with it the working file, which shares its bytes
    verdicts(desk)
    assert desk.run().code == HELD
    (desk.library / NAME).unlink()
    desk.nightferry("release", FRAME, "--why", "threw the damaged one away")
    assert desk.run().sheet().delivered == 28
    assert desk.carried()[NAME] == vespera.wanted()[FRAME]
    assert verdicts(desk) == {}
    assert "pulled anew" in str([receipt["reason"] for receipt in desk.receipts(FRAME)])


def test_a_file_lost_from_the_library_is_found_and_comes_back(carried: Desk, vespera: Telescope) -> None:
    (carried.library / NAME).unlink()
    assert verdicts(carried) == {NAME: "missing"}
    carried.nightferry("release", FRAME, "--why", "deleted by mistake")
    assert carried.run().sheet().delivered == 28
    assert carried.carried()[NAME] == vespera.wanted()[FRAME]


def test_a_part_of_the_library_can_be_audited(carried: Desk) -> None:
    few = carried.nightferry("audit", "--sample", "20%", "--json")
    assert few.code == DONE
    assert 0 < len(few.json()) < 28
    other = carried.nightferry("audit", "--night", "20010101", "--json")
    assert (other.code, other.out) == (DONE, "")


# -- clearing -----------------------------------------------------------------------------------------------------


def cleared(desk: Desk, *words: str) -> dict[str, str]:
    """Clear, and tell each frame's state, with the reason for what was kept."""
    answer = desk.nightferry("clear", "vespera", "--json", *words)
    assert all(line.keys() == {"telescope", "name", "state", "reason"} for line in answer.json())
    return {str(line["name"]): f"{line['state']}: {line['reason']}".rstrip(": ") for line in answer.json()}


def test_nothing_is_ever_deleted_unless_the_configuration_says_so(carried: Desk, vespera: Telescope) -> None:
    before = digests(vespera.root)
    assert carried.run().code == HELD
    for words in (("clear", "vespera"), ("clear", "vespera", "--dry-run")):
        answer = carried.nightferry(*words)
        assert answer.code == MISCONFIGURED
        assert "[telescope.vespera.clear]" in answer.err
    assert digests(vespera.root) == before


def test_clearing_deletes_what_is_proven_and_leaves_the_rest(carried: Desk, vespera: Telescope) -> None:
    carried.configure(vespera.url, sections=CLEAR)
    before = digests(vespera.root)
    rehearsed = cleared(carried, "--dry-run")
    assert sum(state == "would be cleared" for state in rehearsed.values()) == 28
    assert digests(vespera.root) == before, "a dry run deletes nothing"
    done = cleared(carried)
    assert sum(state == "cleared" for state in done.values()) == 28
    left = digests(vespera.root)
    assert set(before) - set(left) == set(vespera.wanted()), "exactly the frames that were delivered"
    kept = {name: state for name, state in done.items() if state != "cleared"}
    assert len(kept) == 3
    assert all(state.startswith("kept: held") for state in kept.values())
    steps = [receipt["step"] for receipt in carried.receipts(FRAME)]
    assert steps == ["pull", "verify", "deliver", "clear"]
    proof = carried.receipts(FRAME)[-1]["proof"]
    assert isinstance(proof, dict)
    assert proof["read back from library"] == vespera.wanted()[FRAME]
    assert carried.run().sheet().delivered == 28, "a cleared frame is not a lost one"
    assert cleared(carried).keys() == kept.keys()


def test_the_grace_period_is_kept(carried: Desk, vespera: Telescope) -> None:
    carried.configure(vespera.url, sections=CLEAR.replace("0 s", "7 d"))
    before = digests(vespera.root)
    states = cleared(carried)
    assert sum("the grace period lasts 7.0 d more" in state for state in states.values()) == 28
    carried.nightferry("audit")
    assert "the grace period lasts 7.0 d more" in cleared(carried)[FRAME]
    assert carried.run().code == HELD
    assert digests(vespera.root) == before


def test_a_file_that_changed_at_the_source_since_is_kept(carried: Desk, vespera: Telescope) -> None:
    carried.configure(vespera.url, sections=CLEAR)
    place = vespera.root / FRAME
    place.write_bytes(place.read_bytes() + bytes(2880))
    assert cleared(carried)[FRAME] == "kept: the file at the source is another one now"
    assert place.exists()


@pytest.mark.parametrize("harm", ["missing", "damaged", "audited"])
def test_a_frame_whose_copy_is_not_as_it_was_is_kept(carried: Desk, vespera: Telescope, harm: str) -> None:
    carried.configure(vespera.url, sections=CLEAR)
    if harm == "missing":
        (carried.library / NAME).unlink()
    else:
        flip(carried.library / NAME)
    if harm == "audited":
        verdicts(carried)
    answer = carried.nightferry("clear", "vespera")
    assert "27 frames" in answer.out
    assert answer.code == (DONE if harm == "audited" else HELD)
    assert (vespera.root / FRAME).exists(), "it may be the last good copy"
    assert FRAME in carried.held()
    assert cleared(carried)[FRAME].startswith("kept: doubtful in library")


def test_a_telescope_that_is_off_lets_nothing_be_cleared(carried: Desk, vespera: Telescope) -> None:
    carried.configure("ftp://127.0.0.1:1/user", sections=CLEAR)
    answer = carried.nightferry("clear", "vespera")
    assert answer.code == FAILED
    assert "cannot connect" in answer.err
    carried.configure(vespera.url, sections=CLEAR)
    assert sum(state == "cleared" for state in cleared(carried).values()) == 28


def test_a_run_clears_at_its_end_when_it_may(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url, sections=CLEAR)
    answer = desk.nightferry("run", "vespera", "--night", "all")
    assert "28 deleted at the source" in answer.out
    assert not set(vespera.wanted()) & set(digests(vespera.root))
    assert len(desk.carried()) == 28
    assert desk.run().sheet().delivered == 28


def test_a_run_that_ends_with_the_delivery_clears_nothing(desk: Desk, vespera: Telescope) -> None:
    desk.configure(vespera.url, sections=CLEAR)
    before = digests(vespera.root)
    assert desk.run("--until", "deliver").sheet().delivered == 28
    assert digests(vespera.root) == before
