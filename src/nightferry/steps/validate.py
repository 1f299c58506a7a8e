"""Validate: judge a frame by every rule of its archive's profile, before the archive does."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nightferry.core.context import Context, context_settings
from nightferry.core.errors import Misconfigured, TryAgain
from nightferry.core.frame import Fact, Frame
from nightferry.core.instant import instant_of
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import VALIDATE, Recalled
from nightferry.core.version import Settings, version_of
from nightferry.disk.errors import translated
from nightferry.headers.canonical import Finding, Severity
from nightferry.headers.profiles import Profile, load_profile, profile_settings
from nightferry.headers.profiles.former import context_text, former_version, profile_text
from nightferry.headers.rules import fitsverify, judge, read_subject


def validate_file(
    path: Path,
    profile: Profile,
    context: Context | None = None,
    *,
    name: str = "",
    sources: tuple[int, ...] = (),
    siblings: tuple[str, ...] = (),
    gate: bool = True,
    profiles: Path | None = None,
) -> list[Finding]:
    """Judge one file, read once; ``gate`` has fitsverify judge it too. Cubes have a profile of their own.

    ``name`` is what it is called in the archive, where that is not its own; ``sources`` are the data sums of the
    frame that it was made of. Raises `Misconfigured` for a file that is not there.
    """
    if not path.is_file():
        raise Misconfigured(f"{path}: there is no such file")
    with translated(path, "the frame"):
        now = instant_of(datetime.now(UTC))
        subject = read_subject(
            path, profile, context or Context(), now, name=name or path.name, sources=sources, siblings=siblings
        )
    if subject.is_cube and profile.cube:
        subject = replace(subject, profile=load_profile(profile.cube, profiles))
    findings = list(judge(subject))
    if gate and not subject.problem:
        findings += fitsverify(path)
    return findings


@dataclass(frozen=True, slots=True)
class Validate:
    """The step: errors hold a frame, warnings go with it in the receipt. Its input are standard frames."""

    profile: Profile
    context: Context = field(default_factory=Context)
    gate: bool = True
    profiles: Path | None = None
    name: str = VALIDATE
    target: str = ""
    form: str = field(default="1", repr=False)

    version: str = field(init=False)
    former: str = field(init=False)

    def __post_init__(self) -> None:
        """Work the versions out once: they change with the step, the profile, and what is known of the telescope."""
        object.__setattr__(self, "version", version_of(self.form, self._settings()))
        former = former_version(profile_text(self.profile), context_text(self.context), str(self.gate))
        object.__setattr__(self, "former", former)

    def _settings(self) -> Settings:
        """Return what decides whether a frame is good; cubes have a profile of their own."""
        cube = self.profile.cube
        return {
            "context": context_settings(self.context),
            "profile": profile_settings(self.profile),
            "cube": profile_settings(load_profile(cube, self.profiles)) if cube else None,
            "fitsverify": self.gate,
        }

    def recall(self, frame: Frame, receipt: Receipt) -> Recalled:
        """Return whether these bytes were found good before."""
        return Recalled(frame, receipt.digest == frame.digest)

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Judge each frame."""
        for frame in batch:
            began = time.perf_counter()
            sums = str(frame.facts.get("datasum", "")).split()
            try:
                findings = validate_file(
                    frame.file,
                    self.profile,
                    self.context,
                    name=frame.name.rpartition("/")[2],
                    sources=tuple(int(text) for text in sums),
                    gate=self.gate,
                    profiles=self.profiles,
                )
            except (TryAgain, Misconfigured) as err:
                yield Result(frame, Outcome.FAILED, str(err), {}, None, time.perf_counter() - began)
                continue
            yield _result(frame, findings, time.perf_counter() - began)


def _result(frame: Frame, findings: Sequence[Finding], seconds: float) -> Result:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    warnings = [finding for finding in findings if finding.severity is Severity.WARNING]
    proof: dict[str, Fact] = {"errors": len(errors), "warnings": "; ".join(map(str, warnings))}
    if errors:
        return Result(frame, Outcome.HELD, "; ".join(map(str, errors)), proof, None, seconds)
    return Result(frame, Outcome.DONE, "", proof, frame, seconds)
