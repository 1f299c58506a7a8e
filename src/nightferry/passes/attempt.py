"""Attempt: call a step on a batch and answer for every input, whatever happens."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from nightferry.core.errors import Held, Misconfigured, NightferryError, NoSpace, Stopped, Unreachable
from nightferry.core.frame import Fact, Frame, Sighting
from nightferry.core.receipt import Outcome, Result
from nightferry.core.step import Step

Input = TypeVar("Input", Sighting, Frame)

_LONGEST_TRACE = 8000


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a step answered. ``trouble`` is an error that concerned more than one input."""

    results: Sequence[Result]
    trouble: NightferryError | None = None


def attempt(step: Step[Input], batch: Sequence[Input]) -> Attempt:
    """Call the step and return an answer for every input.

    What was foreseen and concerns the whole batch is shared by the inputs without an answer. What was not foreseen may
    be the doing of a single input, so those without an answer are then tried again, each alone: only the input that
    breaks the step alone is broken.
    """
    results: list[Result] = []
    error = _ended(step, batch, results)
    answered = {result.source.id for result in results}
    rest = [item for item in batch if item.id not in answered]
    if len(rest) > 1 and _is_unforeseen(error):
        again: Attempt = _one_by_one(step, rest)
        return Attempt([*results, *again.results], again.trouble)
    answers: list[Result] = [] if isinstance(error, Stopped) else [_answer(item, error) for item in rest]
    return Attempt([*results, *answers], error if isinstance(error, NightferryError) else None)


def _one_by_one(step: Step[Input], rest: Sequence[Input]) -> Attempt:
    """Call the step for each input alone, until one raises what concerns all that are left."""
    results: list[Result] = []
    trouble: NightferryError | None = None
    for place, item in enumerate(rest):
        alone = attempt(step, [item])
        results += alone.results
        if isinstance(alone.trouble, Stopped):
            return Attempt(results, alone.trouble)
        trouble = trouble or alone.trouble
        if isinstance(alone.trouble, (Unreachable, NoSpace, Misconfigured)):
            outcome, reason = alone.results[-1].outcome, alone.results[-1].reason
            results += [Result(other, outcome, reason) for other in rest[place + 1 :]]
            break
    return Attempt(results, trouble)


def _ended(step: Step[Input], batch: Sequence[Input], results: list[Result]) -> Exception | None:
    """Call the step, append its answers to ``results``, and return the error that ended it; None for a good end.

    This is the project's one broad ``except``: whatever is not foreseen becomes a receipt that says so, while the rest
    of the night goes on.
    """
    try:
        results.extend(step(batch))
    except Exception as err:  # noqa: BLE001 - the one place, see above
        return err
    return None


def _is_unforeseen(error: Exception | None) -> bool:
    return error is not None and not isinstance(error, NightferryError)


def _answer(item: Sighting | Frame, error: Exception | None) -> Result:
    """Return the answer for an input without one, from the error that ended its step."""
    if error is None:
        return Result(item, Outcome.FAILED, "the step ended without an answer for this frame")
    if isinstance(error, NightferryError):
        return Result(item, Outcome.HELD if isinstance(error, Held) else Outcome.FAILED, str(error))
    if isinstance(error, OSError):  # never a bug: the world said no where nobody had expected it
        where = f" ({error.filename})" if error.filename else ""
        said = error.strerror or str(error) or type(error).__name__
        return Result(item, Outcome.FAILED, f"the operating system refused{where}: {said}; tried again later")
    proof: dict[str, Fact] = {"traceback": "".join(traceback.format_exception(error))[-_LONGEST_TRACE:]}
    return Result(item, Outcome.BROKEN, f"a bug in nightferry: {type(error).__name__}: {error}", proof)
