"""The outbox: alerts and what became of sending them, in the ledger's database."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from sqlalchemy import Connection, Row, func, insert, select

from nightferry.core.alert import LEASE, MANY, TOGETHER, Alert, Condition, Kind, Letter, Past, turn
from nightferry.core.balance import backoff_us
from nightferry.ledger.database import Database
from nightferry.ledger.schema import alerts, mailings

_TOLD = (Kind.RAISED.value, Kind.RESOLVED.value, Kind.DIGEST.value, Kind.TEST.value)
_NEWS = frozenset({Kind.RAISED, Kind.RESOLVED})
_LAST_OF_KEYS = select(func.max(alerts.c.seq)).group_by(alerts.c.key).scalar_subquery()


@dataclass(frozen=True, slots=True)
class SqlOutbox:
    """The outbox of a database; the contract is `core.alert.Outbox`'s, the errors are the ledger's."""

    database: Database

    def follow(self, conditions: Sequence[Condition], channels: Sequence[str], now_us: int) -> list[Alert]:
        """Write down what a look at conditions means; tell what was raised or resolved by it.

        More than `MANY` of those are told people in one message.
        """
        with self.database.reading() as connection:  # mostly nothing is new, and that takes no lock
            if not _entries(connection, conditions, now_us):
                return []
        with self.database.writing() as connection:
            entries = _entries(connection, conditions, now_us)
            told = [Alert(0, one.key, kind, title, body, now_us) for one, kind, title, body in entries if kind in _NEWS]
            together = bool(channels) and len(told) > MANY
            to = (TOGETHER,) if together else tuple(channels)
            made = [
                _append(connection, Alert(0, one.key, kind, title, body, now_us, to))
                for one, kind, title, body in entries
            ]
            if together:
                _append(connection, _summary(told, channels))
        return [alert for alert in made if alert.kind in _NEWS]

    def post(self, alert: Alert) -> bool:
        """Write down an alert unless one of its key is there already; whether it was."""
        asked = select(alerts.c.seq).where(alerts.c.key == alert.key).limit(1)
        with self.database.reading() as connection:
            if connection.execute(asked).first() is not None:
                return False
        with self.database.writing() as connection:
            if connection.execute(asked).first() is not None:
                return False
            _append(connection, alert)
        return True

    def standing(self) -> list[Alert]:
        """Return the alerts that were raised and are not resolved, oldest first."""
        raised = alerts.c.kind == Kind.RAISED.value
        asked = select(alerts).where(alerts.c.seq.in_(_LAST_OF_KEYS), raised).order_by(alerts.c.seq)
        with self.database.reading() as connection:
            return [_alert(row) for row in connection.execute(asked)]

    def letters(self, limit: int) -> list[Letter]:
        """Return the newest alerts that people are told, newest first, a letter for each channel."""
        asked = select(alerts).where(alerts.c.kind.in_(_TOLD)).order_by(alerts.c.seq.desc()).limit(limit)
        with self.database.reading() as connection:
            rows = [_alert(row) for row in connection.execute(asked)]
            tries = _tries(connection, [alert.number for alert in rows])
        return [
            _letter(alert, channel, tries[alert.number, channel])
            for alert in rows
            for channel in alert.channels or ("",)
        ]

    def due(self, channel: str, now_us: int, *, hurry: bool = False) -> list[Letter]:
        """Return what is to be sent to a channel now, oldest first; ``hurry`` does not wait for back-offs to end."""
        sent = select(mailings.c.alert).where(mailings.c.channel == channel, mailings.c.outcome == "sent")
        asked = select(alerts).where(alerts.c.kind.in_(_TOLD), alerts.c.seq.not_in(sent)).order_by(alerts.c.seq)
        with self.database.reading() as connection:
            rows = [_alert(row) for row in connection.execute(asked)]
            mine = [alert for alert in rows if channel in alert.channels]
            tries = _tries(connection, [alert.number for alert in mine])
        letters = [_letter(alert, channel, tries[alert.number, channel]) for alert in mine]
        # one that was begun and not answered is somebody else's until its lease ends
        return [one for one in letters if one.next_try_us <= now_us or (hurry and one.reason)]

    def begin(self, letter: Letter, now_us: int) -> bool:
        """Claim a letter before sending it; False when somebody else has it."""
        with self.database.writing() as connection:
            last = _last_try(connection, letter)
            if last != letter.mark:
                return False
            _mail(connection, letter, "begun", "", now_us)
        return True

    def answer(self, letter: Letter, reason: str, now_us: int) -> None:
        """Write down that a letter was sent (an empty reason), or why it was not."""
        with self.database.writing() as connection:
            _mail(connection, letter, "failed" if reason else "sent", reason, now_us)


def _entries(
    connection: Connection, conditions: Sequence[Condition], now_us: int
) -> list[tuple[Condition, Kind, str, str]]:
    """Return the new entries that conditions ask for: kind, title and text of each."""
    found = []
    under_way = (Kind.RAISED.value, Kind.NOTICED.value)
    asked = select(alerts).where(alerts.c.seq.in_(_LAST_OF_KEYS), alerts.c.kind.in_(under_way))
    known = {row.key: _alert(row) for row in connection.execute(asked)}
    for one in conditions:
        last = known.get(one.key)
        if not one.active and last is None:  # the plain case: all is well, and was
            continue
        past = Past(last) if last and last.kind is Kind.RAISED else _past(connection, one.key)
        kind = turn(one, past, now_us)
        if kind is None:
            continue
        title, body = one.title, one.body
        if kind in {Kind.RESOLVED, Kind.PASSED} and past.last is not None:
            title = f"over: {past.last.title}"
            body = f"It lasted from {_clock(past.last.at_us)} to {_clock(now_us)}. It was:\n{past.last.body}"
        found.append((one, kind, title, body))
    return found


def _summary(told: Sequence[Alert], channels: Sequence[str]) -> Alert:
    """Make one message of many."""
    first, others = told[0], len(told) - 1
    body = "\n\n".join(f"{alert.title}\n{alert.body}" for alert in told)
    title = f"{first.title}, and {others:,} more"
    return Alert(0, f"several/{first.at_us}", Kind.DIGEST, title, body, first.at_us, tuple(channels))


def _clock(at_us: int) -> str:
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _past(connection: Connection, key: str) -> Past:
    mine = alerts.c.key == key
    last = connection.execute(select(alerts).where(mine).order_by(alerts.c.seq.desc()).limit(1)).one_or_none()
    raised = select(func.max(alerts.c.at_us)).where(mine, alerts.c.kind == Kind.RAISED.value)
    return Past(_alert(last) if last else None, connection.execute(raised).scalar() or 0)


def _append(connection: Connection, alert: Alert) -> Alert:
    seq = int(connection.execute(select(func.coalesce(func.max(alerts.c.seq), 0))).scalar_one()) + 1
    row = {
        "seq": seq,
        "key": alert.key,
        "kind": alert.kind.value,
        "title": alert.title,
        "body": alert.body,
        "channels": json.dumps(list(alert.channels)),
        "at_us": alert.at_us,
    }
    connection.execute(insert(alerts), row)
    return Alert(seq, alert.key, alert.kind, alert.title, alert.body, alert.at_us, alert.channels)


def _alert(row: Row[tuple[object, ...]]) -> Alert:
    return Alert(row.seq, row.key, Kind(row.kind), row.title, row.body, row.at_us, tuple(json.loads(row.channels)))


_Try = tuple[int, str, str, int]  # number, outcome, reason, when


def _tries(connection: Connection, numbers: Sequence[int]) -> dict[tuple[int, str], list[_Try]]:
    """Return the tries of alerts by alert and channel, oldest first."""
    found: dict[tuple[int, str], list[_Try]] = defaultdict(list)
    for start in range(0, len(numbers), 400):
        asked = select(mailings).where(mailings.c.alert.in_(numbers[start : start + 400])).order_by(mailings.c.seq)
        for row in connection.execute(asked):
            found[row.alert, row.channel].append((row.seq, row.outcome, row.reason, row.at_us))
    return found


def _letter(alert: Alert, channel: str, tries: Sequence[_Try]) -> Letter:
    if not tries:
        return Letter(alert, channel)
    mark, outcome, reason, at_us = tries[-1]
    failures = sum(one[1] == "failed" for one in tries)
    again = any(one[1] == "begun" and other[1] == "begun" for one, other in pairwise(tries))
    wait = LEASE * 1_000_000 if outcome == "begun" else backoff_us(failures)
    again = again or outcome == "begun"
    sent_us = at_us if outcome == "sent" else 0
    return Letter(alert, channel, failures, again, at_us + wait, mark, sent_us, reason)


def _last_try(connection: Connection, letter: Letter) -> int:
    mine = (mailings.c.alert == letter.alert.number, mailings.c.channel == letter.channel)
    return int(connection.execute(select(func.coalesce(func.max(mailings.c.seq), 0)).where(*mine)).scalar_one())


def _mail(connection: Connection, letter: Letter, outcome: str, reason: str, now_us: int) -> None:
    seq = int(connection.execute(select(func.coalesce(func.max(mailings.c.seq), 0))).scalar_one()) + 1
    row = {
        "seq": seq,
        "alert": letter.alert.number,
        "channel": letter.channel,
        "outcome": outcome,
        "reason": reason,
        "at_us": now_us,
    }
    connection.execute(insert(mailings), row)
