"""The kind of ``sftp://`` stores: their keys of a section, and how they are made of it."""

from pathlib import Path

from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind


class SftpKeys(Keys):
    """What a section may say of an SFTP server."""

    known_hosts: Path | None = None  #: host keys to trust instead of the user's own list


def _make(place: Place, keys: SftpKeys) -> Store:
    """Make the store; its secret is a private key's file or a password."""
    from nightferry.stores.sftp.process import SftpAddress, key_of, root_of  # noqa: PLC0415 - only stores in use are loaded
    from nightferry.stores.sftp.store import SftpStore  # noqa: PLC0415

    key = None if place.secret is None else key_of(place.reference, place.secret)
    return SftpStore(
        SftpAddress(
            host=place.url.hostname or "",
            port=place.url.port,
            root=root_of(place.url.path),
            user=place.user,
            password=None if key is not None else place.secret,
            key=key,
            known_hosts=keys.known_hosts,
            timeout=place.timeout,
            connections=place.connections,
        )
    )


SFTP = StoreKind(SftpKeys, _make, port=22)
