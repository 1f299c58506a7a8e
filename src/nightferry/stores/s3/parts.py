"""Big objects go in parts: several at once, each with its SHA-256, made one only when all are there."""

import base64
import hashlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

from blake3 import blake3

from nightferry.core.errors import NightferryError
from nightferry.core.store import StorePath
from nightferry.stores.loads import Content, occupied
from nightferry.stores.s3.address import MOST_PARTS
from nightferry.stores.s3.complaint import Refusal, error_of
from nightferry.stores.s3.dealings import Dealings
from nightferry.stores.s3.service import Service

#: Parts of one object that are under way at once; each is kept in memory until it is there.
_AHEAD = 2
_NOT_OURS, _NOT_OFFERED = 412, 501


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
    """Tell how big parts must be so that they are not too many; whole MiB."""
    least = -(-size // MOST_PARTS)
    return max(usual, -(-least // (1 << 20)) << 20)


def by_parts(service: Service, dealings: Dealings, key: str, content: Content) -> Stored:
    """Store a file in parts; whatever goes wrong, the parts are called off, at the latest by the next put."""
    said = f"storing {content.target!a}"
    begun = service.need("create_multipart_upload", said, Key=key, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE")
    sending = _Upload(service, dealings, content.target, key, begun.text("UploadId"))
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
    dealings: Dealings
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
        never_over = {"IfNoneMatch": "*"} if self.dealings.exclusive else {}
        answer = self.service.ask("complete_multipart_upload", said, *refused, **wanted, **never_over)
        if isinstance(answer, Refusal) and answer.status == _NOT_OFFERED and never_over:
            self.dealings.exclusive = False  # the name was looked for; two writers of one name may race from now on
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
                self.dealings.call_off(self.key, self.number)
            else:
                self.dealings.owe(self.key, self.number)
        except NightferryError:
            self.dealings.owe(self.key, self.number)
