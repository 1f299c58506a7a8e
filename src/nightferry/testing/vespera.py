"""A Vespera's night, made up: the tree of files that such a telescope offers over FTP, frames with real stars.

The layouts are those seen at real telescopes: single observations (``_observation_`` and ``-observation-``), a
plan with an observation per object, darks beside the frames' folder, frames of a sensor turned by 180 degrees
(``img-0012r.fits``), a counter that starts again with every session, sidecars and previews. What a real header
says is not known for certain; this one has the cards that all of its family share. ``quirks`` adds what has
made other programs lose frames.

One seed, one night: the same call writes the same bytes again.
"""

import errno
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path

import numpy as np
from blake3 import blake3

from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Digest
from nightferry.core.store import StorePath
from nightferry.testing.encode import Card, fits_image, jpeg_rgb8, tiff_rgb16
from nightferry.testing.observations import (
    CLOCK,
    EXPOSURE,
    Observation,
    find_target,
    folder_stamp,
    horizon,
    plan_observations,
)
from nightferry.testing.sky import (
    FULL_SIZE,
    Pixels,
    Sensor,
    Target,
    View,
    dark_frame,
    light_frame,
    make_sensor,
    to_preview,
    to_rgb,
)

#: The folder of an observation that its frames are in.
FRAMES = "01-images-initial"
#: What an operating system answers to a name or a link that it cannot have. (Wine has no file of a name without UTF-8.)
_REFUSALS = frozenset({errno.EILSEQ, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.ENOTSUP})


class Kind(StrEnum):
    """What a file of the night is."""

    LIGHT = "light"
    DARK = "dark"
    STACK = "stack"
    PREVIEW = "preview"
    SIDECAR = "sidecar"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that was written: its path below the root, and what must arrive wherever it is carried.

    ``object`` is the target's name; ``fault`` says what is wrong with a frame that is no whole FITS file
    (``empty``, ``truncated`` or ``text``).
    """

    path: StorePath
    size: int
    kind: Kind
    object: str
    digest: Digest
    mtime_us: int
    fault: str = ""


@dataclass(frozen=True, slots=True)
class NightPlan:
    """All that `build_night` wrote. ``left_out`` names the quirks this file system cannot have, and why."""

    root: Path
    evening: date
    files: tuple[PlannedFile, ...]
    links: tuple[StorePath, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """The night's volume."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Made:
    """A file's bytes before they are written, and when the telescope wrote them."""

    path: str
    data: bytes
    written: datetime
    kind: Kind
    object: str
    fault: str = ""


def build_night(
    root: Path,
    *,
    seed: int,
    evening: date,
    observations: int = 5,
    lights: int = 12,
    size: tuple[int, int] = FULL_SIZE,
    targets: Sequence[str] = (),
    quirks: bool = False,
    clock: timezone = CLOCK,
) -> NightPlan:
    """Write a night's tree below ``root`` and tell every file of it.

    There are ``observations`` folders of ``lights`` frames each; five in a row show every layout. ``targets``
    are taken in turn; without them the telescope takes what is highest. Raises `Misconfigured` for a target
    there are no stars for, for more frames than a night is long, and when the night is there already.
    """
    sensor = make_sensor(size, seed=seed)
    schedule = plan_observations(evening, observations=observations, lights=lights, targets=targets, clock=clock)
    files: list[PlannedFile] = []
    links: tuple[StorePath, ...] = ()
    left_out: tuple[str, ...] = ()
    for number, observation in enumerate(schedule):
        make_folder(root, observation.folder)
        rng = np.random.default_rng([seed, 2, number])
        files.extend(write_file(root, made) for made in _observation_files(observation, sensor, rng))
        if quirks and number == 0:
            odd, links, left_out = _write_quirks(root, observation, sensor, rng)
            files.extend(odd)
    _date_folders(root, files)
    return NightPlan(root, evening, tuple(files), links, left_out)


def light_files(
    stem: str, *, number: int, target: Target, start: datetime, sensor: Sensor, rng: np.random.Generator
) -> tuple[Made, Made]:
    """Make a light frame and its sidecar, begun at ``start`` (aware); ``stem`` is their path without a suffix.

    A stem that ends on ``r`` is of a sensor turned by 180 degrees, and so is its mosaic.
    """
    altitude, azimuth, rotation = horizon(target, start)
    drift = rng.normal(0, 4, 2) * sensor.scale / 3600  # degrees: such mounts wander by some pixels
    view = View(target.ra + drift[0] / math.cos(math.radians(target.dec)), target.dec + drift[1], rotation)
    pixels = light_frame(sensor, target, view, rng, seconds=EXPOSURE)
    turned = stem.endswith("r")
    frame = _frame(pixels[::-1, ::-1] if turned else pixels, target.name, start, Kind.LIGHT, turned=turned)
    written = start + timedelta(seconds=EXPOSURE)
    notes = {
        "acquisitionTime": round(start.timestamp() * 1000),
        "index": number,
        "motors": {"ALT": round(altitude, 4), "AZ": round(azimuth, 4)},
        "registration": {
            "x": round(drift[0] * 3600 / sensor.scale, 2),
            "y": round(drift[1] * 3600 / sensor.scale, 2),
            "rotation": round(rotation, 3),
        },
        "status": "accepted",
    }
    sidecar = json.dumps(notes, indent=2).encode()
    return (
        Made(f"{stem}.fits", frame, written, Kind.LIGHT, target.name),
        Made(f"{stem.removesuffix('r')}.json", sidecar, written, Kind.SIDECAR, target.name),
    )


def write_file(root: Path, made: Made) -> PlannedFile:
    """Write a file below the root, give it its time, and tell what stands there now."""
    file = root / made.path
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as out:
        out.write(made.data)
    seconds = math.ceil(made.written.timestamp())
    os.utime(file, (seconds, seconds))
    return planned_file(made, seconds * 1_000_000)


def planned_file(made: Made, mtime_us: int) -> PlannedFile:
    """Return what must be found of a file that was written."""
    digest = Digest(blake3(made.data).hexdigest())
    return PlannedFile(StorePath(made.path), len(made.data), made.kind, made.object, digest, mtime_us, made.fault)


def _observation_files(observation: Observation, sensor: Sensor, rng: np.random.Generator) -> Iterator[Made]:
    """Make an observation's files in the order the telescope writes them."""
    target, start, folder = observation.target, observation.start, observation.folder
    yield _dark(observation, sensor, rng, "img-0001-dark.fits", start)
    frames = f"{folder}/{FRAMES}"
    for number in range(1, observation.lights + 1):
        suffix = "r" if number > observation.lights - observation.turned else ""
        stem, begin = f"{frames}/img-{number:04d}{suffix}", observation.start_of(number)
        yield from light_files(stem, number=number, target=target, start=begin, sensor=sensor, rng=rng)
    after = observation.start_of(observation.lights + 1)
    if observation.foreign:
        number = observation.lights + 1
        stem = f"{frames}/TargetSet.{target.name}.{EXPOSURE:.2f}.LIGHT.{number}.{folder_stamp(after)}.fits"
        yield light_files(stem, number=number, target=target, start=after, sensor=sensor, rng=rng)[0]
    yield from _stack(observation, sensor, rng, after)


def _dark(observation: Observation, sensor: Sensor, rng: np.random.Generator, name: str, start: datetime) -> Made:
    frame = _frame(dark_frame(sensor, rng), observation.target.name, start, Kind.DARK)
    written = start + timedelta(seconds=EXPOSURE)
    return Made(f"{observation.folder}/{name}", frame, written, Kind.DARK, observation.target.name)


def _stack(observation: Observation, sensor: Sensor, rng: np.random.Generator, when: datetime) -> Iterator[Made]:
    """Make the stack of an observation as the owner sees it: a TIFF, and a JPEG preview of it."""
    target, count = observation.target, max(1, observation.lights)
    view = View(target.ra, target.dec, horizon(target, when)[2])
    stack = light_frame(sensor, target, view, rng, seconds=EXPOSURE, stacked=count)
    stem = f"{observation.folder}/{target.name}-{count:04d}"
    suffix = "tif" if observation.turned else "tiff"
    yield Made(f"{stem}.{suffix}", tiff_rgb16(to_rgb(stack)), when, Kind.STACK, target.name)
    yield Made(f"{stem}.jpg", jpeg_rgb8(to_preview(stack)), when, Kind.PREVIEW, target.name)


def _frame(pixels: Pixels, name: str, start: datetime, kind: Kind, *, turned: bool = False) -> bytes:
    """Write a frame with the header of a Vespera; a turned sensor's RGGB mosaic reads BGGR."""
    target = find_target(name)
    utc = start.astimezone(UTC).replace(tzinfo=None)
    cards: list[Card] = [
        # Camera programs' convention for colour sensors (SBFITSEXT descendants); not in the standard.
        ("BAYERPAT", "BGGR" if turned else "RGGB", "colour mosaic, row 0 first"),
        ("INSTRUME", "Vespera", "instrument (simulated)"),  # FITS standard 4.0, section 4.4.2
        ("OBJECT", name, "target"),  # section 4.4.2
        ("IMAGETYP", "Light Frame" if kind is Kind.LIGHT else "Dark Frame", "type of frame"),  # SBFITSEXT 1.0
        ("DATE-OBS", utc.isoformat(timespec="milliseconds"), "UTC at start"),  # section 9.5
        ("EXPTIME", EXPOSURE, "[s] exposure"),  # HEASARC's list of common keywords
        ("GAIN", 20.0, "[dB] sensor gain"),  # camera programs' convention
        ("RA", target.ra, "[deg] pointing, J2000"),  # HEASARC's list of common keywords
        ("DEC", target.dec, "[deg] pointing, J2000"),
    ]
    return fits_image(cards, pixels)


def _write_quirks(
    root: Path, observation: Observation, sensor: Sensor, rng: np.random.Generator
) -> tuple[list[PlannedFile], tuple[StorePath, ...], tuple[str, ...]]:
    """Add what has made other programs lose frames; tell the files, the links, and what could not be made here."""
    files: list[PlannedFile] = []
    links: list[StorePath] = []
    left_out: list[str] = []
    for made in _quirk_files(observation, sensor, rng):
        try:
            files.append(write_file(root, made))
        except OSError as err:
            if err.errno not in _REFUSALS:
                raise
            left_out.append(f"{made.path!r}: {err.strerror}")
    link = StorePath(f"{observation.folder}/latest.fits")
    try:
        (root / link).symlink_to(Path(FRAMES) / "img-0001.fits")
        links.append(link)
    except OSError as err:
        if err.errno not in _REFUSALS:
            raise
        left_out.append(f"{link!r}: {err.strerror}")
    return files, tuple(links), tuple(left_out)


def _quirk_files(observation: Observation, sensor: Sensor, rng: np.random.Generator) -> Iterator[Made]:
    """Make the awkward files, each a frame of its own."""
    folder, target = observation.folder, observation.target
    number = observation.lights + 1

    def light(path: str, fault: str = "") -> Made:
        nonlocal number
        number += 1
        start = observation.start_of(number)
        whole, _ = light_files(folder, number=number, target=target, start=start, sensor=sensor, rng=rng)
        data = {
            "empty": b"",
            "truncated": whole.data[: len(whole.data) * 6 // 10],
            "text": b"exposure failed: the mount did not settle\n",
        }.get(fault, whole.data)
        return Made(f"{folder}/{path}", data, whole.written, Kind.LIGHT, target.name, fault)

    yield _dark(observation, sensor, rng, "img-0002-dark.fits", observation.start + timedelta(seconds=12))
    yield light("02-images-stacked/img-0001.fits")  # a name that stands in another folder, too
    yield light("02-images-stacked/stack.fits")  # no '-' in it
    yield light(f"{FRAMES}/IMG-9001.FITS")
    yield light(f"{FRAMES}/img-9002 second try.fits")
    yield light(f'{FRAMES}/img-9003 the "best" of tonight\'s.fits')
    yield light(f"{FRAMES}/img-9004-caf\udce9.fits")  # the byte E9: Latin-1, not UTF-8
    yield light(f"{FRAMES}/img-9005.fits", "empty")
    yield light(f"{FRAMES}/img-9006.fits", "truncated")
    yield light(f"{FRAMES}/img-9007.fits", "text")


def make_folder(root: Path, folder: str) -> None:
    """Make an observation's folder; raise `Misconfigured` when it is there already."""
    try:
        (root / folder).mkdir(parents=True)
    except FileExistsError as err:
        raise Misconfigured(
            f"{root / folder} is there already, and a night is never written over another; choose an empty folder"
        ) from err


def _date_folders(root: Path, files: Sequence[PlannedFile]) -> None:
    """Give every folder the time of the newest file below it."""
    newest: dict[Path, int] = {}
    for file in files:
        for folder in Path(file.path).parents[:-1]:
            newest[folder] = max(newest.get(folder, 0), file.mtime_us // 1_000_000)
    for folder, seconds in newest.items():
        os.utime(root / folder, (seconds, seconds))
