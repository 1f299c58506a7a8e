import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightferry.stores.kit.sessions import Garbled
from nightferry.stores.sftp.wire import (
    LONGEST_PACKET,
    Attrs,
    Framer,
    Kind,
    Named,
    Status,
    packet,
    read_attrs,
    read_extensions,
    read_free_space,
    read_handle,
    read_limits,
    read_names,
    read_status,
    text,
)

READERS = (
    read_attrs,
    read_extensions,
    read_free_space,
    read_handle,
    read_limits,
    read_names,
    read_status,
)
USUAL = struct.pack(">IQIIIII", 15, 2880, 0, 0, 0o100644, 0, 1_700_000_000)


@given(st.binary(max_size=400))
def test_no_answer_of_a_server_raises_anything_but_garbled(body: bytes) -> None:
    for read in READERS:
        with contextlib.suppress(Garbled):
            read(body)


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60))
def test_names_with_spoilt_ends_are_garbled_or_read(body: bytes, name: bytes) -> None:
    whole = struct.pack(">I", 2) + (text(name) + text(b"-rw") + USUAL) * 2
    assert [found.name for found in read_names(whole)] == [name, name]
    for cut in range(len(whole)):
        with pytest.raises(Garbled):
            read_names(whole[:cut])
    with contextlib.suppress(Garbled):
        read_names(whole[: len(body)] + body)


def test_absurd_counts_are_refused_at_once() -> None:
    for body in (struct.pack(">I", 0xFFFFFFFF) + USUAL, struct.pack(">I", 3)):
        with pytest.raises(Garbled):
            read_names(body)
    with pytest.raises(Garbled):
        read_attrs(struct.pack(">II", 0x80000000, 0xFFFFFFFF))


def test_what_servers_tell_of_files_is_read() -> None:
    assert read_attrs(USUAL) == Attrs(2880, "file", 1_700_000_000_000_000)
    assert read_attrs(struct.pack(">I", 0)) == Attrs(None, "", None)
    assert read_attrs(struct.pack(">II", 4, 0o120777)) == Attrs(None, "link", None)
    assert read_attrs(struct.pack(">II", 4, 0o040755)) == Attrs(None, "folder", None)
    assert read_attrs(struct.pack(">II", 4, 0o010644)) == Attrs(None, "special", None)
    extended = struct.pack(">IQI", 0x80000001, 5, 1) + text(b"a@b") + text(b"c")
    assert read_attrs(extended) == Attrs(5, "", None)


@pytest.mark.parametrize(
    ("long", "kind"),
    [
        (b"-rw-r--r--    1 me   me   7 Jan  1 00:00 a", "file"), (b"drwxr-xr-x", "folder"),
        (b"lrwxrwxrwx    1 me   me   7 Jan  1 00:00 a -> b", "link"), (b"a", ""),
        (b"-rw", ""), (b"dark.fits", ""), (b"", ""),
    ],
)  # fmt: skip
def test_a_kind_that_permissions_lack_is_read_from_the_long_name(long: bytes, kind: str) -> None:
    body = struct.pack(">I", 1) + text(b"a") + text(long) + struct.pack(">IQI", 5, 7, 0o644)
    assert read_names(body) == [Named(b"a", Attrs(7, kind, None))]  # type: ignore[arg-type] # a literal, by test


def test_status_without_a_text_is_read() -> None:
    assert read_status(struct.pack(">I", 2)) == Status(2, "")
    assert str(read_status(struct.pack(">I", 4) + text(b"Failure") + text(b""))) == "FAILURE, 'Failure'"
    assert str(Status(99, "")) == "99"


def test_limits_beyond_reason_become_safe_ones() -> None:
    assert read_limits(struct.pack(">4Q", 0, 0, 2**63, 0)) == (32768, LONGEST_PACKET - 2048)
    assert read_limits(b"") == (32768, 32768)


@given(st.lists(st.binary(max_size=3000), max_size=20), st.integers(1, 5000))
def test_packets_come_out_as_they_went_in_however_they_are_cut(bodies: list[bytes], step: int) -> None:
    stream = b"".join(packet(Kind.DATA, number, body) for number, body in enumerate(bodies))
    framer, found = Framer(), []
    for at in range(0, len(stream), step):
        piece = stream[at : at + step]
        framer.room()[: len(piece)] = piece
        framer.filled(len(piece))
        while (one := framer.next()) is not None:
            found.append((one[0], bytes(one[1])))
    assert found == [(Kind.DATA, struct.pack(">I", number) + body) for number, body in enumerate(bodies)]


def test_longest_packets_pass_and_longer_ones_are_garbled() -> None:
    framer = Framer()
    for _ in range(20):
        data = struct.pack(">IB", LONGEST_PACKET - 4, Kind.DATA) + bytes(LONGEST_PACKET - 5)
        while data:
            room = framer.room()
            count = min(len(room), len(data), 100_000)
            room[:count] = data[:count]
            framer.filled(count)
            data = data[count:]
        found = framer.next()
        assert found is not None
        assert len(found[1]) == LONGEST_PACKET - 5
    framer.room()[:4] = struct.pack(">I", LONGEST_PACKET - 3)
    framer.filled(4)
    with pytest.raises(Garbled):
        framer.next()


@given(st.binary(max_size=2000))
def test_no_stream_makes_the_framer_fail_or_grow(stream: bytes) -> None:
    framer = Framer()
    framer.room()[: len(stream)] = stream
    framer.filled(len(stream))
    with contextlib.suppress(Garbled):
        while framer.next() is not None:
            pass
    assert len(framer.room()) >= LONGEST_PACKET
