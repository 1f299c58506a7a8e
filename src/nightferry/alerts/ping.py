"""The dead man's switch: a URL elsewhere is asked for again and again, and raises the alarm when that stops."""

import threading
import time
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

from nightferry.core.errors import Misconfigured, TryAgain

_TIMEOUT = 10.0


def ping(url: str) -> None:
    """Ask for the URL once; raises `Misconfigured` for one that is none, `TryAgain` when it does not answer well.

    The URL is a secret, so no message shows it.
    """
    import http.client  # noqa: PLC0415 - 30 ms that only those pay who ping
    from urllib.error import HTTPError, URLError  # noqa: PLC0415
    from urllib.request import Request, urlopen  # noqa: PLC0415

    if urlsplit(url).scheme not in {"http", "https"}:
        raise Misconfigured("alerts.ping: expected the URL of a web service, https://...")
    try:
        with urlopen(Request(url, headers={"User-Agent": "nightferry"}), timeout=_TIMEOUT):  # noqa: S310 - checked above
            return
    except HTTPError as err:
        err.close()
        raise TryAgain(f"alerts.ping: the service answers {err.code}") from err
    except (URLError, OSError, http.client.HTTPException) as err:
        reason = err.reason if isinstance(err, URLError) else err
        raise TryAgain(f"alerts.ping: the service cannot be reached: {type(reason).__name__}") from err


class Pinger:
    """Pings every ``every`` seconds in a thread of its own, as long as ``alive`` says that work goes on."""

    def __init__(
        self, read: Callable[[], str], every: float, alive: Callable[[], bool], note: Callable[[str], None]
    ) -> None:
        self._read, self._every, self._alive, self._note = read, every, alive, note
        self._closed = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._serve, daemon=True, name="nightferry-ping")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(0.5)

    def once(self) -> None:
        """Ping now, and say once what kept it from arriving."""
        try:
            ping(self._read())
        except (TryAgain, Misconfigured) as err:
            if str(err) != self._told:
                self._told = str(err)
                self._note(self._told)
        else:
            self._told = ""

    def _serve(self) -> None:
        while not self._closed.is_set():
            before = time.monotonic()
            if self._alive():
                self.once()
            self._closed.wait(max(0.1, self._every - (time.monotonic() - before)))
