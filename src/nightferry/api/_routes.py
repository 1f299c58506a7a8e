"""What functions that touch telescope and archives share: an open route, and nights as people name them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime

from nightferry.assemble import Hands, idle_hands, open_route, telescope_names
from nightferry.config import Config
from nightferry.core.night import Nights
from nightferry.passes.route import Route


@contextmanager
def opened_route(
    config: Config, telescope: str, hands: Hands | None, *, working: bool = True
) -> Iterator[tuple[Route, Hands]]:
    """Open a telescope's route, and close it at the end; without ``working`` its computing steps are left out."""
    (name,) = telescope_names(config, [telescope])
    given = hands or idle_hands()
    route = open_route(config, name, working=working, hands=given)
    try:
        yield route, given
    finally:
        route.close()


def nights_of(words: Sequence[str], route: Route, since: date | None = None) -> Nights:
    """Parse nights as people name them, by the longitude of the route's telescope."""
    longitude = route.telescope.layout.longitude
    return Nights.parse(list(words), now=datetime.now(UTC), longitude=longitude, since=since)


def evenings_of(words: Sequence[str], longitude: float | None = None) -> list[date] | None:
    """Return the evenings of nights as people name them, for a question to the ledger; None for all of them."""
    return Nights.parse(list(words), now=datetime.now(UTC), longitude=longitude).evenings
