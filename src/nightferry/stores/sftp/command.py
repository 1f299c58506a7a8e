"""The command line and environment of the ``ssh`` that carries a session: what it may do, and what it may not ask.

The user's own OpenSSH configuration counts (ProxyJump, HostName, ciphers), for OpenSSH knows the way; what
stands here comes before it. Nobody is ever asked: a host must be known, a key must need no passphrase (or be in
the agent), and a password is given by a helper.
"""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from nightferry.core.errors import Misconfigured
from nightferry.stores.sftp.address import SftpAddress
from nightferry.stores.sftp.ciphers import reordered_ciphers

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
    """Tell the words of the command line; no secret is among them."""
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
    """Give the environment for the command, good until the session is open.

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
