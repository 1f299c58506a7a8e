"""Findings: what an inspector can tell about a file from its bytes alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

#: ``stale``: the data are those that were summed, the header was changed since.
Checksums = Literal["absent", "ok", "stale", "wrong"]
#: What a fact may be: nothing in here needs more than a line of a report.
Plain = str | int | float | bool

#: Longest text taken from a file into findings, in characters (what fits on one FITS card).
LONGEST_TEXT = 68
#: Warnings kept for one file; a hostile file must not fill the ledger.
MOST_WARNINGS = 12
_UNPRINTABLE = re.compile(r"[^ -~]")


@dataclass(frozen=True, slots=True)
class Findings:
    """What is known of a file once its last byte has passed.

    ``kind`` is ``fits``, ``fits.gz``, ``tiff``, ``jpeg``, ``png``, ``json`` or ``other``. ``problem`` is empty for
    a whole file, otherwise one sentence saying what was expected and what was found. ``warnings`` tell what is
    odd although nothing is missing. ``facts`` are plain values: our own in lower case (``hdus``, ``naxis``,
    ``datasum``), header cards under their keyword (``DATE-OBS``). ``checksums`` tells how the file's own
    CHECKSUM, DATASUM or CRC cards fared.
    """

    kind: str
    problem: str = ""
    warnings: tuple[str, ...] = ()
    facts: Mapping[str, Plain] = field(default_factory=dict)
    checksums: Checksums = "absent"


class Inspector(Protocol):
    """Looks at one file's bytes as they stream by, in memory that does not grow with the file."""

    def feed(self, chunk: memoryview) -> None:
        """Look at the next bytes (format ``B``, contiguous, any number); nothing of ``chunk`` is kept."""
        ...

    def finish(self) -> Findings:
        """Return what was found; called once, after the last byte."""
        ...


class Unsound(Exception):  # noqa: N818 - named by what the bytes are
    """The bytes cannot be a whole file of their kind; the message is the problem of the findings.

    Raised by the readers of this package and caught by `nightferry.formats.flow.Inspection`; it never gets out.
    """


@dataclass(slots=True)
class Report:
    """The findings in the making: readers write into it while the bytes pass.

    ``complaints`` are problems that do not stop the reading (a wrong checksum); the first becomes the problem
    of the findings unless the file turns out to be unsound as well.
    """

    facts: dict[str, Plain] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    checksums: Checksums = "absent"

    def warn(self, text: str) -> None:
        """Add a warning, once, unless there are too many already."""
        if len(self.warnings) < MOST_WARNINGS and text not in self.warnings:
            self.warnings.append(text)


def escaped(raw: bytes, longest: int = 40) -> str:
    r"""Show bytes of unknown origin in a message: printable ASCII as it is, the rest as ``\\x..``, cut if long."""
    shown = "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in raw[:longest])  # noqa: PLR2004 - the printable range of ASCII
    return f"'{shown}'..." if len(raw) > longest else f"'{shown}'"


def plain_text(text: str) -> str:
    """Make text from a file safe to show and store: printable ASCII, everything else ``?``, at most 68 characters."""
    return _UNPRINTABLE.sub("?", text[:LONGEST_TEXT]).strip(" ")
