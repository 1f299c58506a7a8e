"""The night by the rule that the configuration names, and what `why` tells of a night or a clock in doubt."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from nightferry.testing.encode import fits_image
from tests.acceptance.conftest import DONE, Desk

PATH = "2026-09-12_01-40-22_observation_M31/01-images-initial/img-0001.fits"
RIGHT = datetime(2026, 9, 12, 2, tzinfo=UTC)


def plant(
    root: Path, path: str = PATH, *, start: str = "2026-09-12T01:40:52", changed: float = RIGHT.timestamp()
) -> None:
    """Put a frame there that began at one time and was changed at another."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(fits_image([("DATE-OBS", start, "")], np.zeros((6, 8), np.uint16)))
    os.utime(file, (changed, changed))


def told(desk: Desk, frame: str) -> list[str]:
    """Ask why, and keep what is said of nights and clocks."""
    answer = desk.nightferry("why", frame, "--json")
    (line,) = answer.json()
    receipts = line["receipts"]
    assert isinstance(receipts, list)
    words = [str(receipt["reason"] or receipt["proof"].get("warnings", "")) for receipt in receipts]
    people = desk.nightferry("why", frame).out
    found = [text for text in words if "night of" in text or "clock" in text]
    assert all(text in people for text in found), people
    return found


def configure(desk: Desk, root: Path, extra: str = "") -> None:
    site = '[site.garden]\nlatitude = "48.1 deg"\nlongitude = "11.6 deg"\n'
    desk.configure(root.as_uri(), telescope=f'site = "garden"\n{extra}', sections=site)


@pytest.mark.parametrize(
    ("frame", "doubt"),
    [
        ({}, None),
        ({"changed": RIGHT.timestamp() + 20 * 86400}, "but the time of change says 2026-10-01"),
        ({"start": "2026-08-01T23:00:00"}, "but the header says 2026-08-01"),
    ],
)
def test_why_tells_what_speaks_against_a_frames_night(
    desk: Desk, tmp_path: Path, frame: dict[str, float | str], doubt: str | None
) -> None:
    plant(tmp_path / "card", **frame)  # type: ignore[arg-type] # each goes where it belongs
    configure(desk, tmp_path / "card")
    answer = desk.run()
    assert (answer.code, answer.sheet().night, answer.sheet().delivered) == (DONE, "2026-09-11", 1)
    found = told(desk, "img-0001.fits")
    assert len(found) == (doubt is not None)
    assert all(f"counted to the night of 2026-09-11, {doubt}" in text for text in found)


def test_why_tells_that_the_telescopes_clock_is_ahead(desk: Desk, tmp_path: Path) -> None:
    plant(tmp_path / "card", "loose.fits", changed=time.time() + 7200)
    configure(desk, tmp_path / "card")
    answer = desk.run()
    assert answer.code == DONE
    assert "in doubt of a frame's night or time" in answer.err
    assert any("1 h 59 min or more ahead of ours" in text for text in told(desk, "loose.fits"))


@pytest.mark.parametrize(
    ("rule", "night"),
    [("folder", "2026-09-11"), ("header", "2026-08-01"), ("local-noon", "2026-10-01"), ("utc-12h", "2026-10-01")],
)
def test_the_configuration_chooses_what_decides_the_night(desk: Desk, tmp_path: Path, rule: str, night: str) -> None:
    plant(tmp_path / "card", start="2026-08-01T23:00:00", changed=RIGHT.timestamp() + 20 * 86400)
    configure(desk, tmp_path / "card", f'night = "{rule}"')
    assert desk.run().sheet().night == night
    configure(desk, tmp_path / "card", 'night = "folder"')
    assert desk.run().sheet().night == night, "once seen, a frame keeps its night"
    assert len(desk.carried()) == 1
