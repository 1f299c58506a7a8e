"""Names from outside: which ones are refused, and how text becomes a name that every system can hold.

Two kinds of names, two functions. A path that a store or a ledger shows us is kept as it is or refused
(`path_refusal`, `name_refusal`). Text that fills an archive's name template is ours to change
(`safe_component`, `archive_name`).

Names that differ in nothing but case or Unicode normalisation are different here and the same file on the
usual Windows and macOS disks: whoever makes names keeps them apart, and `Store.put` answers `Occupied` where
the disk cannot.
"""

import hashlib
import re
from collections.abc import Mapping

from nightferry.core.store import StorePath

#: Bytes of UTF-8: what the common file systems take for one name, and Linux for one path.
LONGEST_NAME, LONGEST_PATH = 255, 4096

# Most names by far are plain: one match tells, and a listing of 100,000 names stays cheap.
_PLAIN = re.compile(r"[A-Za-z0-9_+,=()\[\]-][A-Za-z0-9_+,=() .\[\]-]{0,200}")
#: The name of an unfinished file of ours: host, process, random digits.
UNFINISHED = re.compile(r"\.nightferry-([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{16}\.part")
_DRIVE = re.compile(r"[A-Za-z]:")
# Windows keeps these for devices, with any suffix and in any case.
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3]) *(?:\..*)?", re.IGNORECASE | re.DOTALL
)
# Control characters (C0, DEL, C1), what Windows forbids, and halves of surrogate pairs (bytes that are no UTF-8).
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff]')
# What `safe_component` adds where it had to change a text.
_MARK = re.compile(r"~[0-9a-f]{10}(?=\.|$)")
_LONGEST_SUFFIX = 16
_SHOWN = 80


def name_refusal(name: str) -> str:
    """Say why one component of a path from outside is refused; empty when it is safe.

    Refused are names that lead elsewhere (``..``, separators of any system, drive letters), that end a line or
    a text (CR, LF, NUL), that no system could hold (empty, over 255 bytes, not encodable), and the names of our
    own unfinished files. Other control characters are let through, for they do stand on disks: whoever shows a
    name to a terminal, a page or a mail escapes them there.
    """
    if _PLAIN.fullmatch(name):
        return ""
    if name in {"", ".", ".."}:
        return f"{name!r} is no name"
    for character, what in (("/", "a slash"), ("\\", "a backslash"), ("\0", "a NUL"), ("\r", "a CR"), ("\n", "a LF")):
        if character in name:
            return f"the name {_shown(name)} has {what} in it"
    if _DRIVE.match(name):
        return f"the name {_shown(name)} starts like a drive letter"
    if is_part(name):
        return f"the name {_shown(name)} is one that nightferry gives to unfinished files"
    return _length_refusal(name, LONGEST_NAME, "name")


def path_refusal(path: str) -> str:
    """Say why a path from outside is refused; empty when it is safe below a store's root."""
    if path.startswith("/"):
        return f"the path {_shown(path)} is absolute"
    for name in path.split("/"):
        if refusal := name_refusal(name):
            return refusal if name == path else f"{refusal} (in the path {_shown(path)})"
    return _length_refusal(path, LONGEST_PATH, "path")


def windows_refusal(name: str) -> str:
    """Say why Windows would not hold a component under exactly this name; empty when it would.

    A colon opens a stream inside another file, trailing dots and blanks are dropped (so that the name means
    another file), and device names open devices.
    """
    if found := _UNSAFE.search(name):
        return f"the name {_shown(name)} has {found.group()!r} in it, which Windows does not allow"
    if name.endswith((".", " ")):
        return f"the name {_shown(name)} ends in a dot or blank, which Windows drops"
    if _DEVICE.fullmatch(name):
        return f"the name {_shown(name)} means a device on Windows"
    return ""


def safe_component(text: str) -> str:
    """Make text that filled a name template one component that Linux, macOS and Windows can all hold.

    Text that is safe comes back unchanged. Where something had to be changed or cut, a ``~`` and ten digits of
    the whole text's digest stand before the suffix, so that different texts never become the same name.
    """
    name = _UNSAFE.sub("_", text).rstrip(". ")
    if not name or _DEVICE.fullmatch(name) or is_part(name):
        name = f"_{name}"
    if name == text and not _MARK.search(text) and len(name.encode()) <= LONGEST_NAME:
        return name
    mark = "~" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
    stem, dot, suffix = name.rpartition(".")
    if not stem or len((dot + suffix).encode()) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = LONGEST_NAME - len((mark + dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + mark + dot + suffix


def archive_name(template: str, fields: Mapping[str, str]) -> StorePath:
    """Fill a template such as ``{object}/{object}_{date}_{stem}{suffix}``; the result stays below the archive's root.

    Values never bring folders of their own: ``/`` in one becomes ``-`` (``C/2025 R3`` is ``C-2025 R3``). A field
    that has no value is empty.
    """
    values = _Values({key: value.replace("/", "-") for key, value in fields.items()})
    parts = [part.format_map(values) for part in template.split("/")]
    return StorePath("/".join(safe_component(part) for part in parts if part))


class _Values(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


#: How the names of files begin that show whether two places are one; nobody's frames are called so.
PROBE = "nightferry-probe-"


def is_probe(name: str) -> bool:
    """Whether a file's name is that of a probe."""
    return name.startswith(PROBE)


def is_part(name: str) -> bool:
    """Whether this is the name of one of our unfinished files; listings leave them out."""
    return name.endswith(".part") and UNFINISHED.fullmatch(name) is not None


def _length_refusal(text: str, longest: int, what: str) -> str:
    try:
        length = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return f"the {what} {_shown(text)} cannot be written as bytes"
    return f"the {what} {_shown(text)} is {length} bytes long, more than {longest}" if length > longest else ""


def _shown(text: str) -> str:
    """Show a name in a message, escaped and no longer than a line."""
    return ascii(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!a}..."
