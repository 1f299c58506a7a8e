"""The overview: what one glance in the morning must tell of a telescope and its last nights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from nightferry.core.balance import Balance, Bin


@dataclass(frozen=True, slots=True)
class Contact:
    """How things last stood with a telescope; times are microseconds since 1970 UTC, 0 for never.

    ``looked_us`` is when its store was last asked, ``reached_us`` when it last answered with a listing, and
    ``news_us`` when that listing last showed something new. ``trouble`` says why it did not answer; ``proven_us``
    is when an archive's copy of one of its frames was last found right.
    """

    telescope: str
    looked_us: int = 0
    reached_us: int = 0
    news_us: int = 0
    proven_us: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a number of frames of a night stand where they stand; ``reason`` is that of one of them."""

    bin: Bin
    stage: str
    reason: str
    frames: int


@dataclass(frozen=True, slots=True)
class Products:
    """Products of many frames (cubes) of a night, by where they stand, and why some are held or failed.

    A reason's ``frames`` counts products here. They are no part of the night's balance, which counts raw frames.
    """

    counts: Mapping[Bin, int] = field(default_factory=dict)
    reasons: Sequence[Reason] = ()


@dataclass(frozen=True, slots=True)
class NightLine:
    """One night: its balance, and the reasons of what is held or failed, the most frequent first."""

    balance: Balance
    reasons: Sequence[Reason] = ()
    products: Products = field(default_factory=Products)


@dataclass(frozen=True, slots=True)
class Overview:
    """A telescope's last nights, newest first; ``older`` counts what is still open in the nights before them.

    ``older_products`` counts the products of many frames that are held or failed there.
    """

    contact: Contact
    nights: Sequence[NightLine] = ()
    older: Mapping[Bin, int] = field(default_factory=dict)
    oldest_open: date | None = None
    older_products: Mapping[Bin, int] = field(default_factory=dict)
