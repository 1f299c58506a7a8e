"""Logs: what happens, as files that people and machines read, rotated by size."""

import json
import logging
import logging.handlers
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TypeAlias
from zoneinfo import ZoneInfo

from nightferry.config import Config
from nightferry.config.model import LogConfig
from nightferry.core.display import display
from nightferry.core.errors import Misconfigured
from nightferry.core.frame import Sighting
from nightferry.core.progress import Onlooker
from nightferry.core.receipt import Outcome, Receipt
from nightferry.core.store import StorePath

Fields: TypeAlias = Mapping[str, str | int | float | None]
_LEVELS = {
    Outcome.DONE: logging.INFO,
    Outcome.HELD: logging.WARNING,
    Outcome.FAILED: logging.WARNING,
    Outcome.BROKEN: logging.ERROR,
}


class Logs:
    """The logs of a process: one for all, and one of its own for each telescope that asks for it.

    Raises `Misconfigured` when a log cannot be opened.
    """

    def __init__(self, config: Config) -> None:
        rules = config.log
        general = _logger("", rules.path, rules)
        own = {name: section.log for name, section in config.telescope.items()}
        self._loggers = {name: _logger(name, path, rules) if path else general for name, path in own.items()}
        self._loggers[""] = general

    def write(self, telescope: str, level: int, event: str, fields: Fields | None = None) -> None:
        """Write one line."""
        logger = self._loggers[telescope]
        if logger is not None:
            logger.log(level, event, extra={"telescope": telescope, "fields": dict(fields or {})})

    def wants(self, telescope: str) -> bool:
        """Whether anything is logged of a telescope."""
        return self._loggers[telescope] is not None

    def close(self) -> None:
        """Close the files."""
        for logger in {id(one): one for one in self._loggers.values() if one is not None}.values():
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
                handler.close()


def _logger(name: str, path: Path | None, rules: LogConfig) -> logging.Logger | None:
    if path is None:
        return None
    # one of our own, which no other program's settings touch and whose handlers nobody else shares
    logger = logging.Logger(f"nightferry.{name}", logging.INFO)  # noqa: LOG001 - see above
    place = path.expanduser()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handler = _Rotated(
            place, maxBytes=rules.size, backupCount=rules.keep, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as err:
        raise Misconfigured(f"the log {place} cannot be written: {err}; see [log] path") from err
    zone = UTC if rules.zone == "UTC" else ZoneInfo(rules.zone)
    handler.setFormatter(Json(zone) if rules.format == "json" else Plain(zone))
    logger.addHandler(handler)
    return logger


class _Rotated(logging.handlers.RotatingFileHandler):
    """A rotated file whose trouble (a full disk, say) is reported once on stderr, and stops nothing."""

    _reported = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the library's signature
        """Report the first line that could not be written."""
        if not self._reported:
            self._reported = True
            sys.stderr.write(f"nightferry: the log {self.baseFilename} cannot be written: {sys.exception()}\n")


class Json(logging.Formatter):
    """One JSON object a line: time, level, telescope, event, and what belongs to it."""

    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        head = {
            "time": _instant(record, self._zone).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "telescope": _extra(record, "telescope"),
            "event": record.getMessage(),
        }
        return json.dumps(head | _fields(record))


class Plain(Json):
    """One line for people: time with its zone, level, telescope, event, and what belongs to it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        moment = _instant(record, self._zone).strftime("%Y-%m-%d %H:%M:%S%z")
        words = [f"{key}={value}" for key, value in _fields(record).items() if value not in {"", None}]
        telescope = _extra(record, "telescope") or "-"
        return display(f"{moment} {record.levelname} {telescope} {record.getMessage()} {' '.join(words)}".rstrip())


def _instant(record: logging.LogRecord, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(record.created, UTC).astimezone(zone)


def _extra(record: logging.LogRecord, name: str) -> str:
    return str(getattr(record, name, ""))


def _fields(record: logging.LogRecord) -> dict[str, str | int | float | None]:
    found = getattr(record, "fields", {})
    return dict(found) if isinstance(found, dict) else {}


class LoggedProgress:
    """Progress that is shown, and of which what matters is written into a telescope's log.

    ``beat`` is called with each sign that the work goes on.
    """

    def __init__(self, shown: Onlooker, logs: Logs, telescope: str, beat: Callable[[], None]) -> None:
        self._shown, self._logs, self._telescope, self._beat = shown, logs, telescope, beat

    def listed(self, files: int) -> None:
        """Pass on what was listed."""
        self._beat()
        self._shown.listed(files)

    def settling(self, files: int, seconds: float) -> None:
        """Pass on what settles."""
        self._beat()
        self._shown.settling(files, seconds)

    def planned(self, frames: int, size: int) -> None:
        """Pass on what is planned."""
        self._shown.planned(frames, size)

    def started(self, path: StorePath, size: int) -> None:
        """Pass on what begins to arrive."""
        self._shown.started(path, size)

    def moved(self, path: StorePath, count: int) -> None:
        """Pass on what arrived."""
        self._beat()
        self._shown.moved(path, count)

    def receipt(self, sighting: Sighting, receipt: Receipt) -> None:
        """Write a receipt down."""
        self._beat()
        self._shown.receipt(sighting, receipt)
        if not self._logs.wants(self._telescope):
            return
        fields: dict[str, str | int | float | None] = {
            "night": receipt.night.date.isoformat(),
            "frame": display(sighting.path),
            "target": receipt.target,
            "name": str(receipt.proof.get("name", "")),
            "bytes": sighting.size,
            "seconds": round(receipt.seconds, 3),
            "reason": receipt.reason,
        }
        event = f"{receipt.step} {receipt.outcome}"
        known = {key: value for key, value in fields.items() if value != ""}
        self._logs.write(self._telescope, _LEVELS[receipt.outcome], event, known)

    def note(self, text: str) -> None:
        """Write a note down."""
        self._shown.note(text)
        self._logs.write(self._telescope, logging.WARNING, text)
