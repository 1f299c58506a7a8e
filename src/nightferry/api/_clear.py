"""Clear: delete at the source what is proven delivered."""

from collections.abc import Sequence

from nightferry.api._routes import nights_of, opened_route
from nightferry.assemble import Hands
from nightferry.config import Config
from nightferry.core.errors import Misconfigured
from nightferry.core.ledger import Ledger
from nightferry.folders import refuse_overlap
from nightferry.passes.clear import clear as clear_route
from nightferry.steps.clear import Clearance


def clear(
    config: Config,
    ledger: Ledger,
    telescope: str,
    nights: Sequence[str] = ("all",),
    *,
    dry_run: bool = False,
    hands: Hands | None = None,
) -> list[Clearance]:
    """Delete at the source what is proven delivered; return an answer for every frame that was not cleared before."""
    refuse_overlap(config, telescope)
    with opened_route(config, telescope, hands, working=False) as (route, given):
        if route.telescope.clear_after is None:
            raise Misconfigured(
                f"telescope.{telescope} is not to be cleared: to delete frames at the source once they are proven "
                f'delivered, add [telescope.{telescope}.clear] with after = "7 d"'
            )
        with route.locked():
            evenings = nights_of(nights, route).evenings
            return clear_route(route, ledger, evenings, onlooker=given.onlooker, dry_run=dry_run)
