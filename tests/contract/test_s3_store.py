"""The S3 store against the conformance suite: a server that checks digests, well-behaved and made to misbehave."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest

from nightferry.core.store import Store
from nightferry.stores.s3.bucket import SMALLEST_PART
from nightferry.stores.s3.store import S3Store
from nightferry.testing.conform_stage import PLANTED_US, Fault, Limit
from nightferry.testing.conformance import AWKWARD_NAMES, StoreConformance
from tests.servers.s3_server import S3Server, s3_server

_NUMBER = itertools.count()


@dataclass
class S3Stage:
    """A fresh prefix of the bucket; unfinished uploads count as what truly is there."""

    server: S3Server
    parts: bool = False
    faults: frozenset[Fault] = frozenset(Fault)
    root: str = field(default_factory=lambda: f"stage {next(_NUMBER)}")

    def store(self, timeout: float = 60) -> Store:
        address = self.server.address(self.root, timeout=timeout)
        return S3Store(replace(address, whole=0, part_size=SMALLEST_PART) if self.parts else address)

    def hasty(self) -> Store:
        return self.store(timeout=0.5)

    def astray(self) -> Store:
        return S3Store(replace(self.server.address(), bucket="no-such-bucket"))

    def key(self, path: bytes) -> str:
        return f"{self.root}/{path.decode()}"

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        when = PLANTED_US if mtime_us is None else mtime_us
        self.server.plant(self.key(path), data, datetime.fromtimestamp(when / 1e6, UTC))

    def content(self, path: bytes) -> bytes | None:
        return self.server.content(self.key(path))

    def everything(self) -> frozenset[bytes]:
        prefix = f"{self.root}/"
        keys = [key.removeprefix(prefix).encode() for key in self.server.keys(prefix)]
        return frozenset([*keys, *(f"upload of {key}".encode() for key in self.server.uploads(prefix))])

    def link(self, path: bytes, target: bytes) -> None:
        raise NotImplementedError("there are no links in a bucket")

    def grow(self, path: bytes, more: bytes) -> None:
        self.server.plant(self.key(path), (self.content(path) or b"") + more)

    def dies(self, after: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(dies=after)

    def freezes(self, after: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(freezes=after)

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(cuts=after)

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(lies=by)

    def refuses_write(self) -> AbstractContextManager[None]:
        return self.server.proxy.changed(refuses=True)

    def full(self, after: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(space=after)

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        return self.server.proxy.changed(keeps=after)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


#: Keys are UTF-8; what is not is refused, see test_s3_faults.py.
UTF8_NAMES = tuple(name for name in AWKWARD_NAMES if name.decode("utf-8", "ignore").encode() == name)


class TestInOneRequest(StoreConformance):
    faults = frozenset(Fault)
    limits = frozenset({Limit.LINKS})
    names: ClassVar = UTF8_NAMES

    @pytest.fixture
    def stage(self, server: S3Server) -> S3Stage:
        return S3Stage(server)


class TestInParts(StoreConformance):
    """The same, with everything in parts, either way."""

    faults = frozenset(Fault)
    limits = frozenset({Limit.LINKS})
    names: ClassVar = UTF8_NAMES[:3]

    @pytest.fixture
    def stage(self, server: S3Server) -> S3Stage:
        return S3Stage(server, parts=True)
