"""The part of a telescope's or archive's section that its store brings: which URLs there are, and which keys.

The store is found by the URL's scheme, see `nightferry.stores.kinds`; its own model checks its own keys.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from nightferry.core.display import display_url
from nightferry.stores.kinds import OURS, Keys, StoreKind, kind_of, kinds, schemes

M = TypeVar("M", bound=BaseModel)
Table = Mapping[str, object]


def check_url(url: str) -> str:
    """Return a URL that is good for a store; raise ValueError for any other."""
    shown = display_url(url)
    try:
        parts = urlsplit(url)
    except ValueError:  # its message may repeat a password
        raise ValueError(f"{shown!r}: no URL: brackets that do not match, or characters that no host has") from None
    kind = kind_of(parts.scheme)
    if kind is None:
        raise ValueError(
            f"{shown!r}: expected a URL of a store we know ({', '.join(f'{scheme}://' for scheme in schemes())}); "
            "a folder is written as file:///path"
        )
    if parts.password is not None:
        raise ValueError(f"the URL of {parts.hostname} holds a password: put it in 'secret' as a reference")
    if parts.query or parts.fragment:
        raise ValueError(f"{shown!r}: '?' and '#' in a path are written %3F and %23")
    try:
        kind.check_url(parts)
    except ValueError as err:
        raise ValueError(f"{shown!r}: {err}") from err
    try:
        _ = parts.port
    except ValueError as err:
        raise ValueError(f"{shown!r}: the port is not a number from 1 to 65535") from err
    return url


def address_of(url: str) -> SplitResult:
    """Split a URL, with the path's blanks decoded."""
    parts = urlsplit(url)
    return parts._replace(path=unquote(parts.path, errors="surrogateescape"))


def keys_of(section: BaseModel, url: str) -> tuple[StoreKind[Keys], Keys]:
    """Return the kind of store at a URL, and what a section says in that kind's own keys.

    Raises `ValueError` for what that kind does not take.
    """
    scheme = urlsplit(url).scheme
    kind = kind_of(scheme)
    if kind is None:
        raise ValueError(f"there is no store for {scheme}://")
    try:
        return kind, _read_keys(kind, section.model_extra or {}, scheme)
    except ValidationError as err:
        wrong = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in err.errors()]
        raise ValueError(f"{scheme}:// stores do not take {'; '.join(wrong)}") from err


def checked_section(section: type[M], url_key: str, table: object, check: Callable[[object], M]) -> M:
    """Check a section by ``check``, and those of its keys that are not its own by the store at its URL."""
    wrong: list[InitErrorDetails] = []
    try:
        checked = check(table)
    except ValidationError as err:
        wrong += _details(err)
    if isinstance(table, Mapping):
        own = {key: value for key, value in table.items() if key not in section.model_fields}
        wrong += _wrong_keys(own, table.get(url_key), list(section.model_fields))
    if wrong:
        raise ValidationError.from_exception_data(section.__name__, wrong, hide_input=True)
    return checked


def _wrong_keys(own: Table, url: object, fields: list[str]) -> Iterator[InitErrorDetails]:
    kind = _kind_at(url)
    if kind is None:
        yield from _wrong_anywhere(own, fields)
        return
    address = address_of(str(url))
    try:
        keys = _read_keys(kind, own, address.scheme)
    except ValidationError as err:
        yield from _details(err, [*fields, *kind.keys.model_fields])
        return
    try:
        kind.check(address, keys)
    except ValueError as err:
        yield _detail("value_error", str(err), ())


def _kind_at(url: object) -> StoreKind[Keys] | None:
    """Return the kind of a good URL; None for all else, which other checks complain about."""
    if not isinstance(url, str):
        return None
    try:
        return kind_of(urlsplit(check_url(url)).scheme)
    except ValueError:
        return None


def _read_keys(kind: StoreKind[Keys], own: Table, scheme: str) -> Keys:
    """Check keys by a store's model.

    Keys of our other stores are passed over where the store is one of ours: sections always could keep them when
    their URL became another.
    """
    fields = kind.keys.model_fields
    passed = {key for key in own if key not in fields and key in _our_keys()} if scheme in OURS else set()
    return kind.keys.model_validate({key: value for key, value in own.items() if key not in passed})


def _wrong_anywhere(own: Table, fields: list[str]) -> Iterator[InitErrorDetails]:
    """Check keys of a section that does not say where its store is: a preset's telescope, or one with a bad URL."""
    for key, value in own.items():
        takers = [kind for kind in _all_kinds(key) if key in kind.keys.model_fields]
        if not takers:
            yield _detail("extra_forbidden", "unknown key", (key,), [*fields, *_our_keys()])
        answers = [_wrong_value(kind, key, value) for kind in takers]
        if all(answers):
            yield from answers[0] if answers else ()


def _all_kinds(key: str) -> Iterable[StoreKind[Keys]]:
    if key in _our_keys():
        return kinds()
    return [kind for kind in map(kind_of, schemes()) if kind is not None]


def _wrong_value(kind: StoreKind[Keys], key: str, value: object) -> list[InitErrorDetails]:
    try:
        kind.keys.model_validate({key: value})
    except ValidationError as err:
        return [detail for detail in _details(err) if detail.get("loc", ())[:1] == (key,)]
    return []


@cache
def _our_keys() -> dict[str, None]:
    """Return the keys of all our own stores, in order."""
    return dict.fromkeys(key for kind in kinds() for key in kind.keys.model_fields)


def _details(err: ValidationError, keys: list[str] | None = None) -> list[InitErrorDetails]:
    """Return what pydantic found, so that it can be raised again; ``keys`` are those that are expected."""
    found = err.errors(include_url=False, include_input=False)
    return [
        _detail(one["type"], one["msg"], one["loc"], one.get("ctx", {}).get("keys") or keys)  # as pydantic says it
        for one in found
    ]


def _detail(kind: str, says: str, place: tuple[int | str, ...], keys: list[str] | None = None) -> InitErrorDetails:
    context = {"says": says, **({"keys": keys} if keys else {})}
    return InitErrorDetails(type=PydanticCustomError(kind, "{says}", context), loc=place, input=None)
