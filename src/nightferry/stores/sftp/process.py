"""An ``ssh`` as a pair of pipes: its address, the keys it trusts, its command line, and waits that have an end."""

import base64
import binascii
import contextlib
import hashlib
import io
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import cast

from nightferry.core.display import display
from nightferry.core.errors import Misconfigured, TryAgain, Unreachable
from nightferry.disk.sync import sync_file
from nightferry.stores.kit.sessions import Cut, Silence

# -- the address -----------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class SftpAddress:
    """Everything a store must know to reach one folder on one SFTP server.

    ``root`` is the folder that the store shows: with a leading ``/`` it counts from the server's root, otherwise
    from the folder in which a login starts. ``key`` is a private key's file and ``password`` a password; with
    neither, the keys that the user's own ``ssh`` would take are taken. ``known_hosts`` lists the keys of hosts that
    are trusted, instead of the user's own list. ``timeout`` (seconds) bounds every single wait, ``connections`` says
    how many calls may run side by side. ``program`` is OpenSSH's client, and ``settings`` its configuration, instead
    of the user's own; ``none`` for no configuration at all.
    """

    host: str
    port: int | None = None
    root: str = ""
    user: str = ""
    password: str | None = field(default=None, repr=False)
    key: Path | None = None
    known_hosts: Path | None = None
    timeout: float = 30.0
    connections: int = 2
    program: str = "ssh"
    settings: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would be read as an option, or could never work."""
        for what, said in (("host", self.host), ("root", self.root), ("user", self.user)):
            if _CONTROL.search(said):
                raise Misconfigured(f"the {what} of an SFTP server must not contain control characters; remove them")
        for what, said in (("host", self.host), ("user", self.user)):
            if said.startswith("-"):
                raise Misconfigured(f"the {what} of an SFTP server must not start with '-', as {said!a} does")
        if not self.host:
            raise Misconfigured("an SFTP server needs a host")
        if self.password is not None and ("\0" in self.password or "\n" in self.password):
            raise Misconfigured(f"{self.label}: a password must be one line; correct the file or variable it is in")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")

    @property
    def label(self) -> str:
        """The address as messages show it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port not in {None, 22} else ""
        home = "" if self.root.startswith("/") else "/~/"
        return f"sftp://{host}{port}{home}{self.root}".rstrip("/")

    @property
    def known_as(self) -> str:
        """The host as a list of known hosts names it."""
        return self.host if self.port in {None, 22} else f"[{self.host}]:{self.port}"


def root_of(path: str) -> str:
    """Turn the path of an ``sftp://`` URL into an address' root: ``/~/frames`` counts from the login's folder."""
    if path == "/~" or path.startswith("/~/"):
        return path[3:].strip("/")
    return "/" + path.strip("/")


# -- keys of hosts: seen before they are trusted, and then trusted by name -------------------------------------------

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
    """Return the key by which a host is best known; raises `Unreachable` when it shows none."""
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
            sync_file(file.fileno())
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(
            f"the list of known hosts {known_hosts} cannot be written ({err}); mend its rights"
        ) from err


def key_of(reference: str, secret: str) -> Path | None:
    """Return the file of the private key that a secret is; None when the secret is a password.

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


# -- ciphers ---------------------------------------------------------------------------------------------------------
# OpenSSH prefers ChaCha20, which is the quickest where AES is computed step by step. Where the processor has AES built
# in, AES-GCM takes less of it, and on a fast network that is what limits a transfer.

_QUICK = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
_PATIENCE = 5.0


@lru_cache(maxsize=64)
def reordered_ciphers(*command: str) -> str:
    """Return the ciphers to offer, as OpenSSH's option has them; empty to leave everything as it is.

    ``command`` has `ssh` tell its settings (``-G``), so that no cipher is offered which they leave out.
    """
    if not _has_aes():
        return ""
    try:
        told = subprocess.run(  # noqa: S603 - a list of words, of which the host is no option
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):  # the connection itself will tell what is wrong
        return ""
    lines = (line.partition(" ") for line in told.stdout.splitlines())
    offered = next((value.split(",") for name, _, value in lines if name.lower() == "ciphers"), [])
    quick = [name for name in _QUICK if name in offered]
    if not quick or offered[0] in quick:
        return ""
    return ",".join([*quick, *(name for name in offered if name not in quick)])


def _has_aes() -> bool:
    """Whether the processor has AES built in: all that run macOS and Windows do; Linux tells."""
    if sys.platform in {"darwin", "win32"}:
        return True
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any("aes" in line.split() for line in told.splitlines() if line.lower().startswith(("flags", "features")))


# -- command line and environment ------------------------------------------------------------------------------------
# The user's own OpenSSH configuration counts (ProxyJump, HostName, ciphers), for OpenSSH knows the way; what
# stands here comes before it. Nobody is ever asked: a host must be known, a key must need no passphrase (or be in
# the agent), and a password is given by a helper.

_PASSWORD, _FOR = "NIGHTFERRY_SSH_PASSWORD", "NIGHTFERRY_SSH_FOR"

# Answers only a question about our own host, for OpenSSH asks for the password of a host on the way (ProxyJump)
# by the same helper.
_UNIX_HELPER = f"""#!/bin/sh
case "$1" in
*"${_FOR}"*) printf '%s\\n' "${_PASSWORD}" ;;
*) exit 1 ;;
esac
"""
_WINDOWS_HELPER = f"@echo off\r\nsetlocal EnableDelayedExpansion\r\necho(!{_PASSWORD}!\r\n"


def ssh_command(address: SftpAddress) -> list[str]:
    """Return the words of the command line; no secret is among them."""
    options = {
        "BatchMode": "yes" if address.password is None else "no",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "VisualHostKey": "no",
        "ConnectTimeout": str(max(1, math.ceil(address.timeout))),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "3",
        "TCPKeepAlive": "yes",
        "LogLevel": "ERROR",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "RequestTTY": "no",
        "EscapeChar": "none",
        # a connection shared with others would end, or live on, with theirs
        "ControlMaster": "no",
        "ControlPath": "none",
    }
    if address.user:
        options["User"] = _quoted(address.user)
    if address.known_hosts is not None:
        options["UserKnownHostsFile"] = _quoted_path(address.known_hosts)
        options["GlobalKnownHostsFile"] = "none"
    if address.key is not None:
        options |= {"IdentityFile": _quoted_path(address.key), "IdentitiesOnly": "yes"}
        options["PreferredAuthentications"] = "publickey"
    elif address.password is not None:
        options |= {"PubkeyAuthentication": "no", "NumberOfPasswordPrompts": "1"}
        options["PreferredAuthentications"] = "password,keyboard-interactive"
    words = [address.program]
    if address.settings is not None:
        words += ["-F", address.settings]
    words += [f"-o{name}={value}" for name, value in options.items()]
    if address.port is not None:
        words += ["-p", str(address.port)]
    if ciphers := reordered_ciphers(*words, "-G", "--", address.host):
        words.append(f"-oCiphers={ciphers}")
    return [*words, "-s", "--", address.host, "sftp"]


def _quoted(value: str) -> str:
    """Quote a value as OpenSSH's configuration wants it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _quoted_path(path: Path) -> str:
    """Quote a path, in which OpenSSH would fill in ``%`` and ``${...}``."""
    told = path.expanduser().absolute().as_posix()
    if "${" in told or any(ord(sign) < 32 for sign in told):  # noqa: PLR2004 - control characters
        raise Misconfigured(f"ssh cannot be given the path {told!a}; rename or move that file")
    return _quoted(told.replace("%", "%%"))


@contextlib.contextmanager
def ssh_environment(address: SftpAddress) -> Iterator[Mapping[str, str]]:
    """Yield the environment for the command, good until the session is open.

    OpenSSH reads a password from a terminal or from the output of a helper. It closes every descriptor that it
    inherits but the first three, so the helper finds the password in its environment: other users of this
    machine see that no more than they see our memory.
    """
    environment = {**os.environ, "LC_ALL": "C"}
    if address.password is None:
        environment.pop("SSH_ASKPASS", None)
        yield environment
        return
    windows = os.name == "nt"
    with tempfile.TemporaryDirectory(prefix="nightferry-ask-", ignore_cleanup_errors=True) as folder:
        helper = Path(folder) / ("ask.cmd" if windows else "ask")
        helper.write_text(_WINDOWS_HELPER if windows else _UNIX_HELPER, newline="")
        helper.chmod(0o700)
        environment |= {
            "SSH_ASKPASS": str(helper),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": environment.get("DISPLAY") or ":0",  # OpenSSH before 8.4 asks by helper on a display only
            _PASSWORD: address.password,
            _FOR: f"{address.user}@{address.host}" if address.user else address.host,
        }
        yield environment


# -- the process -----------------------------------------------------------------------------------------------------

_LAST_WORDS = 16 * 1024
#: Bytes that one write gives away, so that each has a wait of its own.
_PIECE = 64 * 1024
_PARTING = 1.0
_LARGE_PIPE = 1 << 20
#: The most characters of ``ssh``'s words that a message repeats.
_SHOWN = 500
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux


class SshProcess:
    """A running ``ssh``. Raises `Misconfigured` when there is none to run.

    Pipes cannot be waited for with an end on every system, so a thread looks on, and ends the child when a wait
    takes too long; another one keeps what the child complains about.
    """

    def __init__(self, address: SftpAddress) -> None:
        self._label = address.label
        self._timeout = address.timeout
        command = ssh_command(address)
        self._environment = contextlib.ExitStack()
        try:
            environment = self._environment.enter_context(ssh_environment(address))
            self._child = subprocess.Popen(  # noqa: S603 - a list of words, of which the host is no option
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # without a terminal to ask on, and out of reach of its Ctrl-C
            )
        except OSError as err:
            self._environment.close()
            if isinstance(err, FileNotFoundError | PermissionError):
                raise Misconfigured(
                    f"{address.label}: there is no program {address.program!a} to run; SFTP needs OpenSSH's client: "
                    "install it (Debian, Ubuntu: apt-get install openssh-client; Windows: the optional feature "
                    "OpenSSH Client)"
                ) from err
            raise TryAgain(f"{address.label}: ssh could not be started ({err})") from err
        # without buffers, the pipes are raw files
        self._to_server = cast("io.FileIO", self._child.stdin)
        self._from_server = cast("io.FileIO", self._child.stdout)
        self._words = cast("io.FileIO", self._child.stderr)
        self._deadline: float | None = None
        self._timed_out = False
        self._over = threading.Event()
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, name="nightferry-ssh-words", daemon=True)
        self._watcher = threading.Thread(target=self._watch, name="nightferry-ssh-watch", daemon=True)
        self._listener.start()
        self._watcher.start()
        self._widen()

    def read_into(self, room: memoryview) -> int:
        """Read what is there, waiting for some; raises `Cut` at the end and `Silence` after the time-out."""
        try:
            count = self._from_server.readinto(room)
        except (OSError, ValueError) as err:
            raise self._lost() from err
        if not count:
            raise self._lost()
        return int(count)

    def write(self, data: bytes) -> None:
        """Send bytes to the server, waiting as long as it takes them."""
        view = memoryview(data)
        try:
            while view:
                with self.patience():
                    view = view[self._to_server.write(view[:_PIECE]) or 0 :]
        except (OSError, ValueError) as err:
            raise self._lost() from err

    @contextlib.contextmanager
    def patience(self, times: float = 1.0) -> Iterator[None]:
        """Bound all waits within the block, taken together."""
        self._deadline = monotonic() + self._timeout * times
        try:
            yield
        finally:
            self._deadline = None

    def last_words(self) -> str:
        """Return what ``ssh`` complained about, once it ended."""
        self._listener.join(_PARTING)
        return bytes(self._said).decode("utf-8", "replace")

    def opened(self) -> None:
        """Note that the login is done, so that nobody needs the password any more."""
        self._environment.close()

    def ended(self) -> bool:
        """Whether ``ssh`` is known to have ended."""
        return self._child.poll() is not None

    def close(self, *, politely: bool = False) -> None:
        """End ``ssh``, giving it a moment to part from the server if that is wished; may be called again."""
        with contextlib.suppress(OSError):
            self._to_server.close()
        if politely:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_PARTING)
        self._child.kill()
        self._child.wait()
        self._over.set()
        self._from_server.close()
        for thread in (self._listener, self._watcher):
            thread.join(_PARTING)
        self._environment.close()

    def _lost(self) -> Cut | Silence:
        words = shown(self.last_words())
        said = f" ({words})" if words else ""
        if self._timed_out:
            return Silence(f"{self._label}: no answer within {self._timeout:g} s{said}; it is tried again later")
        return Cut(f"{self._label}: the connection ended{said}")

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._words:
            while words := self._words.read(4096):
                self._said += words
                del self._said[:-_LAST_WORDS]

    def _watch(self) -> None:
        while not self._over.wait(min(0.25, self._timeout / 4)):
            deadline = self._deadline
            if deadline is not None and monotonic() > deadline:
                self._timed_out = True
                self._child.kill()
                return

    def _widen(self) -> None:
        """Make room for more in the pipe, where that can be done: fewer, larger reads."""
        try:
            import fcntl  # noqa: PLC0415 - not on Windows
        except ImportError:
            return
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._from_server, getattr(fcntl, "F_SETPIPE_SZ", _SET_PIPE_SIZE), _LARGE_PIPE)


def shown(said: str) -> str:
    """Make the last of what ``ssh`` said fit into a message."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("@@@")]
    return display("; ".join(lines))[-_SHOWN:]
