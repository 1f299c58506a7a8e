"""Canonical: what a header says of a frame, in one set of names and units, whatever program wrote it.

And findings: what a rule has to say about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from nightferry.core.instant import Instant


class ImageType(StrEnum):
    """What a frame was taken for."""

    SCIENCE = "science"
    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    DARKFLAT = "darkflat"
    FOCUS = "focus"
    ACQUISITION = "acquisition"
    UNKNOWN = "unknown"  #: the header names a type that nobody has told us of


class Severity(StrEnum):
    """What a finding means for its frame."""

    ERROR = "error"  #: it is held
    WARNING = "warning"  #: it is delivered, and the finding reported
    INFO = "info"  #: told when asked


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found: the rule's number, how grave it is, where, what is there, what should be."""

    rule: str
    severity: Severity
    keyword: str
    got: str
    expected: str

    def __str__(self) -> str:
        where = f" {self.keyword}:" if self.keyword else ""
        return f"{self.rule}{where} {self.got or 'nothing'}; expected {self.expected}"


@dataclass(frozen=True, slots=True)
class Wcs:
    """A celestial solution: pixel (from 1) to sky, as a CD matrix.

    ``cd`` is CD1_1, CD1_2, CD2_1, CD2_2 in degrees per pixel; ``crval`` in degrees; ``further`` holds what else
    belongs to it under its own keywords (SIP coefficients A_i_j and the like, PVi_m, LONPOLE, LATPOLE).
    """

    ctype: tuple[str, str]
    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: tuple[float, float, float, float]
    further: Mapping[str, float] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """The pixel scale in arcseconds, the root of the pixel's area; 0 for a matrix without an inverse."""
        return float(abs(self.cd[0] * self.cd[3] - self.cd[1] * self.cd[2]) ** 0.5 * 3600)


@dataclass(frozen=True, slots=True)
class Canonical:
    """What a header says, in fixed units; None where it says nothing.

    ======================================  ===============================================================
    ``exptime``                             seconds
    ``start``, ``end``                      UTC; ``start_resolution`` is the last digit of the start, seconds
    ``ra``, ``dec``                         degrees, of the pointing, in ``frame`` (FK5, ICRS) and ``equinox`` (years)
    ``airmass``                             ratio
    ``alt``, ``az``                         degrees; azimuth from north over east
    ``focus_pos``                           the focuser's own steps
    ``ccd_temp``, ``set_temp``              degrees Celsius
    ``gain``, ``offset``                    the camera's own settings
    ``egain``                               electrons per count
    ``xbin``, ``ybin``                      pixels
    ``xorg``, ``yorg``                      first pixel of the window, binned pixels from 0
    ``pix_um``                              micrometres, binned
    ``site_lat``, ``site_lon``              degrees, north and east positive
    ``site_elev``                           metres
    ``ambient_temp``, ``dew_point``         degrees Celsius
    ``humidity``                            per cent
    ``pressure``                            hectopascals
    ``wind_speed``                          metres per second
    ``stack_count``                         exposures added up in the frame
    ``calibrated``                          what the header says was done to the pixels already
    ======================================  ===============================================================
    """

    image_type: ImageType | None = None
    object: str | None = None
    filter: str | None = None
    exptime: float | None = None
    start: Instant | None = None
    start_resolution: float | None = None
    end: Instant | None = None
    ra: float | None = None
    dec: float | None = None
    frame: str | None = None
    equinox: float | None = None
    airmass: float | None = None
    alt: float | None = None
    az: float | None = None
    pierside: str | None = None
    focus_pos: float | None = None
    ccd_temp: float | None = None
    set_temp: float | None = None
    gain: float | None = None
    egain: float | None = None
    offset: float | None = None
    xbin: int | None = None
    ybin: int | None = None
    xorg: int | None = None
    yorg: int | None = None
    pix_um: float | None = None
    readout: str | None = None
    bayer: str | None = None
    roworder: str | None = None
    instrument_raw: str | None = None
    telescope_raw: str | None = None
    software: str | None = None
    observer: str | None = None
    site_lat: float | None = None
    site_lon: float | None = None
    site_elev: float | None = None
    ambient_temp: float | None = None
    humidity: float | None = None
    pressure: float | None = None
    dew_point: float | None = None
    wind_speed: float | None = None
    wcs: Wcs | None = None
    stack_count: int | None = None
    calibrated: str | None = None
    raw_name: str | None = None


#: The names of the canonical fields, in their order.
FIELDS = tuple(item.name for item in fields(Canonical))

#: What values of a field can be true, in its unit: more is a card that says something else, or nothing.
RANGES: Mapping[str, tuple[float, float]] = {
    "exptime": (0, 864_000),  # ten days
    "ra": (0, 360),
    "dec": (-90, 90),
    "alt": (-90, 90),
    "az": (-360, 360),
    "equinox": (1800, 2200),
    "ccd_temp": (-273.15, 200),
    "xbin": (1, 64),
    "ybin": (1, 64),
    "pix_um": (0, 1000),
    "site_lat": (-90, 90),
    "site_lon": (-360, 360),
    "site_elev": (-500, 10_000),
    "stack_count": (0, 10_000_000),
}
#: Years in which a digital camera can have exposed; a clock that was lost begins at 1, 1900, 1970 or 2000.
YEARS = (1970, 2100)
#: Fields that say what a frame is. Where a card of theirs is there and cannot be read, the frame is held.
DECISIVE = frozenset({
    "image_type", "object", "filter", "exptime", "start", "end", "ra", "dec", "frame", "equinox", "gain", "offset",
    "ccd_temp", "xbin", "ybin", "pix_um", "site_lat", "site_lon", "site_elev", "stack_count",
})  # fmt: skip
