"""What the rehearsal FTP server keeps, how it speaks and in which ways it can be made to misbehave."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Path = tuple[bytes, ...]

_HALF_YEAR = 183 * 86400
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass
class Node:
    """A file's bytes and time of last change (microseconds since 1970 UTC), or where a link leads."""

    data: bytearray = field(default_factory=bytearray)
    mtime_us: int = 0
    target: bytes | None = None


class Tree:
    """Files, links and folders in memory; paths are tuples of names."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.nodes: dict[Path, Node] = {}
        self.folders: set[Path] = {()}

    def make_folders(self, path: Path) -> None:
        """Make a folder and all above it."""
        with self.lock:
            self.folders.update(path[:depth] for depth in range(len(path) + 1))

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        """Write a file, folders included."""
        parts = split(path)
        self.make_folders(parts[:-1])
        when = time.time_ns() // 1000 if mtime_us is None else mtime_us
        with self.lock:
            self.nodes[parts] = Node(bytearray(data), when)

    def link(self, path: bytes, target: bytes) -> None:
        """Make a link, folders included."""
        parts = split(path)
        self.make_folders(parts[:-1])
        with self.lock:
            self.nodes[parts] = Node(target=target)

    def file(self, path: Path) -> Node | None:
        """Find a file; links are not followed."""
        node = self.nodes.get(path)
        return node if node is not None and node.target is None else None

    def inside(self, folder: Path) -> Iterator[tuple[bytes, Node | None]]:
        """Yield what stands in a folder, None for a folder."""
        with self.lock:
            nodes, folders = dict(self.nodes), set(self.folders)
        depth = len(folder) + 1
        for path in sorted(folders):
            if len(path) == depth and path[:-1] == folder:
                yield path[-1], None
        for path, node in sorted(nodes.items(), key=lambda item: item[0]):
            if len(path) == depth and path[:-1] == folder:
                yield path[-1], node


def split(path: bytes) -> Path:
    """Split a path into its names, doing away with ``.``, ``..`` and empty ones."""
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            names = names[:-1]
        elif name not in {b"", b"."}:
            names.append(name)
    return tuple(names)


@dataclass
class ServerFacts:
    """How the server speaks; every field may be changed at any time and counts from then on.

    The first group is what honest servers differ in, the second how bad ones go wrong.
    """

    machine_listings: bool = True
    mlst_facts: tuple[str, ...] = ("type", "size", "modify", "unique")
    listing: Literal["unix", "dos"] = "unix"
    feat: bool = True
    epsv: bool = True
    pasv: bool = True
    size: bool = True
    mdtm: bool = True
    rest: bool = True
    passwords: dict[str, str] = field(default_factory=lambda: {"anonymous": ""})
    #: How far the clock face in plain listings is ahead of UTC, in seconds, and of the true time.
    zone: int = 0
    clock_error: int = 0
    #: Seconds without a command after a transfer until the server says 421 and goes.
    idle: float = 3600.0
    #: An empty folder is told by a refusal, as by some old servers.
    empty_is_refused: bool = False

    #: What is read behind a command in one go is thrown away: always, or only after a transfer.
    discards: Literal["", "always", "after transfer"] = ""
    #: So many bytes of commands are kept; what comes beyond, in one go, is thrown away.
    command_buffer: int | None = None
    #: Data ports are told, but nobody listens there: for EPSV only, as behind some routers.
    epsv_is_dead: bool = False
    #: The address that PASV tells.
    pasv_address: str = "127.0.0.1"
    #: Every size told is larger by so many bytes.
    size_error: int = 0
    #: The data of each file end at this place, with a success.
    cut_at: int | None = None
    #: The control connection ends with the data, before the last reply.
    no_last_reply: bool = False
    #: Only so many bytes of a stored file are kept, with a success.
    keeps: int | None = None
    #: Stored bytes for which there is still space.
    space: int | None = None
    read_only: bool = False
    #: Files that are listed, and may not be read.
    barred: set[bytes] = field(default_factory=set)
    #: Raw lines that come at the end of a folder's listing.
    extra_lines: dict[bytes, list[bytes]] = field(default_factory=dict)
    #: How many bytes of the next listings are sent, each with a success; whole ones after that.
    listing_cuts: list[int] = field(default_factory=list)
    #: What is said behind the listing of a folder, and instead of one.
    listing_ends: dict[bytes, bytes] = field(default_factory=dict)
    listing_refusals: dict[bytes, bytes] = field(default_factory=dict)
    #: What MLSD is answered with, though FEAT offers it.
    mlsd_refusal: bytes = b""
    #: Everything is answered, but one login more is refused, as by a server with few places.
    crowded: bool = False
    #: TLS data connections end without a farewell.
    ragged: bool = False
    #: Seconds between two bytes of a reply, and two pieces of a file.
    crawl: float = 0.0
    #: Bytes in one piece of a file.
    piece: int = 65536
    #: Called when a file was stored, before that is confirmed.
    on_stored: Callable[[], None] = lambda: None
    #: What the server says instead of its greeting.
    greeting: bytes = b"220 rehearsal"
    #: After a login and so many further commands, 421.
    hangs_up_after: int | None = None


def told_time(facts: ServerFacts, mtime_us: int) -> str:
    """Write a time as a plain listing does."""
    seconds = mtime_us // 1_000_000
    face = time.gmtime(seconds + facts.zone)
    if facts.listing == "dos":
        return time.strftime("%m-%d-%y  %I:%M%p", face)
    now = time.time() + facts.clock_error
    recent = now - _HALF_YEAR < seconds <= now + 60
    clock = time.strftime("%H:%M", face) if recent else f"{face.tm_year:5d}"
    return f"{_MONTHS[face.tm_mon - 1]} {face.tm_mday:2d} {clock}"


def fact_line(facts: ServerFacts, name: bytes, node: Node | None) -> bytes:
    """Write a file or folder as MLSD and MLST do."""
    link = node is not None and node.target is not None
    kind = "dir" if node is None else "OS.unix=symlink" if link else "file"
    size = 0 if node is None else len(node.data) + facts.size_error
    seconds, fraction = divmod(0 if node is None else node.mtime_us, 1_000_000)
    modify = time.strftime("%Y%m%d%H%M%S", time.gmtime(seconds)) + (f".{fraction:06d}".rstrip("0") if fraction else "")
    values = {"type": kind, "size": f"{size}", "modify": modify, "unique": f"{hash(name) & 0xFFFF:x}"}
    wanted = [fact for fact in facts.mlst_facts if not (fact == "size" and node is None)]
    return "".join(f"{fact}={values[fact]};" for fact in wanted).encode() + b" " + name


def plain_line(facts: ServerFacts, name: bytes, node: Node | None) -> bytes:
    """Write a file or folder as LIST does."""
    size = 4096 if node is None else len(node.data) + facts.size_error
    when = told_time(facts, 0 if node is None else node.mtime_us)
    if facts.listing == "dos":
        tag = "<DIR>         " if node is None else "<SYMLINK>     " if node.target is not None else f"{size:14d}"
        column = f"{when}       {tag} " if node is None or node.target is not None else f"{when} {size:20d} "
        return column.encode() + name
    mode = "drwxr-xr-x" if node is None else "lrwxrwxrwx" if node.target is not None else "-rw-r--r--"
    shown = name if node is None or node.target is None else name + b" -> " + node.target
    return f"{mode}    1 0        0        {size:8d} {when} ".encode() + shown
