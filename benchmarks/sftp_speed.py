"""SFTP side by side with rclone, asyncssh and OpenSSH's own tools, against a real sshd on loopback.

Run with ``python -m benchmarks.sftp_speed [ROUNDS]``; scripts/sftp-server.sh gets the server. rclone and asyncssh
are left out, and named, where they are not installed. The clients take turns; best and median of the rounds, and
the least processor time of a client and its children (the server's is not in it).
Our own row does what a pull does beside the transfer: it hashes (BLAKE3) while the bytes come.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import pulling
from benchmarks.pulling import FOLDERS, FRAME, FRAMES, PER_FOLDER, SMALL, SMALLS, Row
from nightferry.stores.sftp.store import SftpStore
from tests.servers.sshd import USER, Sshd, sshd

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
    with sshd() as server, tempfile.TemporaryDirectory(dir=pulling.memory()) as name:
        work = Path(name)
        big, small, many = work / "big", work / "small", work / "many"
        pulling.plant(big, FRAMES, FRAME)
        pulling.plant(small, SMALLS, SMALL)
        pulling.plant_many(many)
        rclone = _rclone(server, work)
        for title, folder, unit, amount in (
            (f"{FRAMES} x {FRAME / 1e6:.1f} MB", big, "MB/s", FRAMES * FRAME / 1e6),
            (f"{SMALLS} x 64 KiB", small, "files/s", float(SMALLS)),
        ):
            rows: dict[str, Row] = {
                "nightferry, 1 connection": partial(_ours, server, folder, 1),
                "nightferry, 2 connections": partial(_ours, server, folder, 2),
                **_peers(server, folder, rclone),
            }
            pulling.contest(title, unit, amount, rows, work=work, rounds=rounds)
        listers: dict[str, Row] = {
            "nightferry": lambda _: pulling.list_many(SftpStore(server.address(many))),
            **_listing_peers(server, many, rclone),
        }
        pulling.contest(
            f"listing {FOLDERS * PER_FOLDER:,} entries",
            "entries/s",
            float(FOLDERS * PER_FOLDER),
            listers,
            work=work,
            rounds=rounds,
        )


def _ours(server: Sshd, folder: Path, connections: int, target: Path) -> None:
    pulling.pull(SftpStore(server.address(folder, connections=connections)), connections, target)


def _ssh(server: Sshd) -> list[str]:
    options = {
        "UserKnownHostsFile": server.known_hosts,
        "IdentityFile": server.key,
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "User": USER,
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in options.items())]


def _peers(server: Sshd, folder: Path, rclone: list[str]) -> dict[str, Row]:
    port = str(server.port)
    rows: dict[str, Row] = {
        "sftp (OpenSSH)": lambda to: pulling.run(
            ["sftp", "-q", *_ssh(server), "-P", port, "-R", "64", "-B", "262144", f"127.0.0.1:{folder}/*", f"{to}"]
        ),
        "ssh cat to a file (bound)": lambda to: pulling.run(
            ["ssh", *_ssh(server), "-p", port, "127.0.0.1", f"cat {folder}/*"], to / "all"
        ),
    }
    if rclone:
        rows["rclone sftp --transfers 4"] = lambda to: pulling.run(
            [*rclone, "copy", "--transfers", "4", f"sshd:{folder}", f"{to}"]
        )
    if _has_asyncssh():
        rows["asyncssh get"] = lambda to: pulling.run([*_asyncssh(server), f"{folder}", f"{to}/all"])
    return rows


def _listing_peers(server: Sshd, folder: Path, rclone: list[str]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    if rclone:
        rows["rclone lsf -R"] = lambda to: pulling.run(
            [*rclone, "lsf", "-R", "--files-only", f"sshd:{folder}"], to / "all"
        )
    if _has_asyncssh():
        rows["asyncssh readdir"] = lambda _: pulling.run([*_asyncssh(server), f"{folder}", "-"])
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
    login = f"host = 127.0.0.1\nport = {server.port}\nuser = {USER}\nkey_file = {server.key}\n"
    trust = f"known_hosts_file = {server.known_hosts}\nshell_type = none\n"
    return pulling.rclone(f"[sshd]\ntype = sftp\n{login}{trust}", work)


if __name__ == "__main__":
    main()
