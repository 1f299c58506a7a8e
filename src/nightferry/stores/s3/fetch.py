"""Objects on their way in: small ones in one request, big ones in ranges of which several are under way.

What an object is, is told by the answer itself: size, time and ETag. All further requests for it carry that ETag
(``If-Match``), so the bytes are always those of one state of it. A connection that breaks off is replaced, and the
object goes on where it stood. An object that is fetched from its start is compared with its ETag where that is an MD5,
beside what the SDK does with the checksums that it knows.
"""

import hashlib
import re
from collections import deque
from concurrent.futures import Future
from functools import partial
from typing import Protocol, cast

from nightferry.core.errors import Changed, Gone, NightferryError, TryAgain
from nightferry.core.store import Entry, Want
from nightferry.stores.s3.bucket import key_of
from nightferry.stores.s3.errors import Refusal, error_of
from nightferry.stores.s3.service import Answer, Service
from nightferry.stores.s3.walk import entry_of

#: Ranges of one object that are under way at once, and how often in a row a broken connection is replaced.
_AHEAD, _MENDED = 4, 2
_MISSING, _NO_LONGER, _BEYOND = 404, 412, 416
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
#: The end of the names of S3 Express' buckets, whose ETags are no digests.
_EXPRESS = "--x-s3"


class Body(Protocol):
    """The bytes of an answer, as the SDK gives them."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; 0 at the end, where length and checksum are judged."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class S3Arrival:
    """One object on its way in; see `Arrival`."""

    def __init__(self, service: Service, want: Want) -> None:
        self._service, self._want = service, want
        self._where = f"{service.label}: {want.path!a}"
        self._key = ""
        self._etag = self._md5 = ""
        self._hasher = hashlib.md5(usedforsecurity=False)
        self._at = want.offset
        self._opened = self._over = False
        self._body: Body | None = None
        self._mended = 0
        self._ranges: deque[Future[bytes]] = deque()
        self._asked = want.offset
        self._rest = memoryview(b"")

    @property
    def want(self) -> Want:
        """What was asked for."""
        return self._want

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer with the next bytes; see `Arrival.read_into`."""
        if self._over:
            raise TryAgain(f"{self._where}: this arrival is over (read, failed or given up); fetch the object again")
        try:
            if not self._opened:
                self._open()
            count = 0
            while count < len(buffer) and self._at < self._want.size:
                got = self._in_ranges(buffer[count:]) if self._ranged else self._in_one(buffer[count:])
                self._hasher.update(buffer[count : count + got])
                count += got
                self._at += got
        except NightferryError:
            self.give_up()
            raise
        return count

    def finish(self) -> Entry:
        """Have the object compared with the want as it stands there now; see `Arrival.finish`."""
        if self._over or not self._opened or self._at < self._want.size:
            raise TryAgain(f"{self._where} was not read to its end; fetch it again")
        try:
            self._end_body()
            self._need_md5()
        finally:
            self.give_up()
        answer = self._told(self._service.ask("head_object", self._what, _MISSING, Key=self._key))
        if answer.text("ETag") != self._etag:
            raise Changed(f"{self._where} was written again while it was fetched")
        return self._compared(answer, answer.number("ContentLength"))

    def give_up(self) -> None:
        """Let go of what is under way; may be called again."""
        self._over = True
        if self._body is not None:
            self._body.close()
            self._body = None
        for coming in self._ranges:
            coming.cancel()
        self._ranges.clear()

    # -- the steps of a transfer -------------------------------------------------------------------------------

    @property
    def _what(self) -> str:
        return f"fetching {self._want.path!a}"

    @property
    def _ranged(self) -> bool:
        return self._want.size - self._want.offset > self._service.address.whole

    def _open(self) -> None:
        """Learn what the object is, and check that it is the wanted one."""
        want = self._want
        self._key = key_of(self._service.address, want.path)
        if self._ranged or want.offset >= want.size > 0:
            answer = self._told(self._service.ask("head_object", self._what, _MISSING, Key=self._key))
            size = answer.number("ContentLength")
        else:
            answer = self._get(want.offset)
            size = _whole_size(answer)
        self._etag = answer.text("ETag")
        self._md5 = "" if want.offset else md5_of(answer, self._service.address.bucket)
        entry = self._compared(answer, size)
        if want.offset > entry.size:
            raise self._shorter()
        self._opened = True

    def _get(self, start: int, end: int | None = None) -> Answer:
        """Ask for the bytes from ``start`` on, up to ``end`` if given, of the state that is known by now."""
        wanted: dict[str, object] = {"Key": self._key, "ChecksumMode": "ENABLED"}
        if start or end is not None:
            wanted["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        if self._etag:
            wanted["IfMatch"] = self._etag
        refused = (_MISSING, _NO_LONGER, _BEYOND)
        answer = self._told(self._service.ask("get_object", self._what, *refused, **wanted))
        if "Range" in wanted and not answer.text("ContentRange").startswith(f"bytes {start}-"):
            _body_of(answer).close()
            raise TryAgain(
                f"{self._where}: the server gave other bytes than those from {start:,} on; tried again later"
            )
        if end is None:
            self._body = _body_of(answer)
        return answer

    def _in_one(self, buffer: memoryview) -> int:
        """Read on in the one body there is; a connection that broke is replaced, as long as that moves anything."""
        if self._body is None:
            answer = self._get(self._at)
            self._compared(answer, _whole_size(answer))
        assert self._body is not None  # noqa: S101 - it was just opened
        try:
            with self._service.translated(self._what):
                count = self._body.readinto(buffer)
        except TryAgain:
            self._mended += 1
            if self._mended > _MENDED:
                raise
            self._body.close()
            self._body = None
            return 0
        if not count:
            raise TryAgain(f"{self._where} ended after {self._at:,} of {self._want.size:,} bytes; tried again later")
        self._mended = 0
        return count

    def _end_body(self) -> None:
        """Read the end of the data, where the SDK judges length and checksum."""
        if self._body is not None:
            with self._service.translated(self._what):
                more = self._body.readinto(memoryview(bytearray(1)))
            if more:
                raise Changed(f"{self._where} goes on after its {self._want.size:,} bytes")

    def _need_md5(self) -> None:
        """Raise `TryAgain` unless the bytes are those that the server had when it made the object's ETag."""
        found = self._hasher.hexdigest()
        if self._md5 not in {"", found}:
            raise TryAgain(
                f"{self._where}: the bytes were damaged on the way, or where they lie (their MD5 is {found}, and the "
                f"object's ETag says {self._md5}); tried again later. If that stays so, put the object there anew"
            )

    def _in_ranges(self, buffer: memoryview) -> int:
        """Copy from the ranges as they come in, and keep enough of them under way."""
        while self._asked < self._want.size and len(self._ranges) < min(_AHEAD, self._service.address.connections):
            end = min(self._asked + self._service.address.part_size, self._want.size)
            self._ranges.append(self._service.beside(partial(self._range, self._asked, end)))
            self._asked = end
        if not self._rest:
            self._rest = memoryview(self._ranges.popleft().result())
        count = min(len(self._rest), len(buffer))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _range(self, start: int, end: int) -> bytes:
        """Fetch one range whole; a connection that broke is replaced once."""
        for last in (False, True):
            answer = self._get(start, end)
            body = _body_of(answer)
            data = bytearray(end - start)
            filled = 0
            try:
                self._compared(answer, _whole_size(answer))
                with self._service.translated(self._what):
                    while filled < len(data) and (count := body.readinto(memoryview(data)[filled:])):
                        filled += count
            except TryAgain as err:
                if last or isinstance(err, Changed):
                    raise
                continue
            finally:
                body.close()
            if filled == len(data):
                return bytes(data)
        raise TryAgain(f"{self._where}: a range ended after {filled:,} of {len(data):,} bytes; tried again later")

    # -- what was told ---------------------------------------------------------------------------------------

    def _told(self, answer: Answer | Refusal) -> Answer:
        if isinstance(answer, Answer):
            return answer
        if answer.status == _MISSING:
            if answer.code == "NoSuchBucket":
                raise error_of(answer, self._what, self._service.address)
            self._service.need_bucket()
            raise Gone(f"{self._where} is no longer there")
        if answer.status == _NO_LONGER:
            raise Changed(f"{self._where} was written again while it was fetched")
        raise self._shorter()

    def _shorter(self) -> Changed:
        return Changed(f"{self._where} is shorter than the {self._at:,} bytes that were fetched before")

    def _compared(self, answer: Answer, size: int | None) -> Entry:
        want = self._want
        entry = entry_of(self._service, want.path, Answer({**answer.fields, "ContentLength": size}))
        if entry.size != want.size:
            raise Changed(f"{self._where} has {entry.size:,} bytes, and had {want.size:,} when it was wanted")
        if want.mtime_us is not None and entry.mtime_us is not None and want.mtime_us != entry.mtime_us:
            raise Changed(f"{self._where} was written again since it was wanted")
        return entry


def md5_of(answer: Answer, bucket: str) -> str:
    """Return the MD5 of an object's bytes that its ETag is; empty where it is something else.

    It is one for objects that were stored whole, in the clear or with keys of S3's own (API reference of S3, "Object",
    ETag). Objects of parts have ETags with a dash.
    """
    encrypted = answer.text("ServerSideEncryption") not in {"", "AES256"} or answer.text("SSECustomerAlgorithm")
    found = _MD5.fullmatch(answer.text("ETag"))
    return "" if found is None or encrypted or bucket.endswith(_EXPRESS) else found[1]


def _body_of(answer: Answer) -> Body:
    return cast("Body", answer.fields["Body"])


def _whole_size(answer: Answer) -> int | None:
    """Return an object's size from an answer with its bytes, or with some of them."""
    _, slash, whole = answer.text("ContentRange").rpartition("/")
    return int(whole) if slash and whole.isdecimal() else answer.number("ContentLength")
