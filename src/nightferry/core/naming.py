"""Names in archives: a template filled with what a path says, made safe for every file system."""

import hashlib
import re
from collections.abc import Mapping

from nightferry.core.store import StorePath

#: What Windows, the strictest of the three systems, refuses in a name.
_FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f-\x9f\ud800-\udfff/]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_LONGEST = 255 - len(".part-0123456789abcdef")  # bytes of UTF-8, with room for a temporary name beside it


def archive_name(template: str, fields: Mapping[str, str]) -> StorePath:
    """Fill a template such as ``{object}/{object}_{date}_{stem}{suffix}``; the result stays below the archive's root.

    Values never bring folders of their own: ``/`` in one becomes ``-`` (``C/2025 R3`` is ``C-2025 R3``).
    """
    parts = [part.format_map(_Blank(fields)) for part in template.split("/")]
    return StorePath("/".join(safe_component(part) for part in parts if part))


class _Blank(dict[str, str]):
    """Fields with ``/`` and missing ones made harmless."""

    def __getitem__(self, key: str) -> str:
        return super().get(key, "").replace("/", "-")

    def __missing__(self, key: str) -> str:
        return ""


def safe_component(text: str) -> str:
    """Make one path component that Linux, macOS and Windows all take, different for different texts.

    Where letters must be replaced or cut, a digest of the original is added, so that two names never become
    one by being made safe.
    """
    safe = _FORBIDDEN.sub("_", text).rstrip(" .").lstrip(" ")
    if _RESERVED.fullmatch(safe) or safe in {"", ".", ".."}:
        safe = f"_{safe}"
    if safe == text and len(safe.encode()) <= _LONGEST:
        return safe
    mark = "~" + hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    stem, dot, suffix = safe.rpartition(".")
    if not dot or len(suffix) > 8 or not stem:  # noqa: PLR2004 - longer is no suffix
        stem, suffix = safe, ""
    room = _LONGEST - len(mark) - len((dot + suffix).encode() if suffix else b"")
    return stem.encode()[:room].decode("utf-8", "ignore") + mark + (f".{suffix}" if suffix else "")
