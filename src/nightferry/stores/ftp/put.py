"""Files on their way out over FTP: sent under a name of their own, counted, and only then given their true name.

FTP has no way to give a file a name only if that name is free: RNTO replaces what stands there on most servers.
So the name is looked for right before it is given, which leaves a gap of one round trip in which another writer
could take it: `Traits.exclusive_put` is False. Nor can it ask a server to sync its disk: that a file lasts is
only known once it was read back, which is the deliver step's part.
"""

import os
from collections.abc import Callable
from typing import BinaryIO

from nightferry.core.errors import Gone, Held, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import Entry, Load, StorePath
from nightferry.stores.ftp.folder import Lister
from nightferry.stores.ftp.listing import Listing
from nightferry.stores.ftp.pool import Line
from nightferry.stores.ftp.reply import refusal
from nightferry.stores.ftp.session import Session
from nightferry.stores.ftp.stat import ask_stat, read_stat, stat_one
from nightferry.stores.ftp.wire import Cut, Pipe, Silence
from nightferry.stores.paths import checked, part_name

_RENAMED = "it stands there under another one, and the name template should make plainer names"


class Putter:
    """Stores files one after the other over one session.

    It remembers, for one call, which folders are there and which names stood in them when it first looked.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._label = line.pool.address.label
        self._names: dict[StorePath, set[str]] = {}
        self._pace: Callable[[int], None] | None = None

    def put(self, load: Load) -> NightferryError | None:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        self._pace = load.pace
        try:
            folder, name = _split(checked(load.target))
            source, size = _opened(load)
            with source:
                self._sweep()
                if name in self._names_in(folder):
                    raise self._occupied(load.target)
                part = _joined(folder, part_name())
                self._carry(source, size, part, load.target)
            self._names[folder].add(name)
        except (Misconfigured, Cut, Silence):
            raise
        except NightferryError as err:
            return err
        return None

    def _carry(self, source: BinaryIO, size: int, part: StorePath, target: StorePath) -> None:
        session = self._line.checked()
        try:
            self._send(session, source, part, target)
            self._compare(session, part, size, target)
            self._rename(session, part, target)
        except BaseException as err:
            if not session.control.idle or isinstance(err, Cut | Silence):
                self._line.drop()
            if isinstance(err, NightferryError):
                self._sweep()
            if isinstance(err, Cut | Silence):  # this session is over; whether the server is, the next load tells
                raise TryAgain(f"{self._label}: storing {target!a} was not confirmed ({err})") from err
            raise
        self._line.pool.leftovers.discard(part)

    def _send(self, session: Session, source: BinaryIO, part: StorePath, target: StorePath) -> None:
        doing = f"{self._label}: storing {target!a}"
        pipe = self._began(session, part, doing)
        self._line.pool.leftovers.add(part)
        broken: TryAgain | None = None
        try:
            pipe.send(source, self._pace)
        except TryAgain as err:  # a server that breaks off says why
            broken = err
        finally:
            pipe.close()
        reply = session.control.final()
        if not reply.good:
            raise refusal(reply, doing, storing=True)
        if broken is not None:
            raise broken

    def _began(self, session: Session, part: StorePath, doing: str) -> Pipe:
        """Have the server wait for a file's data."""
        command = f"STOR {session.place(part)}"
        session.ask_transfer(command)
        port = session.port()
        if port is None:
            session.ask_transfer(command)
            port = session.port()
            if port is None:
                raise Misconfigured(f"{self._label}: the server has neither EPSV nor PASV; switch passive mode on")
        pipe, reply, _ = session.begin(port)
        if pipe is None:
            raise refusal(reply, doing, storing=True)
        return pipe

    def _compare(self, session: Session, part: StorePath, size: int, target: StorePath) -> None:
        """See to it that the whole file lies there, and that its true name is still free."""
        asked = [(path, ask_stat(session, path)) for path in (part, target)]
        kept, taken = [read_stat(session, path, means) for path, means in asked]
        if not isinstance(kept, Entry):
            listing = self._look(_split(part)[0])
            found = None if listing is None else listing.parts.get(_split(part)[1])
            taken = stat_one(self._line, target) or taken
        else:
            found = kept.size
        if found != size:
            raise TryAgain(f"{self._label}: of {size} bytes for {target!a} the server kept {found}; tried again later")
        if isinstance(taken, Entry):
            raise self._occupied(target)

    def _rename(self, session: Session, part: StorePath, target: StorePath) -> None:
        """Give the file its true name, and look whether it has it: some servers change names as they like."""
        session.ask(f"RNFR {session.place(part)}", f"RNTO {session.place(target)}")
        means = ask_stat(session, target)
        first = session.control.final()
        if first.code != 350:  # noqa: PLR2004 - the second half is awaited
            session.control.pass_over()
            raise refusal(first, f"{self._label}: renaming a file to {target!a}", storing=True)
        reply = session.control.final()
        seen = isinstance(read_stat(session, target, means), Entry) or stat_one(self._line, target) is not None
        if reply.good and not seen:
            raise Held(f"{self._label}: the server took the file, but not its name {target!a}; {_RENAMED}")
        if not reply.good:
            raise (
                self._occupied(target)
                if seen
                else refusal(reply, f"{self._label}: renaming a file to {target!a}", storing=True)
            )

    def _sweep(self) -> None:
        """Delete unfinished files that earlier troubles left behind, as far as the server lets us now."""
        leftovers = self._line.pool.leftovers
        for part in tuple(leftovers):
            try:
                session = self._line.checked()
                session.control.do(f"DELE {session.place(part)}")
            except (Cut, Silence, Misconfigured):
                self._line.drop()
                return
            leftovers.discard(part)

    # -- folders -----------------------------------------------------------------------------------------------

    def _look(self, folder: StorePath) -> Listing | None:
        return Lister(self._line).look(folder)

    def _names_in(self, folder: StorePath) -> set[str]:
        """Tell all names in a folder, making it if it is not there."""
        if folder not in self._names:
            listing = self._look(folder)
            self._names[folder] = self._made(folder) if listing is None else _names(listing)
        return self._names[folder]

    def _made(self, folder: StorePath) -> set[str]:
        parent, name = _split(folder)
        if name in self._names_in(parent):
            raise Occupied(f"{self._label}: {folder!a} should be a folder, but something else has that name")
        session = self._line.checked()
        reply = session.control.do(f"MKD {session.place(folder)}")
        listing = self._look(folder)  # another writer may have been faster
        if listing is not None:
            return _names(listing)
        if reply.good:
            raise Held(f"{self._label}: the server made a folder, but not under the name {folder!a}; {_RENAMED}")
        raise refusal(reply, f"{self._label}: making the folder {folder!a}", storing=True)

    def _occupied(self, target: StorePath) -> Occupied:
        return Occupied(f"{self._label}: the name {target!a} is taken; nothing was changed there")


def _names(listing: Listing) -> set[str]:
    """Tell all names that a listing shows, whatever they are names of."""
    start = len(listing.prefix)
    names = {path[start:] for path in listing.folders} | {entry.path[start:] for entry in listing.files}
    odd = [oddity.text for oddity in listing.oddities]
    return names | {name for _, _, name, _ in listing.rows} | {*odd} | {text.partition(" -> ")[0] for text in odd}


def _split(path: StorePath) -> tuple[StorePath, str]:
    folder, _, name = path.rpartition("/")
    return StorePath(folder), name


def _joined(folder: StorePath, name: str) -> StorePath:
    return StorePath(f"{folder}/{name}" if folder else name)


def _opened(load: Load) -> tuple[BinaryIO, int]:
    try:
        source = load.source.open("rb", buffering=0)
    except FileNotFoundError as err:
        raise Gone(f"the local file {load.source} is no longer there; nothing was stored") from err
    except OSError as err:
        raise TryAgain(
            f"the local file {load.source} cannot be read ({err.strerror}); check it and its rights"
        ) from err
    return source, os.fstat(source.fileno()).st_size
