"""Listings and sizes: pages of keys, flat, made into a tree of files."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice

from nightferry.core.errors import Held, TryAgain
from nightferry.core.store import ROOT, Entry, Oddity, StorePath
from nightferry.stores.kit.listings import entering
from nightferry.stores.paths import is_part, path_refusal, split
from nightferry.stores.s3.bucket import key_of, path_of
from nightferry.stores.s3.errors import Refusal
from nightferry.stores.s3.service import Answer, Service

_SHOWN = 300


def walk(service: Service, enter: Callable[[StorePath], bool] | None) -> Iterator[Entry | Oddity]:
    """Yield every object below the root, with all that cannot be carried; see `Store.list`.

    The next page is asked for while one is handed on. Folders are there only as parts of keys; what consoles make
    to show an empty one (an empty object whose key ends with a slash) is no file.
    """
    inside = entering(enter)
    page, last = _page(service, ""), ""
    while True:
        token = page.text("NextContinuationToken")
        more = page.fields.get("IsTruncated") is True
        if more and not token:
            raise TryAgain(f"{service.label}: the listing was cut short without a way to go on; tried again later")
        if more and token == last:
            raise TryAgain(f"{service.label}: the listing goes in circles, it came to the same page twice")
        last = token
        coming = service.beside(partial(_page, service, token)) if more else None
        for row in page.rows("Contents"):
            yield from _told(service, row, inside)
        if coming is None:
            return
        page = coming.result()


def _page(service: Service, token: str) -> Answer:
    going_on = {"ContinuationToken": token} if token else {}
    return service.need("list_objects_v2", "listing", Prefix=service.address.prefix, **going_on)


def _told(service: Service, row: Answer, inside: Callable[[StorePath], bool]) -> Iterator[Entry | Oddity]:
    path, size = path_of(service.address, row.text("Key")), row.number("Size")
    folder, name = split(path)
    if not name and not size:
        return
    if path_refusal(path):
        yield Oddity("name", ROOT, path[:_SHOWN])
    elif not inside(path) or is_part(name):
        return
    elif size is None:
        yield Oddity("line", folder, name)
    else:
        yield Entry(path, size, row.time_us("LastModified"))


def stat_all(service: Service, paths: Iterable[StorePath]) -> Iterator[Entry | None]:
    """Yield each object's size and time, in order, several asked for at once; see `Store.stat`."""
    rest = iter(paths)
    coming: deque[Future[Entry | None]] = deque()
    width = service.address.connections
    bucket_seen = False
    while True:
        coming.extend(service.beside(partial(look, service, path)) for path in islice(rest, width - len(coming)))
        if not coming:
            return
        found = coming.popleft().result()
        if found is None and not bucket_seen:
            service.need_bucket()
            bucket_seen = True
        yield found


def look(service: Service, path: StorePath) -> Entry | None:
    """Return an object's size and time; None when it is not there."""
    try:
        key = key_of(service.address, path)
    except Held:
        return None
    answer = service.ask("head_object", f"looking at {path!a}", 404, Key=key)
    return None if isinstance(answer, Refusal) else entry_of(service, path, answer)


def entry_of(service: Service, path: StorePath, answer: Answer) -> Entry:
    """Make an entry of an answer about one object."""
    size = answer.number("ContentLength")
    if size is None:
        raise TryAgain(f"{service.label}: the server tells no size of {path!a}; tried again later")
    return Entry(path, size, answer.time_us("LastModified"))
