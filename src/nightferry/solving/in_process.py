"""The engine of the PyPI package ``astrometry``: astrometry.net's own C code, in this process.

Facts of its release 4.3 that this rests on, measured: coordinates count from 1; two threads on one solver crash, so
each process has its own; without the limits below it runs for minutes on crowded lists; its own distortion fit takes
a hundred times longer than the search. The package is GPL-3, so it comes with the extra ``solve`` only.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.headers.canonical import Wcs
from nightferry.solving.indexes import signature
from nightferry.solving.model import Guess, Hints, Stars

#: Stars that are tried: more make a search longer, not better.
_MOST_STARS = 50
_SLICE = 25
_MOST_QUADS = 20_000
_LOG_ODDS = 21.0  # a billion to one: the gate decides, so this only needs to be no waste of its time
_ONE = Lock()


class InProcess:
    """Looks stars up with the package ``astrometry``."""

    name = "astrometry"

    def guess(self, stars: Stars, hints: Hints, indexes: Sequence[Path], seconds: float) -> Guess | None:  # noqa: ARG002 - limited by counts: it cannot be interrupted
        """Find a first solution; see `nightferry.solving.model.Engine`."""
        import astrometry  # noqa: PLC0415 - an extra

        size = None if hints.scales is None else astrometry.SizeHint(*hints.scales)
        place = None
        if hints.ra is not None and hints.dec is not None:
            place = astrometry.PositionHint(hints.ra % 360.0, hints.dec, hints.radius)
        wanted = astrometry.SolutionParameters(
            sip_order=0,
            tune_up_logodds_threshold=None,
            maximum_quads=_MOST_QUADS,
            output_logodds_threshold=_LOG_ODDS,
            slices_generator=_slices,
            logodds_callback=lambda _: astrometry.Action.STOP,
        )
        places = list(zip(stars.x[:_MOST_STARS].tolist(), stars.y[:_MOST_STARS].tolist(), strict=True))
        with _ONE:
            answer = _solver(tuple(indexes), _states(indexes)).solve(places, size, place, wanted)
        if not answer.has_match():
            return None
        best = answer.best_match()
        return Guess(_wcs(best.wcs_fields), best.index_path.name)


def _slices(count: int) -> Iterable[tuple[int, int]]:
    """Cut the list into pieces; unlike the package's own function this one keeps the last, shorter piece."""
    return [(start, min(start + _SLICE, count)) for start in range(0, count, _SLICE)]


def _wcs(fields: dict[str, tuple[object, str]]) -> Wcs:
    number = {key: float(value) for key, (value, _) in fields.items() if isinstance(value, int | float)}
    a, b, c, d = (number.get(key, 0.0) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    return Wcs(
        ("RA---TAN", "DEC--TAN"),
        (number["CRPIX1"], number["CRPIX2"]),
        (number["CRVAL1"], number["CRVAL2"]),
        (a, b, c, d),
    )


def _states(indexes: Sequence[Path]) -> tuple[str, ...]:
    """Return the files' states: one that became another under its name is opened again."""
    try:
        return tuple(map(signature, indexes))
    except OSError as err:
        raise TryAgain(f"the engine cannot open its index files: {err}") from err


@lru_cache(maxsize=2)
def _solver(indexes: tuple[Path, ...], _state: tuple[str, ...]) -> "astrometry.Solver":  # type: ignore[name-defined] # noqa: F821 - imported late
    """Open index files; they are mapped, not read, so this is quick."""
    try:
        import astrometry  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as err:
        raise Misconfigured("the engine 'astrometry' needs its package: pip install 'nightferry[solve]'") from err
    try:
        return astrometry.Solver(list(indexes))
    except (TypeError, OSError, ValueError) as err:
        raise TryAgain(f"the engine cannot open its index files ({indexes[0]} ...): {err}; are they whole?") from err
