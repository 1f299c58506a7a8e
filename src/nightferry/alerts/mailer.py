"""The mailer: sends what the outbox holds, a thread for each channel, so that no service delays anything else."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Self

from nightferry.alerts.sending import loading, send
from nightferry.core.alert import Letter, Outbox
from nightferry.core.errors import NightferryError, TryAgain

#: How often a channel looks for letters whose time has come, in seconds.
_LOOK = 15.0
#: How often the end of a close is looked for, in seconds.
_TICK = 0.05
_AGAIN = (
    "\n\n(You may have had this already: nightferry was stopped while it was sending it, and nobody can tell "
    "whether it arrived.)"
)


class Mailer:
    """Sends letters until it is closed. What is not sent by then waits in the outbox for the next one.

    ``read`` turns a channel's reference into its Apprise URL, anew for each letter, so that a rotated secret counts at
    once; ``hurry`` does not wait for the back-off of earlier failures to end.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Sequence[str],
        read: Callable[[str], str],
        note: Callable[[str], None],
        *,
        hurry: bool = False,
    ) -> None:
        self._outbox, self._read, self._note, self._hurry = outbox, read, note, hurry
        self._closed = threading.Event()
        self._told: set[str] = set()
        self._bells = {channel: threading.Event() for channel in dict.fromkeys(channels)}
        # daemons: a service that never answers keeps no process from its end for longer than Apprise's own time-out
        self._threads = [
            threading.Thread(target=self._serve, args=(channel,), daemon=True, name="nightferry-mailer")
            for channel in self._bells
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wake(self) -> None:
        """Say that there is something new."""
        for bell in self._bells.values():
            bell.set()

    def close(self, patience: float = 5.0) -> None:
        """Send what can be sent within some seconds, and let the rest wait.

        A small computer may load the library for longer than that, for which no service is to blame: that time is free.
        """
        self._closed.set()
        self.wake()
        until = time.monotonic() + patience
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < until:
                thread.join(_TICK)
                if loading():
                    until = time.monotonic() + patience

    def _serve(self, channel: str) -> None:
        last = False
        while not last:
            last = self._closed.is_set()  # one more round, for what came just before
            self._bells[channel].clear()
            try:
                for letter in self._outbox.due(channel, _now_us(), hurry=self._hurry):
                    if not self._send(letter):
                        break  # the service is down, most likely; the others need not wait for it too
            except TryAgain as err:  # the ledger is busy or its disk full; the letters are safe in it
                self._note(f"alerts: {err}")
            if not last:
                self._bells[channel].wait(_LOOK)

    def _send(self, letter: Letter) -> bool:
        if not self._outbox.begin(letter, _now_us()):
            return True  # somebody else sends it
        body = letter.alert.body + (_AGAIN if letter.again else "")
        reason = ""
        try:
            send([self._read(letter.channel)], f"nightferry: {letter.alert.title}", body)
        except NightferryError as err:
            reason = str(err)
            if reason not in self._told:  # once, not at every try
                self._told.add(reason)
                self._note(f"an alert could not be sent to {letter.channel}, and is tried again: {reason}")
        self._outbox.answer(letter, reason, _now_us())
        return not reason


def _now_us() -> int:
    return time.time_ns() // 1000
