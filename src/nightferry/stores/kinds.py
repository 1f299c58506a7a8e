"""Kinds of stores: which one a URL asks for, which keys of its section are its own, and how it is made.

A store plugs in by an entry point of the group ``nightferry.stores``: the name is a scheme of URLs, the value a
`StoreKind`. Ours are entry points like all others; that they are written down here as well spares every command the
search through what is installed. A module that holds a kind imports its protocol when a store is made, not before.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Generic, TypeVar
from urllib.parse import SplitResult

from pydantic import BaseModel, ConfigDict

from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store

GROUP = "nightferry.stores"
OURS = {
    "file": "nightferry.stores.folder:FOLDER",
    "ftp": "nightferry.stores.ftp.kind:FTP",
    "ftps": "nightferry.stores.ftp.kind:FTPS",
    "sftp": "nightferry.stores.sftp.kind:SFTP",
    "smb": "nightferry.stores.smb.kind:SMB",
    "s3": "nightferry.stores.s3.kind:S3",
}


class Keys(BaseModel):
    """The keys that a store adds to its telescope's or archive's section; one without any uses this as it is.

    Each has a default, for a telescope may leave everything to its preset.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


K = TypeVar("K", bound=Keys)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, and who we are there, as its section says.

    ``url`` has its path decoded: blanks for ``%20``. ``secret`` was read from where the ``reference`` says; None when
    the section has none. ``timeout`` is in seconds. With ``attest`` puts are proven by the server's own digests.
    """

    url: SplitResult
    user: str = ""
    secret: str | None = field(default=None, repr=False)
    reference: str = ""
    timeout: float = 30.0
    connections: int = 4
    attest: bool = False


def need_host(url: SplitResult) -> None:
    """Raise `ValueError` for a URL without a host."""
    if not url.hostname:
        raise ValueError(f"the host is missing, as in {url.scheme}://10.0.0.1/user")


def host_and_port(url: SplitResult, _: Keys) -> str:
    """Return what names a URL's server.

    By port, too: a telescope's FTP must not wait for uploads to a bucket that is served from the same machine.
    """
    return f"{url.hostname}:{url.port or url.scheme}"


def accept(url: SplitResult, keys: Keys) -> None:
    """Find nothing wrong."""


@dataclass(frozen=True, slots=True)
class StoreKind(Generic[K]):
    """What nightferry must know of a store to offer it to a configuration.

    ``keys`` is the model of the store's own keys, and ``make`` makes the store; it raises `Misconfigured` for what
    cannot work. ``check_url`` raises `ValueError` for a URL that cannot be meant, ``check`` for a URL and keys that do
    not go together, such as a password in clear text over a public network.
    """

    keys: type[K]
    make: Callable[[Place, K], Store]
    check_url: Callable[[SplitResult], None] = need_host
    check: Callable[[SplitResult, K], None] = accept
    #: names the server that answers, whose connections all its stores share; empty for folders of this machine
    server: Callable[[SplitResult, K], str] = host_and_port
    #: the usual port, where a knock tells whether a server is there
    port: int | None = None
    #: who logs in where nobody is named
    nobody: str = ""
    #: the server can say by a digest of its own what it holds
    attests: bool = False


@cache
def kind_of(scheme: str) -> StoreKind[Keys] | None:
    """Return the kind of store that a scheme stands for; None for one that nobody brings.

    Raises `Misconfigured` for a kind that is installed and cannot be loaded.
    """
    value = OURS.get(scheme) or _installed().get(scheme)
    if value is None:
        return None
    module, _, name = value.partition(":")
    try:
        kind: object = getattr(import_module(module), name)
    except (ImportError, AttributeError) as err:
        raise Misconfigured(
            f"the store of {scheme}:// ({value}) cannot be loaded: {err}; install what it needs, or remove its package"
        ) from err
    if not isinstance(kind, StoreKind):
        raise Misconfigured(
            f"the store of {scheme}:// ({value}) is of type {type(kind).__name__}, expected a StoreKind; "
            "update its package, or remove it"
        )
    return kind


def schemes() -> list[str]:
    """Return all schemes that have a store: ours, then those of other packages."""
    return [*OURS, *sorted(_installed().keys() - OURS)]


def kinds() -> list[StoreKind[Keys]]:
    """Return the kinds of our own stores, each once."""
    return list(dict.fromkeys(kind for kind in map(kind_of, OURS) if kind is not None))


def is_near(host: str) -> bool:
    """Whether a host is on this machine or a local network, as far as its name tells."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or "." not in host or host.endswith((".local", ".lan", ".home.arpa"))
    return address.is_private or address.is_loopback or address.is_link_local


@cache
def _installed() -> dict[str, str]:
    """Return the entry points of all installed packages; reading them takes tens of milliseconds."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - as said

    return {point.name: point.value for point in entry_points(group=GROUP)}
