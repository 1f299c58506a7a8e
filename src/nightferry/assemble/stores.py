"""Make stores of the configuration's URLs: one function a scheme, each loading only its own protocol."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from nightferry.config import ArchiveConfig, TelescopeConfig
from nightferry.config.secrets import read_secret
from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.core.store import Store
from nightferry.stores.wrappers import Throttle, Window, limited, retried, throttled

#: A server on this port speaks TLS from the first byte (RFC 4217 speaks of the other kind only).
IMPLICIT_TLS_PORT = 990
#: Pauses in seconds before a store that cannot be reached is tried again: doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")


class Wanted(NamedTuple):
    """A store to make: its section and address, and what counts where the section says nothing."""

    section: TelescopeConfig | ArchiveConfig
    address: SplitResult
    user: str
    connections: int


def make_store(section: TelescopeConfig | ArchiveConfig, url: str, *, user: str = "", connections: int = 4) -> Store:
    """Make the bare store of a URL; its secret is read now, so that a missing one is told before anything starts."""
    address = section.address(url)
    name = section.user or unquote(address.username or "") or user
    return _MAKERS[address.scheme](Wanted(section, address, name, section.connections or connections))


def tamed(store: Store, section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    """Put around a store what its section asks for: first the limit of its server, so that pauses keep no place."""
    if server := _server(section, section.address(url)):
        store = limited(store, store.traits.connections, server)
    if section.tries > 1:
        pauses = [min(_FIRST_PAUSE * 2**turn, _LONGEST_PAUSE) for turn in range(section.tries - 1)]
        store = retried(store, (Unreachable,), pauses)
    if section.limit is not None or section.windows:
        windows = [Window(window.start, window.end, window.limit) for window in section.windows]
        store = throttled(store, Throttle(section.limit, windows))
    return store


def _server(section: TelescopeConfig | ArchiveConfig, place: SplitResult) -> str:
    """Name the server that answers, by host and port; empty for folders of this machine.

    By port, too: a telescope's FTP must not wait for uploads to a bucket that is served from the same machine.
    """
    if place.scheme == "file":
        return ""
    if place.scheme == "s3":
        place = urlsplit(section.endpoint or "https://s3.amazonaws.com")
    return f"{place.hostname}:{place.port or place.scheme}"


def local_path(path: str, *, windows: bool = os.name == "nt") -> Path:
    """Make a path of what a file URL says; before a Windows drive its slash is not part of it."""
    return Path(path[1:] if windows and _DRIVE.match(path) else path)


def _local(wanted: Wanted) -> Store:
    from nightferry.stores.local import LocalStore  # noqa: PLC0415 - only the stores in use are loaded

    return LocalStore(local_path(wanted.address.path), connections=wanted.connections)


def _ftp(wanted: Wanted) -> Store:
    from nightferry.stores.ftp import FtpAddress, FtpStore  # noqa: PLC0415

    section, address = wanted.section, wanted.address
    name = wanted.user or "anonymous"
    secure = address.scheme == "ftps"
    return FtpStore(
        FtpAddress(
            host=address.hostname or "",
            port=address.port or 21,
            root=address.path.strip("/"),
            user=name,
            password=read_secret(section.secret, user=name) if section.secret else "nightferry@",
            tls="none" if not secure else "implicit" if address.port == IMPLICIT_TLS_PORT else "explicit",
            verify=section.verify_tls,
            ca_file=section.ca,
            timeout=section.timeout,
            connections=wanted.connections,
        )
    )


def _sftp(wanted: Wanted) -> Store:
    """Make the store of an ``sftp://`` URL, whose secret is a private key's file or a password."""
    from nightferry.stores.sftp import SftpAddress, SftpStore, key_of, root_of  # noqa: PLC0415

    section, address = wanted.section, wanted.address
    secret = read_secret(section.secret, user=wanted.user) if section.secret else None
    key = key_of(section.secret, secret) if section.secret and secret is not None else None
    return SftpStore(
        SftpAddress(
            host=address.hostname or "",
            port=address.port,
            root=root_of(address.path),
            user=wanted.user,
            password=None if key is not None else secret,
            key=key,
            known_hosts=section.known_hosts,
            timeout=section.timeout,
            connections=wanted.connections,
        )
    )


def _s3(wanted: Wanted) -> Store:
    """Make the store of an ``s3://BUCKET/prefix`` URL; bucket names keep their case."""
    from nightferry.stores.s3 import S3Address, S3Store  # noqa: PLC0415

    section, address = wanted.section, wanted.address
    return S3Store(
        S3Address(
            bucket=address.netloc.rpartition("@")[2],
            root=address.path.strip("/"),
            endpoint=section.endpoint,
            region=section.region,
            user=wanted.user,
            secret=read_secret(section.secret, user=wanted.user) if section.secret else None,
            verify_tls=section.verify_tls,
            ca=section.ca,
            timeout=section.timeout,
            connections=wanted.connections,
            attest=isinstance(section, ArchiveConfig) and section.verify == "server",
        )
    )


def _smb(wanted: Wanted) -> Store:
    """Make the store of an ``smb://`` URL; without a user the login is a guest's."""
    try:
        from nightferry.stores.smb import SmbAddress, SmbStore, share_of  # noqa: PLC0415
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] not in {"spnego", "cryptography"}:
            raise
        raise Misconfigured("smb:// needs the extra; run: pip install 'nightferry[smb]'") from err
    section, address = wanted.section, wanted.address
    share, root = share_of(address.path)
    return SmbStore(
        SmbAddress(
            host=address.hostname or "",
            share=share,
            root=root,
            port=address.port or 445,
            user=wanted.user,
            password=read_secret(section.secret, user=wanted.user) if section.secret else None,
            encrypt=section.encrypt,
            timeout=section.timeout,
            connections=wanted.connections,
        )
    )


_MAKERS: dict[str, Callable[[Wanted], Store]] = {
    "file": _local,
    "ftp": _ftp,
    "ftps": _ftp,
    "sftp": _sftp,
    "smb": _smb,
    "s3": _s3,
}
