"""Files on their way in over FTP: each confirmed by the server's reply, and by its size and time afterwards.

When a file is finished, the questions about it and the request for the next one leave in one segment, if the
server bears commands sent ahead, and the next one is on its way while the caller puts this one in its place. So
a small file costs about one round trip instead of six.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Self

from nightferry.core.errors import Changed, Gone, Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Arrival, Entry, Want
from nightferry.stores.ftp.control import Reply, refusal
from nightferry.stores.ftp.session import Lease, Pool, Session
from nightferry.stores.ftp.stat import Means, ask_stat, read_stat, same_time, stat_one
from nightferry.stores.ftp.wire import Pipe
from nightferry.stores.kit.sessions import Cut, Silence
from nightferry.stores.kit.transfers import SessionArrival
from nightferry.stores.paths import checked, path_refusal

# -- one file's data (EPSV, REST, RETR), and what a refusal means ----------------------------------------------------


@dataclass(slots=True)
class Transfer:
    """One want's transfer, from the request to the end of its data."""

    want: Want
    session: Session | None = None
    pipe: Pipe | None = None
    #: The offset was asked for; and when the data connection was made, for `STALE`.
    with_rest: bool = False
    opened: float = 0.0
    #: Bytes that come before the wanted offset, because the server cannot start in the middle.
    surplus: int = 0
    received: int = 0
    #: The server's refusal of a request sent ahead; what it means is found out when it matters.
    refused: Reply | None = None
    #: How the server was asked about the file after its data ended.
    means: Means | None = None
    done: bool = False

    @property
    def nothing_to_come(self) -> bool:
        """All the bytes are with us already; servers disagree about transfers that start at the end."""
        return 0 < self.want.size == self.want.offset


def ask_file(session: Session, transfer: Transfer) -> None:
    """Ask for a file's data from its offset on."""
    want = transfer.want
    transfer.session = session
    transfer.with_rest = bool(want.offset and session.server.rest)
    rest = (f"REST {want.offset}",) if transfer.with_rest else ()
    session.ask_transfer(*rest, f"RETR {session.place(want.path)}")


def receive_file(session: Session, transfer: Transfer) -> None:
    """Read the replies to `ask_file` and make the data connection; a refusal is noted in the transfer.

    A server that does not take an offset sends the file from its start, and the surplus is read over.
    """
    port = session.port()
    if port is None:
        ask_file(session, transfer)
        port = session.port()
        if port is None:
            raise Misconfigured(f"{session.label}: the server has neither EPSV nor PASV; switch passive mode on there")
    pipe, reply, before = session.begin(port, 1 if transfer.with_rest else 0)
    transfer.opened = monotonic()
    transfer.surplus = transfer.want.offset
    for rest in before:
        if rest.code == 350:  # noqa: PLR2004 - the offset is taken (RFC 3659)
            transfer.surplus = 0
        elif rest.unknown:
            session.server.rest = False
    transfer.pipe = pipe
    transfer.refused = reply if pipe is None else None


def open_file(lease: Lease, transfer: Transfer) -> None:
    """Request a file and wait for its data to begin, once more on a new session if the old one was at its end."""
    server = lease.server
    for attempt in (1, 2):
        lessons = server.lessons
        try:
            session = lease.checked()
            ask_file(session, transfer)
            receive_file(session, transfer)
        except (Cut, Silence) as err:
            lease.drop()
            if attempt > 1 or (isinstance(err, Silence) and lessons == server.lessons):
                raise
        else:
            return


def why_refused(lease: Lease, want: Want, reply: Reply | None) -> NightferryError:
    """Find out what a refusal to send a file means: 550 may be a missing file as well as a forbidden one."""
    label = lease.label
    if want.offset:
        lease.drop()  # some servers keep the offset for the next transfer
    entry = stat_one(lease, want.path)
    if entry is None:
        return Gone(f"{label}: the file {want.path!a} is no longer there; list the store again")
    if want.offset > entry.size:
        return Changed(f"{label}: {want.path!a} has {entry.size} bytes now, fewer than the {want.offset} we hold of it")
    if reply is None:
        return TryAgain(f"{label}: {want.path!a} came back; tried again later")
    return refusal(reply, f"{label}: fetching {want.path!a}")


def compared(label: str, want: Want, received: int, entry: Entry | None) -> Entry:
    """Return what the file is now, if that is what was wanted and what was received."""
    if entry is None:
        raise Changed(f"{label}: {want.path!a} vanished while it was fetched")
    if entry.size != want.size:
        raise Changed(f"{label}: {want.path!a} has {entry.size} bytes now, {want.size} were expected; list it again")
    if not same_time(want.mtime_us, entry.mtime_us, entry.resolution_us):
        raise Changed(
            f"{label}: {want.path!a} was written again since it was seen (its time is {entry.mtime_us} us now, "
            f"{want.mtime_us} us was expected); list it again"
        )
    if want.offset + received != entry.size:
        raise TryAgain(
            f"{label}: the server confirmed {want.path!a}, but sent {received} of {entry.size - want.offset} bytes; "
            f"fetch it again"
        )
    return entry


# -- the files of one call -------------------------------------------------------------------------------------------

#: A file that was opened ahead is asked for again when nobody read it for this many seconds: servers give up, too.
STALE = 10.0


class FtpFetch:
    """The arrivals of one call, over one session; see `Store.fetch`.

    An iterator of its own and not a generator, so that an arrival stays good when it alone is kept.
    """

    def __init__(self, pool: Pool, wants: Sequence[Want]) -> None:
        self._pool = pool
        self._wants = wants
        self._place = -1
        self._lease: Lease | None = None
        self._transfer: Transfer | None = None
        self._next: Transfer | None = None

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
        self._transfer, self._next = self._next or Transfer(self._wants[self._place]), None
        return SessionArrival(self, self._transfer)

    def close(self) -> None:
        """Give the session back; one in the middle of something is ended."""
        self._place = len(self._wants)
        self._give_up()
        if self._lease is not None:
            if self._next is not None:
                self._drop(self._lease)
            lease, self._lease = self._lease, None
            lease.release()

    def __del__(self) -> None:
        """Give the session back when nobody can ask for more."""
        with contextlib.suppress(AttributeError):  # the constructor itself failed
            self.close()

    def _give_up(self) -> None:
        transfer, self._transfer = self._transfer, None
        if transfer is None or transfer.done or self._lease is None:
            return
        transfer.done = True
        if transfer.pipe is not None:
            transfer.pipe.close()
        if self._next is not None or (transfer.session is not None and not transfer.session.control.idle):
            self._drop(self._lease)

    def _drop(self, lease: Lease) -> None:
        """End the session, with what was opened ahead on it."""
        lease.drop()
        if self._next is not None and self._next.pipe is not None:
            self._next.pipe.close()
        self._next = None

    # -- what arrivals ask for ---------------------------------------------------------------------------------

    def read(self, transfer: Transfer, buffer: memoryview) -> int:
        """Fill the buffer with the next bytes; see `Arrival.read_into`."""
        lease = self._lease_for(transfer)
        if transfer.nothing_to_come:
            if stat_one(lease, checked(transfer.want.path)) is None:
                raise why_refused(lease, transfer.want, None)
            return 0
        pipe = self._opened(lease, transfer)
        try:
            while transfer.surplus and (count := pipe.fill(buffer[: transfer.surplus])):
                transfer.surplus -= count
            count = pipe.fill(buffer)
        except NightferryError:
            pipe.close()
            self._drop(lease)
            transfer.done = True
            raise
        transfer.received += count
        return count

    def finish(self, transfer: Transfer) -> Entry:
        """Have the transfer confirmed and the file compared with the want; see `Arrival.finish`."""
        lease = self._lease_for(transfer)
        if not transfer.nothing_to_come:
            if self.read(transfer, memoryview(bytearray(1))):
                raise Changed(
                    f"{self._pool.label}: {transfer.want.path!a} goes on after its {transfer.want.size} bytes"
                )
            session = lease.session
            self._ask_about(session, transfer)
            self._confirm(lease, session, transfer)
        entry = self._stat(lease, transfer)
        transfer.done = True
        self._open_ahead(lease)
        return compared(self._pool.label, transfer.want, transfer.received, entry)

    # -- the steps of a transfer -------------------------------------------------------------------------------

    def _lease_for(self, transfer: Transfer) -> Lease:
        if self._lease is None or transfer is not self._transfer or transfer.done:
            raise TryAgain(
                f"{transfer.want.path!a}: this arrival is over (read, failed or given up); fetch the file again"
            )
        return self._lease

    def _opened(self, lease: Lease, transfer: Transfer) -> Pipe:
        pipe = transfer.pipe
        if pipe is not None and not transfer.received and monotonic() - transfer.opened > STALE:
            pipe.close()
            self._drop(lease)
            pipe = None
        if pipe is None:
            checked(transfer.want.path)
            if transfer.refused is None:
                open_file(lease, transfer)
            pipe = transfer.pipe
            if pipe is None:
                raise why_refused(lease, transfer.want, transfer.refused)
        return pipe

    def _ask_about(self, session: Session, transfer: Transfer) -> None:
        """Send the questions about a file whose data ended, and the request for the next one behind them."""
        with contextlib.suppress(Cut, Silence):  # we shall meet it again, after what the server said before
            transfer.means = ask_stat(session, transfer.want.path)
            following = self._wants[self._place + 1 : self._place + 2]
            if session.ahead and session.server.stat_works and following:
                coming = Transfer(following[0], session)
                if not coming.nothing_to_come and not path_refusal(coming.want.path):
                    self._next = coming
                    ask_file(session, coming)
            session.control.flush()

    def _confirm(self, lease: Lease, session: Session, transfer: Transfer) -> None:
        doing = f"{session.label}: fetching {transfer.want.path!a}"
        try:
            with session.doubted():
                reply = session.control.final()
                if not reply.good:
                    raise refusal(reply, doing)
        except NightferryError as err:
            self._drop(lease)
            transfer.done = True
            if isinstance(err, Cut | Silence):  # this session is over; whether the server is, the next one tells
                raise TryAgain(f"{doing}: the end of the data was not confirmed ({err})") from err
            raise

    def _stat(self, lease: Lease, transfer: Transfer) -> Entry | None:
        session = transfer.session
        if session is not None and transfer.means is not None:
            try:
                with session.doubted():
                    answer = read_stat(session, transfer.want.path, transfer.means)
            except (Cut, Silence):
                self._drop(lease)
            else:
                if isinstance(answer, Entry):
                    return answer
                if self._next is not None:  # the listing that must tell now needs a free session
                    self._drop(lease)
        return stat_one(lease, transfer.want.path)

    def _open_ahead(self, lease: Lease) -> None:
        coming = self._next
        if coming is None or coming.session is None:
            return
        try:
            with coming.session.doubted():
                receive_file(coming.session, coming)
        except NightferryError:  # asked for again when its turn comes
            self._drop(lease)
        else:
            coming.session.server.ahead_proven = True
