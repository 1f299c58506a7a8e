"""Audits: what one finds of a frame in an archive, and of the files there that nobody delivered."""

from dataclasses import dataclass
from enum import StrEnum

from nightferry.core.display import display
from nightferry.core.ledger import Proof
from nightferry.core.store import StorePath


class Verdict(StrEnum):
    """What an audit says of one frame in one archive."""

    GOOD = "good"
    DAMAGED = "damaged"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    FOREIGN = "foreign"  #: nobody delivered it; see `Stranger`


@dataclass(frozen=True, slots=True)
class Finding:
    """One frame, or product of many, that was read again."""

    archive: str
    proof: Proof
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Stranger:
    """A file in an archive that nobody delivered; ``size`` in bytes."""

    archive: str
    name: StorePath
    size: int

    @property
    def reason(self) -> str:
        """Say what it is, and what to do."""
        return (
            f"{self.archive}: nobody delivered {display(self.name)} ({self.size:,} bytes); move it away, or say "
            f"'shared = true' in [archive.{self.archive}] if others keep files there"
        )
