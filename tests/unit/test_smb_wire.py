"""SMB as bytes: whatever a server says, it is understood or told as garbled."""

import contextlib
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.core.errors import Gone, Misconfigured, NightferryError, NoSpace, Occupied, TryAgain, Unreachable
from nightferry.stores.kit.sessions import Cut, Garbled
from nightferry.stores.smb import wire
from nightferry.stores.smb.login import Cipher, Signing, envelope, sign, signer, verify
from nightferry.stores.smb.wire import HEADER, Flag, Status, login_refusal, refusal, share_refusal

READERS: list[Callable[[memoryview], object]] = [
    wire.read_header,
    wire.read_opened,
    wire.read_closed,
    wire.read_data,
    wire.read_written,
    wire.read_size,
    wire.read_output,
    wire.read_names,
]


@pytest.mark.parametrize("reader", READERS)
@given(answer=st.binary(max_size=300))
def test_answer_of_any_bytes_is_read_or_garbled(reader: Callable[[memoryview], object], answer: bytes) -> None:
    with contextlib.suppress(Garbled):
        reader(memoryview(answer))


def listing(*entries: bytes) -> memoryview:
    data = b"".join(entries)
    return memoryview(struct.pack("<HHI", 9, HEADER.size + 8, len(data)) + data)


def entry(name: str, *, ahead: bool, attributes: int = 0x20, tag: int = 0, size: int = 7, number: int = 42) -> bytes:
    raw = name.encode("utf-16-le")
    length = (80 + len(raw) + 7) & ~7
    times = 133_000_000_000_000_000
    head = struct.pack(
        "<IIQQQQQQIIIIQ", length if ahead else 0, 0, 0, 0, times, 0, size, 0, attributes, len(raw), tag, 0, number
    )
    return (head + raw).ljust(length, b"\0")


def test_names_of_a_folder_are_read_with_what_stands_beside_them() -> None:
    found = wire.read_names(listing(entry("a.fits", ahead=True), entry("M 31 ★", ahead=False, attributes=0x10)))
    assert [one.name.decode("utf-16-le") for one in found] == ["a.fits", "M 31 ★"]
    assert [one.facts.attributes & wire.IS_FOLDER for one in found] == [0, wire.IS_FOLDER]
    assert [(one.facts.size, one.facts.mtime_us, one.number) for one in found] == [(7, 1_655_526_400_000_000, 42)] * 2


@pytest.mark.parametrize(
    ("tag", "link"),
    [(0xA000_000C, True), (0xA000_0003, True), (0x8000_0013, False), (0x9000_001A, False)],
    ids=["symlink", "junction", "deduplicated", "cloud"],
)
def test_links_and_junctions_are_told_from_other_reparse_points(tag: int, link: bool) -> None:  # noqa: FBT001
    [found] = wire.read_names(listing(entry("x", ahead=False, attributes=0x400, tag=tag)))
    assert found.link is link


@pytest.mark.parametrize("cut", [1, 40, 79, 85])
def test_listing_that_ends_early_is_garbled(cut: int) -> None:
    with pytest.raises(Garbled):
        wire.read_names(listing(entry("a.fits", ahead=False)[:cut]))


def test_listing_whose_entries_overlap_is_garbled() -> None:
    overlapping = struct.pack("<I", 1) + entry("a" * 300, ahead=False)[4:]
    with pytest.raises(Garbled):
        wire.read_names(listing(overlapping * 3))


@pytest.mark.parametrize("number", [0, 0xFFFF_FFFF_FFFF_FFFF])
def test_number_that_means_none_makes_no_two_folders_one(number: int) -> None:
    [found] = wire.read_names(listing(entry("night", ahead=False, attributes=0x10, number=number)))
    assert found.number == 0


def test_data_outside_of_the_answer_are_garbled() -> None:
    with pytest.raises(Garbled):
        wire.read_data(memoryview(struct.pack("<HBBII", 17, 80, 0, 100, 0) + bytes(3)))


@pytest.mark.parametrize("way", Signing)
def test_signature_holds_for_its_message_and_number_only(way: Signing) -> None:
    key = signer(way, bytes(range(16)))
    message = bytearray(bytes(64) + b"data")
    sign(key, message, 5)
    flags = Flag.SIGNED
    if way != Signing.AES_GMAC:  # the only way that signs the direction, too
        verify(key, memoryview(bytearray(message)), 5, flags)
    for place in (0, 20, 48, 66):
        changed = bytearray(message)
        changed[place] ^= 1
        with pytest.raises(Garbled, match="signature"):
            verify(key, memoryview(changed), 5, flags)
    with pytest.raises(Garbled, match="not signed"):
        verify(key, memoryview(bytearray(message)), 5, 0)


@pytest.mark.parametrize("way", [Cipher.AES128_CCM, Cipher.AES128_GCM])
def test_encrypted_message_is_opened_by_the_other_side_only_and_unchanged(way: Cipher) -> None:
    ours, theirs = bytes(16), bytes([1] * 16)
    here, there = envelope(way, 7, ours, theirs), envelope(way, 7, theirs, ours)
    sealed = here.closed(b"x" * 100)
    assert b"xxx" not in sealed
    assert bytes(there.opened(memoryview(sealed))) == b"x" * 100
    assert sealed != here.closed(b"x" * 100), "no message is sealed like another"
    for place in (5, 21, 60):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Garbled):
            there.opened(memoryview(changed))
    with pytest.raises(Garbled, match="another session"):
        envelope(way, 8, theirs, ours).opened(memoryview(sealed))
    with pytest.raises(Garbled):
        there.opened(memoryview(sealed[:60]))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status.OBJECT_NAME_NOT_FOUND, Gone),
        (Status.SHARING_VIOLATION, TryAgain),
        (Status.ACCESS_DENIED, TryAgain),
        (Status.DISK_FULL, NoSpace),
        (Status.QUOTA_EXCEEDED, NoSpace),
        (Status.OBJECT_NAME_COLLISION, Occupied),
        (Status.USER_SESSION_DELETED, Cut),
        (Status.PATH_NOT_COVERED, Misconfigured),
        (0xC0DE_C0DE, TryAgain),
    ],
)
def test_every_status_is_the_error_of_who_must_act(status: int, kind: type[NightferryError]) -> None:
    said = refusal("smb://pc/frames", status, "opening 'a.fits'")
    assert type(said) is kind
    assert "smb://pc/frames: opening 'a.fits'" in str(said)


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (Status.LOGON_FAILURE, Misconfigured, "check user, secret and domain"),
        (Status.PASSWORD_EXPIRED, Misconfigured, "expired"),
        (Status.ACCOUNT_LOCKED_OUT, Misconfigured, "locked"),
        (Status.INVALID_LOGON_HOURS, Misconfigured, "whole night"),
        (Status.REQUEST_NOT_ACCEPTED, Unreachable, "tried again"),
        (Status.NO_LOGON_SERVERS, Unreachable, "tried again"),
    ],
)
def test_login_that_fails_says_what_to_do(status: int, kind: type[NightferryError], word: str) -> None:
    said = login_refusal("smb://pc/frames", status, "'observer'")
    assert type(said) is kind
    assert word in str(said)


def test_share_that_is_not_there_is_for_the_operator_and_one_that_fails_is_not() -> None:
    assert type(share_refusal("smb://pc/x", "x", Status.BAD_NETWORK_NAME)) is Misconfigured
    assert type(share_refusal("smb://pc/x", "x", Status.ACCESS_DENIED)) is Misconfigured
    assert type(share_refusal("smb://pc/x", "x", Status.INSUFFICIENT_RESOURCES)) is Unreachable
