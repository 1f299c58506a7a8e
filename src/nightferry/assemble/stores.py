"""Make stores of the configuration's URLs: one function a scheme, each loading only its own protocol."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote

from nightferry.config import ArchiveConfig, TelescopeConfig
from nightferry.config.secrets import read_secret
from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store

#: A server on this port speaks TLS from the first byte (RFC 4217 speaks of the other kind only).
IMPLICIT_TLS_PORT = 990
_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")


class Wanted(NamedTuple):
    """A store to make: its section and address, and what counts where the section says nothing."""

    section: TelescopeConfig | ArchiveConfig
    address: SplitResult
    user: str
    connections: int


def make_store(section: TelescopeConfig | ArchiveConfig, url: str, *, user: str = "", connections: int = 4) -> Store:
    """Make the store of a URL; its secret is read now, so that a missing one is told before anything starts."""
    address = section.address(url)
    name = section.user or unquote(address.username or "") or user
    return _MAKERS[address.scheme](Wanted(section, address, name, section.connections or connections))


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
}
