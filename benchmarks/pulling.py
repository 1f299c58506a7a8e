"""What the benchmarks of single stores share: the trees, our own pull, and contests in which the clients take turns."""

import os
import resource
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from blake3 import blake3

from nightferry.core.store import BUFFER_SIZE, Entry, Store, Want

FRAME, FRAMES = 16_600_320, 60
SMALL, SMALLS = 65_536, 2_000
FOLDERS, PER_FOLDER = 500, 200

#: Does a client's work, into a folder that is empty.
Row = Callable[[Path], None]


def memory() -> str | None:
    """Tell the memory disk, where there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a memory disk, asked for by name


def plant(folder: Path, count: int, size: int) -> None:
    """Write files that do not compress."""
    folder.mkdir(parents=True)
    data = os.urandom(size)
    for number in range(count):
        (folder / f"light_{number:05}.fits").write_bytes(data)


def plant_many(folder: Path) -> None:
    """Write the tree that is listed: empty files, for only their number counts."""
    for number in range(FOLDERS):
        plant(folder / f"night{number:03}", PER_FOLDER, 0)


def contest(title: str, unit: str, amount: float, rows: Mapping[str, Row], *, work: Path, rounds: int) -> None:
    """Let the clients take turns, and print median and best, and the least processor time of each."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    worked: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, run in rows.items():
            target = work / "target"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            begun, busy = time.perf_counter(), _processor_time()
            run(target)
            found[name].append(amount / (time.perf_counter() - begun))
            worked[name].append(_processor_time() - busy)
    shutil.rmtree(work / "target", ignore_errors=True)
    print(f"\n{title} ({rounds} rounds)\n{'client':32}{'median':>10}{'best':>10}  {unit:12}{'CPU s':>7}")
    for name, speeds in found.items():
        print(
            f"{name:32}{statistics.median(speeds):10,.0f}{max(speeds):10,.0f}  {'':12}{min(worked[name]):7.2f}",
            flush=True,
        )


def pull(store: Store, connections: int, target: Path) -> None:
    """Do what a pull does beside the transfer, too: list, hash while the bytes come, write."""
    entries = [item for item in store.list() if isinstance(item, Entry)]
    wants = [Want(entry.path, entry.size, entry.mtime_us) for entry in entries]

    def share(some: list[Want]) -> None:
        buffer = memoryview(bytearray(BUFFER_SIZE))
        for arrival in store.fetch(some):
            hasher = blake3()
            with (target / arrival.want.path).open("wb", buffering=0) as file:
                while count := arrival.read_into(buffer):
                    hasher.update(buffer[:count])
                    file.write(buffer[:count])
            arrival.finish()

    threads = [threading.Thread(target=share, args=(wants[n::connections],)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert sum(1 for _ in target.iterdir()) == len(wants)


def list_many(store: Store) -> None:
    """List the tree of `plant_many`."""
    assert sum(1 for _ in store.list()) == FOLDERS * PER_FOLDER
    store.close()


def run(command: list[str], output: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
    """Run a client, which must end well."""
    with (output or Path(os.devnull)).open("wb") as sink:
        subprocess.run(
            command, check=True, stdout=sink, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environment
        )


def rclone(settings: str, work: Path) -> list[str]:
    """Give rclone's first words, with these settings; none, and say so, where it is not installed."""
    if shutil.which("rclone") is None:
        print("rclone is not installed, so it does not compete")
        return []
    place = work / "rclone.conf"
    place.write_text(settings)
    return ["rclone", "--config", f"{place}"]


def _processor_time() -> float:
    """Tell the seconds that the client and its children computed, until now."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
