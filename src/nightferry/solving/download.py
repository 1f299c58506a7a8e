"""Fetching index files over HTTP: resumed where it was cut, whole before it has its name, and never asked for twice.

What arrives goes into ``NAME.STATE.part``, where STATE stands for the state of the file at its source (its ETag or
date, and its size): pieces of two different states never meet. A file gets its name when size, digest (where the
source tells one) and the index itself are right.
"""

import base64
import binascii
import hashlib
import http.client
import os
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from nightferry.core.errors import Busy, Changed, Held, Misconfigured, NoSpace, TryAgain, Unreachable
from nightferry.disk.errors import FULL, translated
from nightferry.disk.files import finish, make_folders, name_anew
from nightferry.solving.indexes import read_index
from nightferry.solving.series import Wish

_PATIENCE = 30.0  # seconds without a byte
#: How often in a row a connection may break without a byte gained; and the first pause after that, in seconds.
_TRIES, _PAUSE = 4, 1.0
_CHUNK = 1 << 18
_SPARE = 100_000_000  # bytes that stay free on the disk
#: How far an index's quads may be from its scale's, which are rounded; those of the next are half as large again.
_ROUNDING = 0.2
_PARTIAL, _MISSING, _GONE, _BEYOND = 206, 404, 410, 416
_AGENT = "nightferry"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source has: ``size`` in bytes (None where it does not say), its state, and a digest if it tells one.

    ``there`` says that the file is in the folder already, whole; ``begun`` how much of it is.
    """

    wish: Wish
    size: int | None
    etag: str
    changed: str
    digest: tuple[str, bytes] | None
    there: bool = False
    begun: int = 0

    @property
    def left(self) -> int:
        """Bytes that are still to come, as far as the source tells."""
        return 0 if self.there else max(0, (self.size or 0) - self.begun)

    @property
    def part(self) -> str:
        """The name of the unfinished file."""
        state = hashlib.sha256(f"{self.etag}\n{self.changed}\n{self.size}".encode()).hexdigest()[:12]
        return f"{self.wish.name}.{state}.part"


def look(wishes: Sequence[Wish], folder: Path) -> list[Offer]:
    """Ask the source what it has of files, and the folder what is there already.

    Raises `Misconfigured` for files that the source does not have, `Unreachable` where it does not answer.
    """
    return [_offer(wish, folder) for wish in wishes]


def fetch(
    offers: Sequence[Offer], folder: Path, told: Callable[[str, int], object] = lambda _name, _more: None
) -> list[Path]:
    """Fetch what is not there yet, one file after the other; ``told`` hears of names and bytes that came.

    Raises `NoSpace` before anything is fetched when the disk is too small, `Busy` when another is at it, `Changed`
    when the source's file became another, `Unreachable` and `TryAgain` when it could not be had whole: what came stays,
    and the next call goes on from there.
    """
    need = sum(offer.left for offer in offers)
    try:
        make_folders(folder)
        free = shutil.disk_usage(folder).free
    except OSError as err:
        raise Misconfigured(f"{folder} cannot be used: {err.strerror or err}; choose another with --into") from err
    if need and need + _SPARE > free:
        raise NoSpace(
            f"{folder}: {need:,} bytes are to come and {_SPARE:,} stay free, but there are {free:,}: "
            "make room, or choose another folder with --into"
        )
    with _alone(folder):
        return [_fetched(offer, folder, told) for offer in offers if not offer.there]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / ".download.lock")
    with translated(folder, "the folder of index files"):
        try:
            lock.acquire(timeout=0)
        except Timeout as err:
            raise Busy(f"another nightferry is fetching index files into {folder}") from err
    try:
        yield
    finally:
        lock.release()


def _offer(wish: Wish, folder: Path) -> Offer:
    there = _is_whole(folder / wish.name, wish)
    try:
        with _open(urllib.request.Request(wish.url, method="HEAD")) as answer:  # noqa: S310 - _open checks the scheme
            headers = answer.headers
    except urllib.error.HTTPError as err:
        raise _refused(wish, err) from err
    except (OSError, http.client.HTTPException) as err:
        raise Unreachable(f"{wish.url}: no answer: {_reason(err)}; is the network there?") from err
    told = headers.get("Content-Length", "")
    size = int(told) if told.isdecimal() else None
    etag = headers.get("ETag", "")
    digest = read_digest({key.lower(): value for key, value in headers.items()})
    offer = Offer(wish, size, "" if etag.startswith("W/") else etag, headers.get("Last-Modified", ""), digest, there)
    part = folder / offer.part
    begun = part.stat().st_size if not there and part.is_file() else 0
    return Offer(wish, size, offer.etag, offer.changed, digest, there, begun)


def _open(request: urllib.request.Request) -> http.client.HTTPResponse:
    scheme = urlsplit(request.full_url).scheme
    if scheme not in {"http", "https"}:
        raise Misconfigured(f"{request.full_url}: expected an address that begins with https:// or http://")
    request.add_header("User-Agent", _AGENT)
    request.add_header("Accept-Encoding", "identity")
    opened = urllib.request.urlopen(request, timeout=_PATIENCE)  # noqa: S310 - the scheme was looked at
    return cast("http.client.HTTPResponse", opened)


def _refused(wish: Wish, err: urllib.error.HTTPError) -> Exception:
    err.close()
    if err.code in {_MISSING, _GONE}:
        return Misconfigured(f"{wish.url}: the source has no such file: correct --source, --series or --scales")
    return Unreachable(f"{wish.url}: the source answers {err.code} {err.reason}")


def _reason(err: BaseException) -> str:
    return str(getattr(err, "reason", "") or err) or type(err).__name__


def read_digest(headers: dict[str, str]) -> tuple[str, bytes] | None:
    """Read the digest of a whole file from an answer: RFC 9530's or its forerunners'; header names in small letters."""
    for name in ("repr-digest", "digest"):
        for item in headers.get(name, "").split(","):
            key, _, value = item.strip().partition("=")
            if key.lower() in {"sha-256", "sha-512"} and (raw := _decoded(value.strip(":"))):
                return key.lower().replace("-", ""), raw
    if raw := _decoded(headers.get("content-md5", "")):
        return "md5", raw
    return None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _fetched(offer: Offer, folder: Path, told: Callable[[str, int], object]) -> Path:
    wish = offer.wish
    part = folder / offer.part
    for older in folder.glob(f"{wish.name}.*.part"):
        if older != part:  # pieces of a file that the source has no more
            older.unlink(missing_ok=True)
    try:
        _fill(offer, part, told)
        _check(offer, part)
        name_anew(part, folder / wish.name)
    except OSError as err:
        if err.errno in FULL:
            raise NoSpace(f"{folder}: the disk is full: make room, and fetch again: what came is kept") from err
        raise TryAgain(f"{part} cannot be written: {err.strerror or err}") from err
    return folder / wish.name


def _fill(offer: Offer, part: Path, told: Callable[[str, int], object]) -> None:
    """Bring the rest of a file, over as many connections as it takes while each brings something."""
    idle, anew = 0, False
    with part.open("ab") as file:
        while offer.size is None or file.tell() < offer.size:
            before = file.tell()
            try:
                whole = _piece(offer, file.tell(), file.truncate, file.write, told)
            except urllib.error.HTTPError as err:
                if err.code == _BEYOND and before:  # what lies here is all that there is, or more
                    err.close()
                    file.truncate(0)
                    file.seek(0)
                    told(offer.wish.name, -before)
                    if anew:
                        raise Changed(
                            f"{offer.wish.url}: {before:,} bytes and no more, where the source told of {offer.size}: "
                            "try again"
                        ) from err
                    anew = True
                    continue
                raise _refused(offer.wish, err) from err
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as err:
                file.seek(0, os.SEEK_END)
                idle = 0 if file.tell() > before else idle + 1
                if idle >= _TRIES:
                    raise Unreachable(
                        f"{offer.wish.url}: broken off after {file.tell():,} bytes: {_reason(err)}; "
                        "the same command goes on from there"
                    ) from err
                threading.Event().wait(_PAUSE * 2**idle if idle else 0)
                continue
            file.seek(0, os.SEEK_END)
            if whole:
                break
        try:
            finish(file)
        except OSError:  # the bytes may be lost, and a second sync would not say so
            file.truncate(0)
            raise


def _piece(
    offer: Offer,
    start: int,
    truncate: Callable[[int], object],
    write: Callable[[bytes], object],
    told: Callable[[str, int], object],
) -> bool:
    """Read one answer to its end; whether the file must be whole then. A source without ranges begins anew."""
    request = urllib.request.Request(offer.wish.url)  # noqa: S310 - _open checks the scheme
    if start:
        request.add_header("Range", f"bytes={start}-")
        if state := offer.etag or offer.changed:
            request.add_header("If-Range", state)
    with _open(request) as answer:
        if start and answer.status == _PARTIAL:
            _check_range(offer, start, answer.headers.get("Content-Range", ""))
        elif start:
            truncate(0)
            told(offer.wish.name, -start)
            start = 0
        came = start
        while chunk := answer.read(_CHUNK):
            came += len(chunk)
            if offer.size is not None and came > offer.size:
                raise Changed(f"{offer.wish.url}: more than the {offer.size:,} bytes it was said to have: try again")
            write(chunk)
            told(offer.wish.name, len(chunk))
    if offer.size is not None and came < offer.size:
        raise http.client.IncompleteRead(b"", offer.size - came)
    return True


def _check_range(offer: Offer, start: int, told: str) -> None:
    """Refuse a piece that is not the one that was asked for."""
    span, _, total = told.removeprefix("bytes").strip().partition("/")
    if span.partition("-")[0] != str(start) or (offer.size is not None and total not in {"*", str(offer.size)}):
        raise Changed(f"{offer.wish.url}: asked for the bytes from {start:,} on, and got {told!r}: try again")


def _check(offer: Offer, part: Path) -> None:
    """Refuse, and throw away, what is not the file that was offered, or no index file of its scale."""
    wrong = ""
    size = part.stat().st_size
    if offer.size is not None and size != offer.size:
        wrong = f"{size:,} bytes came, expected {offer.size:,}"
    elif offer.digest is not None:
        name, expected = offer.digest
        with part.open("rb") as file:
            if hashlib.file_digest(file, name).digest() != expected:
                wrong = f"its {name} is not the one that the source tells"
    if not wrong and not _is_whole(part, offer.wish):
        wrong = "it is no whole index file of this scale"
    if wrong:
        part.unlink()
        raise TryAgain(f"{offer.wish.url}: {wrong}; what came was thrown away: try again, or choose another --source")


def _is_whole(path: Path, wish: Wish) -> bool:
    """Whether a file is a whole index file, of the quads that were wished for."""
    if not path.is_file():
        return False
    try:
        index = read_index(path)
    except Held:
        return False
    return index is not None and all(
        abs(found / expected - 1) < _ROUNDING for found, expected in ((index.low, wish.low), (index.high, wish.high))
    )
