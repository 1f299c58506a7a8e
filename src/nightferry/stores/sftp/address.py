"""Where an SFTP server is, how to log in, and by what its host is known."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from nightferry.core.errors import Misconfigured

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
