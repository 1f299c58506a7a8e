"""A simulated telescope: a Vespera's FTP server on this machine, to rehearse with before a real one is trusted.

In Python::

    with simulated_vespera(folder) as telescope:
        print(telescope.url)            # ftp://127.0.0.1:40123/user

By hand, with a night of real stars made on the spot; Ctrl-C stops it::

    python -m nightferry.testing.telescope --folder /tmp/vespera --port 2121
    python -m nightferry.testing.telescope --folder /tmp/vespera --port 2121 --live

``--live`` goes on observing: a new frame every few seconds, each written slowly in place as a camera does, for
``nightferry watch``. The folder is made by the first call and served as it stands by later ones, so what was
cleared stays cleared. Everything below it can be deleted by whoever reaches this machine's loopback; a folder
that holds anything else is refused.

Needs pyftpdlib: ``pip install 'nightferry[demo]'``.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import numpy as np

from nightferry.core.errors import Misconfigured
from nightferry.core.night import evening_of, parse_evening
from nightferry.testing.observations import CADENCE, find_target, folder_stamp, highest
from nightferry.testing.sky import FULL_SIZE, make_sensor
from nightferry.testing.vespera import (
    FRAMES,
    Made,
    PlannedFile,
    build_night,
    light_files,
    make_folder,
    planned_file,
)

#: Loopback, and nothing else: whoever reaches it may delete.
HOST = "127.0.0.1"

#: Says that a folder is ours to serve and to let clients delete from.
_MARK = "simulated-telescope.txt"
_PIECES = 16  # in this many writes a live frame comes to be


@dataclass(frozen=True, slots=True)
class SimulatedVespera:
    """A running telescope: where it listens, and the folder behind ``/user``."""

    host: str
    port: int
    root: Path
    top: str = "user"

    @property
    def url(self) -> str:
        """The store's address, as it stands in a configuration."""
        return f"ftp://{self.host}:{self.port}/{self.top}"


@contextmanager
def simulated_vespera(
    root: Path, *, port: int = 0, delay: float = 0.0, top: str = "user"
) -> Iterator[SimulatedVespera]:
    """Serve what is below ``root`` as a Vespera would, from a thread, on loopback; nothing is left at the end.

    Anonymous clients see it below ``/user`` (``/USER`` with some firmware: ``top``) and may delete. ``port`` 0
    takes a free one. Every reply comes ``delay`` seconds late, as over Wi-Fi. Raises `Misconfigured` when
    pyftpdlib is missing, the folder is not there, or the port is taken.
    """
    if not root.is_dir():
        raise Misconfigured(f"the simulated telescope has nothing to show: {root} is not a folder")
    with _ftp_server()(root, top=top, host=HOST, port=port, delay=delay) as chosen:
        yield SimulatedVespera(HOST, chosen, root, top)


def grow_frames(
    root: Path,
    *,
    seed: int,
    lights: int,
    every: float = CADENCE,
    writing: float = 2.0,
    size: tuple[int, int] = FULL_SIZE,
    target: str = "",
    stop: threading.Event | None = None,
) -> Iterator[PlannedFile]:
    """Observe now: write a new observation's frames below ``root``, one in ``every`` seconds.

    Each file grows in place under its final name for ``writing`` seconds, and is told when it is whole; then
    follows its sidecar. Without a ``target`` it is what stands highest. After ``stop`` is set, the frame in work
    is completed at once and is the last. Raises `Misconfigured` for a target there are no stars for.
    """
    stop = stop or threading.Event()
    sensor = make_sensor(size, seed=seed)
    rng = np.random.default_rng([seed, 3])
    local = datetime.now().astimezone()
    aim = find_target(target) if target else highest(local)
    folder = f"{folder_stamp(local)}_observation_{aim.name}/{FRAMES}"
    make_folder(root, folder)
    begin = time.monotonic()
    for number in range(1, lights + 1):
        start = datetime.now().astimezone()
        stem = f"{folder}/img-{number:04d}"
        frame, sidecar = light_files(stem, number=number, target=aim, start=start, sensor=sensor, rng=rng)
        yield _write_slowly(root, frame, writing, stop)
        yield _write_slowly(root, sidecar, 0, stop)
        if number == lights or stop.wait(begin + number * every - time.monotonic()):
            return


def _write_slowly(root: Path, made: Made, seconds: float, stop: threading.Event) -> PlannedFile:
    """Write a file in place, piece by piece over some seconds."""
    size = -(-len(made.data) // _PIECES)
    with (root / made.path).open("xb", buffering=0) as out:
        for at in range(0, len(made.data), size):
            out.write(made.data[at : at + size])
            stop.wait(seconds / _PIECES)
        mtime_us = os.fstat(out.fileno()).st_mtime_ns // 1000
    return planned_file(made, mtime_us)


def _ftp_server() -> Callable[..., AbstractContextManager[int]]:
    """Import the server; raise `Misconfigured` when what it needs is not installed."""
    try:
        from nightferry.testing.telescope_ftp import serve  # noqa: PLC0415 - pyftpdlib is an extra
    except ImportError as err:
        raise Misconfigured(
            f"the simulated telescope needs pyftpdlib, which is not installed ({err}): pip install 'nightferry[demo]'"
        ) from err
    return serve


def _prepare(folder: Path, wanted: argparse.Namespace) -> Path:
    """Make the telescope's night, or find the one made before; tell the folder to serve."""
    mark, tree, part = folder / _MARK, folder / "user", folder / "user.part"
    ours = mark.is_file()
    if ours and tree.is_dir():
        return tree
    if not ours and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Misconfigured(
            f"{folder} holds something that is not a simulated telescope's, and clients could delete it; "
            "name a new folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text("Made by nightferry.testing.telescope; everything in user/ may be deleted.\n", encoding="utf-8")
    if part.exists():  # an earlier call was interrupted while it made the night
        shutil.rmtree(part)
    plan = build_night(
        part,
        seed=wanted.seed,
        evening=wanted.evening,
        observations=wanted.observations,
        lights=wanted.lights,
        size=wanted.size,
        quirks=wanted.quirks,
    )
    part.rename(tree)
    _say(f"made the night of {plan.evening}: {len(plan.files)} files, {plan.bytes / 1e6:.0f} MB")
    for left_out in plan.left_out:
        _say(f"left out, this file system cannot have it: {left_out}")
    return tree


def _read_size(text: str) -> tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: expected WIDTHxHEIGHT in pixels, as 1920x1080")
    return int(sides[0]), int(sides[1])


def _read_evening(text: str) -> date:
    try:
        return parse_evening(text)
    except Misconfigured as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    description = "Serve a simulated Vespera over FTP on this machine, until Ctrl-C."
    parser = argparse.ArgumentParser(prog="python -m nightferry.testing.telescope", description=description)
    yesterday = evening_of(datetime.now().astimezone().replace(tzinfo=None)) - timedelta(days=1)
    parser.add_argument("--folder", type=Path, required=True, help="where its files are made, and found again")
    parser.add_argument("--port", type=int, default=2121, help="port to listen on; 0 for a free one (%(default)s)")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds by which replies are late (%(default)s)")
    parser.add_argument("--live", action="store_true", help="go on observing while it serves")
    parser.add_argument("--every", type=float, default=CADENCE, help="seconds between live frames (%(default)s)")
    night = parser.add_argument_group("the night, when it is made")
    night.add_argument("--evening", type=_read_evening, default=yesterday, help="its date (%(default)s)")
    night.add_argument("--seed", type=int, default=1, help="another number, another noise (%(default)s)")
    night.add_argument("--observations", type=int, default=5, help="folders of frames (%(default)s)")
    night.add_argument("--lights", type=int, default=12, help="frames in each (%(default)s)")
    night.add_argument("--size", type=_read_size, default=FULL_SIZE, help="of a frame, WIDTHxHEIGHT (1920x1080)")
    night.add_argument("--quirks", action="store_true", help="add the files that made other programs stumble")
    return parser.parse_args(words)


def _say(text: str) -> None:
    sys.stdout.write(f"{text.encode(errors='backslashreplace').decode()}\n")
    sys.stdout.flush()


def _observe_on(tree: Path, wanted: argparse.Namespace) -> None:
    """Add frames until interrupted."""
    writing = min(2.0, wanted.every / 2)
    for file in grow_frames(
        tree, seed=wanted.seed, lights=sys.maxsize, every=wanted.every, writing=writing, size=wanted.size
    ):
        _say(f"wrote {file.path}, {file.size} bytes")


def _wait_for_ctrl_c() -> NoReturn:
    while True:
        time.sleep(3600)


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted; tell the exit code: 0 after Ctrl-C, 2 when something must be changed first."""
    wanted = _read_arguments(words)
    try:
        tree = _prepare(wanted.folder, wanted)
        with simulated_vespera(tree, port=wanted.port, delay=wanted.delay) as telescope:
            _say(f"serving {tree} as {telescope.url}; Ctrl-C stops it. In nightferry's configuration:")
            _say(f'  [telescope.rehearsal]\n  preset = "vespera"\n  source = "{telescope.url}"')
            if wanted.live:
                endless = 10_000
                for file in grow_frames(tree, seed=wanted.seed, lights=endless, every=wanted.every, size=wanted.size):
                    _say(f"wrote {file.path}, {file.size} bytes")
            _wait_for_ctrl_c()
    except KeyboardInterrupt:
        return 0
    except Misconfigured as err:
        sys.stderr.write(f"{err}\n")
        return 2
    except OSError as err:
        sys.stderr.write(f"the simulated telescope's files could not be written in {wanted.folder}: {err}\n")
        return 3


if __name__ == "__main__":
    raise SystemExit(main())
