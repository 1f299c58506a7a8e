"""Sending: tell people through whatever service they read (Apprise speaks to a hundred of them)."""

import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote

from nightferry.core.display import display
from nightferry.core.errors import Misconfigured, TryAgain

#: Words that would call a whole chat room together, wherever a file's name has them.
_CALLS = re.compile(r"@(?=(?:here|channel|everyone|all)\b)", re.IGNORECASE)
_LOADING = threading.Lock()
_PIECES = re.compile(r"[/:@?&=,;]+")
#: Shorter pieces of a URL are words such as "yes" or port numbers, and no secrets.
_SHORTEST_SECRET = 4


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Send a message to all Apprise URLs; raises `Misconfigured` for a URL that is none, `TryAgain` if one refused.

    The URLs are secrets themselves, so no message ever shows one, or a piece of one.
    """
    _load()
    import apprise  # noqa: PLC0415 - half a second that only those pay who have something to tell

    outlet = apprise.Apprise()
    for number, url in enumerate(urls, start=1):
        if not outlet.add(url):
            raise Misconfigured(f"alerts.urls: number {number} is no URL that Apprise knows")
    shown = "\n".join(_harmless(line) for line in body.splitlines())
    with _heard() as complaints:
        told = outlet.notify(title=_harmless(title), body=shown, body_format=apprise.NotifyFormat.TEXT)
    if urls and not told:
        why = "; ".join(dict.fromkeys(_without(urls, text) for text in complaints)) or "it says nothing more"
        raise TryAgain(f"the service refused or did not answer: {why}")


def known_url(url: str) -> None:
    """Let a URL pass that Apprise knows; raises `Misconfigured` for others, without showing it."""
    _load()
    import apprise  # noqa: PLC0415 - as above

    if not apprise.Apprise().add(url):
        raise Misconfigured("alerts.urls: this is no URL that Apprise knows")


def loading() -> bool:
    """Whether some thread has Apprise loaded right now."""
    return _LOADING.locked()


def _load() -> None:
    """Have Apprise load itself and its services, one thread at a time, for it touches what all threads share."""
    with _LOADING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its modules say of each other's age is not for our operators
        try:
            import apprise  # noqa: PLC0415 - as above
        except ImportError as err:
            raise Misconfigured("alerts need the extra; run: pip install 'nightferry[alerts]'") from err
        apprise.Apprise().add("json://localhost")  # the first one makes it look for all services


def _harmless(text: str) -> str:
    return _CALLS.sub("@ ", display(text))


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Listen to what Apprise logs while it sends: it says why it failed nowhere else."""
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(display(record.getMessage()))

    logger, ear = logging.getLogger("apprise"), Ear(logging.WARNING)
    logger.addHandler(ear)
    try:
        yield heard
    finally:
        logger.removeHandler(ear)


def _without(urls: Sequence[str], text: str) -> str:
    """Take out of a text every piece of the URLs that may be a secret."""
    for url in urls:
        _, _, rest = url.partition("://")
        pieces = {piece for raw in _PIECES.split(rest) for piece in (raw, unquote(raw))}
        for piece in sorted(pieces, key=len, reverse=True):
            if len(piece) >= _SHORTEST_SECRET:
                text = text.replace(piece, "***")
    return text
