"""The context of a header: what the configuration knows of telescope, run and site, and the header cannot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nightferry.core.instant import Instant
from nightferry.core.version import Settings

#: Pixel scales that no telescope of ours goes beyond, in arcseconds: the default limits.
SCALES = (0.02, 30.0)


@dataclass(frozen=True, slots=True)
class Site:
    """A place on Earth: degrees, north and east positive; metres."""

    latitude: float
    longitude: float
    elevation: float = 0.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a profile needs beside the header.

    ``telescop``, ``instrume``, ``origin``, ``observer``, ``pi`` and ``program`` are what the archive knows the
    telescope and the run by; ``scales`` are the smallest and largest pixel scale that a solution may have, in
    arcseconds. ``written`` is the time of writing. ``hints`` are what path and side file say of the frame.
    ``strip_history`` drops the COMMENT and HISTORY of the source; ``software`` is who signs in HISTORY, with version.
    """

    telescope: str = ""
    telescop: str = ""
    instrume: str = ""
    origin: str = ""
    observer: str = ""
    pi: str = ""
    program: str = ""
    site: Site | None = None
    scales: tuple[float, float] = SCALES
    written: Instant | None = None
    hints: Mapping[str, str] = field(default_factory=dict)
    strip_history: bool = False
    software: str = "nightferry"


def context_settings(context: Context) -> Settings:
    """Return what a context decides in a header, by name; when it is written, and by which release, decides nothing."""
    return {
        "telescop": context.telescop,
        "instrume": context.instrume,
        "origin": context.origin,
        "observer": context.observer,
        "pi": context.pi,
        "program": context.program,
        "site": site_settings(context.site),
        "scales": list(context.scales),
        "strip_history": context.strip_history,
    }


def site_settings(site: Site | None) -> Settings:
    """Return a site by name: degrees, north and east positive; metres."""
    if site is None:
        return {}
    return {"latitude": site.latitude, "longitude": site.longitude, "elevation": site.elevation}
