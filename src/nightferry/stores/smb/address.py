"""Where an SMB share is, and how to log in."""

import re
from dataclasses import dataclass, field

from nightferry.core.errors import Misconfigured

PORT = 445
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NO_SHARE = re.compile(r'["\\/\[\]:|<>+=;,*?]')


@dataclass(frozen=True, slots=True)
class SmbAddress:
    r"""Everything a store must know to reach one folder of one share.

    ``root`` is the folder that the store shows, below the share, ``/`` between folders. ``user`` may name a domain,
    as ``DOMAIN\user`` or ``user@domain``; without a user the login is a guest's. ``encrypt`` asks for an encrypted
    session even where the server does not; every other login but a guest's is signed. ``timeout`` (seconds) bounds
    every single wait, ``connections`` says how many calls may run side by side.
    """

    host: str
    share: str
    root: str = ""
    port: int = PORT
    user: str = ""
    password: str | None = field(default=None, repr=False)
    encrypt: bool = False
    timeout: float = 30.0
    connections: int = 2

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        if not self.host:
            raise Misconfigured("an SMB server needs a host")
        for what, said in (("host", self.host), ("share", self.share), ("user", self.user), ("folder", self.root)):
            if _CONTROL.search(said):
                raise Misconfigured(f"the {what} of an SMB server must not contain control characters; remove them")
        if not self.share:
            raise Misconfigured(
                f"smb://{self.host}: which share? Its name comes after the host: smb://{self.host}/SHARE"
            )
        if _NO_SHARE.search(self.share):
            raise Misconfigured(f"{self.label}: {self.share!a} cannot be the name of a share; correct the URL")
        if self.user and self.password is None:
            raise Misconfigured(f"{self.label}: the user {self.user!a} needs a password: name where it is in 'secret'")
        if self.password and not self.user:
            raise Misconfigured(f"{self.label}: there is a password but no user; say whose it is in 'user'")
        if self.encrypt and not self.user:
            raise Misconfigured(f"{self.label}: a guest's session cannot be encrypted; give it a user and a password")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")

    @property
    def label(self) -> str:
        """The address as messages show it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != PORT else ""
        return f"smb://{host}{port}/{self.share}/{self.root}".rstrip("/")


def share_of(path: str) -> tuple[str, str]:
    """Split the path of an ``smb://`` URL into the share and the folder below it."""
    share, _, root = path.strip("/").partition("/")
    return share, root.strip("/")
