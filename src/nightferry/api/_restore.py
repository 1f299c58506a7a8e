"""Restore: rebuild a raw file."""

from pathlib import Path

from nightferry.api._held import find_one
from nightferry.api._routes import opened_route
from nightferry.config import Config
from nightferry.core.ledger import Ledger
from nightferry.disk.errors import translated
from nightferry.passes.restore import Restored
from nightferry.passes.restore import restore as restore_frame
from nightferry.steps.rebuild import digest_of


def restore(config: Config, ledger: Ledger, frame: str, into: Path, *, dry_run: bool = False) -> Restored:
    """Rebuild a frame's raw file in a folder, byte for byte, from the shelf, an archive, or a product at hand.

    ``frame`` is what `find_one` takes, or the path of a standard frame's file here. Raises `Held` saying why it
    cannot be had, `TryAgain` when it may be later, and `Occupied` when another file has its name there.
    """
    here = Path(frame)
    product = here if here.is_file() else None
    if product is not None:
        with translated(product, "the file"):
            frame = digest_of(product)
    account = find_one(ledger, frame)
    telescope = account.sighting.night.telescope
    with opened_route(config, telescope, None, working=False) as (route, _):
        return restore_frame(route, account, into, product=product, dry_run=dry_run)
