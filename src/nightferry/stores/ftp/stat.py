"""A file's size and time as they are now, by the best means that the server has.

MLST where MLSD is (the two tell the same times), else SIZE and MDTM, else the listing of the file's folder. A
refusal proves nothing by itself, since servers answer 550 for a missing file and a forbidden one alike: what is
not clearly absent is looked for in its folder's listing.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from nightferry.core.errors import TryAgain
from nightferry.core.store import Entry, StorePath
from nightferry.stores.ftp.control import Reply, size_of
from nightferry.stores.ftp.folder import ClosedFolderError, Lister, dated, exact_time
from nightferry.stores.ftp.listing import SECOND_US, Clock, fact_time, facts_of
from nightferry.stores.ftp.session import Lease, Session
from nightferry.stores.kit.sessions import Cut, Silence
from nightferry.stores.paths import above, path_refusal

#: Files that are asked about in one go.
WINDOW = 24


class Means(Enum):
    """How a file is asked about."""

    MLST = "MLST"
    SIZE = "SIZE and MDTM"
    LISTING = "a listing"


class Verdict(Enum):
    """What a reply says when it does not tell a file's size and time."""

    ABSENT = "absent"
    UNSURE = "unsure"


def ask_stat(session: Session, path: StorePath) -> Means:
    """Ask about one file and tell how, for `read_stat`."""
    place, server = session.place(path), session.server
    if server.machine_listings:
        session.ask(f"MLST {place}")
        return Means.MLST
    if server.size and server.mdtm:
        session.ask(f"SIZE {place}", f"MDTM {place}")
        return Means.SIZE
    return Means.LISTING


def read_stat(session: Session, path: StorePath, means: Means) -> Entry | Verdict:
    """Read the answer to `ask_stat`."""
    if means is Means.LISTING:
        return Verdict.UNSURE
    answer = _read_answer(session, path, means)
    if isinstance(answer, Entry):
        session.server.stat_works = True
    return answer


def _read_answer(session: Session, path: StorePath, means: Means) -> Entry | Verdict:
    reply = session.control.final()
    if means is Means.MLST:
        if reply.unknown and reply.code != 501:  # noqa: PLR2004 - 501 is about the name, not the command
            session.server.mlst = False
        return _read_facts(reply, path)
    mtime_us = exact_time(session, session.control.final())
    size = size_of(reply)
    if size is not None and mtime_us is not None:
        return Entry(path, size, mtime_us)
    if reply.unknown:
        session.server.size = False
    return Verdict.ABSENT if reply.absent else Verdict.UNSURE


def _read_facts(reply: Reply, path: StorePath) -> Entry | Verdict:
    lines = reply.text.split("\n")
    read = facts_of(lines[1].lstrip(" ")) if reply.code == 250 and len(lines) > 1 else None  # noqa: PLR2004
    if read is None:
        return Verdict.ABSENT if reply.absent else Verdict.UNSURE
    facts, _ = read
    if facts.get("type", "").lower() != "file":
        return Verdict.ABSENT
    size, mtime_us = facts.get("size", ""), fact_time(facts.get("modify", ""))
    return Entry(path, int(size), mtime_us) if size.isascii() and size.isdigit() else Verdict.UNSURE


def stat_all(lease: Lease, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
    """Yield each file's size and time, in order; see `Store.stat`."""
    rest = iter(paths)
    while batch := list(islice(rest, WINDOW)):
        answers = _ask_again_if_cut(lease, [path for path in batch if not path_refusal(path)])
        seen: dict[StorePath, _Shown] = {}
        for path in batch:
            answer = answers.get(path, Verdict.ABSENT)
            if answer is Verdict.UNSURE:
                parent = above(path)
                if parent not in seen:
                    seen[parent] = _listed(lease, parent)
                answer = seen[parent].find(path)
            yield answer if isinstance(answer, Entry) else None


def stat_one(lease: Lease, path: StorePath) -> Entry | None:
    """Return one file's size and time; None if it is not there."""
    return next(stat_all(lease, [path]))


def _ask_again_if_cut(lease: Lease, paths: list[StorePath]) -> dict[StorePath, Entry | Verdict]:
    """Ask about files, once more on a new session if the server had given the old one up.

    A server that passed the probe may still lose commands when many come at once: if it stays silent, it is
    asked one by one, and when that works it is not sent any ahead again.
    """
    server = lease.server
    try:
        return _stat_batch(lease.checked(), paths)
    except Cut:
        lease.drop()
    except Silence:
        lease.drop()
        ahead = server.ahead
        if not ahead:
            raise
        server.distrust()
        try:
            return _stat_batch(lease.session, paths)
        except TryAgain:
            server.ahead = ahead  # it was away, and that is no lesson about commands
            raise
    return _stat_batch(lease.session, paths)


def _stat_batch(session: Session, paths: list[StorePath]) -> dict[StorePath, Entry | Verdict]:
    asked = [(path, ask_stat(session, path)) for path in paths]
    return {path: read_stat(session, path, means) for path, means in asked}


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a folder's listing shows; ``doubt`` says why it may not be all."""

    entries: Mapping[StorePath, Entry]
    doubt: str = ""

    def find(self, path: StorePath) -> Entry | Verdict:
        """Return a file as it is shown; raises `TryAgain` where a listing that is not whole does not show it."""
        if path in self.entries:
            return self.entries[path]
        if self.doubt:
            raise TryAgain(f"nobody knows whether {path!a} is still there, for the listing is not whole: {self.doubt}")
        return Verdict.ABSENT


def _listed(lease: Lease, folder: StorePath) -> _Shown:
    lister = Lister(lease)
    try:
        listing = lister.look(folder)
    except ClosedFolderError as err:
        return _Shown({}, str(err))
    if listing is None:
        return _Shown({})
    doubt = next((odd.text for odd in listing.oddities if odd.kind in {"unread", "line"}), "")
    return _Shown({entry.path: entry for entry in dated(listing, Clock(time.time_ns() // 1000), lister)}, doubt)


def same_time(one_us: int | None, other_us: int | None, resolution_us: int) -> bool:
    """Whether two times may be the same one, told with or without fractions of a second, or by a listing."""
    if one_us is None or other_us is None:
        return True
    blur = 0 if one_us % SECOND_US and other_us % SECOND_US else SECOND_US - 1
    return abs(one_us - other_us) <= max(blur, resolution_us)
