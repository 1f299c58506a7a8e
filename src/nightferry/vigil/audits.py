"""What an audit finds is told people, whoever started it: where cron did, nobody reads what it prints.

One alert for each archive tells what an audit found that none found before, so that nothing is told twice, and new
damage is not silent because old damage stands. All of them are over when an audit of that archive finds nothing bad and
nothing is left of what earlier ones found.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from nightferry.alerts import Mailer
from nightferry.config import Config
from nightferry.config.secrets import read_secret
from nightferry.core.alert import Alert, Condition
from nightferry.core.balance import dropped
from nightferry.core.display import counted, display
from nightferry.core.errors import NightferryError
from nightferry.core.frame import FrameId
from nightferry.core.ledger import Ledger
from nightferry.passes.audit import Finding, Stranger, Verdict

#: What is bad is told so many seconds after it was found at the latest, however long the audit goes on.
_SOON = 10.0
#: So many are named in one alert.
_NAMED = 50
_MORE = "... and "


class AuditAlerts:
    """Tells of one audit, telescope by telescope, and then of the strangers in archives."""

    def __init__(self, config: Config, ledger: Ledger, wake: Callable[[], None]) -> None:
        self._config, self._ledger, self._wake = config, ledger, wake
        self._new: dict[tuple[str, str], list[Finding]] = {}  # by archive and telescope
        self._bad: set[tuple[str, str]] = set()
        self._told: dict[str, list[str]] = {}  # the lines of standing alerts, by the beginning of their keys
        self._since = 0.0

    def found(self, telescope: str, finding: Finding) -> None:
        """Take note of a finding; what is bad is told soon."""
        where = (finding.archive, telescope)
        if finding.verdict is not Verdict.GOOD and not self._is_dropped(finding.proof.frame):
            self._bad.add(where)
            if not self._is_told(telescope, finding):
                self._since = self._since if self._new else time.monotonic()
                self._new.setdefault(where, []).append(finding)
        if self._new and time.monotonic() - self._since > _SOON:
            self.tell()

    def tell(self) -> None:
        """Tell what was found since the last time."""
        new, self._new = self._new, {}
        self._told = {}
        self._follow([_of_findings(*where, found) for where, found in new.items()])

    def ended(self, telescope: str, trouble: NightferryError | None) -> None:
        """Tell what is left to tell at the end of a telescope's audit, and what is over; ``trouble`` cut it short."""
        self.tell()
        what = f"the audit of {telescope} could not be finished"
        conditions = [Condition(f"unaudited/{telescope}", trouble is not None, what, str(trouble))]
        for archive in self._config.telescope[telescope].archives if trouble is None else ():
            standing = self._standing(_key(archive, telescope))
            if standing and (archive, telescope) not in self._bad and not self._is_doubted(archive, telescope):
                conditions += [Condition(alert.key, active=False) for alert in standing]
        self._follow(conditions)

    def listed(self, archives: Sequence[str], strangers: Sequence[Stranger], trouble: NightferryError | None) -> None:
        """Tell of files that nobody delivered to these archives; with ``trouble`` not all of them could be listed."""
        what = "archives could not be looked through for files that nobody delivered"
        conditions = [Condition("unaudited/archives", trouble is not None, what, str(trouble))]
        for archive in archives:
            standing = self._standing(f"foreign/{archive}/")
            lines = [_line(one) for one in strangers if one.archive == archive]
            told = {line for alert in standing for line in alert.body.splitlines()}
            new = [line for line in lines if line not in told]
            if new and not any(line.startswith(_MORE) for line in told):
                conditions.append(_of_strangers(archive, new))
            if not lines and trouble is None:
                conditions += [Condition(alert.key, active=False) for alert in standing]
        self._follow(conditions)

    def _is_told(self, telescope: str, finding: Finding) -> bool:
        """Whether a standing alert names it, or may do so among those that it names no more."""
        key = _key(finding.archive, telescope)
        if key not in self._told:
            self._told[key] = [line for alert in self._standing(key) for line in alert.body.splitlines()]
        told = self._told[key]
        if any(line.startswith(_MORE) for line in told) and (finding.proof.doubt or finding.proof.unread):
            return True
        return any(line.startswith(_name_of(finding)) for line in told)

    def _follow(self, conditions: Sequence[Condition]) -> None:
        channels = tuple(dict.fromkeys(self._config.alerts.urls))
        if self._ledger.outbox.follow(conditions, channels, _now_us()):
            self._wake()

    def _standing(self, prefix: str) -> list[Alert]:
        return [alert for alert in self._ledger.outbox.standing() if alert.key.startswith(prefix)]

    def _is_doubted(self, archive: str, telescope: str) -> bool:
        """Whether anything is left there that an audit found bad."""
        proofs = self._ledger.proofs(telescope, archive, made=True)
        return any((proof.doubt or proof.unread) and not self._is_dropped(proof.frame) for proof in proofs)

    def _is_dropped(self, frame: FrameId) -> bool:
        return dropped(self._ledger.history(frame)) is not None


@contextmanager
def audit_alerts(config: Config, ledger: Ledger, note: Callable[[str], None]) -> Iterator[AuditAlerts]:
    """Give what tells people of an audit, and send it meanwhile; what cannot be sent waits in the outbox."""
    channels = tuple(dict.fromkeys(config.alerts.urls))
    with ExitStack() as sending:
        mailer = sending.enter_context(Mailer(ledger.outbox, channels, read_secret, note)) if channels else None
        told = AuditAlerts(config, ledger, mailer.wake if mailer else lambda: None)
        try:
            yield told
        finally:
            told.tell()  # whatever ended it


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
