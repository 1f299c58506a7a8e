"""``restore``: rebuild a frame's raw file."""

from pathlib import Path
from typing import Annotated

import typer

from nightferry import api
from nightferry.cli.options import DryRunOption, JsonOption
from nightferry.cli.show import say, say_json


def restore(
    context: typer.Context,
    frame: Annotated[
        str, typer.Argument(help="As for why: path, name or digits of the digest; or a standard frame's file.")
    ],
    into: Annotated[Path, typer.Option(help="The folder for the raw file.")],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Rebuild a frame's raw file, byte for byte."""
    config = api.load(context.obj)
    with api.open_ledger(config, reading=True) as ledger:
        done = api.restore(config, ledger, frame, into, dry_run=dry_run)
    if as_json:
        say_json(
            {
                "file": str(done.file),
                "size": done.size,
                "digest": done.digest,
                "source": done.source,
                "written": not dry_run,
            }
        )
    elif dry_run:
        say(f"{done.file} would be restored from {done.source}; nothing was written")
    else:
        say(f"{done.file}: {done.size:,} bytes, BLAKE3 {done.digest[:16]}, as they came ({done.source})")
