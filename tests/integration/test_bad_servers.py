"""A world of bad servers: each row a whole night; a file is delivered, or its night stays open and says why."""

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nightferry.core.errors import Unreachable
from nightferry.core.store import Load, Store, StorePath
from nightferry.ledger.sql import open_ledger
from nightferry.passes.run import Pass
from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress
from nightferry.stores.local import LocalStore
from nightferry.stores.sftp.store import SftpStore
from nightferry.testing.conform_stage import put_all
from tests.servers import sftp_faults
from tests.servers.ftp_server import FtpServer
from tests.servers.sftp_faults import fresh_faults
from tests.servers.sshd import faulty_subsystem, sshd
from tests.unit.conftest import SESSION, Bench, frame_bytes, light

GOOD = {light(number): frame_bytes(number) for number in (1, 2)}
#: A frame behind a folder that a server does not show.
HIDDEN = StorePath(f"{SESSION}/bad/img-0009.fits")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr("nightferry.passes.carry.RETRY_PAUSES", (0.0, 0.0))
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield Bench(tmp_path, ledger)
    ledger.close()


def night(bench: Bench, store: Store) -> Pass:
    """Make one pass over a telescope that is that store."""
    return bench.carry(route=bench.route(store))


def delivered(bench: Bench) -> set[str]:
    """Return the paths of the frames that were delivered."""
    return {
        account.sighting.path for account in bench.ledger.accounts("vespera") if account.standing.bin == "delivered"
    }


def holds(bench: Bench, done: Pass, *, there: set[StorePath], missing: set[StorePath], doubted: bool = False) -> None:
    """Check the one promise: all that is there was delivered, or no night is closed and the look says so."""
    assert delivered(bench) == there - missing
    if missing or doubted:
        assert not done.complete
        assert not any(balance.closed for balance in done.balances)
    else:
        assert done.complete
        assert all(balance.closed for balance in done.balances)


# -- FTP -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A server's facts, and whether they hide a folder."""

    name: str
    facts: dict[str, object] = field(default_factory=dict)
    hides: bool = False


BAD = f"{SESSION}/bad".encode()
LISTED = [
    Row("as it should be"),
    Row("no MLSD", {"machine_listings": False}),
    Row("DOS listings", {"machine_listings": False, "listing": "dos"}),
    Row("no FEAT", {"feat": False}),
    Row("no EPSV", {"epsv": False}),
    Row("no PASV", {"pasv": False}),
    Row("no SIZE", {"size": False}),
    Row("no MDTM", {"mdtm": False, "machine_listings": False}),
    Row("no REST", {"rest": False}),
    Row("neither MLSD nor SIZE nor MDTM", {"machine_listings": False, "size": False, "mdtm": False}),
    Row("few facts", {"mlst_facts": ("type", "size")}),
    Row("a zone of its own", {"machine_listings": False, "mdtm": False, "zone": 19800}),
    Row("empty folders refused", {"empty_is_refused": True}),
    Row("private address told", {"epsv": False, "pasv_address": "10.1.2.3"}),
    Row("long greeting", {"greeting": b"220-hello\r\n world\r\n220 ready"}),
    Row("MLSD refused 500", {"mlsd_refusal": b"500 what"}),
    Row("MLSD refused 502", {"mlsd_refusal": b"502 not here"}),
    Row("MLSD refused 504", {"mlsd_refusal": b"504 no"}),
    *(
        Row(f"folder ends with {said.decode()}", {"listing_ends": {BAD: said}}, hides=True)
        for said in (
            b"226 Transfer done (but failed to open directory)", b"226 Output truncated to 2000 matches",
            b"226 Listing incomplete", b"451 local error", b"426 aborted", b"226 Permission denied",
        )
    ),
    *(
        Row(f"folder refused with {said.decode()}", {"listing_refusals": {BAD: said}}, hides=True)
        for said in (b"550 Permission denied", b"450 busy", b"451 local error", b"552 too much")
    ),
]  # fmt: skip


@pytest.mark.parametrize("row", LISTED, ids=lambda row: row.name)
def test_ftp_server_loses_no_frame_unsaid(bench: Bench, row: Row) -> None:
    planted = {**GOOD, HIDDEN: frame_bytes(9)}
    with FtpServer() as server, closing(FtpStore(FtpAddress("127.0.0.1", server.port, timeout=20))) as store:
        for path, data in planted.items():
            server.tree.plant(path.encode(), data)
        with server.changed(**row.facts):
            done = night(bench, store)
    seen = delivered(bench)
    assert set(GOOD) <= seen
    holds(bench, done, there=set(planted), missing=set(planted) - seen, doubted=row.hides)


# -- SFTP ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bare", "missing"), [(0, set()), (1, set()), (2, {HIDDEN}), (3, {HIDDEN})])
def test_sftp_server_without_type_bits_loses_no_frame_unsaid(
    bench: Bench, tmp_path: Path, bare: int, missing: set[StorePath]
) -> None:
    with closing(fresh_faults(tmp_path / "faults")) as faults:
        faults[sftp_faults.BARE] = bare
        planted = {**GOOD, HIDDEN: frame_bytes(9)}
        with sshd(subsystem=faulty_subsystem(tmp_path / "faults")) as server:
            root = server.home / "scope"
            for path, data in planted.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
            with closing(SftpStore(replace(server.address(timeout=60), root="scope"))) as store:
                done = night(bench, store)
                holds(bench, done, there=set(planted), missing=missing)
                if bare == 3:
                    assert put_all(store, [Load(Path(__file__), StorePath("new.py"))]) == [None]


# -- folders ---------------------------------------------------------------------------------------------------------

AWAY = [errno.ENOTCONN, errno.ESTALE, errno.EHOSTDOWN, errno.EIO, errno.EACCES]


@pytest.fixture
def telescope(tmp_path: Path) -> LocalStore:
    for path, data in {**GOOD, HIDDEN: frame_bytes(9)}.items():
        file = tmp_path / "scope" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return LocalStore(tmp_path / "scope")


@pytest.mark.parametrize("code", AWAY, ids=errno.errorcode.__getitem__)
def test_dead_mount_below_the_root_is_that_folders_doubt(
    bench: Bench, telescope: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fails(monkeypatch, "bad", code)
    done = night(bench, telescope)
    monkeypatch.undo()
    holds(bench, done, there={*GOOD, HIDDEN}, missing={HIDDEN})


@pytest.mark.parametrize("code", AWAY[:-1], ids=errno.errorcode.__getitem__)
def test_dead_mount_at_the_root_is_unreachable(
    telescope: LocalStore, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fails(monkeypatch, str(telescope.root), code)
    with pytest.raises(Unreachable):
        list(telescope.list())


def test_folders_without_end_are_that_folders_doubt(bench: Bench, telescope: LocalStore) -> None:
    deep = telescope.root / SESSION / "bad" / "/".join(f"d{number}" for number in range(40))
    deep.mkdir(parents=True)
    (deep / "img-0010.fits").write_bytes(frame_bytes(10))
    done = night(bench, telescope)
    assert {*GOOD, HIDDEN} <= delivered(bench)
    assert not done.complete
    assert not any(balance.closed for balance in done.balances)


def fails(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    """Have the folder of that name, as it is asked for, fail to open."""
    real = os.open

    def opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path) == name:
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", opened)
