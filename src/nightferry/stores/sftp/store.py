"""The SFTP store: telescopes and archives behind OpenSSH and other SSH servers."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nightferry.core.errors import Gone, Held, NightferryError, TryAgain
from nightferry.core.store import Arrival, Entry, Load, Oddity, StorePath, Traits, Want
from nightferry.stores.kit.sessions import Lease, Pool, stat_over
from nightferry.stores.kit.transfers import Fetch
from nightferry.stores.paths import checked
from nightferry.stores.sftp.fetch import SftpTransfer
from nightferry.stores.sftp.process import SftpAddress
from nightferry.stores.sftp.put import Putter
from nightferry.stores.sftp.session import ServerFacts, Session
from nightferry.stores.sftp.walk import stat_all, walk
from nightferry.stores.sftp.wire import Code, Kind


class SftpStore:
    """A folder on an SFTP server; see `nightferry.core.store.Store`. Connects when it is first used."""

    def __init__(self, address: SftpAddress) -> None:
        self._address = address
        self._pool = Pool(lambda: Session(address), address.label, address.connections, ServerFacts())

    @property
    def traits(self) -> Traits:
        """What this store can do; that a server cannot make links is known only after a put."""
        pool = self._pool
        return Traits(label=pool.label, exclusive_put=pool.server.links, connections=pool.connections)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree; see `Store.list`."""
        with Lease(self._pool) as lease, lease.dropped_unless_done():
            yield from walk(lease, enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield sizes and times as they are now; see `Store.stat`."""
        return stat_over(self._pool, stat_all, paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted files; see `Store.fetch`."""
        return Fetch(self._pool, wants, SftpTransfer)

    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        """Store local files; see `Store.put` and `nightferry.stores.sftp.put`."""
        with Lease(self._pool) as lease:
            putter = Putter(lease)
            try:
                for load in loads:
                    yield putter.put(load)
            finally:
                putter.close()

    def remove(self, path: StorePath) -> None:
        """Delete one file; see `Store.remove`."""
        checked(path)
        with Lease(self._pool) as lease:
            session = lease.session
            found = session.look(path)
            if found is None:
                session.need_root()
                raise Gone(f"{lease.label}: there is no file {path!a} to delete")
            if found.kind not in {"file", ""}:
                raise Held(f"{lease.label}: {path!a} is no plain file, so it is not deleted")
            status = session.do(Kind.REMOVE, session.place(path))
            if status.code == Code.NO_SUCH_FILE:
                raise Gone(f"{lease.label}: there is no file {path!a} to delete")
            if status.code == Code.PERMISSION_DENIED:
                raise TryAgain(
                    f"{lease.label}: deleting {path!a}: the login may not ({status}); check the rights there"
                )
            if status.code != Code.OK:
                raise session.refusal(status, f"deleting {path!a}")

    def close(self) -> None:
        """Let go of all connections; see `Store.close`."""
        self._pool.close()
