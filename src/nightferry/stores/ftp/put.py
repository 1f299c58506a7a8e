"""Files on their way out over FTP: sent under a name of their own, counted, and only then given their true name.

FTP has no way to give a file a name only if that name is free: RNTO replaces what stands there on most servers.
So the name is looked for right before it is given, which leaves a gap of one round trip in which another writer
could take it: `Traits.exclusive_put` is False. Nor can it ask a server to sync its disk: that a file lasts is
only known once it was read back, which is the deliver step's part.
"""

from nightferry.core.errors import Held, Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import Entry, Load, StorePath
from nightferry.stores.ftp.control import refusal
from nightferry.stores.ftp.folder import Lister
from nightferry.stores.ftp.listing import Listing
from nightferry.stores.ftp.session import Lease, Session
from nightferry.stores.ftp.stat import ask_stat, read_stat, stat_one
from nightferry.stores.ftp.wire import Pipe
from nightferry.stores.kit.loads import Content, occupied, opened, sweep, unfinished
from nightferry.stores.kit.sessions import Cut, Silence
from nightferry.stores.paths import checked, inside, part_name, split

_RENAMED = "it stands there under another one, and the name template should make plainer names"


class Putter:
    """Stores files one after the other over one session.

    It remembers, for one call, which folders are there and which names stood in them when it first looked.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._label = lease.label
        self._names: dict[StorePath, set[str]] = {}

    def put(self, load: Load) -> NightferryError | None:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        try:
            folder, name = split(checked(load.target))
            with opened(load) as content:
                self._sweep()
                if name in self._names_in(folder):
                    raise occupied(self._label, load.target)
                self._carry(content, inside(folder, part_name()))
            self._names[folder].add(name)
        except (Misconfigured, Cut, Silence):
            raise
        except NightferryError as err:
            return err
        return None

    def _carry(self, content: Content, part: StorePath) -> None:
        session = self._lease.checked()
        try:
            pipe = self._began(session, content, part)
            with unfinished(self._lease.pool.leftovers, part):
                self._send(session, content, pipe)
                self._compare(session, content, part)
                self._rename(session, part, content.target)
        except BaseException as err:
            if not session.control.idle or isinstance(err, Cut | Silence):
                self._lease.drop()
            if isinstance(err, NightferryError):
                self._sweep()
            if isinstance(err, Cut | Silence):  # this session is over; whether the server is, the next load tells
                raise TryAgain(f"{self._label}: storing {content.target!a} was not confirmed ({err})") from err
            raise

    def _send(self, session: Session, content: Content, pipe: Pipe) -> None:
        broken: TryAgain | None = None
        try:
            pipe.send(content.source, content.load.pace)
        except TryAgain as err:  # a server that breaks off says why
            broken = err
        finally:
            pipe.close()
        reply = session.control.final()
        if not reply.good:
            raise refusal(reply, f"{self._label}: storing {content.target!a}", storing=True)
        if broken is not None:
            raise broken

    def _began(self, session: Session, content: Content, part: StorePath) -> Pipe:
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
            raise refusal(reply, f"{self._label}: storing {content.target!a}", storing=True)
        return pipe

    def _compare(self, session: Session, content: Content, part: StorePath) -> None:
        """Check that the whole file lies there, and that its true name is still free."""
        target = content.target
        asked = [(path, ask_stat(session, path)) for path in (part, target)]
        kept, taken = [read_stat(session, path, means) for path, means in asked]
        if not isinstance(kept, Entry):
            folder, name = split(part)
            listing = self._look(folder)
            found = None if listing is None else listing.parts.get(name)
            taken = stat_one(self._lease, target) or taken
        else:
            found = kept.size
        if found != content.size:
            raise content.kept(self._label, found)
        if isinstance(taken, Entry):
            raise occupied(self._label, target)

    def _rename(self, session: Session, part: StorePath, target: StorePath) -> None:
        """Give the file its true name, and look whether it has it: some servers change names as they like."""
        session.ask(f"RNFR {session.place(part)}", f"RNTO {session.place(target)}")
        means = ask_stat(session, target)
        first = session.control.final()
        if first.code != 350:  # noqa: PLR2004 - the second half is awaited
            session.control.pass_over()
            raise refusal(first, f"{self._label}: renaming a file to {target!a}", storing=True)
        reply = session.control.final()
        seen = isinstance(read_stat(session, target, means), Entry) or stat_one(self._lease, target) is not None
        if reply.good and not seen:
            raise Held(f"{self._label}: the server took the file, but not its name {target!a}; {_RENAMED}")
        if not reply.good:
            raise (
                occupied(self._label, target)
                if seen
                else refusal(reply, f"{self._label}: renaming a file to {target!a}", storing=True)
            )

    def _sweep(self) -> None:
        """Delete unfinished files that earlier troubles left behind, as far as the server lets us now."""

        def asked_to_delete(part: StorePath) -> bool:
            session = self._lease.checked()
            session.control.do(f"DELE {session.place(part)}")
            return True

        try:
            sweep(self._lease.pool.leftovers, asked_to_delete)
        except (Cut, Silence, Misconfigured):
            self._lease.drop()

    # -- folders -----------------------------------------------------------------------------------------------

    def _look(self, folder: StorePath) -> Listing | None:
        return Lister(self._lease).look(folder)

    def _names_in(self, folder: StorePath) -> set[str]:
        """Return all names in a folder, making it if it is not there."""
        if folder not in self._names:
            listing = self._look(folder)
            self._names[folder] = self._made(folder) if listing is None else _names(listing)
        return self._names[folder]

    def _made(self, folder: StorePath) -> set[str]:
        parent, name = split(folder)
        if name in self._names_in(parent):
            raise Occupied(f"{self._label}: {folder!a} should be a folder, but something else has that name")
        session = self._lease.checked()
        reply = session.control.do(f"MKD {session.place(folder)}")
        listing = self._look(folder)  # another writer may have been faster
        if listing is not None:
            return _names(listing)
        if reply.good:
            raise Held(f"{self._label}: the server made a folder, but not under the name {folder!a}; {_RENAMED}")
        raise refusal(reply, f"{self._label}: making the folder {folder!a}", storing=True)


def _names(listing: Listing) -> set[str]:
    """Return all names that a listing shows, whatever they are names of."""
    start = len(listing.prefix)
    names = {path[start:] for path in listing.folders} | {entry.path[start:] for entry in listing.files}
    odd = [oddity.text for oddity in listing.oddities]
    return names | {name for _, _, name, _ in listing.rows} | {*odd} | {text.partition(" -> ")[0] for text in odd}
