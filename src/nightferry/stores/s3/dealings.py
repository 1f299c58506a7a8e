"""What we have learned of one server, and what we still owe it: unfinished uploads to be called off."""

import base64
import hashlib
import threading
from datetime import timedelta

from nightferry.core.errors import NightferryError
from nightferry.stores.paths import part_name
from nightferry.stores.s3.complaint import Refusal
from nightferry.stores.s3.service import Answer, Service

#: An upload below our prefix that was begun longer ago is nobody's any more: a run was killed in the middle of it.
FORGOTTEN = timedelta(hours=24)
_NOT_THERE = 404
_TRIAL = b"nightferry looks whether wrong digests are refused\n"
_REFUSED = (400, 403, 404, 405, 501)


class Dealings:
    """One store's dealings with its server; shared by all of its calls."""

    def __init__(self, service: Service) -> None:
        #: Whether ``If-None-Match`` is understood; without it two writers of one name may race.
        self.exclusive = True
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
        """Tell whether the server refuses bytes whose digest is another one; what it tells of digests is proof then.

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
