"""Attempt: call a step on a batch and answer for every input, whatever happens."""

import platform
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from nightferry.core.errors import Held, NightferryError, Stopped
from nightferry.core.frame import Fact, Frame, FrameId, Sighting
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import Stage, Step

Input = TypeVar("Input", Sighting, Frame)

_LONGEST_REASON = 2000
_LONGEST_TRACE = 8000


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a step answered. ``trouble`` is an error that concerned more than one input."""

    results: Sequence[Result]
    trouble: NightferryError | None = None


def attempt(step: Step[Input], batch: Sequence[Input]) -> Attempt:
    """Call the step; inputs that it gave no answer for share the error that ended it.

    This is the project's one broad ``except``: whatever is not foreseen is our own bug, and becomes a receipt
    that says so, with its traceback, while the rest of the night goes on.
    """
    results: list[Result] = []
    trouble: NightferryError | None = None
    outcome, reason = Outcome.FAILED, "the step ended without an answer for this frame"
    proof: dict[str, Fact] = {}
    try:
        results.extend(step(batch))
    except Stopped as err:
        return Attempt(results, err)
    except Held as err:
        outcome, reason, trouble = Outcome.HELD, str(err), err
    except NightferryError as err:
        reason, trouble = str(err), err
    except Exception as err:  # noqa: BLE001 - the one place, see above
        outcome, reason = Outcome.BROKEN, f"a bug in nightferry: {type(err).__name__}: {err}"
        proof = {"traceback": "".join(traceback.format_exception(err))[-_LONGEST_TRACE:]}
    answered = {result.source.id for result in results}
    results.extend(Result(item, outcome, reason, proof) for item in batch if item.id not in answered)
    return Attempt(results, trouble)


def receipt_of(
    result: Result, step: Stage, started_us: int, *, frame: FrameId | None = None, version: str = ""
) -> Receipt:
    """Make the receipt of one answer; ``frame`` is whom it is about where that is not the step's own input."""
    return Receipt(
        frame=frame or result.source.id,
        night=result.source.night,
        step=step.name,
        version=version or step.version,
        outcome=result.outcome,
        reason=result.reason[:_LONGEST_REASON],
        target=step.target,
        digest=result.product.digest if result.product else None,
        proof=result.proof,
        started_us=started_us,
        seconds=result.seconds,
        host=host_name(),
    )


@cache
def host_name() -> str:
    """Name this machine in receipts."""
    return platform.node()
