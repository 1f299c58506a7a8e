"""Standardise: make standard frames of raw ones, on the shelf; `standardise_files` has what it does with one file.

A product lies under the raw frame's identity and its own, so that no name from outside becomes a path here, and a
product of other settings never stands in for this one. Its name in archives is claimed for the raw frame
(`nightferry.steps.claims`). What was made once is made alike again, with the same DATE and name, when the shelf lost
it: every archive gets the same bytes.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from nightferry.core.context import context_settings
from nightferry.core.errors import Changed, Held, NightferryError, NoSpace, TryAgain
from nightferry.core.frame import Fact, Frame, FrameId, Role, fingerprint
from nightferry.core.instant import Instant, instant_of, parse_instant
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import STANDARDISE, Recalled
from nightferry.core.version import Setting, version_of
from nightferry.core.version import Settings as Named
from nightferry.cubes import Settings as Reading
from nightferry.cubes import no_traits, read_source
from nightferry.disk.errors import translated
from nightferry.disk.files import WholeFile, land, make_folders, part_of
from nightferry.formats.rewrite import Rewritten, rewrite
from nightferry.headers.canonical import Severity
from nightferry.headers.dialects import dialect_settings, evidence_settings, load_dialect, load_dialects
from nightferry.headers.profiles import Made, profile_settings
from nightferry.headers.profiles.former import context_text, dialects_text, former_version, profile_text
from nightferry.steps.claims import claim
from nightferry.steps.products import NAMES, TRAITS, named_beside, place_of, product_of
from nightferry.steps.rebuild import digest_of
from nightferry.steps.shelf import Shelf
from nightferry.steps.standardise_files import MOST_BUMPS, Draft, Settings, changes_between, draft_of, made_of

#: The fact that holds a plate solution's cards, as 80-column text, one a line; they replace the raw header's.
SOLUTION = "solution"
#: The facts that say how a product was made that is to be made alike again.
_WRITTEN, _BUMP = "standardise.written", "standardise.bump"


def standard_settings(settings: Settings) -> Named:
    """Return what decides how a raw frame becomes a standard frame; all dialects count where none is named."""
    told: dict[str, Setting] = {
        "context": context_settings(settings.context),
        "profile": profile_settings(settings.loaded()),
    }
    if settings.dialect:
        return {**told, "dialect": dialect_settings(load_dialect(settings.dialect, settings.dialects))}
    known = load_dialects(settings.dialects)
    return {**told, "dialects": [{**dialect_settings(one), **evidence_settings(one)} for one in known]}


def _former_version(settings: Settings) -> str:
    texts = context_text(settings.context), profile_text(settings.loaded())
    return former_version(*texts, dialects_text(load_dialects(settings.dialects), settings.dialect), settings.dialect)


@dataclass(slots=True)
class _Draft:
    """A product that is written, and not landed yet."""

    frame: Frame
    draft: Draft
    made: Made
    written: Rewritten
    bump: int
    stamp: Instant
    file: FileIO
    place: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class Standardise:
    """The step. Its input are raw frames on the shelf, its products standard frames beside them."""

    shelf: Shelf
    settings: Settings
    name: str = STANDARDISE
    target: str = ""
    form: str = field(default="1", repr=False)

    version: str = field(init=False)
    former: str = field(init=False)

    def __post_init__(self) -> None:
        """Work the versions out once: they change with the step, its settings, and the files of dialect and profile."""
        object.__setattr__(self, "version", version_of(self.form, standard_settings(self.settings)))
        object.__setattr__(self, "former", _former_version(self.settings))

    def recall(self, frame: Frame, receipt: Receipt) -> Recalled:
        """Return the product that is on the shelf, or how the one that was is made again."""
        product = product_of(self.shelf, frame, receipt)
        if product is None:
            return Recalled(frame, done=False)
        try:
            if product.file.stat().st_size == product.size:
                return Recalled(product, done=True)
        except OSError:
            pass
        memory: dict[str, Fact] = {_WRITTEN: receipt.proof.get("written"), _BUMP: receipt.proof.get("bump")}
        return Recalled(replace(frame, facts={**frame.facts, **memory}), done=False)

    def __call__(self, batch: Sequence[Frame]) -> Iterator[Result]:
        """Standardise each frame and make all of them durable together, names given in order of start.

        Raises `NoSpace` for the rest of the batch.
        """
        drafts: list[_Draft] = []
        results: dict[FrameId, Result] = {}
        version = self.version
        trouble: NoSpace | None = None
        with ExitStack() as files:
            for frame in sorted(batch, key=self._order) if len(batch) > 1 else batch:
                began = time.perf_counter()
                try:
                    drafts.append(self._draft(frame, version, files, began))
                except NoSpace as err:
                    trouble = err
                    break
                except (Held, TryAgain) as err:
                    outcome = Outcome.HELD if isinstance(err, Held) else Outcome.FAILED
                    results[frame.id] = Result(frame, outcome, str(err), {}, None, time.perf_counter() - began)
            with translated(self.shelf.root, "the shelf"):
                answers = land([(draft.file, draft.place) for draft in drafts])
        for draft, answer in zip(drafts, answers, strict=True):
            if answer is None:
                results[draft.frame.id] = self._result(draft, version)
            elif isinstance(answer, TryAgain) and not isinstance(answer, NoSpace):
                results[draft.frame.id] = Result(draft.frame, Outcome.FAILED, str(answer), {}, None, draft.seconds)
            else:
                raise answer
        yield from (results[frame.id] for frame in batch if frame.id in results)
        if trouble is not None:
            raise trouble

    def _order(self, frame: Frame) -> tuple[int, int, str]:
        """Return what frames are sorted by before names are given: start, then name; unreadable ones come last."""
        try:
            with frame.file.open("rb", buffering=0) as file:
                start = draft_of(file, _raw_name(frame), self.settings).reading.canonical.start
        except (NightferryError, OSError):
            start = None
        return (1 << 40, 0, frame.name) if start is None else (start.day, start.micro, frame.name)

    def _draft(self, frame: Frame, version: str, files: ExitStack, began: float) -> _Draft:
        """Write one product under the name of a part."""
        profile = self.settings.loaded()
        stamp = _stamp(frame)
        context = replace(self.settings.context, written=stamp)
        folder = self.shelf.folder(frame.night)
        self.shelf.require_room(frame.size, onward=True)
        with translated(frame.file, "the raw frame"):
            source = files.enter_context(frame.file.open("rb", buffering=0))
        draft = draft_of(source, _raw_name(frame), self.settings, solution=str(frame.facts.get(SOLUTION) or ""))
        remembered = frame.facts.get(_BUMP)
        first = remembered if isinstance(remembered, int) else 0
        behind = source.tell()
        for bump in range(first, MOST_BUMPS + 1):
            made = made_of(draft, context, profile, bump)
            if profile.name.keep or claim(folder / NAMES, made.name, frame.id):
                break
            if not profile.name.bump:
                raise Held(f"V19 {draft.raw_name}: another frame has the name {made.name}")
        else:
            raise Held(f"V19 {draft.raw_name}: more than {MOST_BUMPS} frames claim the second of its start")
        place = place_of(self.shelf, frame, self._product(frame, version))
        with translated(place, "the shelf"):
            make_folders(place.parent)
            file = files.enter_context(WholeFile(part_of(place), "w+"))
            try:
                source.seek(behind)
                written = rewrite(source, file, draft.unit, [card.raw for card in made.cards])
                _require_same(frame, written)
            except NightferryError:
                file.close()
                Path(part_of(place)).unlink(missing_ok=True)
                raise
        return _Draft(frame, draft, made, written, bump, stamp, file, place, time.perf_counter() - began)

    def _result(self, made: _Draft, version: str) -> Result:
        began = time.perf_counter()
        frame, name = made.frame, made.made.name or made.draft.raw_name
        digest = digest_of(made.place)
        traits = _traits(made.place, name)
        product = Frame(
            self._product(frame, version),
            digest,
            made.written.size,
            frame.night,
            named_beside(frame, name),
            Role.STANDARD,
            made.place,
            {"datasum": _sums(made.written), "dialect": made.draft.dialect, "name": name, TRAITS: traits},
            (frame.id,),
        )
        findings = (*made.draft.reading.findings, *made.made.findings)
        warnings = [str(finding) for finding in findings if finding.severity is Severity.WARNING]
        changes = changes_between(made.draft.unit.cards, made.made.cards)
        proof: dict[str, Fact] = {
            "name": name,
            "product": product.id,
            "size": product.size,
            "dialect": made.draft.dialect,
            "datasum": _sums(made.written),
            "written": made.stamp.iso(6),
            "bump": made.bump,
            TRAITS: traits,
            "warnings": "; ".join(warnings),
            "changes": json.dumps([[change.keyword, change.before, change.after] for change in changes]),
            "recipe": made.written.recipe,
        }
        return Result(frame, Outcome.DONE, "", proof, product, made.seconds + time.perf_counter() - began)

    def _product(self, frame: Frame, version: str) -> FrameId:
        """Return a product's identity: it follows from its parent's and the step's version."""
        return FrameId(fingerprint(self.name, version, frame.id))


def _traits(product: Path, name: str) -> str:
    """Return a product's traits, or why it can be no plane of a cube, which is no fault of its own."""
    try:
        return read_source(product, Reading(), name=name).traits.text()
    except Held as err:
        return no_traits(str(err))


def _sums(written: Rewritten) -> str:
    return " ".join(map(str, written.datasums))


def _raw_name(frame: Frame) -> str:
    return frame.name.rpartition("/")[2]


def _stamp(frame: Frame) -> Instant:
    """Return the time of writing: now, or when the product was made that is made again."""
    told = frame.facts.get(_WRITTEN)
    return parse_instant(told)[0] if isinstance(told, str) else instant_of(datetime.now(UTC))


def _require_same(frame: Frame, written: Rewritten) -> None:
    """Compare what was copied with what arrived, which the pull added up in flight; raise `Changed` if it differs."""
    arrived = frame.facts.get("datasum")
    if not isinstance(arrived, str) or len(arrived.split()) != len(written.datasums) or arrived == _sums(written):
        return
    frame.file.unlink(missing_ok=True)
    raise Changed(
        f"{frame.name}: the working file has DATASUM {_sums(written)}, and {arrived} arrived; it is pulled anew"
    )
