"""The FTP store against the conformance suite: real servers, plain and with TLS."""

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import pytest

from nightferry.core.errors import Held
from nightferry.core.store import Load, Store, StorePath
from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress
from nightferry.testing.conform_stage import (
    PLANTED_US,
    carry,
    entries_of,
    generated,
    oddities_of,
    put_all,
    store_path,
    want_for,
    write,
)
from nightferry.testing.conformance import AWKWARD_NAMES, Fault, Limit, StoreConformance
from tests.servers.certificates import Certificate, certificate
from tests.servers.ftp_daemons import PASSWORD, USER, proftpd, pure_ftpd, pyftpdlib, vsftpd
from tests.servers.ftp_facts import split
from tests.servers.ftp_server import FtpServer

_NUMBER = itertools.count()


@dataclass(frozen=True)
class Served:
    """A folder on this disk and the address under which a server shows it."""

    folder: Path
    address: FtpAddress


@dataclass
class FolderStage:
    """One fresh subfolder of what a real server serves; the disk is looked at directly."""

    served: Served
    name: str = field(default_factory=lambda: f"stage{next(_NUMBER)}")
    faults: frozenset[Fault] = frozenset()

    def __post_init__(self) -> None:
        self._make(self._place(b""))

    def _place(self, path: bytes) -> Path:
        return self.served.folder / self.name / os.fsdecode(path)

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir()
            folder.chmod(0o777)

    def store(self) -> Store:
        return FtpStore(replace(self.served.address, root=self.name))

    def astray(self) -> Store:
        return FtpStore(replace(self.served.address, root=f"{self.name}/no/such/folder"))

    def hasty(self) -> Store:
        raise NotImplementedError

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        place = self._place(path)
        self._make(place.parent)
        place.write_bytes(data)
        when = PLANTED_US if mtime_us is None else mtime_us
        os.utime(place, ns=(when * 1000, when * 1000))

    def content(self, path: bytes) -> bytes | None:
        place = self._place(path)
        return place.read_bytes() if place.is_file() else None

    def everything(self) -> frozenset[bytes]:
        root = self._place(b"")
        return frozenset(
            os.fsencode((Path(folder) / name).relative_to(root)) for folder, _, names in os.walk(root) for name in names
        )

    def link(self, path: bytes, target: bytes) -> None:
        place = self._place(path)
        self._make(place.parent)
        place.symlink_to(os.fsdecode(target))

    def grow(self, path: bytes, more: bytes) -> None:
        with self._place(path).open("ab") as file:
            file.write(more)

    def dies(self, after: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def freezes(self, after: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def refuses_write(self) -> AbstractContextManager[None]:
        raise NotImplementedError

    def full(self, after: int) -> AbstractContextManager[None]:
        raise NotImplementedError

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        raise NotImplementedError


@dataclass
class RehearsalStage:
    """The rehearsal server, with all its faults."""

    FAULTS: ClassVar = frozenset(Fault)

    server: FtpServer
    pipeline: bool | None = None
    faults: frozenset[Fault] = FAULTS

    def _address(self, timeout: float = 60) -> FtpAddress:
        return FtpAddress("127.0.0.1", self.server.port, timeout=timeout, pipeline=self.pipeline)

    def store(self) -> Store:
        return FtpStore(self._address())

    def hasty(self) -> Store:
        return FtpStore(self._address(timeout=0.3))

    def astray(self) -> Store:
        return FtpStore(replace(self._address(), root="no/such/folder"))

    def plant(self, path: bytes, data: bytes, mtime_us: int | None = None) -> None:
        self.server.tree.plant(path, data, PLANTED_US if mtime_us is None else mtime_us)

    def content(self, path: bytes) -> bytes | None:
        node = self.server.tree.file(split(path))
        return None if node is None else bytes(node.data)

    def everything(self) -> frozenset[bytes]:
        return frozenset(b"/".join(path) for path in self.server.tree.nodes)

    def link(self, path: bytes, target: bytes) -> None:
        self.server.tree.link(path, target)

    def grow(self, path: bytes, more: bytes) -> None:
        node = self.server.tree.file(split(path))
        assert node is not None
        node.data += more
        node.mtime_us = time.time_ns() // 1000

    def dies(self, after: int) -> AbstractContextManager[None]:
        return self.server.dies(after)

    def freezes(self, after: int) -> AbstractContextManager[None]:
        return self.server.freezes(after)

    def cuts_short(self, after: int) -> AbstractContextManager[None]:
        return self.server.changed(cut_at=after)

    def lies_about_size(self, by: int) -> AbstractContextManager[None]:
        return self.server.changed(size_error=by)

    def refuses_write(self) -> AbstractContextManager[None]:
        return self.server.changed(read_only=True)

    def full(self, after: int) -> AbstractContextManager[None]:
        return self.server.changed(space=after)

    def stores_short(self, after: int) -> AbstractContextManager[None]:
        return self.server.changed(keeps=after)


class OnRehearsal(StoreConformance):
    __test__ = False
    faults = RehearsalStage.FAULTS
    limits = frozenset({Limit.SHARED_PUT})

    @pytest.fixture
    def server(self) -> Iterator[FtpServer]:
        with FtpServer() as server:
            yield server

    @pytest.fixture
    def stage(self, server: FtpServer) -> RehearsalStage:
        return RehearsalStage(server)


class TestOnRehearsalServer(OnRehearsal):
    """With machine listings, fractions of seconds, and commands sent ahead."""

    __test__ = True


class TestOnPlainRehearsalServer(OnRehearsal):
    """Without machine listings, one command at a time."""

    __test__ = True

    @pytest.fixture
    def stage(self, server: FtpServer) -> RehearsalStage:
        server.facts.machine_listings = False
        return RehearsalStage(server, pipeline=False)


class TestOnPoorRehearsalServer(OnRehearsal):
    """Without anything that was not in the first standard of 1985: no EPSV, MLSD, SIZE, MDTM or FEAT."""

    __test__ = True
    limits = frozenset({Limit.SHARED_PUT, Limit.TIMES})  # files older than half a year are told to the day

    @pytest.fixture
    def stage(self, server: FtpServer) -> RehearsalStage:
        facts = server.facts
        facts.machine_listings = facts.epsv = facts.size = facts.mdtm = facts.feat = False
        return RehearsalStage(server)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user of this machine may enter, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="nightferry-ftp-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def on_vsftpd(folder: Path) -> Iterator[Served]:
    with vsftpd(folder, settings={"force_dot_files": "YES"}) as port:
        yield Served(folder, FtpAddress("127.0.0.1", port, password=PASSWORD, timeout=60))


@pytest.fixture(scope="module")
def on_secure_vsftpd(folder: Path, signed: Certificate) -> Iterator[Served]:
    with vsftpd(folder, tls=signed, settings={"force_dot_files": "YES"}) as port:
        yield Served(
            folder,
            FtpAddress("127.0.0.1", port, password=PASSWORD, timeout=60, tls="explicit", ca_file=signed.certificate),
        )


@pytest.fixture(scope="module")
def on_pyftpdlib(folder: Path) -> Iterator[Served]:
    with pyftpdlib(folder) as port:
        yield Served(folder, known(port))


def known(port: int) -> FtpAddress:
    return FtpAddress("localhost", port, user=USER, password=PASSWORD, timeout=60)


@pytest.fixture(scope="module")
def on_proftpd(folder: Path) -> Iterator[Served]:
    with proftpd(folder) as port:
        yield Served(folder, known(port))


@pytest.fixture(scope="module")
def on_pure_ftpd(folder: Path) -> Iterator[Served]:
    with pure_ftpd(folder) as port:
        yield Served(folder, known(port))


class OnFolder(StoreConformance):
    """Every kind of server shows the same; what it cannot do by its nature is left out by name."""

    __test__ = False
    limits = frozenset({Limit.SHARED_PUT})
    kind: ClassVar[str] = ""

    @pytest.fixture
    def stage(self, request: pytest.FixtureRequest) -> FolderStage:
        return FolderStage(request.getfixturevalue(self.kind))


class TestOnPyftpdlib(OnFolder):
    __test__ = True
    kind = "on_pyftpdlib"
    # It shows links as what they lead to, and makes question marks of bytes that are no UTF-8.
    limits = frozenset({Limit.SHARED_PUT, Limit.LINKS})
    names = tuple(name for name in AWKWARD_NAMES if b"\xff" not in name)


class TestOnVsftpd(OnFolder):
    __test__ = True
    kind = "on_vsftpd"


class TestOnVsftpdWithTls(OnFolder):
    __test__ = True
    kind = "on_secure_vsftpd"


class TestOnProftpd(OnFolder):
    __test__ = True
    kind = "on_proftpd"
    # It makes no folders with a star in their names, and its MLSD does not show links that lead nowhere.
    limits = frozenset({Limit.SHARED_PUT, Limit.LINKS})
    names = tuple(name for name in AWKWARD_NAMES if b"*" not in name)

    def test_files_and_folders_with_stars_and_brackets_are_carried(self, stage: FolderStage) -> None:
        path = b"[1-3]*{a,b}/[1-3]*{a,b}.fits"
        stage.plant(path, generated(1000))
        stage.plant(b"1/1.fits", b"what the name would match, were it a pattern")
        store = stage.store()
        assert set(entries_of(store)) == {store_path(path), "1/1.fits"}
        assert carry(store, want_for(store, path)) == generated(1000)
        store.close()

    def test_links_that_lead_somewhere_are_shown_as_odd(self, stage: FolderStage) -> None:
        stage.plant(b"true/a.fits", b"x")
        for name, target in (
            (b"file", b"true/a.fits"),
            (b"folder", b"true"),
            (b"true/loop", b".."),
            (b"a -> b", b"true"),
        ):
            stage.link(name, target)
        store = stage.store()
        assert set(entries_of(store)) == {"true/a.fits"}
        shown = {f"{oddity.folder}/{oddity.text}" for oddity in oddities_of(store) if oddity.kind == "link"}
        assert shown == {"/file", "/folder", "true/loop", "/a -> b"}
        store.close()


class TestOnPureFtpd(OnFolder):
    __test__ = True
    kind = "on_pure_ftpd"
    # It shows control characters as underscores, and makes underscores of blanks at the end of a name.
    names = tuple(name for name in AWKWARD_NAMES if b"\x1b" not in name and not name.endswith(b" "))

    def test_put_under_a_name_that_the_server_changes_is_held(self, stage: FolderStage, tmp_path: Path) -> None:
        store = stage.store()
        load = Load(write(tmp_path / "a", b"data"), StorePath("trailing blank.fits "))
        folder = Load(load.source, StorePath("folder with a blank /a.fits"))
        assert [type(answer) for answer in put_all(store, [load, folder])] == [Held, Held]
        store.close()
