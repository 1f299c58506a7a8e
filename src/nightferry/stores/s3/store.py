"""The S3 store: telescopes' and archives' buckets."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from nightferry.core.errors import Gone, Held
from nightferry.core.store import Arrival, Entry, Load, Oddity, PutAnswer, StorePath, Traits, Want
from nightferry.stores.s3.bucket import S3Address, key_of
from nightferry.stores.s3.errors import Refusal
from nightferry.stores.s3.fetch import S3Arrival
from nightferry.stores.s3.put import Putter, ServerFacts
from nightferry.stores.s3.service import Service
from nightferry.stores.s3.walk import look, stat_all, walk


class S3Store:
    """A prefix of a bucket; see `nightferry.core.store.Store`. Connects when it is first used."""

    def __init__(self, address: S3Address) -> None:
        self._service = Service(address)
        self._server = ServerFacts(self._service)

    @property
    def traits(self) -> Traits:
        """What this store can do; that a server does not know ``If-None-Match`` is known only after a put."""
        address = self._service.address
        return Traits(label=address.label, exclusive_put=self._server.exclusive, connections=address.connections)

    def list(self, enter: Callable[[StorePath], bool] | None = None) -> Iterator[Entry | Oddity]:
        """Walk the keys; see `Store.list`. An empty prefix is an empty store; a missing bucket is none."""
        yield from walk(self._service, enter)

    def stat(self, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
        """Yield sizes and times as they are now; see `Store.stat`."""
        yield from stat_all(self._service, paths)

    def fetch(self, wants: Sequence[Want]) -> Iterator[Arrival]:
        """Yield the wanted objects; see `Store.fetch`."""
        for want in wants:
            arrival = S3Arrival(self._service, want)
            try:
                yield arrival
            finally:
                arrival.give_up()

    def put(self, loads: Sequence[Load]) -> Iterator[PutAnswer]:
        """Store local files; see `Store.put` and `nightferry.stores.s3.put`."""
        putter = Putter(self._service, self._server)
        for load in loads:
            yield putter.put(load)

    def remove(self, path: StorePath) -> None:
        """Delete one object; see `Store.remove`. S3 says nothing of what was not there, so it is looked for first."""
        service = self._service
        key = key_of(service.address, path)
        what = f"deleting {path!a}"
        if look(service, path) is None:
            service.need_bucket()
            below = service.need("list_objects_v2", what, Prefix=f"{key}/", MaxKeys=1)
            if below.rows("Contents"):
                raise Held(f"{service.label}: {path!a} is a folder, so it is not deleted")
            raise Gone(f"{service.label}: there is no object {path!a} to delete")
        answer = service.ask("delete_object", what, 404, Key=key)
        if isinstance(answer, Refusal):
            raise Gone(f"{service.label}: there is no object {path!a} to delete")

    def close(self) -> None:
        """Let go of all connections; see `Store.close`."""
        self._service.close()
