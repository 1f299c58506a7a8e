"""The command that sets up: asks what it must, tests the connection, writes a commented configuration."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, urlsplit

import typer

from nightferry.assemble import telescope_store
from nightferry.cli.exits import say_error
from nightferry.cli.moving import move_over, write_secret
from nightferry.cli.show import say
from nightferry.config import Config, config_path, load_preset, loads, preset_names
from nightferry.config.presets import Preset
from nightferry.core.errors import Misconfigured, NightferryError, TryAgain
from nightferry.core.store import Entry

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
# Fields: object date time night stem file suffix folder telescope. {{stem}} is unique within object and date.
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
    preset_name = wishes.preset or _ask("Which telescope", "vespera", preset_names())
    preset = load_preset(preset_name)
    name = wishes.name or _ask("What to call it", preset_name)
    source = wishes.source or _ask("Where its files are", preset.source)
    library = (
        (wishes.library or Path(_ask("Folder for the library", str(Path.home() / "Astro")))).expanduser().absolute()
    )
    answers = replace(wishes, preset=preset_name, name=name, source=source, library=library)
    text = write_config(answers, preset)
    if wishes.test:
        text = _tested(text, name, preset, answers)
    loads(text, str(path))  # what we write must be what we read
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
    login = "".join(
        f'{key} = "{_toml(value)}"\n' for key, value in (("user", answers.user), ("secret", answers.secret)) if value
    )
    return _TEMPLATE.format(
        key=answers.name if _BARE_KEY.fullmatch(answers.name or "") else f'"{_toml(answers.name or "")}"',
        title=preset.title,
        preset=answers.preset,
        source=_toml(answers.source or ""),
        login=login,
        take=", ".join(f'"{kind}"' for kind in preset.take),
        settle=f"{preset.settle:g} s",
        shelf=_toml(f"{library}/.nightferry"),
        library=f"file://{'' if library.startswith('/') else '/'}{quote(library, safe='/:')}",
        template=preset.name,
    )


def _toml(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _tested(text: str, name: str, preset: Preset, answers: Wishes) -> str:
    """Try the connection, with each spelling of the root folder that the preset knows; keep what works."""
    trouble: NightferryError | None = None
    for source in _spellings(answers.source or "", preset):
        candidate = text if source == answers.source else write_config(replace(answers, source=source), preset)
        try:
            count = _look(loads(candidate, "configuration"), name)
        except (TryAgain, Misconfigured) as err:
            trouble = trouble or err
            if isinstance(err, TryAgain):
                break
            continue
        say(f"reached {source}: {count}", "green")
        return candidate
    raise Misconfigured(
        f"{trouble}\nnothing was written; mend that and try again, or write the configuration untested with --no-test"
    ) from trouble


def _spellings(source: str, preset: Preset) -> Iterator[str]:
    yield source
    parts = urlsplit(source)
    if parts.path.strip("/") in preset.roots:
        for root in preset.roots:
            if root != parts.path.strip("/"):
                yield parts._replace(path=f"/{root}").geturl()


def _look(config: Config, name: str) -> str:
    store = telescope_store(config.telescope[name])
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
