"""Make stores of the configuration's URLs, by the kind of store that each URL asks for."""

from urllib.parse import unquote

from nightferry.config import ArchiveConfig, TelescopeConfig
from nightferry.config.secrets import read_secret
from nightferry.config.store_keys import keys_of
from nightferry.core.errors import Misconfigured, Unreachable
from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind
from nightferry.stores.wrappers import Throttle, Window, limited, retried, throttled

#: Pauses in seconds before a store that cannot be reached is tried again: doubled each time.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0


def make_store(section: TelescopeConfig | ArchiveConfig, url: str, *, user: str = "", connections: int = 4) -> Store:
    """Make the bare store of a URL; its secret is read now, so that a missing one is told before anything starts.

    ``user`` and ``connections`` count where neither section nor URL says anything.
    """
    kind, keys = _kind(section, url)
    address = section.address(url)
    name = section.user or unquote(address.username or "") or user or kind.nobody
    place = Place(
        address,
        user=name,
        secret=read_secret(section.secret, user=name) if section.secret else None,
        reference=section.secret or "",
        timeout=section.timeout,
        connections=section.connections or connections,
        attest=isinstance(section, ArchiveConfig) and section.verify == "server",
    )
    return kind.make(place, keys)


def tamed(store: Store, section: TelescopeConfig | ArchiveConfig, url: str) -> Store:
    """Put around a store what its section asks for: first the limit of its server, so that pauses keep no place."""
    kind, keys = _kind(section, url)
    if server := kind.server(section.address(url), keys):
        store = limited(store, store.traits.connections, server)
    if section.tries > 1:
        pauses = [min(_FIRST_PAUSE * 2**turn, _LONGEST_PAUSE) for turn in range(section.tries - 1)]
        store = retried(store, (Unreachable,), pauses)
    if section.limit is not None or section.windows:
        windows = [Window(window.start, window.end, window.limit) for window in section.windows]
        store = throttled(store, Throttle(section.limit, windows))
    return store


def _kind(section: TelescopeConfig | ArchiveConfig, url: str) -> tuple[StoreKind[Keys], Keys]:
    try:
        return keys_of(section, url)
    except ValueError as err:  # of a URL that stands in no configuration
        raise Misconfigured(str(err)) from err
