"""The commands that are compared, and what each of them does and does not do."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

_HERE = Path(__file__).parent
SECRET = "NIGHTFERRY_BENCH_PASSWORD"  # noqa: S105 - the name of a variable, not what is in it


@dataclass(frozen=True, slots=True)
class Server:
    """A server on loopback and its login."""

    name: str
    port: int
    user: str
    password: str
    host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Call:
    """A command line and what it finds in its environment."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Caller(Protocol):
    """Makes the command that carries, or lists, ``remote`` at the server; whatever it writes goes below ``work``."""

    def __call__(self, server: Server, remote: str, work: Path) -> Call:
        """Make the command."""
        ...


@dataclass(frozen=True, slots=True)
class Client:
    """One competitor. ``does`` says what it does beside moving bytes, and what it leaves out."""

    name: str
    does: str
    call: Caller


def nightferry(server: Server, remote: str, work: Path) -> Call:
    """Make one pass with a shelf, a ledger and a library below ``work``; the first makes the ledger."""
    config = work / "nightferry.toml"
    config.write_text(
        f"""
        [ledger]
        url = "sqlite:///{work}/ledger.db"
        [shelf]
        path = "{work}/shelf"
        [telescope.vespera]
        preset = "vespera"
        source = "ftp://{server.host}:{server.port}/{remote}"
        user = "{server.user}"
        secret = "env:{SECRET}"
        settle = "0 s"
        archives = ["library"]
        [archive.library]
        url = "file://{work}/target"
        """
    )
    program = str(Path(sys.executable).with_name("nightferry"))
    command = [program, "--config", str(config), "run", "vespera", "--night", "all"]
    return Call(command, {SECRET: server.password, "HOME": str(work), "XDG_CONFIG_HOME": str(work)})


def nightferry_list(server: Server, remote: str, work: Path) -> Call:  # noqa: ARG001 - a `Caller`
    """List through the store, and print the paths."""
    program = str(_HERE / "lister.py")
    return Call([sys.executable, program, server.host, str(server.port), server.user, server.password, remote])


def rclone(verb: str, *options: str) -> Caller:
    """Make the caller of an rclone command."""

    def call(server: Server, remote: str, work: Path) -> Call:
        login = {
            "RCLONE_FTP_HOST": server.host,
            "RCLONE_FTP_PORT": str(server.port),
            "RCLONE_FTP_USER": server.user,
            "RCLONE_FTP_PASS": _obscured(server.password),
            "RCLONE_CONFIG": "",
        }
        target = [str(work / "target")] if verb == "copy" else []
        return Call(["rclone", verb, f":ftp:{remote}", *target, *options], login)

    return call


def synced(caller: Caller) -> Caller:
    """Make another caller's files durable at the end, with one sync of the whole disk."""

    def call(server: Server, remote: str, work: Path) -> Call:
        made = caller(server, remote, work)
        return Call(["sh", "-c", '"$@" && exec sync -f "$0"', str(work), *made.command], made.environment)

    return call


def lftp(script: str) -> Caller:
    """Make the caller of an lftp command; ``{remote}`` and ``{target}`` in it are filled."""

    def call(server: Server, remote: str, work: Path) -> Call:
        words = script.format(remote=remote, target=work / "target")
        login = f"{server.user},{server.password}"
        # Neither server speaks TLS here, and neither has any use for a question about it.
        commands = f"set ftp:ssl-allow no; {words}"
        return Call(
            ["lftp", "--norc", "-u", login, "-e", f"{commands}; exit", f"ftp://{server.host}:{server.port}"],
            {"HOME": str(work)},
        )

    return call


def sync_vespera(script: Path) -> Caller:
    """Make the caller of sync_vespera.py."""

    def call(server: Server, remote: str, work: Path) -> Call:
        login = [server.host, str(server.port), server.user, server.password]
        command = [sys.executable, str(_HERE / "seed.py"), str(script), *login, remote, str(work / "target")]
        return Call(command)

    return call


def carriers(script: Path | None) -> list[Client]:
    """Name those that carry, ourselves first."""
    found = [
        Client(
            "nightferry run",
            "BLAKE3 digest, FITS structure and DATASUM of every byte; size and time at the server compared before and "
            "after; fsync before the final name; ledger; links into the library; resumes inside a file",
            nightferry,
        ),
        Client(
            "rclone copy --transfers 4",
            "compares sizes; no fsync, no digest (FTP has none), no look at the bytes; writes under the final name; "
            "resumes by whole files",
            rclone("copy", "--transfers", "4"),
        ),
    ]
    found += [
        Client(
            f"lftp mirror -P{lanes}",
            "no fsync, no digest; writes under the final name; resumes inside a file only when asked (-c)",
            lftp(f"mirror -P{lanes} {{remote}} {{target}}"),
        )
        for lanes in (1, 4)
    ]
    if script is not None:
        does = "no fsync, no digest, compares nothing; deletes what broke off; fetches everything again on every run"
        found.append(Client("sync_vespera.py", does, sync_vespera(script)))
    return found


def durable_carriers() -> list[Client]:
    """Name those that carry to a real disk, where a peer's files are made durable afterwards."""
    does = "as above, then one sync of the disk: without it the peer's files are not on the disk when it ends"
    first, second, *_ = carriers(None)
    third = Client("lftp mirror -P4", "", lftp("mirror -P4 {remote} {target}"))
    return [
        first,
        second,
        Client("rclone copy --transfers 4, then sync", does, synced(second.call)),
        Client("lftp mirror -P4, then sync", does, synced(third.call)),
    ]


def listers() -> list[Client]:
    """Name those that list, ourselves first."""
    return [
        Client("nightferry's listing", "paths, sizes and times; prints the paths", nightferry_list),
        Client("rclone lsf -R --files-only", "prints the paths", rclone("lsf", "-R", "--files-only")),
        Client("lftp find", "prints the paths, those of folders too", lftp("find {remote}")),
        Client(
            "nightferry run, nothing new",
            "lists, compares every file with the ledger, strikes the balance",
            nightferry,
        ),
    ]


def versions() -> list[str]:
    """Tell what is being compared; raises `FileNotFoundError` for what is not installed."""
    ours = str(Path(sys.executable).with_name("nightferry"))
    told = [
        _first_line(ours, "--version"),
        _first_line("rclone", "version"),
        _first_line("lftp", "--version").partition("Copyright")[0].replace("|", "").strip(),
    ]
    packages = (f"{name} {version}" for name in ("rclone", "lftp", "vsftpd") if (version := _package_version(name)))
    return [", ".join(told), f"packages: {', '.join(packages)}"]


def _package_version(program: str) -> str:
    """Tell the version of the package that a program is from, where dpkg knows; empty elsewhere."""
    if shutil.which("dpkg-query") is None:
        return ""
    asked = ["dpkg-query", "--show", "--showformat", "${Version}", program]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _first_line(*command: str) -> str:
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return found.splitlines()[0] if found else ""


def _obscured(password: str) -> str:
    return subprocess.run(["rclone", "obscure", password], capture_output=True, text=True, check=True).stdout.strip()
