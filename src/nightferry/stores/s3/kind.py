"""The kind of ``s3://`` stores: their keys of a section, and how they are made of it."""

from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from nightferry.core.display import display_url
from nightferry.core.store import Store
from nightferry.stores.kinds import Keys, Place, StoreKind, host_and_port, is_near

_AMAZON = "https://s3.amazonaws.com"


def _check_endpoint(endpoint: str) -> str:
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"{display_url(endpoint)!r}: expected the URL of an S3 server, such as 'https://s3.example.org:9000'"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"the endpoint {parts.hostname} holds a user or password: they belong in 'user' and 'secret'")
    return endpoint


class S3Keys(Keys):
    """What a section may say of a bucket and its server."""

    endpoint: Annotated[str, AfterValidator(_check_endpoint)] | None = None  #: the server that is not Amazon's
    region: str = ""  #: the region of the bucket
    insecure: bool = False  #: allow plain HTTP to a public host
    verify_tls: bool = True  #: check the server's certificate
    ca: Path | None = None  #: certificates to trust instead of the system's


def _check_url(url: SplitResult) -> None:
    if not url.hostname or ":" in url.netloc.rpartition("@")[2]:
        raise ValueError("expected s3://BUCKET/prefix; the server is named by 'endpoint'")


def _check(_: SplitResult, keys: S3Keys) -> None:
    server = urlsplit(keys.endpoint or "")
    if server.scheme == "http" and not keys.insecure and not is_near(server.hostname or ""):
        raise ValueError(
            f"plain HTTP to {server.hostname} would send frames in clear text over a public network: use "
            "https://, or say 'insecure = true' if you accept that"
        )


def _server(_: SplitResult, keys: S3Keys) -> str:
    return host_and_port(urlsplit(keys.endpoint or _AMAZON), keys)


def _make(place: Place, keys: S3Keys) -> Store:
    """Make the store; bucket names keep their case."""
    from nightferry.stores.s3.bucket import S3Address  # noqa: PLC0415 - only the stores in use are loaded
    from nightferry.stores.s3.store import S3Store  # noqa: PLC0415

    return S3Store(
        S3Address(
            bucket=place.url.netloc.rpartition("@")[2],
            root=place.url.path.strip("/"),
            endpoint=keys.endpoint,
            region=keys.region,
            user=place.user,
            secret=place.secret,
            verify_tls=keys.verify_tls,
            ca=keys.ca,
            timeout=place.timeout,
            connections=place.connections,
            attest=place.attest,
        )
    )


S3 = StoreKind(S3Keys, _make, check_url=_check_url, check=_check, server=_server, attests=True)
