"""Several telescopes, several conductors, one ledger; and runs that must name what they are about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.conftest import DONE, FAILED, LONG, MISCONFIGURED, Desk, frame

NAMES = ("io", "europa", "ganymede", "callisto")
FRAMES = 12
SESSION = "2026-09-11_21-10-37_observation_M31/01-images-initial"


@pytest.fixture
def domes(desk: Desk, tmp_path: Path) -> Desk:
    """Four telescopes with a night each, all delivering into one library."""
    sections = [f'[ledger]\nurl = "sqlite:///{desk.ledger.as_posix()}"\n[shelf]\npath = "{desk.shelf.as_posix()}"\n']
    sections[0] += (
        f'floor = "1 MB"\n[archive.library]\nurl = "{desk.library.as_uri()}"\nname = "{{telescope}}/{{file}}"\n'
    )
    for place, name in enumerate(NAMES):
        folder = tmp_path / name / SESSION
        folder.mkdir(parents=True)
        for number in range(FRAMES):
            (folder / f"img-{number:04d}.fits").write_bytes(frame(100 * place + number))
        sections.append(
            f'[telescope.{name}]\npreset = "vespera"\nsource = "{(tmp_path / name).as_uri()}"\n'
            f'archives = ["library"]\nsettle = "0 s"\n'
        )
    desk.config.write_text("\n".join(sections), encoding="utf-8")
    return desk


def test_one_run_carries_several_telescopes_side_by_side(domes: Desk) -> None:
    answer = domes.nightferry("run", "--night", "all", "--json")
    assert answer.code == DONE, answer.err
    assert [line["telescope"] for line in answer.json()] == list(NAMES)
    assert [sheet.delivered for sheet in answer.sheets()] == [FRAMES] * 4
    assert len(set(domes.carried().values())) == 4 * FRAMES


def test_trouble_with_one_telescope_keeps_no_other_waiting(domes: Desk, tmp_path: Path) -> None:
    (tmp_path / "europa").rename(tmp_path / "unmounted")
    answer = domes.nightferry("run", "--night", "all", "--json")
    assert answer.code == FAILED, "the others were carried, so something was started"
    assert [line["telescope"] for line in answer.json()] == ["io", "ganymede", "callisto"]
    assert "europa could not be carried" in answer.err


def test_two_conductors_on_one_ledger_neither_lose_nor_double_a_frame(domes: Desk) -> None:
    conductors = [domes.start("run", *names, "--night", "all", "--json") for names in (NAMES[:2], NAMES[2:], NAMES)]
    ends = [conductor.communicate(timeout=LONG) for conductor in conductors]
    assert all("Traceback" not in err for _, err in ends), ends
    domes.nightferry("run", "--night", "all")
    sheets = domes.nightferry("nights", "--json").sheets()
    assert [sheet.delivered for sheet in sheets] == [FRAMES] * 4
    assert len(domes.carried()) == len(set(domes.carried().values())) == 4 * FRAMES
    receipts = domes.receipts(min(name for name in domes.carried() if name.startswith("callisto")))
    assert [receipt["step"] for receipt in receipts if receipt["step"] != "sight"] == ["pull", "verify", "deliver"]


def test_a_run_must_name_what_the_telescope_asks_for(domes: Desk) -> None:
    text = domes.config.read_text().replace(
        "[telescope.callisto]", '[telescope.callisto]\nrequire = ["night", "program"]'
    )
    domes.config.write_text(text)
    assert domes.nightferry("run", "io").code == DONE
    bare = domes.nightferry("run", "callisto")
    assert bare.code == MISCONFIGURED
    assert "add --night WHEN and --program ID" in bare.err
    half = domes.nightferry("run", "callisto", "--night", "20260911")
    assert "add --program ID" in half.err
    both = domes.nightferry("run", "callisto", "--night", "20260911", "--program", "60.A-9099(A)", "--json")
    assert both.code == DONE
    assert both.sheet().delivered == FRAMES


def test_a_run_over_all_leaves_out_what_must_be_named_and_says_so(domes: Desk) -> None:
    text = domes.config.read_text().replace("[telescope.callisto]", '[telescope.callisto]\nrequire = ["program"]')
    domes.config.write_text(text)
    answer = domes.nightferry("run", "--night", "all", "--json")
    assert answer.code == DONE
    assert [line["telescope"] for line in answer.json()] == ["io", "europa", "ganymede"]
    assert "callisto is left out" in answer.err
    assert domes.nightferry("watch", "callisto").code == MISCONFIGURED
