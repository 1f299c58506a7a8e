"""The walk over a server's tree: folder after folder, files out as they are found."""

import time
from collections import deque
from collections.abc import Callable, Iterator

from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.ftp.folder import Lister
from nightferry.stores.ftp.listing import Listing, entries_of
from nightferry.stores.ftp.pool import Line
from nightferry.stores.ftp.reply import Reply
from nightferry.stores.ftp.session import Session
from nightferry.stores.ftp.times import Clock, fact_time


def walk(line: Line, enter: Callable[[StorePath], bool] | None) -> Iterator[Entry | Oddity]:
    """Yield every file below the root, with all that cannot be carried; see `Store.list`."""
    lister = Lister(line)
    clock = Clock(time.time_ns() // 1000)
    folders = deque([ROOT])
    try:
        while folders:
            folder = folders.popleft()
            listing = lister.look(folder, folders[0] if folders else None)
            if listing is None:  # vanished since its parent was listed
                continue
            folders += [inner for inner in listing.folders if enter is None or enter(inner)]
            yield from listing.oddities
            yield from dated(listing, clock, lister)
    finally:
        lister.close()


def dated(listing: Listing, clock: Clock, lister: Lister) -> list[Entry]:
    """Make the files of a listing entries, asking the server for what its times lack."""
    if not listing.rows:
        return listing.files
    names = {when: name for _, when, name, _ in listing.rows}
    wanted = clock.wants(names)
    if wanted:
        session = lister.settle()
        if session.habits.mdtm:
            _measure(session, clock, {when: StorePath(listing.prefix + names[when]) for when in wanted})
    return entries_of(listing, clock.tell)


def _measure(session: Session, clock: Clock, paths: dict[str, StorePath]) -> None:
    session.ask(*(f"MDTM {session.place(path)}" for path in paths.values()))
    for when in paths:
        exact = exact_time(session, session.control.final())
        if exact is not None:
            clock.measure(when, exact)


def exact_time(session: Session, reply: Reply) -> int | None:
    """Read a reply to MDTM, in microseconds since 1970 UTC; None, and noted, when the server has no MDTM."""
    if reply.unknown:
        session.habits.mdtm = False
    return fact_time(reply.text.strip()) if reply.code == 213 else None  # noqa: PLR2004
