"""What the configuration says of buckets, proofs, speeds and tries."""

from contextlib import closing

import pytest

from nightferry.assemble import make_store, wrapped
from nightferry.config import Config, loads
from nightferry.core.errors import Misconfigured
from nightferry.core.store import Store
from nightferry.stores.local import LocalStore
from nightferry.stores.s3.bucket import S3Address
from nightferry.stores.s3.store import S3Store
from nightferry.stores.wrappers.limited import _Limited
from nightferry.stores.wrappers.retried import _Retried
from nightferry.stores.wrappers.throttled import _Throttled


def config(url: str, *lines: str) -> Config:
    return loads("\n".join(["[archive.cloud]", f'url = "{url}"', *lines]))


def address(url: str, *lines: str) -> S3Address:
    store = make_store(config(url, *lines).archive["cloud"], url)
    assert isinstance(store, S3Store)
    with closing(store):
        return store._service.address


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY", "hidden")


KEYS = ('user = "AKIA"', 'secret = "env:KEY"')


def test_bucket_prefix_and_keys_come_from_the_section() -> None:
    found = address("s3://Night.s-1/a%20b/c", *KEYS, 'endpoint = "http://10.0.0.1:9000"', 'region = "eu"')
    assert (found.bucket, found.root, found.endpoint, found.region) == (
        "Night.s-1",
        "a b/c",
        "http://10.0.0.1:9000",
        "eu",
    )
    assert (found.user, found.secret, found.attest) == ("AKIA", "hidden", False)
    assert found.label == "s3://Night.s-1/a b/c"
    assert "hidden" not in repr(found)
    assert address("s3://nights", *KEYS, 'verify = "server"').attest
    assert address("s3://nights").secret is None


@pytest.mark.parametrize(
    ("url", "lines", "says"),
    [
        ("s3://nights:9000/a", (), "the server is named by 'endpoint'"),
        ("s3:///a", (), "expected s3://BUCKET/prefix"),
        ("s3://nights", ('endpoint = "10.0.0.1:9000"',), "expected the URL of an S3 server"),
        ("s3://nights", ('endpoint = "https://me:pw@example.org"',), "belong in 'user' and 'secret'"),
        ("s3://nights", ('endpoint = "http://s3.example.org"',), "plain HTTP to s3.example.org"),
        ("file:///archive", ('verify = "server"',), 'say verify = "reread"'),
        ("sftp://vault/archive", ('verify = "server"',), "sftp:// stores have none"),
        ("s3://nights", ('limit = "20 MB"',), "such as '20 MB/s'"),
        ("s3://nights", ('limit = "0 MB/s"',), "a speed must be positive"),
        (
            "s3://nights",
            ('windows = [{from = "8", to = "18:00", limit = "none"}]',),
            "a time of the day such as '20:00'",
        ),
        ("s3://nights", ('windows = [{from = "18:00", to = "18:00", limit = "none"}]',), "never begins"),
        ("s3://nights", ("tries = 0",), "tries"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_say(url: str, lines: tuple[str, ...], says: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        config(url, *lines)
    assert says in str(refused.value)
    assert "pw" not in str(refused.value)


def test_an_insecure_endpoint_may_be_accepted() -> None:
    found = address("s3://nights", *KEYS, 'endpoint = "http://s3.example.org"', "insecure = true")
    assert found.endpoint == "http://s3.example.org"


def kinds(url: str, *lines: str) -> list[type]:
    section = config(url, *lines).archive["cloud"]
    store: Store | None = wrapped(make_store(section, url), section, url)
    found = []
    while store is not None:
        found.append(type(store))
        store = getattr(store, "_store", None) or getattr(store, "store", None)
    return found


def test_a_store_is_wrapped_in_what_its_section_asks_for() -> None:
    assert kinds("file:///archive") == [LocalStore]
    assert kinds("s3://nights") == [_Limited, S3Store]
    assert kinds("s3://nights", "tries = 3", 'limit = "1 MB/s"') == [_Throttled, _Retried, _Limited, S3Store]
    window = 'windows = [{from = "20:00", to = "06:00", limit = "5 MB/s"}]'
    assert kinds("file:///archive", window) == [_Throttled, LocalStore]
