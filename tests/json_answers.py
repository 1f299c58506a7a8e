"""How answers in JSON are compared with older ones: scripts bear new keys, and nothing else that is new."""

from collections.abc import Collection, Iterator


def lacking(now: object, then: object, where: str, *, changing: Collection[str] = ()) -> Iterator[str]:
    """Tell what of an older answer is gone or different, and where; the values of ``changing`` keys may be any."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key, value in then.items():
            if key not in now:
                yield f"{where}: no {key!r} any more"
            elif key not in changing:
                yield from lacking(now[key], value, f"{where}.{key}", changing=changing)
    elif isinstance(then, list) and isinstance(now, list) and len(now) == len(then):
        for number, (one, other) in enumerate(zip(now, then, strict=True)):
            yield from lacking(one, other, f"{where}[{number}]", changing=changing)
    elif type(now) is not type(then) or now != then:
        yield f"{where}: {now!r}, expected {then!r}"
