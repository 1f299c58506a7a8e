"""An SMB server's faults: a relay in front of a real one that cuts, freezes, lies, refuses and loses.

It understands what goes through it, so what it changes are whole messages: it needs sessions that are neither signed
nor encrypted (a guest's) for all but dying, freezing and `Faults.flips`. A request that is not to reach the server
goes there as an echo under its number, so that numbers and credits stay true.
"""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from nightferry.stores.smb.wire import HEADER, IS_FOLDER, Command, Flag, Header, Status, read_header

_PIECE = 256 * 1024
_SPOILED = 0.2
_WRITING = 0x0001_0116  # access bits: write, append, write attributes, delete
_EOF_IN_NAMED, _ATTRIBUTES_IN_NAMED = 40, 56


@dataclass
class Faults:
    """How the relay misbehaves now; None or 0 for not at all. Numbers are bytes of file data."""

    dies: int | None = None  #: after so many more
    freezes: int | None = None  #: after so many more
    cuts: int | None = None  #: each file read ends there
    lies: int = 0  #: is added to every size
    refuses: bool = False  #: nothing may be written
    space: int | None = None  #: so many more are taken
    keeps: int | None = None  #: of each file written
    flips: bool = False  #: one bit of each read is turned over
    belittles: bool = False  #: our newest dialect is not told to the server
    spoils: random.Random | None = None  #: changes bytes of every few answers
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Doomed:
    """A request that did not reach the server, and what is answered instead."""

    command: int
    status: int
    body: bytes


class Relay:
    """Stands between clients and a server on loopback until it is closed."""

    def __init__(self, server: int) -> None:
        self.faults = Faults()
        self._server = server
        self._over = threading.Event()
        self._pairs: set[Pair] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="smb-relay", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Use as a context manager to close at its end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Cut all connections, and take no more."""
        self._over.set()
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join(5)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections."""
        with self._lock:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            pair.close()

    def forget(self, pair: "Pair") -> None:
        """Have no more to do with a pair that ended."""
        with self._lock:
            self._pairs.discard(pair)

    def _accept(self) -> None:
        while not self._over.is_set():
            client, _ = self._listener.accept()
            if self._over.is_set() or self.faults.dies == 0:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._server), 5)
            except OSError:  # the server itself is away
                client.close()
                continue
            server.settimeout(None)
            pair = Pair(self, client, server)
            with self._lock:
                self._pairs.add(pair)
            pair.start()


class Pair:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, relay: Relay, client: socket.socket, server: socket.socket) -> None:
        self._relay = relay
        self._faults = relay.faults
        self._client, self._server = client, server
        self._doomed: dict[int, Doomed] = {}
        self._offsets: dict[int, int] = {}
        self._frozen = False

    def start(self) -> None:
        """Begin to pass on."""
        for there in (True, False):
            threading.Thread(target=self._pump, args=(there,), name="smb-relay-pair", daemon=True).start()

    def close(self) -> None:
        """Cut both connections."""
        for sock in (self._client, self._server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self._relay.forget(self)

    def _pump(self, there: bool) -> None:  # noqa: FBT001 - the one thing that a thread is told
        source, target = (self._client, self._server) if there else (self._server, self._client)
        try:
            while message := _received(source):
                if self._frozen or self._faults.freezes == 0:
                    self._frozen = True
                    continue
                parts = [
                    self._asked(part) if there else self._spoiled(self._answered(part)) for part in _split(message)
                ]
                whole = _joined(parts)
                fault = self._spent(sum(_data(part, there=there) for part in parts))
                if fault == "dies":
                    target.sendall(whole[: len(whole) // 2])
                    self._relay.cut()
                elif not fault:
                    target.sendall(whole)
        except OSError:  # either end went away
            pass
        finally:
            self.close()

    def _spent(self, count: int) -> str:
        """Count file data; tell what happens now."""
        faults = self._faults
        with faults.lock:
            for fault in ("dies", "freezes"):
                left = getattr(faults, fault)
                if left is not None and (count or not left):
                    setattr(faults, fault, max(0, left - count))
                    if count > left or not left:
                        self._frozen = fault == "freezes"
                        return fault
        return ""

    # -- requests ----------------------------------------------------------------------------------------------

    def _asked(self, part: bytearray) -> bytearray:
        if part[:4] != b"\xfeSMB":
            return part
        header, faults = read_header(memoryview(part)), self._faults
        if header.command == Command.NEGOTIATE and faults.belittles:
            _belittle(part)
        if header.command == Command.READ:
            (self._offsets[header.number],) = struct.unpack_from("<Q", part, HEADER.size + 8)
        if faults.refuses and _writes(header, part):
            return self._instead(header, Status.ACCESS_DENIED)
        if header.command == Command.WRITE:
            return self._written(header, part)
        if faults.refuses and header.flags & Flag.RELATED and header.number - 1 in self._doomed:
            return self._instead(header, Status.ACCESS_DENIED)
        return part

    def _written(self, header: Header, part: bytearray) -> bytearray:
        faults = self._faults
        length, offset = struct.unpack_from("<IQ", part, HEADER.size + 4)
        with faults.lock:
            if faults.space is not None:
                if length > faults.space:
                    faults.space = 0
                    return self._instead(header, Status.DISK_FULL)
                faults.space -= length
        if faults.keeps is None or offset + length <= faults.keeps:
            return part
        kept = max(0, faults.keeps - offset)
        answer = struct.pack("<HHIIHHB", 17, 0, length, 0, 0, 0, 0)
        if not kept:
            return self._instead(header, Status.SUCCESS, answer)
        self._doomed[header.number] = Doomed(header.command, Status.SUCCESS, answer)
        struct.pack_into("<I", part, HEADER.size + 4, kept)
        return part[: HEADER.size + 48 + kept]

    def _instead(self, header: Header, status: Status, body: bytes = b"") -> bytearray:
        """Send an echo in a request's place, and note what is answered to it."""
        self._doomed[header.number] = Doomed(header.command, status, body or struct.pack("<HBBIB", 9, 0, 0, 0, 0))
        changed = header._replace(command=Command.ECHO, flags=header.flags & ~Flag.RELATED, next=0)
        return bytearray(HEADER.pack(*changed) + struct.pack("<HH", 4, 0))

    # -- answers -----------------------------------------------------------------------------------------------

    def _answered(self, part: bytearray) -> bytearray:
        if part[:4] != b"\xfeSMB":
            return part
        header, faults = read_header(memoryview(part)), self._faults
        if header.status == Status.PENDING:
            return part
        doomed = self._doomed.pop(header.number, None)
        if doomed is not None:
            changed = header._replace(command=doomed.command, status=doomed.status, next=0)
            return bytearray(HEADER.pack(*changed) + doomed.body)
        if header.command == Command.READ and not header.status:
            return self._read(header, part)
        if faults.lies and not header.status:
            _lie(header, part, faults.lies)
        return part

    def _spoiled(self, part: bytearray) -> bytearray:
        """Change some bytes behind an answer's header, now and then."""
        chance = self._faults.spoils
        if chance is not None and len(part) > HEADER.size and chance.random() < _SPOILED:
            for _ in range(chance.choice((1, 2, 8))):
                at = chance.randrange(HEADER.size, min(len(part), HEADER.size + 200))
                part[at] = chance.choice((0, 255, chance.randrange(256)))
        return part

    def _read(self, header: Header, part: bytearray) -> bytearray:
        offset, faults = self._offsets.pop(header.number, 0), self._faults
        start, length = part[HEADER.size + 2], struct.unpack_from("<I", part, HEADER.size + 4)[0]
        if faults.flips:
            part[start + length // 2] ^= 1
        if faults.cuts is None or offset + length <= faults.cuts:
            return part
        kept = max(0, faults.cuts - offset)
        if not kept:
            changed = header._replace(status=Status.END_OF_FILE, next=0)
            return bytearray(HEADER.pack(*changed) + struct.pack("<HBBIB", 9, 0, 0, 0, 0))
        struct.pack_into("<I", part, HEADER.size + 4, kept)
        return part[: start + kept]


def _belittle(part: bytearray) -> None:
    """Take the newest dialect out of a client's first words, as somebody would who cannot break it."""
    (count,) = struct.unpack_from("<H", part, HEADER.size + 2)
    struct.pack_into("<H", part, HEADER.size + 36 + 2 * (count - 1), 0x0302)


def _writes(header: Header, part: bytearray) -> bool:
    """Whether a request opens something to change it, or makes it."""
    if header.command != Command.CREATE:
        return False
    (access,) = struct.unpack_from("<I", part, HEADER.size + 24)
    (disposition,) = struct.unpack_from("<I", part, HEADER.size + 36)
    return bool(access & _WRITING) or disposition != 1


def _lie(header: Header, part: bytearray, by: int) -> None:
    """Change every size that an answer tells of a file."""
    if header.command in {Command.CREATE, Command.CLOSE}:
        (attributes,) = struct.unpack_from("<I", part, HEADER.size + 56)
        if not attributes & IS_FOLDER:
            _add(part, HEADER.size + 48, by)
    elif header.command == Command.QUERY_INFO:
        _add(part, struct.unpack_from("<H", part, HEADER.size + 2)[0] + 8, by)
    elif header.command == Command.QUERY_DIRECTORY:
        (at,) = struct.unpack_from("<H", part, HEADER.size + 2)
        while True:
            (ahead,) = struct.unpack_from("<I", part, at)
            if not struct.unpack_from("<I", part, at + _ATTRIBUTES_IN_NAMED)[0] & IS_FOLDER:
                _add(part, at + _EOF_IN_NAMED, by)
            if not ahead:
                return
            at += ahead


def _add(part: bytearray, at: int, by: int) -> None:
    (size,) = struct.unpack_from("<Q", part, at)
    struct.pack_into("<Q", part, at, max(0, size + by))


def _data(part: bytearray, *, there: bool) -> int:
    """Tell how many bytes of files a message carries."""
    if part[:4] != b"\xfeSMB":
        return 0
    header = read_header(memoryview(part))
    if header.command != (Command.WRITE if there else Command.READ) or (header.status and not there):
        return 0
    return int(struct.unpack_from("<I", part, HEADER.size + 4)[0])


def _received(sock: socket.socket) -> bytes:
    """Receive one message; nothing at the end."""
    head = _exactly(sock, 4)
    return _exactly(sock, int.from_bytes(head)) if head else b""


def _exactly(sock: socket.socket, count: int) -> bytes:
    found = bytearray()
    while len(found) < count:
        more = sock.recv(min(count - len(found), _PIECE))
        if not more:
            return b""
        found += more
    return bytes(found)


def _split(message: bytes) -> Iterator[bytearray]:
    """Cut a chain of requests or answers into its parts, without what fills the gaps between them."""
    while message:
        ahead = struct.unpack_from("<I", message, 20)[0] if message[:4] == b"\xfeSMB" else 0
        yield bytearray(message[:ahead] if ahead else message)
        message = message[ahead:] if ahead else b""


def _joined(parts: list[bytearray]) -> bytes:
    """Put parts together to one message."""
    whole = bytearray()
    for place, part in enumerate(parts):
        if part[:4] == b"\xfeSMB":
            last = place == len(parts) - 1
            one = part if last else part.ljust((len(part) + 7) & ~7, b"\0")
            struct.pack_into("<I", one, 20, 0 if last else len(one))
        else:
            one = part
        whole += one
    return len(whole).to_bytes(4) + bytes(whole)
