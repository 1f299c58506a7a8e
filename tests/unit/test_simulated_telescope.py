"""The simulated telescope: a real FTP server that shows a night, lets it be cleared, and leaves nothing behind."""

import ftplib
import gc
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from blake3 import blake3

from nightferry.core.errors import Misconfigured
from nightferry.testing import telescope as module
from nightferry.testing import telescope_ftp
from nightferry.testing.telescope import SimulatedVespera, grow_frames, main, simulated_vespera
from nightferry.testing.vespera import Kind, NightPlan, build_night

TINY = (32, 18)


@pytest.fixture
def night(tmp_path: Path) -> NightPlan:
    folder = tmp_path / "card"
    return build_night(
        folder, seed=1, evening=date(2026, 9, 12), observations=3, lights=2, size=TINY, targets=["M31"], quirks=True
    )


@contextmanager
def client(telescope: SimulatedVespera) -> Iterator[ftplib.FTP]:
    """Log in as Vespera owners do; Latin-1 keeps every byte of a name."""
    with ftplib.FTP(encoding="latin-1", timeout=300) as ftp:
        ftp.connect(telescope.host, telescope.port)
        ftp.login()
        yield ftp


def walk(ftp: ftplib.FTP, folder: str = "/user") -> Iterator[tuple[str, dict[str, str]]]:
    for name, facts in ftp.mlsd(folder):
        path = f"{folder}/{name}"
        if facts["type"] == "dir":
            yield from walk(ftp, path)
        else:
            yield path, facts


def as_shown(path: str) -> str:
    """Tell how a path below the root looks to the client."""
    return f"/user/{path}".encode("utf-8", "surrogateescape").decode("latin-1")


def retrieve(ftp: ftplib.FTP, path: str) -> bytes:
    pieces: list[bytes] = []
    ftp.retrbinary(f"RETR {path}", pieces.append)
    return b"".join(pieces)


def test_every_byte_of_the_night_can_be_had(night: NightPlan) -> None:
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        shown = dict(walk(ftp))
        assert {path for path, facts in shown.items() if facts["type"] == "file"} == {
            as_shown(file.path) for file in night.files
        }
        for file in night.files:
            facts, data = shown[as_shown(file.path)], retrieve(ftp, as_shown(file.path))
            assert int(facts["size"]) == len(data) == file.size
            assert blake3(data).hexdigest() == file.digest
            stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(file.mtime_us // 1_000_000))
            assert facts["modify"] == stamp


def test_link_is_told_as_a_link(night: NightPlan) -> None:
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        links = {path for path, facts in walk(ftp) if facts["type"] == "OS.unix=symlink"}
    assert links == {as_shown(link) for link in night.links}


def test_cleared_frame_is_gone(night: NightPlan) -> None:
    first = night.files[0]
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        ftp.delete(as_shown(first.path))
        assert as_shown(first.path) not in dict(walk(ftp))
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.delete(as_shown(first.path))
    assert not (night.root / first.path).exists()


def test_transfer_goes_on_where_it_stopped(night: NightPlan) -> None:
    frame = next(file for file in night.files if file.kind is Kind.LIGHT)
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        rest: list[bytes] = []
        ftp.retrbinary(f"RETR {as_shown(frame.path)}", rest.append, rest=2880)
    assert b"".join(rest) == (night.root / frame.path).read_bytes()[2880:]


@pytest.mark.parametrize("path", ["/user/../../{name}", "/../{name}", "../../../../{absolute}", "/user/way-out"])
def test_nothing_outside_the_card_can_be_read_or_deleted(night: NightPlan, path: str) -> None:
    secret = night.root.parent / "secret.txt"
    secret.write_text("mine")
    (night.root / "way-out").symlink_to(secret)
    asked = path.format(name=secret.name, absolute=str(secret).lstrip("/"))
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        for command in (f"RETR {asked}", f"DELE {asked}", f"SIZE {asked}"):
            with pytest.raises(ftplib.error_perm, match="550"):
                ftp.voidcmd(command)
    assert secret.read_text() == "mine"


def test_top_folder_stays_even_when_it_is_empty(tmp_path: Path) -> None:
    with simulated_vespera(tmp_path) as telescope, client(telescope) as ftp:
        assert list(ftp.mlsd("/user")) == []
        with pytest.raises(ftplib.error_perm, match="stays"):
            ftp.rmd("/user")
        assert [name for name, _ in ftp.mlsd("/")] == ["user"]


def test_top_folder_may_be_named_as_other_firmware_does(night: NightPlan) -> None:
    with simulated_vespera(night.root, top="USER") as telescope, client(telescope) as ftp:
        assert telescope.url == f"ftp://127.0.0.1:{telescope.port}/USER"
        assert len(list(ftp.mlsd("/USER"))) == 3
        assert ftp.mkd("/USER/new") == "/USER/new"


def test_entering_a_folder_leaves_the_programs_own_folder_alone(
    night: NightPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    monkeypatch.setattr(os, "chdir", moved.append)
    folder = night.files[0].path.split("/")[0]
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        ftp.cwd(f"/user/{folder}")
        assert ftp.pwd() == f"/user/{folder}"
        assert "img-0001-dark.fits" in ftp.nlst()
        with pytest.raises(ftplib.error_perm, match="550"):
            ftp.cwd("nowhere")
        ftp.cwd("..")
        assert ftp.pwd() == "/user"
    assert moved == []


def test_name_that_is_not_utf8_is_given_back_in_replies(tmp_path: Path) -> None:
    with simulated_vespera(tmp_path) as telescope, client(telescope) as ftp:
        assert ftp.mkd("/user/caf\xe9") == "/user/caf\xe9"
        ftp.cwd("/user/caf\xe9")
        assert ftp.pwd() == "/user/caf\xe9"
    assert [os.fsencode(path) for path in tmp_path.iterdir()] == [os.fsencode(tmp_path) + b"/caf\xe9"]


def test_nothing_is_left_when_it_stops(night: NightPlan) -> None:
    threads = threading.active_count()
    with simulated_vespera(night.root) as telescope, client(telescope) as ftp:
        ftp.voidcmd("NOOP")
        stopped = telescope
    assert threading.active_count() == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((stopped.host, stopped.port), timeout=5)
    with simulated_vespera(night.root, port=stopped.port) as again:
        assert again.port == stopped.port
    gc.collect()  # a socket left open would warn now, and warnings are errors


def test_it_stops_while_a_client_is_in_the_middle_of_a_transfer(tmp_path: Path) -> None:
    (tmp_path / "big.fits").write_bytes(bytes(50_000_000))
    with simulated_vespera(tmp_path) as telescope:
        ftp = ftplib.FTP(timeout=300)
        ftp.connect(telescope.host, telescope.port)
        ftp.login()
        ftp.voidcmd("TYPE I")
        data = ftp.transfercmd("RETR /user/big.fits")
        assert data.recv(1000)
    with data, pytest.raises((EOFError, OSError)):  # noqa: PT012 - the reset may come with either
        while data.recv(1 << 20):
            pass
        ftp.voidresp()
    ftp.close()
    gc.collect()


def test_error_inside_still_stops_it(night: NightPlan) -> None:
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), simulated_vespera(night.root):
        _ = 1 / 0
    assert threading.active_count() == threads


def test_replies_are_late_by_the_delay_and_others_are_served_meanwhile(night: NightPlan) -> None:
    with simulated_vespera(night.root, delay=0.05) as telescope, client(telescope) as one, client(telescope) as two:
        begin = time.monotonic()
        one.putcmd("NOOP")
        two.putcmd("NOOP")
        assert (one.getresp()[:3], two.getresp()[:3]) == ("200", "200")
        assert time.monotonic() - begin >= 0.05


def test_client_that_leaves_while_its_command_waits_does_no_harm(
    night: NightPlan, caplog: pytest.LogCaptureFixture
) -> None:
    with simulated_vespera(night.root, delay=0.05) as telescope:
        with client(telescope) as ftp:
            ftp.putcmd("MLST /user")
            ftp.close()
        with client(telescope) as ftp:  # its log-in takes longer than the other's command waits
            assert ftp.voidcmd("NOOP").startswith("200")
    assert caplog.records == []


def test_waiting_replies_are_not_kept_back_by_the_poll() -> None:
    asked: list[float] = []
    stop = threading.Event()

    class Loop:
        """Says that a reply is due in five milliseconds."""

        def loop(self, timeout: float, *, blocking: bool) -> float:
            asked.append(timeout)
            if len(asked) == 2:
                stop.set()
            return 0.005

    class Server:
        """As much of a server as the loop needs."""

        ioloop = Loop()
        closed = False

        def close_all(self) -> None:
            self.closed = True

    server = Server()
    telescope_ftp._loop(server, stop)
    assert asked == [telescope_ftp._POLL, 0.005]
    assert server.closed


def test_port_in_use_is_the_operators_to_change(night: NightPlan) -> None:
    with simulated_vespera(night.root) as first, pytest.raises(Misconfigured, match=f"port {first.port}"):  # noqa: SIM117
        with simulated_vespera(night.root, port=first.port):
            pass


@pytest.mark.parametrize("port", [70_000, -1])
def test_port_that_is_none_is_the_operators_to_change(night: NightPlan, port: int) -> None:
    with pytest.raises(Misconfigured, match="choose another port"), simulated_vespera(night.root, port=port):
        pass


def test_missing_folder_is_the_operators_to_change(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="not a folder"), simulated_vespera(tmp_path / "nothing"):
        pass


def test_missing_library_answers_with_the_command_that_installs_it(
    night: NightPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "nightferry.testing.telescope_ftp", raising=False)
    monkeypatch.setitem(sys.modules, "pyftpdlib.ioloop", None)
    with (
        pytest.raises(Misconfigured, match=re.escape("pip install 'nightferry[demo]'")),
        simulated_vespera(night.root),
    ):
        pass


class Watch(threading.Event):
    """Looks at every frame whenever the camera pauses, and stops the camera once a certain one is begun."""

    def __init__(self, root: Path, last: str = "") -> None:
        super().__init__()
        self.root, self.last, self.sizes = root, last, dict[str, list[int]]()

    def wait(self, timeout: float | None = None) -> bool:
        """Note the size of each file that is there, without waiting."""
        for path in self.root.rglob("*.fits"):
            self.sizes.setdefault(path.name, []).append(path.stat().st_size)
        if self.last in self.sizes:
            self.set()
        return self.is_set()


def test_live_frame_grows_in_place_and_is_told_when_it_is_whole(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    grown = list(grow_frames(tmp_path, seed=1, lights=3, size=(64, 48), target="M42", stop=watch))
    assert [file.path.split("/")[-1] for file in grown] == [
        f"img-000{number}.{suffix}" for number in (1, 2, 3) for suffix in ("fits", "json")
    ]
    for file in grown:
        data = (tmp_path / file.path).read_bytes()
        assert (len(data), blake3(data).hexdigest()) == (file.size, file.digest)
        assert (tmp_path / file.path).stat().st_mtime_ns // 1000 == file.mtime_us
    sizes = watch.sizes["img-0001.fits"]
    assert sizes[0] < sizes[7] < sizes[15] == grown[0].size
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_observation_M42/01-images-initial", grown[0].path[:-14])


def test_live_frames_end_with_a_whole_one_when_told_to_stop(tmp_path: Path) -> None:
    grown = list(grow_frames(tmp_path, seed=1, lights=5, size=TINY, stop=Watch(tmp_path, "img-0002.fits")))
    frames = [file for file in grown if file.kind is Kind.LIGHT]
    assert len(frames) == 2
    assert all((tmp_path / file.path).stat().st_size == file.size for file in frames)
    assert len(list(tmp_path.rglob("*.fits"))) == 2


def rehearse(monkeypatch: pytest.MonkeyPatch, visit: list[dict[str, dict[str, str]]], *words: str) -> int:
    """Run the command, look at what it serves, and press Ctrl-C."""
    told: list[str] = []
    say = module._say

    def listen(text: str) -> None:
        told.append(text)
        say(text)

    monkeypatch.setattr(module, "_say", listen)

    def look() -> None:
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", "\n".join(told))[0])
        with client(SimulatedVespera("127.0.0.1", port, Path())) as ftp:
            listing = dict(walk(ftp))
            visit.append(listing)
            ftp.delete(min(listing))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_wait_for_ctrl_c", look)
    return main([*words, "--port", "0", "--size", "32x18", "--observations", "1", "--lights", "2"])


def test_command_makes_a_night_once_and_serves_it_as_it_stands_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    visits: list[dict[str, dict[str, str]]] = []
    folder = str(tmp_path / "rehearsal")
    for _ in range(2):
        assert rehearse(monkeypatch, visits, "--folder", folder, "--evening", "20260912") == 0
    assert len(visits[0]) == 1 + 2 * 2 + 2
    assert all(path.startswith("/user/2026-09-12_21-10-37_observation_") for path in visits[0])
    assert set(visits[1]) == set(visits[0]) - {min(visits[0])}
    printed = capsys.readouterr().out
    assert printed.count("made the night of 2026-09-12: 7 files") == 1
    assert 'preset = "vespera"' in printed


def test_command_makes_its_night_anew_when_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits: list[dict[str, dict[str, str]]] = []
    folder = tmp_path / "rehearsal"
    with monkeypatch.context() as context:
        context.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert rehearse(monkeypatch, visits, "--folder", str(folder)) == 0
    assert visits == []
    assert rehearse(monkeypatch, visits, "--folder", str(folder)) == 0
    assert len(visits[0]) == 7


def test_command_refuses_a_folder_that_is_not_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"dear to somebody")
    assert main(["--folder", str(tmp_path), "--port", "0"]) == 2
    assert "name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_command_that_cannot_write_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert main(["--folder", str(tmp_path / "file" / "below"), "--port", "0"]) == 3
    assert "could not be written" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--size", "big"], ["--evening", "yesterday"], ["--port", "ftp"]])
def test_command_refuses_what_it_cannot_read(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--folder", "nowhere", *words])
    assert words[1] in capsys.readouterr().err


def test_command_line_of_the_docstring_works_and_goes_on_observing(tmp_path: Path) -> None:
    words = ["--folder", str(tmp_path / "v"), "--port", "0", "--size", "32x18", "--observations", "1", "--lights", "1"]
    with subprocess.Popen(
        [sys.executable, "-m", "nightferry.testing.telescope", *words, "--live", "--every", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = next(line for line in process.stdout if line.startswith("wrote"))
        finally:
            process.terminate()
    wrote = re.fullmatch(r"wrote (\S+/img-0001\.fits), (\d+) bytes\n", line)
    assert wrote is not None
    assert (tmp_path / "v" / "user" / wrote[1]).stat().st_size == int(wrote[2])
