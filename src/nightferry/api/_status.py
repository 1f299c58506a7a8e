"""Status: every telescope's last nights. It imports nothing of what carries frames, so that it answers at once."""

from collections.abc import Sequence

from nightferry.config import Config, ledger_url
from nightferry.core.errors import Misconfigured
from nightferry.core.overview import Overview
from nightferry.ledger.glance import glance


def status(config: Config, telescopes: Sequence[str] = (), last: int = 3) -> list[Overview]:
    """Return an overview of each telescope and its ``last`` nights; of all telescopes when none is named.

    Raises `Misconfigured` for a telescope that the configuration does not have, or when it has none.
    """
    if not config.telescope:
        raise Misconfigured("the configuration names no telescope; add [telescope.NAME], or see: nightferry init")
    for name in telescopes:
        if name not in config.telescope:
            raise Misconfigured(
                f"there is no telescope {name!r} in the configuration; it has {', '.join(config.telescope)}"
            )
    names = list(dict.fromkeys(telescopes)) or list(config.telescope)
    with glance(ledger_url(config)) as ledger:
        return [ledger.overview(name, last) for name in names]
