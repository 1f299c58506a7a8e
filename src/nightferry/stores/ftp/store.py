"""The FTP store: telescopes and archives behind FTP and FTPS servers, good ones and odd ones.

Listings are made without ``-a``, so hidden files are seen only where the server shows them by itself.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nightferry.core.errors import Gone, NightferryError
from nightferry.core.store import Arrival, Entry, Load, Oddity, StorePath, Traits, Want
from nightferry.stores.ftp.control import refusal
from nightferry.stores.ftp.fetch import FtpFetch
from nightferry.stores.ftp.folder import walk
from nightferry.stores.ftp.put import Putter
from nightferry.stores.ftp.session import Lease, pool_for
from nightferry.stores.ftp.stat import stat_all, stat_one
from nightferry.stores.ftp.wire import FtpAddress
from nightferry.stores.kit.sessions import stat_over
from nightferry.stores.paths import checked


class FtpStore:
    """A folder on an FTP server; see `nightferry.core.store.Store`.

    Connects when it is first used. Raises `Misconfigured` at once for TLS settings that cannot work.
    """

    def __init__(self, address: FtpAddress) -> None:
        self._pool = pool_for(address)

    @property
    def traits(self) -> Traits:
        """What this store can do; ``exact_times`` is known, and may be true, only after it was first used."""
        pool = self._pool
        return Traits(
            label=pool.label,
            exact_times=pool.server.machine_listings,
            exclusive_put=False,
            connections=pool.connections,
        )

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree; see `Store.list`."""
        with Lease(self._pool) as lease:
            yield from walk(lease, enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield sizes and times as they are now; see `Store.stat`."""
        return stat_over(self._pool, stat_all, paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted files; see `Store.fetch`."""
        return FtpFetch(self._pool, wants)

    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        """Store local files; see `Store.put` and, for what FTP cannot promise, `nightferry.stores.ftp.put`."""
        with Lease(self._pool) as lease:
            putter = Putter(lease)
            for load in loads:
                yield putter.put(load)

    def remove(self, path: StorePath) -> None:
        """Delete one file; see `Store.remove`."""
        checked(path)
        with Lease(self._pool) as lease:
            session = lease.checked()
            reply = session.control.do(f"DELE {session.place(path)}")
            if reply.good:
                return
            if stat_one(lease, path) is None:
                raise Gone(f"{session.label}: there is no file {path!a} to delete")
            raise refusal(reply, f"{session.label}: deleting {path!a}")

    def close(self) -> None:
        """Let go of all connections; see `Store.close`."""
        self._pool.close()
