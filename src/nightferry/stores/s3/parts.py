"""Big objects go in parts: several at once, each with its SHA-256, made one only when all are there."""

import base64
import hashlib
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from blake3 import blake3

from nightferry.core.errors import NightferryError, Occupied, TryAgain
from nightferry.core.store import Load
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


def by_parts(service: Service, dealings: Dealings, load: Load, key: str, source: BinaryIO, size: int) -> Stored:
    """Store a file in parts; whatever goes wrong, the parts are called off, at the latest by the next put."""
    said = f"storing {load.target!a}"
    begun = service.need("create_multipart_upload", said, Key=key, ChecksumAlgorithm="SHA256", ChecksumType="COMPOSITE")
    upload = begun.text("UploadId")
    under_way: deque[Future[_Part]] = deque()
    try:
        parts, digest = _send_all(service, load, key, upload, source, size, under_way)
        etag = _complete(service, dealings, load, key, upload, parts)
    except BaseException as err:
        for future in under_way:  # a part that arrives after its upload was called off would stay
            future.cancel() or future.exception()
        try:
            if not isinstance(err, NightferryError):
                dealings.owe(key, upload)
            else:
                dealings.call_off(key, upload)
        except NightferryError:
            dealings.owe(key, upload)
        raise
    joined = hashlib.sha256(b"".join(part.sha256 for part in parts)).digest()
    return Stored(etag, f"{base64.b64encode(joined).decode()}-{len(parts)}", digest)


def _send_all(
    service: Service, load: Load, key: str, upload: str, source: BinaryIO, size: int, under_way: "deque[Future[_Part]]"
) -> tuple[list[_Part], str]:
    piece = part_size(size, service.address.part_size)
    hasher = blake3()
    parts: list[_Part] = []
    sent = number = 0
    while sent < size or under_way:
        if sent < size and len(under_way) < _AHEAD:
            try:
                data = source.read(min(piece, size - sent))
            except OSError as err:
                raise TryAgain(
                    f"reading the local file for {load.target!a} failed ({err.strerror}); check that disk"
                ) from err
            if not data:
                break
            number += 1
            sent += len(data)
            hasher.update(data)
            under_way.append(service.beside(partial(_send, service, load, key, upload, number, data)))
            if load.pace is not None:
                load.pace(len(data))
        else:
            parts.append(under_way[0].result())
            under_way.popleft()
    if sum(part.size for part in parts) != size or source.read(1):
        raise TryAgain(f"the local file for {load.target!a} changed while it was stored; tried again later")
    return parts, hasher.hexdigest()


def _send(service: Service, load: Load, key: str, upload: str, number: int, data: bytes) -> _Part:
    digest = hashlib.sha256(data).digest()
    answer = service.need(
        "upload_part",
        f"storing part {number} of {load.target!a}",
        Key=key,
        UploadId=upload,
        PartNumber=number,
        Body=data,
        ContentLength=len(data),
        ChecksumSHA256=base64.b64encode(digest).decode(),
    )
    return _Part(number, len(data), digest, answer.text("ETag"))


def _complete(
    service: Service, dealings: Dealings, load: Load, key: str, upload: str, parts: list[_Part]
) -> str:
    said = f"making one of the parts of {load.target!a}"
    wanted = {"Key": key, "UploadId": upload, "MultipartUpload": {"Parts": [part.told for part in parts]}}
    refused = (_NOT_OURS, _NOT_OFFERED)
    never_over = {"IfNoneMatch": "*"} if dealings.exclusive else {}
    answer = service.ask("complete_multipart_upload", said, expected=refused, **wanted, **never_over)
    if isinstance(answer, Refusal) and answer.status == _NOT_OFFERED and never_over:
        dealings.exclusive = False  # the name was looked for; two writers of one name may race from now on
        answer = service.ask("complete_multipart_upload", said, expected=refused, **wanted)
    if not isinstance(answer, Refusal):
        return answer.text("ETag")
    if answer.status == _NOT_OURS:
        raise Occupied(f"{service.label} has a file {load.target!a} already; nothing was changed")
    raise error_of(answer, said, service.address)
