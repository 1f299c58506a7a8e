"""Names of cubes: ``SPECU4.20260223T010203_S_Sp2306-0502_I+z_10s.fits``, after the pattern of the archive.

Only A-Z, a-z, 0-9, '.', '+' and '-' stand in a name's words. Where that, or the length, cost anything, four digits of
the whole text follow a ``~``, so that different groups keep different names.
"""

import hashlib
import re
from collections.abc import Collection, Mapping

from nightferry.core.instant import Instant

#: The longest name that archives take, in characters.
LONGEST = 68
#: The most names that are tried: more and more digits of one digest.
MOST_DIGITS = 14
_PATTERN = re.compile(
    r"[A-Za-z0-9.+-]+(~[0-9a-f]+)?\.(?P<date>\d{8})T(?P<time>\d{6})_(?P<label>[SC])_[A-Za-z0-9.+_-]+(~[0-9a-f]+)?"
    r"(_v(?P<version>[2-9]|[1-9]\d+))?\.fits"
)
_UNFIT = re.compile(r"[^A-Za-z0-9.+-]+")
_LONGEST_PREFIX = 16


def exposure_text(seconds: float) -> str:
    """Write an exposure without needless digits: ``10s``, ``0.5s``."""
    rounded = f"{seconds:.3f}".rstrip("0").rstrip(".")
    return f"{rounded}s" if float(rounded) == seconds else f"{seconds!r}s"


def cube_name(
    instrument: str,
    start: Instant,
    label: str,
    key: str,
    *,
    version: int = 1,
    short: Mapping[str, str] | None = None,
    taken: Collection[str] = (),
    whole: str = "",
) -> str:
    """Name a cube; ``key`` joins its words with ``_``, ``label`` is S for science and C for calibration.

    ``taken`` are names that others have, in small letters; the digits of ``whole`` (what parts the group from all
    others) keep it apart from them.
    """
    prefix = _prefix(instrument, short or {})
    stamp = start.iso(0).replace("-", "").replace(":", "")
    ending = f"{f'_v{version}' if version > 1 else ''}.fits"
    opening = f"{prefix}.{stamp}_{label}_"
    room = LONGEST - len(opening) - len(ending)
    words = [_UNFIT.sub("-", word).strip("-.") or "-" for word in key.split("_")]
    plain = "_".join(words)
    name = plain if plain == key and len(plain) <= room else _marked(plain, key, room)
    digits = 4
    while f"{opening}{name}{ending}".lower() in taken:
        name = _marked(plain, f"{key}\n{whole}", room, digits)
        digits += 2
        if digits > 2 * MOST_DIGITS + 4:
            break
    return f"{opening}{name}{ending}"


def is_cube_name(name: str) -> bool:
    """Whether a name is one that `cube_name` could have given."""
    return len(name) <= LONGEST and _PATTERN.fullmatch(name) is not None


def _prefix(instrument: str, short: Mapping[str, str]) -> str:
    for beginning, instead in short.items():
        if instrument.startswith(beginning):
            instrument = instead + instrument[len(beginning) :]
    plain = _UNFIT.sub("-", instrument).strip("-.") or "CUBE"
    lost = bool(instrument) and plain != instrument
    return _marked(plain, instrument, _LONGEST_PREFIX) if lost or len(plain) > _LONGEST_PREFIX else plain


def _marked(plain: str, whole: str, room: int, digits: int = 4) -> str:
    mark = hashlib.blake2b(whole.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()[:digits]
    return f"{plain[: room - digits - 1].rstrip('-._') or 'x'}~{mark}"
