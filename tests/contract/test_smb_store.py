"""The SMB store against the conformance suite: a real Samba, well-behaved and made to misbehave."""

import itertools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from nightferry.core.errors import Held
from nightferry.core.store import Store, StorePath
from nightferry.stores.smb.put import fitting
from nightferry.stores.smb.store import SmbStore
from nightferry.testing.conform_stage import PLANTED_US, Fault, Limit
from nightferry.testing.conformance import AWKWARD_NAMES, StoreConformance
from tests.servers.samba import Smbd, smbd
from tests.servers.smb_relay import Relay

_NUMBER = itertools.count()


def fits(name: bytes) -> bool:
    try:
        return bool(fitting(StorePath(os.fsdecode(name))))
    except Held:
        return False


@dataclass
class SmbStage:
    """A fresh folder in the share; the disk is looked at directly."""

    server: Smbd
    relay: Relay | None = None
    encrypt: bool = False
    name: str = field(default_factory=lambda: f"stage{next(_NUMBER)}")

    def __post_init__(self) -> None:
        self.root.mkdir()

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset({Fault.GROWS}) if self.relay is None else frozenset(Fault)

    @property
    def root(self) -> Path:
        return self.server.folder / self.name

    def store(self, timeout: float = 60) -> Store:
        if self.relay is None:
            return SmbStore(replace(self.server.address(self.name, timeout=timeout), encrypt=self.encrypt))
        return SmbStore(self.server.guest(self.name, port=self.relay.port, timeout=timeout))

    def hasty(self) -> Store:
        return self.store(timeout=0.5)

    def astray(self) -> Store:
        return SmbStore(self.server.address(f"{self.name}/no/such"))

    def at(self, path: bytes) -> Path:
        return self.root / os.fsdecode(path)

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        file = self.at(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        when = PLANTED_US if mtime_us is None else mtime_us
        os.utime(file, ns=(when * 1000, when * 1000))

    def content(self, path: bytes) -> bytes | None:
        file = self.at(path)
        return file.read_bytes() if file.is_file() else None

    def everything(self) -> frozenset[bytes]:
        return frozenset(
            os.fsencode((Path(folder) / name).relative_to(self.root))
            for folder, _, names in os.walk(self.root)
            for name in names
        )

    def link(self, path: bytes, target: bytes) -> None:
        raise NotImplementedError("Samba follows links itself; tests/integration looks at that")

    def grow(self, path: bytes, more: bytes) -> None:
        with self.at(path).open("ab") as file:
            file.write(more)

    @contextmanager
    def misbehaving(self, fault: str, *, to: int | None, off: int | None = None) -> Iterator[None]:
        assert self.relay is not None
        setattr(self.relay.faults, fault, to)
        try:
            if fault == "dies" and not to:
                self.relay.cut()
            yield
        finally:
            setattr(self.relay.faults, fault, off)
            if fault in {"dies", "freezes"}:
                self.relay.cut()

    def dies(self, after: int) -> AbstractContextManager[None]:
        return self.misbehaving("dies", to=after)

    def freezes(self, after: int) -> AbstractContextManager[None]:
        return self.misbehaving("freezes", to=after)

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        return self.misbehaving("cuts", to=after)

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        return self.misbehaving("lies", to=by, off=0)

    def refuses_write(self) -> AbstractContextManager[None]:
        return self.misbehaving("refuses", to=True, off=False)

    def full(self, after: int) -> AbstractContextManager[None]:
        return self.misbehaving("space", to=after)

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        return self.misbehaving("keeps", to=after)


@pytest.fixture(scope="module")
def plain() -> Iterator[Smbd]:
    with smbd() as server:
        yield server


@pytest.fixture(scope="module")
def faulty(plain: Smbd) -> Iterator[Relay]:
    with Relay(plain.port) as relay:
        yield relay


class TestOnSamba(StoreConformance):
    faults = frozenset({Fault.GROWS})
    limits = frozenset({Limit.LINKS, Limit.SHARED_PUT})
    names: ClassVar = tuple(filter(fits, AWKWARD_NAMES))

    @pytest.fixture
    def stage(self, plain: Smbd) -> SmbStage:
        return SmbStage(plain)


class TestOnEncryptingSamba(TestOnSamba):
    """The same server, asked by us to encrypt."""

    names: ClassVar = TestOnSamba.names[:3]

    @pytest.fixture
    def stage(self, plain: Smbd) -> SmbStage:
        return SmbStage(plain, encrypt=True)


class TestOnFaultySamba(StoreConformance):
    """The same server behind a relay that makes it misbehave, which only a guest's session lets it."""

    faults = frozenset(Fault)
    limits = frozenset({Limit.LINKS, Limit.SHARED_PUT})
    names: ClassVar = TestOnSamba.names[:3]

    @pytest.fixture
    def stage(self, plain: Smbd, faulty: Relay) -> SmbStage:
        return SmbStage(plain, faulty)
