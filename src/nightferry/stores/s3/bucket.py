"""Where a bucket is, who we are there, and names in the store as keys in it."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from nightferry.core.errors import Held, Misconfigured
from nightferry.core.store import StorePath
from nightferry.stores.paths import checked

# -- the address -----------------------------------------------------------------------------------------------------

#: What every server takes as a bucket's name; Amazon's own rules are narrower and its own to tell.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: S3 takes no part but the last that is smaller, and no more parts of one object.
SMALLEST_PART, MOST_PARTS = 5 << 20, 10_000


@dataclass(frozen=True, slots=True)
class S3Address:
    """Everything a store must know to reach one prefix of one bucket.

    ``root`` is the prefix that the store shows, without slashes around it. ``endpoint`` is the URL of a server that is
    not Amazon's. ``user`` and ``secret`` are the access key and its secret; with neither, the SDK's own chain finds
    them (environment, ``~/.aws``, the machine's role). ``timeout`` (seconds) bounds every single wait,
    ``connections`` says how many calls may run side by side. Objects up to ``whole`` bytes go in one request, either
    way; bigger ones in parts of ``part_size`` bytes. With ``attest``, a put tells what the server says it holds.
    """

    bucket: str
    root: str = ""
    endpoint: str | None = None
    region: str = ""
    user: str = ""
    secret: str | None = field(default=None, repr=False)
    verify_tls: bool = True
    ca: Path | None = None
    timeout: float = 30.0
    connections: int = 4
    attest: bool = False
    whole: int = 32 << 20
    part_size: int = 16 << 20

    def __post_init__(self) -> None:
        """Refuse what could never work."""
        if not _BUCKET.fullmatch(self.bucket):
            raise Misconfigured(f"{self.bucket!a} is no name of a bucket: expected s3://BUCKET/prefix; correct the URL")
        for what, said in (("prefix", self.root), ("access key", self.user), ("region", self.region)):
            if _CONTROL.search(said):
                raise Misconfigured(f"{self.label}: the {what} must not contain control characters; remove them")
        try:
            self.root.encode()
        except UnicodeEncodeError as err:
            raise Misconfigured(f"{self.label}: the prefix is not UTF-8, as all keys in S3 are; correct it") from err
        if bool(self.user) != (self.secret is not None):
            raise Misconfigured(
                f"{self.label}: an access key ('user') and its secret ('secret') go together; give both, or neither to "
                "take them from the environment, ~/.aws or the machine's role"
            )
        if self.secret is not None and (not self.secret or _CONTROL.search(self.secret)):
            raise Misconfigured(f"{self.label}: the secret must be one line, not empty; correct where it stands")
        if self.connections < 1 or self.timeout <= 0:
            raise Misconfigured(f"{self.label}: connections and timeout must be positive; correct them")
        if self.part_size < SMALLEST_PART:
            raise ValueError(f"S3 takes no parts of less than {SMALLEST_PART} bytes, not {self.part_size}")

    @property
    def label(self) -> str:
        """The address as messages show it, without keys."""
        return f"s3://{self.bucket}/{self.root}".rstrip("/")

    @property
    def prefix(self) -> str:
        """What all keys of the store begin with."""
        return f"{self.root}/" if self.root else ""


# -- keys ------------------------------------------------------------------------------------------------------------

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
    """Return the path of a key below the root."""
    return StorePath(key[len(address.prefix) :])
