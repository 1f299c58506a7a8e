"""``standardise`` and ``validate``: headers made and judged, on any files, without a ledger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import typer

from nightferry.assemble import header_settings
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.show import Json, say, say_json
from nightferry.config import config_path, find_telescope
from nightferry.core.context import Context
from nightferry.core.errors import Held, Misconfigured, TryAgain
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.profiles import load_profile
from nightferry.steps.standardise_files import Settings, Standardised, draft_file, standardise_file, start_of
from nightferry.steps.validate import validate_file

_STYLES = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "dim"}


class Wanted(NamedTuple):
    """What the options of ``standardise`` ask for."""

    telescope: str
    into: Path
    profile: str | None
    dialect: str | None
    program: str
    diff: bool
    dry_run: bool
    as_json: bool


def settings_of(config: Path | None, telescope: str, program: str = "") -> Settings:
    """Return a telescope's settings: by its name in the configuration, else by that of a preset."""
    found = find_telescope(config, telescope)
    return header_settings(replace(found, program=program or found.program))


def standardise_command(config: Path | None, files: Sequence[Path], wanted: Wanted) -> None:
    """Standardise files one by one, names given in order of their start; one bad file never costs another."""
    settings = settings_of(config, wanted.telescope, wanted.program)
    settings = replace(
        settings,
        profile=wanted.profile or settings.profile,
        dialect=wanted.dialect or settings.dialect,
    )
    settings.loaded()  # a wrong profile is told before anything is written
    if not wanted.dry_run:
        if not wanted.into.parent.is_dir():
            raise Misconfigured(f"{wanted.into}: there is no folder {wanted.into.parent}; is its disk mounted?")
        wanted.into.mkdir(exist_ok=True)
    code = DONE
    for file in sorted(files, key=lambda file: start_of(file, settings)):
        try:
            done = draft_file(file, settings) if wanted.dry_run else standardise_file(file, wanted.into, settings)
        except (Held, TryAgain) as err:
            code = HELD if isinstance(err, Held) or code == HELD else FAILED
            _tell_refused(file, str(err), as_json=wanted.as_json)
        else:
            _tell_done(file, done, wanted)
    raise typer.Exit(code)


def _tell_refused(file: Path, reason: str, *, as_json: bool) -> None:
    if as_json:
        say_json(
            {"file": str(file), "outcome": "held", "product": None, "reason": reason, "findings": [], "changes": []}
        )
    else:
        say(f"{file}: held: {reason}", "red")


def _tell_done(file: Path, done: Standardised, wanted: Wanted) -> None:
    if wanted.as_json:
        changes: list[Json] = [
            {"keyword": change.keyword, "before": change.before, "after": change.after} for change in done.changes
        ]
        say_json(
            {
                "file": str(file),
                "outcome": "done",
                "product": None if wanted.dry_run else str(done.file),
                "name": done.name,
                "dialect": done.dialect,
                "reason": "",
                "findings": [_finding_json(finding) for finding in done.findings],
                "changes": changes,
            }
        )
        return
    say(f"{file} -> {done.name}{' (was there)' if done.was_there else ''}")
    for finding in done.findings:
        if finding.severity is not Severity.INFO or wanted.diff:
            say(f"    {finding.severity}: {finding}", _STYLES[finding.severity])
    if wanted.diff:
        for change in done.changes:
            say(f"    {change}")


def validate_command(
    config: Path | None, files: Sequence[Path], *, profile: str, telescope: str, gate: bool, as_json: bool
) -> None:
    """Judge files by a profile's rules; with a telescope, also by what the configuration says of it."""
    settings = settings_of(config, telescope) if telescope else Settings(Context(), profile)
    own = (config or config_path()).absolute().parent / "profiles"
    rules = load_profile(profile, own)
    names = Counter(file.name for file in files)
    worst = DONE
    for file in files:
        siblings = (file.name,) if names[file.name] > 1 else ()
        findings = validate_file(file, rules, settings.context, siblings=siblings, gate=gate, profiles=own)
        if any(finding.severity is Severity.ERROR for finding in findings):
            worst = HELD
        _tell_findings(file, findings, as_json=as_json)
    raise typer.Exit(worst)


def _tell_findings(file: Path, findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        for finding in findings:
            say_json({"file": str(file), **_finding_json(finding)})
        return
    grave = [finding for finding in findings if finding.severity is not Severity.INFO]
    say(f"{file}: {'good' if not grave else f'{len(grave)} findings'}", "" if grave else "green")
    for finding in findings:
        say(f"    {finding.severity}: {finding}", _STYLES[finding.severity])


def _finding_json(finding: Finding) -> dict[str, Json]:
    return {
        "rule": finding.rule,
        "severity": str(finding.severity),
        "keyword": finding.keyword,
        "got": finding.got,
        "expected": finding.expected,
    }
