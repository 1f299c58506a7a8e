"""Stands between a client and an S3 server, checks what other test servers let pass, and misbehaves on demand.

The servers that tests can run accept wrong checksums and, some of them, overwrite what they were told not to. Here
bytes are compared with every digest that came with them, uploads without any are refused, ``If-None-Match`` holds even
when two writers race, and the access key and region must be the right ones. `S3Proxy.changed` sets a fault for a while.
"""

import base64
import contextlib
import hashlib
import http.client
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import unescape

_CHUNK = 64 << 10
_WRITES = {"put", "part", "create", "complete", "delete"}
_SIZE = re.compile(rb"<Size>(\d+)</Size>")


class Gone(Exception):  # noqa: N818 - never leaves this module
    """The connection is to be dropped without another word."""


@dataclass
class Faults:
    """How the server misbehaves; None or 0 is a fault that is off. Counts are bytes of objects' data."""

    dies: int | None = None  #: after so many more bytes, either way
    freezes: int | None = None
    cuts: int | None = None  #: where fetched objects end, with a success
    lies: int = 0  #: how much is added to every size that is told
    space: int | None = None  #: so many more bytes are taken
    keeps: int | None = None  #: how many bytes of each object are kept
    refuses: bool = False  #: nothing may be written
    flips_up: bool = False  #: one bit of what is sent changes on the way
    flips_down: bool = False  #: one bit of what is fetched
    breaks: int | None = None  #: a fetch's connection is dropped after so many bytes, once
    unsure: bool = False  #: accepts wrong digests, as other servers do
    dislikes: tuple[str, ...] = ()  #: headers that are answered with a 400
    old: bool = False  #: does not know ``If-None-Match``, and says so


@dataclass(frozen=True)
class Word:
    """An answer to be given instead of the true one, to requests of one kind (all when empty), so many times."""

    status: int
    code: str
    kind: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request: what it is for, and where it goes."""

    kind: str
    bucket: str
    key: str
    query: Mapping[str, list[str]]


class S3Proxy:
    """The proxy; `requests` lists the kinds of requests that came, in order."""

    def __init__(
        self, upstream: int, user: str, region: str = "us-east-1", context: ssl.SSLContext | None = None
    ) -> None:
        self.upstream, self.user, self.region, self.context = upstream, user, region, context
        self.faults = Faults()
        self.requests: list[str] = []
        self.words: list[Word] = []
        self.commit = threading.Lock()
        self.sums: dict[tuple[str, str], str] = {}  # (key, ETag): SHA-256 as S3 tells it
        self.parts: dict[tuple[str, int], bytes] = {}  # (upload, number): SHA-256
        self.kept: dict[str, int] = {}  # by upload
        self.thaw = threading.Condition()
        self._going = threading.Lock()
        self._server: _Server | None = None
        self._port = 0
        self.start()

    @property
    def port(self) -> int:
        """Where it listens, also while it is away."""
        return self._port

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http{'s' if self.context else ''}://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listen, on the same port as ever."""
        with self._going:
            if self._server is None:
                self._server = _Server(self)
                self._port = self._server.server_address[1]
                threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Drop all connections and refuse new ones."""
        with self._going:
            server, self._server = self._server, None
            if server is not None:
                server.hang_up()

    @contextlib.contextmanager
    def changed(self, **faults: object) -> Iterator[None]:
        """Misbehave until the block ends; a server that went away comes back then."""
        for name, value in faults.items():
            setattr(self.faults, name, value)
        if self.faults.dies == 0:
            self.stop()
        try:
            yield
        finally:
            with self.thaw:
                self.faults = Faults()
                self.thaw.notify_all()
            self.start()

    def say(
        self, status: int, code: str, kind: str = "", times: int = 1, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the next requests (of one kind) with an error, so many times."""
        self.words += [Word(status, code, kind, headers or {})] * times

    def word_for(self, asked: Asked) -> Word | None:
        """Take the answer that was prepared for such a request."""
        for word in self.words:
            if word.kind in {"", asked.kind}:
                self.words.remove(word)
                return word
        return None

    def spend(self, count: int) -> None:
        """Move so many bytes of data; die or freeze when it is time. Raises `Gone` for the connection at hand."""
        faults = self.faults
        if faults.dies is not None:
            faults.dies = max(0, faults.dies - count)
            if faults.dies == 0:
                self.stop()
                raise Gone
        if faults.freezes is not None:
            faults.freezes = max(0, faults.freezes - count)
            if faults.freezes == 0:
                with self.thaw:
                    self.thaw.wait_for(lambda: self.faults is not faults, timeout=600)
                raise Gone  # what was asked before belongs to the past


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, proxy: S3Proxy) -> None:
        self.proxy = proxy
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", proxy.port), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Take the next connection, and remember it so that it can be dropped."""
        sock, address = self.socket.accept()
        if self.proxy.context is not None:
            sock = self.proxy.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(sock)
        return sock, address

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Forget a connection that ended."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of connections that were dropped, whichever side did it."""

    def hang_up(self) -> None:
        """Stop listening and drop all connections."""
        self.shutdown()
        self.server_close()
        with self._lock:
            sockets = list(self._open)
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        """Shake hands in the connection's own thread, for a client may take its time."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of the standard library
        """Keep quiet."""

    def do_GET(self) -> None:
        """Answer any request."""
        try:
            self._answer()
        except Gone:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the names are the standard library's

    def _answer(self) -> None:
        proxy, asked = self.server.proxy, asked_for(self.command, self.path)
        proxy.spend(0)
        proxy.requests.append(asked.kind)
        told = dict(self.headers.items())
        body = self._body(counted=asked.kind in {"put", "part"})
        refusal = proxy.word_for(asked) or stranger(proxy, told) or self._refused(asked, body)
        if refusal is not None:
            self._refuse(refusal)
            return
        if asked.kind in {"put", "complete"}:
            with proxy.commit:
                if (
                    "If-None-Match" in self.headers
                    and self._forward("HEAD", f"/{asked.bucket}/{quote(asked.key)}").status == 200
                ):
                    self._refuse(Word(412, "PreconditionFailed"))
                    return
                answer = self._forward(self.command, self.path, self._kept(asked, body))
        else:
            answer = self._forward(self.command, self.path, self._kept(asked, body))
        self._give(asked, body, answer)

    # -- what comes in -----------------------------------------------------------------------------------------

    def _body(self, *, counted: bool) -> bytes:
        left = int(self.headers.get("Content-Length") or 0)
        found = bytearray()
        while left:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                raise Gone
            found += chunk
            left -= len(chunk)
            if counted:
                self.server.proxy.spend(len(chunk))
        if counted and found and self.server.proxy.faults.flips_up:
            found[len(found) // 2] ^= 1
        return bytes(found)

    def _refused(self, asked: Asked, body: bytes) -> Word | None:
        faults = self.server.proxy.faults
        if faults.refuses and asked.kind in _WRITES:
            return Word(403, "AccessDenied")
        if faults.old and "If-None-Match" in self.headers:
            return Word(501, "NotImplemented")
        if asked.kind == "put" and any(name in self.headers for name in faults.dislikes):
            return Word(400, "InvalidArgument")
        if asked.kind not in {"put", "part"}:
            return None
        if faults.space is not None:
            if len(body) > faults.space:
                return Word(507, "XMinioStorageFull")
            faults.space -= len(body)
        return None if faults.unsure or faults.dislikes else damage(dict(self.headers.items()), body)

    def _kept(self, asked: Asked, body: bytes) -> bytes:
        """Cut down to what is kept of it."""
        proxy = self.server.proxy
        if asked.kind not in {"put", "part"} or proxy.faults.keeps is None:
            return body
        if asked.kind == "put":
            return body[: proxy.faults.keeps]
        upload = asked.query["uploadId"][0]
        left = proxy.kept.get(upload, proxy.faults.keeps)
        proxy.kept[upload] = max(0, left - len(body))
        return body[:left]

    def _forward(self, method: str, path: str, body: bytes = b"") -> "Answered":
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.proxy.upstream, timeout=600)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"content-length", "connection", "expect", "if-none-match"}
        }
        try:
            upstream.request(method, path, body=body or None, headers=headers | {"Content-Length": str(len(body))})
            response = upstream.getresponse()
            return Answered(response.status, dict(response.getheaders()), response.read())
        finally:
            upstream.close()

    # -- what goes out -----------------------------------------------------------------------------------------

    def _refuse(self, word: Word) -> None:
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{word.code}</Code>'
            f"<Message>the server says {word.code}</Message></Error>"
        ).encode()
        headers = {"Content-Type": "application/xml", **word.headers}
        self._send(word.status, headers, b"" if self.command == "HEAD" else text)

    def _give(self, asked: Asked, body: bytes, answer: "Answered") -> None:
        proxy, faults = self.server.proxy, self.server.proxy.faults
        headers, data = dict(answer.headers), answer.body
        noted(proxy, asked, dict(self.headers.items()), body, answer)
        if asked.kind in {"head", "get"} and answer.status in {200, 206}:
            for name in [name for name in headers if name.lower().startswith("x-amz-checksum")]:
                del headers[name]  # the server behind believes what it is told
            known = proxy.sums.get((asked.key, told_by(headers, "etag")))
            if known and self.headers.get("x-amz-checksum-mode") and answer.status == 200:
                headers["x-amz-checksum-sha256"] = known
        if faults.lies and asked.kind == "list":
            data = _SIZE.sub(lambda found: b"<Size>%d</Size>" % (int(found[1]) + faults.lies), data)
        if faults.lies and asked.kind == "head" and answer.status == 200:
            headers["Content-Length"] = str(int(headers["Content-Length"]) + faults.lies)
        if asked.kind == "get" and answer.status in {200, 206}:
            self._give_object(answer.status, headers, data)
        else:
            self._send(answer.status, headers, data)

    def _give_object(self, status: int, headers: dict[str, str], data: bytes) -> None:
        proxy, faults = self.server.proxy, self.server.proxy.faults
        found = re.search(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(found[1]) if found else 0
        if faults.cuts is not None:
            data = data[: max(0, faults.cuts - start)]
        if faults.flips_down and data:
            changed = bytearray(data)
            changed[len(changed) // 2] ^= 1
            data = bytes(changed)
        self._head(status, headers | {"Content-Length": str(len(data))})
        for place in range(0, len(data), _CHUNK):
            piece = data[place : place + _CHUNK]
            if faults.breaks is not None and place >= faults.breaks:
                faults.breaks = None
                raise Gone
            self.wfile.write(piece)
            proxy.spend(len(piece))

    def _send(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        length = {} if self.command == "HEAD" and "Content-Length" in headers else {"Content-Length": str(len(data))}
        self._head(status, {**headers, **length})
        self.wfile.write(data)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        if not any(name.lower() == "date" for name in headers):
            self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            if name.lower() not in {"connection", "transfer-encoding", "server"}:
                self.send_header(name, value)
        self.end_headers()


@dataclass(frozen=True)
class Answered:
    """What the server behind answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def asked_for(method: str, target: str) -> Asked:
    """Tell what a request is for: ``put``, ``part``, ``create``, ``complete``, ``abort``, ``list`` and so on."""
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, _, key = parts.path.lstrip("/").partition("/")
    kind = {"PUT": "put", "GET": "get", "HEAD": "head", "DELETE": "delete", "POST": "post"}[method]
    if not key:
        kind = "uploads" if "uploads" in query else {"get": "list", "head": "bucket"}.get(kind, kind)
    elif "partNumber" in query and method == "PUT":
        kind = "part"
    elif "uploads" in query:
        kind = "create"
    elif "uploadId" in query:
        kind = {"POST": "complete", "DELETE": "abort"}.get(method, kind)
    return Asked(kind, bucket, unquote(key, errors="surrogateescape"), query)


def told_by(headers: Mapping[str, str], name: str) -> str:
    """Give a header's value, however it is written; empty when it is not there."""
    return next((value for key, value in headers.items() if key.lower() == name), "")


def stranger(proxy: S3Proxy, headers: Mapping[str, str]) -> Word | None:
    """Refuse another access key than ours, and another region."""
    found = re.search(r"Credential=([^/]+)/\d+/([^/]+)/s3/", told_by(headers, "authorization"))
    if found is None:
        return Word(403, "AccessDenied")
    if found[1] != proxy.user:
        return Word(403, "InvalidAccessKeyId")
    if found[2] != proxy.region:
        return Word(400, "AuthorizationHeaderMalformed", headers={"x-amz-bucket-region": proxy.region})
    return None


def damage(headers: Mapping[str, str], body: bytes) -> Word | None:
    """Compare bytes with every digest that came with them; at least one must."""
    sums = {
        "content-md5": lambda: hashlib.md5(body, usedforsecurity=False).digest(),
        "x-amz-checksum-sha256": lambda: hashlib.sha256(body).digest(),
        "x-amz-checksum-sha1": lambda: hashlib.sha1(body, usedforsecurity=False).digest(),
        "x-amz-checksum-crc32": lambda: zlib.crc32(body).to_bytes(4, "big"),
    }
    told = {name: value for name in sums if (value := told_by(headers, name))}
    if not told:
        return Word(400, "InvalidRequest")
    if any(base64.b64decode(said) != sums[name]() for name, said in told.items()):
        return Word(400, "BadDigest")
    signed = told_by(headers, "x-amz-content-sha256")
    if len(signed) == 64 and signed != hashlib.sha256(body).hexdigest():
        return Word(400, "XAmzContentSHA256Mismatch")
    return None


def noted(proxy: S3Proxy, asked: Asked, headers: Mapping[str, str], body: bytes, answer: Answered) -> None:
    """Remember the digests of what was stored, which the server behind does not tell of all it holds."""
    if answer.status != 200:
        return
    if asked.kind == "part":
        proxy.parts[asked.query["uploadId"][0], int(asked.query["partNumber"][0])] = hashlib.sha256(body).digest()
    elif asked.kind == "put" and (said := told_by(headers, "x-amz-checksum-sha256")):
        proxy.sums[asked.key, told_by(answer.headers, "etag")] = said
    elif asked.kind == "complete":
        upload = asked.query["uploadId"][0]
        digests = [digest for (of, _), digest in sorted(proxy.parts.items()) if of == upload]
        joined = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
        etag = re.search(rb"<ETag>([^<]+)</ETag>", answer.body)
        assert etag is not None
        proxy.sums[asked.key, unescape(etag[1].decode())] = f"{joined}-{len(digests)}"
