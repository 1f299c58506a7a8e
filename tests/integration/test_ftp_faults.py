"""What servers and networks do to an FTP store, each seen at a real server, telescope or tool, played on demand."""

import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nightferry.core.errors import Gone, Misconfigured, NightferryError, Occupied, TryAgain, Unreachable
from nightferry.core.store import ROOT, Entry, Load, Oddity, StorePath, Want
from nightferry.stores.ftp import fetch as ftp_fetch
from nightferry.stores.ftp import session as ftp_session
from nightferry.stores.ftp.store import FtpStore
from nightferry.stores.ftp.wire import FtpAddress
from nightferry.testing.conform_stage import (
    MIDDLE,
    PLANTED_US,
    accept,
    carry,
    carry_all,
    confirmed,
    entries_of,
    generated,
    oddities_of,
    put_all,
    want_for,
    within,
    write,
)
from tests.servers.ftp_facts import Node, split
from tests.servers.ftp_server import FtpServer

#: Seconds within which whatever must not hang has an answer, on a busy machine, too.
LONG = 180.0


@pytest.fixture
def server() -> Iterator[FtpServer]:
    with FtpServer() as server:
        yield server


@pytest.fixture
def address(server: FtpServer) -> FtpAddress:
    return FtpAddress("127.0.0.1", server.port, timeout=60)


@pytest.fixture
def store(address: FtpAddress) -> Iterator[FtpStore]:
    store = FtpStore(address)
    yield store
    store.close()


def plant(server: FtpServer, count: int = 6, size: int = 5000) -> dict[bytes, bytes]:
    data = {b"night%d/img-%04d.fits" % (n % 2, n): generated(size + n, f"{n}") for n in range(count)}
    for path, content in data.items():
        server.tree.plant(path, content, PLANTED_US + 123_456)
    return data


def carries(store: FtpStore, data: dict[bytes, bytes]) -> bool:
    wants = [want_for(store, path) for path in data]
    return carry_all(store, wants) == list(data.values()) == carry_all(store, wants)


# -- how tools of today lose frames ------------------------------------------------------------------------------


def test_data_that_end_early_with_a_226_are_no_whole_file(server: FtpServer, store: FtpStore) -> None:
    server.tree.plant(b"img-0001.fits", generated(619_200), PLANTED_US)
    want = want_for(store, b"img-0001.fits")
    with server.changed(cut_at=262_144):
        with pytest.raises(TryAgain, match="sent 262144 of 619200 bytes"):
            confirmed(next(store.fetch([want])))
        with pytest.raises(TryAgain, match="sent 0 of 319200 bytes"):
            confirmed(next(store.fetch([replace(want, offset=300_000)])))
    assert carry(store, want) == generated(619_200)


def test_equal_names_in_two_folders_are_two_files(server: FtpServer, store: FtpStore) -> None:
    data = {b"m31/img-0001-dark.fits": b"one", b"m33/img-0001-dark.fits": b"two", b"noseparator.fits": b"three"}
    for path, content in data.items():
        server.tree.plant(path, content)
    assert len(entries_of(store)) == 3
    assert carries(store, data)


def test_control_connection_dropped_between_files_is_made_again_silently(
    server: FtpServer, address: FtpAddress
) -> None:
    store = FtpStore(replace(address, pipeline=False))  # so that nothing is under way between files
    data = plant(server)
    wants = [want_for(store, path) for path in data]
    arrived = []
    for arrival in store.fetch(wants):
        arrived.append(accept(arrival))
        server.drop_connections()
    assert arrived == list(data.values())
    store.close()


def test_file_opened_ahead_over_a_connection_that_is_lost_costs_no_other(server: FtpServer, store: FtpStore) -> None:
    data = plant(server, 12)
    wants = [want_for(store, path) for path in data]
    lost = 0
    for number, (arrival, content) in enumerate(zip(store.fetch(wants), data.values(), strict=True)):
        try:
            assert accept(arrival) == content
        except TryAgain:
            lost += 1
        if number % 4 == 1:
            server.drop_connections()
    assert lost <= 3


def test_file_opened_ahead_is_asked_for_again_when_nobody_reads_it(
    server: FtpServer, store: FtpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_fetch, "STALE", 0.1)
    data = plant(server, 4)
    wants = [want_for(store, path) for path in data]
    for arrival, content in zip(store.fetch(wants), data.values(), strict=True):
        time.sleep(0.2)
        server.drop_connections()  # as a server does that waited too long
        time.sleep(0.05)
        assert accept(arrival) == content


def test_control_connection_that_ends_with_the_data_leaves_the_file_unproven(
    server: FtpServer, store: FtpStore
) -> None:
    data = plant(server)
    wants = [want_for(store, path) for path in data]
    with server.changed(no_last_reply=True):
        answers = carry_all(store, wants)
    assert [type(answer) for answer in answers] == [TryAgain] * len(wants)
    assert carry_all(store, wants) == list(data.values())


def test_every_folder_is_listed_and_not_only_the_newest(server: FtpServer, store: FtpStore) -> None:
    server.facts.machine_listings = False
    data = plant(server, 20)
    assert {path.encode() for path in entries_of(store)} == set(data)


def test_frozen_server_never_hangs_us(server: FtpServer, store: FtpStore, address: FtpAddress) -> None:
    server.tree.plant(b"a.fits", generated(MIDDLE))
    want = want_for(store, b"a.fits")
    hasty = FtpStore(replace(address, timeout=1))
    with server.freezes(after=1_000_000), pytest.raises(TryAgain, match=r"(stopped coming for|within) 1 s"):
        within(LONG, lambda: carry(hasty, want))
    hasty.close()
    assert carry(store, want) == generated(MIDDLE)


def test_server_that_dribbles_its_replies_never_hangs_us(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(replace(address, timeout=0.3))
    server.facts.greeting = b"220-" + b"welcome " * 100
    with server.changed(crawl=0.05), pytest.raises(Unreachable):
        within(LONG, lambda: entries_of(store))
    store.close()


def test_file_that_dribbles_is_given_up(server: FtpServer, store: FtpStore, address: FtpAddress) -> None:
    hasty = FtpStore(replace(address, timeout=0.3))
    server.tree.plant(b"a.fits", generated(2000))
    want = want_for(store, b"a.fits")
    server.facts.piece = 1
    with server.changed(crawl=0.01), pytest.raises(TryAgain):  # which wait ends first depends on the machine's load
        within(LONG, lambda: carry(hasty, want))
    hasty.close()


# -- idle connections, and lost ones -----------------------------------------------------------------------------


@pytest.mark.parametrize("farewell", [True, False], ids=["421", "no word"])
def test_session_ended_while_idle_is_replaced_silently(server: FtpServer, store: FtpStore, *, farewell: bool) -> None:
    data = plant(server)
    last = b"421 Timeout" if farewell else b""
    source = Path(__file__)
    for call in range(2):
        assert carries(store, data)
        server.drop_connections(last)
        assert len(entries_of(store)) == len(data) + call
        server.drop_connections(last)
        assert put_all(store, [Load(source, StorePath(f"{call}.py"))]) == [None]
        server.drop_connections(last)
    store.remove(StorePath("0.py"))
    assert server.logins > 2


def test_session_ended_while_the_caller_is_busy_is_replaced_silently(server: FtpServer, store: FtpStore) -> None:
    data = plant(server)
    server.facts.idle = 0.1
    wants = [want_for(store, path) for path in data]
    arrived = []
    for arrival in store.fetch(wants):
        time.sleep(0.2)
        arrived.append(accept(arrival))
    assert arrived == list(data.values())


def test_session_ended_with_a_421_to_any_command_is_replaced(server: FtpServer, store: FtpStore) -> None:
    data = plant(server)
    assert carries(store, data)
    for after in range(4, 18):
        store.close()
        with server.changed(hangs_up_after=after):
            answers = carry_all(store, [Want(StorePath(path.decode()), len(data[path])) for path in data])
        if after < 12:  # too few commands for one file
            assert all(answer in data.values() or isinstance(answer, TryAgain) for answer in answers)
        else:
            assert answers == list(data.values())
    assert carries(store, data)


def test_command_that_cannot_be_repeated_is_not_sent_over_a_session_at_its_end(
    server: FtpServer, store: FtpStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ftp_session, "QUIET", 0.0)
    data = plant(server)
    for path in data:
        assert len(entries_of(store)) > 0
        server.facts.hangs_up_after = 10  # the old session is past that, a new one is not
        store.remove(StorePath(path.decode()))
        server.facts.hangs_up_after = None
    assert server.tree.nodes == {}


def test_listing_goes_on_over_a_lost_connection(server: FtpServer, store: FtpStore) -> None:
    for number in range(30):
        server.tree.plant(b"night%02d/img.fits" % number, b"x")
    found = set()
    for number, item in enumerate(store.list()):
        assert isinstance(item, Entry)
        found.add(item.path)
        if number in {3, 17}:
            server.drop_connections()
    assert len(found) == 30


# -- servers that do not bear commands sent ahead ---------------------------------------------------------------


def test_commands_are_sent_ahead_to_a_server_that_bears_it(server: FtpServer, store: FtpStore) -> None:
    data = plant(server, 20)
    assert carries(store, data)
    assert server.ahead > 20


def test_commands_are_never_sent_ahead_where_that_is_forbidden(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(replace(address, pipeline=False))
    data = plant(server, 20)
    assert carries(store, data)
    assert len(entries_of(store)) == 20
    assert put_all(store, [Load(Path(__file__), StorePath("new/a.py"))]) == [None]
    assert server.ahead == 0
    store.close()


@pytest.mark.parametrize("discards", ["always", "after transfer"])
def test_server_that_throws_away_commands_sent_ahead_gets_them_one_by_one(
    server: FtpServer, address: FtpAddress, discards: str
) -> None:
    store = FtpStore(replace(address, timeout=3))  # commands that are lost are noticed by silence
    server.facts.discards = "always" if discards == "always" else "after transfer"
    data = plant(server, 10)
    assert len(entries_of(store)) == 10
    assert carries(store, data)
    before = server.ahead
    assert carries(store, data)
    assert server.ahead == before
    store.close()


@pytest.mark.parametrize("machine", [True, False])
def test_server_that_loses_commands_when_many_come_at_once_gets_them_one_by_one(
    server: FtpServer, address: FtpAddress, *, machine: bool
) -> None:
    store = FtpStore(replace(address, timeout=3))  # commands that are lost are noticed by silence
    server.facts.machine_listings = machine
    server.facts.command_buffer = 200
    data = plant(server, 40)
    paths = [StorePath(path.decode()) for path in data]
    assert [entry and entry.size for entry in store.stat(paths)] == [len(content) for content in data.values()]
    before = server.ahead
    assert carries(store, data)
    assert server.ahead == before
    store.close()


def test_server_that_froze_during_a_stat_is_sent_commands_ahead_again(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(replace(address, timeout=3))
    data = plant(server, 40)
    paths = [StorePath(path.decode()) for path in data]
    assert len(list(store.stat(paths))) == 40
    with server.freezes(after=0), pytest.raises(TryAgain):
        within(LONG, lambda: list(store.stat(paths)))
    before = server.ahead
    assert len(list(store.stat(paths))) == 40
    assert server.ahead > before + 30
    store.close()


def test_listing_whose_caller_is_slow_goes_on(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(address)
    for number in range(3):
        for name in range(20_000):
            server.tree.nodes[b"night%d" % number, b"%05d.fits" % name] = Node(bytearray(b"x"), PLANTED_US)
        server.tree.make_folders(split(b"night%d" % number))
    found = set()
    for count, item in enumerate(store.list()):
        assert isinstance(item, Entry)
        if count in {5, 20_005}:
            server.drop_connections()
        found.add(item.path)
    assert len(found) == 60_000
    store.close()


# -- ways to a data connection -----------------------------------------------------------------------------------


def test_server_without_epsv_is_asked_for_pasv(server: FtpServer, store: FtpStore) -> None:
    server.facts.epsv = False
    data = plant(server)
    assert carries(store, data)
    assert [line for line in server.heard if line == b"EPSV"] == [b"EPSV"]


def test_server_whose_extended_ports_are_dead_is_asked_for_pasv(server: FtpServer, store: FtpStore) -> None:
    server.facts.epsv_is_dead = True
    data = plant(server)
    assert carries(store, data)


def test_address_told_by_pasv_is_never_used(server: FtpServer, store: FtpStore) -> None:
    server.facts.epsv = False
    server.facts.pasv_address = "192.0.2.1"
    data = plant(server)
    assert carries(store, data)


def test_server_without_any_passive_mode_is_misconfigured(server: FtpServer, store: FtpStore) -> None:
    server.facts.epsv = server.facts.pasv = False
    with pytest.raises((Misconfigured, TryAgain), match=r"neither EPSV nor PASV|502"):
        entries_of(store)


def test_ipv6_works_as_ipv4_does() -> None:
    with FtpServer(host="::1") as server:
        data = plant(server)
        store = FtpStore(FtpAddress("::1", server.port, timeout=60))
        assert carries(store, data)
        store.close()


# -- servers that lack something ---------------------------------------------------------------------------------


def test_server_that_takes_no_offset_still_resumes(server: FtpServer, store: FtpStore) -> None:
    server.facts.rest = False
    data = plant(server, 4, size=MIDDLE)
    wants = [want_for(store, path, offset=1_500_000 + 7 * n) for n, path in enumerate(data)]
    answers = carry_all(store, wants)
    assert answers == [content[1_500_000 + 7 * n :] for n, content in enumerate(data.values())]


@pytest.mark.parametrize("lacking", ["size", "mdtm"])
def test_server_without_size_or_mdtm_tells_by_its_listings(server: FtpServer, store: FtpStore, lacking: str) -> None:
    server.facts.machine_listings = False
    setattr(server.facts, lacking, False)
    data = {b"night/a.fits": generated(5000), b"night/b.fits": generated(6000)}
    now = time.time_ns() // 60_000_000_000 * 60_000_000
    for path, content in data.items():
        server.tree.plant(path, content, now)
    assert carries(store, data)
    [entry, missing] = store.stat([StorePath("night/a.fits"), StorePath("night/c.fits")])
    assert entry == Entry(StorePath("night/a.fits"), 5000, now, 60_000_000)
    assert missing is None


def test_empty_folder_told_by_a_refusal_is_empty(server: FtpServer, store: FtpStore) -> None:
    server.facts.empty_is_refused = True
    server.tree.make_folders(split(b"empty"))
    assert entries_of(store) == {}


# -- listings that are not whole ---------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize(
    "words",
    [
        "226 Transfer done (but failed to open directory).", "226 Output truncated to 2000 matches",
        "250 Listed; some entries could not be read", "226 Listing incomplete", "226 Closing; error reading directory",
        "226-Options: -l\r\n226 Not all files are shown", "226 Permission denied",
    ],
)  # fmt: skip
def test_a_reply_that_takes_back_its_code_leaves_the_folder_in_doubt(
    server: FtpServer, store: FtpStore, words: str, *, machine: bool
) -> None:
    server.facts.machine_listings = machine
    data = plant(server)
    server.facts.listing_ends[b"night1"] = words.encode()
    shown = [*store.list()]
    (odd,) = [item for item in shown if isinstance(item, Oddity)]
    assert (odd.kind, odd.folder) == ("unread", "night1")
    assert words.rsplit("\n", maxsplit=1)[-1][4:12] in odd.text
    assert len(shown) == len(data) + 1


@pytest.mark.parametrize(
    "words",
    ["226 Transfer complete.", "226-Options: -a -l \r\n226 23 matches total", "226 Done, no errors", "226 0 errors"],
)
def test_a_reply_that_says_all_is_well_leaves_no_doubt(server: FtpServer, store: FtpStore, words: str) -> None:
    plant(server)
    server.facts.listing_ends[b"night1"] = words.encode()
    assert oddities_of(store) == []


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize(
    "refusal", ["550 Permission denied.", "450 Can't open directory", "451 Local error in processing", "550 I/O error"]
)
def test_a_folder_that_is_entered_and_not_listed_is_in_doubt_and_stops_no_other(
    server: FtpServer, store: FtpStore, refusal: str, *, machine: bool
) -> None:
    server.facts.machine_listings = machine
    plant(server)
    server.facts.listing_refusals[b"night1"] = refusal.encode()
    shown = [*store.list()]
    (odd,) = [item for item in shown if isinstance(item, Oddity)]
    assert (odd.kind, odd.folder) == ("unread", "night1")
    assert refusal[4:12] in odd.text
    assert len(shown) == 4


@pytest.mark.parametrize("refusal", ["550 No such file or directory", "450 No files found", "550 Directory is empty"])
def test_an_empty_folder_is_empty_however_the_server_says_it(server: FtpServer, store: FtpStore, refusal: str) -> None:
    data = plant(server)
    server.tree.make_folders(split(b"empty"))
    server.facts.listing_refusals[b"empty"] = refusal.encode()
    assert len(entries_of(store)) == len(data)
    assert oddities_of(store) == []


@pytest.mark.parametrize("refusal", ["500 Unknown command", "502 Not implemented", "504 Not for that parameter"])
def test_a_server_that_offers_mlsd_and_refuses_it_is_listed_by_list(
    server: FtpServer, store: FtpStore, refusal: str
) -> None:
    data = plant(server)
    server.facts.mlsd_refusal = refusal.encode()
    assert len(entries_of(store)) == len(data)
    assert server.logins <= 2


@pytest.mark.parametrize("machine", [True, False])
def test_a_tree_without_end_is_left_with_a_doubt(server: FtpServer, store: FtpStore, *, machine: bool) -> None:
    server.facts.machine_listings = machine
    plant(server)
    server.tree.make_folders(split(b"/".join([b"night0", *[b"again"] * 60])))
    server.tree.make_folders(split(b"/".join(b"%d" % depth for depth in range(60))))
    odd = oddities_of(store)
    assert [one.kind for one in odd] == ["unread", "unread"]
    assert sorted("circle" in one.text for one in odd) == [False, True]


def test_a_file_that_a_listing_in_doubt_does_not_show_is_not_gone(server: FtpServer, store: FtpStore) -> None:
    server.facts.machine_listings = server.facts.size = False
    plant(server)
    server.facts.listing_ends[b"night1"] = b"226 Output truncated"
    with pytest.raises(TryAgain, match="truncated"):
        list(store.stat([StorePath("night1/another.fits")]))
    assert list(store.stat([StorePath("night0/another.fits")])) == [None]


# -- what is forbidden, and what is hostile ----------------------------------------------------------------------


def test_file_that_is_there_but_may_not_be_read_is_never_gone(server: FtpServer, store: FtpStore) -> None:
    data = plant(server)
    barred, *others = data
    wants = [want_for(store, path) for path in data]
    server.facts.barred.add(barred)
    answers = carry_all(store, [wants[1], wants[0], *wants[2:]])
    assert type(answers[1]) is TryAgain
    assert [answers[0], *answers[2:]] == [data[path] for path in others]


@pytest.mark.parametrize("machine", [True, False])
def test_folder_that_may_not_be_entered_is_told_and_stops_no_other(
    server: FtpServer, store: FtpStore, *, machine: bool
) -> None:
    server.facts.machine_listings = machine
    plant(server)
    server.facts.barred.add(b"night1")
    shown = [*store.list()]
    assert [item for item in shown if isinstance(item, Oddity)] == [Oddity("closed", ROOT, "night1")]
    assert len(shown) == 4
    assert len([*store.list(lambda folder: folder != "night1")]) == 3
    assert server.logins == 1


@pytest.mark.parametrize("machine", [True, False])
def test_folder_that_vanishes_during_the_walk_is_passed_over(
    server: FtpServer, store: FtpStore, *, machine: bool
) -> None:
    server.facts.machine_listings = machine
    plant(server, 8)
    server.tree.make_folders(split(b"night0/empty"))
    found = []
    for item in store.list():
        found.append(item)
        server.tree.folders.discard(split(b"night0/empty"))
    assert len(found) == 8
    assert server.logins == 1


@pytest.mark.parametrize("machine", [True, False])
def test_hostile_names_are_odd_and_lead_nowhere(server: FtpServer, store: FtpStore, *, machine: bool) -> None:
    server.facts.machine_listings = machine
    data = plant(server, 2)
    names = [b"../../x", b"/etc/cron.d/x", b"..\\x", b"a\rDELE b"]
    prefix = b"type=file;size=5;modify=20231114221320; " if machine else b"-rw-r--r-- 1 0 0 5 Nov 14  2023 "
    folder = b"type=dir; " if machine else b"drwxr-xr-x 2 0 0 0 Nov 14  2023 "
    server.facts.extra_lines[b"night0"] = [prefix + name for name in names] + [folder + b"../night1", b"gibberish"]
    assert {path.encode() for path in entries_of(store)} == set(data)
    shown = [(oddity.kind, oddity.text) for oddity in oddities_of(store)]
    assert shown == [("name", name.decode()) for name in [*names, b"../night1"]] + [("line", "gibberish")]


def test_path_that_would_smuggle_a_command_is_never_sent(server: FtpServer, store: FtpStore) -> None:
    server.tree.plant(b"a.fits", b"x")
    hostile = StorePath("b\r\nDELE a.fits")
    assert list(store.stat([hostile])) == [None]
    with pytest.raises(NightferryError):
        store.remove(hostile)
    assert isinstance(carry_all(store, [Want(hostile, 1)])[0], NightferryError)
    assert server.tree.file(split(b"a.fits")) is not None
    assert not [line for line in server.heard if line.startswith(b"DELE")]


# -- logins ------------------------------------------------------------------------------------------------------


def test_wrong_password_is_misconfigured_and_never_shown(server: FtpServer, address: FtpAddress) -> None:
    server.facts.passwords["astro"] = "right"
    store = FtpStore(replace(address, user="astro", password="canary-7f3a"))
    with pytest.raises(Misconfigured, match="refuses the login of 'astro'") as refused:
        entries_of(store)
    shown = "".join(traceback.format_exception(refused.value)) + repr(store.traits) + repr(vars(store))
    assert "canary-7f3a" not in shown
    assert FtpStore(replace(address, user="astro", password="right")).traits.label == address.label


def test_server_with_no_place_left_is_tried_again(server: FtpServer, store: FtpStore) -> None:
    with server.changed(crowded=True), pytest.raises(Unreachable):
        entries_of(store)
    with server.changed(greeting=b"421 Too many users"), pytest.raises(Unreachable):
        entries_of(store)
    assert entries_of(store) == {}


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2", b"HTTP/1.1 400 Bad Request", b"\0\1\2\3", b""])
def test_something_else_than_an_ftp_server_is_unreachable(server: FtpServer, store: FtpStore, greeting: bytes) -> None:
    server.facts.greeting = greeting
    with pytest.raises(Unreachable, match="is this an FTP server"):
        entries_of(store)


def test_host_without_a_server_is_unreachable(server: FtpServer, store: FtpStore) -> None:
    with server.dies(after=0), pytest.raises(Unreachable, match="cannot connect"):
        entries_of(store)


# -- clocks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", ["unix", "dos"])
@pytest.mark.parametrize("hours", [-10, 0, 1, 13])
def test_listed_times_become_utc_whatever_the_zone(
    server: FtpServer, store: FtpStore, listing: str, hours: int
) -> None:
    server.facts.machine_listings = False
    server.facts.listing = "dos" if listing == "dos" else "unix"
    server.facts.zone = hours * 3600
    now = time.time_ns() // 1000
    for days in range(40):
        server.tree.plant(b"night%02d/img.fits" % days, b"x", now - days * 86_400_000_000)
    assert not store.traits.exact_times
    for entry in entries_of(store).values():
        days = int(entry.path[5:7])
        assert entry.mtime_us is not None
        assert 0 <= now - days * 86_400_000_000 - entry.mtime_us < entry.resolution_us == 60_000_000
    exact = list(store.stat([StorePath("night07/img.fits")]))
    assert exact == [Entry(StorePath("night07/img.fits"), 1, now - 7 * 86_400_000_000)]


def test_telescope_that_lives_in_another_year_is_listed_right(server: FtpServer, store: FtpStore) -> None:
    server.facts.machine_listings = False
    then = int(datetime(2001, 2, 3, 4, 5, tzinfo=UTC).timestamp())
    server.facts.clock_error = then - int(time.time())
    server.tree.plant(b"img.fits", b"x", (then - 100_000) * 1_000_000)
    [entry] = entries_of(store).values()
    assert entry.mtime_us is not None
    assert 0 <= (then - 100_000) * 1_000_000 - entry.mtime_us < 60_000_000


def test_server_with_machine_listings_tells_exact_times_with_their_fractions(
    server: FtpServer, store: FtpStore
) -> None:
    server.tree.plant(b"img.fits", b"x", PLANTED_US + 250_000)
    [entry] = entries_of(store).values()
    assert entry == Entry(StorePath("img.fits"), 1, PLANTED_US + 250_000)
    assert store.traits.exact_times
    assert carry(store, Want(entry.path, 1, PLANTED_US)) == b"x"  # another tool may have cut the fraction off


# -- putting -----------------------------------------------------------------------------------------------------


def test_name_that_is_taken_while_a_file_is_sent_is_occupied(
    server: FtpServer, store: FtpStore, tmp_path: Path
) -> None:
    source = write(tmp_path / "a", generated(3_000_000))
    server.facts.on_stored = lambda: server.tree.plant(b"night/a.fits", b"somebody else's")
    assert isinstance(put_all(store, [Load(source, StorePath("night/a.fits"))])[0], Occupied)
    node = server.tree.file(split(b"night/a.fits"))
    assert node is not None
    assert node.data == b"somebody else's"
    assert len(server.tree.nodes) == 1


def test_name_that_was_taken_before_costs_no_transfer(server: FtpServer, store: FtpStore, tmp_path: Path) -> None:
    server.tree.plant(b"night/a.fits", b"x")
    source = write(tmp_path / "a", generated(1000))
    loads = [Load(source, StorePath(name)) for name in ("night/a.fits", "night/b.fits", "night/b.fits")]
    assert [type(answer) for answer in put_all(store, loads)] == [Occupied, type(None), Occupied]
    assert len([line for line in server.heard if line.startswith(b"STOR")]) == 1


def test_unfinished_file_left_by_a_dead_server_is_swept_by_the_next_put(
    server: FtpServer, store: FtpStore, tmp_path: Path
) -> None:
    load = Load(write(tmp_path / "a", generated(MIDDLE)), StorePath("a.fits"))
    with server.dies(after=2_000_000):
        assert isinstance(put_all(store, [load])[0], TryAgain)
        assert len(server.tree.nodes) == 1
    assert put_all(store, [load]) == [None]
    assert set(server.tree.nodes) == {(b"a.fits",)}


def test_local_file_that_is_not_there_is_gone(store: FtpStore, tmp_path: Path) -> None:
    [answer] = put_all(store, [Load(tmp_path / "missing", StorePath("a.fits"))])
    assert isinstance(answer, Gone)


# -- sessions ----------------------------------------------------------------------------------------------------


def test_one_session_serves_call_after_call(server: FtpServer, store: FtpStore) -> None:
    data = plant(server)
    assert carries(store, data)
    assert len(entries_of(store)) == len(data)
    assert put_all(store, [Load(Path(__file__), StorePath("a.py"))]) == [None]
    store.remove(StorePath("a.py"))
    assert server.logins == 1


def test_stat_of_what_a_listing_shows_needs_but_one_connection(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(replace(address, connections=1))
    data = plant(server)
    paths = (item.path for item in store.list() if isinstance(item, Entry))
    assert len(list(store.stat(paths))) == len(data)
    store.close()


def test_thread_that_would_wait_for_itself_is_told_so(server: FtpServer, address: FtpAddress) -> None:
    store = FtpStore(replace(address, connections=1))
    plant(server)
    listing = iter(store.list())
    next(listing)
    with pytest.raises(RuntimeError, match="would wait for itself"):
        list(store.list())
    del listing
    assert len(entries_of(store)) == 6
    store.close()


def test_root_may_be_given_from_the_servers_root_or_from_the_login(server: FtpServer, address: FtpAddress) -> None:
    plant(server)
    for root in ("night0", "/night0", "/night0/", "night0/"):
        store = FtpStore(replace(address, root=root))
        assert set(entries_of(store)) == {"img-0000.fits", "img-0002.fits", "img-0004.fits"}
        store.close()


def test_oddities_name_the_folder_they_are_in(server: FtpServer, store: FtpStore) -> None:
    server.facts.machine_listings = False
    server.tree.link(b"night/latest", b"img.fits")
    assert list(store.list()) == [Oddity("link", StorePath("night"), "latest -> img.fits")]
