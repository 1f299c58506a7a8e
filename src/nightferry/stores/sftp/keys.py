"""Keys of hosts: seen before they are trusted, and then trusted by name."""

import base64
import binascii
import hashlib
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.stores.sftp.address import SftpAddress

_RANKS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
_LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host shows; ``line`` is how a list of known hosts holds it."""

    kind: str
    fingerprint: str
    line: str


class UnknownHost(Misconfigured):
    """The host's key is in no list of known hosts; ``address`` is where it was asked."""

    def __init__(self, words: str, address: SftpAddress) -> None:
        super().__init__(words)
        self.address = address


def host_keys(host: str, port: int | None = None, *, timeout: float = 10.0) -> tuple[HostKey, ...]:
    """Ask a host for its keys, the best first; none when it does not answer.

    Nothing is proven by that: somebody in between would show their own. A person compares the fingerprint.
    """
    address = SftpAddress(host, port)  # which refuses what would be an option
    command = ["ssh-keyscan", "-T", str(max(1, math.ceil(timeout))), "-p", str(port or 22), "--", address.host]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, and a host that is no option
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout * 3
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = [key for line in done.stdout[:_LONGEST].decode("ascii", "replace").splitlines() if (key := _key(line))]
    return tuple(sorted(found, key=lambda key: _RANKS.index(key.kind) if key.kind in _RANKS else len(_RANKS)))


def fingerprint(host: str, port: int | None = None, *, timeout: float = 10.0) -> HostKey:
    """Tell the key by which a host is best known; raises `Unreachable` when it shows none."""
    keys = host_keys(host, port, timeout=timeout)
    if not keys:
        where = SftpAddress(host, port).known_as
        raise Unreachable(f"{where}: no host key came within {timeout:g} s; is it an SSH server, and ssh-keyscan here?")
    return keys[0]


def pin(key: HostKey, known_hosts: Path) -> None:
    """Add a host's key to a list of known hosts, once a person has compared its fingerprint."""
    try:
        known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with known_hosts.open("a+", encoding="utf-8", newline="\n") as file:
            file.seek(0)
            held = file.read()
            if key.line in held.splitlines():
                return
            file.write(("" if not held or held.endswith("\n") else "\n") + key.line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(
            f"the list of known hosts {known_hosts} cannot be written ({err}); mend its rights"
        ) from err


def key_of(reference: str, secret: str) -> Path | None:
    """Tell the file of the private key that a secret is; None when the secret is a password.

    Raises `Misconfigured` for a key that ``ssh`` cannot be given: it reads its own kind only, and only from files.
    """
    first = secret.lstrip().partition("\n")[0]
    if first.startswith("PuTTY-User-Key-File"):
        raise Misconfigured(
            f"secret {reference}: this is a key of PuTTY; turn it into OpenSSH's kind: puttygen KEY -O private-openssh"
        )
    if not (first.startswith("-----BEGIN ") and "PRIVATE KEY" in first):
        if "\n" in secret.strip():
            raise Misconfigured(f"secret {reference}: expected a private key or a password of one line")
        return None
    kind, _, place = reference.partition(":")
    if kind != "file":
        raise Misconfigured(f"secret {reference}: a private key must be in a file of its own, as in file:/path/to/key")
    return Path(place).expanduser()


def _key(line: str) -> HostKey | None:
    parts = line.split()
    if len(parts) != 3 or line.startswith("#"):  # noqa: PLR2004 - host, kind, key
        return None
    try:
        blob = base64.b64decode(parts[2], validate=True)
    except binascii.Error:
        return None
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
    return HostKey(parts[1], f"SHA256:{digest}", line)
