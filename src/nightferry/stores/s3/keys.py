"""Names in a store as keys in a bucket, and back."""

from nightferry.core.errors import Held
from nightferry.core.store import StorePath
from nightferry.stores.paths import checked
from nightferry.stores.s3.address import S3Address

#: The most bytes that a key may have.
LONGEST_KEY = 1024


def key_of(address: S3Address, path: StorePath) -> str:
    """Make a path's key; raises `Held` for one that no bucket can hold."""
    key = address.prefix + checked(path)
    try:
        size = len(key.encode())
    except UnicodeEncodeError as err:
        raise Held(
            f"{address.label}: {path!a} is not UTF-8, and keys in S3 are; nothing is read or written there: rename it "
            "at its origin, or mend the name template"
        ) from err
    if size > LONGEST_KEY:
        raise Held(
            f"{address.label}: {path!a} makes a key of {size} bytes, and S3 takes {LONGEST_KEY}; shorten the prefix or "
            "the name template"
        )
    return key


def path_of(address: S3Address, key: str) -> StorePath:
    """Tell the path of a key below the root."""
    return StorePath(key[len(address.prefix) :])


def folders_of(path: StorePath) -> list[StorePath]:
    """List the folders above a path, the nearest last."""
    parts = path.split("/")[:-1]
    return [StorePath("/".join(parts[: count + 1])) for count in range(len(parts))]
