"""Alerts of audits: people are told of what one finds, whoever started it: where cron did, nobody reads its output.

One alert for each archive says what an audit found that none found before, so that nothing is said twice, and new
damage is not silent because old damage stands. All of them are over when an audit of that archive finds nothing bad and
nothing is left of what earlier ones found.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from nightferry.core.alert import Alert, Condition
from nightferry.core.audit import Finding, Stranger, Verdict
from nightferry.core.balance import dropped
from nightferry.core.display import counted, display
from nightferry.core.errors import NightferryError
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Ledger

#: Seconds from a bad finding to its alert at the latest, however long the audit goes on.
_SOON = 10.0
#: How many are named in one alert.
_NAMED = 50
_MORE = "... and "


class AuditAlerts:
    """The alerts of one audit, telescope by telescope, and then of the strangers in archives.

    ``archives`` are each telescope's; ``wake`` is called when something was posted to the ledger's outbox.
    """

    def __init__(
        self, ledger: Ledger, channels: Sequence[str], archives: Mapping[str, Sequence[str]], wake: Callable[[], None]
    ) -> None:
        self._ledger, self._channels, self._archives, self._wake = ledger, tuple(channels), archives, wake
        self._new: dict[tuple[str, str], list[Finding]] = {}  # by archive and telescope
        self._bad: set[tuple[str, str]] = set()
        self._posted: dict[str, list[str]] = {}  # the lines of standing alerts, by the beginning of their keys
        self._since = 0.0

    def found(self, telescope: str, finding: Finding) -> None:
        """Take note of a finding; what is bad is posted soon."""
        where = (finding.archive, telescope)
        if finding.verdict is not Verdict.GOOD and not self._is_dropped(finding.proof.frame):
            self._bad.add(where)
            if not self._is_posted(telescope, finding):
                self._since = self._since if self._new else time.monotonic()
                self._new.setdefault(where, []).append(finding)
        if self._new and time.monotonic() - self._since > _SOON:
            self.post()

    def post(self) -> None:
        """Post what was found since the last time."""
        new, self._new = self._new, {}
        self._posted = {}
        self._follow([_of_findings(*where, found) for where, found in new.items()])

    def ended(self, telescope: str, trouble: NightferryError | None) -> None:
        """Post what is left at the end of a telescope's audit, and what is over; ``trouble`` cut it short."""
        self.post()
        what = f"the audit of {telescope} could not be finished"
        conditions = [Condition(f"unaudited/{telescope}", trouble is not None, what, str(trouble))]
        for archive in self._archives[telescope] if trouble is None else ():
            standing = self._standing(_key(archive, telescope))
            if standing and (archive, telescope) not in self._bad and not self._is_doubted(archive, telescope):
                conditions += [Condition(alert.key, active=False) for alert in standing]
        self._follow(conditions)

    def listed(self, archives: Sequence[str], strangers: Sequence[Stranger], trouble: NightferryError | None) -> None:
        """Post which files nobody delivered to these archives; with ``trouble`` not all of them could be listed."""
        what = "archives could not be looked through for files that nobody delivered"
        conditions = [Condition("unaudited/archives", trouble is not None, what, str(trouble))]
        for archive in archives:
            standing = self._standing(f"foreign/{archive}/")
            lines = [_line(one) for one in strangers if one.archive == archive]
            posted = {line for alert in standing for line in alert.body.splitlines()}
            new = [line for line in lines if line not in posted]
            if new and not any(line.startswith(_MORE) for line in posted):
                conditions.append(_of_strangers(archive, new))
            if not lines and trouble is None:
                conditions += [Condition(alert.key, active=False) for alert in standing]
        self._follow(conditions)

    def _is_posted(self, telescope: str, finding: Finding) -> bool:
        """Whether a standing alert names it, or may do so among those that it names no more."""
        key = _key(finding.archive, telescope)
        if key not in self._posted:
            self._posted[key] = [line for alert in self._standing(key) for line in alert.body.splitlines()]
        posted = self._posted[key]
        if any(line.startswith(_MORE) for line in posted) and (finding.proof.doubt or finding.proof.unread):
            return True
        return any(line.startswith(_name_of(finding)) for line in posted)

    def _follow(self, conditions: Sequence[Condition]) -> None:
        if self._ledger.outbox.follow(conditions, self._channels, _now_us()):
            self._wake()

    def _standing(self, prefix: str) -> list[Alert]:
        return [alert for alert in self._ledger.outbox.standing() if alert.key.startswith(prefix)]

    def _is_doubted(self, archive: str, telescope: str) -> bool:
        """Whether anything is left there that an audit found bad."""
        proofs = self._ledger.proofs(telescope, archive, made=True)
        return any((proof.doubt or proof.unread) and not self._is_dropped(proof.frame) for proof in proofs)

    def _is_dropped(self, frame: FrameId) -> bool:
        return dropped(self._ledger.history(frame)) is not None


def _of_findings(archive: str, telescope: str, found: Sequence[Finding]) -> Condition:
    counts = Counter(finding.verdict for finding in found)
    words = ", ".join(f"{count:,} {verdict}" for verdict, count in counts.items())
    lines = [f"{_name_of(finding)}{finding.verdict}: {display(finding.reason)}" for finding in found]
    body = "\n".join([*_first(lines), f"To see what is held: nightferry held {telescope}"])
    title = f"{archive} has not what {telescope} delivered: {words}"
    return Condition(f"{_key(archive, telescope)}{_now_us()}", True, title, body)


def _key(archive: str, telescope: str) -> str:
    return f"audit/{archive}/{telescope}/"


def _name_of(finding: Finding) -> str:
    return f"{display(finding.proof.name)}: "


def _of_strangers(archive: str, lines: Sequence[str]) -> Condition:
    title = f"{archive} has {counted(len(lines), 'file')} that nobody delivered"
    todo = f"Move them away, or say 'shared = true' in [archive.{archive}] if others keep files there."
    return Condition(f"foreign/{archive}/{_now_us()}", True, title, "\n".join([*_first(lines), todo]))


def _first(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _NAMED
    return [*lines[:_NAMED], *([f"{_MORE}{more:,} more"] if more > 0 else [])]


def _line(stranger: Stranger) -> str:
    return f"{display(stranger.name)} ({stranger.size:,} bytes)"


def _now_us() -> int:
    return time.time_ns() // 1000
