"""Alerts: what people are told, when, and what became of telling them.

A `Condition` is something that may go wrong, named by its key. Whoever looks says whether it is so now; `turn`
decides what that means for people. What they are told waits in the outbox until every channel has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

#: A condition that comes and goes is raised again after this many seconds at the earliest.
RAISE_AGAIN = 6 * 3600
#: So long a sender may take, in seconds; when it has not answered by then, its process is taken for dead.
LEASE = 300
#: More than this many alerts of one look are told in one message, and each of them is addressed to `TOGETHER`.
MANY = 5
TOGETHER = "together"
_SECOND = 1_000_000


class Kind(StrEnum):
    """What an entry of the outbox says."""

    NOTICED = "noticed"  #: it is so, but not for long yet: nobody is told
    RAISED = "raised"  #: it is so, and people are told
    RESOLVED = "resolved"  #: it is over, and people are told
    PASSED = "passed"  #: it was over before anybody was told
    DIGEST = "digest"  #: a summary, of a night or of many alerts at once
    TEST = "test"  #: somebody wants to see one arrive


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that may be wrong. ``active`` is None where a look does not tell.

    ``patience`` is for how many seconds it must last before people are told.
    """

    key: str
    active: bool | None
    title: str = ""
    body: str = ""
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class Alert:
    """One entry of the outbox; ``channels`` are the references of those it is addressed to."""

    number: int
    key: str
    kind: Kind
    title: str
    body: str
    at_us: int
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """What the outbox says of a condition: its last entry, and when it was last raised (0: never)."""

    last: Alert | None = None
    raised_us: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """An alert on its way to one channel.

    ``tries`` counts those that failed; ``again`` is true when a try was begun and nobody knows how it ended;
    ``mark`` is the outbox's own, by which two senders do not send one letter at once.
    """

    alert: Alert
    channel: str
    tries: int = 0
    again: bool = False
    next_try_us: int = 0
    mark: int = 0
    sent_us: int = 0
    reason: str = ""


def turn(condition: Condition, past: Past, now_us: int) -> Kind | None:
    """Return what a look at a condition means: an entry of this kind, or None for nothing new."""
    last = past.last.kind if past.last else None
    if condition.active is None:
        return None
    if not condition.active:
        return {Kind.RAISED: Kind.RESOLVED, Kind.NOTICED: Kind.PASSED}.get(last) if last else None
    if last is Kind.RAISED:
        return None
    since_us = past.last.at_us if past.last and last is Kind.NOTICED else now_us
    early = now_us < since_us + condition.patience * _SECOND
    often = past.raised_us and now_us < past.raised_us + RAISE_AGAIN * _SECOND
    if not (early or often):
        return Kind.RAISED
    return None if last is Kind.NOTICED else Kind.NOTICED


class Outbox(Protocol):
    """Where alerts wait until they are told; append-only, in the ledger. Safe to use from several threads."""

    def follow(self, conditions: Sequence[Condition], channels: Sequence[str], now_us: int) -> Sequence[Alert]:
        """Write down what a look at conditions means; tell what was raised or resolved by it.

        More than `MANY` of those are told people in one message.
        """
        ...

    def post(self, alert: Alert) -> bool:
        """Write down an alert unless one of its key is there already; whether it was."""
        ...

    def standing(self) -> Sequence[Alert]:
        """Return the alerts that were raised and are not resolved, oldest first."""
        ...

    def letters(self, limit: int) -> Sequence[Letter]:
        """Return the newest alerts that people are told, newest first, a letter for each channel."""
        ...

    def due(self, channel: str, now_us: int, *, hurry: bool = False) -> Sequence[Letter]:
        """Return what is to be sent to a channel now, oldest first; ``hurry`` does not wait for back-offs to end."""
        ...

    def begin(self, letter: Letter, now_us: int) -> bool:
        """Claim a letter before sending it; False when somebody else has it."""
        ...

    def answer(self, letter: Letter, reason: str, now_us: int) -> None:
        """Write down that a letter was sent (an empty reason), or why it was not."""
        ...
