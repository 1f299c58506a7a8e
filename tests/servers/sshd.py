"""A real OpenSSH server on loopback, for tests and measurements, with keys, logins and a port of its own.

``scripts/sftp-server.sh`` gets it where it is not installed. libnss_wrapper shows it a list of users with one
login, `USER`, who is whoever runs the tests; so nothing of this machine's own accounts is touched.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nightferry.stores.sftp.process import SftpAddress
from tests.servers.programs import find_program, free_port, unpacked

USER = "observer"
#: Drawn anew by every process, for others on this machine can reach loopback, too.
PASSWORD = secrets.token_hex(12)
_PATIENCE = 120.0


@dataclass
class Sshd:
    """A server that runs, or can be started again on the same port."""

    shop: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def key(self) -> Path:
        """The private key of the login."""
        return self.shop / "key"

    @property
    def known_hosts(self) -> Path:
        """The list in which the server's key stands."""
        return self.shop / "known_hosts"

    @property
    def home(self) -> Path:
        """The folder in which a login starts."""
        return self.shop / "home"

    def address(self, folder: Path | None = None, *, timeout: float = 60.0, connections: int = 2) -> SftpAddress:
        """Make an address with all that a login needs, and nothing of the tester's own configuration."""
        return SftpAddress(
            "127.0.0.1",
            self.port,
            root="" if folder is None else str(folder),
            user=USER,
            key=self.key,
            known_hosts=self.known_hosts,
            timeout=timeout,
            connections=connections,
            settings="none",
        )

    def start(self) -> None:
        """Start, and wait until it answers."""
        root = unpacked("ssh-server")
        library = next(iter([*root.glob("usr/lib/*/libnss_wrapper.so"), *Path("/usr/lib").glob("*/libnss_wrapper.so")]))
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "LD_LIBRARY_PATH": ":".join(map(str, [*root.glob("usr/lib/*-linux-*"), *root.glob("lib/*-linux-*")])),
            "NSS_WRAPPER_PASSWD": str(self.shop / "passwd"),
            "NSS_WRAPPER_GROUP": str(self.shop / "group"),
        }
        command = [program("usr/sbin/sshd"), "-D", "-e", "-f", str(self.shop / "sshd_config")]
        with (self.shop / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        limit = time.monotonic() + _PATIENCE
        while time.monotonic() < limit and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                if sock.recv(4) == b"SSH-":
                    return
            time.sleep(0.02)
        said = self.log()
        self.stop()
        raise RuntimeError(f"{command!r} did not start: {said}")

    def stop(self) -> None:
        """End the server; sessions go on until their clients end them."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def log(self) -> str:
        """Tell what the server said so far."""
        return (self.shop / "log").read_text(errors="replace")


@contextlib.contextmanager
def sshd(*lines: str, subsystem: str = "") -> Iterator[Sshd]:
    """Run a server until the block ends; ``lines`` go into its configuration, first.

    ``subsystem`` is the command that speaks SFTP; OpenSSH's ``sftp-server`` is the default.
    """
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where root's sshd has its children live
    with tempfile.TemporaryDirectory(prefix="nightferry-sshd-") as name:
        shop = Path(name)
        server = Sshd(shop, free_port())
        for key in ("host", "key", "other"):
            make_key(shop / key)
        server.home.mkdir()
        hashed = _tool("openssl", "passwd", "-6", "-stdin", given=PASSWORD).strip()
        me = f"{os.getuid()}:{os.getgid()}"
        (shop / "passwd").write_text(f"{USER}:{hashed}:{me}::{server.home}:/bin/sh\nsshd:*:65534:65534::/:/bin/false\n")
        (shop / "group").write_text(f"{USER}:x:{os.getgid()}:\nsshd:x:65534:\n")
        (shop / "authorized_keys").write_text((shop / "key.pub").read_text())
        server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {(shop / 'host.pub').read_text()}")
        settings = [
            *lines,
            *(f"Port {server.port}", "ListenAddress 127.0.0.1", f"HostKey {shop}/host", "PidFile none"),
            *(f"AuthorizedKeysFile {shop}/authorized_keys", "UsePAM no", "StrictModes no", "PermitRootLogin yes"),
            *("PasswordAuthentication yes", "KbdInteractiveAuthentication no", "UseDNS no", "MaxStartups 100"),
            *("MaxSessions 100", "LogLevel ERROR"),
            f"Subsystem sftp {subsystem or program('usr/lib/openssh/sftp-server')}",
            *_since_9_8(),
        ]
        (shop / "sshd_config").write_text("\n".join(settings) + "\n")
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _since_9_8() -> list[str]:
    """Tell a newer OpenSSH where its parts are, for it is several programs, and to forgive what tests do to it.

    It shuts out for a while whoever failed to log in, and all tests come from one address.
    """
    folder = Path(program("usr/lib/openssh/sftp-server")).parent
    parts = {"SshdSessionPath": folder / "sshd-session", "SshdAuthPath": folder / "sshd-auth"}
    found = [f"{setting} {path}" for setting, path in parts.items() if path.exists()]
    return [*found, "PerSourcePenalties no"] if found else []


def make_key(place: Path) -> None:
    """Make a key pair."""
    _tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "nightferry-tests", "-f", f"{place}")


def program(path: str) -> str:
    """Find a program of the server by its path below a system's root."""
    return find_program(path, "ssh-server", "sftp-server.sh")


def _tool(*command: str, given: str = "") -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=given)
    return done.stdout


def faulty_subsystem(faults: Path) -> str:
    """Tell the command of an ``sftp-server`` behind `tests.servers.sftp_faults`, which ``faults`` steers."""
    script = Path(__file__).with_name("sftp_faults.py")
    return f"{sys.executable} -I {script} {faults} {program('usr/lib/openssh/sftp-server')}"
