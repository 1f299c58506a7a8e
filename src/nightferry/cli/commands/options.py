"""The options and arguments that several commands share."""

from typing import Annotated

import typer

Telescopes = Annotated[list[str] | None, typer.Argument(help="Names from the configuration; all when none is given.")]
Telescope = Annotated[str, typer.Argument(help="A telescope's name from the configuration.")]
OneNight = Annotated[str, typer.Argument(help="YYYYMMDD or YYYY-MM-DD (the evening's date), last, or latest.")]
NightOption = Annotated[
    list[str] | None,
    typer.Option("--night", help="YYYYMMDD, YYYY-MM-DD, last (yesterday evening), latest (newest there), all."),
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
