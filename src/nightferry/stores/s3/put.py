"""Objects on their way out: each with its SHA-256, never over a name that is taken, and looked at afterwards.

An object is there whole or not at all, so it is stored under its own name at once. ``If-None-Match: *`` has the server
refuse a name that is taken, and ``x-amz-checksum-sha256`` bytes that were damaged on the way.
"""

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field

from blake3 import blake3

from nightferry.core.errors import Misconfigured, NightferryError, Occupied, TryAgain
from nightferry.core.store import Attested, Load, PutAnswer, StorePath
from nightferry.stores.loads import Content, occupied, opened
from nightferry.stores.s3.complaint import Refusal, error_of
from nightferry.stores.s3.dealings import Dealings
from nightferry.stores.s3.keys import folders_of, key_of
from nightferry.stores.s3.parts import Stored, by_parts
from nightferry.stores.s3.service import Answer, Service
from nightferry.stores.s3.walk import look

_MISSING, _NOT_OURS, _NOT_OFFERED = 404, 412, 501
#: How many names that begin with the wanted one are looked at to see whether that is taken, or a folder.
_NEIGHBOURS = 50
#: The SDK reads bytes that it signs in bigger pieces than those that it sends.
_GOES_OUT = 64 << 10


@dataclass(slots=True)
class Putter:
    """Stores objects one after the other; remembers, for one call, which folders are no objects."""

    service: Service
    dealings: Dealings
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
                self.dealings.sweep()
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
        for folder in folders_of(target):
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
            return by_parts(self.service, self.dealings, key, content)
        data = content.read(size + 1)
        content.need_all(len(data))
        sha256 = base64.b64encode(hashlib.sha256(data).digest()).decode()
        body = data if pace is None else PacedBody(data, pace)
        etag = self._send(key, content.target, Body=body, ContentLength=size, ChecksumSHA256=sha256)
        return Stored(etag, sha256, blake3(data).hexdigest())

    def _send(self, key: str, target: StorePath, **what: object) -> str:
        refused = (_NOT_OURS, _NOT_OFFERED)
        never_over = {"IfNoneMatch": "*"} if self.dealings.exclusive else {}
        said = f"storing {target!a}"
        answer = self.service.ask("put_object", said, *refused, Key=key, **never_over, **what)
        if isinstance(answer, Refusal) and answer.status == _NOT_OFFERED and never_over:
            self.dealings.exclusive = False  # the name was looked for; two writers of one name may race from now on
            answer = self.service.ask("put_object", said, *refused, Key=key, **what)
        if isinstance(answer, Answer):
            return answer.text("ETag")
        if answer.status == _NOT_OURS:
            raise occupied(self.service.label, target)
        raise error_of(answer, said, self.service.address)

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
            attested = self.service.address.attest and sha256 and self.dealings.checks_digests()
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
        """Give the next bytes, when they may go."""
        data = super().read(size)
        if size is not None and 0 <= size <= _GOES_OUT:
            self._pace(len(data))
        return data


def _shown(sha256: str) -> str:
    """Show a digest as S3 tells it (base64, and the number of parts) in hexadecimal digits."""
    digest, dash, parts = sha256.partition("-")
    return base64.b64decode(digest).hex() + dash + parts
