"""SMB side by side with rclone and smbclient, against a real Samba on loopback that insists on signatures.

Run with ``python -m benchmarks.smb_speed [ROUNDS]``; scripts/samba-server.sh gets the server and smbclient. rclone is
left out, and named, where it is not installed. The clients take turns; best and median of the rounds, and the least
processor time of a client and its children (the server's is not in it).
Our own rows do what a pull does beside the transfer: they hash (BLAKE3) while the bytes come.
"""

import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import pulling
from benchmarks.pulling import FOLDERS, FRAME, FRAMES, PER_FOLDER, SMALL, SMALLS, Row
from nightferry.stores.smb.store import SmbStore
from tests.servers.samba import PASSWORD, SHARE, USER, Smbd, environment, program, smbd


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    memory = pulling.memory()
    signed = smbd("server signing = mandatory", inside=Path(memory) if memory else None)
    with signed as server, tempfile.TemporaryDirectory(dir=memory) as name:
        work, shared = Path(name), server.folder
        pulling.plant(shared / "big", FRAMES, FRAME)
        pulling.plant(shared / "small", SMALLS, SMALL)
        pulling.plant_many(shared / "many")
        rclone = _rclone(server, work)
        for title, folder, unit, amount in (
            (f"{FRAMES} x {FRAME / 1e6:.1f} MB", "big", "MB/s", FRAMES * FRAME / 1e6),
            (f"{SMALLS} x 64 KiB", "small", "files/s", float(SMALLS)),
        ):
            rows: dict[str, Row] = {
                "nightferry, 1 connection": partial(_ours, server, folder, 1),
                "nightferry, 2 connections": partial(_ours, server, folder, 2),
                **_peers(server, folder, rclone),
            }
            pulling.contest(title, unit, amount, rows, work=work, rounds=rounds)
        entries = FOLDERS * PER_FOLDER
        listers: dict[str, Row] = {
            "nightferry": lambda _: pulling.list_many(SmbStore(server.address("many", connections=4))),
            **_listing_peers(server, rclone),
        }
        pulling.contest(f"listing {entries:,} entries", "entries/s", float(entries), listers, work=work, rounds=rounds)


def _ours(server: Smbd, folder: str, connections: int, target: Path) -> None:
    pulling.pull(SmbStore(server.address(folder, connections=connections)), connections, target)


def _peers(server: Smbd, folder: str, rclone: list[str]) -> dict[str, Row]:
    rows: dict[str, Row] = {"smbclient mget": lambda to: _smbclient(server, f"cd {folder}; lcd {to}; prompt; mget *")}
    for transfers in ("1", "4") if rclone else ():
        words = [*rclone, "copy", "--transfers", transfers, f"share:{SHARE}/{folder}"]
        rows[f"rclone smb --transfers {transfers}"] = lambda to, words=words: pulling.run([*words, f"{to}"])  # type: ignore[misc]
    return rows


def _listing_peers(server: Smbd, rclone: list[str]) -> dict[str, Row]:
    rows: dict[str, Row] = {"smbclient ls": lambda to: _smbclient(server, "cd many; recurse; ls", to / "all")}
    if rclone:
        words = [*rclone, "lsf", "-R", "--files-only", f"share:{SHARE}/many"]
        rows["rclone lsf -R"] = lambda to: pulling.run(words, to / "all")
    return rows


def _smbclient(server: Smbd, command: str, output: Path | None = None) -> None:
    words = [program("usr/bin/smbclient"), "-s", f"{server.shop}/smb.conf", "-p", f"{server.port}"]
    words += ["-U", f"{USER}%{PASSWORD}", f"//127.0.0.1/{SHARE}", "-c", command]
    wrapped = {"NSS_WRAPPER_PASSWD": f"{server.shop}/passwd", "NSS_WRAPPER_GROUP": f"{server.shop}/group"}
    pulling.run(words, output, environment() | wrapped)


def _rclone(server: Smbd, work: Path) -> list[str]:
    words = pulling.rclone("", work)
    if not words:
        return []
    hidden = subprocess.run(["rclone", "obscure", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
    login = f"host = 127.0.0.1\nport = {server.port}\nuser = {USER}\npass = {hidden}\n"
    return pulling.rclone(f"[share]\ntype = smb\n{login}", work)


if __name__ == "__main__":
    main()
