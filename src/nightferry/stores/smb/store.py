"""The SMB store: control PCs and archives that are Windows or Samba shares."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nightferry.core.errors import Gone, Held, NightferryError, TryAgain
from nightferry.core.store import Arrival, Entry, Load, Oddity, StorePath, Traits, Want
from nightferry.stores.kit.sessions import Lease, Pool, stat_over
from nightferry.stores.kit.transfers import Fetch
from nightferry.stores.paths import checked
from nightferry.stores.smb import wire
from nightferry.stores.smb.fetch import SmbTransfer
from nightferry.stores.smb.link import SmbAddress
from nightferry.stores.smb.put import Putter
from nightferry.stores.smb.session import Session
from nightferry.stores.smb.walk import stat_all, walk
from nightferry.stores.smb.wire import NOT_THERE, Status, told


class SmbStore:
    """A folder of an SMB share; see `nightferry.core.store.Store`. Connects when it is first used."""

    def __init__(self, address: SmbAddress) -> None:
        self._pool = Pool(lambda: Session(address), address.label, address.connections, None)

    @property
    def traits(self) -> Traits:
        """What this store can do."""
        return Traits(exclusive_put=False, label=self._pool.label, connections=self._pool.connections)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the tree; see `Store.list`."""
        with Lease(self._pool) as lease, lease.dropped_unless_done():
            yield from walk(lease, enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield sizes and times as they are now; see `Store.stat`."""
        return stat_over(self._pool, stat_all, paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted files; see `Store.fetch`."""
        return Fetch(self._pool, wants, SmbTransfer)

    def put(self, loads: Sequence[Load]) -> Iterator[NightferryError | None]:
        """Store local files; see `Store.put` and `nightferry.stores.smb.put`."""
        with Lease(self._pool) as lease:
            putter = Putter(lease)
            for load in loads:
                yield putter.put(load)

    def remove(self, path: StorePath) -> None:
        """Delete one file; see `Store.remove`."""
        checked(path)
        with Lease(self._pool) as lease:
            session = lease.session
            place = session.place(path)
            if place is None:
                raise session.gone(path)
            opened, doomed, _ = session.do_all(
                wire.create(place, wire.DELETE | wire.READ_ATTRIBUTES, options=wire.FILE_ONLY),
                wire.dispose(),
                wire.close(),
            )
            status = opened.status or doomed.status
            if status == Status.FILE_IS_A_DIRECTORY:
                raise Held(f"{lease.label}: {path!a} is a folder, so it is not deleted")
            if status in NOT_THERE and status != Status.DELETE_PENDING:
                session.need_root()
                raise Gone(f"{lease.label}: there is no file {path!a} to delete ({told(status)})")
            if status not in {Status.SUCCESS, Status.DELETE_PENDING}:
                refusal = session.refusal(status, f"deleting {path!a}")
                raise TryAgain(str(refusal)) if isinstance(refusal, Held) else refusal
            self._prove_gone(session, path)

    @staticmethod
    def _prove_gone(session: Session, path: StorePath) -> None:
        """Have the server say that a file is gone: a mark to delete is not yet a deletion."""
        if session.look(path) is not None:
            raise TryAgain(
                f"{session.label}: {path!a} was to be deleted and is still there; another program may have it open, "
                "or the login may not delete it. It is tried again later"
            )

    def close(self) -> None:
        """Let go of all connections; see `Store.close`."""
        self._pool.close()
