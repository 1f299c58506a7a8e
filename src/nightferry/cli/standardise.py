"""``standardise``, ``validate``: headers made and judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nightferry import api
from nightferry.cli.exits import DONE, FAILED, HELD
from nightferry.cli.options import DryRunOption, JsonOption, ProgramOption
from nightferry.cli.show import Json, say, say_json
from nightferry.core.errors import Held

if TYPE_CHECKING:
    from nightferry.headers.canonical import Finding
    from nightferry.steps.standardise_files import Standardised

#: By the severity's name.
_STYLES = {"error": "red", "warning": "yellow", "info": "dim"}


def standardise(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Raw FITS files; they are not changed.")],
    telescope: Annotated[str, typer.Option(help="A telescope of the configuration, or a preset.")],
    into: Annotated[Path, typer.Option(help="The folder for the new files.")],
    profile: Annotated[str | None, typer.Option(help="The archive's profile; else the telescope's.")] = None,
    dialect: Annotated[
        str | None, typer.Option(help="The program that wrote the files; else found by evidence.")
    ] = None,
    program: ProgramOption = None,
    diff: Annotated[bool, typer.Option("--diff", help="Show what became of every keyword.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make of raw files the files that an archive accepts: new headers, the same pixels."""
    code = DONE
    for one in api.standardise(
        files,
        telescope,
        into,
        place=context.obj,
        profile=profile or "",
        dialect=dialect or "",
        program=program or "",
        dry_run=dry_run,
    ):
        if one.made is None:
            code = HELD if isinstance(one.error, Held) or code == HELD else FAILED
            _show_refused(one.file, str(one.error), as_json=as_json)
        elif as_json:
            say_json(_made_json(one.file, one.made, dry_run=dry_run))
        else:
            _show_made(one.file, one.made, diff=diff)
    raise typer.Exit(code)


def _show_refused(file: Path, reason: str, *, as_json: bool) -> None:
    if as_json:
        say_json(
            {"file": str(file), "outcome": "held", "product": None, "reason": reason, "findings": [], "changes": []}
        )
    else:
        say(f"{file}: held: {reason}", "red")


def _made_json(file: Path, done: "Standardised", *, dry_run: bool) -> dict[str, Json]:
    return {
        "file": str(file),
        "outcome": "done",
        "product": None if dry_run else str(done.file),
        "name": done.name,
        "dialect": done.dialect,
        "reason": "",
        "findings": [_finding_json(finding) for finding in done.findings],
        "changes": [
            {"keyword": change.keyword, "before": change.before, "after": change.after} for change in done.changes
        ],
    }


def _show_made(file: Path, done: "Standardised", *, diff: bool) -> None:
    say(f"{file} -> {done.name}{' (was there)' if done.was_there else ''}")
    for finding in done.findings:
        if finding.severity != "info" or diff:
            say(f"    {finding.severity}: {finding}", _STYLES[str(finding.severity)])
    if diff:
        for change in done.changes:
            say(f"    {change}")


def validate(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="FITS files.")],
    profile: Annotated[str, typer.Option(help="Whose rules: eso, library, or your own.")] = "eso",
    telescope: Annotated[str | None, typer.Option(help="Compare also with what is known of this telescope.")] = None,
    fitsverify: Annotated[
        bool, typer.Option("--fitsverify/--no-fitsverify", help="Ask fitsverify too, where it is installed.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Find in a file's header what an archive would refuse."""
    code = DONE
    for one in api.validate(files, profile, telescope=telescope or "", place=context.obj, gate=fitsverify):
        code = code if one.accepted else HELD
        _show_findings(one.file, one.findings, as_json=as_json)
    raise typer.Exit(code)


def _show_findings(file: Path, findings: "Sequence[Finding]", *, as_json: bool) -> None:
    if as_json:
        for finding in findings:
            say_json({"file": str(file), **_finding_json(finding)})
        return
    grave = [finding for finding in findings if finding.severity != "info"]
    say(f"{file}: {'good' if not grave else f'{len(grave)} findings'}", "" if grave else "green")
    for finding in findings:
        say(f"    {finding.severity}: {finding}", _STYLES[str(finding.severity)])


def _finding_json(finding: "Finding") -> dict[str, Json]:
    return {
        "rule": finding.rule,
        "severity": str(finding.severity),
        "keyword": finding.keyword,
        "got": finding.got,
        "expected": finding.expected,
    }
