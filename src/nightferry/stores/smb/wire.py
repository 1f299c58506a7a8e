"""SMB 2 and 3 as bytes: what is said, and what is understood of the answers.

The protocol: [MS-SMB2], https://learn.microsoft.com/openspecs/windows_protocols/ms-smb2; what is told of files:
[MS-FSCC]. Pure functions; whatever a server says, nothing here raises anything but `Garbled`.
"""

import struct
from enum import IntEnum
from typing import NamedTuple

from nightferry.core.errors import Gone, Misconfigured, NightferryError, NoSpace, Occupied, TryAgain, Unreachable
from nightferry.stores.kit.sessions import Cut, Garbled

# -- status codes ----------------------------------------------------------------------------------------------------
# [MS-ERREF] 2.3.1, https://learn.microsoft.com/openspecs/windows_protocols/ms-erref


class Status(IntEnum):
    """The answers that mean something to us."""

    SUCCESS = 0
    PENDING = 0x00000103
    NO_MORE_FILES = 0x80000006
    STOPPED_ON_SYMLINK = 0x8000002D
    INVALID_PARAMETER = 0xC000000D
    NO_SUCH_FILE = 0xC000000F
    INVALID_DEVICE_REQUEST = 0xC0000010
    END_OF_FILE = 0xC0000011
    MORE_PROCESSING_REQUIRED = 0xC0000016
    ACCESS_DENIED = 0xC0000022
    OBJECT_NAME_INVALID = 0xC0000033
    OBJECT_NAME_NOT_FOUND = 0xC0000034
    OBJECT_NAME_COLLISION = 0xC0000035
    OBJECT_PATH_NOT_FOUND = 0xC000003A
    OBJECT_PATH_SYNTAX_BAD = 0xC000003B
    SHARING_VIOLATION = 0xC0000043
    QUOTA_EXCEEDED = 0xC0000044
    FILE_LOCK_CONFLICT = 0xC0000054
    DELETE_PENDING = 0xC0000056
    NO_LOGON_SERVERS = 0xC000005E
    NO_SUCH_USER = 0xC0000064
    WRONG_PASSWORD = 0xC000006A
    LOGON_FAILURE = 0xC000006D
    ACCOUNT_RESTRICTION = 0xC000006E
    INVALID_LOGON_HOURS = 0xC000006F
    INVALID_WORKSTATION = 0xC0000070
    PASSWORD_EXPIRED = 0xC0000071
    ACCOUNT_DISABLED = 0xC0000072
    DISK_FULL = 0xC000007F
    INSUFFICIENT_RESOURCES = 0xC000009A
    MEDIA_WRITE_PROTECTED = 0xC00000A2
    FILE_IS_A_DIRECTORY = 0xC00000BA
    NOT_SUPPORTED = 0xC00000BB
    NETWORK_NAME_DELETED = 0xC00000C9
    BAD_NETWORK_NAME = 0xC00000CC
    REQUEST_NOT_ACCEPTED = 0xC00000D0
    NOT_A_DIRECTORY = 0xC0000103
    NAME_TOO_LONG = 0xC0000106
    CANNOT_DELETE = 0xC0000121
    FILE_DELETED = 0xC0000123
    FILE_CLOSED = 0xC0000128
    LOGON_TYPE_NOT_GRANTED = 0xC000015B
    ACCOUNT_EXPIRED = 0xC0000193
    USER_SESSION_DELETED = 0xC0000203
    PASSWORD_MUST_CHANGE = 0xC0000224
    ACCOUNT_LOCKED_OUT = 0xC0000234
    PATH_NOT_COVERED = 0xC0000257
    VOLUME_DISMOUNTED = 0xC000026E
    NETWORK_SESSION_EXPIRED = 0xC000035C


#: No file is there under that name: it never was, it is gone, or no file can have the name.
NOT_THERE = frozenset({
    Status.NO_SUCH_FILE, Status.OBJECT_NAME_NOT_FOUND, Status.OBJECT_PATH_NOT_FOUND, Status.OBJECT_NAME_INVALID,
    Status.OBJECT_PATH_SYNTAX_BAD, Status.DELETE_PENDING, Status.FILE_IS_A_DIRECTORY, Status.NOT_A_DIRECTORY,
    Status.FILE_DELETED, Status.STOPPED_ON_SYMLINK, Status.NAME_TOO_LONG,
})  # fmt: skip
#: The session is over, whatever was asked.
OVER = frozenset({
    Status.USER_SESSION_DELETED, Status.NETWORK_SESSION_EXPIRED, Status.NETWORK_NAME_DELETED, Status.FILE_CLOSED,
    Status.VOLUME_DISMOUNTED,
})  # fmt: skip
_FORBIDDEN = frozenset({Status.ACCESS_DENIED, Status.MEDIA_WRITE_PROTECTED, Status.CANNOT_DELETE})
_FULL = frozenset({Status.DISK_FULL, Status.QUOTA_EXCEEDED})
_BUSY = frozenset({Status.SHARING_VIOLATION, Status.FILE_LOCK_CONFLICT})
_SPENT = {
    Status.PASSWORD_EXPIRED: "the password has expired; set a new one, and give it in 'secret'",
    Status.PASSWORD_MUST_CHANGE: "the password must be changed first; set a new one, and give it in 'secret'",
    Status.ACCOUNT_DISABLED: "the account is disabled; enable it there",
    Status.ACCOUNT_EXPIRED: "the account has expired; prolong it there",
    Status.ACCOUNT_LOCKED_OUT: "the account is locked; unlock it there, and look who tries passwords",
    Status.ACCOUNT_RESTRICTION: "the account is restricted (Windows refuses empty passwords); give it a password",
    Status.INVALID_LOGON_HOURS: "the account may not log in at this hour; allow the whole night there",
    Status.INVALID_WORKSTATION: "the account may not log in from this machine; allow it there",
    Status.LOGON_TYPE_NOT_GRANTED: "the account may not log in over the network; grant it that right there",
}
_WRONG = frozenset({Status.LOGON_FAILURE, Status.WRONG_PASSWORD, Status.NO_SUCH_USER, Status.ACCESS_DENIED})


def told(status: int) -> str:
    """Name a status as its documentation does."""
    return f"STATUS_{Status(status).name}" if status in Status.__members__.values() else f"status 0x{status:08X}"


def refusal(label: str, status: int, doing: str) -> NightferryError:
    """Return the error that a status means which is no success."""
    what, name = f"{label}: {doing}", told(status)
    if status in OVER:
        return Cut(f"{what}: the server ended the session or took the share away ({name}); it is tried again later")
    if status in NOT_THERE:
        return Gone(f"{what}: it is not there, or no plain file ({name})")
    if status in _BUSY:
        return TryAgain(
            f"{what}: another program has it open and lets nobody else ({name}); it is tried again later. If that "
            "stays so, close the file there"
        )
    if status in _FORBIDDEN:
        return TryAgain(f"{what}: the login may not do that ({name}); check the rights of the share and of the folder")
    if status in _FULL:
        return NoSpace(f"{what}: the disk there is full, or our quota is used up ({name}); free some space there")
    if status == Status.OBJECT_NAME_COLLISION:
        return Occupied(f"{what}: the name is taken; nothing was changed there")
    if status == Status.PATH_NOT_COVERED:
        return Misconfigured(f"{what}: that lies on another server (DFS); name that server in the URL")
    return TryAgain(f"{what}: expected success, the server answered {name}; it is tried again later")


def login_refusal(label: str, status: int, who: str) -> NightferryError:
    """Return why a server did not let us in; ``who`` is how we named ourselves."""
    name = told(status)
    if status in _SPENT:
        return Misconfigured(f"{label}: no login as {who}: {_SPENT[Status(status)]} ({name})")
    if status in _WRONG:
        return Misconfigured(
            f"{label}: the server refuses the login of {who} ({name}); check user, secret and domain "
            "(user = 'DOMAIN\\\\name' for an account of a Windows domain)"
        )
    return Unreachable(f"{label}: no login as {who}, the server answered {name}; it is tried again later")


def share_refusal(label: str, share: str, status: int) -> NightferryError:
    """Return why a server did not let us at a share."""
    name = told(status)
    if status == Status.BAD_NETWORK_NAME:
        return Misconfigured(f"{label}: the server has no share {share!a} ({name}); correct the URL, or share it there")
    if status == Status.ACCESS_DENIED:
        return Misconfigured(f"{label}: the login may not use the share {share!a} ({name}); grant it that there")
    return Unreachable(f"{label}: the share {share!a} cannot be used now ({name}); it is tried again later")


# -- messages --------------------------------------------------------------------------------------------------------

HEADER = struct.Struct("<4sHHIHHIIQIIQ16s")
#: The bytes of data that each credit pays for.
CREDIT = 64 * 1024
#: No server sends more at once, and no honest one comes near it.
LONGEST_MESSAGE = 16 * 1024 * 1024 - 1

_CREATE = struct.Struct("<HBBIQQIIIIIHHII")
_CREATED = struct.Struct("<HBBIQQQQQQII16xII")
_CLOSE = struct.Struct("<HHI16s")
_CLOSED = struct.Struct("<HHIQQQQQQI")
_READ = struct.Struct("<HBBIQ16sIIIHHB")
_DATA = struct.Struct("<HBBII")
_WRITE = struct.Struct("<HHIQ16sIIHHI")
_WRITTEN = struct.Struct("<HHI")
_QUERY_DIRECTORY = struct.Struct("<HBBI16sHHI")
_QUERY_INFO = struct.Struct("<HBBIHHIII16sB")
_SET_INFO = struct.Struct("<HBBIHHI16s")
_OUTPUT = struct.Struct("<HHI")
_NAMED = struct.Struct("<II16xQ8xQ8xIIIIQ")  # FileIdFullDirectoryInformation, [MS-FSCC] 2.4.18
_NAMED_SIZE = _NAMED.size
_STANDARD = struct.Struct("<QQ")
_NO_NUMBER = 0xFFFF_FFFF_FFFF_FFFF

#: Microseconds from 1601, where Windows begins to count, to 1970.
_EPOCH_US = 11_644_473_600_000_000

#: The handle that the request before in a chain opened.
THAT = b"\xff" * 16

READ_DATA, READ_ATTRIBUTES, LIST = 0x1, 0x80, 0x1
WRITE_DATA, DELETE, SYNCHRONIZE = 0x2, 0x0001_0000, 0x0010_0000
#: Others may read, write and delete while we have it open: we are never in a camera's way.
SHARE_ALL = 0x7
OPEN, NEW, OPEN_OR_NEW = 1, 2, 3
FOLDER_ONLY, FILE_ONLY = 0x01, 0x40
_SHORTEST_RENAME = 24  # Windows takes no shorter one, so a short name is filled up
_MADE = 2  # what a create did: nothing was there, so it was made

IS_FOLDER, IS_DEVICE, IS_REPARSE = 0x10, 0x40, 0x400
_SURROGATE = 0x2000_0000  # a reparse tag that stands for another place: link or junction, [MS-FSCC] 2.1.2.1


class Command(IntEnum):
    """What a message is."""

    NEGOTIATE = 0
    SESSION_SETUP = 1
    LOGOFF = 2
    TREE_CONNECT = 3
    CREATE = 5
    CLOSE = 6
    FLUSH = 7
    READ = 8
    WRITE = 9
    IOCTL = 11
    ECHO = 13
    QUERY_DIRECTORY = 14
    QUERY_INFO = 16
    SET_INFO = 17


class Flag(IntEnum):
    """What a header says of its message."""

    ASYNC = 0x2
    RELATED = 0x4
    SIGNED = 0x8


class Header(NamedTuple):
    """The first 64 bytes of a message."""

    magic: bytes
    size: int
    charge: int
    status: int
    command: int
    credits: int
    flags: int
    next: int
    number: int
    process: int
    tree: int
    session: int
    signature: bytes


class Ask(NamedTuple):
    """A request without its header; ``data`` is the longest of what it sends and what may come back, in bytes."""

    command: Command
    body: bytes
    data: int = 0


class Facts(NamedTuple):
    """What a server tells of a file; ``mtime_us`` in microseconds since 1970 UTC, None when it is not told."""

    size: int
    mtime_us: int | None
    attributes: int


class Opened(NamedTuple):
    """An opened file or folder, and what it is; ``made`` when it was not there before."""

    handle: bytes
    facts: Facts
    made: bool


class Named(NamedTuple):
    """One name in a folder; ``number`` tells the file or folder among all of its disk, 0 when it is not known."""

    name: bytes
    facts: Facts
    link: bool
    number: int


def read_header(message: memoryview) -> Header:
    """Read a message's header; raises `Garbled` for what is no SMB 2."""
    if len(message) < HEADER.size:
        raise Garbled(f"the server sent a message of {len(message)} bytes, which is no SMB 2")
    header = Header(*HEADER.unpack_from(message))
    if header.magic != b"\xfeSMB" or header.size != HEADER.size:
        raise Garbled(f"the server sent {bytes(message[:8])!r}, which is no SMB 2")
    return header


# -- requests ----------------------------------------------------------------------------------------------------


def create(name: bytes, access: int, *, disposition: int = OPEN, options: int = 0, share: int = SHARE_ALL) -> Ask:
    """Open a name (UTF-16, below the share), or make it; no oplock is asked for, so none is ever to be broken."""
    fixed = _CREATE.pack(
        57, 0, 0, 2, 0, 0, access, 0, share, disposition, options, HEADER.size + _CREATE.size, len(name), 0, 0
    )
    return Ask(Command.CREATE, fixed + (name or b"\0\0"))


def close(handle: bytes = THAT) -> Ask:
    """Close a handle, and have told what the file is by then."""
    return Ask(Command.CLOSE, _CLOSE.pack(24, 1, 0, handle))


def flush(handle: bytes = THAT) -> Ask:
    """Have a file reach the server's disk."""
    return Ask(Command.FLUSH, _CLOSE.pack(24, 0, 0, handle))


def read(offset: int, length: int, handle: bytes = THAT) -> Ask:
    """Ask for ``length`` bytes of an open file."""
    return Ask(Command.READ, _READ.pack(49, 0x50, 0, length, offset, handle, 0, 0, 0, 0, 0, 0), length)


def write(offset: int, data: bytes, handle: bytes) -> Ask:
    """Write bytes."""
    fixed = _WRITE.pack(49, HEADER.size + _WRITE.size, len(data), offset, handle, 0, 0, 0, 0, 0)
    return Ask(Command.WRITE, fixed + data, len(data))


def query_folder(length: int, handle: bytes = THAT) -> Ask:
    """Ask for the next names of a folder, in at most this many bytes; what stands beside each is all we need."""
    pattern = b"*\0"
    fixed = _QUERY_DIRECTORY.pack(33, 38, 0, 0, handle, HEADER.size + _QUERY_DIRECTORY.size, len(pattern), length)
    return Ask(Command.QUERY_DIRECTORY, fixed + pattern, length)


def query_size(handle: bytes = THAT) -> Ask:
    """Ask for an open file's size."""
    return Ask(Command.QUERY_INFO, _QUERY_INFO.pack(41, 1, 5, 64, 0, 0, 0, 0, 0, handle, 0), 64)


def dispose(handle: bytes = THAT, *, doomed: bool = True) -> Ask:
    """Have a file deleted when it is closed, by whatever; or take that back."""
    return _set_info(13, bytes([doomed]), handle)


def rename(name: bytes, handle: bytes = THAT) -> Ask:
    """Give an open file another name (UTF-16, below the share), unless that is taken."""
    value = struct.pack("<B7xQI", 0, 0, len(name)) + name
    return _set_info(10, value.ljust(_SHORTEST_RENAME, b"\0"), handle)


def _set_info(kind: int, value: bytes, handle: bytes) -> Ask:
    fixed = _SET_INFO.pack(33, 1, kind, len(value), HEADER.size + _SET_INFO.size, 0, 0, handle)
    return Ask(Command.SET_INFO, fixed + value)


def tree_connect(path: str) -> Ask:
    r"""Ask for a share, as ``\\host\share``."""
    name = path.encode("utf-16-le", "surrogatepass")
    return Ask(Command.TREE_CONNECT, struct.pack("<HHHH", 9, 0, HEADER.size + 8, len(name)) + name)


def bare(command: Command) -> Ask:
    """Ask for what needs no more words: an echo, a logoff."""
    return Ask(command, struct.pack("<HH", 4, 0))


# -- answers -----------------------------------------------------------------------------------------------------


def read_opened(body: memoryview) -> Opened:
    """Read the answer to a create."""
    found = _unpacked(_CREATED, body)
    facts = Facts(found[9], instant(found[6]), found[10])
    return Opened(bytes(body[64:80]), facts, made=found[3] == _MADE)


def read_closed(body: memoryview) -> Facts:
    """Read the answer to a close."""
    found = _unpacked(_CLOSED, body)
    return Facts(found[8], instant(found[5]), found[9])


def read_data(body: memoryview) -> memoryview:
    """Read the answer to a read: the bytes themselves."""
    _, offset, _, length, _ = _unpacked(_DATA, body)
    return _part(body, offset, length)


def read_written(body: memoryview) -> int:
    """Read the answer to a write: how many bytes were taken."""
    return int(_unpacked(_WRITTEN, body)[2])


def read_size(body: memoryview) -> int:
    """Read the answer to `query_size`."""
    return int(_unpacked(_STANDARD, read_output(body))[1])


def read_output(body: memoryview) -> memoryview:
    """Read an answer that is all buffer."""
    _, offset, length = _unpacked(_OUTPUT, body)
    return _part(body, offset, length)


def read_names(body: memoryview) -> list[Named]:
    """Read a piece of a folder's listing."""
    found = []
    data = bytes(read_output(body))
    at, end = 0, len(data)
    unpack = _NAMED.unpack_from
    while end - at >= _NAMED_SIZE:
        ahead, _, mtime, size, attributes, length, tag, _, number = unpack(data, at)
        first = at + _NAMED_SIZE
        if first + length > end or 0 < ahead < _NAMED_SIZE + length:
            raise Garbled("a listing of the server ends within a name")
        link = bool(attributes & IS_REPARSE and tag & _SURROGATE)
        facts = Facts(size, mtime // 10 - _EPOCH_US if mtime else None, attributes)
        found.append(Named(data[first : first + length], facts, link, 0 if number == _NO_NUMBER else number))
        if not ahead:
            return found
        at += ahead
    raise Garbled("a listing of the server ends within an entry")


def instant(ticks: int) -> int | None:
    """Turn Windows' time (100 ns since 1601) into microseconds since 1970 UTC; 0 means that there is none."""
    return ticks // 10 - _EPOCH_US if ticks else None


def _unpacked(shape: struct.Struct, body: memoryview) -> tuple[int, ...]:
    try:
        return shape.unpack_from(body)
    except struct.error as err:
        raise Garbled(f"the server sent an answer of {len(body)} bytes, fewer than {shape.size}") from err


def _part(body: memoryview, offset: int, length: int) -> memoryview:
    """Return a part of an answer, whose offset counts from its header."""
    start = offset - HEADER.size
    if length and (start < 0 or start + length > len(body)):
        raise Garbled(f"the server announced {length} bytes at {offset} in an answer of {len(body)}")
    return body[start : start + length] if length else body[:0]
