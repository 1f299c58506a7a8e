"""Two nights of a watch in a minute: real processes under libfaketime, ended in many ways and started again.

Each process lives at an hour of its own, later than the one before. With ``--long`` there is one every half hour.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3
from tests.acceptance.conftest import DONE, frame, until

from nightferry.testing.unpacked import unpacked

if TYPE_CHECKING:
    from tests.acceptance.conftest import Desk

BEGIN, END = datetime(2026, 9, 11, 19, tzinfo=UTC), datetime(2026, 9, 13, 10, tzinfo=UTC)
#: The mount is gone for so long, in the dark of the first night.
AWAY = (datetime(2026, 9, 11, 22, 40, tzinfo=UTC), datetime(2026, 9, 12, 1, 10, tzinfo=UTC))
FRAMES, PAUSE = 16, timedelta(minutes=30)
SITE = '[site.here]\nlatitude = "48.1 deg"\nlongitude = "11.6 deg"\n[alerts]\npatience = "0 s"'


def library() -> Path:
    """Find libfaketime, installed or where ``scripts/faketime.sh`` put it."""
    for root in (Path("/"), unpacked("faketime")):
        for found in root.glob("usr/lib/*/faketime/libfaketimeMT.so.1"):
            return found
    raise FileNotFoundError("libfaketime is not here; run scripts/test (or scripts/faketime.sh), which gets it")


def living_at(moment: datetime) -> dict[str, str]:
    """Make a process begin at that moment, wait as long as ever, and see the times of files as they are."""
    told = {"LD_PRELOAD": f"{library()}", "FAKETIME": f"@{moment:%Y-%m-%d %H:%M:%S}", "TZ": "UTC"}
    return told | {"NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1"}


@dataclass
class Camera:
    """Writes a frame every half hour of the dark, on its own disk, which may not be mounted where we look."""

    card: Path
    taken: dict[str, str] = field(default_factory=dict)

    @property
    def disk(self) -> Path:
        return self.card if self.card.exists() else self.card.with_name("unmounted")

    def observe(self, moment: datetime) -> None:
        """Take what is due until then and not taken yet."""
        for night in (11, 12):
            for number in range(FRAMES):
                shutter = datetime(2026, 9, night, 19, 30, tzinfo=UTC) + number * PAUSE
                path = f"2026-09-{night}_19-30-00_observation_M31/01-images-initial/img-{number:04d}.fits"
                if shutter <= moment and path not in self.taken:
                    raw = frame(100 * night + number)
                    (self.disk / path).parent.mkdir(parents=True, exist_ok=True)
                    (self.disk / path).write_bytes(raw)
                    os.utime(self.disk / path, (shutter.timestamp(), shutter.timestamp()))
                    self.taken[path] = blake3(raw).hexdigest()

    def mount(self, *, away: bool) -> None:
        unmounted = self.card.with_name("unmounted")
        if away and self.card.exists():
            self.card.rename(unmounted)
        if not away and unmounted.exists():
            unmounted.rename(self.card)


def raised(desk: Desk) -> Counter[tuple[str, str]]:
    return Counter((str(one["kind"]), str(one["key"])) for one in desk.nightferry("alerts", "--json").json())


def counted(desk: Desk) -> int:
    """Tell how many frames the ledger proves delivered: more may lie in the archive when a kill came in between."""
    return sum(sheet.delivered for sheet in desk.nightferry("nights", "--json").sheets())


if sys.platform == "linux":

    def test_two_nights_of_a_watch_that_is_killed_and_a_mount_that_is_lost_lose_nothing(
        desk: Desk, tmp_path: Path, rounds: Callable[[int, int], int], record_property: Callable[[str, object], None]
    ) -> None:
        lives, seed = rounds(9, 78), 20260911
        dice = random.Random(seed)  # noqa: S311 - to throw, not to keep secrets
        camera = Camera(tmp_path / "card")
        camera.card.mkdir()
        camera.observe(BEGIN + PAUSE)
        desk.configure(
            camera.card.as_uri(),
            telescope='site = "here"\nwatch = { every = "300 ms", live = "100 ms" }',
            sections=SITE,
        )
        began, killed = time.monotonic(), 0
        for life in range(lives + 1):
            moment = BEGIN + PAUSE + life * (END - BEGIN - PAUSE) / lives
            away = AWAY[0] <= moment < AWAY[1]
            camera.mount(away=away)
            camera.observe(moment)
            process = desk.start("watch", "vespera", env=living_at(moment))
            try:
                if away:
                    until(lambda: ("raised", "unreachable/vespera") in raised(desk), "the lost mount is told")
                elif dice.random() < 0.3 and life < lives:
                    time.sleep(dice.uniform(0.2, 2.0))  # killed somewhere, maybe before it did anything
                else:
                    until(lambda: counted(desk) == len(camera.taken), f"all frames until {moment} are counted")
                assert process.poll() is None, process.communicate()
            finally:
                last = life == lives
                killed += not last
                process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                _, err = process.communicate(timeout=60)
                for left in ("faketime_shm", "sem.faketime_sem"):  # libfaketime's own, which a kill leaves behind
                    Path(f"/dev/shm/{left}_{process.pid}").unlink(missing_ok=True)  # noqa: S108 - where libfaketime puts them
            assert "Traceback" not in err
        lasted = time.monotonic() - began
        assert len(camera.taken) == 2 * FRAMES
        assert Counter(desk.carried().values()) == Counter(camera.taken.values())
        sheets = desk.nightferry("nights", "--json").sheets()
        assert sorted((sheet.night, sheet.delivered) for sheet in sheets) == [
            ("2026-09-11", FRAMES), ("2026-09-12", FRAMES),
        ]  # fmt: skip
        assert desk.parts() == []
        told = raised(desk)
        assert told[("raised", "unreachable/vespera")] == 1, told
        assert told[("resolved", "unreachable/vespera")] == 1, told
        assert all(count == 1 for count in told.values()), told
        assert desk.nightferry("alerts").code == DONE, "nothing stands any more"
        record_property(
            "figure",
            f"soak: two nights ({END - BEGIN}) in {lasted:.0f} s (seed {seed}), {killed} kills and a lost mount: "
            f"{len(camera.taken)} frames, 0 lost, 0 twice; {sum(told.values())} alerts, none of them twice",
        )
