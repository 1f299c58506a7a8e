"""Programs that tests run, installed or unpacked by one of our scripts, and ports for the servers among them."""

import os
import shutil
import socket
import subprocess
from pathlib import Path


def unpacked(name: str) -> Path:
    """Return the folder into which a script of ours unpacks what this machine may lack.

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


def run_tool(*command: str, given: str = "") -> str:
    """Run a program to its end with ``given`` on its standard input, and return what it printed."""
    environment = {**os.environ, **libraries_of(command[0])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=given, env=environment)
    return done.stdout


def libraries_of(program: str) -> dict[str, str]:
    """Return the environment in which a program finds its libraries; those of an unpacked one lie beside it."""
    place = Path(shutil.which(program) or program)
    return {"LD_LIBRARY_PATH": ":".join(f"{folder}" for folder in place.parents[1].glob("lib/*-linux-*"))}
