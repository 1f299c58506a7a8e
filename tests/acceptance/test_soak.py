"""Two nights of a watch in a minute: real processes under libfaketime, ended in many ways and started again.

In one test each process lives at an hour of its own, later than the one before; with ``--long`` there is one every half
hour. In another a process lives on while its clock is put forward: through sunrise, noon and dusk, into the next night.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

from nightferry.core.context import Site
from nightferry.core.sun import night_hours
from tests.acceptance.conftest import DONE, LONG, frame, until
from tests.servers.mail_server import MailServer, mail_server
from tests.servers.programs import unpacked

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
class Clock:
    """A clock that a test puts forward while a process lives by it; between two times it goes on as clocks do.

    libfaketime reads the file anew whenever the process asks for the time; what it waits by goes on as ever.
    """

    file: Path

    def put(self, moment: datetime) -> None:
        offset = moment.timestamp() - time.time()
        part = self.file.with_suffix(".part")
        part.write_text(f"{offset:+.3f}\n")
        part.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        told = {"LD_PRELOAD": f"{library()}", "FAKETIME_TIMESTAMP_FILE": f"{self.file}", "FAKETIME_NO_CACHE": "1"}
        return told | {"TZ": "UTC", "NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1"}


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
                if shutter <= moment:
                    self.take(night, number, shutter)

    def take(self, night: int, number: int, shutter: datetime) -> None:
        path = f"2026-09-{night}_19-30-00_observation_M31/01-images-initial/img-{number:04d}.fits"
        if path not in self.taken:
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


def end(process: subprocess.Popen[str], how: signal.Signals) -> str:
    """End a process under libfaketime, and tell what it wrote on stderr."""
    process.send_signal(how)
    _, err = process.communicate(timeout=LONG)
    for left in ("faketime_shm", "sem.faketime_sem"):  # libfaketime's own, which a kill leaves behind
        Path(f"/dev/shm/{left}_{process.pid}").unlink(missing_ok=True)  # noqa: S108 - where libfaketime puts them
    return err


@dataclass(frozen=True)
class Morning:
    """What a test sees of a watch from outside: its log, its ledger, and the mailbox."""

    desk: Desk
    mail: MailServer
    clock: Clock

    def looked_after(self, moment: datetime) -> bool:
        """Whether the telescope was asked at that moment or later, by the watch's clock."""
        with closing(sqlite3.connect(self.desk.ledger)) as raw:
            (looked_us,) = raw.execute("SELECT max(looked_us) FROM contacts").fetchone()
        return bool(looked_us) and looked_us >= moment.timestamp() * 1e6

    def live_until(self, moment: datetime) -> None:
        """Put the clock forward, and let the watch look once more, at least."""
        self.clock.put(moment)
        until(lambda: self.looked_after(moment), f"the watch looks at {moment}")

    def closings(self) -> list[str]:
        """Tell the closing notes of nights."""
        log = self.desk.home / "watch.log"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [str(line["event"]) for line in lines if " is over; " in str(line["event"])]

    def digests(self) -> list[str]:
        """Tell the evenings of which all frames were told to be delivered, as often as they were told."""
        found = (re.search(r": ([0-9-]+): (\d+) of \2 frames delivered$", subject) for subject in self.mail.subjects())
        return [one[1] for one in found if one]

    def wait_for_digests(self, count: int) -> None:
        until(lambda: len(self.digests()) == count, "the digest is mailed")

    def wait_for_closings(self, count: int) -> None:
        until(lambda: len(self.closings()) == count, "the night is closed")

    def wait_for_frames(self, camera: Camera) -> None:
        until(lambda: counted(self.desk) == len(camera.taken), "all frames are counted")


def sun_over(night: int) -> tuple[datetime, datetime]:
    """Tell when the sun sets and rises in a night of September 2026."""
    hours = night_hours(date(2026, 9, night), Site(48.1, 11.6))
    return datetime.fromtimestamp(hours.begin_us / 1e6, UTC), datetime.fromtimestamp(hours.end_us / 1e6, UTC)


MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def from_sunrise_to_the_next_night(morning: Morning, camera: Camera) -> None:
    """Let a watch live from the dark through sunrise, noon and dusk, with frames that come when they should not."""
    (_, sunrise), (dusk, _) = sun_over(11), sun_over(12)
    morning.wait_for_frames(camera)
    morning.live_until(sunrise - MINUTE)
    assert morning.closings() == [], "the night goes on"
    morning.live_until(sunrise + 2 * MINUTE)
    morning.wait_for_closings(1)
    assert morning.digests() == [], "late frames may come"
    camera.take(11, 50, sunrise - 10 * MINUTE)
    morning.wait_for_frames(camera)
    morning.live_until(sunrise + HOUR + MINUTE)
    camera.take(11, 51, sunrise - 9 * MINUTE)
    morning.wait_for_digests(1)
    camera.take(11, 52, sunrise - 8 * MINUTE)
    morning.wait_for_frames(camera)
    morning.live_until(dusk - HOUR)
    morning.live_until(dusk + MINUTE)
    camera.observe(dusk + 4 * HOUR)
    morning.live_until(dusk + 4 * HOUR)
    morning.wait_for_frames(camera)


def from_the_dark_to_the_next_evening(morning: Morning, camera: Camera) -> None:
    """Let a watch that was begun in the night live through sunrise, noon and dusk."""
    _, sunrise = sun_over(12)
    camera.observe(sunrise - HOUR)
    morning.wait_for_frames(camera)
    morning.live_until(sunrise - MINUTE)
    assert len(morning.closings()) == 1, "the night goes on"
    morning.live_until(sunrise + 2 * MINUTE)
    morning.wait_for_closings(2)
    morning.live_until(sunrise + HOUR + MINUTE)
    camera.take(12, 50, sunrise - 9 * MINUTE)
    morning.wait_for_digests(2)
    morning.live_until(sunrise + 6 * HOUR)
    morning.live_until(sunrise + 14 * HOUR)
    morning.wait_for_frames(camera)


if sys.platform == "linux":

    def test_a_watch_lives_through_sunrise_noon_and_dusk_and_so_does_the_next_one(desk: Desk, tmp_path: Path) -> None:
        camera = Camera(tmp_path / "card")
        camera.card.mkdir()
        _, sunrise = sun_over(11)
        with mail_server() as mail:
            desk.configure(
                camera.card.as_uri(),
                telescope='site = "here"\nwatch = { every = "300 ms", live = "100 ms" }',
                sections=f'{SITE}\nurls = ["env:MAIL"]\n[log]\npath = "watch.log"\nformat = "json"\n'
                '[crew]\nkind = "threads"\n',
            )
            morning = Morning(desk, mail, Clock(tmp_path / "clock"))
            morning.clock.put(sunrise - HOUR)
            camera.observe(sunrise - HOUR)
            lives = (
                (from_sunrise_to_the_next_night, signal.SIGKILL),
                (from_the_dark_to_the_next_evening, signal.SIGTERM),
            )
            for life, how in lives:
                process = desk.start("watch", "vespera", env=morning.clock.environment | {"MAIL": mail.url()})
                try:
                    life(morning, camera)
                    assert process.poll() is None, "one process has lived through it all"
                finally:
                    err = end(process, how)
                assert "Traceback" not in err
        assert morning.closings() == [
            f"vespera: the night of 2026-09-{night} is over; {FRAMES} delivered: closed" for night in (11, 12)
        ]
        assert morning.digests() == ["2026-09-11", "2026-09-12"]
        assert len(mail.mails) == 2, "and nothing else was told"
        assert Counter(desk.carried().values()) == Counter(camera.taken.values())
        sheets = {sheet.night: sheet.delivered for sheet in desk.nightferry("nights", "--json").sheets()}
        assert sheets == {"2026-09-11": FRAMES + 3, "2026-09-12": FRAMES + 1}
        assert desk.parts() == []
        assert desk.nightferry("alerts").code == DONE, "nothing stands"

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
                err = end(process, signal.SIGTERM if last else signal.SIGKILL)
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
