"""Where an FTP server is, how to log in, and how far to trust it."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from nightferry.core.errors import Misconfigured

#: How long a server that was never sent commands ahead may take to answer them, in seconds.
PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class FtpAddress:
    """Everything a store must know to reach one folder on one FTP server.

    ``root`` is the folder that the store shows; with a leading ``/`` it counts from the server's root, otherwise
    from the folder in which a login starts. ``timeout`` (seconds) bounds every single wait: to connect, for a
    reply, for the next bytes. ``connections`` is how many calls may run side by side.

    ``pipeline``: None sends commands ahead once a probe has shown that the server answers them one by one; False
    never does; True takes the probe for granted.

    ``tls``: ``explicit`` asks for it on the ordinary port (AUTH TLS, RFC 4217), ``implicit`` speaks it from the
    first byte (port 990). Certificates are verified, against ``ca_file`` if given, unless ``verify`` is False.
    """

    host: str
    port: int = 21
    root: str = ""
    user: str = "anonymous"
    password: str = field(default="nightferry@", repr=False)
    tls: Literal["none", "explicit", "implicit"] = "none"
    verify: bool = True
    ca_file: Path | None = None
    timeout: float = 30.0
    connections: int = 2
    pipeline: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what would smuggle a second command into a line, or could never work."""
        for what, text in (("host", self.host), ("root", self.root), ("user", self.user), ("password", self.password)):
            if any(sign in text for sign in "\r\n\0"):
                raise Misconfigured(f"the {what} for an FTP server must not contain line ends or NUL; remove them")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")

    @property
    def label(self) -> str:
        """The address as messages show it, without user and password."""
        scheme, usual = ("ftp", 21) if self.tls == "none" else ("ftps", 990 if self.tls == "implicit" else 21)
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == usual else f":{self.port}"
        return f"{scheme}://{host}{port}/{self.root.strip('/')}"


def tls_context(address: FtpAddress) -> ssl.SSLContext:
    """Make the TLS settings for an address; raises `Misconfigured` for a CA file that cannot be used."""
    try:
        context = ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as err:
        raise Misconfigured(
            f"{address.label}: the CA file {address.ca_file} cannot be used ({err}); name a readable PEM file"
        ) from err
    if not address.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Python 3.11.2, which Debian 12 has, lets OpenSSL take a cut connection for one that ended well.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context
