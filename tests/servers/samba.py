"""A real Samba server on loopback, for tests and measurements, with shares, logins and a port of its own.

``scripts/samba-server.sh`` gets it where it is not installed. It runs as whoever runs the tests, root or not:
libnss_wrapper shows it a list of users with one login, `USER`, who is that person; so nothing of this machine's own
accounts, shares or services is touched.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nightferry.stores.smb.link import SmbAddress
from tests.servers.programs import find_program, free_port, unpacked

USER = "observer"
#: Somebody without rights, whom root's server can be told to act as (``force user``).
STRANGER = "stranger"
SHARE = "frames"
#: Drawn anew by every process, for others on this machine can reach loopback, too.
PASSWORD = secrets.token_hex(12)
_PATIENCE = 120.0


@dataclass
class Smbd:
    """A server that runs, or can be started again on the same port."""

    shop: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def folder(self) -> Path:
        """The folder that is shared."""
        return self.shop / "share"

    def address(self, root: str = "", *, timeout: float = 60.0, connections: int = 2) -> SmbAddress:
        """Make an address with all that a login needs."""
        return SmbAddress(
            "127.0.0.1",
            SHARE,
            root=root,
            port=self.port,
            user=USER,
            password=PASSWORD,
            timeout=timeout,
            connections=connections,
        )

    def guest(self, root: str = "", *, port: int | None = None, timeout: float = 60.0) -> SmbAddress:
        """Make the address of a guest's login, whose session is neither signed nor encrypted."""
        return SmbAddress("127.0.0.1", SHARE, root=root, port=port or self.port, timeout=timeout)

    def set_password(self, password: str) -> None:
        """Give the login a password; sessions that are open go on."""
        # not smbpasswd, which lets nobody but root name a configuration
        command = [program("usr/bin/pdbedit"), f"--configfile={self.shop}/smb.conf", "--password-from-stdin"]
        command += ["--create", f"--user={USER}"]
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            env=self._environment(),
            input=f"{password}\n{password}\n".encode(),
        )

    def configure(self, *lines: str, share: tuple[str, ...] = ()) -> None:
        """Write the configuration; ``lines`` for the whole server, ``share`` for the one share."""
        place = self.shop
        folders = ("private", "lock", "state", "cache", "pid", "ncalrpc")
        for name in (*folders, "share"):
            (place / name).mkdir(exist_ok=True)
        settings = [
            "[global]",
            *("server role = standalone server", f"smb ports = {self.port}", "interfaces = 127.0.0.1"),
            *("bind interfaces only = yes", "disable netbios = yes", f"log file = {place}/smbd.log", "log level = 1"),
            *(f"private dir = {place}/private", f"lock directory = {place}/lock", f"state directory = {place}/state"),
            *(f"cache directory = {place}/cache", f"pid directory = {place}/pid", f"ncalrpc dir = {place}/ncalrpc"),
            *(f"passdb backend = smbpasswd:{place}/smbpasswd", "load printers = no", "printing = bsd"),
            *("printcap name = /dev/null", "disable spoolss = yes", "server min protocol = SMB2_02"),
            *("map to guest = Bad User", f"guest account = {USER}", "store dos attributes = no", "map archive = no"),
            *lines,
            f"[{SHARE}]",
            *(f"path = {self.folder}", "read only = no", "guest ok = yes"),
            *share,
        ]
        (place / "smb.conf").write_text("\n".join(settings) + "\n")

    def start(self) -> None:
        """Start, and wait until it answers."""
        command = [program("usr/sbin/smbd"), "--foreground", "--no-process-group"]
        command += [f"--configfile={self.shop}/smb.conf", "--debug-stdout"]
        with (self.shop / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,
            )
        limit = time.monotonic() + _PATIENCE
        while time.monotonic() < limit and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        said = self.log()
        self.stop()
        raise RuntimeError(f"{command!r} did not start: {said}")

    def stop(self) -> None:
        """Kill the server, and with it every session."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a session of its own, which we started
            process.wait()

    def reload(self) -> None:
        """Have the configuration read again, sessions included."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGHUP)

    def log(self) -> str:
        """Tell what the server said so far."""
        return (self.shop / "log").read_text(errors="replace")

    def _environment(self) -> dict[str, str]:
        return environment() | {
            "NSS_WRAPPER_PASSWD": str(self.shop / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.shop / "group"),
        }


@contextlib.contextmanager
def smbd(*lines: str, share: tuple[str, ...] = (), inside: Path | None = None) -> Iterator[Smbd]:
    """Run a server until the block ends; ``lines`` and ``share`` go into its configuration, last.

    ``inside`` is a folder to make its own one in, the system's usual place by default.
    """
    with tempfile.TemporaryDirectory(prefix="nightferry-smbd-", dir=inside, ignore_cleanup_errors=True) as name:
        shop = Path(name)
        server = Smbd(shop, free_port())
        me, others = f"{os.getuid()}:{os.getgid()}", "65534:65534"
        (shop / "passwd").write_text(
            "".join(f"{name}:x:{numbers}::{shop}:/bin/false\n" for name, numbers in ((USER, me), (STRANGER, others)))
        )
        (shop / "group").write_text(f"{USER}:x:{os.getgid()}:\n{STRANGER}:x:65534:\n")
        server.configure(*lines, share=share)
        server.set_password(PASSWORD)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def environment() -> dict[str, str]:
    """Tell the environment in which unpacked programs find their libraries."""
    root = unpacked("samba-server")
    folders = [
        found
        for where in ("usr/lib/*-linux-*", "usr/lib/*-linux-*/samba", "lib/*-linux-*")
        for found in root.glob(where)
    ]
    library = next(iter([*root.glob("usr/lib/*/libnss_wrapper.so"), *Path("/usr/lib").glob("*/libnss_wrapper.so")]))
    return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, folders)), "LD_PRELOAD": str(library)}


def program(path: str) -> str:
    """Find a program of the server by its path below a system's root."""
    return find_program(path, "samba-server", "samba-server.sh")
