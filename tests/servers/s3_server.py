"""An S3 server on loopback for tests: moto behind `tests.servers.s3_proxy`, which keeps it honest.

moto runs in this process, so that a test can look at what came to lie there without asking the store.
"""

import contextlib
import secrets
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nightferry.stores.s3.bucket import S3Address
from tests.servers.s3_proxy import S3Proxy

if TYPE_CHECKING:
    from moto.s3.models import FakeBucket

USER = "observer"
#: Drawn anew by every process, for others on this machine can reach loopback, too.
SECRET = secrets.token_hex(16)
REGION = "us-east-1"
_ACCOUNT, _PARTITION = "123456789012", "aws"


class S3Server:
    """A server that runs, with one bucket; its objects are looked at directly."""

    def __init__(self, proxy: S3Proxy, bucket: str) -> None:
        self.proxy, self.bucket, self.root = proxy, bucket, ""

    def address(
        self, root: str = "", *, timeout: float = 60.0, connections: int = 4, attest: bool = False
    ) -> S3Address:
        """Make an address with all that a client needs."""
        return S3Address(
            self.bucket,
            root=root,
            endpoint=self.proxy.endpoint,
            region=REGION,
            user=USER,
            secret=SECRET,
            timeout=timeout,
            connections=connections,
            attest=attest,
        )

    def plant(
        self,
        key: str,
        data: bytes,
        when: datetime | None = None,
        *,
        encryption: str | None = None,
        etag: str | None = None,
    ) -> None:
        """Store an object behind the server's back.

        ``encryption`` is what the server says of that (``AES256``, ``aws:kms``), ``etag`` another one than the MD5.
        """
        from moto.s3.models import s3_backends

        made = s3_backends[_ACCOUNT][_PARTITION].put_object(self.bucket, key, data, encryption=encryption, etag=etag)
        made.last_modified = (when or datetime.now(UTC)).replace(tzinfo=None)

    def content(self, key: str) -> bytes | None:
        """Tell an object's bytes; None when there is none."""
        found = self._bucket().keys.get(key)
        return None if found is None else bytes(found.value)

    def remove(self, key: str) -> None:
        """Take an object away behind the server's back."""
        self._bucket().keys.pop(key)

    def keys(self, prefix: str = "") -> list[str]:
        """List the keys of all objects that begin so."""
        return [key for key in self._bucket().keys if key.startswith(prefix)]

    def uploads(self, prefix: str = "") -> list[str]:
        """List the keys of all unfinished uploads that begin so."""
        return [upload.key_name for upload in self._bucket().multiparts.values() if upload.key_name.startswith(prefix)]

    def _bucket(self) -> "FakeBucket":
        from moto.s3.models import s3_backends

        return s3_backends[_ACCOUNT][_PARTITION].get_bucket(self.bucket)


@contextlib.contextmanager
def s3_server(context: ssl.SSLContext | None = None) -> Iterator[S3Server]:
    """Run a server with a fresh bucket until the block ends."""
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    bucket = f"nights-{secrets.token_hex(4)}"
    backend = s3_backends[_ACCOUNT][_PARTITION]
    backend.create_bucket(bucket, REGION)
    proxy = S3Proxy(port, USER, REGION, context)
    try:
        yield S3Server(proxy, bucket)
    finally:
        proxy.stop()
        moto.stop()
        backend.buckets.pop(bucket, None)
