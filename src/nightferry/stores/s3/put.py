"""Objects on their way out: each with its SHA-256, never over a name that is taken, and looked at afterwards.

An object is there whole or not at all, so it is stored under its own name at once. ``If-None-Match: *`` has the server
refuse a name that is taken, and ``x-amz-checksum-sha256`` bytes that were damaged on the way.
"""

import base64
import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from blake3 import blake3

from nightferry.core.errors import Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import Attested, Load, PutAnswer, StorePath
from nightferry.stores.kit.listings import above_all
from nightferry.stores.kit.loads import Content, occupied, opened
from nightferry.stores.paths import part_name
from nightferry.stores.s3.bucket import MOST_PARTS, key_of
from nightferry.stores.s3.errors import UNSURE_REFUSALS, Refusal, error_of
from nightferry.stores.s3.service import Answer, Service
from nightferry.stores.s3.walk import look

# -- what we know of a server, and owe it ----------------------------------------------------------------------------

#: An upload below our prefix that was begun longer ago is nobody's any more: a run was killed in the middle of it.
FORGOTTEN = timedelta(hours=24)
_NOT_THERE = 404
_TRIAL = b"nightferry looks whether wrong digests are refused\n"
_REFUSED = (400, 403, 404, 405, 501)


class ServerFacts:
    """What is known of a server, and owed to it; shared by all calls of one store."""

    def __init__(self, service: Service) -> None:
        #: Whether ``If-None-Match`` is understood; without it two writers of one name may race.
        self.exclusive = True
        #: Whether ``x-amz-checksum-sha256`` is understood.
        self.sums = True
        self._service = service
        self._lock = threading.Lock()
        self._owed: list[tuple[str, str]] = []
        self._swept = False
        self._checks: bool | None = None

    def owe(self, key: str, upload: str) -> None:
        """Remember an upload to be called off when the server answers again."""
        with self._lock:
            self._owed.append((key, upload))

    def sweep(self) -> None:
        """Call off what we owe, and once in a store's life what killed runs left behind.

        Raises `Unreachable` when the server is; a key that may not list uploads leaves them to the bucket's rules.
        """
        with self._lock:
            owed, self._owed = self._owed, []
            first, self._swept = not self._swept, True
        try:
            if first:
                owed += self._forgotten()
            while owed:
                self.call_off(*owed[-1])
                owed.pop()
        except NightferryError:
            with self._lock:
                self._owed += owed
                self._swept = self._swept and not first
            raise

    def call_off(self, key: str, upload: str) -> None:
        """Have the server forget the parts of an upload; it may have done so already."""
        said = "calling off an unfinished upload"
        self._service.ask("abort_multipart_upload", said, *_REFUSED, Key=key, UploadId=upload)

    def _forgotten(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        marks: dict[str, object] = {}
        while True:
            answer = self._service.ask(
                "list_multipart_uploads",
                "listing unfinished uploads",
                *_REFUSED,
                Prefix=self._service.address.prefix,
                **marks,
            )
            if isinstance(answer, Refusal):
                if answer.code == "NoSuchBucket":
                    self._service.need_bucket()
                return found
            oldest_us = (answer.date - FORGOTTEN).timestamp() * 1e6
            for row in answer.rows("Uploads"):
                begun_us = row.time_us("Initiated")
                if begun_us is not None and begun_us < oldest_us:
                    found.append((row.text("Key"), row.text("UploadId")))
            marks = {"KeyMarker": answer.text("NextKeyMarker"), "UploadIdMarker": answer.text("NextUploadIdMarker")}
            if answer.fields.get("IsTruncated") is not True or not marks["KeyMarker"]:
                return found

    def checks_digests(self) -> bool:
        """Return whether the server refuses bytes whose digest is another one; what it tells of digests is proof then.

        Asked once: a few bytes with a wrong digest are offered under a name of our own, and taken away again if the
        server took them.
        """
        with self._lock:
            if self._checks is None:
                self._checks = self._refuses_a_wrong_digest()
            return self._checks

    def _refuses_a_wrong_digest(self) -> bool:
        key = self._service.address.prefix + part_name()
        wrong = base64.b64encode(hashlib.sha256(b"other bytes").digest()).decode()
        said = "offering bytes with a wrong digest"
        answer = self._service.ask(
            "put_object", said, 400, Key=key, Body=_TRIAL, ContentLength=len(_TRIAL), ChecksumSHA256=wrong
        )
        if isinstance(answer, Answer):
            self._service.ask("delete_object", "taking our trial away", _NOT_THERE, Key=key)
            return False
        return True


# -- big objects, in parts -------------------------------------------------------------------------------------------

#: Parts of one object that are under way at once; each is kept in memory until it is there.
_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Stored:
    """What was sent and confirmed: the server's ETag, our SHA-256 as S3 writes it, and the BLAKE3 of the same bytes."""

    etag: str
    sha256: str
    digest: str


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    size: int
    sha256: bytes
    etag: str

    @property
    def told(self) -> Mapping[str, object]:
        digest = base64.b64encode(self.sha256).decode()
        return {"PartNumber": self.number, "ETag": self.etag, "ChecksumSHA256": digest}


def part_size(size: int, usual: int) -> int:
    """Return how big parts must be so that they are not too many; whole MiB."""
    least = -(-size // MOST_PARTS)
    return max(usual, -(-least // (1 << 20)) << 20)


def by_parts(service: Service, server: ServerFacts, key: str, content: Content) -> Stored:
    """Store a file in parts; whatever goes wrong, the parts are called off, at the latest by the next put."""
    said = f"storing {content.target!a}"
    begun = service.need("create_multipart_upload", said, Key=key, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE")
    sending = _Upload(service, server, content.target, key, begun.text("UploadId"))
    try:
        parts, digest = sending.send(content)
        etag = sending.complete(parts)
    except BaseException as err:
        sending.call_off(politely=isinstance(err, NightferryError))
        raise
    joined = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
    return Stored(etag, f"{base64.b64encode(joined).decode()}-{len(parts)}", digest)


@dataclass(frozen=True, slots=True)
class _Upload:
    """One upload under way."""

    service: Service
    server: ServerFacts
    target: StorePath
    key: str
    number: str
    under_way: "deque[Future[_Part]]" = field(default_factory=deque)

    def send(self, content: Content) -> tuple[list[_Part], str]:
        """Send all parts, and tell them with the BLAKE3 of all bytes."""
        piece = part_size(content.size, self.service.address.part_size)
        hasher = blake3()
        parts: list[_Part] = []
        sent = 0
        while sent < content.size or self.under_way:
            if sent < content.size and len(self.under_way) < _AHEAD:
                data = content.read(min(piece, content.size - sent))
                if not data:
                    break
                sent += len(data)
                hasher.update(data)
                number = len(parts) + len(self.under_way) + 1
                self.under_way.append(self.service.beside(partial(self._send, number, data)))
                content.went(len(data))
            else:
                parts.append(self.under_way[0].result())
                self.under_way.popleft()
        content.need_all(sum(part.size for part in parts) + len(content.read(1)))
        return parts, hasher.hexdigest()

    def _send(self, number: int, data: bytes) -> _Part:
        digest = hashlib.sha256(data).digest()
        answer = self.service.need(
            "upload_part",
            f"storing part {number} of {self.target!a}",
            Key=self.key,
            UploadId=self.number,
            PartNumber=number,
            Body=data,
            ContentLength=len(data),
            ChecksumSHA256=base64.b64encode(digest).decode(),
        )
        return _Part(number, len(data), digest, answer.text("ETag"))

    def complete(self, parts: list[_Part]) -> str:
        """Make one object of the parts, unless its name is taken by now, and tell its ETag."""
        said = f"making one of the parts of {self.target!a}"
        told = {"Parts": [part.told for part in parts]}
        refused, wanted = (_NOT_OURS, _NOT_OFFERED), {"Key": self.key, "UploadId": self.number, "MultipartUpload": told}
        never_over = {"IfNoneMatch": "*"} if self.server.exclusive else {}
        answer = self.service.ask("complete_multipart_upload", said, *refused, **wanted, **never_over)
        if isinstance(answer, Refusal) and answer.status == _NOT_OFFERED and never_over:
            self.server.exclusive = False  # the name was looked for; two writers of one name may race from now on
            answer = self.service.ask("complete_multipart_upload", said, *refused, **wanted)
        if not isinstance(answer, Refusal):
            return answer.text("ETag")
        if answer.status == _NOT_OURS:
            raise occupied(self.service.label, self.target)
        raise error_of(answer, said, self.service.address)

    def call_off(self, *, politely: bool) -> None:
        """Have the parts forgotten: now, or by the next put when the server does not answer or nobody may wait."""
        for future in self.under_way:  # a part that arrives after its upload was called off would stay
            if not future.cancel() and politely:
                future.exception()
        try:
            if politely:
                self.server.call_off(self.key, self.number)
            else:
                self.server.owe(self.key, self.number)
        except NightferryError:
            self.server.owe(self.key, self.number)


# -- the put ---------------------------------------------------------------------------------------------------------

_MISSING, _NOT_OURS, _NOT_OFFERED, _NOT_TAKEN = 404, 412, 501, 400
#: How many names that begin with the wanted one are looked at to see whether that is taken, or a folder.
_NEIGHBOURS = 50
#: The SDK reads bytes that it signs in bigger pieces than those that it sends.
_GOES_OUT = 64 << 10


@dataclass(slots=True)
class Putter:
    """Stores objects one after the other; remembers, for one call, which folders are no objects."""

    service: Service
    server: ServerFacts
    _folders: set[StorePath] = field(default_factory=set)

    def put(self, load: Load) -> PutAnswer:
        """Store one file; raises only what concerns the whole store (`Misconfigured`, `Unreachable`)."""
        try:
            key = key_of(self.service.address, load.target)
            content = opened(load)
        except NightferryError as err:
            return err
        with content:
            try:
                self.server.sweep()
                self._see_vacant(key, load.target)
                return self._looked_at(content, key, self._store(key, content))
            except Misconfigured:
                raise
            except NightferryError as err:
                return err

    # -- the steps of a put ------------------------------------------------------------------------------------

    def _see_vacant(self, key: str, target: StorePath) -> None:
        """Refuse a name that is taken, is a folder, or lies below a file: other stores could not hold such a tree."""
        what = f"looking for {target!a}"
        first = self.service.need("list_objects_v2", what, Prefix=key, MaxKeys=_NEIGHBOURS)
        found = {row.text("Key") for row in first.rows("Contents")}
        if first.fields.get("IsTruncated") is True:
            below = self.service.need("list_objects_v2", what, Prefix=f"{key}/", MaxKeys=1)
            found |= {row.text("Key") for row in below.rows("Contents")}
        if key in found:
            raise occupied(self.service.label, target)
        if any(name.startswith(f"{key}/") for name in found):
            raise Occupied(f"{self.service.label}: a folder stands under the name {target!a}; nothing was changed")
        for folder in above_all(target):
            if folder in self._folders:
                continue
            if look(self.service, folder) is not None:
                raise Occupied(
                    f"{self.service.label}: the file {folder!a} stands where {target!a} needs a folder; nothing was "
                    "changed"
                )
            self._folders.add(folder)

    def _store(self, key: str, content: Content) -> Stored:
        size, pace = content.size, content.load.pace
        if size > self.service.address.whole:
            return by_parts(self.service, self.server, key, content)
        data = content.read(size + 1)
        content.need_all(len(data))
        sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
        body = data if pace is None else PacedBody(data, pace)
        etag = self._send(key, content.target, Body=body, ContentLength=size, ChecksumSHA256=sha256)
        return Stored(etag, sha256, blake3(data).hexdigest())

    def _send(self, key: str, target: StorePath, **what: object) -> str:
        said, first = f"storing {target!a}", None
        for without in self._less():
            body = what["Body"]
            if isinstance(body, io.BytesIO):
                body.seek(0)
            wanted = {name: value for name, value in {**what, "IfNoneMatch": "*"}.items() if name not in without}
            answer = self.service.ask("put_object", said, _NOT_OURS, _NOT_OFFERED, _NOT_TAKEN, Key=key, **wanted)
            if isinstance(answer, Answer):
                self.server.exclusive = "IfNoneMatch" not in without
                self.server.sums = "ChecksumSHA256" not in without
                return answer.text("ETag")
            if answer.status == _NOT_OURS:
                raise occupied(self.service.label, target)
            first = first or answer
            if answer.status == _NOT_TAKEN and answer.code not in UNSURE_REFUSALS:
                break
        assert first is not None  # noqa: S101 - there is always one way
        raise error_of(first, said, self.service.address)

    def _less(self) -> list[set[str]]:
        """Return what to leave out of a put, try after try: servers refuse conditions, digests, or both.

        Without the condition two writers of one name may race, though it was looked for; without our digest the
        server has the request's signature alone to compare with.
        """
        known = set() if self.server.exclusive else {"IfNoneMatch"}
        known |= set() if self.server.sums else {"ChecksumSHA256"}
        more = [{"IfNoneMatch"}, {"ChecksumSHA256"}, {"IfNoneMatch", "ChecksumSHA256"}]
        return [known, *(known | one for one in more if not one <= known)]

    def _looked_at(self, content: Content, key: str, stored: Stored) -> PutAnswer:
        """See what came to lie there; what is not what was sent is taken away again."""
        label, target = self.service.label, content.target
        answer = self.service.ask("head_object", f"looking at {target!a}", _MISSING, Key=key, ChecksumMode="ENABLED")
        if isinstance(answer, Refusal):
            return TryAgain(f"{label}: {target!a} was confirmed and is not there; tried again later")
        kept, sha256 = answer.number("ContentLength"), answer.text("ChecksumSHA256")
        if stored.etag and answer.text("ETag") != stored.etag:
            return TryAgain(f"{label}: {target!a} was replaced as soon as it was stored; tried again later")
        if kept == content.size and sha256 in {"", stored.sha256}:
            attested = self.service.address.attest and sha256 and self.server.checks_digests()
            return Attested(stored.digest, f"SHA-256 {_shown(sha256)}") if attested else None
        self.service.ask("delete_object", f"taking {target!a} away", _MISSING, Key=key)
        sums = f"SHA-256 {_shown(sha256)} instead of {_shown(stored.sha256)}"
        return content.kept(label, f"{kept} bytes" if kept != content.size else sums)


class PacedBody(io.BytesIO):
    """Bytes that tell somebody how many of them went out, who may keep them waiting."""

    def __init__(self, data: bytes, pace: Callable[[int], None]) -> None:
        super().__init__(data)
        self._pace = pace

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes, when they may go."""
        data = super().read(size)
        if size is not None and 0 <= size <= _GOES_OUT:
            self._pace(len(data))
        return data


def _shown(sha256: str) -> str:
    """Show a digest as S3 tells it (base64, and the number of parts) in hexadecimal digits."""
    digest, dash, parts = sha256.partition("-")
    return base64.b64decode(digest).hex() + dash + parts
