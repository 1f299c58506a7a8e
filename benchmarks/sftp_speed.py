"""SFTP side by side with rclone, asyncssh and OpenSSH's own tools, against a real sshd on loopback.

Run with ``python benchmarks/sftp_speed.py [ROUNDS]``; scripts/sftp-server.sh gets the server. rclone and asyncssh
are left out, and named, where they are not installed. The clients take turns; best and median of the rounds, and
the least processor time of a client and its children (the server's is not in it).
Our own row does what a pull does beside the transfer: it hashes (BLAKE3) while the bytes come.
"""

import contextlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from blake3 import blake3

from nightferry.core.store import BUFFER_SIZE, Entry, Want
from nightferry.stores.sftp import SftpStore
from nightferry.testing.sftp_daemon import USER, Sshd, sshd

FRAME, FRAMES = 16_600_320, 60
SMALL, SMALLS = 65_536, 2_000
FOLDERS, PER_FOLDER = 500, 200

_ASYNCSSH = """
import asyncio, asyncssh, sys
host, port, user, key, hosts, source, target = sys.argv[1:]
async def main():
    async with asyncssh.connect(host, int(port), username=user, client_keys=[key], known_hosts=hosts, config=None) as c:
        async with c.start_sftp_client() as sftp:
            if target == "-":
                count = 0
                for folder in await sftp.listdir(source):
                    if folder not in (".", ".."):
                        count += len(await sftp.readdir(source + "/" + folder)) - 2
                print(count)
            else:
                await sftp.get(source, target, recurse=True)
asyncio.run(main())
"""


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with sshd() as server, tempfile.TemporaryDirectory(dir=_memory()) as name:
        work = Path(name)
        big, small, many = work / "big", work / "small", work / "many"
        _plant(big, FRAMES, FRAME)
        _plant(small, SMALLS, SMALL)
        for number in range(FOLDERS):
            _plant(many / f"night{number:03}", PER_FOLDER, 0)
        rclone = _rclone(server, work)
        for title, folder, unit, amount in (
            (f"{FRAMES} x {FRAME / 1e6:.1f} MB", big, "MB/s", FRAMES * FRAME / 1e6),
            (f"{SMALLS} x 64 KiB", small, "files/s", float(SMALLS)),
        ):
            rows: dict[str, Callable[[Path], None]] = {
                "nightferry, 1 connection": partial(_ours, server, folder, 1),
                "nightferry, 2 connections": partial(_ours, server, folder, 2),
                **_peers(server, folder, rclone),
            }
            _contest(title, unit, amount, rows, work=work, rounds=rounds)
        listers: dict[str, Callable[[Path], None]] = {
            "nightferry": lambda _: _list(server, many),
            **_listing_peers(server, many, rclone),
        }
        _contest(
            f"listing {FOLDERS * PER_FOLDER:,} entries",
            "entries/s",
            float(FOLDERS * PER_FOLDER),
            listers,
            work=work,
            rounds=rounds,
        )


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a memory disk, asked for by name


def _plant(folder: Path, count: int, size: int) -> None:
    folder.mkdir(parents=True)
    data = os.urandom(size)
    for number in range(count):
        (folder / f"light_{number:05}.fits").write_bytes(data)


def _contest(
    title: str, unit: str, amount: float, rows: dict[str, Callable[[Path], None]], *, work: Path, rounds: int
) -> None:
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


def _processor_time() -> float:
    """Tell the seconds that the client and its children computed, until now."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _ours(server: Sshd, folder: Path, connections: int, target: Path) -> None:
    store = SftpStore(server.address(folder, connections=connections))
    entries = [item for item in store.list() if isinstance(item, Entry)]
    wants = [Want(entry.path, entry.size, entry.mtime_us) for entry in entries]

    def pull(share: list[Want]) -> None:
        buffer = memoryview(bytearray(BUFFER_SIZE))
        for arrival in store.fetch(share):
            hasher = blake3()
            with (target / arrival.want.path).open("wb", buffering=0) as file:
                while count := arrival.read_into(buffer):
                    hasher.update(buffer[:count])
                    file.write(buffer[:count])
            arrival.finish()

    threads = [threading.Thread(target=pull, args=(wants[n::connections],)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    assert sum(1 for _ in target.iterdir()) == len(wants)


def _list(server: Sshd, folder: Path) -> None:
    store = SftpStore(server.address(folder))
    assert sum(1 for _ in store.list()) == FOLDERS * PER_FOLDER
    store.close()


def _ssh(server: Sshd) -> list[str]:
    options = {
        "UserKnownHostsFile": server.known_hosts,
        "IdentityFile": server.key,
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "User": USER,
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in options.items())]


def _peers(server: Sshd, folder: Path, rclone: list[str]) -> dict[str, Callable[[Path], None]]:
    port = str(server.port)
    rows: dict[str, Callable[[Path], None]] = {
        "sftp (OpenSSH)": lambda to: _run(
            ["sftp", "-q", *_ssh(server), "-P", port, "-R", "64", "-B", "262144", f"127.0.0.1:{folder}/*", f"{to}"]
        ),
        "ssh cat to a file (bound)": lambda to: _run(
            ["ssh", *_ssh(server), "-p", port, "127.0.0.1", f"cat {folder}/*"], to / "all"
        ),
    }
    if rclone:
        rows["rclone sftp --transfers 4"] = lambda to: _run(
            [*rclone, "copy", "--transfers", "4", f"sshd:{folder}", f"{to}"]
        )
    if _has_asyncssh():
        rows["asyncssh get"] = lambda to: _run([*_asyncssh(server), f"{folder}", f"{to}/all"])
    return rows


def _listing_peers(server: Sshd, folder: Path, rclone: list[str]) -> dict[str, Callable[[Path], None]]:
    rows: dict[str, Callable[[Path], None]] = {}
    if rclone:
        rows["rclone lsf -R"] = lambda to: _run([*rclone, "lsf", "-R", "--files-only", f"sshd:{folder}"], to / "all")
    if _has_asyncssh():
        rows["asyncssh readdir"] = lambda _: _run([*_asyncssh(server), f"{folder}", "-"])
    return rows


def _asyncssh(server: Sshd) -> list[str]:
    words = [sys.executable, "-c", _ASYNCSSH, "127.0.0.1", f"{server.port}", USER, f"{server.key}"]
    return [*words, f"{server.known_hosts}"]


def _has_asyncssh() -> bool:
    done = subprocess.run([sys.executable, "-c", "import asyncssh"], check=False, capture_output=True)
    if done.returncode:
        print("asyncssh is not installed, so it does not compete (pip install asyncssh)")
    return done.returncode == 0


def _rclone(server: Sshd, work: Path) -> list[str]:
    if shutil.which("rclone") is None:
        print("rclone is not installed, so it does not compete")
        return []
    settings = work / "rclone.conf"
    settings.write_text(
        f"[sshd]\ntype = sftp\nhost = 127.0.0.1\nport = {server.port}\nuser = {USER}\nkey_file = {server.key}\n"
        f"known_hosts_file = {server.known_hosts}\nshell_type = none\n"
    )
    return ["rclone", "--config", f"{settings}"]


def _run(command: list[str], output: Path | None = None) -> None:
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(output.open("wb")) if output else subprocess.DEVNULL
        subprocess.run(command, check=True, stdout=sink, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
