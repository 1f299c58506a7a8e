"""When a simulated telescope observes what: observations planned over a night, and where their targets stand."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from nightferry.core.errors import Misconfigured
from nightferry.testing.sky import TARGETS, Target

#: Seconds a frame is exposed, and seconds from one start to the next.
EXPOSURE, CADENCE = 10.0, 10.4
#: The telescope's own clock, which names its folders: an hour ahead of UTC, where it stands.
CLOCK = timezone(timedelta(hours=1))
LATITUDE, LONGITUDE = 48.1, 11.6  # degrees, east positive

_FIRST_START = time(21, 10, 37)
_LONGEST_NIGHT = timedelta(hours=14)  # ends before the next local noon, so all of it is one night
_GAP = timedelta(minutes=95)


@dataclass(frozen=True, slots=True)
class Observation:
    """One folder of frames: where, since when by the telescope's clock, of what, and how many frames.

    The last ``turned`` frames are taken with the sensor turned; ``foreign`` adds one frame named by another program.
    """

    folder: str
    start: datetime
    target: Target
    lights: int
    turned: int = 0
    foreign: bool = False

    def start_of(self, number: int) -> datetime:
        """Return when the frame of that number, from 1 on, begins."""
        return self.start + timedelta(seconds=30 + (number - 1) * CADENCE)


def plan_observations(
    evening: date, *, observations: int, lights: int, targets: Sequence[str] = (), clock: timezone = CLOCK
) -> list[Observation]:
    """Plan a night: when each observation starts, of what, and in which of the layouts it is kept."""
    if observations < 0 or lights < 0:
        raise Misconfigured(f"a night cannot have {observations} observations of {lights} frames")
    for name in targets:
        find_target(name)
    length = timedelta(seconds=90 + (lights + 1) * CADENCE)
    if observations * length > _LONGEST_NIGHT:
        raise Misconfigured(
            f"{observations} observations of {lights} frames take {observations * length}, and a night lasts "
            f"{_LONGEST_NIGHT}; ask for fewer frames (one takes {CADENCE:g} s)"
        )
    gap = max(length, min(_GAP, _LONGEST_NIGHT / max(observations, 1)))
    first = datetime.combine(evening, _FIRST_START, tzinfo=clock)
    planned: list[Observation] = []
    plan_folder = ""
    for number in range(observations):
        start = first + number * gap + timedelta(seconds=13 * (number % 4))
        layout = number % 5
        taken = {observation.target.name for observation in planned}
        target = find_target(targets[number % len(targets)]) if targets else highest(start, taken)
        if layout == 4:  # a second session of an object of this very night: the counter starts again
            target = planned[number - 4].target
        if layout == 2:
            plan_folder = f"{folder_stamp(start)}_plan_My_plan"
        folder = {
            1: f"{folder_stamp(start)}-observation-{target.name}",
            2: f"{plan_folder}/01-observation-{target.name.lower()}",
            3: f"{plan_folder}/02-observation-{target.name.lower()}",
        }.get(layout, f"{folder_stamp(start)}_observation_{target.name}")
        turned = lights // 2 if layout == 1 else 0
        planned.append(Observation(folder, start, target, lights, turned, foreign=layout == 1))
    return planned


def find_target(name: str) -> Target:
    """Find a show object by its name; raise `Misconfigured` when there are no stars for it."""
    target = TARGETS.get(name.upper())
    if target is None:
        raise Misconfigured(f"there are no stars for {name!r}; known targets are {', '.join(TARGETS)}")
    return target


def folder_stamp(local: datetime) -> str:
    """Write a time as it stands in folder names, by the telescope's clock."""
    return local.strftime("%Y-%m-%d_%H-%M-%S")


def horizon(target: Target, instant: datetime) -> tuple[float, float, float]:
    """Return a target's altitude, azimuth (from north over east) and parallactic angle at the telescope, in degrees.

    To about a minute of arc, J2000 taken for the position of date. Source: the definition of Greenwich mean
    sidereal time, Aoki et al. 1982, A&A 105, 359 (linear part).
    """
    days = (instant - datetime(2000, 1, 1, 12, tzinfo=UTC)) / timedelta(days=1)
    hour_angle = math.radians(280.46061837 + 360.98564736629 * days + LONGITUDE - target.ra)
    dec, latitude = math.radians(target.dec), math.radians(LATITUDE)
    up = math.sin(latitude) * math.sin(dec) + math.cos(latitude) * math.cos(dec) * math.cos(hour_angle)
    west = math.cos(dec) * math.sin(hour_angle)
    north = math.cos(latitude) * math.sin(dec) - math.sin(latitude) * math.cos(dec) * math.cos(hour_angle)
    parallactic = math.atan2(
        math.sin(hour_angle), math.tan(latitude) * math.cos(dec) - math.sin(dec) * math.cos(hour_angle)
    )
    return math.degrees(math.asin(up)), math.degrees(math.atan2(-west, north)) % 360, math.degrees(parallactic)


def highest(instant: datetime, taken: Collection[str] = ()) -> Target:
    """Choose the target that stands highest, of those not taken yet while there are any."""
    left = [target for target in TARGETS.values() if target.name not in taken]
    return max(left or TARGETS.values(), key=lambda target: horizon(target, instant)[0])
