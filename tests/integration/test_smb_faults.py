"""A real Samba that goes away, forgets, refuses, and is shared with a camera; and every dialect that we speak."""

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from nightferry.core.errors import Changed, Gone, Held, Misconfigured, NightferryError, Occupied, TryAgain, Unreachable
from nightferry.core.store import Load, Oddity, Store, StorePath, Want
from nightferry.stores.smb import wire
from nightferry.stores.smb.link import SmbAddress
from nightferry.stores.smb.session import Session
from nightferry.stores.smb.store import SmbStore
from nightferry.testing.conform_stage import (
    MIDDLE,
    again,
    carry,
    carry_all,
    close_iterator,
    confirmed,
    drain,
    entries_of,
    generated,
    oddities_of,
    put_all,
    want_for,
    within,
    write,
)
from tests.servers.samba import PASSWORD, SHARE, STRANGER, Smbd, smbd
from tests.servers.smb_relay import Relay

#: Seconds within which whatever must not hang has an answer, on a busy machine, too.
LONG = 180.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Smbd]:
    with smbd() as server:
        yield server


@pytest.fixture
def server(shared: Smbd) -> Smbd:
    """The one server, with nothing in its share."""
    for folder, folders, names in os.walk(shared.folder, topdown=False):
        for name in names:
            (Path(folder) / name).unlink()
        for name in folders:
            inner = Path(folder) / name
            inner.unlink() if inner.is_symlink() else inner.rmdir()
    return shared


@pytest.fixture
def store(server: Smbd) -> Iterator[SmbStore]:
    made = SmbStore(server.address())
    yield made
    made.close()


@contextmanager
def opened(address: SmbAddress) -> Iterator[SmbStore]:
    store = SmbStore(address)
    try:
        yield store
    finally:
        store.close()


def complaint(address: SmbAddress, kind: type[NightferryError] = Misconfigured) -> str:
    with opened(address) as store, pytest.raises(kind) as caught:
        within(LONG, lambda: entries_of(store))
    assert PASSWORD not in str(caught.value)
    return str(caught.value)


def there_and_back(store: Store, folder: Path, size: int = MIDDLE) -> None:
    """Put a file, see it, fetch it and remove it."""
    load = Load(write(folder / "source", generated(size)), StorePath("night/a.fits"))
    assert put_all(store, [load]) == [None]
    assert entries_of(store)[load.target].size == size
    assert carry(store, want_for(store, b"night/a.fits")) == generated(size)
    store.remove(load.target)
    assert entries_of(store) == {}


# -- logins ------------------------------------------------------------------------------------------------------


def test_wrong_password_is_told_with_what_to_check(server: Smbd) -> None:
    said = complaint(replace(server.address(), password="cloudy"))
    assert "refuses the login of 'observer'" in said
    assert "STATUS_LOGON_FAILURE" in said
    assert "check user, secret and domain" in said
    assert "cloudy" not in said


def test_password_is_never_shown(server: Smbd) -> None:
    assert PASSWORD not in repr(server.address())


def test_user_that_becomes_a_guest_is_no_login(server: Smbd) -> None:
    assert "took us for a guest" in complaint(replace(server.address(), user="stranger"))


def test_user_may_name_a_domain(tmp_path: Path) -> None:
    user = "OBSERVATORY\\observer"
    with smbd("workgroup = OBSERVATORY") as server, opened(replace(server.address(), user=user)) as store:
        there_and_back(store, tmp_path)


def test_guest_is_let_in_where_guests_are(server: Smbd, tmp_path: Path) -> None:
    with opened(server.guest()) as store:
        there_and_back(store, tmp_path)


def test_guest_is_told_where_none_are_wanted() -> None:
    with smbd(share=("guest ok = no",)) as server:
        assert "may not use the share 'frames'" in complaint(server.guest())


def test_missing_share_is_told(server: Smbd) -> None:
    said = complaint(replace(server.address(), share="lights"))
    assert "has no share 'lights'" in said


def test_password_that_changes_in_the_night_is_told_at_the_next_login(server: Smbd, store: SmbStore) -> None:
    (server.folder / "a.fits").write_bytes(generated(1000))
    want = want_for(store, b"a.fits")
    server.set_password("another one")
    try:
        assert carry(store, want) == generated(1000), "a session that is open goes on"
        server.stop()
        server.start()
        time.sleep(0.25)
        with pytest.raises(Misconfigured, match="refuses the login"):
            carry(store, want)
    finally:
        server.set_password(PASSWORD)
    assert carry(store, want) == generated(1000)


# -- servers that are none ---------------------------------------------------------------------------------------


@contextmanager
def speaking(words: bytes | None) -> Iterator[int]:
    """Run a server that says these words to each client, or says nothing and keeps them waiting."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LONG)
        kept = []

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(4096)
            if words is None:
                kept.append(client)
                return
            client.sendall(words)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()
        for client in kept:
            client.close()


def test_nothing_at_the_port_is_unreachable() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert "no connection" in complaint(SmbAddress("127.0.0.1", SHARE, port=sock.getsockname()[1]), Unreachable)


def test_name_that_is_no_host_is_unreachable() -> None:
    assert "no connection" in complaint(SmbAddress("no..host", SHARE), Unreachable)


def test_server_that_speaks_something_else_is_told() -> None:
    with speaking(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "is an SMB server at port" in complaint(SmbAddress("127.0.0.1", SHARE, port=port))


def test_server_that_hangs_up_at_our_first_word_may_be_too_old() -> None:
    with speaking(b"") as port:
        assert "SMB 1 only" in complaint(SmbAddress("127.0.0.1", SHARE, port=port), Unreachable)


def test_server_that_is_silent_at_our_first_word_is_given_up() -> None:
    with speaking(None) as port:
        address = SmbAddress("127.0.0.1", SHARE, port=port, timeout=0.5)
        assert "no answer within 0.5 s" in complaint(address, Unreachable)


# -- dialects, signatures, encryption ----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["SMB2_02", "SMB2_10", "SMB3_00", "SMB3_02", "SMB3_11"])
def test_every_dialect_carries(dialect: str, tmp_path: Path) -> None:
    with smbd(f"server max protocol = {dialect}", "server signing = mandatory") as server:
        with opened(server.address()) as store:
            there_and_back(store, tmp_path)
        encrypted = replace(server.address(), encrypt=True)
        if dialect < "SMB3":
            assert "switch on SMB 3" in complaint(encrypted)
        else:
            with opened(encrypted) as store:
                there_and_back(store, tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "server smb3 signing algorithms = AES-128-CMAC",
        "server smb3 signing algorithms = HMAC-SHA256",
        "server smb3 encryption algorithms = AES-128-CCM",
        "server smb encrypt = required",
        "smb2 max read = 65536\nsmb2 max write = 65536\nsmb2 max trans = 65536",
        "smb2 max credits = 16",
    ],
)
def test_server_may_insist(line: str, tmp_path: Path) -> None:
    with smbd(line) as server, opened(replace(server.address(), encrypt="encryption" in line)) as store:
        there_and_back(store, tmp_path)


def test_share_that_must_be_encrypted_is(tmp_path: Path) -> None:
    with smbd(share=("server smb encrypt = required",)) as server:
        with opened(server.address()) as store:
            there_and_back(store, tmp_path)
        assert "may not use the share" in complaint(server.guest())


@pytest.mark.parametrize("size", [1000, MIDDLE])
def test_byte_that_is_changed_on_its_way_is_never_taken(server: Smbd, size: int) -> None:
    (server.folder / "a.fits").write_bytes(generated(size))
    with Relay(server.port) as relay, opened(replace(server.address(), port=relay.port)) as store:
        want = want_for(store, b"a.fits")
        relay.faults.flips = True
        with pytest.raises(TryAgain, match="signature"):
            carry(store, want)
        relay.faults.flips = False
        assert carry(store, want) == generated(size)


def test_nobody_talks_us_down_to_an_older_dialect(server: Smbd) -> None:
    with Relay(server.port) as relay:
        relay.faults.belittles = True
        with opened(replace(server.address(), port=relay.port)) as store, pytest.raises(NightferryError):
            entries_of(store)


def _walked(store: Store) -> None:
    for _ in store.list():
        pass


def _looked(store: Store, wants: list[Want]) -> None:
    for _ in store.stat([want.path for want in wants]):
        pass


def test_server_that_talks_nonsense_is_told_and_never_a_bug(
    server: Smbd, tmp_path: Path, rounds: Callable[[int, int], int]
) -> None:
    names = [f"{number % 3}/{number}.fits" for number in range(12)]
    for number, name in enumerate(names):
        (server.folder / name).parent.mkdir(exist_ok=True)
        (server.folder / name).write_bytes(bytes(30_000 * number))
    wants = [Want(StorePath(name), 30_000 * number) for number, name in enumerate(names)]
    source = write(tmp_path / "source", b"x")
    with Relay(server.port) as relay:
        for seed in range(rounds(20, 500)):
            address = server.guest() if seed % 2 else server.address()
            with opened(replace(address, port=relay.port, timeout=0.3)) as store:
                relay.faults.spoils = random.Random(seed)  # noqa: S311 - nonsense, not secrets
                load = Load(source, StorePath(f"new/{seed}"))
                for call in (
                    partial(_walked, store),
                    partial(_looked, store, wants),
                    partial(carry_all, store, wants),
                    partial(put_all, store, [load]),
                    partial(store.remove, load.target),
                ):
                    with contextlib.suppress(NightferryError):
                        within(LONG, call)
                relay.faults.spoils = None
                assert {name for name in again(LONG, partial(entries_of, store)) if not name.startswith("new/")} == set(
                    names
                )


# -- servers that go away ----------------------------------------------------------------------------------------


def test_server_killed_in_a_file_is_tried_again(server: Smbd, store: SmbStore) -> None:
    for name in ("a.fits", "b.fits"):
        (server.folder / name).write_bytes(generated(40_000_000, name))
    wants = [want_for(store, b"a.fits"), want_for(store, b"b.fits")]
    arrivals = store.fetch(wants)
    buffer = memoryview(bytearray(1_000_000))
    first = next(arrivals)
    assert first.read_into(buffer) == len(buffer)
    server.stop()
    with pytest.raises(TryAgain):
        drain(first)
    with pytest.raises(Unreachable):
        next(arrivals).read_into(buffer)
    close_iterator(arrivals)
    with pytest.raises(Unreachable):
        entries_of(store)
    server.start()
    assert carry_all(store, wants) == [generated(40_000_000, "a.fits"), generated(40_000_000, "b.fits")]


def test_session_dropped_in_a_file_is_tried_again(server: Smbd) -> None:
    (server.folder / "a.fits").write_bytes(generated(40_000_000))
    with Relay(server.port) as relay, opened(replace(server.address(), port=relay.port)) as store:
        want = want_for(store, b"a.fits")
        arrivals = store.fetch([want, want])
        arrival = next(arrivals)
        arrival.read_into(memoryview(bytearray(1000)))
        relay.cut()
        with pytest.raises(TryAgain):
            drain(arrival)
        second = next(arrivals)
        assert second.read_into(memoryview(bytearray(1000))) == 1000, "over a session of its own"
        close_iterator(arrivals)


def test_idle_session_that_was_dropped_costs_nothing(server: Smbd) -> None:
    (server.folder / "a.fits").write_bytes(generated(1000))
    with Relay(server.port) as relay, opened(replace(server.address(), port=relay.port)) as store:
        want = want_for(store, b"a.fits")
        relay.cut()
        time.sleep(0.25)
        assert carry(store, want) == generated(1000)


def test_put_whose_connection_breaks_leaves_nothing_at_the_server(server: Smbd, tmp_path: Path) -> None:
    load = Load(write(tmp_path / "source", generated(MIDDLE)), StorePath("a.fits"))
    with Relay(server.port) as relay, opened(replace(server.address(), port=relay.port)) as store:
        relay.faults.dies = MIDDLE // 2
        [answer] = put_all(store, [load])
        assert isinstance(answer, TryAgain)
        limit = time.monotonic() + LONG
        while any(server.folder.iterdir()) and time.monotonic() < limit:
            time.sleep(0.05)
        assert not [*server.folder.iterdir()], "the server itself clears an unfinished file away"
        relay.faults.dies = None
        assert put_all(store, [load]) == [None]


def test_put_whose_server_is_killed_is_swept_up_by_the_next_one(server: Smbd, tmp_path: Path) -> None:
    load = Load(write(tmp_path / "source", generated(MIDDLE)), StorePath("a.fits"))
    with Relay(server.port) as relay, opened(replace(server.address(timeout=1), port=relay.port)) as store:
        relay.faults.freezes = MIDDLE // 2
        [answer] = within(LONG, lambda: put_all(store, [load]))
        assert isinstance(answer, TryAgain)
        server.stop()
        relay.faults.freezes = None
        relay.cut()
        server.start()
        limit = time.monotonic() + LONG
        while put_all(store, [load]) != [None]:  # on a busy machine the hasty store gives up, and knows what it left
            assert time.monotonic() < limit
    assert [path.name for path in server.folder.iterdir()] == ["a.fits"]


def test_share_that_turns_read_only_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    with smbd() as server, opened(server.address()) as store:
        (server.folder / "old.fits").write_bytes(generated(1000))
        load = Load(write(tmp_path / "source", generated(MIDDLE)), StorePath("new/a.fits"))
        server.configure(share=("read only = yes",))
        server.stop()
        server.start()
        [answer] = put_all(store, [load])
        assert isinstance(answer, TryAgain), repr(answer)
        assert "may not do that" in str(answer)
        with pytest.raises(TryAgain, match="may not do that"):
            store.remove(StorePath("old.fits"))
        assert carry(store, want_for(store, b"old.fits")) == generated(1000)
        assert [path.name for path in server.folder.iterdir()] == ["old.fits"]


def test_share_that_is_taken_away_is_told(tmp_path: Path) -> None:
    with smbd() as server, opened(server.address()) as store:
        (server.folder / "a.fits").write_bytes(generated(1000))
        want = want_for(store, b"a.fits")
        server.folder.rename(server.shop / "elsewhere")
        with pytest.raises(NightferryError) as caught:
            carry(store, want)
        assert not isinstance(caught.value, Held), "a disk that is not mounted is no missing frame"


# -- beside a camera ---------------------------------------------------------------------------------------------

_READ_SHARED, _ALONE = 1, 0


@contextmanager
def camera(server: Smbd, path: str, share: int, *, access: int = wire.WRITE_DATA) -> Iterator[tuple[Session, bytes]]:
    """Be the program that writes frames: have a file open, and let others do no more than ``share``."""
    session = Session(server.address())
    place = session.place(StorePath(path))
    assert place is not None
    answer = session.do(wire.create(place, access, disposition=wire.OPEN_OR_NEW, share=share))
    assert answer.status == 0, hex(answer.status)
    handle = wire.read_opened(answer.body).handle
    try:
        yield session, handle
        assert session.do(wire.close(handle)).status == 0
    finally:
        session.close()


def test_camera_writes_on_while_we_read(server: Smbd, store: SmbStore) -> None:
    (server.folder / "a.fits").write_bytes(generated(MIDDLE))
    arrivals = store.fetch([want_for(store, b"a.fits")])
    arrival = next(arrivals)
    arrival.read_into(memoryview(bytearray(1000)))
    with camera(server, "a.fits", _READ_SHARED) as (session, handle):
        written = session.do(wire.write(MIDDLE, b"more", handle))
        assert (written.status, wire.read_written(written.body)) == (0, 4)
    with pytest.raises(Changed):
        confirmed(arrival)
    close_iterator(arrivals)


def test_camera_may_delete_and_rename_what_we_read(server: Smbd, store: SmbStore) -> None:
    (server.folder / "a.fits").write_bytes(generated(MIDDLE))
    arrivals = store.fetch([want_for(store, b"a.fits")])
    arrival = next(arrivals)
    arrival.read_into(memoryview(bytearray(1000)))
    with camera(server, "a.fits", wire.SHARE_ALL, access=wire.DELETE) as (session, handle):
        assert session.do(wire.rename("b.fits".encode("utf-16-le"), handle)).status == 0
    close_iterator(arrivals)
    assert set(entries_of(store)) == {"b.fits"}


def test_file_that_a_camera_keeps_to_itself_is_tried_again_and_costs_no_other(server: Smbd, store: SmbStore) -> None:
    for name, size in (("a.fits", MIDDLE), ("small.fits", 100), ("c.fits", 3000)):
        (server.folder / name).write_bytes(generated(size))
    wants = [want_for(store, name) for name in (b"a.fits", b"small.fits", b"c.fits")]
    with camera(server, "a.fits", _ALONE), camera(server, "small.fits", _ALONE):
        assert len(entries_of(store)) == 3, "a listing opens nothing"
        assert None not in list(store.stat([want.path for want in wants])), "nor is a look in its way"
        answers = carry_all(store, wants)
        for answer in answers[:2]:
            assert type(answer) is TryAgain
            assert "another program has it open" in str(answer)
        assert answers[2] == generated(3000)
        with pytest.raises(TryAgain):
            store.remove(StorePath("a.fits"))
    assert carry_all(store, wants) == [generated(MIDDLE), generated(100), generated(3000)]


def test_file_that_grows_by_a_camera_is_changed_and_then_whole(server: Smbd, store: SmbStore) -> None:
    with camera(server, "a.fits", _READ_SHARED) as (session, handle):
        session.do(wire.write(0, generated(300_000), handle))
        want = want_for(store, b"a.fits")
        session.do(wire.write(300_000, generated(300_000), handle))
        with pytest.raises(Changed):
            carry(store, want)
    assert carry(store, want_for(store, b"a.fits")) == generated(300_000) * 2


# -- names and folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["22:39:23.fits", "a?.fits", "a*.fits", "a -> b.fits", "trailing. ", "CON", "back\\slash", "x\udcff"]
)
def test_name_that_windows_cannot_hold_is_held(server: Smbd, store: SmbStore, tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "source", b"x")
    answers = put_all(store, [Load(source, StorePath(f"{name}/a.fits")), Load(source, StorePath(name))])
    assert [type(answer) for answer in answers] == [Held, Held], answers
    assert all("name" in str(answer) for answer in answers)
    assert entries_of(store) == {}
    if set(':*?"<>|\udcff') & set(name):
        assert list(store.stat([StorePath(name)])) == [None]
        with pytest.raises(Gone):
            carry(store, Want(StorePath(name), 1))
        with pytest.raises(Gone):
            store.remove(StorePath(name))


def test_name_that_samba_has_to_shorten_arrives_under_the_short_one(server: Smbd, store: SmbStore) -> None:
    (server.folder / "22:39:23.fits").write_bytes(generated(1000))
    [path] = entries_of(store)
    assert ":" not in path
    assert carry(store, want_for(store, path.encode())) == generated(1000)


def test_names_that_differ_in_case_only_are_one_name_to_write_and_two_to_read(
    server: Smbd, store: SmbStore, tmp_path: Path
) -> None:
    load = Load(write(tmp_path / "source", b"new"), StorePath("LIGHT.fits"))
    (server.folder / "Light.fits").write_bytes(b"first")
    assert [type(answer) for answer in put_all(store, [load])] == [Occupied]
    (server.folder / "LIGHT.fits").write_bytes(b"second one")
    wants = [want_for(store, name) for name in (b"Light.fits", b"LIGHT.fits")]
    assert carry_all(store, wants) == [b"first", b"second one"]


def test_folder_that_leads_back_into_itself_ends_the_walk(server: Smbd, store: SmbStore) -> None:
    (server.folder / "night/deep").mkdir(parents=True)
    (server.folder / "night/a.fits").write_bytes(b"x")
    (server.folder / "night/deep/loop").symlink_to("..")
    (server.folder / "night/self").symlink_to(".")
    assert set(within(LONG, lambda: entries_of(store))) == {"night/a.fits"}
    assert sorted(oddities_of(store), key=lambda oddity: oddity.text) == [
        Oddity("link", StorePath("night/deep"), "loop"),
        Oddity("link", StorePath("night"), "self"),
    ]


def test_folder_of_thousands_is_listed_whole(server: Smbd, store: SmbStore) -> None:
    names = {f"{'long name ' * 12}{number:05}.fits" for number in range(6000)}
    for name in names:
        (server.folder / name).touch()
    assert set(entries_of(store)) == names


@pytest.mark.parametrize("connections", [1, 2, 4])
def test_hundreds_of_folders_are_listed_whole_and_leave_the_store_usable(server: Smbd, connections: int) -> None:
    names = {f"{folder:03}/{number}.fits" for folder in range(150) for number in range(3)}
    for name in names:
        (server.folder / name).parent.mkdir(exist_ok=True)
        (server.folder / name).touch()
    with opened(replace(server.address(), connections=connections)) as store:
        assert set(entries_of(store)) == names
        for _ in range(connections + 2):
            listing = store.list()
            for _ in range(200):
                next(listing)
            close_iterator(listing)
        assert set(entries_of(store)) == names


def test_second_session_that_breaks_in_a_listing_is_never_a_short_listing(server: Smbd) -> None:
    for folder in range(300):
        (server.folder / f"{folder:03}").mkdir()
        (server.folder / f"{folder:03}/a.fits").touch()
    with Relay(server.port) as relay, opened(replace(server.address(), port=relay.port, connections=4)) as store:
        listing = store.list()
        for _ in range(100):
            next(listing)
        relay.cut()
        with pytest.raises(TryAgain):
            list(listing)
        assert len(entries_of(store)) == 300


def test_root_that_is_a_file_is_misconfigured(server: Smbd) -> None:
    (server.folder / "a.fits").write_bytes(b"x")
    complaint(server.address("a.fits"))


def test_folder_that_may_not_be_read_is_told_and_costs_no_other() -> None:
    acting = (f"force user = {STRANGER}",) if os.geteuid() == 0 else ()  # root may read everything
    with smbd(share=acting) as server, opened(server.address()) as store:
        server.shop.chmod(0o755)
        for name in ("closed", "open"):
            (server.folder / name).mkdir()
            (server.folder / name / "a.fits").write_bytes(b"x")
        (server.folder / "closed").chmod(0)
        try:
            assert set(entries_of(store)) == {"open/a.fits"}
            assert oddities_of(store) == [Oddity("closed", StorePath(""), "closed")]
        finally:
            (server.folder / "closed").chmod(0o755)
