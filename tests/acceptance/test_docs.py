"""The README and the pages of ``docs/``, done as a reader would do them, against telescopes simulated on loopback.

Every fenced block counts:

- ``console``: each line after ``$`` is run, and what it prints must be what the page shows. ``...`` on a line of
  its own stands for any lines, within a line for any text. Times, speeds, digests and identities may differ.
- ``toml``: its title says what becomes of it: ``config.toml`` (written), ``add to config.toml``, ``change in
  config.toml`` (the keys of one section), ``presets/NAME.toml``, ``dialects/NAME.toml``. Whatever results is loaded,
  unless it is ``a mistake in config.toml``.
  ``NAME/pyproject.toml`` is written as it is.
- ``python``: is run; a ``text`` block titled ``prints`` right after it shows what it prints. One with a title of its
  own is written into the file of that name.
- ``csh``: is written into the file that its title names, for its owner alone.
- ``json`` and ``ini``: are parsed. ``sh``: what a test must not do (install, set up services); the list stands below.

Comments that readers do not see set the stage: ``<!-- telescope: quirks -->`` (or ``dwarf``, ``slow``),
``<!-- astra: FOLDER KIND... -->`` (a small night as Astra writes it), ``<!-- run: COMMAND -->``,
``<!-- damage: FILE -->``, ``<!-- mail -->`` (a mail server, whose newest mail a ``text`` block titled ``the mail``
shows), ``<!-- exits: 1 -->`` before a block whose last command ends with that code, ``<!-- interrupt -->`` before a
block whose last command gets a Ctrl-C, ``<!-- sky -->`` for a frame of stars, one of clouds and a catalogue in the
home, ``<!-- install: FOLDER -->`` for a package whose entry points are to be found from then on.

A preset of the user's own, put in place before each page, names the simulated telescope's address and a settle
time of 0.2 s; nothing else differs from what a reader has.
"""

import configparser
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from pathlib import Path
from unittest import mock

import pytest

from nightferry.cli.app import main
from nightferry.config import load, load_preset
from nightferry.headers.dialects import load_dialect
from nightferry.stores import kinds
from nightferry.testing.encode import fits_image
from nightferry.testing.fields import draw_field, plain_wcs, vespera_frame
from nightferry.testing.sky import View, star_table
from nightferry.testing.telescope import simulated_vespera
from nightferry.testing.vespera import build_night
from tests.astra_night import build_astra_night
from tests.servers.mail_server import MailServer, mail_server

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
HOME = "/home/me"
#: Addresses that the pages speak of, and the folder at the top of each.
TELESCOPES = {"ftp://10.0.0.1/user": "user", "ftp://192.168.88.1/Astronomy": "Astronomy"}
#: The files that make a night quirky.
QUIRKS = ("img-0002-dark.fits", "02-images-stacked", "IMG-9*", "img-9*", "latest.fits")
#: What a page may tell a reader to do and a test does not.
NOT_RUN = (
    "pip install ", "apt-get install astrometry", "python3 -m venv ", "./scripts/", "sudo ", "systemctl ",
    "loginctl enable-linger", "journalctl ", "crontab ", "chmod ", "ssh-keygen ", "sqlite3 ", "nightferry discover",
    "nightferry index download", "nightferry demo --solve",
)  # fmt: skip
#: What a terminal shows as bars, and a test sees as lines.
BARS = re.compile(r"delivered: |[\d,]+ frames to carry, ")
VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?Z"), "INSTANT"),
    (re.compile(r"\b[0-9a-f]{8,64}\b"), "DIGITS"),
    (re.compile(r" at [\d.]+ (?:B|kB|MB|GB)/s"), " at SPEED"),
    (re.compile(r"\b[\d.]+ (?:ms|s|min|h)\b(?: \d\d (?:s|min)\b)?"), "SPAN"),
    (re.compile(r'"seconds": [\d.e-]+'), '"seconds": SPAN'),
    (re.compile(r'"host": "[^"]*"'), '"host": HOST'),
    (re.compile(r"[\d.]+ GB free"), "SPACE free"),
    (re.compile(r"\s+"), " "),
)

FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
STAGE = re.compile(r"^<!-- (?P<word>[a-z]+)(?:: (?P<rest>.*?))? -->$", re.MULTILINE)
TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True)
class Piece:
    """A block or a stage direction of a page: its kind, title or argument, text, and line."""

    kind: str
    title: str
    body: str
    line: int


def pieces_of(page: Path) -> list[Piece]:
    """Read a page's blocks and stage directions in their order."""
    text = page.read_text(encoding="utf-8")
    found: list[tuple[int, Piece]] = []
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        kind, _, rest = block["info"].strip().partition(" ")
        title = TITLE.search(rest)
        indent = re.compile(f"^{block['indent']}", re.MULTILINE)
        found.append((block.start(), Piece(kind, title[1] if title else "", indent.sub("", block["body"]), line)))
    outside = FENCE.sub(lambda block: re.sub(r"[^\n]", "x", block[0]), text)
    for stage in STAGE.finditer(outside):
        line = text.count("\n", 0, stage.start()) + 1
        found.append((stage.start(), Piece(f"<{stage['word']}>", stage["rest"] or "", "", line)))
    return [piece for _, piece in sorted(found, key=lambda item: item[0])]


class Typist(io.StringIO):
    """A keyboard: somebody who types a page's answers, shown on the screen as a terminal does."""

    def isatty(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override] # typeshed gives its ancestor bytes
        line = super().readline(size)
        sys.stdout.write(line)
        return line


@dataclass
class Reader:
    """Somebody who does what a page says, in a home of their own."""

    home: Path
    nights: Callable[[str], Path]
    stack: ExitStack
    kind: str = "plain"
    code: int = 0
    exits: int = 0
    interrupts: bool = False
    addresses: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    mail: MailServer | None = None

    @property
    def config(self) -> Path:
        named = os.environ.get("NIGHTFERRY_CONFIG")
        return Path(named) if named else self.home / ".config" / "nightferry" / "config.toml"

    def real(self, text: str) -> str:
        """Put this machine's addresses in the place of the page's."""
        for shown, top in TELESCOPES.items():
            if shown in text and shown not in self.addresses:
                tree = shutil.copytree(
                    self.nights(self.kind), self.home / ".telescopes" / top, copy_function=_link, symlinks=True
                )
                delay = 0.05 if self.kind == "slow" else 0.0
                telescope = self.stack.enter_context(simulated_vespera(tree, top=top, delay=delay))
                self.addresses[shown] = telescope.url
        for shown, url in self.addresses.items():
            text = text.replace(shown, url)
        return text.replace(HOME, str(self.home))

    def shown(self, text: str) -> str:
        """Write what was printed as the page would."""
        for shown, url in self.addresses.items():
            text = text.replace(url, shown)
        return text.replace(str(self.home), HOME)

    def do(self, piece: Piece) -> None:
        """Do what one piece of a page says."""
        kind = piece.kind.strip("<>")
        if piece.kind == "<telescope>":
            self.kind = piece.title
        elif piece.kind == "<run>":
            assert self.run(shlex.split(piece.title), "") == 0, self.printed
        elif piece.kind == "<astra>":
            folder, *kinds = piece.title.split()
            faults = [] if kinds else ["no-imagetyp"]
            build_astra_night(self.home / folder, faults=faults, kinds=kinds or ["bias", "light", "light"])
        elif piece.kind in {"<damage>", "<install>"}:
            {"<damage>": damage, "<install>": self.install}[piece.kind](self.home / piece.title)
        elif piece.kind == "<sky>":
            self.sky()
        elif piece.kind == "<exits>":
            self.exits = int(piece.title)
        elif piece.kind == "<mail>":
            self.mail = self.stack.enter_context(mail_server())
            self.stack.enter_context(mock.patch.dict(os.environ, {"NIGHTFERRY_ALERT_URL": self.mail.url()}))
        elif piece.kind == "<interrupt>":
            self.interrupts = True
        elif kind in {"console", "toml", "python", "json", "ini", "sh", "text", "csh"} and kind == piece.kind:
            getattr(self, f"do_{kind}")(piece)
        else:
            raise AssertionError(f"nobody knows what to do with {piece.kind!r}")

    def sky(self) -> None:
        """Leave a frame of stars, one of clouds, and a catalogue of the field."""
        stars = star_table()["M45"]
        rows = "\n".join(f"{ra},{dec},{mag}" for ra, dec, mag in stars)
        (self.home / "stars.csv").write_text(f"ra,dec,mag\n{rows}\n", encoding="ascii")
        (self.home / "m45.fits").write_bytes(vespera_frame("M45", View(56.6, 24.11, 12.0)))
        dark = draw_field(plain_wcs(56.6, 24.11, (960, 540), 5.98), stars[:0], (960, 540))
        (self.home / "clouds.fits").write_bytes(fits_image([], dark))

    def install(self, package: Path) -> None:
        """Do what pip would for a package of modules: make them and their entry points known."""
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = package / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(about, encoding="utf-8")
        points = configparser.ConfigParser()
        points.read_dict(project["entry-points"])
        with (info / "entry_points.txt").open("w", encoding="utf-8") as file:
            points.write(file)
        self.stack.enter_context(mock.patch.object(sys, "path", [str(package), *sys.path]))
        for forget in (kinds.kind_of.cache_clear, kinds._installed.cache_clear):
            forget()
            self.stack.callback(forget)

    def do_console(self, piece: Piece) -> None:
        commands = re.split(r"^\$ ", piece.body, flags=re.MULTILINE)
        assert not commands[0], "a console block starts with a command"
        last = len(commands) - 1
        for number, command in enumerate(commands[1:], start=1):
            line, _, expected = re.sub(r"\\\n *", "", command).partition("\n")
            assert '"~' not in line, "a shell does not expand ~ between quotes"
            answers = "".join(f"{found}\n" for found in re.findall(r"^.* \[.*\]: ?(.*)$", expected, re.MULTILINE))
            words = shlex.split(self.real(line))
            if self.interrupts and number == last:
                self.interrupted(words)
            elif words == ["echo", "$?"]:
                self.printed = f"{self.code}\n"
            else:
                self.code = self.run(words, answers)
            compare(self.shown(self.printed), expected)
            told = number < last and commands[number + 1].startswith("echo $?")
            wanted = self.exits if number == last else 0
            assert told or words[0] == "echo" or self.code == wanted, f"{line} ended with {self.code}: {self.printed}"
        self.exits, self.interrupts = 0, False

    def do_toml(self, piece: Piece) -> None:
        body = self.real(piece.body)
        if piece.title.endswith("/pyproject.toml"):
            self.write(piece)
            return
        if piece.title.startswith("presets/"):
            preset = self.config.parent / piece.title
            preset.parent.mkdir(parents=True, exist_ok=True)
            preset.write_text(re.sub(r'^settle = ".*"', 'settle = "0.2 s"', body, flags=re.MULTILINE), encoding="utf-8")
            load_preset(preset.stem)
            return
        if piece.title.startswith("dialects/"):
            dialect = self.config.parent / piece.title
            dialect.parent.mkdir(parents=True, exist_ok=True)
            dialect.write_text(body, encoding="utf-8")
            load_dialect(dialect.stem, dialect.parent)
            return
        before = self.config.read_text(encoding="utf-8") if self.config.exists() else ""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        if piece.title == "config.toml":
            text = body
        elif piece.title == "add to config.toml":
            text = f"{before}\n{body}"
        else:
            assert piece.title in {"change in config.toml", "a mistake in config.toml"}, "a toml block needs a title"
            text = changed(before, body)
        self.config.write_text(text, encoding="utf-8")
        if piece.title != "a mistake in config.toml":
            load(self.config)

    def write(self, piece: Piece) -> None:
        """Write a file of a package."""
        file = self.home / piece.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(piece.body, encoding="utf-8")

    def do_python(self, piece: Piece) -> None:
        if piece.title:
            self.write(piece)
            return
        code = compile(self.real(piece.body), f"line {piece.line}", "exec")
        with io.StringIO() as screen, redirect_stdout(screen):
            exec(code, {"__name__": "__main__"})  # noqa: S102 - our own pages
            self.printed = screen.getvalue()

    def do_text(self, piece: Piece) -> None:
        if piece.title == "prints":
            compare(self.shown(self.printed), piece.body)
        elif piece.title == "the mail":
            assert self.mail is not None
            newest = self.mail.mails[-1]
            heads = [f"{name}: {newest[name]}\n" for name in ("Subject", "From", "To")]
            text = newest.get_body(("plain",))
            assert text is not None
            compare(f"{''.join(heads)}\n{text.get_content()}", piece.body)

    def do_csh(self, piece: Piece) -> None:
        file = Path(self.real(piece.title).replace("~", str(self.home), 1))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.real(piece.body), encoding="utf-8")
        file.chmod(0o600)

    def do_json(self, piece: Piece) -> None:
        for line in piece.body.splitlines():
            json.loads(line)

    def do_ini(self, piece: Piece) -> None:
        configparser.ConfigParser(interpolation=None).read_string(piece.body)

    def do_sh(self, piece: Piece) -> None:
        for line in piece.body.splitlines():
            assert line.startswith(NOT_RUN), f"a command that is not run must be on the list: {line!r}"

    def run(self, words: list[str], answers: str) -> int:
        """Run one command; tell its exit code."""
        words = [str(self.home) + word[1:] if word.startswith("~") else word for word in map(self.real, words)]
        words = [found for word in words for found in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        if words[:2] == ["python", "-m"]:
            return self.serve(words)
        self.printed = ""
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment(name, value.replace("~", str(self.home), 1))
            return 0
        if words[0] == "pytest":
            return self.test(words[1:])
        if words[0] == "mv":
            Path(words[1]).rename(words[2])
            return 0
        if words[0] == "cat":
            self.printed = Path(words[1]).read_text(encoding="utf-8")
            return 0
        if words[0] == "ls":
            names = sorted(path.name for path in Path(words[1]).iterdir() if not path.name.startswith("."))
            self.printed = "".join(f"{name}\n" for name in names)
            return 0
        assert words[0] == "nightferry", (
            f"a page may run nightferry, pytest, ls, cat, mv, export and echo $?, not {words[0]!r}"
        )
        screen = io.StringIO()
        with (
            mock.patch.object(sys, "argv", words),
            mock.patch.object(sys, "stdin", Typist(answers) if answers else io.StringIO()),
            redirect_stdout(screen),
            redirect_stderr(screen),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        self.printed = screen.getvalue()
        code = ended.value.code
        return code if isinstance(code, int) else 0

    def test(self, words: list[str]) -> int:
        """Run the tests of a package that the page had written, and tell their exit code."""
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", ".", *words]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        self.printed = done.stdout + done.stderr
        return done.returncode

    def environment(self, name: str, value: str) -> None:
        """Set a variable for what follows; a configuration elsewhere has its presets beside it."""
        presets = self.config.parent / "presets"
        os.environ[name] = value
        if name == "NIGHTFERRY_CONFIG" and not (Path(value).parent / "presets").exists():
            shutil.copytree(presets, Path(value).parent / "presets")

    def serve(self, words: list[str]) -> int:
        """Start a simulated telescope as its page says, and leave it running until the page ends."""
        port = words[words.index("--port") + 1]
        command = [sys.executable, "-W", "error", *words[1:]]
        command[command.index("--port") + 1] = "0"
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.stack.callback(stop, process)
        assert process.stdout is not None
        while "source = " not in self.printed:
            line = process.stdout.readline()
            assert line, f"the telescope did not start: {self.printed}"
            self.printed += line
        found = re.search(r"ftp://127\.0\.0\.1:\d+/user", self.printed)
        assert found is not None
        self.addresses[f"ftp://127.0.0.1:{port}/user"] = found[0]
        threading.Thread(target=process.stdout.read, daemon=True).start()
        return 0

    def interrupted(self, words: list[str]) -> None:
        """Run a command of our own process and press Ctrl-C once two frames were delivered."""
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.stack.callback(stop, process)
        assert process.stdout is not None
        lines: list[str] = []
        while sum(line.startswith("delivered: ") for line in lines) < 2:
            lines.append(process.stdout.readline())
            assert lines[-1], f"it ended too early: {lines}"
        process.send_signal(signal.SIGINT)
        lines += ["^C\n", *process.stdout]
        self.printed = "".join(lines)
        self.code = process.wait()


def _link(source: str, target: str) -> None:
    """Give the same bytes another name; what is deleted at the simulated telescope loses that name alone."""
    os.link(source, target, follow_symlinks=False)


def stop(process: "subprocess.Popen[str]") -> None:
    """End a process that we started, as Ctrl-C does."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(300)
    if process.stdout is not None:
        process.stdout.close()


def damage(path: Path) -> None:
    """Flip one byte in the middle of a file, and leave its size and time as they are."""
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(status.st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed(config: str, wanted: str) -> str:
    """Put the keys of one section, as a page shows them, in place of those that are there."""
    header, *lines = [line for line in wanted.splitlines() if line and not line.startswith("#")]
    before, found, rest = f"\n{config}".partition(f"\n{header}\n")
    assert found, f"the configuration has no {header} to change"
    body, bracket, after = rest.partition("\n[")
    for line in lines:
        key = re.compile(rf"^(# )?{line.split(' ')[0]} *=.*\n", re.MULTILINE)
        body = key.sub("", f"{body}\n")
    return before[1:] + found + "".join(f"{line}\n" for line in lines) + body + bracket + after


def compare(printed: str, expected: str) -> None:
    """Compare what a command printed with what the page shows; ``...`` stands for anything."""
    got = [plain(line) for line in printed.splitlines() if not BARS.match(line)]
    lines = [line for line in map(plain, expected.splitlines()) if line]
    pattern = "".join(
        r"(?:[^\n]*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", r"[^\n]*") + r"\n" for line in lines
    )
    text = "".join(f"{line}\n" for line in got if line)
    assert re.fullmatch(pattern.replace(r"\ ", " "), text), f"the page shows\n{expected}\nand what came is\n{printed}"


def plain(line: str) -> str:
    """Take out of a line what differs from run to run."""
    for pattern, word in VARYING:
        line = pattern.sub(word, line)
    return line.strip()


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make a night once, and of it each kind that a page asks for."""
    root = tmp_path_factory.mktemp("nights")
    whole = root / "quirks"
    build_night(whole, seed=1, evening=date(2026, 9, 12), observations=3, lights=4, quirks=True)

    def make(kind: str) -> Path:
        tree = root / kind
        if kind == "dwarf" and not tree.exists():
            dwarf_night(whole, tree)
        elif not tree.exists():
            shutil.copytree(whole, tree, copy_function=_link, symlinks=True, ignore=shutil.ignore_patterns(*QUIRKS))
        return tree

    return make


def dwarf_night(vespera: Path, root: Path) -> None:
    """Arrange a Vespera's frames as a Dwarf does."""
    session = "DWARF_RAW_TELE_M 33_EXP_30_GAIN_60_2026-09-12-22-18-55-284"
    frames = sorted(vespera.rglob("img-000?.fits"))[:4]
    names = [
        f"{session}/M 33_30s60_Astro_20260912-221929504_24C.fits",
        f"{session}/M 33_30s60_Astro_20260912-222001117_24C.fits",
        f"{session}/failed_M 33_30s60_Astro_20260912-224358598_22C.fits",
        "DWARF_DARK/tele_exp_30_gain_60_bin_1_2026-09-13-00-37-45-393/raw_30s_60_0000_20260913-003814624_22C.fits",
    ]
    for frame, name in zip(frames, names, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(frame, root / name)
    (root / session / "Thumbnail").mkdir()
    (root / session / "Thumbnail" / "M 33_30s60_Astro_20260912-221929504_24C.jpg").write_bytes(b"")
    (root / session / "shotsInfo.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nights: Callable[[str], Path]) -> Iterator[Reader]:
    """Give a reader a home where nothing is set up yet."""
    monkeypatch.setenv("NIGHTFERRY_CONFIG", "")  # and, at the end, as it was
    home = tmp_path / "me"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".local" / "share"))
    monkeypatch.chdir(home)
    on_terminate = signal.getsignal(signal.SIGTERM)
    with ExitStack() as stack:
        yield Reader(home, nights, stack)
    signal.signal(signal.SIGTERM, on_terminate)


def set_up(reader: Reader, page: Path) -> None:
    """Put the preset in place that names the simulated telescope instead of the real one."""
    shipped = resources.files("nightferry.config.presets").joinpath("vespera.toml").read_text(encoding="utf-8")
    presets = reader.config.parent / "presets"
    presets.mkdir(parents=True)
    quick = re.sub(r'^settle = ".*"', 'settle = "0.2 s"', shipped, flags=re.MULTILINE)
    url = next(iter(TELESCOPES))
    if url in page.read_text(encoding="utf-8") or "--preset vespera" in page.read_text(encoding="utf-8"):
        quick = reader.real(quick)
    (presets / "vespera.toml").write_text(quick, encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_page_does_what_it_says(page: Path, reader: Reader) -> None:
    """Do everything the page says, in its order, and find what it shows."""
    pieces = pieces_of(page)
    opening = [piece for piece in pieces if piece.kind == "<telescope>"]
    for piece in opening[:1]:
        reader.do(piece)
    set_up(reader, page)
    for piece in pieces:
        try:
            reader.do(piece)
        except AssertionError as err:
            raise AssertionError(f"{page.relative_to(ROOT)}:{piece.line}: {err}") from err


def test_a_page_that_shows_something_else_is_found(reader: Reader) -> None:
    """Prove that the comparison can fail: in a word, by a line too many, by a line too few."""
    reader.printed = "seen 3\nheld 1\n"
    compare(reader.printed, "seen 3\nheld 1\n")
    compare(reader.printed, "...\nheld ...\n")
    for wrong in ("seen 4\nheld 1\n", "seen 3\n", "seen 3\nheld 1\nfailed 0\n", "...\nheld\n"):
        with pytest.raises(AssertionError, match="what came is"):
            compare(reader.printed, wrong)
