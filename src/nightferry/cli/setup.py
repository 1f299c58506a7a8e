"""The command that sets up: asks what it must, tests the connection, writes a commented configuration."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import typer

from nightferry.assemble import telescope_store
from nightferry.cli.exits import say_error
from nightferry.cli.finding import search
from nightferry.cli.moving import move_over, write_secret
from nightferry.cli.show import say
from nightferry.config import Config, config_path, load_preset, loads, preset_names
from nightferry.config.preset import Preset
from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Entry
from nightferry.discover import spellings
from nightferry.disk.mounts import is_mounted
from nightferry.stores.folder import local_path
from nightferry.stores.sftp.process import UnknownHost, host_keys, pin

_BARE_KEY = re.compile("[A-Za-z0-9_-]+")
_TEMPLATE = """\
# nightferry's configuration. Every key: docs/reference/configuration.md
# Quantities carry units ("60 s", "7 d", "5 GB"); an unknown key is an error that names its line.

[shelf]
# Working files, on the library's own disk so that a finished frame is linked there, not copied.
path = "{shelf}"
# Nothing is pulled that would leave less than this free.
floor = "1 GB"

[telescope.{key}]
# {title}
preset = "{preset}"
source = "{source}"
{login}archives = ["library"]
# Also to be had: "previews" (JPEG, PNG) and "sidecars" (the JSON files that belong to a frame).
take = [{take}]
# A file counts as written when its size and time stay the same for so long.
settle = "{settle}"

# How `nightferry watch` looks: pause between two looks; end (or "alert") after so many empty ones in a row.
[telescope.{key}.watch]
every = "5 min"
# empty = 10
# then = "stop"

# Without this section nothing is ever deleted at the telescope. With it, a frame is, once it has been read
# back from the library, is unchanged at the telescope, and was delivered so long ago.
# [telescope.{key}.clear]
# after = "7 d"

[archive.library]
url = "{library}"
{disk}# Fields: object date time night stem file suffix folder telescope. {{stem}} is unique within object and date.
name = "{template}"
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line said already; None is asked for, where somebody can be asked."""

    preset: str | None = None
    name: str | None = None
    source: str | None = None
    library: Path | None = None
    user: str | None = None
    secret: str | None = None
    host_key: str | None = None
    known_hosts: Path | None = None
    discover: bool = False
    test: bool = True
    dry_run: bool = False
    credentials: tuple[Path, ...] = ()


def init_command(place: Path | None, wishes: Wishes) -> None:
    """Write a configuration; never over one that is there."""
    path = (place or config_path()).expanduser().absolute()
    if path.exists() and not wishes.dry_run:
        raise Misconfigured(f"{path} exists already; edit it, or name another file with --config")
    if wishes.credentials:
        _move_over(path, wishes)
        return
    folder = path.parent
    if wishes.discover:
        wishes = _discovered(wishes, place)
    preset_name = wishes.preset or _ask("Which telescope", "vespera", preset_names(folder))
    preset = load_preset(preset_name, folder)
    name = wishes.name or _ask("What to call it", preset_name)
    source = wishes.source or _ask("Where its files are", preset.source)
    library = (
        (wishes.library or Path(_ask("Folder for the library", str(Path.home() / "Astro")))).expanduser().absolute()
    )
    answers = replace(wishes, preset=preset_name, name=name, source=source, library=library)
    text = write_config(answers, preset)
    if wishes.test:
        text = _tested(answers, name, preset, folder)
    loads(text, str(path), folder)  # what we write must be what we read
    if wishes.dry_run:
        sys.stdout.write(text)
        return
    try:
        library.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as err:
        raise Misconfigured(f"{err.filename or path} cannot be made: {err.strerror}; nothing was set up") from err
    say(f"wrote {path}", "green")
    option = f" --config {path}" if place else ""
    say(f"next: nightferry{option} run {name} --night all")


def _move_over(path: Path, wishes: Wishes) -> None:
    """Make configuration and secrets of transfer scripts' credentials; all of it, or nothing."""
    moved = move_over(wishes.credentials, path.parent)
    loads(moved.text, str(path))  # what we write must be what we read
    for note in moved.notes:
        say_error(note)
    if wishes.dry_run:
        sys.stdout.write(moved.text)
        return
    taken = next((file for file in moved.secrets if file.exists()), None)
    if taken is not None:
        raise Misconfigured(f"{taken} exists already; move it away before its telescope is moved over again")
    for file, value in moved.secrets.items():
        write_secret(file, value)
        say(f"wrote {file}, for its owner's eyes only", "green")
    try:
        with path.open("x", encoding="utf-8") as config:
            config.write(moved.text)
    except OSError as err:
        raise Misconfigured(f"{path} cannot be made: {err.strerror}") from err
    say(f"wrote {path}", "green")
    say("next: read what was said above, then: nightferry check")


def _ask(question: str, default: str | None, choices: list[str] | None = None) -> str:
    """Ask on a terminal; elsewhere the default must do."""
    if not sys.stdin.isatty():
        if default is None:
            raise Misconfigured(f"{question}? There is nobody to ask: say it with an option (see --help)")
        return default
    shown = f"{question} ({', '.join(choices)})" if choices else question
    while True:
        try:
            answer = str(typer.prompt(shown, default=default)).strip()
        except typer.Abort as err:  # Ctrl-C, or the end of the input
            raise KeyboardInterrupt from err
        if not choices or answer in choices:
            return answer
        say(f"expected one of {', '.join(choices)}", "yellow")


def write_config(answers: Wishes, preset: Preset) -> str:
    """Fill in the template; texts are quoted as TOML asks."""
    library = (answers.library or Path()).as_posix()
    known_hosts = answers.known_hosts.as_posix() if answers.known_hosts else None
    told = (("user", answers.user), ("secret", answers.secret), ("known_hosts", known_hosts))
    login = "".join(f'{key} = "{_toml(value)}"\n' for key, value in told if value)
    if point := _mount_of(answers.source or ""):
        login += f'# Nothing is looked for while nothing is mounted there.\nmount = "{_toml(point.as_posix())}"\n'
    archive = f"file://{'' if library.startswith('/') else '/'}{quote(library, safe='/:')}"
    disk = ""
    if point := _mount_of(archive):
        disk = f'# Nothing is delivered while nothing is mounted there.\nmount = "{_toml(point.as_posix())}"\n'
    return _TEMPLATE.format(
        key=answers.name if _BARE_KEY.fullmatch(answers.name or "") else f'"{_toml(answers.name or "")}"',
        title=preset.title,
        preset=answers.preset,
        source=_toml(answers.source or ""),
        login=login,
        take=", ".join(f'"{kind}"' for kind in preset.take),
        settle=f"{preset.settle:g} s",
        shelf=_toml(f"{library}/.nightferry"),
        library=archive,
        disk=disk,
        template=preset.name,
    )


def _mount_of(source: str) -> Path | None:
    """Tell the mount point that a folder is on, if it is one that may well be absent tomorrow."""
    parts = urlsplit(source)
    if parts.scheme != "file":
        return None
    folder = local_path(unquote(parts.path))
    for point in (folder, *folder.parents):
        if is_mounted(point):
            lasting = point == Path(point.anchor) or Path.home().is_relative_to(point)
            return None if lasting else point
    return None


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _discovered(wishes: Wishes, place: Path | None) -> Wishes:
    """Take the telescope that is in reach; ask when there are several."""
    found = {one.url: one for one in search(place, [wishes.preset] if wishes.preset else [])}
    if not found:
        raise Misconfigured("no telescope that a preset knows is in reach; switch it on, or say --preset and --source")
    first = next(iter(found))
    if len(found) > 1 and not sys.stdin.isatty():
        raise Misconfigured(f"several telescopes are in reach: choose one with --source: {', '.join(found)}")
    source = first if len(found) == 1 else _ask("Which one", first, list(found))
    say(f"found {found[source].preset}: {source}", "green")
    return replace(wishes, preset=wishes.preset or found[source].preset, source=source)


def _tested(answers: Wishes, name: str, preset: Preset, folder: Path) -> str:
    """Try the connection, with each spelling of the root folder that the preset knows; keep what works."""
    trouble: NightferryError | None = None
    for source in spellings(answers.source or "", preset):
        text = write_config(replace(answers, source=source), preset)
        try:
            count = _look(loads(text, "configuration", folder), name)
        except UnknownHost as err:
            known = _pinned(err, answers, folder)
            if answers.dry_run:
                say("the connection was not tried: a dry run makes no key known", "yellow")
                return write_config(known, preset)
            return _tested(known, name, preset, folder)
        except (TryAgain, Misconfigured) as err:
            trouble = trouble or err
            if isinstance(err, TryAgain):
                break
            continue
        say(f"reached {source}: {count}", "green")
        return text
    raise Misconfigured(
        f"{trouble}\nnothing was written; mend that and try again, or write the configuration untested with --no-test"
    ) from trouble


def _pinned(unknown: UnknownHost, answers: Wishes, folder: Path) -> Wishes:
    """Show the fingerprint of a host's key, and make the key known when a person says that it is the right one.

    The list of known hosts stands beside the configuration, so that nobody else's is changed.
    """
    address = unknown.address
    keys = host_keys(address.host, address.port, timeout=address.timeout)
    if not keys or answers.known_hosts is not None:  # it shows none; or it shows another one than a moment ago
        raise Misconfigured(f"{unknown}\nnothing was written") from unknown
    wanted = answers.host_key
    key = next((key for key in keys if key.fingerprint == wanted), keys[0])
    say(f"{address.known_as} shows the host key {key.kind} {key.fingerprint}")
    if wanted is not None and key.fingerprint != wanted:
        raise Misconfigured(
            f"{address.known_as} does not show the host key {wanted}: somebody may be in between, or the server was "
            "set up anew. Ask whoever runs it; nothing was written"
        )
    if wanted is None and not _agreed("Compare that with what whoever runs the server tells you. Is it the same"):
        raise Misconfigured(
            f"the host key of {address.known_as} is not known, and nothing was written. If {key.fingerprint} is what "
            f"whoever runs the server tells you, say: --host-key {key.fingerprint}"
        )
    place = folder / "known_hosts"
    if not answers.dry_run:
        pin(key, place)
        say(f"made known in {place}", "green")
    return replace(answers, known_hosts=place)


def _agreed(question: str) -> bool:
    """Ask for a plain yes on a terminal; nobody there is no yes."""
    return sys.stdin.isatty() and _ask(f"{question}? yes or no", "no") == "yes"


def _look(config: Config, name: str) -> str:
    store = telescope_store(config.resolved[name])
    try:
        folders: set[str] = set()
        files = 0
        for item in store.list(_noting(folders)):
            files += isinstance(item, Entry)
            if files >= 1000:  # noqa: PLR2004 - enough to know that it works
                return f"{files:,} files or more"
    finally:
        store.close()
    return f"{files:,} files in {len(folders):,} folders"


def _noting(folders: set[str]) -> Callable[[str], bool]:
    def enter(folder: str) -> bool:
        folders.add(folder)
        return True

    return enter
