"""What an S3 server can do to us beyond what every far side can, and what the operator is told of it."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from nightferry.core.errors import Gone, Held, Misconfigured, NightferryError, Occupied, TryAgain, Unreachable
from nightferry.core.store import Attested, Entry, Load, Oddity, StorePath, Want
from nightferry.stores.s3 import service
from nightferry.stores.s3.bucket import SMALLEST_PART, S3Address
from nightferry.stores.s3.fetch import md5_of
from nightferry.stores.s3.put import part_size
from nightferry.stores.s3.service import Answer
from nightferry.stores.s3.store import S3Store
from nightferry.testing.conform_stage import MIDDLE, carry, confirmed, entries_of, generated, put_all, want_for, write
from tests.servers.certificates import certificate
from tests.servers.s3_server import S3Server, s3_server

A = StorePath("night/a.fits")


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(running: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    running.proxy.requests.clear()
    running.proxy.words.clear()
    running.root = request.node.name
    monkeypatch.setattr(service, "PAUSES", (0.01, 0.02, 0.03))
    return running


def opened(server: S3Server, **changes: object) -> closing[S3Store]:
    return closing(S3Store(replace(server.address(server.root, timeout=60), **changes)))  # type: ignore[arg-type] # a test's short way


def in_parts(server: S3Server, **changes: object) -> closing[S3Store]:
    return opened(server, whole=0, part_size=SMALLEST_PART, **changes)


def load(folder: Path, size: int = 5000, target: str = A) -> Load:
    return Load(write(folder / "source", generated(size)), StorePath(target))


def refusal(server: S3Server, status: int, code: str, **headers: str) -> NightferryError:
    """Have a listing refused, and give the error."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    server.proxy.say(status, code, "list", headers=named)
    with opened(server) as store, pytest.raises(NightferryError) as caught:
        entries_of(store)
    return caught.value


# -- a server that is busy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (503, "ServiceUnavailable"), (500, "InternalError")])
def test_busy_server_is_asked_again_after_a_pause(server: S3Server, tmp_path: Path, status: int, code: str) -> None:
    for kind in ("list", "put", "head"):
        server.proxy.say(status, code, kind, times=2)
    with opened(server) as store:
        assert put_all(store, [load(tmp_path)]) == [None]
        for kind in ("list", "get", "head"):
            server.proxy.say(status, code, kind, times=2)
        assert carry(store, want_for(store, A.encode())) == generated(5000)
        assert set(entries_of(store)) == {A}
        server.proxy.say(status, code, "delete", times=2)
        store.remove(A)
    assert not server.proxy.words


def test_server_that_stays_busy_is_out_of_reach_for_now(server: S3Server, tmp_path: Path) -> None:
    server.proxy.say(503, "SlowDown", times=100)
    with opened(server) as store:
        [answer] = put_all(store, [load(tmp_path)])
    server.proxy.words.clear()
    assert isinstance(answer, Unreachable)
    assert "slow down" in str(answer)


# -- bytes that change on the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [opened, in_parts])
def test_byte_that_flips_on_the_way_out_is_found_by_the_server(server: S3Server, tmp_path: Path, how: object) -> None:
    assert callable(how)
    with how(server) as store:
        with server.proxy.changed(flips_up=True):
            [answer] = put_all(store, [load(tmp_path, MIDDLE)])
        assert isinstance(answer, TryAgain)
        assert "damaged on the way" in str(answer)
        assert server.keys(f"{server.root}/") == server.uploads(f"{server.root}/") == []
        assert put_all(store, [load(tmp_path, MIDDLE)]) == [None]


def test_byte_that_flips_on_the_way_in_is_found_by_the_checksum(server: S3Server, tmp_path: Path) -> None:
    with opened(server) as store:
        assert put_all(store, [load(tmp_path, MIDDLE)]) == [None]
        want = want_for(store, A.encode())
        with server.proxy.changed(flips_down=True), pytest.raises(TryAgain, match="damaged on the way"):
            carry(store, want)
        assert carry(store, want) == generated(MIDDLE)


@pytest.mark.parametrize("how", [opened, in_parts])
@pytest.mark.parametrize("encryption", [None, "AES256"])
def test_byte_that_flips_on_the_way_in_is_found_by_the_etag(
    server: S3Server, how: object, encryption: str | None
) -> None:
    assert callable(how)
    server.plant(f"{server.root}/{A}", generated(MIDDLE), encryption=encryption)
    with how(server) as store:
        want = want_for(store, A.encode())
        with server.proxy.changed(flips_down=True), pytest.raises(TryAgain, match=r"damaged on the way.*ETag"):
            carry(store, want)
        assert carry(store, want) == generated(MIDDLE)


def test_byte_that_flips_behind_a_connection_that_broke_is_found_by_the_etag(server: S3Server) -> None:
    server.plant(f"{server.root}/{A}", generated(MIDDLE))
    with opened(server) as store:
        want = want_for(store, A.encode())
        with server.proxy.changed(flips_down=True, breaks=3_000_000), pytest.raises(TryAgain, match="ETag"):
            carry(store, want)
        assert carry(store, want) == generated(MIDDLE)


def test_byte_that_rotted_where_the_object_lies_is_found_by_the_etag(server: S3Server) -> None:
    server.plant(f"{server.root}/{A}", generated(MIDDLE), etag="9e107d9d372bb6826bd81d3542a419d6")
    with opened(server) as store, pytest.raises(TryAgain, match="where they lie"):
        carry(store, want_for(store, A.encode()))


def test_etag_of_a_key_service_is_taken_for_no_digest(server: S3Server) -> None:
    etag = "9e107d9d372bb6826bd81d3542a419d6"
    server.plant(f"{server.root}/{A}", generated(MIDDLE), encryption="aws:kms", etag=etag)
    with opened(server) as store:
        assert carry(store, want_for(store, A.encode())) == generated(MIDDLE)


def test_object_that_was_stored_in_parts_is_compared_with_no_etag(server: S3Server, tmp_path: Path) -> None:
    with in_parts(server) as store:
        assert put_all(store, [load(tmp_path, MIDDLE)]) == [None]
        server.proxy.sums.clear()
        assert carry(store, want_for(store, A.encode())) == generated(MIDDLE)


def test_object_that_is_fetched_from_its_middle_on_is_compared_with_no_etag(server: S3Server) -> None:
    server.plant(f"{server.root}/{A}", generated(MIDDLE))
    with opened(server) as store:
        assert carry(store, want_for(store, A.encode(), 1000)) == generated(MIDDLE)[1000:]


@pytest.mark.parametrize(
    ("told", "bucket", "md5"),
    [
        ({"ETag": '"9e107d9d372bb6826bd81d3542a419d6"'}, "nights", "9e107d9d372bb6826bd81d3542a419d6"),
        ({"ETag": "9e107d9d372bb6826bd81d3542a419d6"}, "nights", "9e107d9d372bb6826bd81d3542a419d6"),
        ({"ETag": '"9e107d9d372bb6826bd81d3542a419d6-3"'}, "nights", ""),
        ({"ETag": '"9e107d9d372bb6826bd81d3542a419d6"'}, "nights--use1-az4--x-s3", ""),
        ({"ETag": '"9e107d9d372bb6826bd81d3542a419d6"', "ServerSideEncryption": "aws:kms:dsse"}, "nights", ""),
        ({"ETag": '"9e107d9d372bb6826bd81d3542a419d6"', "SSECustomerAlgorithm": "AES256"}, "nights", ""),
        ({"ETag": '"CPDkzpTQ2e8CEAE="'}, "nights", ""),
        ({}, "nights", ""),
    ],
)
def test_etag_is_a_digest_only_where_it_must_be_one(told: dict[str, object], bucket: str, md5: str) -> None:
    assert md5_of(Answer(told), bucket) == md5


def test_fetch_that_breaks_off_goes_on_where_it_stood(server: S3Server) -> None:
    server.plant(f"{server.root}/{A}", generated(MIDDLE))
    with opened(server) as store:
        want = want_for(store, A.encode())
        with server.proxy.changed(breaks=3_000_000):
            assert carry(store, want) == generated(MIDDLE)
    assert server.proxy.requests.count("get") == 2


def test_object_that_is_replaced_while_a_fetch_goes_on_is_changed(server: S3Server) -> None:
    server.plant(f"{server.root}/{A}", generated(MIDDLE))
    with opened(server) as store:
        arrivals = store.fetch([want_for(store, A.encode())])
        arrival = next(arrivals)
        arrival.read_into(memoryview(bytearray(1000)))
        server.plant(f"{server.root}/{A}", generated(MIDDLE, "another"))
        with pytest.raises(TryAgain, match="written again"):
            confirmed(arrival)
        assert list(arrivals) == []


# -- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["not utf-8 \udcff.fits", "x" * 250 + "/" + "y" * 250 + "/" + "z" * 250 + "/" + "w" * 250]
)
def test_name_that_no_bucket_can_hold_is_held_with_the_reason(server: S3Server, tmp_path: Path, name: str) -> None:
    long_root = {"root": "r" * 100}
    with opened(server, **long_root) as store:
        [answer] = put_all(store, [load(tmp_path, target=name)])
        assert isinstance(answer, Held)
        assert "name template" in str(answer)
        assert list(store.stat([StorePath(name)])) == [None]
        with pytest.raises(Held):
            carry(store, Want(StorePath(name), 1))


def test_empty_folders_of_consoles_are_no_files_and_odd_keys_are_told(server: S3Server) -> None:
    for key in ("", "folder/", "folder/a.fits", "..//odd", "a/../b"):
        server.plant(f"{server.root}/{key}", b"x" if key.strip("/").endswith(("s", "d", "b")) else b"")
    with opened(server) as store:
        found = list(store.list())
    assert [item.path for item in found if isinstance(item, Entry)] == ["folder/a.fits"]
    assert sorted(item.text for item in found if isinstance(item, Oddity)) == ["..//odd", "a/../b"]


# -- never over a name that is taken ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [opened, in_parts])
def test_name_taken_between_look_and_put_is_never_overwritten(server: S3Server, tmp_path: Path, how: object) -> None:
    assert callable(how)
    with how(server) as store:
        store._service.ask = _planting(store, server)
        [answer] = put_all(store, [load(tmp_path)])
    assert isinstance(answer, Occupied), repr(answer)
    assert server.content(f"{server.root}/{A}") == b"somebody was faster"
    assert server.uploads() == []


def _planting(store: S3Store, server: S3Server) -> object:
    ask = store._service.ask

    def plants_first(operation: str, what: str, /, *expected: int, **wanted: object) -> object:
        if operation in {"put_object", "create_multipart_upload"}:
            server.plant(f"{server.root}/{A}", b"somebody was faster")
        return ask(operation, what, *expected, **wanted)

    return plants_first


@pytest.mark.parametrize("how", [opened, in_parts])
def test_server_that_knows_no_conditions_can_be_raced_and_the_traits_say_so(
    server: S3Server, tmp_path: Path, how: object
) -> None:
    assert callable(how)
    with how(server) as store:
        assert store.traits.exclusive_put
        with server.proxy.changed(old=True):
            assert put_all(store, [load(tmp_path)]) == [None]
        assert not store.traits.exclusive_put
        [answer] = put_all(store, [load(tmp_path)])
        assert isinstance(answer, Occupied)


# -- what is left behind ------------------------------------------------------------------------------------------


def test_parts_of_a_killed_run_are_called_off_when_they_are_a_day_old(server: S3Server, tmp_path: Path) -> None:
    with in_parts(server) as store:
        for name in ("old", "new"):
            store._service.need("create_multipart_upload", "a test", Key=f"{server.root}/{name}")
    begun = server.uploads(f"{server.root}/")
    assert len(begun) == 2
    with opened(server) as store:
        store._server._forgotten = lambda: [  # type: ignore[method-assign] # moto tells no true time of begin
            (upload.key_name, upload.id)
            for upload in server._bucket().multiparts.values()
            if upload.key_name.endswith("old")
        ]
        assert put_all(store, [load(tmp_path)]) == [None]
    assert server.uploads(f"{server.root}/") == [f"{server.root}/new"]


def test_parts_that_could_not_be_called_off_are_so_by_the_next_put(server: S3Server, tmp_path: Path) -> None:
    with in_parts(server) as store:
        server.proxy.say(400, "EntityTooSmall", "complete")
        server.proxy.say(503, "SlowDown", "abort", times=4)
        [answer] = put_all(store, [load(tmp_path, MIDDLE)])
        assert isinstance(answer, TryAgain)
        assert server.uploads(f"{server.root}/") != []
        assert put_all(store, [load(tmp_path, MIDDLE)]) == [None]
    assert server.uploads(f"{server.root}/") == []


def test_parts_are_never_more_than_s3_takes() -> None:
    assert part_size(5 << 40, 16 << 20) * 10_000 >= 5 << 40
    assert part_size(1 << 30, 16 << 20) == 16 << 20


# -- a server's word ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [opened, in_parts])
def test_server_that_refuses_wrong_digests_is_believed(server: S3Server, tmp_path: Path, how: object) -> None:
    assert callable(how)
    with how(server, attest=True) as store:
        [answer] = store.put([load(tmp_path, MIDDLE)])
    assert isinstance(answer, Attested)
    assert answer.word.startswith("SHA-256 ")
    assert [key for key in server.keys(f"{server.root}/") if not key.endswith(A)] == []


def test_server_that_takes_wrong_digests_is_not_believed(server: S3Server, tmp_path: Path) -> None:
    with opened(server, attest=True) as store, server.proxy.changed(unsure=True):
        assert list(store.put([load(tmp_path, MIDDLE)])) == [None]
    assert server.keys(f"{server.root}/") == [f"{server.root}/{A}"]


# -- what only a person can mend ----------------------------------------------------------------------------------


def test_missing_bucket_is_misconfigured_whatever_is_asked(server: S3Server, tmp_path: Path) -> None:
    with opened(server, bucket="no-such-bucket") as store:
        calls = (
            lambda: entries_of(store),
            lambda: list(store.stat([A])),
            lambda: carry(store, Want(A, 1)),
            lambda: store.remove(A),
            lambda: [answer for answer in store.put([load(tmp_path)]) if answer],
        )
        for call in calls:
            with pytest.raises(Misconfigured, match="there is no bucket 'no-such-bucket'"):
                call()


def test_wrong_key_wrong_region_and_wrong_clock_say_what_to_mend(server: S3Server) -> None:
    with opened(server, user="stranger") as store, pytest.raises(Misconfigured, match="does not accept our access key"):
        entries_of(store)
    with (
        opened(server, region="eu-west-1") as store,
        pytest.raises(Misconfigured, match=r"in 'us-east-1'.*set 'region'"),
    ):
        entries_of(store)
    late = refusal(server, 403, "RequestTimeTooSkewed", Date="Sat, 01 Jan 2000 00:00:00 GMT")
    assert isinstance(late, Misconfigured)
    assert "ahead of the server's" in str(late)
    assert isinstance(refusal(server, 403, "SignatureDoesNotMatch"), Misconfigured)
    denied = refusal(server, 403, "AccessDenied")
    assert isinstance(denied, Misconfigured)
    assert "s3:ListBucket" in str(denied)


def test_no_access_key_at_all_says_where_one_is_looked_for(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with opened(server, user="", secret=None) as store, pytest.raises(Misconfigured, match="there is no access key"):
        entries_of(store)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.proxy.user)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    with opened(server, user="", secret=None) as store:
        assert entries_of(store) == {}


def test_credentials_that_stop_working_mid_night_are_misconfigured(server: S3Server, tmp_path: Path) -> None:
    with opened(server) as store:
        assert put_all(store, [load(tmp_path)]) == [None]
        server.proxy.say(403, "ExpiredToken", "put")
        [answer] = put_all(store, [load(tmp_path, target="b.fits")])
    assert isinstance(answer, Misconfigured)


def test_what_answers_but_is_no_s3_server_is_told(server: S3Server) -> None:
    with opened(server, endpoint=f"http://127.0.0.1:{server.proxy.port}/else") as store, pytest.raises(NightferryError):
        entries_of(store)


@pytest.mark.parametrize(
    ("days", "trusted", "says"), [(30, True, ""), (30, False, "self-signed"), (-5, True, "expired")]
)
def test_certificate_is_checked_and_its_fault_told(tmp_path: Path, days: int, trusted: bool, says: str) -> None:  # noqa: FBT001 - a case
    made = certificate(tmp_path, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.certificate, made.key)
    with s3_server(context) as server:
        address = replace(server.address("night", timeout=60), ca=made.certificate if trusted else None)
        with closing(S3Store(address)) as store:
            if says:
                with pytest.raises(Misconfigured, match=f"certificate is refused.*{says}"):
                    entries_of(store)
            else:
                assert put_all(store, [load(tmp_path)]) == [None]
        with closing(S3Store(replace(address, ca=None, verify_tls=False))) as store:
            assert isinstance(entries_of(store), dict)


def test_address_refuses_what_could_never_work() -> None:
    for wrong in ({"bucket": "a/b"}, {"user": "me"}, {"secret": "x"}, {"root": "\udcff"}, {"connections": 0}):
        with pytest.raises(Misconfigured):
            S3Address(**{"bucket": "nights", **wrong})  # type: ignore[arg-type] # a test's short way


def test_removing_what_is_gone_says_so(server: S3Server) -> None:
    with opened(server) as store, pytest.raises(Gone):
        store.remove(A)


CONDITION, DIGEST = "If-None-Match", "x-amz-checksum-sha256"


@pytest.mark.parametrize("dislikes", [(CONDITION,), (DIGEST,), (CONDITION, DIGEST)])
def test_headers_that_a_server_refuses_with_a_400_are_learnt(
    server: S3Server, tmp_path: Path, dislikes: tuple[str, ...]
) -> None:
    with opened(server) as store, server.proxy.changed(dislikes=dislikes):
        assert put_all(store, [load(tmp_path)]) == [None]
        server.proxy.requests.clear()
        assert put_all(store, [load(tmp_path, target="night/b.fits")]) == [None]
        assert server.proxy.requests.count("put") == 1
        assert store.traits.exclusive_put is (CONDITION not in dislikes)
        assert carry(store, want_for(store, A.encode())) == generated(5000)
