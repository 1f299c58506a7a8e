"""The kind of ``smb://`` stores: their keys of a section, and how they are made of it."""

from urllib.parse import SplitResult

from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind, need_host


class SmbKeys(Keys):
    """What a section may say of a share."""

    encrypt: bool = False  #: encrypt the session even where the server does not ask for it


def _check_url(url: SplitResult) -> None:
    need_host(url)
    if not url.path.strip("/"):
        raise ValueError(f"the share is missing, as in smb://{url.hostname}/SHARE/folder")


def _make(place: Place, keys: SmbKeys) -> Store:
    """Make the store; without a user the login is a guest's."""
    try:
        from nightferry.stores.smb.link import SmbAddress, share_of  # noqa: PLC0415 - only the stores in use are loaded
        from nightferry.stores.smb.store import SmbStore  # noqa: PLC0415
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] not in {"spnego", "cryptography"}:
            raise
        raise Misconfigured("smb:// needs the extra; run: pip install 'nightferry[smb]'") from err
    share, root = share_of(place.url.path)
    return SmbStore(
        SmbAddress(
            host=place.url.hostname or "",
            share=share,
            root=root,
            port=place.url.port or 445,
            user=place.user,
            password=place.secret,
            encrypt=keys.encrypt,
            timeout=place.timeout,
            connections=place.connections,
        )
    )


SMB = StoreKind(SmbKeys, _make, check_url=_check_url, port=445)
