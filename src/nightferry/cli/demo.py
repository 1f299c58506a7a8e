"""``demo``: carry a night from a simulated Vespera, on this machine alone."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.show import say, show_balances
from nightferry.core.display import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nightferry.core.ledger import Account


def demo(
    into: Annotated[Path | None, typer.Option(help="A new folder for telescope, library and ledger.")] = None,
    quirks: Annotated[bool, typer.Option("--quirks/--no-quirks", help="With awkward and damaged files.")] = True,
    solve: Annotated[bool, typer.Option("--solve", help="Solve its frames, too.")] = False,
) -> None:
    """Carry a night from a simulated Vespera, on this machine alone."""
    from nightferry.cli.progress import progress
    from nightferry.cli.run import summary

    home = api.demo_folder(into)
    frames: Sequence[Account] = ()
    passes = 0
    for event in api.demo(home, quirks=quirks, solve=solve, shown=lambda: progress(quiet=not sys.stderr.isatty())):
        if event.text:
            say(event.text, "bold")
        if event.detail:
            say(f"  {event.detail}")
        if event.passed is not None:
            show_balances(event.passed.balances)
            say(summary("vespera", event.passed))
            if not all(balance.balanced for balance in event.passed.balances):
                raise RuntimeError("the demo's night does not balance")
            frames, passes = event.frames, passes + 1
            if passes == 1 and not sys.stderr.isatty():  # where bars are drawn, what is held was said above them
                _show_held(frames)
    if solve:
        _show_solved(frames)
    _show_library(home)


def _show_held(frames: "Sequence[Account]") -> None:
    held = [account for account in frames if account.standing.bin == "held"]
    if held:
        say("Held, each with its reason (a real night has such files too):", "bold")
    for account in held:
        say(f"  {account.sighting.path}: {account.standing.reason}", "red")


def _show_solved(frames: "Sequence[Account]") -> None:
    """Print what became of the frames of the sky."""
    from nightferry.cli.stars import night_lines

    seen = [facts for account in frames if (facts := api.star_facts(account))]
    for line in night_lines(seen):
        say(line, "green")
    for facts in seen:
        if "stars" in facts and not facts["solved"]:
            say(f"  not solved: {facts['why']}", "yellow")


def _show_library(home: Path) -> None:
    library = home / "library"
    say("The library:", "bold")
    for folder in sorted(library.iterdir()):
        files = [path for path in folder.rglob("*") if path.is_file()]
        say(f"  {folder.name:<14} {len(files):>4} frames  {size_text(sum(path.stat().st_size for path in files)):>9}")
    say(f"It is in {library}. Ask about any frame, for example:", "bold")
    first = next(iter(sorted(library.rglob("*.fits"))), None)
    frame = f'"{first.name}"' if first else "FRAME"
    say(f"  {_command()} --config {home / 'nightferry.toml'} held")
    say(f"  {_command()} --config {home / 'nightferry.toml'} why {frame}")


def _command() -> str:
    return "nightferry" if shutil.which("nightferry") else f"{sys.executable} -m nightferry"
