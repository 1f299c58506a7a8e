"""The SFTP store: our own SFTP over OpenSSH's ``ssh``, which does the cryptography, the keys and the way."""

from nightferry.stores.sftp.process import (
    HostKey,
    SftpAddress,
    UnknownHost,
    fingerprint,
    host_keys,
    key_of,
    pin,
    root_of,
)
from nightferry.stores.sftp.store import SftpStore

__all__ = [
    "HostKey",
    "SftpAddress",
    "SftpStore",
    "UnknownHost",
    "fingerprint",
    "host_keys",
    "key_of",
    "pin",
    "root_of",
]
