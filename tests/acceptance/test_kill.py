"""Killed with SIGKILL at random moments of a night, again and again: the library ends as an undisturbed run's."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING

from nightferry.testing.telescope import simulated_vespera

if TYPE_CHECKING:
    from nightferry.testing.vespera import NightPlan
    from tests.acceptance.conftest import Desk

#: Each command of the simulated telescope takes so many seconds, so that a night lasts long enough to be killed in.
DELAY = 0.002


def test_a_night_killed_again_and_again_ends_with_the_library_of_an_undisturbed_run(
    desk: Desk,
    made_night: NightPlan,
    rounds: Callable[[int, int], int],
    record_property: Callable[[str, object], None],
) -> None:
    kills, seed = rounds(20, 200), 20260912
    dice = random.Random(seed)  # noqa: S311 - to throw, not to keep secrets
    with simulated_vespera(made_night.root, delay=DELAY) as telescope:
        desk.configure(telescope.url)
        lasted = _undisturbed(desk)
        expected = desk.carried()
        assert expected

        landed, starts, nights, early = 0, 0, 0, 0
        _wipe(desk)
        while landed < kills:
            starts += 1
            assert starts < 20 * kills, "hardly a kill meets a night that was begun"
            process = desk.start("run", "vespera", "--night", "all", "--json")
            try:
                process.communicate(timeout=dice.uniform(0.2, 1.1) * lasted)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                if not desk.ledger.exists():
                    early += 1  # nothing was begun that could be spoilt
                    continue
                landed += 1
                torn = {name: digest for name, digest in desk.carried().items() if expected.get(name) != digest}
                assert not torn, f"after kill {landed} (seed {seed}) these stand under final names: {torn}"
            else:
                _assert_as_undisturbed(desk, expected)
                nights += 1
                _wipe(desk)
        assert desk.run().sheet().pending == 0
        _assert_as_undisturbed(desk, expected)
        nights += 1
    figure = (
        f"{landed} kills over {nights} nights of {len(expected)} frames ({starts} starts, {early} more killed before "
        f"the ledger was made, seed {seed}): 0 lost, 0 twice, 0 torn under a final name"
    )
    record_property("figure", f"kill proof: {figure}")


def _undisturbed(desk: Desk) -> float:
    """Carry the night in a process like those that are killed; tells how many seconds that took."""
    began = time.monotonic()
    process = desk.start("run", "vespera", "--night", "all", "--json")
    _, err = process.communicate()
    lasted = time.monotonic() - began
    assert desk.balance().pending == 0, err
    return lasted


def _wipe(desk: Desk) -> None:
    for folder in (desk.library, desk.shelf):
        shutil.rmtree(folder, ignore_errors=True)
    for file in desk.home.glob("ledger.db*"):
        file.unlink()


def _assert_as_undisturbed(desk: Desk, expected: dict[str, str]) -> None:
    assert desk.carried() == expected
    assert desk.parts() == []
    sheet = desk.balance()
    assert (sheet.pending, sheet.failed, sheet.delivered) == (0, 0, len(expected))
    with closing(sqlite3.connect(desk.ledger)) as ledger:
        twice = ledger.execute(
            "SELECT frame, step, target, count(*) FROM receipts WHERE step IN ('pull', 'deliver') AND outcome = 'done' "
            "GROUP BY frame, step, target HAVING count(*) > 1"
        ).fetchall()
    assert twice == []
