"""The SFTP store against the conformance suite: OpenSSH's own server, well-behaved and made to misbehave."""

import itertools
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from nightferry.core.store import Store
from nightferry.stores.sftp.store import SftpStore
from nightferry.testing.conform_stage import PLANTED_US, Fault
from nightferry.testing.conformance import StoreConformance
from tests.servers import sftp_faults
from tests.servers.sftp_faults import Faults, fresh_faults
from tests.servers.sshd import Sshd, faulty_subsystem, sshd

_NUMBER = itertools.count()


@dataclass
class SftpStage:
    """A fresh folder below the login's own; the disk is looked at directly."""

    server: Sshd
    control: Faults | None = None
    name: str = field(default_factory=lambda: f"stage{next(_NUMBER)}")

    def __post_init__(self) -> None:
        self.root.mkdir()

    @property
    def faults(self) -> frozenset[Fault]:
        return frozenset({Fault.GROWS}) if self.control is None else frozenset(Fault)

    @property
    def root(self) -> Path:
        return self.server.home / self.name

    def store(self, timeout: float = 60) -> Store:
        return SftpStore(replace(self.server.address(timeout=timeout), root=self.name))

    def hasty(self) -> Store:
        return self.store(timeout=1)  # a login takes part of that

    def astray(self) -> Store:
        return SftpStore(self.server.address(self.root / "no" / "such"))

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
        self.at(path).parent.mkdir(parents=True, exist_ok=True)
        self.at(path).symlink_to(os.fsdecode(target))

    def grow(self, path: bytes, more: bytes) -> None:
        with self.at(path).open("ab") as file:
            file.write(more)

    @contextmanager
    def changed(self, which: int, value: int) -> Iterator[None]:
        assert self.control is not None
        try:
            self.control[which] = value
            yield
        finally:
            self.control[which] = sftp_faults.OFF[which]

    @contextmanager
    def dies(self, after: int) -> Iterator[None]:
        with self.changed(sftp_faults.DIES, after):
            if not after:
                self.server.stop()
            try:
                yield
            finally:
                if not after:
                    self.server.start()

    @contextmanager
    def freezes(self, after: int) -> Iterator[None]:
        with self.changed(sftp_faults.FREEZES, after):
            assert self.server.process is not None
            if not after:
                self.server.process.send_signal(signal.SIGSTOP)
            try:
                yield
            finally:
                self.server.process.send_signal(signal.SIGCONT)

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        return self.changed(sftp_faults.CUTS, after)

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        return self.changed(sftp_faults.LIES, by)

    def refuses_write(self) -> AbstractContextManager[None]:
        return self.changed(sftp_faults.REFUSES, 1)

    def full(self, after: int) -> AbstractContextManager[None]:
        return self.changed(sftp_faults.SPACE, after)

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        return self.changed(sftp_faults.KEEPS, after)


@pytest.fixture(scope="module")
def plain() -> Iterator[Sshd]:
    with sshd() as server:
        yield server


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sshd, Faults]]:
    place = tmp_path_factory.mktemp("faults") / "faults"
    faults = fresh_faults(place)
    with sshd(subsystem=faulty_subsystem(place)) as server:
        yield server, faults
    faults.close()


class TestOnOpenSsh(StoreConformance):
    faults = frozenset({Fault.GROWS})

    @pytest.fixture
    def stage(self, plain: Sshd) -> SftpStage:
        return SftpStage(plain)


class TestOnFaultyOpenSsh(StoreConformance):
    """The same server behind a filter that makes it misbehave."""

    faults = frozenset(Fault)
    names: ClassVar = StoreConformance.names[:3]

    @pytest.fixture
    def stage(self, faulty: tuple[Sshd, Faults]) -> SftpStage:
        return SftpStage(*faulty)
