"""Receipts of a pass: the one place that makes them, with the time and the machine."""

import platform
import time
from collections.abc import Mapping
from functools import cache

from nightferry.core.frame import Digest, Fact, FrameId
from nightferry.core.night import Night
from nightferry.core.receipt import Outcome, Receipt, Result
from nightferry.core.step import Stage

_LONGEST_REASON = 2000
_NO_FACTS: Mapping[str, Fact] = {}


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


def noted(
    frame: FrameId,
    night: Night,
    step: str,
    outcome: Outcome,
    reason: str = "",
    *,
    version: str = "1",
    target: str = "",
    digest: Digest | None = None,
    proof: Mapping[str, Fact] = _NO_FACTS,
    seconds: float = 0.0,
) -> Receipt:
    """Make the receipt of what was found or decided just now, without a step that was called on the frame."""
    return Receipt(
        frame, night, step, version, outcome, reason, target, digest, proof, now_us(), seconds, host_name()
    )  # fmt: skip


def now_us() -> int:
    """Return the time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


@cache
def host_name() -> str:
    """Return this machine's name, as receipts have it."""
    return platform.node()
