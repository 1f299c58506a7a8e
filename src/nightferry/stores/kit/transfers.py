"""The files of one call on their way in, over a session that bears many requests at once.

While one file is read, the next ones are asked for already, so that a file costs its bytes and not its round trips.
What is asked, and how an answer is read, is the protocol's part: its `Transfer`.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NoReturn, Protocol, Self, TypeVar

from nightferry.core.errors import Changed, NightferryError, TryAgain
from nightferry.core.store import Arrival, Entry, Want
from nightferry.stores.kit.sessions import Cut, Garbled, Lease, Pool, Session, Silence

# -- arrivals --------------------------------------------------------------------------------------------------------


class Wanted(Protocol):
    """One want's transfer, as its store keeps it."""

    @property
    def want(self) -> Want:
        """What was asked for."""
        ...


C = TypeVar("C", bound=Wanted)
C_contra = TypeVar("C_contra", bound=Wanted, contravariant=True)


class Fetching(Protocol[C_contra]):
    """A call of `Store.fetch` that knows how its arrivals are read and finished."""

    def read(self, transfer: C_contra, buffer: memoryview) -> int:
        """Fill the buffer; see `Arrival.read_into`."""
        ...

    def finish(self, transfer: C_contra) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        ...


class SessionArrival(Generic[C]):
    """One file on its way in; see `nightferry.core.store.Arrival`."""

    __slots__ = ("_fetch", "_transfer")

    def __init__(self, fetch: Fetching[C], transfer: C) -> None:
        self._fetch = fetch
        self._transfer = transfer

    @property
    def want(self) -> Want:
        """What was asked for."""
        return self._transfer.want

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer; see `Arrival.read_into`."""
        return self._fetch.read(self._transfer, buffer)

    def finish(self) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        return self._fetch.finish(self._transfer)


# -- transfers -------------------------------------------------------------------------------------------------------

#: Bytes and files that are on their way at once.
_WINDOW, _FILES = 4 << 20, 16

S = TypeVar("S", bound=Session)
H = TypeVar("H")


class Transfer(Protocol[S]):
    """One wanted file's transfer; a fresh one has no session, and has not been asked for yet.

    All but `ask` and `go_on` are done to the file whose turn it is, and are given ``pump``, which keeps requests on
    their way for it and the files after it; to be called whenever answers were taken.
    """

    want: Want
    session: S | None
    #: why it failed, once it did
    trouble: NightferryError | None
    #: finished or given up
    done: bool

    def ask(self, session: S) -> None:
        """Ask for the file on a session, which is noted; one that no server can have stays as it is."""
        ...

    def go_on(self, room: int) -> int:
        """Ask for as many of the file's bytes as there is room for; gives the room that is left, in bytes."""
        ...

    def open(self, session: S, pump: Callable[[], None]) -> None:
        """Have the file open, and check that it is the wanted one; nothing when that was done before."""
        ...

    def fill(self, buffer: memoryview, pump: Callable[[], None]) -> int:
        """Fill the buffer with the next bytes; 0 only at their end."""
        ...

    def finish(self, session: S, pump: Callable[[], None]) -> Entry:
        """Let go of a file that was read to its end, and have it compared with the want as it is now."""
        ...

    def let_go(self, session: S) -> None:
        """Let go of the file, whatever of it is still to come."""
        ...


class Fetch(Generic[S, H]):
    """The arrivals of one call, over one session; see `Store.fetch`.

    An iterator of its own and not a generator, so that an arrival stays good when it alone is kept.
    """

    def __init__(self, pool: Pool[S, H], wants: Sequence[Want], fresh: Callable[[Want], Transfer[S]]) -> None:
        self._pool = pool
        self._wants = wants
        self._fresh = fresh
        self._place = -1
        self._lease: Lease[S, H] | None = None
        self._transfer: Transfer[S] | None = None
        self._ahead: deque[Transfer[S]] = deque()

    def __iter__(self) -> Self:
        """Iterate over itself."""
        return self

    def __next__(self) -> Arrival:
        """Give up what was not finished of the last arrival, and yield the next one."""
        self._give_up()
        self._place += 1
        if self._place >= len(self._wants):
            self.close()
            raise StopIteration
        if self._lease is None:
            self._lease = Lease(self._pool)
        self._transfer = self._ahead.popleft() if self._ahead else self._fresh(self._wants[self._place])
        return SessionArrival(self, self._transfer)

    def close(self) -> None:
        """Give the session back; files that were opened ahead are closed."""
        self._place = len(self._wants)
        self._give_up()
        while self._ahead:
            self._let_go(self._ahead.popleft())
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.release()

    def __del__(self) -> None:
        """Give the session back when nobody can ask for more."""
        with contextlib.suppress(AttributeError):  # the constructor itself failed
            self.close()

    # -- what arrivals ask for ---------------------------------------------------------------------------------

    def read(self, transfer: Transfer[S], buffer: memoryview) -> int:
        """Fill the buffer with the next bytes; see `Arrival.read_into`."""
        lease = self._lease_for(transfer)
        if transfer.trouble is not None:
            raise transfer.trouble
        pump = partial(self._pump, lease, transfer)
        try:
            transfer.open(lease.session, pump)
            return transfer.fill(buffer, pump)
        except NightferryError as err:
            self._fail(lease, transfer, err)

    def finish(self, transfer: Transfer[S]) -> Entry:
        """Have the file compared with the want; see `Arrival.finish`."""
        lease = self._lease_for(transfer)
        if self.read(transfer, memoryview(bytearray(1))):
            raise Changed(f"{lease.label}: {transfer.want.path!a} goes on after its {transfer.want.size} bytes")
        try:
            entry = transfer.finish(lease.session, partial(self._pump, lease, transfer))
        except NightferryError as err:
            self._fail(lease, transfer, err)
        transfer.done = True
        return entry

    def _lease_for(self, transfer: Transfer[S]) -> Lease[S, H]:
        if self._lease is None or transfer is not self._transfer or transfer.done:
            raise TryAgain(
                f"{transfer.want.path!a}: this arrival is over (read, failed or given up); fetch the file again"
            )
        return self._lease

    def _pump(self, lease: Lease[S, H], current: Transfer[S]) -> None:
        """Keep requests on their way, for this file and the ones after it."""
        while len(self._ahead) < _FILES and self._place + len(self._ahead) + 1 < len(self._wants):
            self._ahead.append(self._fresh(self._wants[self._place + len(self._ahead) + 1]))
        session = lease.session
        room = _WINDOW
        for transfer in (current, *self._ahead):
            if transfer.session is None:
                transfer.ask(session)
            room = transfer.go_on(room)
            if room <= 0:
                break

    # -- ends --------------------------------------------------------------------------------------------------

    def _fail(self, lease: Lease[S, H], transfer: Transfer[S], err: NightferryError) -> NoReturn:
        """Raise a transfer's trouble, and end the session with all transfers on it if that is to blame."""
        if not isinstance(err, Cut | Silence | Garbled):
            self._let_go(transfer)
        else:
            lease.drop()
            self._ahead.clear()
            if transfer.session is not None:  # this session is over; whether the server is, the next one tells
                transfer.trouble = TryAgain(f"{err} in {transfer.want.path!a}")
                raise transfer.trouble from err
        transfer.trouble = err
        raise err

    def _give_up(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is not None and not transfer.done:
            transfer.done = True
            self._let_go(transfer)

    def _let_go(self, transfer: Transfer[S]) -> None:
        session = transfer.session
        if session is None or self._lease is None or not self._lease.has(session):
            return
        try:
            transfer.let_go(session)
        except (Cut, Silence, Garbled):
            self._lease.drop()
            self._ahead.clear()


def compared(label: str, want: Want, entry: Entry) -> Entry:
    """Return what a file is now, if that is what was wanted; raises `Changed`."""
    where = f"{label}: {want.path!a}"
    if want.offset > entry.size:
        raise Changed(f"{where} has {entry.size} bytes, fewer than the {want.offset} that were fetched before")
    if entry.size != want.size:
        raise Changed(f"{where} has {entry.size} bytes, and had {want.size} when it was wanted")
    if want.mtime_us is not None and entry.mtime_us is not None and want.mtime_us != entry.mtime_us:
        raise Changed(f"{where} was written again since it was wanted")
    return entry
