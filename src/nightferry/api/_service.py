"""Service: what has nightferry run by itself (systemd's units, a cron line), and the check that something does."""

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from pathlib import Path

from nightferry.config import config_path, load
from nightferry.core.errors import Misconfigured

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_AT = "13:45"
_LEFT_BEHIND = "says --night last, so that what comes late or while it is off is left behind"
_UNITS = ("nightferry.service", "nightferry.timer")
_SYSTEM = Path("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Service:
    """What was found: whether it does what it should, and in words."""

    good: bool
    found: str


@dataclass(frozen=True, slots=True)
class UnitFile:
    """A file that has nightferry run by itself, and its text; ``is_there`` when it stands there as it should."""

    path: Path
    text: str
    is_there: bool = False


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a service, the one to enable last, and whether they are the whole machine's or a user's."""

    files: tuple[UnitFile, ...]
    system: bool


def service(
    place: Path | None = None,
    *,
    timer: bool = False,
    at: str = _AT,
    into: Path | None = None,
    dry_run: bool = False,
) -> Units:
    """Write systemd's units that watch the telescopes, or with ``timer`` carry them once a day at a time of day.

    ``place`` is the configuration's file, None for the usual one, and ``into`` the folder of the units, None for
    root's or the user's own. Raises `Misconfigured` when something there cannot be read or written.
    """
    config = _checked(place)
    folder = (into or _unit_folder()).expanduser()
    words = _words(config, at) | {"TARGET": "multi-user.target" if folder == _SYSTEM else "default.target"}
    names = ("nightferry-run.service", "nightferry.timer") if timer else ("nightferry.service",)
    files = [UnitFile(folder / name, _filled(name, words)) for name in names]
    done = files if dry_run else [UnitFile(one.path, one.text, _is_written(one)) for one in files]
    return Units(tuple(done), folder == _SYSTEM)


def cron_line(place: Path | None = None, *, at: str = _AT) -> str:
    """Return the line for cron that carries last night once a day; a per cent sign means a new line to cron."""
    config = _checked(place)
    paths = {"PROGRAM": _program(), "CONFIG": config, "FOLDER": config.parent}
    quoted = {word: shlex.quote(str(path)).replace("%", r"\%") for word, path in paths.items()}
    return _filled("nightferry.cron", _words(config, at) | quoted)


def _checked(place: Path | None) -> Path:
    load(place)  # a service with a configuration that cannot be read would end at once
    return (place or config_path()).expanduser().absolute()


def _words(config: Path, at: str) -> dict[str, str]:
    given = _TIME.fullmatch(at)
    if given is None:
        raise Misconfigured(f"--at {at!r}: expected a time of day of this machine's clock, HH:MM")
    return {
        "PROGRAM": _quoted(_program()),
        "CONFIG": _quoted(config),
        "FOLDER": _quoted(config.parent),
        "TIME": at,
        "HOUR": str(int(given[1])),
        "MINUTE": str(int(given[2])),
    }


def _is_written(unit: UnitFile) -> bool:
    """Write a unit, and return whether it stood there already as it should."""
    path = unit.path
    try:
        if path.exists() and path.read_text(encoding="utf-8") == unit.text:
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(unit.text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{path} cannot be written: {err}; see --into, or the right to write there") from err
    return False


def _filled(name: str, words: dict[str, str]) -> str:
    text = resources.files("nightferry.service").joinpath(name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _quoted(path: Path) -> str:
    """Write a path as systemd reads it."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if re.search(r"\s", text) else text


def _program() -> Path:
    """Return the program that was started: the service starts the same one."""
    found = Path(sys.argv[0])
    if found.name.startswith("nightferry") and found.is_file():
        return found.absolute()
    beside = Path(sys.executable).with_name("nightferry")
    return beside if beside.is_file() else Path(shutil.which("nightferry") or beside)


def _unit_folder() -> Path:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return _SYSTEM
    return _user_units()


def _user_units() -> Path:
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(home) / "systemd" / "user"


def find_services(config: Path) -> list[Service]:
    """Find what starts nightferry by itself with this configuration, and what is wrong with it."""
    config = config.expanduser().absolute()
    return [*_units(config), *_cron_lines(config)]


def _units(config: Path) -> Iterator[Service]:
    for folder in (_user_units(), _SYSTEM):
        for name in _UNITS:
            path = folder / name
            if path.is_file():
                yield _judge(path, config)


def _judge(path: Path, config: Path) -> Service:
    """Look whether a unit starts a program that is there, with this configuration, and is enabled."""
    started = path.with_name("nightferry-run.service") if path.suffix == ".timer" else path
    command = shlex.split(_option(started, "Service", "ExecStart").replace("%%", "%"))
    target = _option(path, "Install", "WantedBy")
    if not command or not Path(command[0]).is_file():
        return Service(good=False, found=f"{path} starts {command[0] if command else 'nothing'}, which is not there")
    named = command[command.index("--config") + 1] if "--config" in command[:-1] else ""
    if named and Path(named) != config:
        return Service(good=False, found=f"{path} is for another configuration, {named}")
    if not (path.parent / f"{target}.wants" / path.name).exists():
        user = "" if path.parent == _SYSTEM else "--user "
        return Service(good=False, found=f"{path} is not enabled; run: systemctl {user}enable --now {path.name}")
    if _says_last(command):
        renew = f"nightferry service --timer --at {_time_of(path)}" if path.suffix == ".timer" else "nightferry service"
        return Service(good=False, found=f"{path} {_LEFT_BEHIND}; write it again with: {renew}")
    return Service(good=True, found=f"{path} is enabled")


def _says_last(command: list[str]) -> bool:
    """Whether a command carries yesterday evening alone."""
    return "--night=last" in command or ("--night", "last") in pairwise(command)


def _time_of(timer: Path) -> str:
    """Return a timer's time of day; the usual one where it has none."""
    found = _TIME.search(_option(timer, "Timer", "OnCalendar"))
    return found[0] if found else _AT


def _option(path: Path, section: str, key: str) -> str:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # the library's own way to keep capitals
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
    return parser.get(section, key, fallback="")


def _cron_lines(config: Path) -> Iterator[Service]:
    program = shutil.which("crontab")
    if program is None:
        return
    try:
        told = subprocess.run([program, "-l"], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return
    for line in told.stdout.splitlines():
        if "nightferry" in line and not line.lstrip().startswith("#"):
            if _says_last(line.split()):
                yield Service(
                    good=False, found=f"cron {_LEFT_BEHIND}; renew it with: nightferry service --cron: {line}"
                )
                continue
            good = str(config) in line.replace(r"\%", "%") or "--config" not in line
            yield Service(good, f"cron: {line}" if good else f"cron is for another configuration: {line}")
