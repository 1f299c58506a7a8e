"""The listing of 100,000 objects over S3, side by side with rclone.

Run with ``python -m benchmarks.s3_listing [ROUNDS]``. The server, in a process of its own, is a few lines that answer
listings (both versions, with and without folders) from texts that were made before: a real one would be measured
instead of its clients. It looks at no signature. The clients take turns; median and best of the rounds, and the least
processor time of a client and its children.
"""

import bisect
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from benchmarks import pulling
from benchmarks.pulling import FOLDERS, PER_FOLDER, Row
from nightferry.stores.s3.bucket import S3Address
from nightferry.stores.s3.store import S3Store

BUCKET, PREFIX, PAGE = "nights", "many/", 1000
_SETTINGS = "provider = Other\nenv_auth = false\naccess_key_id = me\nsecret_access_key = secret\nregion = us-east-1\n"


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with server() as port, tempfile.TemporaryDirectory() as name:
        work = Path(name)
        endpoint = f"http://127.0.0.1:{port}"
        address = S3Address(BUCKET, "many", endpoint, "us-east-1", "me", "secret")
        rows: dict[str, Row] = {"nightferry": lambda _: pulling.list_many(S3Store(address))}
        if rclone := pulling.rclone(f"[s3]\ntype = s3\nendpoint = {endpoint}\n{_SETTINGS}", work):
            words = [*rclone, "lsf", "-R", "--files-only"]
            rows["rclone lsf -R"] = lambda to: listed([*words, f"s3:{BUCKET}/many"], to / "all")
            rows["rclone lsf -R --fast-list"] = lambda to: listed(
                [*words, "--fast-list", f"s3:{BUCKET}/many"], to / "all"
            )
        entries = FOLDERS * PER_FOLDER
        pulling.contest(f"listing {entries:,} objects", "entries/s", float(entries), rows, work=work, rounds=rounds)


def listed(words: list[str], output: Path) -> None:
    # rclone 1.60 cannot load certificates of the user's own, and needs none here
    pulling.run(["env", "-u", "AWS_CA_BUNDLE", *words], output)
    with output.open("rb") as lines:
        assert sum(1 for _ in lines) == FOLDERS * PER_FOLDER


@contextlib.contextmanager
def server() -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.s3_listing", "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


class Listings:
    """All objects in order, and the texts that tell of them."""

    def __init__(self) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.keys = [
            f"{PREFIX}night{folder:03}/light_{number:05}.fits"
            for folder in range(FOLDERS)
            for number in range(PER_FOLDER)
        ]
        self.told = [
            f"<Contents><Key>{key}</Key><LastModified>{when}</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e"
            "&quot;</ETag><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key in self.keys
        ]

    def page(self, prefix: str, delimiter: str, after: str) -> tuple[str, str]:
        """Tell a page's text and the last key on it, which is empty when no page comes behind."""
        first = bisect.bisect_right(self.keys, after) if after else bisect.bisect_left(self.keys, prefix)
        end = bisect.bisect_left(self.keys, prefix + "\U0010ffff")
        if delimiter and "/" in self.keys[first][len(prefix) :]:
            folders = dict.fromkeys(key[: key.index("/", len(prefix)) + 1] for key in self.keys[first:end])
            return "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders), ""
        last = min(first + PAGE, end)
        return "".join(self.told[first:last]), self.keys[last - 1] if last < end else ""


class Handler(BaseHTTPRequestHandler):
    """Answers listings, of one bucket."""

    protocol_version = "HTTP/1.1"
    listings: Listings | None = None

    def do_GET(self) -> None:
        """Answer with a page."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix = asked.get("prefix", "")
        after = asked.get("continuation-token") or asked.get("marker") or ""
        assert Handler.listings is not None
        text, last = Handler.listings.page(prefix, asked.get("delimiter", ""), after)
        more = f"<NextContinuationToken>{last}</NextContinuationToken><NextMarker>{last}</NextMarker>" if last else ""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><MaxKeys>{PAGE}</MaxKeys>"
            f"<IsTruncated>{'true' if last else 'false'}</IsTruncated>{more}{text}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        """Say that no object has this very name."""
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep no log."""


def serve() -> None:
    Handler.listings = Listings()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        print(listening.server_address[1], flush=True)
        listening.serve_forever()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
