"""Alerts: tell people, through whatever service they read (Apprise speaks to a hundred of them)."""

from collections.abc import Sequence

from nightferry.core.errors import Misconfigured, TryAgain


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Send a message to all Apprise URLs; raises `Misconfigured` for a URL that is none, `TryAgain` if one refused.

    The URLs are secrets themselves, so no message ever shows one.
    """
    try:
        import apprise  # noqa: PLC0415 - half a second that only those pay who have something to tell
    except ImportError as err:
        raise Misconfigured("alerts need the extra; run: pip install 'nightferry[alerts]'") from err
    outlet = apprise.Apprise()
    for number, url in enumerate(urls, start=1):
        if not outlet.add(url):
            raise Misconfigured(f"alerts.urls: number {number} is no URL that Apprise knows")
    if urls and not outlet.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT):
        raise TryAgain(f"an alert could not be sent to at least one of {len(urls)} places: {title}")
