"""Programs that tests run, installed or unpacked by one of our scripts, and ports for the servers among them."""

import os
import socket
from pathlib import Path


def unpacked(name: str) -> Path:
    """Tell where a script of ours unpacks what this machine may lack.

    That is a folder of this name in the user's cache, unless a variable names another one: ``NIGHTFERRY_SSH_SERVER``
    for ``ssh-server``.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "nightferry" / name
    return Path(os.environ.get(f"NIGHTFERRY_{name.upper().replace('-', '_')}", cache))


def find_program(path: str, name: str, script: str) -> str:
    """Find a program by its path below a system's root: here, or where ``scripts/SCRIPT`` unpacked ``name``.

    Raises `FileNotFoundError`, which says how to get it.
    """
    for root in (Path("/"), unpacked(name)):
        if (root / path).exists():
            return f"{root / path}"
    raise FileNotFoundError(f"/{path} is not here; run scripts/test (or scripts/{script}), which gets it")


def free_port() -> int:
    """Find a port on loopback that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
