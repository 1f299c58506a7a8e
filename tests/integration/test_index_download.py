"""Index files fetched from a source on loopback that cuts, changes, lies, or has no ranges; and never unasked."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
from filelock import FileLock

from nightferry.cli.app import main
from nightferry.core.errors import Busy, Changed, Misconfigured, NoSpace, TryAgain, Unreachable
from nightferry.solving import download
from nightferry.solving.building import Order, build
from nightferry.solving.download import fetch, look, read_digest
from nightferry.solving.indexes import read_index
from nightferry.solving.series import SERIES, quads_of, scales_for, wishes_for
from nightferry.testing.fields import made_up_stars, write_catalogue

WIDE = (100.0, 20.0)


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Build index files of the scales 7 and 9, under the names that the public ones have."""
    folder = tmp_path_factory.mktemp("series")
    catalogue = write_catalogue(folder / "stars.csv", made_up_stars(*WIDE, radius=3.0, count=1500))
    first, second = build(Order((WIDE,), catalogue, 3.0, 132.0), folder)
    return {"index-4107.fits": first.path.read_bytes(), "index-4109.fits": second.path.read_bytes()}


@dataclass
class Source:
    """A web server with files, and with whatever goes wrong at it."""

    files: dict[str, bytes]
    url: str = ""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    cuts: int = 0  # answers that end halfway
    nothing: bool = False  # those that end after not one byte
    told: int | None = None  # a size that HEAD tells in place of the real one
    begin: int = 0  # how far beside the wanted place a piece begins

    def gets(self) -> list[tuple[str, str | None]]:
        return [(name, span) for method, name, span in self.asked if method == "GET"]


def serving(source: Source) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            name, span = self.path.rpartition("/")[2], self.headers.get("Range")
            source.asked.append((self.command, name, span))
            data = source.files.get(name)
            if data is None:
                self.send_error(404)
                return
            found = re.fullmatch(r"bytes=(\d+)-", span or "")
            state = self.headers.get("If-Range", source.headers.get("ETag"))
            start = int(found[1]) if found and source.ranges and state == source.headers.get("ETag") else 0
            if start and start >= len(data):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start + source.begin}-{len(data) - 1}/{len(data)}")
            size = source.told if source.told is not None and self.command == "HEAD" else len(data) - start
            self.send_header("Content-Length", str(size))
            for key, value in source.headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            body = data[start:]
            if source.cuts:
                source.cuts -= 1
                self.wfile.write(b"" if source.nothing else body[: len(body) // 2])
                self.close_connection = True
            else:
                self.wfile.write(body)

        do_GET = do_HEAD = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            pass

    return Answer


@pytest.fixture
def source(indexes: dict[str, bytes]) -> Iterator[Source]:
    told = Source(dict(indexes), headers={"ETag": '"one"'})
    server = ThreadingHTTPServer(("127.0.0.1", 0), serving(told))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/mirror"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE", 0.001)


def carried(source: Source, folder: Path, scales: tuple[int, ...] = (7, 9)) -> list[Path]:
    return fetch(look(wishes_for(scales, source=source.url), folder), folder)


def whole(folder: Path) -> dict[str, bytes]:
    """Read what has its name, and check that nothing else lies there but the lock."""
    assert not list(folder.glob("*.part"))
    return {path.name: path.read_bytes() for path in folder.glob("*.fits")}


def test_files_arrive_whole_and_are_not_fetched_twice(source: Source, tmp_path: Path) -> None:
    paths = carried(source, tmp_path / "new" / "folder")
    assert whole(tmp_path / "new" / "folder") == source.files
    assert [read_index(path) is not None for path in paths] == [True, True]
    asked = len(source.gets())
    assert carried(source, tmp_path / "new" / "folder") == []
    assert len(source.gets()) == asked


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_what_was_cut_goes_on(source: Source, tmp_path: Path, ranges: bool) -> None:  # noqa: FBT001 - a parameter
    source.cuts, source.ranges = 3, ranges
    carried(source, tmp_path)
    assert whole(tmp_path) == source.files
    spans = [span for name, span in source.gets() if name == "index-4107.fits"]
    assert spans[0] is None
    assert all(str(span).startswith("bytes=") for span in spans[1:])


def test_another_call_goes_on_where_one_gave_up(source: Source, tmp_path: Path) -> None:
    source.cuts, source.nothing = 99, True
    offers = look(wishes_for([7], source=source.url), tmp_path)
    half = len(source.files["index-4107.fits"]) // 2
    (tmp_path / offers[0].part).write_bytes(source.files["index-4107.fits"][:half])
    with pytest.raises(Unreachable, match=f"broken off after {half:,} bytes"):
        carried(source, tmp_path, (7,))
    source.cuts = 0
    (again,) = look(wishes_for([7], source=source.url), tmp_path)
    assert (again.begun, again.left) == (half, len(source.files["index-4107.fits"]) - half)
    carried(source, tmp_path, (7,))
    assert whole(tmp_path) == {"index-4107.fits": source.files["index-4107.fits"]}
    assert source.gets()[-1][1] == f"bytes={half}-"


def test_pieces_of_two_states_never_meet(source: Source, tmp_path: Path) -> None:
    (offer,) = look(wishes_for([7], source=source.url), tmp_path)
    (tmp_path / offer.part).write_bytes(b"x" * 5000)
    source.headers["ETag"] = '"two"'
    carried(source, tmp_path, (7,))
    assert whole(tmp_path) == {"index-4107.fits": source.files["index-4107.fits"]}
    assert source.gets() == [("index-4107.fits", None)]
    source.headers["ETag"], source.cuts = '"three"', 1
    (tmp_path / "index-4107.fits").unlink()
    (offer,) = look(wishes_for([7], source=source.url), tmp_path)
    (tmp_path / offer.part).write_bytes(b"x" * 5000)
    source.headers["ETag"] = '"four"'  # between asking and fetching: If-Range has the source begin anew
    fetch([offer], tmp_path)
    assert whole(tmp_path) == {"index-4107.fits": source.files["index-4107.fits"]}


def longer(source: Source) -> None:
    source.told = len(source.files["index-4107.fits"]) - 2880


def shorter(source: Source) -> None:
    source.told = len(source.files["index-4107.fits"]) + 2880


def page(source: Source) -> None:
    source.files["index-4107.fits"] = b"<html>please log in</html>"


def other(source: Source) -> None:
    source.files["index-4107.fits"] = source.files["index-4109.fits"]


def digest(source: Source) -> None:
    source.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"


def flipped(source: Source) -> None:
    source.files["index-4107.fits"] = source.files["index-4107.fits"][:-28800]


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        (longer, Changed, "more than the"), (shorter, Changed, "bytes and no more"), (page, TryAgain, "no whole"),
        (other, TryAgain, "no whole index file of this scale"), (digest, TryAgain, "sha256 is not the one"),
        (flipped, TryAgain, "no whole index file"),
    ],
)  # fmt: skip
def test_what_is_not_the_file_never_gets_its_name(
    source: Source, tmp_path: Path, fault: Callable[[Source], None], kind: type[Exception], why: str
) -> None:
    fault(source)
    with pytest.raises(kind, match=why):
        carried(source, tmp_path, (7,))
    assert not list(tmp_path.glob("*.fits"))


def test_a_piece_from_elsewhere_is_refused(source: Source, tmp_path: Path) -> None:
    (offer,) = look(wishes_for([7], source=source.url), tmp_path)
    (tmp_path / offer.part).write_bytes(source.files["index-4107.fits"][:5000])
    source.begin = 80
    with pytest.raises(Changed, match="asked for the bytes from 5,000 on"):
        carried(source, tmp_path, (7,))


def test_more_on_disk_than_there_is_begins_anew(source: Source, tmp_path: Path) -> None:
    source.told = len(source.files["index-4107.fits"]) + 2880
    (offer,) = look(wishes_for([7], source=source.url), tmp_path)
    (tmp_path / offer.part).write_bytes(bytes(len(source.files["index-4107.fits"]) + 10))
    with pytest.raises(TryAgain):
        carried(source, tmp_path, (7,))
    assert ("index-4107.fits", None) in source.gets()


def test_a_right_digest_passes(source: Source, tmp_path: Path) -> None:
    raw = hashlib.sha256(source.files["index-4107.fits"]).digest()
    source.headers["Digest"] = f"SHA-256={base64.b64encode(raw).decode()}"
    carried(source, tmp_path, (7,))
    assert whole(tmp_path) == {"index-4107.fits": source.files["index-4107.fits"]}
    assert read_digest({"content-md5": base64.b64encode(b"x" * 16).decode()}) == ("md5", b"x" * 16)
    assert read_digest({"digest": "crc32c=AAAA", "content-md5": "not base64!"}) is None


def test_a_damaged_file_that_lies_there_is_replaced(source: Source, tmp_path: Path) -> None:
    (tmp_path / "index-4107.fits").write_bytes(source.files["index-4107.fits"][:9000])
    carried(source, tmp_path, (7,))
    assert whole(tmp_path) == {"index-4107.fits": source.files["index-4107.fits"]}


class Usage(NamedTuple):
    total: int = 0
    used: int = 0
    free: int = 0


def test_a_small_disk_is_told_before_anything_is_fetched(source: Source, tmp_path: Path) -> None:
    with mock.patch.object(shutil, "disk_usage", return_value=Usage()), pytest.raises(NoSpace, match="make room"):
        carried(source, tmp_path)
    assert not source.gets()
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="choose another with --into"):
        carried(source, tmp_path / "file")


def test_two_do_not_fetch_into_one_folder(source: Source, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".download.lock"), pytest.raises(Busy):
        carried(source, tmp_path)


def test_a_source_that_is_not_there_is_told(source: Source, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="has no such file"):
        carried(source, tmp_path, (8,))
    with pytest.raises(Misconfigured, match="begins with https://"):
        look(wishes_for([7], source="file:///etc"), tmp_path)
    with pytest.raises(Unreachable, match="no answer"):
        look(wishes_for([7], source="http://127.0.0.1:1"), tmp_path)


def test_fields_ask_for_the_coarsest_scales_that_serve() -> None:
    assert scales_for(12.0) == [3, 4]
    assert scales_for(42.0) == [6, 7]
    assert scales_for(54.0) == [7, 8]
    assert scales_for(5000.0) == [19]
    with pytest.raises(Misconfigured, match="index build"):
        scales_for(3.0)
    assert len(wishes_for([3, 4])) == 96
    assert [wish.name for wish in wishes_for([7, 6])][-2:] == ["index-5206-47.fits", "index-4107.fits"]
    for series in SERIES.values():
        assert all(quads_of(scale)[0] < quads_of(scale)[1] for scale in series.pieces)
    with pytest.raises(Misconfigured, match="has scales 7 to 19, and no 3"):
        wishes_for([3], "4100")
    with pytest.raises(Misconfigured, match="no series '5300'"):
        wishes_for([3], "5300")


# the command -------------------------------------------------------------------------------------------------------


def typed(*words: str | Path, answers: str | None = None, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    keyboard = io.StringIO(answers or "")
    keyboard.isatty = lambda: answers is not None  # type: ignore[method-assign] # somebody sits there, or nobody
    with (
        mock.patch.object(sys, "argv", ["nightferry", *map(str, words)]),
        mock.patch.object(sys, "stdin", keyboard),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    said = capsys.readouterr()
    code = ended.value.code
    return code if isinstance(code, int) else 0, said.out + said.err


def test_nothing_is_fetched_unless_somebody_says_yes(
    source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = [
        "index",
        "download",
        "--scales",
        "7,9",
        "--source",
        source.url,
        "--into",
        tmp_path / "into",
    ]
    code, said = typed(*words, "--dry-run", capsys=capsys)
    total = sum(map(len, source.files.values()))
    assert code == 0
    assert source.url in said
    assert f"would fetch 2 files, {total:,} bytes, into {tmp_path / 'into'}" in said
    for answers in (None, "no\n", "\n", "perhaps\n"):
        code, said = typed(*words, answers=answers, capsys=capsys)
        assert code == 2
        assert "nothing was fetched" in said
    code, said = typed(*words, "--json", answers="yes\n", capsys=capsys)
    assert code == 2
    assert not source.gets()
    assert not (tmp_path / "into").exists()
    code, said = typed(*words, answers="yes\n", capsys=capsys)
    assert code == 0
    assert "2 index files fetched into" in said
    assert whole(tmp_path / "into") == source.files
    assert "nothing to fetch" in typed(*words, capsys=capsys)[1]


def test_the_telescopes_fields_decide(source: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "nightferry.toml"
    config.write_text(
        '[telescope.wide]\npreset = "generic"\nsource = "file:///nowhere"\narchives = ["a"]\n'
        '[telescope.wide.solve]\nfield = "125 arcmin"\n[telescope.far]\nsource = "file:///nowhere"\narchives = ["a"]\n'
        '[archive.a]\nurl = "file:///nowhere"\n',
        encoding="ascii",
    )
    source.files |= {"index-4110.fits": b"of no matter here", "index-4111.fits": b"as well"}
    words: list[str | Path] = [
        "--config",
        config,
        "index",
        "download",
        "--source",
        source.url,
        "--into",
        tmp_path / "into",
    ]
    code, said = typed(*words, "--json", "--dry-run", capsys=capsys)
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines()]
    assert [Path(str(line["file"])).name for line in lines] == ["index-4110.fits", "index-4111.fits"]
    assert {line["outcome"] for line in lines} == {"planned"}
    for extra, why in (
        (["far"], "the field of far is not told"), (["near"], "there is no telescope 'near'"),
        (["--field", "wide"], "expected a quantity"), (["--scales", "7;9"], "expected numbers"),
        (["--scales", "7", "--field", "1 deg"], "leave out telescopes"),
    ):  # fmt: skip
        code, said = typed(*words, *extra, capsys=capsys)
        assert code == 2
        assert why in said
    code, said = typed(*words, "--scales", "7", "--yes", "--json", capsys=capsys)
    assert code == 0
    assert [json.loads(line)["outcome"] for line in said.splitlines()] == ["planned", "fetched"]
