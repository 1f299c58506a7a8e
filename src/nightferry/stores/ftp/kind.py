"""The kinds of ``ftp://`` and ``ftps://`` stores: their keys of a section, and how they are made of it."""

from pathlib import Path
from urllib.parse import SplitResult

from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind, is_near

#: A server on this port speaks TLS from the first byte (RFC 4217 speaks of the other kind only).
IMPLICIT_TLS_PORT = 990


class FtpKeys(Keys):
    """What a section may say of an FTP server."""

    insecure: bool = False  #: allow plain FTP to a public host
    verify_tls: bool = True  #: check the server's certificate
    ca: Path | None = None  #: certificates to trust instead of the system's


def _check(url: SplitResult, keys: FtpKeys) -> None:
    if not keys.insecure and not is_near(url.hostname or ""):
        raise ValueError(
            f"plain FTP to {url.hostname} would send passwords and frames in clear text over a public "
            "network: use ftps://, or say 'insecure = true' if you accept that"
        )


def _make(place: Place, keys: FtpKeys) -> Store:
    from nightferry.stores.ftp.store import FtpStore  # noqa: PLC0415 - only the stores in use are loaded
    from nightferry.stores.ftp.wire import FtpAddress  # noqa: PLC0415

    secure = place.url.scheme == "ftps"
    return FtpStore(
        FtpAddress(
            host=place.url.hostname or "",
            port=place.url.port or 21,
            root=place.url.path.strip("/"),
            user=place.user,
            password="nightferry@" if place.secret is None else place.secret,
            tls="none" if not secure else "implicit" if place.url.port == IMPLICIT_TLS_PORT else "explicit",
            verify=keys.verify_tls,
            ca_file=keys.ca,
            timeout=place.timeout,
            connections=place.connections,
        )
    )


FTP = StoreKind(FtpKeys, _make, check=_check, port=21, nobody="anonymous")
FTPS = StoreKind(FtpKeys, _make, port=21, nobody="anonymous")
