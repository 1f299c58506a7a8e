"""The command that has nightferry run by itself, and the check that it does: systemd units and a cron line."""

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
from pathlib import Path

from nightferry import api
from nightferry.cli.show import say
from nightferry.config import config_path
from nightferry.core.errors import Misconfigured

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_UNITS = ("nightferry.service", "nightferry.timer")
_SYSTEM = Path("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Service:
    """What was found: whether it does what it should, and in words."""

    good: bool
    found: str


def service_command(place: Path | None, *, timer: bool, cron: bool, at: str, into: Path | None, dry_run: bool) -> None:
    """Write the units, or print the cron line."""
    api.load(place)  # a service with a configuration that cannot be read would end at once
    given = _TIME.fullmatch(at)
    if given is None:
        raise Misconfigured(f"--at {at!r}: expected a time of day of this machine's clock, HH:MM")
    config = (place or config_path()).expanduser().absolute()
    folder = (into or _unit_folder()).expanduser()
    words = {
        "PROGRAM": _quoted(_program()),
        "CONFIG": _quoted(config),
        "FOLDER": _quoted(config.parent),
        "TARGET": "multi-user.target" if folder == _SYSTEM else "default.target",
        "TIME": at,
        "HOUR": str(int(given[1])),
        "MINUTE": str(int(given[2])),
    }
    if cron:
        sys.stdout.write(_cron(words, _program(), config))
        return
    names = ("nightferry-run.service", "nightferry.timer") if timer else ("nightferry.service",)
    for name in names:
        text = _filled(name, words)
        if dry_run:
            sys.stdout.write(f"# {folder / name}\n{text}\n")
        else:
            _write(folder / name, text)
    if not dry_run:
        control = "systemctl" if folder == _SYSTEM else "systemctl --user"
        say(f"next: {control} daemon-reload && {control} enable --now {names[-1]}")
        if folder != _SYSTEM:
            say("and, so that it runs while you are not logged in: loginctl enable-linger")


def _write(path: Path, text: str) -> None:
    try:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            say(f"{path} is as it should be")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{path} cannot be written: {err}; see --into, or the right to write there") from err
    say(f"wrote {path}", "green")


def _filled(name: str, words: dict[str, str]) -> str:
    text = resources.files("nightferry.service").joinpath(name).read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _cron(words: dict[str, str], program: Path, config: Path) -> str:
    """Fill in the cron line; a per cent sign means a new line to cron."""
    shell = {"PROGRAM": program, "CONFIG": config, "FOLDER": config.parent}
    quoted = {word: shlex.quote(str(path)).replace("%", r"\%") for word, path in shell.items()}
    return _filled("nightferry.cron", words | quoted)


def _quoted(path: Path) -> str:
    """Write a path as systemd reads it."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if re.search(r"\s", text) else text


def _program() -> Path:
    """Tell the program that was started: the service starts the same one."""
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
    return Service(good=True, found=f"{path} is enabled")


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
            good = str(config) in line.replace(r"\%", "%") or "--config" not in line
            yield Service(good, f"cron: {line}" if good else f"cron is for another configuration: {line}")
