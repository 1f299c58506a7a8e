"""The kind of ``file://`` stores: folders of this machine, and what is mounted there."""

import os
import re
from pathlib import Path
from urllib.parse import SplitResult

from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind

_DRIVE = re.compile(r"/[A-Za-z]:(?:/|$)")


def local_path(path: str, *, windows: bool = os.name == "nt") -> Path:
    """Return the path that a file URL's path means; before a Windows drive its slash is not part of it."""
    return Path(path[1:] if windows and _DRIVE.match(path) else path)


def _check_url(url: SplitResult) -> None:
    if url.netloc or not url.path.strip("/"):
        raise ValueError("a folder is written as file:///path, with three slashes")


def _make(place: Place, _: Keys) -> Store:
    from nightferry.stores.local import LocalStore  # noqa: PLC0415 - only the stores in use are loaded

    return LocalStore(local_path(place.url.path), connections=place.connections)


FOLDER = StoreKind(Keys, _make, check_url=_check_url, server=lambda _url, _keys: "")
