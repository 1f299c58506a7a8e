"""Stands between sshd and OpenSSH's ``sftp-server`` and makes it misbehave; run as a program, standard library only.

    sftp_faults.py FAULTS SFTP-SERVER

FAULTS is a file of eight signed 64-bit numbers that the tests write while we run; -1 switches a fault off:
bytes until the server dies, until it freezes, where it cuts files short, how much it lies about sizes (0 for no
lie), the space that is left, how many bytes of a file it keeps, whether it refuses to write, and how bare its answers
are: 1 for no type bits and bare names, 2 for refusing a
folder named ``bad`` besides, 3 for knowing no LSTAT besides.
"""

import mmap
import os
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

DIES, FREEZES, CUTS, LIES, SPACE, KEEPS, REFUSES, BARE = range(8)
OFF = (-1, -1, -1, 0, -1, -1, -1, -1)
_NUMBERS = struct.Struct("=8q")
_OPEN, _READ, _WRITE, _REMOVE, _MKDIR, _RENAME, _EXTENDED = 3, 5, 6, 13, 14, 18, 200
_STATUS, _DATA, _NAME, _ATTRS, _REPLY = 101, 103, 104, 105, 201
_LSTAT, _OPENDIR = 7, 11
_EOF, _DENIED, _FAILURE, _UNSUPPORTED = 1, 3, 4, 8


class Faults:
    """The numbers in the file, shared by all who look at it."""

    def __init__(self, place: Path) -> None:
        self._file = place.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _NUMBERS.size)

    def __getitem__(self, which: int) -> int:
        """Read one number."""
        return int(struct.unpack_from("=q", self._map, which * 8)[0])

    def __setitem__(self, which: int, value: int) -> None:
        """Write one number."""
        struct.pack_into("=q", self._map, which * 8, value)

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        self._file.close()


def fresh_faults(place: Path) -> Faults:
    """Make a file without faults."""
    place.write_bytes(_NUMBERS.pack(*OFF))
    return Faults(place)


class Filter:
    """Passes packets both ways, changing some."""

    def __init__(self, faults: Faults, server: "subprocess.Popen[bytes]") -> None:
        self._faults = faults
        self._server = server
        self._lock = threading.Lock()
        self._reads: dict[int, int] = {}
        self._writes: dict[int, int] = {}
        self._spaces: set[int] = set()

    def to_server(self) -> None:
        """Pass requests on."""
        assert self._server.stdin is not None
        while (packet := self._next(0)) is not None:
            kind = packet[0]
            number = int.from_bytes(packet[1:5])
            answer = self._refused(kind, number, packet)
            if answer is None:
                packet = self._noted(kind, number, packet)
                self._server.stdin.write(struct.pack(">I", len(packet)) + packet)
                self._server.stdin.flush()
            else:
                self._say(answer)
        self._server.stdin.close()

    def to_client(self) -> None:
        """Pass answers on."""
        assert self._server.stdout is not None
        while (packet := self._next(self._server.stdout.fileno())) is not None:
            kind = packet[0]
            number = int.from_bytes(packet[1:5])
            if kind == _DATA:
                packet = self._cut(number, packet)
            elif kind in {_ATTRS, _NAME} and self._faults[LIES]:
                packet = self._lied(kind, packet)
            elif kind == _REPLY and number in self._spaces and self._faults[SPACE] >= 0:
                packet = packet[:5] + struct.pack(">11Q", 1, 1, 1, *[self._faults[SPACE]] * 2, *[0] * 6)
            if kind in {_ATTRS, _NAME} and self._faults[BARE] >= 1:
                packet = _bare(kind, packet)
            self._say(packet)

    # -- faults ------------------------------------------------------------------------------------------------

    def _refused(self, kind: int, number: int, packet: bytes) -> bytes | None:
        writes = (
            kind in {_REMOVE, _MKDIR, _RENAME, _WRITE}
            or (kind == _OPEN and _open_flags(packet) & 2)
            or (kind == _EXTENDED and b"hardlink@openssh.com" in packet[:40])
        )
        if self._faults[REFUSES] >= 0 and writes:
            return _status(number, _DENIED)
        if kind == _OPENDIR and packet.endswith(b"/bad") and self._faults[BARE] >= 2:
            return _status(number, _FAILURE)
        if kind == _LSTAT and self._faults[BARE] >= 3:
            return _status(number, _UNSUPPORTED)
        if kind == _WRITE and self._faults[SPACE] >= 0:
            size = len(_write_data(packet))
            if size > self._faults[SPACE]:
                return _status(number, _FAILURE)
            self._faults[SPACE] -= size
        return None

    def _noted(self, kind: int, number: int, packet: bytes) -> bytes:
        if kind == _EXTENDED and b"statvfs@openssh.com" in packet[:40]:
            self._spaces.add(number)
        if kind == _READ:
            at = 5 + 4 + int.from_bytes(packet[5:9])
            self._reads[number] = int.from_bytes(packet[at : at + 8])
        if kind == _WRITE:
            data = _write_data(packet)
            self._spend(len(data))
            if self._faults[KEEPS] >= 0:
                at = 5 + 4 + int.from_bytes(packet[5:9])
                offset = int.from_bytes(packet[at : at + 8])
                kept = data[: max(0, self._faults[KEEPS] - offset)]
                if not kept:  # an empty write changes nothing and is confirmed
                    return packet[:at] + bytes(8) + struct.pack(">I", 0)
                return packet[: at + 8] + struct.pack(">I", len(kept)) + kept
        return packet

    def _cut(self, number: int, packet: bytes) -> bytes:
        offset = self._reads.pop(number, 0)
        data = packet[9:]
        if self._faults[CUTS] >= 0:
            data = data[: max(0, self._faults[CUTS] - offset)]
            if not data:
                return _status(number, _EOF)
            packet = packet[:5] + struct.pack(">I", len(data)) + data
        self._spend(len(data))
        return packet

    def _lied(self, kind: int, packet: bytes) -> bytes:
        """Change sizes where OpenSSH writes them: with owner, permissions and times behind."""
        changed = bytearray(packet)
        if kind == _ATTRS:
            self._change_size(changed, 5)
            return bytes(changed)
        at = 9
        for _ in range(int.from_bytes(packet[5:9])):
            for _ in range(2):
                at += 4 + int.from_bytes(packet[at : at + 4])
            self._change_size(changed, at)
            at += 32
        return bytes(changed)

    def _change_size(self, packet: bytearray, at: int) -> None:
        if int.from_bytes(packet[at + 20 : at + 24]) & 0o170000 == 0o100000:
            size = int.from_bytes(packet[at + 4 : at + 12]) + self._faults[LIES]
            packet[at + 4 : at + 12] = size.to_bytes(8)

    def _spend(self, count: int) -> None:
        for fault in (DIES, FREEZES):
            left = self._faults[fault]
            if left >= 0:
                self._faults[fault] = max(0, left - count)
        self.abide()

    def abide(self) -> None:
        """Die or freeze, if it is time."""
        if self._faults[DIES] == 0:
            self._server.kill()
            os._exit(1)
        while self._faults[FREEZES] == 0:
            time.sleep(0.02)

    # -- packets -----------------------------------------------------------------------------------------------

    def _next(self, source: int) -> bytes | None:
        head = _exactly(source, 4)
        body = head and _exactly(source, int.from_bytes(head))
        self.abide()
        return body or None

    def _say(self, packet: bytes) -> None:
        data = memoryview(struct.pack(">I", len(packet)) + packet)
        with self._lock:
            while data:
                data = data[os.write(1, data) :]


def _bare(kind: int, packet: bytes) -> bytes:
    """Take the type bits out of modes, and all but the name out of the lines of a listing."""
    if kind == _ATTRS:
        return packet[:21] + (int.from_bytes(packet[21:25]) & 0o7777).to_bytes(4) + packet[25:]
    found, at = bytearray(packet[:9]), 9
    for _ in range(int.from_bytes(packet[5:9])):
        size = int.from_bytes(packet[at : at + 4])
        name = packet[at : at + 4 + size]
        at += len(name)
        at += 4 + int.from_bytes(packet[at : at + 4])
        attrs, at = packet[at : at + 32], at + 32
        mode = int.from_bytes(attrs[20:24]) & 0o7777
        found += name + name + attrs[:20] + mode.to_bytes(4) + attrs[24:]
    return bytes(found)


def _open_flags(packet: bytes) -> int:
    at = 5 + 4 + int.from_bytes(packet[5:9])
    return int.from_bytes(packet[at : at + 4])


def _write_data(packet: bytes) -> bytes:
    at = 5 + 4 + int.from_bytes(packet[5:9]) + 8
    return packet[at + 4 :]


def _status(number: int, code: int) -> bytes:
    return bytes([_STATUS]) + struct.pack(">IIII", number, code, 0, 0)


def _exactly(source: int, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        try:
            more = os.read(source, count - len(found))
        except OSError:
            return None
        if not more:
            return None
        found += more
    return bytes(found)


def main() -> None:
    """Run until either side ends."""
    faults = Faults(Path(sys.argv[1]))
    server = subprocess.Popen([sys.argv[2]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    between = Filter(faults, server)
    between.abide()
    threading.Thread(target=between.to_server, daemon=True).start()

    def tick() -> None:
        while True:
            time.sleep(0.02)
            between.abide()

    threading.Thread(target=tick, daemon=True).start()
    between.to_client()
    os._exit(0)


if __name__ == "__main__":
    main()
