"""The telescope: configuration, not a class of its own for each maker."""

from dataclasses import dataclass

from nightferry.core.context import Site
from nightferry.core.layout import Layout


@dataclass(frozen=True, slots=True)
class Telescope:
    """What the conductor must know of a telescope.

    ``settle`` is for how many seconds a file's size and time must stay unchanged before it counts as written; ``site``
    tells when nights end; ``clear_after`` is how many seconds after its proof a frame may be deleted at the source
    (None: never).
    ``never_bare`` says that a source with nothing at all in it, where files were before, is rather out of reach.
    """

    name: str
    layout: Layout
    archives: tuple[str, ...]
    settle: float = 60.0
    site: Site | None = None
    clear_after: float | None = None
    never_bare: bool = False
