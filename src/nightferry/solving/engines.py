"""Engines: which one looks a frame up in the index files. Both shipped ones, and those of third parties."""

import importlib.util
import shutil
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from nightferry.core.errors import Misconfigured
from nightferry.solving.model import Engine

_GROUP = "nightferry.solvers"


def engine_names() -> list[str]:
    """List the engines that are installed, best first."""
    found = []
    if importlib.util.find_spec("astrometry_extension") is not None:
        found.append("astrometry")
    if shutil.which("solve-field"):
        found.append("solve-field")
    return [*found, *sorted(point.name for point in entry_points(group=_GROUP))]


@lru_cache(maxsize=8)
def load_engine(name: str = "") -> Engine:
    """Make an engine by its name, or the best that is installed; raise `Misconfigured` with what to install."""
    if not name:
        names = engine_names()
        if not names:
            raise Misconfigured(
                "plate solving needs an engine: pip install 'nightferry[solve]', or install astrometry.net "
                "(Debian, Ubuntu: apt-get install astrometry.net)"
            )
        name = names[0]
    if name == "astrometry":
        from nightferry.solving.in_process import InProcess  # noqa: PLC0415 - an extra

        return InProcess()
    if name == "solve-field":
        from nightferry.solving.solve_field import SolveField  # noqa: PLC0415 - as above

        return SolveField()
    return _from_elsewhere(name)


def _from_elsewhere(name: str) -> Engine:
    points: list[EntryPoint] = list(entry_points(group=_GROUP, name=name))
    if not points:
        known = ", ".join(dict.fromkeys(["astrometry", "solve-field", *engine_names()]))
        raise Misconfigured(f"unknown engine {name!r}: expected one of {known}, or a package that brings it")
    try:
        make = cast("Callable[[], Engine]", points[0].load())
    except (ImportError, AttributeError) as err:
        raise Misconfigured(f"the engine {name!r} ({points[0].value}) cannot be loaded: {err}") from err
    return make()
