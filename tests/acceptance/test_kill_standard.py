"""A standardising night killed with SIGKILL at random moments: every frame once, whole, under one name."""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

from astropy.io import fits

from tests.astra_night import HELD, Planted, build_astra_night

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Desk

KINDS = ("bias", "bias", "dark", "flat", *["light"] * 36)


def test_a_standardising_night_killed_again_and_again_delivers_every_frame_once(
    desk: Desk, rounds: Callable[[int, int], int], record_property: Callable[[str, object], None]
) -> None:
    kills, seed = rounds(8, 60), 20260223
    dice = random.Random(seed)  # noqa: S311 - to throw, not to keep secrets
    planted = build_astra_night(desk.home / "raw", kinds=KINDS, faults=["same-ms", "truncated", "no-imagetyp"])
    desk.configure((desk.home / "raw").as_uri())
    text = desk.config.read_text().partition("[telescope.vespera]")[0]
    desk.config.write_text(
        f"""{text}
[telescope.vespera]
preset = "speculoos-callisto"
route = ["verify", "standardise", "validate"]
source = "{(desk.home / "raw").as_uri()}"
program = "60.A-9009(D)"
settle = "0 s"
archives = ["library"]
header = {{ fitsverify = false }}

[archive.library]
url = "{desk.library.as_uri()}"
"""
    )
    began = time.monotonic()
    first = desk.start("run", "vespera", "--night", "all", "--json")  # in a process like those that are killed
    _, err = first.communicate()
    lasted = time.monotonic() - began
    assert first.returncode == 1, err  # two are held
    _assert_each_once(desk, planted)
    _wipe(desk)
    landed = nights = starts = 0
    while landed < kills:
        starts += 1
        assert starts < 20 * kills, "hardly a kill meets a night that was begun"
        process = desk.start("run", "vespera", "--night", "all", "--json")
        try:
            process.communicate(timeout=dice.uniform(0.3, 1.6) * lasted)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            landed += desk.ledger.exists()  # or else nothing was begun that could be spoilt
            _assert_whole(desk.library)
        else:
            _assert_each_once(desk, planted)
            nights += 1
            _wipe(desk)
    assert desk.run().code == 1
    _assert_each_once(desk, planted)
    figure = (
        f"{landed} kills over {nights + 1} standardising nights of {len(planted)} frames (seed {seed}): "
        "0 lost, 0 twice, 0 torn under a final name"
    )
    record_property("figure", f"kill proof: {figure}")


def _wipe(desk: Desk) -> None:
    for folder in (desk.library, desk.shelf):
        shutil.rmtree(folder, ignore_errors=True)
    for file in desk.home.glob("ledger.db*"):
        file.unlink()


def _assert_whole(library: Path) -> None:
    """Read every file in the archive: a torn one has a wrong sum, which is a warning and so an error."""
    for path in library.rglob("*.fits"):
        with fits.open(path, checksum=True) as product:
            assert product[0].data is not None


def _assert_each_once(desk: Desk, planted: list[Planted]) -> None:
    wanted = {item.path.rpartition("/")[2]: str(item.datasum) for item in planted if item.fault not in HELD}
    headers = [fits.getheader(path) for path in sorted(desk.library.rglob("*.fits"))]
    assert Counter(header["RAWFILE"] for header in headers) == Counter(list(wanted))
    assert {header["RAWFILE"]: header["DATASUM"] for header in headers} == wanted
    _assert_whole(desk.library)
    assert desk.parts() == []
    assert list(desk.shelf.rglob("standard/*")) == []
    sheet = desk.balance()
    assert (sheet.seen, sheet.delivered, sheet.held) == (len(planted), len(wanted), len(planted) - len(wanted))
    with closing(sqlite3.connect(desk.ledger)) as ledger:
        twice = ledger.execute(
            "SELECT frame, count(*) FROM receipts WHERE step = 'deliver' AND outcome = 'done' "
            "GROUP BY frame, target HAVING count(*) > 1"
        ).fetchall()
    assert twice == []
