"""The options and arguments that several commands share."""

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from nightferry.core.errors import Misconfigured

Value = TypeVar("Value")

Telescopes = Annotated[list[str] | None, typer.Argument(help="Names from the configuration; all when none is given.")]
Telescope = Annotated[str, typer.Argument(help="A telescope's name from the configuration.")]
OneNight = Annotated[str, typer.Argument(help="YYYYMMDD or YYYY-MM-DD (the evening's date), last, or latest.")]
NightOption = Annotated[
    list[str] | None,
    typer.Option("--night", help="YYYYMMDD, YYYY-MM-DD, open (not closed yet), last (yesterday evening), latest, all."),
]
TakeOption = Annotated[
    str | None, typer.Option("--take", help="Kinds of files, with commas: fits, tiff, previews, sidecars.")
]
ProgramOption = Annotated[
    str | None,
    typer.Option("--program", help="The observing programme, e.g. 60.A-9009(D); comes before the telescope's."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on stdout, and nothing else there.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
FrameArgument = Annotated[
    str, typer.Argument(help="Path at the telescope, file name, name in an archive, or digits of its digest.")
]


def read_place(text: str, option: str) -> tuple[float, float]:
    """Parse a place in degrees such as ``192.7,41.1``; raises `Misconfigured` for anything else."""
    try:
        ra, dec = (float(part) for part in text.split(","))
    except ValueError as err:
        raise Misconfigured(
            f"{option} {text!r}: expected right ascension and declination in degrees: 192.7,41.1"
        ) from err
    if not (0 <= ra <= 360 and abs(dec) <= 90):  # noqa: PLR2004 - the sphere
        raise Misconfigured(f"{option} {text!r} is not on the sphere: expected 0 to 360, and -90 to 90 degrees")
    return ra % 360.0, dec


def quantity(read: Callable[[str], Value], text: str, option: str = "") -> Value:
    """Parse an option's text with its unit; raises `Misconfigured` for what ``read`` does not take."""
    try:
        return read(text)
    except ValueError as err:
        raise Misconfigured(f"{option}: {err}" if option else str(err)) from err
