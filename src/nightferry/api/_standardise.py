"""Standardise and validate any files, without a ledger."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nightferry.api._telescopes import folder_for, header_settings_for
from nightferry.config import config_path
from nightferry.core.context import Context
from nightferry.core.errors import Held, TryAgain
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.profiles import load_profile
from nightferry.steps.standardise_files import Settings, Standardised, draft_file, standardise_file, start_of
from nightferry.steps.validate import validate_file


@dataclass(frozen=True, slots=True)
class StandardisedFile:
    """What became of a raw file: the standard one that was made of it, or the error that kept it from being made."""

    file: Path
    made: Standardised | None
    error: Held | TryAgain | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """What a profile's rules find in a file."""

    file: Path
    findings: Sequence[Finding]

    @property
    def accepted(self) -> bool:
        """Whether an archive of that profile would take it."""
        return all(finding.severity is not Severity.ERROR for finding in self.findings)


def standardise(
    files: Sequence[Path],
    telescope: str,
    into: Path,
    *,
    place: Path | None = None,
    profile: str = "",
    dialect: str = "",
    program: str = "",
    dry_run: bool = False,
) -> Iterator[StandardisedFile]:
    """Make of raw files the files that an archive accepts, in order of their start; one bad file costs no other.

    ``telescope`` is one of the configuration at ``place`` (None: the usual one) or a preset. A ``profile``, a
    ``dialect`` and an observing ``program`` come before the telescope's. Raises `Misconfigured` before the first.
    """
    settings = header_settings_for(telescope, place=place, program=program)
    settings = replace(settings, profile=profile or settings.profile, dialect=dialect or settings.dialect)
    settings.loaded()  # a wrong profile is told before anything is written
    if not dry_run:
        folder_for(into)
    for file in sorted(files, key=lambda file: start_of(file, settings)):
        try:
            made = draft_file(file, settings) if dry_run else standardise_file(file, into, settings)
        except (Held, TryAgain) as err:
            yield StandardisedFile(file, None, err)
        else:
            yield StandardisedFile(file, made)


def validate(
    files: Sequence[Path], profile: str = "eso", *, telescope: str = "", place: Path | None = None, gate: bool = True
) -> Iterator[Validated]:
    """Judge files by a profile's rules; with a telescope, also by what the configuration at ``place`` says of it.

    ``gate``: fitsverify is asked, too, where it is installed.
    """
    settings = header_settings_for(telescope, place=place) if telescope else Settings(Context(), profile)
    own = (place or config_path()).absolute().parent / "profiles"
    rules = load_profile(profile, own)
    names = Counter(file.name for file in files)
    for file in files:
        siblings = (file.name,) if names[file.name] > 1 else ()
        yield Validated(file, validate_file(file, rules, settings.context, siblings=siblings, gate=gate, profiles=own))
