"""SFTP version 3 as bytes: what is said, and what is understood of the answers.

The protocol: draft-ietf-secsh-filexfer-02, https://www.openssh.com/txt/draft-ietf-secsh-filexfer-02.txt; OpenSSH's
additions: the file PROTOCOL of its sources. Pure functions and one buffer; whatever a server says, nothing here
raises anything but `Garbled`, and nothing grows beyond a fixed size.
"""

import re
import stat
import struct
from enum import IntEnum
from typing import Literal, NamedTuple

from nightferry.stores.kit.sessions import Garbled

#: OpenSSH sends no packet longer than 256 KiB, and a server that must listen to it takes none.
LONGEST_PACKET = 256 * 1024 + 1024
#: What every server must be able to send in one answer; more only where it says so.
SAFE_CHUNK = 32 * 1024
VERSION = 3

U32 = struct.Struct(">I")
_HEAD = struct.Struct(">IB")
_ASKED = struct.Struct(">IBI")
_U64 = struct.Struct(">Q")
_LIMITS = struct.Struct(">4Q")
_VFS = struct.Struct(">5Q")
_USUAL_ATTRS = struct.Struct(">IQIIIII")  # flags, size, user, group, permissions, last read, last change

_LONGEST_HANDLE = 256  # bytes, says the draft
_SIZE, _OWNER, _PERMISSIONS, _TIMES, _EXTENDED = 1, 2, 4, 8, 0x80000000
_USUAL = _SIZE | _OWNER | _PERMISSIONS | _TIMES
_NOTHING = (0,) * 7
_KIND_OF_FILE = 0o170000


class Kind(IntEnum):
    """What a packet is."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    READ = 5
    WRITE = 6
    LSTAT = 7
    FSTAT = 8
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    MKDIR = 14
    REALPATH = 16
    STAT = 17
    RENAME = 18
    READLINK = 19
    STATUS = 101
    HANDLE = 102
    DATA = 103
    NAME = 104
    ATTRS = 105
    EXTENDED = 200
    EXTENDED_REPLY = 201


class Code(IntEnum):
    """What a status means."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


OPEN_READ = U32.pack(1)
#: Write, create, and fail if it is there.
OPEN_NEW = U32.pack(2 | 8 | 32)
#: Write and create, for servers that do not know the last of these.
OPEN_PLAIN = U32.pack(2 | 8)
NO_ATTRS = U32.pack(0)


def mode_attrs(mode: int) -> bytes:
    """Write attributes that hold nothing but permissions."""
    return struct.pack(">II", _PERMISSIONS, mode)


def text(value: bytes) -> bytes:
    """Write a string: its length, then its bytes."""
    return U32.pack(len(value)) + value


def number(value: int) -> bytes:
    """Write an offset in a file."""
    return _U64.pack(value)


def packet(kind: int, request: int, *fields: bytes) -> bytes:
    """Write one request under its number."""
    body = b"".join(fields)
    return _ASKED.pack(len(body) + 5, kind, request) + body


def hello() -> bytes:
    """Write the first packet, which has no number."""
    return _HEAD.pack(5, Kind.INIT) + U32.pack(VERSION)


class Status(NamedTuple):
    """What a server answers when it gives nothing else."""

    code: int
    message: str

    def __str__(self) -> str:
        name = Code(self.code).name if self.code in Code.__members__.values() else str(self.code)
        return f"{name}, {self.message!a}" if self.message else name


class Attrs(NamedTuple):
    """What a server tells of a file; ``mtime_us`` in microseconds since 1970 UTC, exact to the second."""

    size: int | None
    kind: Literal["file", "folder", "link", "special", ""]
    mtime_us: int | None


class Named(NamedTuple):
    """One name in a folder."""

    name: bytes
    attrs: Attrs


class Limits(NamedTuple):
    """The longest read and write that a server takes, in bytes."""

    read: int
    write: int


_KINDS: dict[int, Literal["file", "folder", "link", "special", ""]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    0: "",
}
# Some servers tell permissions without the kind of the file, and that only as ``ls -l`` would.
_LETTERS: dict[bytes, Literal["file", "folder", "link", "special", ""]] = {b"-": "file", b"d": "folder", b"l": "link"}
_MODE = re.compile(rb"([-dlbcpsD])[-r][-w][-xsS][-r][-w][-xsS][-r][-w][-xtT]")


def read_status(body: bytes) -> Status:
    """Read a status; its text is missing on servers of older versions."""
    if len(body) < U32.size:
        raise Garbled(f"the server sent a status of {len(body)} bytes")
    (code,) = U32.unpack_from(body)
    message = _text_at(body, 4)[0] if len(body) >= 2 * U32.size else b""
    return Status(code, message.decode("utf-8", "replace")[:200])


def read_handle(body: bytes) -> bytes:
    """Read the handle of an opened file or folder."""
    handle, _ = _text_at(body, 0)
    if len(handle) > _LONGEST_HANDLE:
        raise Garbled(f"the server sent a handle of {len(handle)} bytes; at most 256 are allowed")
    return handle


def read_attrs(body: bytes) -> Attrs:
    """Read what a server tells of one file."""
    return _attrs_at(body, 0)[0]


def read_names(body: bytes) -> list[Named]:
    """Read a piece of a folder's listing."""
    if len(body) < U32.size:
        raise Garbled(f"the server sent a listing of {len(body)} bytes")
    (count,) = U32.unpack_from(body)
    if count * 12 > len(body):
        raise Garbled(f"the server announced {count} names in a listing of {len(body)} bytes")
    found = []
    at, end = 4, len(body)
    usual, usual_size, kinds = _USUAL_ATTRS.unpack_from, _USUAL_ATTRS.size, _KINDS
    try:
        for _ in range(count):  # what OpenSSH sends a hundred thousand times, without a call for each part
            first = at + 4 + U32.unpack_from(body, at)[0]
            second = first + 4 + U32.unpack_from(body, first)[0]
            flags, size, _, _, mode, _, mtime = usual(body, second) if second + usual_size <= end else _NOTHING
            kind = kinds.get(mode & _KIND_OF_FILE, "special")
            if flags == _USUAL and kind:
                found.append(Named(body[at + 4 : first], Attrs(size, kind, mtime * 1_000_000)))
                at = second + usual_size
            else:
                one, at = _odd_name(body, at)
                found.append(one)
    except struct.error as err:
        raise Garbled("a packet of the server ends within a name") from err
    return found


def _odd_name(body: bytes, at: int) -> tuple[Named, int]:
    name, at = _text_at(body, at)
    long, at = _text_at(body, at)
    attrs, at = _attrs_at(body, at)
    if not attrs.kind:
        shown = _MODE.match(long)  # some servers send the bare name instead, which tells nothing
        attrs = attrs._replace(kind=_LETTERS.get(shown[1], "special") if shown else "")
    return Named(name, attrs), at


def read_extensions(body: bytes) -> dict[bytes, bytes]:
    """Read what a server offers beyond the protocol, out of its first packet."""
    if len(body) < U32.size:
        raise Garbled(f"the server's first packet is {len(body)} bytes short")
    (version,) = U32.unpack_from(body)
    if version < VERSION:
        raise Garbled(f"the server speaks version {version} of SFTP; expected {VERSION}")
    offered = {}
    at = 4
    while at < len(body):
        name, at = _text_at(body, at)
        value, at = _text_at(body, at)
        offered[name] = value
    return offered


def read_limits(body: bytes) -> Limits:
    """Read the answer to ``limits@openssh.com``; what is not told, or is absurd, becomes what is safe."""
    if len(body) < _LIMITS.size:
        return Limits(SAFE_CHUNK, SAFE_CHUNK)
    _, read, write, _ = _LIMITS.unpack_from(body)
    longest = LONGEST_PACKET - 2048
    return Limits(
        min(read, longest) if read >= SAFE_CHUNK else SAFE_CHUNK,
        min(write, longest) if write >= SAFE_CHUNK else SAFE_CHUNK,
    )


def read_free_space(body: bytes) -> int | None:
    """Read the bytes left for us out of the answer to ``statvfs@openssh.com``; None when they are not told."""
    if len(body) < _VFS.size:
        return None
    _, unit, _, _, available = _VFS.unpack_from(body)
    return int(unit * available)


def _text_at(body: bytes, at: int) -> tuple[bytes, int]:
    start = at + 4
    if start > len(body):
        raise Garbled("a packet of the server ends within a length")
    end = start + int.from_bytes(body[at:start])
    if end > len(body):
        raise Garbled(f"a packet of the server announces {end - start} bytes and has {len(body) - start}")
    return body[start:end], end


def _attrs_at(body: bytes, at: int) -> tuple[Attrs, int]:
    try:
        (flags,) = U32.unpack_from(body, at)
        if flags == _USUAL:
            _, size, _, _, mode, _, mtime = _USUAL_ATTRS.unpack_from(body, at)
            return Attrs(size, _KINDS.get(mode & _KIND_OF_FILE, "special"), mtime * 1_000_000), at + _USUAL_ATTRS.size
        return _odd_attrs(body, at + 4, flags)
    except struct.error as err:
        raise Garbled("a packet of the server ends within a file's attributes") from err


def _odd_attrs(body: bytes, at: int, flags: int) -> tuple[Attrs, int]:
    size = mtime_us = None
    kind: Literal["file", "folder", "link", "special", ""] = ""
    if flags & _SIZE:
        (size,) = _U64.unpack_from(body, at)
        at += 8
    if flags & _OWNER:
        at += 8
    if flags & _PERMISSIONS:
        kind = _KINDS.get(U32.unpack_from(body, at)[0] & _KIND_OF_FILE, "special")
        at += 4
    if flags & _TIMES:
        mtime_us = U32.unpack_from(body, at + 4)[0] * 1_000_000
        at += 8
    if flags & _EXTENDED:
        (pairs,) = U32.unpack_from(body, at)
        at += 4
        if pairs * 8 > len(body):
            raise Garbled(f"the server announced {pairs} extended attributes in {len(body)} bytes")
        for _ in range(2 * pairs):
            _, at = _text_at(body, at)
    if at > len(body):
        raise Garbled("a packet of the server ends within a file's attributes")
    return Attrs(size, kind, mtime_us), at


class Framer:
    """Cuts a stream of bytes into packets, in one buffer of fixed size."""

    def __init__(self) -> None:
        self._view = memoryview(bytearray(4 * LONGEST_PACKET))
        self._start = self._end = 0

    def room(self) -> memoryview:
        """Return the place for the next bytes; packets given before are no longer good."""
        if len(self._view) - self._end < LONGEST_PACKET:
            left = self._end - self._start
            self._view[:left] = self._view[self._start : self._end]
            self._start, self._end = 0, left
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Note how many bytes came into the room."""
        self._end += count

    def next(self) -> tuple[int, memoryview] | None:
        """Return the next packet's kind and the rest of it, or None when it is not whole yet.

        Raises `Garbled` for a length that no server may send, which is what a shell's greeting looks like.
        """
        begun = self._end - self._start
        if begun < U32.size:
            return None
        (length,) = U32.unpack_from(self._view, self._start)
        if not 1 <= length <= LONGEST_PACKET - 4:
            shown = bytes(self._view[self._start : min(self._end, self._start + 60)])
            raise Garbled(f"the server said {shown!r}, which is no SFTP")
        if begun < 4 + length:
            return None
        first = self._start + 4
        self._start = first + length
        return self._view[first], self._view[first + 1 : self._start]
