"""``init``: ask what must be asked, and have a configuration written."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import say_error
from nightferry.cli.options import DryRunOption
from nightferry.cli.show import say
from nightferry.core.errors import Misconfigured

if TYPE_CHECKING:
    from nightferry.stores.sftp.process import HostKey


def init(
    context: typer.Context,
    preset: Annotated[str | None, typer.Option(help="The make of telescope; see the presets' names.")] = None,
    name: Annotated[str | None, typer.Option(help="What to call the telescope.")] = None,
    source: Annotated[str | None, typer.Option(help="Where its files are, e.g. ftp://10.0.0.1/user.")] = None,
    library: Annotated[Path | None, typer.Option(help="The folder for the library.")] = None,
    user: Annotated[str | None, typer.Option(help="The user to log in as.")] = None,
    secret: Annotated[str | None, typer.Option(help="Where the password is: env:NAME, file:PATH.")] = None,
    credentials: Annotated[
        list[Path] | None, typer.Option("--from", help="Transfer scripts' .credentials.csh or .env, to move over from.")
    ] = None,
    host_key: Annotated[
        str | None, typer.Option(help="The fingerprint that an SFTP server's key must have: SHA256:...")
    ] = None,
    discover: Annotated[bool, typer.Option("--discover", help="Take the telescope that is in reach.")] = False,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Try the connection.")] = True,
    dry_run: DryRunOption = False,
) -> None:
    """Write a commented configuration: asks what it must, tests the connection."""
    file = api.config_file(context.obj, dry_run=dry_run)
    if credentials:
        _move_over(credentials, file, dry_run=dry_run)
        return
    if discover:
        preset, source = _discovered(preset, context.obj)
    preset = preset or _ask("Which telescope", "vespera", [one.name for one in api.presets(context.obj)])
    name = name or _ask("What to call it", preset)
    source = source or _ask("Where its files are", _source_of(preset, context.obj))
    library = library or Path(_ask("Folder for the library", str(Path.home() / "Astro")))
    setup = api.Setup(
        preset, name, source, library.expanduser().absolute(), user or "", secret or "", host_key=host_key or ""
    )

    def agree(address: str, key: "HostKey") -> bool:
        say(f"{address} shows the host key {key.kind} {key.fingerprint}")
        return host_key is None and _agreed("Compare that with what whoever runs the server tells you. Is it the same")

    def report(text: str, good: bool) -> None:  # noqa: FBT001 - as the API calls it
        say(text, "green" if good else "yellow")

    done = api.init(setup, context.obj, test=test, dry_run=dry_run, agree=agree, report=report)
    if dry_run:
        sys.stdout.write(done.text)
        return
    say(f"wrote {done.file}", "green")
    option = f" --config {done.file}" if context.obj else ""
    say(f"next: nightferry{option} run {name} --night all")


def _source_of(preset: str, place: Path | None) -> str | None:
    found = api.preset(preset, place).preset
    return found.source if found else None


def _move_over(credentials: list[Path], file: Path, *, dry_run: bool) -> None:
    """Have configuration and secrets made of transfer scripts' credentials."""
    path, moved = api.move_over(credentials, file)
    for note in moved.notes:
        say_error(note)
    if dry_run:
        sys.stdout.write(moved.text)
        return
    api.write_moved(path, moved, lambda secret: say(f"wrote {secret}, for its owner's eyes only", "green"))
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


def _agreed(question: str) -> bool:
    """Ask for a plain yes on a terminal; nobody there is no yes."""
    return sys.stdin.isatty() and _ask(f"{question}? yes or no", "no") == "yes"


def _discovered(preset: str | None, place: Path | None) -> tuple[str, str]:
    """Take the telescope that is in reach; ask when there are several."""
    found = {one.url: one for one in api.discover([preset] if preset else [], place=place)}
    if not found:
        raise Misconfigured("no telescope that a preset knows is in reach; switch it on, or say --preset and --source")
    first = next(iter(found))
    if len(found) > 1 and not sys.stdin.isatty():
        raise Misconfigured(f"several telescopes are in reach: choose one with --source: {', '.join(found)}")
    source = first if len(found) == 1 else _ask("Which one", first, list(found))
    say(f"found {found[source].preset}: {source}", "green")
    return preset or found[source].preset, source
