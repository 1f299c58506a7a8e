"""What a name stands for, asked of servers whose listings do not say, for want of type bits and of a line of ``ls``."""

from nightferry.core.names import name_refusal
from nightferry.core.store import StorePath
from nightferry.stores.sftp.session import Session
from nightferry.stores.sftp.wire import NO_ATTRS, OPEN_READ, U32, Attrs, Code, Kind, Named, number

#: Names that are asked about in one go; each may have two files open at the server.
_WINDOW = 16


def with_kinds(session: Session, folder: StorePath, names: list[Named]) -> list[Named]:
    """Return a piece of a listing in which the kinds that it does not tell were asked for."""
    if all(named.attrs.kind for named in names):
        return names
    found: list[Named] = []
    for start in range(0, len(names), _WINDOW):
        found += _asked(session, folder, names[start : start + _WINDOW])
    return found


def _asked(session: Session, folder: StorePath, names: list[Named]) -> list[Named]:
    unsure = {named.name: _place(folder, named.name) for named in names if not named.attrs.kind and _is_safe(named)}
    looks = {name: session.ask_look(place) for name, place in unsure.items()}
    told = {name: session.attrs(session.wait(look)) for name, look in looks.items()}
    known = {name: attrs for name, attrs in told.items() if isinstance(attrs, Attrs) and attrs.kind}
    tried = _tried(session, {name: place for name, place in unsure.items() if name not in known})
    return [
        named._replace(attrs=_joined(named.attrs, known.get(named.name) or tried[named.name]))
        if named.name in unsure
        else named
        for named in names
    ]


def _tried(session: Session, places: dict[bytes, StorePath]) -> dict[bytes, Attrs]:
    """Try what each name is good for: a link can be read, a folder opened as one, and only else a file be read."""
    kinds = (Kind.READLINK, Kind.OPENDIR)
    asked = {name: [session.ask(kind, session.place(place)) for kind in kinds] for name, place in places.items()}
    openings = {
        name: session.ask(Kind.OPEN, session.place(place), OPEN_READ, NO_ATTRS) for name, place in places.items()
    }
    found: dict[bytes, Attrs] = {}
    for name, (linked, listed) in asked.items():
        is_link = session.wait(linked)[0] == Kind.NAME
        is_folder = _closed(session, listed) is not None
        read = _closed(session, openings[name], read=True)
        if is_link:
            found[name] = Attrs(None, "link", None)
        elif is_folder:
            found[name] = Attrs(None, "folder", None)
        else:
            found[name] = Attrs(None, "", None) if read is None else read._replace(kind="file")
    return found


def _closed(session: Session, opening: int, *, read: bool = False) -> Attrs | None:
    """Return what is told of something open, and close it; None where it could not be opened, or ``read`` from.

    Servers open a folder for reading as if it were a file, and only refuse to read from it.
    """
    handle = session.handle(session.wait(opening))
    if not isinstance(handle, bytes):
        return None
    reads = [session.ask(Kind.READ, handle, number(0), U32.pack(1))] if read else []
    told = session.attrs(session.wait(session.ask(Kind.FSTAT, handle)))
    answers = [session.wait(one) for one in reads]
    session.forget(session.ask(Kind.CLOSE, handle))
    if any(kind != Kind.DATA and session.status((kind, body)).code != Code.EOF for kind, body in answers):
        return None
    return told if isinstance(told, Attrs) else Attrs(None, "", None)


def _joined(listed: Attrs, told: Attrs) -> Attrs:
    """Return what the listing and the answers tell together."""
    size = listed.size if told.size is None else told.size
    return Attrs(size, told.kind, listed.mtime_us if told.mtime_us is None else told.mtime_us)


def _place(folder: StorePath, raw: bytes) -> StorePath:
    name = raw.decode("utf-8", "surrogateescape")
    return StorePath(f"{folder}/{name}" if folder else name)


def _is_safe(named: Named) -> bool:
    """Whether a name may be asked about; those that do harm are refused anyway."""
    return not name_refusal(named.name.decode("utf-8", "surrogateescape"))
